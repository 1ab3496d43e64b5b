//! Task: `perf`: measures the client by the command line that clients are compared by, and prints one line of JSON.

mod args;
mod consume;
mod latency;
mod load;
mod payloads;
mod produce;
mod reading;
mod report;
mod schedule;
mod usage;

pub(crate) use args::PerfArgs;

use args::{Mode, Place, Shared};
use craftwire::{
    ConnectError,
    crafting::{Crafting, Topic},
};
use report::Report;
use serde_json::Value;
use std::time::Duration;
use tokio::{runtime::Builder, time::timeout};

use crate::{
    exit::{Exit, Failure},
    output::{Data, DataError},
};

/// The runtime of a run.
pub(crate) fn runtime(args: &PerfArgs) -> Builder {
    match args.threads() {
        0 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: PerfArgs, connect_timeout: Duration) -> Result<Exit, Failure> {
    // A task like any other, not the main thread, which a runtime of several threads wakes by a detour.
    let measured = tokio::spawn(measure(args, connect_timeout));
    let report = match timeout(LONGEST, measured).await {
        Ok(Ok(report)) => report?,
        Ok(Err(error)) => return Err(Failure::because(Exit::Failed, "measuring", &error)),
        Err(_) => return Err(Failure::new(Exit::Failed, format!("not over within {LONGEST:?}"))),
    };
    print(&report).map_or_else(DataError::end, |()| Ok(Exit::Done))
}

async fn measure(args: PerfArgs, connect_timeout: Duration) -> Result<Report, Failure> {
    let threads = args.threads();
    let PerfArgs { mode, shared } = args;
    let mut report = measure_mode(mode, shared, connect_timeout).await?;
    if let Value::Object(settings) = &mut report.settings {
        settings.insert("threads".to_owned(), threads.into());
    }
    Ok(report)
}

async fn measure_mode(mode: Mode, shared: Shared, connect_timeout: Duration) -> Result<Report, Failure> {
    match mode {
        Mode::Produce(args) => Box::pin(produce::run(args, shared, connect_timeout)).await,
        Mode::Latency(args) => Box::pin(latency::run(args, shared, connect_timeout)).await,
        Mode::Consume(args) => Box::pin(consume::run(args, shared, connect_timeout)).await,
    }
}

/// Connects, with both crafting topics at the one that is measured.
async fn connect(place: &Place, timeout: Duration) -> Result<Crafting, Failure> {
    let builder = Crafting::builder(&place.brokers.brokers)
        .topic_name(Topic::Events, &place.topic)
        .topic_name(Topic::Progress, &place.topic)
        .client(|client| client.client_id("craftwire-perf").connect_timeout(timeout));
    builder.build().await.map_err(|error| match &error {
        ConnectError::Config(_) => Failure::because(Exit::Usage, "connecting", &error),
        _ => Failure::because(Exit::Unreachable, "connecting", &error),
    })
}

fn print(report: &Report) -> Result<(), DataError> {
    let mut out = Data::stdout();
    out.line(report.json().to_string().as_bytes())?;
    out.flush()
}

/// No run outlives this, whatever the broker does.
const LONGEST: Duration = Duration::from_secs(170);
