//! Task: the program `craftwire`: reads its arguments, runs one command, and ends with its exit code.

mod args;
mod clock;
mod connect;
mod demo;
mod exit;
mod lines;
mod log;
mod ndjson;
mod output;
mod perf;
mod publish;
mod signals;
mod span;
mod start;
mod tail;
mod topics;
mod window;

use clap::Parser;
use std::process::ExitCode;
use tokio::runtime::Builder;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Failure},
    output::note,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::show(cli.verbose);
    let runtime = match runtime(&cli.command).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(Failure::because(Exit::Failed, "starting the runtime", &error));
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(run(cli));
    // A read of standard input cannot be called off, and may never end: nobody waits for it.
    runtime.shutdown_background();
    ended
        .unwrap_or_else(|failure| {
            note(&failure);
            failure.exit
        })
        .into()
}

fn runtime(command: &Command) -> Builder {
    match command {
        Command::Perf(args) => perf::runtime(args),
        _ => Builder::new_multi_thread(),
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let timeout = cli.connect_timeout;
    match cli.command {
        Command::Demo(args) => Box::pin(demo::run(args, timeout)).await,
        Command::Topics(command) => Box::pin(topics::run(command, timeout)).await,
        Command::Publish(args) => Box::pin(publish::run(args, timeout)).await,
        Command::Tail(args) => Box::pin(tail::run(args, timeout)).await,
        Command::Perf(args) => Box::pin(perf::run(args, timeout)).await,
    }
}
