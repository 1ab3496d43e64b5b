//! A real Kafka to try things on, until Ctrl-C:
//! `cargo run -p craftwire-test-support --bin kafka -- [--nodes 1|3] [--port 9092] [--version 4.1|3.9] [--bench]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program a person starts by hand")]

use std::{path::PathBuf, process::ExitCode};

use craftwire_test_support::{KafkaCluster, Profile, Version, available, proxy::FaultProxy};

const USAGE: &str = "kafka [--nodes 1|3] [--port 9092] [--version 4.1|3.9] [--bench] [--set key=value]… [--record-answers folder]
Starts Apache Kafka on 127.0.0.1 and keeps it up until Ctrl-C. Its data goes with it.
  --nodes    how many (1)
  --port     the first node's port, the others follow (9092); 0 for free ones
  --version  4.1.1 or 3.9.1 (4.1)
  --bench    memory and settings for measuring, not for quick tests
  --set      a line of server.properties
  --record-answers  one node behind a proxy that writes every answer to this folder, as inputs of the fuzz target response
  --print-pids  also print the nodes' process ids and directory";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut cluster = KafkaCluster::builder().port(9092);
    let mut print_pids = false;
    let mut record_answers = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_default();
        cluster = match arg.as_str() {
            "--bench" => cluster.profile(Profile::Bench),
            "--nodes" => match value().as_str() {
                "1" => cluster.nodes(1),
                "3" => cluster.nodes(3),
                other => return usage(&format!("--nodes {other}: 1 or 3")),
            },
            "--port" => match value().parse() {
                Ok(0) => cluster.free_ports(),
                Ok(port) => cluster.port(port),
                Err(error) => return usage(&format!("--port: {error}")),
            },
            "--version" => match value().as_str() {
                "4.1" => cluster.version(Version::V4_1),
                "3.9" => cluster.version(Version::V3_9),
                other => return usage(&format!("--version {other}: 4.1 or 3.9")),
            },
            "--set" => match value().split_once('=') {
                Some((key, value)) => cluster.set(key, value),
                None => return usage("--set: key=value"),
            },
            "--record-answers" => {
                record_answers = Some(PathBuf::from(value()));
                cluster
            }
            "--print-pids" => {
                print_pids = true;
                cluster
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => return usage(other),
        };
    }
    if let Err(skip) = available() {
        eprintln!("{skip}");
        return ExitCode::FAILURE;
    }
    eprintln!("starting Kafka…");
    if let Some(folder) = record_answers {
        let (proxy, _kafka) = FaultProxy::in_front_of(cluster, 1, 0).await;
        proxy.record_answers(&folder);
        println!("{}", proxy.bootstrap());
        let _ = tokio::signal::ctrl_c().await;
        return ExitCode::SUCCESS;
    }
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let started = tokio::select! {
        started = cluster.try_start() => started,
        // The start goes on in a thread that nothing can stop; the nodes end with the process.
        _ = &mut interrupted => std::process::exit(1),
    };
    match started {
        Ok(cluster) => {
            println!("{}", cluster.bootstrap());
            if print_pids {
                cluster.node_ids().filter_map(|id| cluster.pid(id)).for_each(|pid| println!("pid {pid}"));
                println!("dir {}", cluster.dir().display());
            }
            eprintln!("Kafka {} is up; Ctrl-C ends it.", cluster.version().as_str());
            let _ = interrupted.await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("{wrong}\n{USAGE}");
    ExitCode::from(2)
}
