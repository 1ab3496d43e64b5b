//! Task: `perf consume`: what a topic holds, by a member of a group, from the first record handed over to the last.

use bytes::Bytes;
use craftwire::{
    consumer::{Records, StartFrom},
    crafting::{Body, Parsed, ProgressUpdate, SessionEvent, Topic, parse},
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
    /// The lengths and first bytes of all values.
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
                let json = record.to_owned().value_bytes().unwrap_or_default();
                self.errors += u64::from(!self.parses(json));
            }
        }
    }

    fn parses(&mut self, json: Bytes) -> bool {
        let topic = *self.topic.get_or_insert_with(|| match is_event::<SessionEvent>(json.clone()) {
            true => Topic::Events,
            false => Topic::Progress,
        });
        match topic {
            Topic::Events => is_event::<SessionEvent>(json),
            Topic::Progress => is_event::<ProgressUpdate>(json),
        }
    }
}

fn is_event<B: Body>(json: Bytes) -> bool {
    matches!(parse::<B>(json), Parsed::Event(_))
}

/// After so long without a record there are no more.
const SILENCE: Duration = Duration::from_secs(30);
const CLOSE: Duration = Duration::from_secs(5);
