//! Task: `topics ensure` and `topics describe`.

mod report;

use std::time::Duration;

use crate::{
    args::TopicsCommand,
    connect::connect,
    exit::{Exit, Failure},
    output::Data,
};

/// Runs the command.
pub(crate) async fn run(command: TopicsCommand, timeout: Duration) -> Result<Exit, Failure> {
    let (common, replication, ensures) = match command {
        TopicsCommand::Ensure { common, replication } => (common, replication, true),
        TopicsCommand::Describe { common, replication } => (common, replication, false),
    };
    let crafting = connect(&common.brokers.brokers, timeout, "").await?;
    let mut topics = crafting.topics();
    if let Some(replication) = replication {
        topics = topics.replication(replication);
    }
    let found = if ensures { topics.ensure().await } else { topics.describe().await };
    let found = found.map_err(|error| Failure::because(Exit::Failed, "looking after the topics", &error))?;

    let mut out = Data::stdout();
    let text = if common.json { format!("{}\n", report::json(&found)) } else { report::tables(&found) };
    match out.text(&text).and_then(|()| out.flush()) {
        Ok(()) if report::topics_differ(&found) => Ok(Exit::Partly),
        Ok(()) => Ok(Exit::Done),
        Err(error) => error.end(),
    }
}
