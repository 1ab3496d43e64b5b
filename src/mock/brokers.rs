//! What becomes of brokers: they stop, die, freeze and come back, and the controller hears of it, or notices.
//!
//! Invariant: a broker that is fenced leads nothing and is in sync nowhere, unless it was the last one that was.

use super::core::Core;
use super::followers::Rules;
use super::partition::Partition;
use std::collections::BTreeSet;
use std::time::Instant;

/// What a broker's process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Running,
    /// It is there, but does nothing, as after SIGSTOP.
    Paused,
    Down,
}

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
    pub(crate) process: Process,
    /// Whether the controller has taken it out of the cluster.
    pub(crate) is_fenced: bool,
    /// When it last told the controller that it is there, if it no longer does.
    silent_since: Option<Instant>,
}

impl Broker {
    pub(crate) const fn new(host: String, port: u16) -> Self {
        Self { host, port, rack: None, process: Process::Running, is_fenced: false, silent_since: None }
    }
}

impl Core {
    /// The brokers that are part of the cluster as far as the controller knows.
    pub(crate) fn brokers_up(&self) -> BTreeSet<i32> {
        self.brokers.iter().filter(|(_, broker)| !broker.is_fenced).map(|(id, _)| *id).collect()
    }

    /// Whether a broker's process is there, be it paused.
    pub(crate) fn is_alive(&self, id: i32) -> bool {
        self.process_of(id) != Process::Down
    }

    pub(crate) fn process_of(&self, id: i32) -> Process {
        self.brokers.get(&id).map_or(Process::Down, |broker| broker.process)
    }

    /// Stops a broker, which says goodbye: its partitions go to other replicas in sync at once.
    pub(crate) fn stop_broker(&mut self, now: Instant, id: i32) {
        if self.is_alive(id) {
            self.set_process(now, id, Process::Down);
            self.fence(now, id);
        }
    }

    /// Kills a broker: it leads and is in sync until its session is over.
    pub(crate) fn kill_broker(&mut self, now: Instant, id: i32) {
        if self.is_alive(id) {
            self.set_process(now, id, Process::Down);
            self.tick(now);
        }
    }

    /// Freezes a broker: what it is asked waits, and it leads and is in sync until its session is over.
    pub(crate) fn pause_broker(&mut self, now: Instant, id: i32) {
        if self.process_of(id) == Process::Running {
            self.set_process(now, id, Process::Paused);
            self.tick(now);
        }
    }

    /// Lets a paused broker go on: it works off what it was asked meanwhile.
    pub(crate) fn resume_broker(&mut self, now: Instant, id: i32) {
        if self.process_of(id) == Process::Paused {
            self.tick(now);
            self.set_process(now, id, Process::Running);
            self.unfence(now, id);
            self.wake_parked();
        }
    }

    /// Starts a broker that is down, its logs as they were. One that is not fenced yet is so first, since a process
    /// registers anew.
    pub(crate) fn start_broker(&mut self, now: Instant, id: i32) {
        if self.brokers.get(&id).is_some_and(|broker| broker.process == Process::Down) {
            self.tick(now);
            self.fence(now, id);
            self.set_process(now, id, Process::Running);
            self.unfence(now, id);
        }
    }

    /// Moves the cluster's time on, which never goes back: brokers whose session is over by now are fenced. The time.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        let now = now.max(self.now);
        while let Some((at, id)) = self.next_fence().filter(|(at, _)| *at <= now) {
            self.fence(at, id);
        }
        self.now = now;
        now
    }

    /// When the next broker is fenced, and which.
    pub(crate) fn next_fence(&self) -> Option<(Instant, i32)> {
        let timeout = self.settings.broker_session_timeout;
        let silent = self.brokers.iter().filter(|(_, broker)| !broker.is_fenced);
        silent.filter_map(|(id, broker)| Some((broker.silent_since?.checked_add(timeout)?, *id))).min()
    }

    /// Changes all partitions' replicas, then tells them which brokers run and how they lag; whoever waits looks again.
    pub(crate) fn change_replicas(
        &mut self,
        now: Instant,
        mut work: impl FnMut(&str, i32, Rules, &mut Partition),
    ) {
        let Self { topics, brokers, lags, .. } = self;
        topics.change_all(now, self.settings.replica_lag_time_max, |topic, index, rules, partition| {
            work(topic, index, rules, partition);
            for id in partition.replicas.clone() {
                let is_running = brokers.get(&id).is_some_and(|broker| broker.process == Process::Running);
                partition.followers().configure(id, is_running, lags.of(topic, index, id), now);
            }
        });
        self.wake_watchers();
    }

    fn set_process(&mut self, now: Instant, id: i32, process: Process) {
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        broker.process = process;
        broker.silent_since = match process {
            Process::Running => None,
            Process::Paused | Process::Down => broker.silent_since.or(Some(now)),
        };
        if process == Process::Down {
            self.groups.values_mut().for_each(|group| group.broker_down(id));
            self.sessions.forget_broker(id);
        }
        self.change_replicas(now, |_, _, _, _| {});
    }

    fn fence(&mut self, now: Instant, id: i32) {
        let Some(broker) = self.brokers.get_mut(&id).filter(|broker| !broker.is_fenced) else { return };
        broker.is_fenced = true;
        let running = self.running();
        self.change_replicas(now, |_, _, rules, partition| partition.broker_down(id, rules, &running));
    }

    fn unfence(&mut self, now: Instant, id: i32) {
        let Some(broker) = self.brokers.get_mut(&id).filter(|broker| broker.is_fenced) else { return };
        broker.is_fenced = false;
        self.change_replicas(now, |_, _, rules, partition| partition.broker_up(id, rules));
    }

    /// The brokers that answer.
    pub(crate) fn running(&self) -> BTreeSet<i32> {
        let runs = |id: &&i32| self.process_of(**id) == Process::Running;
        self.brokers.keys().filter(runs).copied().collect()
    }
}
