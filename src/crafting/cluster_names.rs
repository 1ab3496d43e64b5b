//! What the topics and groups are called on a cluster: the contract's names, perhaps with a suffix.

use super::topic::{Group, Topic};
use std::sync::Arc;

/// The names in use on one cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    suffix: Option<Arc<str>>,
}

impl Names {
    pub(crate) fn with_suffix(suffix: &str) -> Self {
        Self { suffix: Some(suffix.into()) }
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        self.suffixed(topic.name())
    }

    pub(crate) fn group(&self, group: Group) -> String {
        self.suffixed(group.id())
    }

    fn suffixed(&self, name: &str) -> String {
        format!("{name}{}", self.suffix.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_added_to_all_names() {
        assert_eq!(Names::default().topic(Topic::Events), "game.crafting.events");
        let trial = Names::with_suffix(".demo-1");
        assert_eq!(trial.topic(Topic::Progress), "game.crafting.progress.demo-1");
        assert_eq!(trial.group(Group::CraftingProcessor), "crafting_processor.demo-1");
    }
}
