//! Task: `perf latency`: records at a rate, from when each is due until a consumer of this process has it.
//!
//! The schedule waits for nobody, so a stall anywhere, also of the sender, is in every record that it made late. A
//! thread of its own keeps the pace, since the runtime's timer counts in whole milliseconds.

use craftwire::crafting::{ProgressUpdate, SessionEvent, Topic};
use serde_json::json;
use std::{sync::atomic::Ordering::Relaxed, sync::mpsc, thread, time::Duration};
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

use super::{
    args::{LatencyArgs, ProfileName, Shared},
    connect,
    load::{Load, Raw, Settings, Typed, topic_of},
    payloads,
    produce::Answers,
    reading::{self, Reading, Source},
    report::{Report, latency_members},
    schedule::Schedule,
    usage::Mark,
};
use crate::{
    clock::SteadyClock,
    exit::{Exit, Failure},
};

/// Runs the mode.
pub(crate) async fn run(args: LatencyArgs, shared: Shared, timeout: Duration) -> Result<Report, Failure> {
    let payloads = payloads::load(&args.load.payloads)?;
    if !shared.typed && payloads.iter().any(|payload| payloads::due_ns(&payload.value).is_none()) {
        let message = "--payloads: a line does not begin with {\"t\":\"0000000000000000000\"";
        return Err(Failure::new(Exit::Usage, message));
    }
    let settings = Settings::new(&args.load, &shared, ProfileName::paced(args.load.compression));
    let crafting = connect(&args.place, timeout).await?;
    let group = args.group.as_str();
    let mut report = match (shared.typed, topic_of(&payloads)) {
        (false, _) => {
            let source = reading::raw(&crafting, &args.place, group).await?;
            measure(source, Raw::start(&crafting, &args.place, payloads, settings).await?, &args).await?
        }
        (true, Topic::Events) => {
            let source = reading::typed::<SessionEvent>(&crafting, group).await?;
            measure(source, Typed::<SessionEvent>::start(&crafting, &payloads, settings).await?, &args)
                .await?
        }
        (true, Topic::Progress) => {
            let source = reading::typed::<ProgressUpdate>(&crafting, group).await?;
            measure(source, Typed::<ProgressUpdate>::start(&crafting, &payloads, settings).await?, &args)
                .await?
        }
    };
    report.settings =
        json!({ "producer": settings.json(&shared), "consumer": { "isolation": "read_committed" } });
    Ok(report)
}

async fn measure<S: Source, L: Load>(source: S, load: L, args: &LatencyArgs) -> Result<Report, Failure> {
    let clock = SteadyClock::start();
    let warm = args.rate * args.warmup_secs;
    let expected = args.rate * args.secs;
    let schedule = Schedule { start_ns: clock.now_ns() + LEAD_NS, rate: args.rate, total: warm + expected };
    let from_ns = schedule.due_ns(warm);
    let reading = Reading::start(source, clock, from_ns, expected);
    let pacer = Pacer { load, schedule, clock, warm };
    let (sent, sending) = oneshot::channel();
    // What a thread has used is lost when it ends, so it stays until all is measured.
    let (release, released) = mpsc::channel::<()>();
    let handle = Handle::current();
    let pacing = thread::Builder::new().name("pacer".to_owned()).spawn(move || {
        let _ended_with_the_run = sent.send(pacer.run(&handle));
        let _released = released.recv();
    });
    pacing.map_err(|error| Failure::because(Exit::Failed, "starting a thread", &error))?;
    let Sent { load, mut answers, start, requests } =
        sending.await.map_err(|error| Failure::because(Exit::Failed, "sending", &error))?;

    for _ in 0..LOST_MS {
        if reading.received.load(Relaxed) >= expected {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let end = Mark::new(clock.now_ns());
    let requests = load.requests().saturating_sub(requests);
    load.close(CLOSE).await;
    answers.take_all();
    let mut seen = reading.stop().await?;
    drop(release);
    let span_ns = seen.last_ns.saturating_sub(from_ns);
    Ok(Report {
        mode: "latency",
        records: u64::try_from(seen.latencies_ns.len()).unwrap_or(0),
        start,
        end,
        errors: answers.errors + seen.errors,
        settings: json!({}),
        more: latency_members(&mut seen.latencies_ns, expected, span_ns, requests),
    })
}

/// Sends what has become due.
struct Pacer<L> {
    load: L,
    schedule: Schedule,
    clock: SteadyClock,
    /// So many do not count.
    warm: u64,
}

struct Sent<L: Load> {
    load: L,
    answers: Answers<L::Answer>,
    /// At the first one that counts.
    start: Mark,
    /// How many requests had gone out then.
    requests: u64,
}

impl<L: Load> Pacer<L> {
    fn run(self, handle: &Handle) -> Sent<L> {
        let Self { load, schedule, clock, warm } = self;
        let mut answers = Answers::default();
        let mut start = Mark::default();
        let mut requests = 0;
        let mut turn = (0..load.len()).cycle();
        let mut number = 0;
        while number < schedule.total {
            let looked_ns = clock.now_ns();
            while number < schedule.total && schedule.due_ns(number) <= looked_ns {
                if number == warm {
                    answers.errors = 0;
                    requests = load.requests();
                    start = Mark::new(clock.now_ns());
                }
                let due_ns = schedule.due_ns(number);
                match handle.block_on(load.send(turn.next().unwrap_or(0), Some(due_ns))) {
                    Ok(answer) => answers.push(answer),
                    Err(error) => answers.failed(&error),
                }
                number += 1;
            }
            answers.take_ready();
            pause(schedule.wait(looked_ns, clock.now_ns()));
        }
        Sent { load, answers, start, requests }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, of no runtime")]
fn pause(wait: Duration) {
    if !wait.is_zero() {
        thread::sleep(wait);
    }
}

/// From the making of the schedule to the first record.
const LEAD_NS: u64 = 200_000_000;
/// What has not come so long after the last was sent is lost.
const LOST_MS: u32 = 5_000;
const CLOSE: Duration = Duration::from_secs(5);
