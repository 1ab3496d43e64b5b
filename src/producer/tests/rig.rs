//! One partition under test: what it sends, and what answers do to it.

use super::*;
use crate::{
    error::ErrorCode,
    producer::{
        batch::Completion,
        delivery::{BatchState, Outcome},
        metrics::Counters,
        partition::Poll,
        settle::{Answer, Settled},
    },
    wire::compression::Compressor,
};

/// A partition with a lane, batches of one record each, and a clock.
pub(super) struct Rig {
    pub(super) slot: Arc<PartitionSlot>,
    pub(super) lane: Arc<Door>,
    pub(super) memory: Memory,
    pub(super) now: Instant,
    pub(super) next_request: u64,
    /// What became of each record: its batch, and its place there.
    pub(super) states: Vec<(Arc<BatchState>, u32)>,
}

/// A batch on its way.
#[derive(Debug, Clone)]
pub(super) struct Out {
    pub(super) id: u64,
    pub(super) bytes: Bytes,
}

impl Rig {
    pub(super) fn new() -> Self {
        let rig = Self {
            slot: slot(0, limits(1_024)),
            lane: door(1),
            memory: Memory::new(100_000),
            now: start(),
            next_request: 0,
            states: Vec::new(),
        };
        assert!(rig.slot.lock().route(Some(&rig.lane), 1).is_none(), "there is nothing to send");
        rig
    }

    /// With the first batch acked, so that five may be in flight.
    pub(super) fn confirmed() -> Self {
        let mut rig = Self::new();
        rig.append(0);
        let first = rig.poll().unwrap();
        rig.ok(&first, 0);
        rig
    }

    /// A record that fills a batch.
    pub(super) fn append(&mut self, id: u64) {
        self.append_bytes(id, 900);
    }

    pub(super) fn append_bytes(&mut self, id: u64, bytes: usize) {
        let appended = append(&self.slot, &self.memory, id, bytes, self.now).unwrap();
        self.states.push((appended.state, appended.index));
    }

    /// What goes into the next request, if anything does.
    pub(super) fn poll(&mut self) -> Option<Out> {
        self.next_request += 1;
        match self.slot.poll(&self.lane, self.next_request, self.now) {
            Poll::Seal { id, builder, stamp, .. } => {
                let sealed = builder.seal(Compression::None, stamp, &mut Compressor::default());
                let bytes = sealed.bytes.clone();
                self.slot.lock().sealed(id, sealed);
                Some(Out { id, bytes })
            }
            Poll::Resend { id, bytes, .. } => Some(Out { id, bytes }),
            _ => None,
        }
    }

    pub(super) fn settle(&mut self, out: &Out, answer: &Answer) -> Settled {
        let mut settled = self.slot.lock().settle(out.id, answer, self.now);
        if let Some(completion) = settled.completion.take() {
            completion.tell(&Counters::default());
        }
        if let Some(moved) = settled.moved.take() {
            moved.tell();
        }
        settled
    }

    pub(super) fn say(&mut self, out: &Out, code: ErrorCode) -> Settled {
        let answer = answer(code, None);
        self.settle(out, &answer)
    }

    pub(super) fn ok(&mut self, out: &Out, base_offset: i64) {
        self.settle(out, &ok_at(base_offset));
    }

    /// Lets the wait before a retry pass.
    pub(super) fn wait(&mut self) {
        self.now += 2_000 * MS;
    }

    pub(super) fn outcome(&self, record: usize) -> Option<&Outcome> {
        let (state, index) = &self.states[record];
        state.outcome_of(*index).map(|(outcome, _)| outcome)
    }
}

pub(super) fn acked(outcome: Option<&Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Acked { .. }))
}

pub(super) fn ok_at(base_offset: i64) -> Answer {
    answer(ErrorCode::NONE, Some(base_offset))
}

pub(super) fn answer(code: ErrorCode, base_offset: Option<i64>) -> Answer {
    Answer::Broker { code, message: None, base_offset, log_append_time_ms: None, record_errors: Vec::new() }
}

pub(super) fn tell(completions: Vec<Completion>) {
    completions.into_iter().for_each(|completion| completion.tell(&Counters::default()));
}
