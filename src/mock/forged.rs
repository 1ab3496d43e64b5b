//! Leaders that brokers tell of although another leads by now: metadata that is late.
//!
//! Invariant: each forgery is told as often as it says, then the truth.

/// What one partition is told to be, for so many answers.
#[derive(Debug, Clone)]
pub(crate) struct Forgery {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) answers: u64,
}

/// All forgeries; of those for one partition the oldest is told first.
#[derive(Debug, Default)]
pub(crate) struct Forgeries {
    pending: Vec<Forgery>,
    told: u64,
}

impl Forgeries {
    pub(crate) fn add(&mut self, forgery: Forgery) {
        self.pending.push(forgery);
    }

    /// The leader and the epoch to tell of a partition in place of the true ones.
    pub(crate) fn judge(&mut self, topic: &str, partition: i32) -> Option<(Option<i32>, i32)> {
        let fits = |one: &Forgery| one.topic == topic && one.partition == partition && one.answers > 0;
        let found = self.pending.iter_mut().find(|one| fits(one))?;
        found.answers -= 1;
        self.told += 1;
        let told = (found.leader, found.leader_epoch);
        self.pending.retain(|one| one.answers > 0);
        Some(told)
    }

    /// How often something was told that is not so.
    pub(crate) const fn told(&self) -> u64 {
        self.told
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_as_often_as_it_says() {
        let mut forgeries = Forgeries::default();
        let forgery =
            Forgery { topic: "t".into(), partition: 1, leader: Some(2), leader_epoch: 5, answers: 2 };
        forgeries.add(forgery.clone());
        forgeries.add(Forgery { leader: None, answers: 1, ..forgery });
        assert_eq!(forgeries.judge("t", 0), None);
        assert_eq!(forgeries.judge("t", 1), Some((Some(2), 5)));
        assert_eq!(forgeries.judge("t", 1), Some((Some(2), 5)));
        assert_eq!(forgeries.judge("t", 1), Some((None, 5)));
        assert_eq!(forgeries.judge("t", 1), None);
        assert_eq!(forgeries.told(), 3);
    }
}
