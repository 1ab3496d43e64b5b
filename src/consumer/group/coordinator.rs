//! Task: one consumer's dealings with its group's coordinator: heartbeats, committed offsets, commits.
//!
//! It does what the machine [`Member`] says, over a connection of its own, and never waits for the caller to ask for
//! records. Its only loop waits for an answer, a wake-up or a deadline, whichever comes first.

use super::{
    classic::{Answer, Question},
    committing::WaiterId,
    member::Member,
    work::{Done, Work},
};
use crate::{
    cluster::{Caller, Cluster, Target},
    consumer::{error::CommitError, shared::Shared},
    error::RequestError,
    net::clock,
    wire::Api,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::sleep_until,
};

/// What a handle asks for.
pub(crate) enum Command {
    /// Commit what is finished now.
    Commit(oneshot::Sender<Result<(), CommitError>>),
    /// Commit what is finished, leave the group, and end.
    Close,
}

/// See the module.
pub(crate) struct Coordinator {
    cluster: Cluster,
    shared: Arc<Shared>,
    group: Arc<str>,
    member: Member,
    caller: Option<Caller>,
    /// For questions that wait for other members: what is asked behind one of them waits with it.
    waiting_caller: Option<Caller>,
    coordinator: Option<i32>,
    rebalance_timeout: Duration,
    running: JoinSet<Done>,
    waiters: BTreeMap<WaiterId, oneshot::Sender<Result<(), CommitError>>>,
    last_waiter: WaiterId,
}

impl Coordinator {
    pub(crate) fn new(cluster: Cluster, shared: Arc<Shared>, group: Arc<str>) -> Self {
        let seed = cluster.config().entropy.seed();
        let rebalance_timeout = shared.with(|core| core.config.rebalance_timeout);
        Self {
            member: Member::new(shared.clone(), group.clone(), seed),
            cluster,
            shared,
            group,
            caller: None,
            waiting_caller: None,
            coordinator: None,
            rebalance_timeout,
            running: JoinSet::new(),
            waiters: BTreeMap::new(),
            last_waiter: 0,
        }
    }

    /// Runs until it was told to close and the group was left, or until the group refused the member.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut topology = self.cluster.watch();
        loop {
            if self.shared.with(|core| core.is_closed()) {
                self.member.handle_close();
            }
            if self.member.is_closing() {
                self.take_last_commands(&mut commands);
            }
            let now = clock::now();
            let snapshot = topology.get();
            self.member.advance(&snapshot, now);
            while let Some(work) = self.member.poll_work() {
                self.start(work);
            }
            self.tell_waiters();
            if self.member.is_over(now) {
                break;
            }
            let wake_at = self.member.poll_timeout(now).unwrap_or(now + FAR_AWAY);
            let wants_topics = self.member.wants_topics();
            select! {
                biased;
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    if let Ok(done) = done {
                        self.member.handle_done(done, clock::now());
                    }
                }
                // Once closed, the channel is always ready with its end: it must not be asked again.
                command = commands.recv(), if !self.member.is_closing() => match command {
                    Some(Command::Commit(waiter)) => self.handle_commit_asked(waiter),
                    // Nobody is left to ask for more.
                    Some(Command::Close) | None => self.member.handle_close(),
                },
                () = self.shared.coordinator.notified() => {}
                changed = topology.changed(), if wants_topics => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = sleep_until(wake_at.into()) => {}
            }
        }
        self.take_last_commands(&mut commands);
        self.member.handle_end();
        self.tell_waiters();
    }

    /// Commands that come after this are answered by the channel's end.
    fn take_last_commands(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) {
        commands.close();
        while let Ok(command) = commands.try_recv() {
            if let Command::Commit(waiter) = command {
                self.handle_commit_asked(waiter);
            }
        }
    }

    fn handle_commit_asked(&mut self, waiter: oneshot::Sender<Result<(), CommitError>>) {
        self.last_waiter += 1;
        self.waiters.insert(self.last_waiter, waiter);
        self.member.handle_commit_asked(self.last_waiter, clock::now());
    }

    fn tell_waiters(&mut self) {
        while let Some((id, outcome)) = self.member.poll_answer() {
            // Without an outcome the waiter is told by the channel's end.
            if let (Some(waiter), Some(outcome)) = (self.waiters.remove(&id), outcome) {
                let _gone = waiter.send(outcome);
            }
        }
    }

    fn start(&mut self, work: Work) {
        let within = self.cluster.config().request_timeout;
        let (cluster, group, caller) = (self.cluster.clone(), self.group.clone(), self.caller.clone());
        match work {
            Work::FindCoordinator => {
                self.running
                    .spawn(async move { Done::FindCoordinator(cluster.coordinator(&group, within).await) });
            }
            Work::Connect(broker) => {
                self.caller = Some(cluster.dedicated_caller(broker));
                self.coordinator = Some(broker);
            }
            Work::Disconnect => {
                (self.caller, self.waiting_caller, self.coordinator) = (None, None, None);
                cluster.forget_coordinator(&group);
            }
            Work::RefreshMetadata => cluster.request_refresh(),
            Work::LearnTopics(names) => cluster.add_topics(names),
            Work::ReadSessionTimeout(request) => {
                self.running.spawn(async move {
                    Done::ReadSessionTimeout(cluster.call(Target::Any, request, within).await)
                });
            }
            Work::Heartbeat { number, request } => {
                self.running.spawn(async move {
                    Done::Heartbeat { number, outcome: ask(caller, request, within).await }
                });
            }
            Work::Classic { number, question } => self.ask_classic(number, question, within),
            Work::FetchOffsets { asked, request } => {
                self.running.spawn(async move {
                    Done::FetchOffsets { asked, outcome: ask(caller, request, within).await }
                });
            }
            Work::Commit { entries, request } => {
                self.running.spawn(async move {
                    Done::Commit { entries, outcome: ask(caller, request, within).await }
                });
            }
        }
    }
}

impl Coordinator {
    /// JoinGroup and SyncGroup wait for other members, so they have a connection of their own, and time.
    fn ask_classic(&mut self, number: u64, question: Question, within: Duration) {
        let caller = match (&question, self.coordinator) {
            (Question::Join(_) | Question::Sync(_), Some(broker)) => {
                let cluster = &self.cluster;
                Some(self.waiting_caller.get_or_insert_with(|| cluster.dedicated_caller(broker)).clone())
            }
            _ => self.caller.clone(),
        };
        let longer = self.rebalance_timeout + within;
        self.running.spawn(async move {
            let outcome = match question {
                Question::Join(request) => ask(caller, request, longer).await.map(Answer::Join),
                Question::Sync(request) => ask(caller, request, longer).await.map(Answer::Sync),
                Question::Heartbeat(request) => ask(caller, request, within).await.map(Answer::Heartbeat),
                Question::Leave(request) => ask(caller, request, within).await.map(Answer::Leave),
            };
            Done::Classic { number, outcome }
        });
    }
}

/// Asks the coordinator. Without one it is as if the connection to it had been lost.
async fn ask<A: Api + Send + 'static>(
    caller: Option<Caller>,
    request: A,
    within: Duration,
) -> Result<A::Response, RequestError> {
    match caller {
        Some(caller) => caller.call(request, within).await,
        None => Err(RequestError::TimedOut { api: A::KEY.name(), after: Duration::ZERO, last: None }),
    }
}

const FAR_AWAY: Duration = Duration::from_secs(3600);
