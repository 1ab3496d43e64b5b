//! What a rule says: which frames, which fault.

use std::time::Duration;

use super::rules::Sight;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the broker.
    Request,
    /// From the broker to the client.
    Answer,
}

/// What becomes of a frame, or of the connection that it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It arrives so much later, and up to `jitter` more. What follows on the connection waits behind it; latencies of
    /// frames overlap as they do on a long wire.
    Delay {
        /// At least.
        least: Duration,
        /// On top, by chance.
        jitter: Duration,
    },
    /// It goes at so many bytes a second.
    Rate {
        /// 0 is taken for 1.
        bytes_per_second: u32,
    },
    /// It goes byte by byte, each a packet of its own, with a pause after each.
    OneByteWrites {
        /// Zero, or whole milliseconds: timers are no finer.
        pause: Duration,
    },
    /// It and all that follows in its direction on the connection stays here until the rule is removed, then arrives: a
    /// loss that TCP repairs.
    Hold,
    /// It and all that ever follows in its direction on the connection vanishes, an end too, and the connection stays
    /// open: a peer that is gone without a word.
    BlackHole,
    /// So many of its bytes arrive, then the connection ends in good order.
    Cut {
        /// At its length and past it: after the frame.
        at: usize,
    },
    /// As [`Cut`](Self::Cut), each in another place: the first that it befalls before its first byte, the next `step`
    /// bytes later, and so on. [`times`](Rule::times) says up to where.
    CutEverywhere {
        /// 0 cuts all before their first byte.
        step: usize,
    },
    /// So many of its bytes arrive, then the connection is reset. An answer with `at: 0` is one that was lost after the
    /// deed was done.
    Reset {
        /// At its length and past it: after the frame.
        at: usize,
    },
    /// Its correlation id is that of no request: the highest bit is turned, which no client sets.
    Misname,
    /// It arrives twice.
    Twice,
    /// Before it comes another that nobody asked for: its first eight bytes as a frame of their own, misnamed.
    Stray,
    /// It arrives behind the next frame of its direction.
    Swap,
    /// One bit of it arrives wrong, of any byte from this one on; 0 is the first of its length, 4 of its header.
    BitFlip {
        /// Frames that are no longer go unharmed.
        from: usize,
        /// The last so many bytes are spared.
        spare_last: usize,
    },
    /// Not of frames: a connection that is made while the rule stands ends this long after, by chance between the two.
    Life {
        /// At least.
        least: Duration,
        /// At most.
        most: Duration,
    },
}

impl Fault {
    /// Its row in [`FaultProxy::counters`](super::FaultProxy::counters).
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::Rate { .. } => "rate",
            Self::OneByteWrites { .. } => "one-byte writes",
            Self::Hold => "hold",
            Self::BlackHole => "black hole",
            Self::Cut { .. } | Self::CutEverywhere { .. } => "cut",
            Self::Misname => "wrong correlation id",
            Self::Twice => "two answers",
            Self::Stray => "answer to nobody",
            Self::Swap => "swapped answers",
            Self::Reset { .. } => "reset",
            Self::BitFlip { .. } => "bit flip",
            Self::Life { .. } => "short life",
        }
    }
}

/// A fault, and the frames that it befalls: all, until told otherwise.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) direction: Option<Direction>,
    pub(super) node: Option<i32>,
    pub(super) connection: Option<u64>,
    pub(super) api_key: Option<i16>,
    pub(super) skip: u64,
    pub(super) times: u64,
    pub(super) one_in: u64,
}

impl Rule {
    /// Befalls requests and answers.
    #[must_use]
    pub fn both_ways(fault: Fault) -> Self {
        Self {
            fault,
            direction: None,
            node: None,
            connection: None,
            api_key: None,
            skip: 0,
            times: u64::MAX,
            one_in: 1,
        }
    }

    /// Befalls requests.
    #[must_use]
    pub fn requests(fault: Fault) -> Self {
        Self { direction: Some(Direction::Request), ..Self::both_ways(fault) }
    }

    /// Befalls answers.
    #[must_use]
    pub fn answers(fault: Fault) -> Self {
        Self { direction: Some(Direction::Answer), ..Self::both_ways(fault) }
    }

    /// Of this node only, counted from 1 as Kafka's.
    #[must_use]
    pub fn node(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// Of this connection only, counted from 1 over all nodes, as clients made them.
    #[must_use]
    pub fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// Of this API only, requests and their answers: a number of [`api`](super::api).
    #[must_use]
    pub fn api(mut self, api_key: i16) -> Self {
        self.api_key = Some(api_key);
        self
    }

    /// Lets so many go first.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Befalls so many at most.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }

    /// Befalls one in so many, by chance.
    #[must_use]
    pub fn one_in(mut self, count: u64) -> Self {
        self.one_in = count;
        self
    }

    pub(super) fn is_about(&self, frame: Sight) -> bool {
        self.is_about_connection(frame.node, frame.connection)
            && self.direction.is_none_or(|wanted| wanted == frame.direction)
            && (self.api_key.is_none() || self.api_key == frame.api_key)
    }

    pub(super) fn is_about_connection(&self, node: i32, connection: u64) -> bool {
        self.node.is_none_or(|wanted| wanted == node)
            && self.connection.is_none_or(|wanted| wanted == connection)
    }
}
