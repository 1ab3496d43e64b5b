//! Task: `perf consume`: what a topic holds, by a member of a group, from the first record handed over to the last.

use craftwire::{
    consumer::{Records, StartFrom},
    crafting::{Body, EventRef, ProgressUpdate, SessionEvent, SessionEventRef, Topic, decode},
};
use serde_json::json;
use std::time::Duration;

use super::{
    args::{ConsumeArgs, Shared},
    connect,
    report::Report,
    usage::Mark,
};
use crate::{
    clock::SteadyClock,
    exit::{Exit, Failure, chain},
    output::note,
};

/// Runs the mode.
pub(crate) async fn run(args: ConsumeArgs, shared: Shared, timeout: Duration) -> Result<Report, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because(Exit::Failed, "reading", error);
    let crafting = connect(&args.place, timeout).await?;
    let builder = crafting.client().consumer().group(args.group.as_str()).topics([args.place.topic.as_str()]);
    let mut consumer =
        builder.start_from(StartFrom::Earliest).build().await.map_err(|error| failed(&error))?;
    let clock = SteadyClock::start();
    let mut seen = Seen::default();
    let mut start = None;
    while seen.records < args.count {
        let Ok(next) = tokio::time::timeout(SILENCE, consumer.recv_batch()).await else { break };
        match next {
            Some(Ok(records)) => {
                start.get_or_insert_with(|| Mark::new(clock.now_ns()));
                seen.look_at(&records, args.count, shared.typed);
                consumer.ack_batch(&records);
            }
            Some(Err(error)) if error.is_fatal() => return Err(failed(&error)),
            Some(Err(error)) => {
                seen.errors += 1;
                note(format_args!("warning: {}", chain(&error)));
            }
            None => break,
        }
    }
    let end = Mark::new(clock.now_ns());
    let _commit_is_not_measured = consumer.close_within(CLOSE).await;
    Ok(Report {
        mode: "consume",
        records: seen.records,
        start: start.unwrap_or(end),
        end,
        errors: seen.errors + args.count.saturating_sub(seen.records),
        settings: json!({ "typed": shared.typed, "isolation": "read_committed" }),
        more: json!({ "sum": seen.sum }),
    })
}

#[derive(Debug, Default)]
struct Seen {
    records: u64,
    /// The lengths and first bytes of all values, and numbers out of the events if they are parsed.
    sum: u64,
    errors: u64,
    /// Whose events these are, by the first; only if they are parsed.
    topic: Option<Topic>,
}

impl Seen {
    fn look_at(&mut self, records: &Records, count_max: u64, typed: bool) {
        for record in records {
            if self.records == count_max {
                return;
            }
            let value = record.value().unwrap_or_default();
            let first = value.first().copied().map_or(0, u64::from);
            self.sum += u64::try_from(value.len()).unwrap_or(0) + first;
            self.records += 1;
            if typed {
                match self.read(value) {
                    Some(sum) => self.sum = self.sum.wrapping_add(sum),
                    None => self.errors += 1,
                }
            }
        }
    }

    /// A sum over what is in the fields that an event of the topic has; `None` if this is no such event.
    fn read(&mut self, json: &[u8]) -> Option<u64> {
        let topic = *self.topic.get_or_insert_with(|| match decode::<SessionEvent>(json) {
            Ok(_) => Topic::Events,
            Err(_) => Topic::Progress,
        });
        match topic {
            Topic::Events => {
                let event = decode::<SessionEvent>(json).ok()?;
                Some(of_envelope(&event).wrapping_add(of_session(event.body())))
            }
            Topic::Progress => {
                let event = decode::<ProgressUpdate>(json).ok()?;
                let update = event.body();
                let seconds = update.elapsed.map_or(0, u64::from) ^ update.remaining.map_or(0, u64::from);
                let step = update.current_step.as_deref().map_or(0, len) + len(update.status.as_str());
                let percents =
                    update.progress.get() ^ update.step_progress.map_or(0, |percent| percent.get());
                Some(of_envelope(&event).wrapping_add(seconds ^ step ^ u64::from(percents)))
            }
        }
    }
}

fn of_envelope<B: Body>(event: &EventRef<'_, B>) -> u64 {
    let envelope = event.envelope();
    let (high, low) = event.event_id().as_u64_pair();
    let (session, _) = event.session_id().as_u64_pair();
    let time = envelope.timestamp.unix_millis().unsigned_abs();
    high ^ low ^ session ^ time ^ envelope.version.major ^ len(&envelope.source)
}

fn of_session(event: &SessionEventRef<'_>) -> u64 {
    match event {
        SessionEventRef::Start(start) => {
            let quantities =
                start.materials.iter().flatten().map(|material| u64::from(material.quantity.get()));
            let (recipe, player) = (start.recipe_id.as_u64_pair().0, start.player_id.as_u64_pair().0);
            let rest =
                start.zone_id.as_deref().map_or(0, len) ^ start.location.map_or(0, |at| at.x().to_bits());
            quantities.sum::<u64>() ^ recipe ^ player ^ rest ^ start.estimated_duration.map_or(0, u64::from)
        }
        SessionEventRef::Complete(complete) => {
            let quality = complete.quality.map_or(0, |quality| len(quality.as_str()));
            let result = complete.result_item_id.as_u64_pair().0;
            result ^ complete.duration.get() ^ quality ^ complete.experience_gained.unwrap_or(0)
        }
        SessionEventRef::Fail(fail) => len(fail.failure_reason.as_str()) ^ fail.duration.map_or(0, u64::from),
        SessionEventRef::Cancel(cancel) => {
            len(cancel.cancel_reason.as_str()) ^ cancel.duration.map_or(0, u64::from)
        }
        SessionEventRef::Pause(pause) => len(pause.pause_reason.as_str()),
        SessionEventRef::Resume(resume) => resume.remaining_duration.map_or(0, u64::from),
        _ => 0,
    }
}

fn len(text: &str) -> u64 {
    text.len().try_into().unwrap_or(u64::MAX)
}

/// After so long without a record there are no more.
const SILENCE: Duration = Duration::from_secs(30);
const CLOSE: Duration = Duration::from_secs(5);
