//! The command line of the comparison.

use std::{error::Error, path::PathBuf, time::SystemTime};

pub const USAGE: &str = "run [OPTIONS]
  --brokers B              bootstrap servers (127.0.0.1:9092)
  --clients A,B            of craftwire,rdkafka,krafka,kacrab,confluent-kafka (all)
  --client NAME=COMMAND    one more that understands the same command line; may be repeated
  --scenarios A,B          of produce-events,produce-progress,consume-events,consume-progress,
                           latency-events,latency-progress, and latency-…-3x (all)
  --rounds N               clients take turns in each (3)
  --count N, --warmup N    records of produce and consume (1000000, 200000)
  --fill-batch-bytes N     of the topics that are consumed: the most bytes of a batch (the producer's own)
  --secs N, --warmup-secs N  of latency (20, 5)
  --linger-ms N            of produce (5)
  --latency-linger-ms N    of latency (0)
  --latency-linger NAME=N  of latency, for one client; may be repeated
  --broker-pid N           a broker's process on this machine, to count its CPU; may be repeated
  --results FILE           every run as a line of JSON (beside the program)
  --plots FOLDER           latency percentiles as curves, an SVG a scenario
  --quick                  one short round, to see that all works";

#[derive(Debug)]
pub struct Options {
    pub brokers: String,
    pub clients: Vec<String>,
    /// Name and command of clients from elsewhere.
    pub others: Vec<(String, String)>,
    pub scenarios: Vec<String>,
    pub rounds: usize,
    pub count: u64,
    pub warmup: u64,
    pub fill_batch_bytes: Option<u32>,
    pub secs: u64,
    pub warmup_secs: u64,
    pub linger_ms: u64,
    pub latency_linger_ms: u64,
    pub latency_lingers: Vec<(String, u64)>,
    pub broker_pids: Vec<u32>,
    pub results: PathBuf,
    pub plots: Option<PathBuf>,
}

impl Options {
    pub fn read(
        arguments: impl IntoIterator<Item = String>,
        scenarios: Vec<String>,
    ) -> Result<Self, Box<dyn Error>> {
        let list = |text: &str| text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let mut options = Self {
            brokers: "127.0.0.1:9092".to_owned(),
            clients: list("craftwire,rdkafka,krafka,kacrab,confluent-kafka"),
            others: Vec::new(),
            scenarios,
            rounds: 3,
            count: 1_000_000,
            warmup: 200_000,
            fill_batch_bytes: None,
            secs: 20,
            warmup_secs: 5,
            linger_ms: 5,
            latency_linger_ms: 0,
            latency_lingers: Vec::new(),
            broker_pids: Vec::new(),
            results: std::env::current_exe()?.with_file_name(format!("results-{now}.jsonl")),
            plots: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            if flag == "--quick" {
                options =
                    Self { rounds: 1, count: 200_000, warmup: 50_000, secs: 5, warmup_secs: 2, ..options };
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{flag}: not known, or without a value"))?;
            match flag.as_str() {
                "--brokers" => options.brokers = value,
                "--clients" => options.clients = list(&value),
                "--client" => options.others.push(pair(&flag, &value)?),
                "--scenarios" => options.scenarios = list(&value),
                "--rounds" => options.rounds = value.parse()?,
                "--count" => options.count = value.parse()?,
                "--warmup" => options.warmup = value.parse()?,
                "--fill-batch-bytes" => options.fill_batch_bytes = Some(value.parse()?),
                "--secs" => options.secs = value.parse()?,
                "--warmup-secs" => options.warmup_secs = value.parse()?,
                "--linger-ms" => options.linger_ms = value.parse()?,
                "--latency-linger-ms" => options.latency_linger_ms = value.parse()?,
                "--latency-linger" => {
                    let (name, ms) = pair(&flag, &value)?;
                    options.latency_lingers.push((name, ms.parse()?));
                }
                "--broker-pid" => options.broker_pids.push(value.parse()?),
                "--results" => options.results = value.into(),
                "--plots" => options.plots = Some(value.into()),
                _ => return Err(format!("{flag}: not known").into()),
            }
        }
        Ok(options)
    }

    pub fn latency_linger_ms_of(&self, client: &str) -> u64 {
        let own = self.latency_lingers.iter().find(|(name, _)| name == client);
        own.map_or(self.latency_linger_ms, |(_, ms)| *ms)
    }
}

fn pair(flag: &str, text: &str) -> Result<(String, String), Box<dyn Error>> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{flag} {text}: no ="))?;
    Ok((name.to_owned(), value.to_owned()))
}
