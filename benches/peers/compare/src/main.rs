//! Runs clients side by side, in turns, on topics of their own, and prints the medians.

mod brokers;
mod options;
mod payloads;
mod plot;
mod table;

use brokers::Cluster;
use options::{Options, USAGE};
use payloads::Kind;
use serde_json::{Value, json};
use std::{
    error::Error,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};
use table::Row;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Produce,
    Consume,
    Latency,
}

struct Scenario {
    name: &'static str,
    mode: Mode,
    kind: Kind,
    /// Of the contract's rate.
    times: u64,
}

const SCENARIOS: [Scenario; 8] = [
    Scenario { name: "produce-events", mode: Mode::Produce, kind: Kind::Events, times: 0 },
    Scenario { name: "produce-progress", mode: Mode::Produce, kind: Kind::Progress, times: 0 },
    Scenario { name: "consume-events", mode: Mode::Consume, kind: Kind::Events, times: 0 },
    Scenario { name: "consume-progress", mode: Mode::Consume, kind: Kind::Progress, times: 0 },
    Scenario { name: "latency-events", mode: Mode::Latency, kind: Kind::Events, times: 1 },
    Scenario { name: "latency-progress", mode: Mode::Latency, kind: Kind::Progress, times: 1 },
    Scenario { name: "latency-events-3x", mode: Mode::Latency, kind: Kind::Events, times: 3 },
    Scenario { name: "latency-progress-3x", mode: Mode::Latency, kind: Kind::Progress, times: 3 },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let all = SCENARIOS.iter().map(|scenario| scenario.name.to_owned()).collect();
    if std::env::args().any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(std::env::args().skip(1), all) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match compare(&options).await {
        Ok(rows) => {
            table::print(&rows);
            if let Some(folder) = &options.plots
                && let Err(error) = plot::write(&rows, folder)
            {
                eprintln!("--plots {}: {error}", folder.display());
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut cluster = Cluster::connect(&options.brokers, &options.broker_pids).await?;
    let mut results = OpenOptions::new().create(true).append(true).open(&options.results)?;
    eprintln!("every run goes to {}", options.results.display());
    let mut clients: Vec<(String, Vec<String>)> = Vec::new();
    for name in &options.clients {
        clients.push((name.clone(), command_of(name)?));
    }
    for (name, command) in &options.others {
        clients.push((name.clone(), command.split_whitespace().map(str::to_owned).collect()));
    }
    let mut rows = Vec::new();
    for name in &options.scenarios {
        let known = SCENARIOS.iter().find(|scenario| scenario.name == name);
        let scenario = known.ok_or_else(|| format!("--scenarios {name}: not known"))?;
        let payloads = std::env::current_exe()?.with_file_name(format!("{}.jsonl", scenario.kind.name()));
        payloads::write(scenario.kind, &payloads)?;
        let mut bench = Bench { options, cluster: &mut cluster, scenario, payloads: &payloads };
        let filled = match scenario.mode {
            Mode::Consume => Some(bench.fill().await?),
            _ => None,
        };
        for round in 0..options.rounds {
            for (client, command) in &clients {
                let line = bench.run(client, command, filled.as_deref()).await?;
                let told = line.as_ref().map_or_else(|| "failed".to_owned(), Value::to_string);
                eprintln!("{name} round {round} {client}: {}", told.get(..160).unwrap_or(&told));
                let kept = json!({ "scenario": name, "round": round, "name": client, "result": line });
                writeln!(results, "{kept}")?;
                rows.push(Row { scenario: name.clone(), client: client.clone(), line });
            }
        }
        if let Some(topic) = filled {
            cluster.delete(&topic).await?;
        }
    }
    Ok(rows)
}

/// What `run` built.
fn command_of(client: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let (path, mode) = if client == "craftwire" {
        let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", ".."].iter().collect();
        (root.join("target/release/craftwire"), Some("perf"))
    } else {
        (std::env::current_exe()?.with_file_name(client), None)
    };
    if !path.exists() {
        return Err(format!("{client}: {} is not there", path.display()).into());
    }
    Ok([path.display().to_string()].into_iter().chain(mode.map(str::to_owned)).collect())
}

struct Bench<'a> {
    options: &'a Options,
    cluster: &'a mut Cluster,
    scenario: &'a Scenario,
    payloads: &'a Path,
}

impl Bench<'_> {
    /// A topic with what is to be read, the same for all.
    async fn fill(&mut self) -> Result<String, Box<dyn Error>> {
        let topic = self.cluster.create(self.scenario.kind).await?;
        let command = command_of("craftwire")?;
        let mut arguments = self.produce(&topic, 0);
        if let Some(bytes) = self.options.fill_batch_bytes {
            arguments.extend(["--batch-bytes".to_owned(), bytes.to_string()]);
        }
        let filled = call(&command, &arguments).await?;
        if filled.is_none_or(|line| line["errors"] != 0) {
            return Err(format!("{topic} was not filled").into());
        }
        Ok(topic)
    }

    /// The client's line of JSON, with the brokers' CPU; `None` if it failed.
    async fn run(
        &mut self,
        client: &str,
        command: &[String],
        filled: Option<&str>,
    ) -> Result<Option<Value>, Box<dyn Error>> {
        let own = match filled {
            Some(_) => None,
            None => Some(self.cluster.create(self.scenario.kind).await?),
        };
        let topic = filled.or(own.as_deref()).unwrap_or_default();
        let options = self.options;
        let arguments = match self.scenario.mode {
            Mode::Produce => self.produce(topic, options.warmup),
            Mode::Consume => {
                let own = [("count", options.count.to_string()), ("group", self.cluster.fresh("group"))];
                self.arguments("consume", topic, &own)
            }
            Mode::Latency => self.latency(topic, options.latency_linger_ms_of(client)),
        };
        sleep(Duration::from_secs(1)).await;
        let before = self.cluster.cpu_s();
        let mut line = call(command, &arguments).await?;
        let used = self.cluster.cpu_s().zip(before).map(|(now, before)| now - before);
        if let (Some(Value::Object(line)), Some(used)) = (&mut line, used) {
            // Of the whole run, so its warm-up and its start belong to it too.
            let records = self.records_in_all();
            line.insert("broker_cpu_s_per_million".to_owned(), json!(used * 1e6 / records as f64));
        }
        if let Some(topic) = own {
            self.cluster.delete(&topic).await?;
        }
        Ok(line)
    }

    fn records_in_all(&self) -> u64 {
        let options = self.options;
        match self.scenario.mode {
            Mode::Produce => options.count + options.warmup,
            Mode::Consume => options.count,
            Mode::Latency => self.rate() * (options.secs + options.warmup_secs),
        }
    }

    fn rate(&self) -> u64 {
        self.scenario.times * if self.scenario.kind == Kind::Events { 5_000 } else { 10_000 }
    }

    fn produce(&self, topic: &str, warmup: u64) -> Vec<String> {
        let options = self.options;
        let own = [("count", options.count.to_string()), ("warmup", warmup.to_string())];
        [self.arguments("produce", topic, &own), self.load(options.linger_ms)].concat()
    }

    fn latency(&mut self, topic: &str, linger_ms: u64) -> Vec<String> {
        let options = self.options;
        let own = [
            ("rate", self.rate().to_string()),
            ("secs", options.secs.to_string()),
            ("warmup-secs", options.warmup_secs.to_string()),
            ("group", self.cluster.fresh("group")),
        ];
        [self.arguments("latency", topic, &own), self.load(linger_ms)].concat()
    }

    fn load(&self, linger_ms: u64) -> Vec<String> {
        let codec = if self.scenario.kind == Kind::Events { "snappy" } else { "lz4" };
        flags(&[
            ("payloads", self.payloads.display().to_string()),
            ("compression", codec.to_owned()),
            ("linger-ms", linger_ms.to_string()),
        ])
    }

    fn arguments(&self, mode: &str, topic: &str, own: &[(&str, String)]) -> Vec<String> {
        let place = [("brokers", self.options.brokers.clone()), ("topic", topic.to_owned())];
        [vec![mode.to_owned()], flags(&place), flags(own)].concat()
    }
}

fn flags(named: &[(&str, String)]) -> Vec<String> {
    named.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
}

/// The one line that the client prints; `None` if it fails, or is not over in time.
async fn call(command: &[String], arguments: &[String]) -> Result<Option<Value>, Box<dyn Error>> {
    let (program, before) = command.split_first().ok_or("an empty command")?;
    let mut child = Command::new(program);
    child.args(before).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let Ok(output) = timeout(LONGEST, child.output()).await else { return Ok(None) };
    let output = output?;
    let line = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success().then(|| serde_json::from_str(line.trim()).ok()).flatten())
}

/// Every client ends itself earlier.
const LONGEST: Duration = Duration::from_secs(200);
