//! What the measured clients share: the command line, the payloads, the three modes, and the line of JSON.
//!
//! A client implements [`Client`] in some eighty lines; [`main`] does the rest, the same for all.

mod options;
mod payloads;
mod report;
mod run;

pub use options::{Options, Settings};

use bytes::Bytes;
use std::{error::Error, process::ExitCode, time::Duration};

/// Whatever goes wrong ends the run.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A client that is measured.
pub trait Client: 'static {
    const NAME: &'static str;
    const VERSION: &'static str;
    type Producer: Producer;
    type Consumer: Consumer;

    /// Workers of the runtime, where `--threads` says nothing: what the client is best with.
    fn threads(_options: &Options) -> usize {
        2
    }

    /// What the client is told, in its own words; all of it is in the report.
    fn producer_settings(options: &Options) -> Settings;

    fn consumer_settings(options: &Options) -> Settings;

    /// Starts a producer that knows the topic's partitions.
    fn producer(
        options: &Options,
        settings: &Settings,
    ) -> impl Future<Output = Result<Self::Producer>> + Send;

    /// Starts a member of the group, subscribed to the topic.
    fn consumer(
        options: &Options,
        settings: &Settings,
    ) -> impl Future<Output = Result<Self::Consumer>> + Send;
}

pub trait Producer: Send + 'static {
    /// Hands a record over, waiting for room. What becomes of it is counted.
    fn send(&mut self, key: &Bytes, value: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Waits until every record has its outcome; returns how many failed since the last call.
    fn finish(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

pub trait Consumer: Send + 'static {
    /// Whether the group has given it partitions.
    fn is_assigned(&mut self) -> impl Future<Output = bool> + Send;

    /// Waits for records, a while at most, and shows each value.
    fn poll(&mut self, see: impl FnMut(&[u8]) + Send) -> impl Future<Output = Result<()>> + Send;
}

/// The program of a client.
pub fn main<C: Client>() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\nusage: {} produce|consume|latency --brokers B --topic T …", C::NAME);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.unwrap_or_else(|| C::threads(&options)).max(1))
        .enable_all()
        .build()
        .expect("a runtime");
    let measured =
        runtime.block_on(async { tokio::time::timeout(LONGEST, tokio::spawn(run::run::<C>(options))).await });
    // A client may hold its threads for ever.
    runtime.shutdown_background();
    match measured {
        Ok(Ok(Ok(line))) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Ok(Ok(Err(error))) => failed(&error.to_string()),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(_) => failed("not over within 170 s"),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// No run outlives this.
const LONGEST: Duration = Duration::from_secs(170);
