//! Task: publishes what the players do, when it is due.
//!
//! The schedule waits for nobody: whatever is due is handed over at the next tick, and keeps the time at which it was
//! due, so that a publisher which cannot keep up shows as latency.

use craftwire::crafting::{EventDraft, Publisher, Receipt, Topic};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use super::{
    checks::Numbers,
    ids::{Run, Tag},
    players::{Due, Players, What},
    stop::Stop,
};
use crate::{clock::Epoch, exit::chain, output::note};

/// What became of what was handed over.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// By number: session events that were acknowledged.
    pub(crate) acked: Numbers,
    /// By number: updates that were taken. What became of them the publisher counts.
    pub(crate) offered: Numbers,
    /// Session events and updates that the publisher took.
    pub(crate) taken: [AtomicU64; 2],
    pub(crate) events_acked: AtomicU64,
    pub(crate) events_not_sent: AtomicU64,
    pub(crate) events_unknown: AtomicU64,
}

impl Ledger {
    /// Room for so many session events and updates.
    pub(crate) fn new([events, updates]: [usize; 2]) -> Self {
        Self {
            acked: Numbers::new(events),
            offered: Numbers::new(updates),
            taken: Default::default(),
            events_acked: AtomicU64::new(0),
            events_not_sent: AtomicU64::new(0),
            events_unknown: AtomicU64::new(0),
        }
    }
}

/// Publishes.
#[derive(Debug)]
pub(crate) struct Stage {
    publisher: Publisher,
    players: Players,
    run: Run,
    epoch: Epoch,
    ledger: Arc<Ledger>,
    receipts: mpsc::Sender<Vec<(u64, Receipt)>>,
    /// The next number of each topic.
    numbers: [u64; 2],
    has_complained: bool,
}

impl Stage {
    pub(crate) fn new(
        publisher: Publisher,
        players: Players,
        run: Run,
        epoch: Epoch,
        ledger: Arc<Ledger>,
        receipts: mpsc::Sender<Vec<(u64, Receipt)>>,
    ) -> Self {
        Self { publisher, players, run, epoch, ledger, receipts, numbers: [0; 2], has_complained: false }
    }

    /// Plays until `until_us` or somebody asks to stop.
    pub(crate) async fn play(mut self, until_us: u64, stop: Stop) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            let now_us = self.epoch.elapsed_us();
            let mut receipts = Vec::new();
            while let Some(due) = self.players.next(now_us.min(until_us - 1)) {
                receipts.extend(self.publish(due).await);
            }
            if !receipts.is_empty() && self.receipts.send(receipts).await.is_err() {
                break;
            }
            if now_us >= until_us || stop.is_asked() {
                break;
            }
        }
    }

    /// Hands one thing over; a session event's receipt is returned.
    async fn publish(&mut self, Due { due_us, what }: Due) -> Option<(u64, Receipt)> {
        match what {
            What::Event(event) => {
                let (number, id) = self.next_id(Topic::Events, due_us, false);
                match self.publisher.enqueue(EventDraft::new(event).with_event_id(id)).await {
                    Ok(receipt) => {
                        self.ledger.taken[0].fetch_add(1, Relaxed);
                        return Some((number, receipt));
                    }
                    Err(error) => {
                        self.ledger.events_not_sent.fetch_add(1, Relaxed);
                        self.complain(&error);
                    }
                }
            }
            What::Progress { update, begins } => {
                let (number, id) = self.next_id(Topic::Progress, due_us, begins);
                match self.publisher.offer(EventDraft::new(update).with_event_id(id)) {
                    Ok(()) => {
                        self.ledger.taken[1].fetch_add(1, Relaxed);
                        self.ledger.offered.mark(number);
                    }
                    Err(error) => self.complain(&error),
                }
            }
        }
        None
    }

    fn next_id(&mut self, topic: Topic, due_us: u64, begins: bool) -> (u64, Uuid) {
        let next = &mut self.numbers[usize::from(topic == Topic::Progress)];
        let number = std::mem::replace(next, *next + 1);
        (number, self.run.event_id(Tag { topic, number, due_us, begins }))
    }

    /// Says what went wrong, once: the rest is in the counts.
    fn complain(&mut self, error: &dyn std::error::Error) {
        if !std::mem::replace(&mut self.has_complained, true) {
            note(format_args!("warning: not published (further ones are only counted): {}", chain(error)));
        }
    }
}

/// Waits for the broker's answer to every session event and writes it down.
pub(crate) async fn settle(mut receipts: mpsc::Receiver<Vec<(u64, Receipt)>>, ledger: Arc<Ledger>) {
    let mut has_complained = false;
    while let Some(batch) = receipts.recv().await {
        for (number, receipt) in batch {
            let counter = match receipt.await {
                Ok(_) => {
                    ledger.acked.mark(number);
                    &ledger.events_acked
                }
                Err(error) => {
                    if !std::mem::replace(&mut has_complained, true) {
                        note(format_args!("warning: {} (further ones are only counted)", chain(&error)));
                    }
                    // Only a delivery can fail here, and only one that is surely not written may be tried again.
                    if is_surely_not_written(&error) {
                        &ledger.events_not_sent
                    } else {
                        &ledger.events_unknown
                    }
                }
            };
            counter.fetch_add(1, Relaxed);
        }
    }
}

fn is_surely_not_written(error: &craftwire::crafting::PublishError) -> bool {
    use craftwire::{crafting::PublishError, producer::DeliveryError};
    !matches!(error, PublishError::Delivery(DeliveryError::Unknown(_)))
}

/// Latency grows by half of it on average; a shorter one costs more than it gains.
const TICK: Duration = Duration::from_millis(1);
