//! Task: the members of the groups. Each reads its partitions, judges what it is given and acknowledges it.

use craftwire::crafting::{
    Body, Crafting, Event, Parsed, ProgressUpdate, SessionEvent, Subscriber, SubscriberBuilder,
};
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::interval};

use super::{
    checks::{Checks, Move, move_of_event, move_of_update},
    ids::{Run, Tag},
    stats::MemberStats,
};
use crate::{
    clock::Epoch,
    exit::{Exit, Failure, chain},
    output::note,
};

/// A body that the demo publishes and reads.
pub(crate) trait Played: Body {
    /// Settings for reading it.
    fn builder(crafting: &Crafting) -> SubscriberBuilder<Self>;

    /// What it does to its session.
    fn step(&self, tag: Tag) -> Move;
}

impl Played for SessionEvent {
    fn builder(crafting: &Crafting) -> SubscriberBuilder<Self> {
        crafting.session_events()
    }

    fn step(&self, _: Tag) -> Move {
        move_of_event(self)
    }
}

impl Played for ProgressUpdate {
    fn builder(crafting: &Crafting) -> SubscriberBuilder<Self> {
        crafting.progress()
    }

    fn step(&self, tag: Tag) -> Move {
        move_of_update(self, tag.begins)
    }
}

/// What a member shares with the panel.
#[derive(Debug)]
pub(crate) struct Desk {
    stats: Mutex<MemberStats>,
    partitions: AtomicUsize,
}

impl Desk {
    pub(crate) fn new(stats: MemberStats) -> Self {
        Self { stats: Mutex::new(stats), partitions: AtomicUsize::new(0) }
    }

    /// Looks at what the member counted.
    pub(crate) fn with_stats<T>(&self, look: impl FnOnce(&mut MemberStats) -> T) -> T {
        look(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many partitions it has, as it said lately.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions.load(Relaxed)
    }
}

/// A member before it starts.
#[derive(Debug)]
pub(crate) struct Member<B> {
    pub(crate) subscriber: Subscriber<B>,
    pub(crate) run: Run,
    /// Set when the players start.
    pub(crate) epoch: Arc<OnceLock<Epoch>>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) desk: Arc<Desk>,
}

impl<B: Played> Member<B> {
    /// Reads until `closing` turns true, then leaves the group.
    pub(crate) async fn read(mut self, mut closing: watch::Receiver<bool>) -> Result<(), Failure> {
        let mut tick = interval(TICK);
        let ended = loop {
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    self.look_at_partitions();
                }
                _ = closing.wait_for(|closing| *closing) => break Ok(()),
                next = self.subscriber.recv() => match next {
                    Some(Ok(delivered)) => {
                        self.judge(delivered.parsed(), delivered.record().partition());
                        let _ = delivered.ack();
                    }
                    Some(Err(error)) => {
                        self.desk.with_stats(|stats| stats.tally.errors += 1);
                        if error.is_fatal() {
                            break Err(Failure::because(Exit::Failed, "reading", &error));
                        }
                        note(format_args!("warning: {}", chain(&error)));
                    }
                    None => break Ok(()),
                },
            }
        };
        if let Err(error) = self.subscriber.close(CLOSE_TIMEOUT).await {
            note(format_args!("warning: a member's last commit failed: {}", chain(&error)));
        }
        ended
    }

    /// Says how many there are, and while the players play that there are more or fewer than before.
    fn look_at_partitions(&self) {
        let now = self.subscriber.assignment().len();
        let before = self.desk.partitions.swap(now, Relaxed);
        if now != before && self.epoch.get().is_some() {
            note(format_args!(
                "warning: a member of {} has {now} partitions now, {before} before",
                B::TOPIC.group()
            ));
        }
    }

    fn judge(&self, parsed: &Parsed<B>, partition: i32) {
        let now_us = self.epoch.get().map_or(0, |epoch| epoch.elapsed_us());
        let of_this_run = match parsed {
            Parsed::Event(event) => self.run.read(event.event_id()).map(|tag| (event, tag)),
            Parsed::Unknown(_) | Parsed::Malformed(_) => None,
        };
        match of_this_run {
            Some((event, tag)) => self.judge_own(event, tag, partition, now_us),
            None => self.desk.with_stats(|stats| stats.tally.foreign += 1),
        }
    }

    fn judge_own(&self, event: &Event<B>, tag: Tag, partition: i32, now_us: u64) {
        let finding = self.checks.judge(partition, event.session_id(), tag, event.body().step(tag));
        self.desk.with_stats(|stats| stats.received(tag.due_us, now_us, finding));
    }
}

const TICK: Duration = Duration::from_millis(100);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
