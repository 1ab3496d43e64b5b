//! What is done to the cluster, and when: all of it from the seed.

use std::{fmt, time::Duration};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    KillLeader,
    FreezeLeader,
    RollingRestart,
    AllDown,
    NewPorts,
    FullDisk,
    MoveLeaders,
    PreferredElection,
    Growth,
    KillMember,
    FreezeMember,
    MemberLeaves,
    LostAcks,
    BlackHole,
    Latency,
    ShortLives,
}

/// In the order of the final table.
pub(crate) const KINDS: [Kind; 16] = [
    Kind::KillLeader,
    Kind::FreezeLeader,
    Kind::RollingRestart,
    Kind::AllDown,
    Kind::NewPorts,
    Kind::FullDisk,
    Kind::MoveLeaders,
    Kind::PreferredElection,
    Kind::Growth,
    Kind::KillMember,
    Kind::FreezeMember,
    Kind::MemberLeaves,
    Kind::LostAcks,
    Kind::BlackHole,
    Kind::Latency,
    Kind::ShortLives,
];

impl Kind {
    /// Whether it needs more than one node.
    const fn needs_three(self) -> bool {
        matches!(self, Self::MoveLeaders | Self::PreferredElection)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillLeader => "SIGKILL of a leader",
            Self::FreezeLeader => "SIGSTOP of a leader",
            Self::RollingRestart => "clean rolling restart",
            Self::AllDown => "all nodes down",
            Self::NewPorts => "all nodes on new ports",
            Self::FullDisk => "disk of a leader full",
            Self::MoveLeaders => "leaders moved every 500 ms",
            Self::PreferredElection => "preferred election",
            Self::Growth => "two partitions more",
            Self::KillMember => "SIGKILL of a member",
            Self::FreezeMember => "SIGSTOP of a member",
            Self::MemberLeaves => "a member leaves, one joins",
            Self::LostAcks => "acks lost on their way",
            Self::BlackHole => "a node silent (black hole)",
            Self::Latency => "latency and jitter",
            Self::ShortLives => "connections of short life",
        })
    }
}

/// One fault as it is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// How long, where that is up to us.
    pub(crate) lasts: Duration,
    /// Which partition, node or member, counted round.
    pub(crate) whom: usize,
    /// The quiet spell behind it.
    pub(crate) quiet: Duration,
}

/// Faults without an end. Each kind comes once before any comes again.
#[derive(Debug)]
pub(crate) struct Plan {
    random: u64,
    kinds: Vec<Kind>,
    deck: Vec<Kind>,
    /// Outages of a minute belong in long runs only.
    is_long: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64, nodes: usize, length: Duration) -> Self {
        let kinds = KINDS.into_iter().filter(|kind| nodes > 1 || !kind.needs_three()).collect();
        Self { random: seed, kinds, deck: Vec::new(), is_long: length >= Duration::from_secs(600) }
    }

    pub(crate) fn next(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = self.kinds.clone();
            for last in (1..self.deck.len()).rev() {
                let other = self.below(last + 1);
                self.deck.swap(last, other);
            }
        }
        let kind = self.deck.pop().unwrap_or(Kind::KillLeader);
        let (least, most) = match (kind, self.is_long) {
            (Kind::AllDown, true) => (5, 60),
            (Kind::FreezeLeader, true) => (2, 45),
            // The members' session is 6 s.
            (Kind::FreezeMember, true) => (8, 40),
            (Kind::FreezeMember, false) => (8, 9),
            _ => (2, 6),
        };
        Fault {
            kind,
            lasts: self.between(least, most),
            whom: self.below(1000),
            quiet: if self.is_long { self.between(3, 10) } else { self.between(1, 3) },
        }
    }

    fn between(&mut self, least: usize, most: usize) -> Duration {
        let millis = least * 1000 + self.below((most - least) * 1000 + 1);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// splitmix64.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(z % bound).unwrap_or(0)
    }
}
