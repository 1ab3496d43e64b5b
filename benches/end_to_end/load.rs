//! What is sent: events of many sessions, no two alike, made before the clock runs.

use bytes::Bytes;
use craftwire::crafting::{
    Body, CancelReason, CraftingDuration, EventDraft, FailureReason, Percent, ProgressUpdate, Quality,
    Seconds, SessionCancel, SessionComplete, SessionEvent, SessionFail, SessionPause, SessionResume,
    SessionStart, Status, Timestamp,
};
use craftwire::crafting::{EstimatedDuration, PauseReason};
use uuid::Uuid;

/// How many sessions the load is spread over.
pub(crate) const SESSIONS: usize = 2_500;
/// How many bodies are made; they are sent in turn.
const BODIES: usize = 20_000;

/// A topic's body that the bench can make.
pub(crate) trait Load: Body {
    fn make(number: usize, session: Uuid) -> Self;

    /// The bodies that a run sends in turn.
    fn bodies() -> Vec<Self> {
        let sessions: Vec<Uuid> = (0..SESSIONS).map(|_| Uuid::new_v4()).collect();
        (0..BODIES).map(|number| Self::make(number, sessions[number % SESSIONS])).collect()
    }
}

impl Load for SessionEvent {
    /// The six kinds as often as sessions have them: each starts and ends, few pause.
    fn make(number: usize, session: Uuid) -> Self {
        let seconds = |of: usize| Seconds::try_from(of as u64).expect("any number is in range");
        match number % 20 {
            0..=8 => SessionStart::new(session, Uuid::new_v4(), Uuid::new_v4())
                .with_estimated_duration(EstimatedDuration::try_from(60).expect("in range"))
                .into(),
            9..=14 => {
                let duration = CraftingDuration::try_from(1 + number as u64 % 600).expect("in range");
                SessionComplete::new(session, Uuid::new_v4(), duration)
                    .with_quality(Quality::ALL[number % Quality::ALL.len()])
                    .with_experience_gained(number as u64 % 1_000)
                    .into()
            }
            15 => SessionFail::new(session, FailureReason::ALL[number % FailureReason::ALL.len()])
                .with_duration(seconds(number % 600))
                .into(),
            16 | 17 => SessionCancel::new(session, CancelReason::PlayerRequest)
                .with_duration(seconds(number % 600))
                .into(),
            18 => SessionPause::new(session, PauseReason::PlayerAfk).into(),
            _ => SessionResume::new(session).with_remaining_duration(seconds(number % 600)).into(),
        }
    }
}

impl Load for ProgressUpdate {
    fn make(number: usize, session: Uuid) -> Self {
        let step = number / SESSIONS;
        let seconds = |of: usize| Seconds::try_from(of as u64).expect("any number is in range");
        Self::new(session, Percent::try_from(step as u64 % 101).expect("in range"), Status::Active)
            .with_elapsed(seconds(step))
            .with_remaining(seconds(300 - step))
            .with_current_step(["heating", "forging", "quenching", "polishing"][number % 4], None)
    }
}

/// An event as a raw record: its key and its JSON.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// The same events as records.
pub(crate) fn raw_records<B: Load>() -> Vec<RawRecord> {
    let source = "crafting.network".parse().expect("a good name");
    let record = |body: B| {
        let key = body.session_id().to_string().into();
        let event = EventDraft::new(body).stamp(&source, Uuid::now_v7(), Timestamp::UNIX_EPOCH);
        RawRecord { key, value: event.to_json().into() }
    };
    B::bodies().into_iter().map(record).collect()
}
