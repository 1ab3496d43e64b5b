//! Any event that the types can hold is written as JSON that reads back as the same event.

use craftwire::crafting::{
    Body, CancelReason, CraftingDuration, EstimatedDuration, Event, EventDraft, FailureReason, Location,
    Material, MaterialQuality, Materials, Metadata, Parsed, PauseReason, PayloadCompression, Percent,
    Priority, ProgressUpdate, Quality, QualityScore, Quantity, Seconds, SessionCancel, SessionComplete,
    SessionEvent, SessionFail, SessionPause, SessionResume, SessionStart, Status, Step, Tags, Timestamp, Ttl,
    parse,
};
use proptest::{option, prelude::*, sample::select};
use serde_json::Value;
use uuid::Uuid;

use crate::reference;

proptest! {
    #[test]
    fn session_events_round_trip(event in event(session_event())) {
        round_trips(&event)?;
        is_written_as(&event, &reference::session(event.body()))?;
    }

    #[test]
    fn progress_updates_round_trip(event in event(progress_update())) {
        round_trips(&event)?;
        is_written_as(&event, &reference::progress(event.body()))?;
    }

    #[test]
    fn no_bytes_are_fatal(bytes in any::<Vec<u8>>()) {
        prop_assert!(matches!(parse::<SessionEvent>(bytes), Parsed::Malformed(_)));
    }

    /// A good event with one byte changed or cut short is read or refused, and keeps its bytes.
    #[test]
    fn no_change_is_fatal(event in event(session_event()), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut json = event.to_json();
        let at = at.index(json.len());
        json[at] = byte;
        if cut {
            json.truncate(at);
        }
        match parse::<SessionEvent>(json.clone()) {
            Parsed::Event(_) => {}
            Parsed::Unknown(unknown) => prop_assert_eq!(unknown.raw, json),
            Parsed::Malformed(malformed) => prop_assert_eq!(malformed.raw, json),
        }
    }
}

fn round_trips<B: Body>(event: &Event<B>) -> Result<(), TestCaseError> {
    let json = event.to_json();
    prop_assert_eq!(&parse::<B>(json.clone()).event().unwrap(), event);
    // JSON to others too, and on one line.
    prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
    prop_assert!(!json.contains(&b'\n'));
    Ok(())
}

/// What serde_json writes for the same event, and what we write, is the same to a reader, and the same bytes once it is
/// written again.
fn is_written_as<B: Body>(event: &Event<B>, data: &Value) -> Result<(), TestCaseError> {
    // Both by way of text: serde_json may read a number a little off.
    let theirs = serde_json::to_vec(&reference::event(event, data)).unwrap();
    let theirs: Value = serde_json::from_slice(&theirs).unwrap();
    let ours: Value = serde_json::from_slice(&event.to_json()).unwrap();
    prop_assert_eq!(&ours, &theirs);
    prop_assert_eq!(serde_json::to_vec(&ours).unwrap(), serde_json::to_vec(&theirs).unwrap());
    Ok(())
}

fn event<B: Body>(body: impl Strategy<Value = B>) -> impl Strategy<Value = Event<B>> {
    let ids = (uuid(), option::of(uuid()), option::of(uuid()), option::of(uuid()));
    let rest =
        (option::of(any::<String>()), prop::collection::vec(any::<String>(), 0..=10), option::of(metadata()));
    (ids, time(), rest, body).prop_map(
        |((id, correlation, player, game), time, (trace, tags, metadata), body)| {
            let mut draft = EventDraft::new(body).with_tags(Tags::new(tags).unwrap());
            if let Some(id) = correlation {
                draft = draft.with_correlation_id(id);
            }
            if let Some(id) = player {
                draft = draft.with_player_id(id);
            }
            if let Some(id) = game {
                draft = draft.with_game_id(id);
            }
            if let Some(id) = trace {
                draft = draft.with_trace_id(id);
            }
            if let Some(metadata) = metadata {
                draft = draft.with_metadata(metadata);
            }
            draft.stamp(&"crafting.network".parse().unwrap(), id, time)
        },
    )
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let ttl = (any::<u64>(), select(vec![Ttl::days, Ttl::hours, Ttl::minutes, Ttl::seconds]));
    (
        option::of(select(Priority::ALL)),
        option::of(ttl.prop_map(|(amount, unit)| unit(amount))),
        option::of(0..=10_u64),
        option::of(select(PayloadCompression::ALL)),
        option::of(1..=u64::MAX),
    )
        .prop_map(|(priority, ttl, retries, compression, size)| Metadata {
            priority,
            ttl,
            retry_count: retries.map(|count| count.try_into().unwrap()),
            compression,
            size_bytes: size.map(|size| size.try_into().unwrap()),
        })
}

fn session_event() -> impl Strategy<Value = SessionEvent> {
    prop_oneof![
        start().prop_map(Into::into),
        complete().prop_map(Into::into),
        (uuid(), select(FailureReason::ALL), option::of(seconds()), any::<Option<bool>>()).prop_map(
            |(session, reason, duration, lost)| {
                let mut fail = SessionFail::new(session, reason);
                (fail.duration, fail.materials_lost) = (duration, lost);
                fail.into()
            }
        ),
        (uuid(), select(CancelReason::ALL), option::of(seconds()), any::<Option<bool>>()).prop_map(
            |(session, reason, duration, returned)| {
                let mut cancel = SessionCancel::new(session, reason);
                (cancel.duration, cancel.materials_returned) = (duration, returned);
                cancel.into()
            }
        ),
        (uuid(), select(PauseReason::ALL), option::of(time())).prop_map(|(session, reason, time)| {
            let mut pause = SessionPause::new(session, reason);
            pause.pause_time = time;
            pause.into()
        }),
        (uuid(), option::of(time()), option::of(seconds())).prop_map(|(session, time, remaining)| {
            let mut resume = SessionResume::new(session);
            (resume.resume_time, resume.remaining_duration) = (time, remaining);
            resume.into()
        }),
    ]
}

fn start() -> impl Strategy<Value = SessionStart> {
    (
        (uuid(), uuid(), uuid()),
        option::of(prop::collection::vec(material(), 1..=50)),
        option::of(1..=3600_u16),
        option::of(uuid()),
        option::of((coordinate(), coordinate(), coordinate())),
        option::of(any::<String>()),
    )
        .prop_map(|((session, recipe, player), materials, estimate, workstation, location, zone)| {
            let mut start = SessionStart::new(session, recipe, player);
            start.materials = materials.map(|materials| Materials::new(materials).unwrap());
            start.estimated_duration = estimate.map(|seconds| EstimatedDuration::new(seconds).unwrap());
            start.workstation_id = workstation;
            start.location = location.map(|(x, y, z)| Location::new(x, y, z).unwrap());
            start.zone_id = zone;
            start
        })
}

fn complete() -> impl Strategy<Value = SessionComplete> {
    (
        (uuid(), uuid(), 1..=u64::MAX),
        option::of(select(Quality::ALL)),
        any::<Option<u64>>(),
        option::of(prop::collection::vec(material(), 0..4)),
    )
        .prop_map(|((session, item, seconds), quality, experience, materials)| {
            let mut complete = SessionComplete::new(session, item, CraftingDuration::new(seconds).unwrap());
            complete.quality = quality;
            complete.experience_gained = experience;
            complete.materials_used = materials;
            complete
        })
}

fn progress_update() -> impl Strategy<Value = ProgressUpdate> {
    let status = prop_oneof![
        select(vec![Status::Active, Status::Paused, Status::Interrupted, Status::Completed]),
        any::<Option<String>>().prop_map(|reason| Status::Failed { reason }),
    ];
    (
        (uuid(), percent(), status, option::of(uuid())),
        (option::of(seconds()), option::of(seconds())),
        (any::<Option<String>>(), option::of(percent())),
        option::of(prop::collection::vec(step(), 0..5)),
        (option::of(score()), option::of(score())),
    )
        .prop_map(|((session, progress, status, player), times, current, steps, quality)| {
            let mut update = ProgressUpdate::new(session, progress, status);
            update.player_id = player;
            (update.elapsed, update.remaining) = times;
            (update.current_step, update.step_progress) = current;
            update.steps = steps;
            (update.current_quality, update.target_quality) = quality;
            update
        })
}

fn step() -> impl Strategy<Value = Step> {
    (any::<String>(), any::<String>(), any::<bool>(), percent(), any::<Option<String>>()).prop_map(
        |(id, name, completed, progress, message)| {
            let mut step = Step::new(id, name, progress).with_completed(completed);
            step.status_message = message;
            step
        },
    )
}

fn material() -> impl Strategy<Value = Material> {
    (uuid(), 1..=1000_u16, option::of(select(MaterialQuality::ALL))).prop_map(|(id, quantity, quality)| {
        let mut material = Material::new(id, Quantity::new(quantity).unwrap());
        material.quality = quality;
        material
    })
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// Years 0 to 9999, to the nanosecond.
fn time() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_i64..253_402_300_800, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| {
        let millis = Timestamp::from_unix_millis(seconds * 1000).unwrap().to_string();
        millis.replace('Z', &format!(".{nanos:09}Z")).parse().unwrap()
    })
}

fn seconds() -> impl Strategy<Value = Seconds> {
    any::<u64>().prop_map(|seconds| Seconds::new(seconds).unwrap())
}

fn percent() -> impl Strategy<Value = Percent> {
    (0..=100_u8).prop_map(|percent| Percent::new(percent).unwrap())
}

fn score() -> impl Strategy<Value = QualityScore> {
    (1..=100_u8).prop_map(|score| QualityScore::new(score).unwrap())
}

fn coordinate() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO
}
