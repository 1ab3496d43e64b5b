//! Which protocol a group's member speaks, and who divides the partitions.

/// The protocol by which a consumer is a member of its group.
///
/// Kafka 4 takes members of both into one group, unless its `group.consumer.migration.policy` says otherwise: a group in use
/// goes from one protocol to the other as its members are replaced one by one. Elsewhere all must speak the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// KIP-848 where the brokers have it (Kafka 4.0 and later, unless it is switched off), else the classic one. What
    /// is found when the group is first joined holds as long as the consumer lives. The default.
    #[default]
    Auto,
    /// KIP-848: the broker divides the partitions. Where it is not there the consumer ends with an error.
    Consumer,
    /// JoinGroup and SyncGroup, as before Kafka 4.0: one of the members divides the partitions, as an [`Assignor`] says.
    Classic,
}

/// How the partitions are divided under [`GroupProtocol::Classic`]. All members of a group must have one in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Assignor {
    /// Evenly, with as few partitions moved as that allows; members keep on reading what they keep (KIP-429). The
    /// default.
    #[default]
    CooperativeSticky,
    /// By topic: each member gets neighbouring partitions, the first members one more where it does not come out
    /// even. Every change of the group stops all members for a moment.
    Range,
    /// All partitions of all topics in turn. Every change of the group stops all members for a moment.
    RoundRobin,
}

impl Assignor {
    /// Kafka's name of it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }
}
