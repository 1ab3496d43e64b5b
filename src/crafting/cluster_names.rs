//! What the topics and groups are called on a cluster: the contract's names, perhaps with a suffix, or others.

use super::topic::{Group, Topic};
use std::sync::Arc;

/// The names in use on one cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    suffix: Option<Arc<str>>,
    events: Option<Arc<str>>,
    progress: Option<Arc<str>>,
}

impl Names {
    pub(crate) fn with_suffix(mut self, suffix: &str) -> Self {
        self.suffix = Some(suffix.into());
        self
    }

    pub(crate) fn with_topic(mut self, topic: Topic, name: &str) -> Self {
        match topic {
            Topic::Events => self.events = Some(name.into()),
            Topic::Progress => self.progress = Some(name.into()),
        }
        self
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        let other = match topic {
            Topic::Events => &self.events,
            Topic::Progress => &self.progress,
        };
        other.as_deref().map_or_else(|| self.suffixed(topic.name()), str::to_owned)
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
        let trial = Names::default().with_suffix(".demo-1");
        assert_eq!(trial.topic(Topic::Progress), "game.crafting.progress.demo-1");
        assert_eq!(trial.group(Group::CraftingProcessor), "crafting_processor.demo-1");
    }

    #[test]
    fn a_topic_that_has_a_name_of_its_own_gets_no_suffix() {
        let trial = Names::default().with_topic(Topic::Events, "trial").with_suffix(".demo-1");
        assert_eq!(trial.topic(Topic::Events), "trial");
        assert_eq!(trial.topic(Topic::Progress), "game.crafting.progress.demo-1");
        assert_eq!(trial.group(Group::CraftingProcessor), "crafting_processor.demo-1");
    }
}
