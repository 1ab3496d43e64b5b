//! Task: what the demo runs on: a mock inside the program, or somebody's Kafka.

use craftwire::{
    crafting::{Crafting, Group, Topic},
    mock::MockCluster,
};

use super::ids::Run;
use crate::{
    args::DemoArgs,
    exit::{Exit, Failure},
    output::note,
};

/// Where the demo runs, and under which names.
#[derive(Debug)]
pub(crate) struct Ground {
    bootstrap: String,
    suffix: String,
    /// Keeps it running.
    mock: Option<MockCluster>,
}

impl Ground {
    /// A mock unless there are brokers; names of the run's own on them unless they are to be shared.
    pub(crate) fn choose(args: &DemoArgs, run: Run) -> Result<Self, Failure> {
        if let Some(brokers) = &args.brokers {
            let suffix = if args.shared { String::new() } else { format!(".demo-{run}") };
            return Ok(Self { bootstrap: brokers.clone(), suffix, mock: None });
        }
        // Members learn of each other by heartbeats: with the contract's 3 s the game would begin late.
        let mock = MockCluster::builder()
            .group_minima(
                Group::CraftingProcessor.heartbeat_interval(),
                Group::CraftingProcessor.session_timeout(),
            )
            .start()
            .map_err(|error| Failure::because(Exit::Failed, "starting the mock", &error))?;
        Ok(Self { bootstrap: mock.bootstrap(), suffix: String::new(), mock: Some(mock) })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(crate) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Whether the topics and groups are this run's alone, to be deleted at its end.
    pub(crate) fn is_own(&self) -> bool {
        !self.suffix.is_empty()
    }

    /// Whether the topics and groups are those that others use too.
    pub(crate) fn is_shared(&self) -> bool {
        self.mock.is_none() && !self.is_own()
    }

    /// For the panel's heading.
    pub(crate) fn label(&self) -> String {
        match self.mock {
            Some(_) => "the mock (no benchmark)".to_owned(),
            None => self.bootstrap.clone(),
        }
    }

    /// Says what it runs on, and how to look at it from outside.
    pub(crate) fn introduce(&self, crafting: &Crafting) {
        let topic = crafting.topic_name(Topic::Events);
        if self.mock.is_some() {
            note(
                "This runs on a mock broker inside this program: it shows what happens and measures nothing that \
                 matters.\nGive it a real Kafka with --brokers HOST:PORT.",
            );
        } else if self.is_own() {
            note(format_args!("The topics and groups end in {} and are deleted at the end.", self.suffix));
        } else {
            note("The real topics and groups are used; what is published stays there.");
        }
        note(format_args!("To look at it: kcat -b {} -t {topic} -C -o end\n", self.bootstrap));
    }
}
