//! What goes wrong in a run, and when: drawn from the seed before the run starts, so that it can be printed, replayed and
//! cut down.
//!
//! Invariant: nothing of it is drawn while the run goes on; a run is its seed and its schedule.

use crate::random::Random;
use craftwire::{error::ErrorCode, mock::Api};
use std::fmt;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) what: What,
}

/// What a fault is. Links are those between all clients and one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Latency, and up to so much more.
    Slow {
        broker: i32,
        delay_ms: u64,
        jitter_ms: u64,
    },
    Narrow {
        broker: i32,
        bytes_per_ms: usize,
    },
    /// Bytes arrive in small pieces.
    Chop {
        broker: i32,
        piece: usize,
    },
    /// Connections end in order.
    CutFin {
        broker: i32,
    },
    /// Connections are reset; what was on its way is lost.
    CutReset {
        broker: i32,
    },
    /// Connections end after so many more bytes of answers.
    CutAnswer {
        broker: i32,
        after_bytes: u64,
    },
    /// Nothing gets through; it does later.
    BlackHole {
        broker: i32,
    },
    LoseRequests {
        broker: i32,
    },
    LoseAnswers {
        broker: i32,
    },
    /// Nothing gets through the open connections ever again, and nobody is told.
    Sever {
        broker: i32,
    },
    Refuse {
        broker: i32,
    },
    /// Connecting takes for ever.
    HangConnect {
        broker: i32,
    },
    /// The name has a dead address before the live one.
    DeadFirst {
        broker: i32,
    },
    /// The name does not resolve.
    NoName {
        broker: i32,
    },
    /// The name has another address, and the old one is dead.
    Moved {
        broker: i32,
    },
    StopBroker {
        broker: i32,
    },
    /// Its partitions are led again when its session is over.
    KillBroker {
        broker: i32,
    },
    PauseBroker {
        broker: i32,
    },
    /// Followers are behind: the high watermark, too, and acks=all takes as long.
    Lag {
        lag_ms: u64,
    },
    PreferredLeaders,
    Throttle {
        api: Api,
        throttle_ms: i32,
        times: u64,
    },
    /// Answers that make no sense: the connection is not to be trusted any more.
    Twice {
        api: Api,
    },
    Misnamed {
        api: Api,
    },
    /// Of each key only the last record stays.
    Compact {
        topic: usize,
        partition: i32,
    },
    /// The first half of a log is deleted.
    Trim {
        topic: usize,
        partition: i32,
    },
    MoveLeader {
        topic: usize,
        partition: i32,
        broker: i32,
    },
    MoveCoordinator {
        broker: i32,
    },
    /// The next requests of an API get this code.
    Fail {
        api: Api,
        code: ErrorCode,
        is_after: bool,
        times: u64,
    },
    Delay {
        api: Api,
        delay_ms: u64,
        is_after: bool,
        times: u64,
    },
    /// The connection falls silent in place of an answer.
    Silence {
        api: Api,
        is_after: bool,
        times: u64,
    },
    Disconnect {
        api: Api,
        is_after: bool,
        times: u64,
    },
    /// A leader moves, and so many answers tell the old one still.
    Stale {
        topic: usize,
        partition: i32,
        broker: i32,
        answers: u64,
    },
    /// So many answers tell no leader.
    Leaderless {
        topic: usize,
        partition: i32,
        answers: u64,
    },
    Grow {
        topic: usize,
    },
    /// The coordinator takes a member out of the group.
    Expel {
        nth: usize,
    },
    /// A member starts; it is there from the start if no fault says so.
    Join {
        member: usize,
    },
    Leave {
        member: usize,
    },
    /// A member ends without a word.
    Die {
        member: usize,
    },
    /// Nothing gets through between one client and anybody.
    Isolate {
        client: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms, for {:>5} ms: {:?}", self.at_ms, self.for_ms, self.what)
    }
}

/// The faults of a seed, in order.
pub(crate) fn draw(seed: u64) -> Vec<Fault> {
    let mut random = Random::of(seed, "schedule");
    // A run with all kinds of faults at once would hide what a few of them do to each other.
    let mut kinds: Vec<Kind> = KINDS.to_vec();
    let kept = random.between(2, 10);
    while u64::try_from(kinds.len()).unwrap() > kept {
        kinds.remove(random.below(kinds.len()));
    }
    let mut faults = Vec::new();
    let mut at_ms = random.between(200, 1_500);
    while at_ms < FAULTS_UNTIL_MS {
        for _ in 0..random.between(1, 3) {
            let for_ms = random.pick(&[50, 200, 500, 1_000, 2_000, 4_000]);
            let what = random.pick(&kinds)(&mut random);
            faults.push(Fault { at_ms, for_ms, what });
            at_ms += random.between(0, 400);
        }
        // A quiet spell, now and then long enough for all to come to rest.
        at_ms += random.pick(&[200, 700, 1_500, 3_000]);
    }
    faults.extend(members(&mut random));
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

/// When the last fault may begin.
pub(crate) const FAULTS_UNTIL_MS: u64 = 8_000;
pub(crate) const BROKERS: i32 = 3;
pub(crate) const TOPICS: [(&str, i32); 2] = [("t", 3), ("u", 2)];
/// Members that there can be at once.
pub(crate) const MEMBERS: usize = 3;

fn members(random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    for member in 0..MEMBERS {
        let at_ms = if member == 0 { random.between(0, 300) } else { random.between(0, 5_000) };
        faults.push(Fault { at_ms, for_ms: 0, what: What::Join { member } });
        let at_ms = at_ms + random.between(1_500, 5_000);
        match random.next() % 4 {
            0 => faults.push(Fault { at_ms, for_ms: 0, what: What::Leave { member } }),
            1 => {
                faults.push(Fault { at_ms, for_ms: 0, what: What::Die { member } });
                let at_ms = at_ms + random.between(100, 3_000);
                faults.push(Fault { at_ms, for_ms: 0, what: What::Join { member } });
            }
            _ => {}
        }
    }
    faults
}

type Kind = fn(&mut Random) -> What;

fn broker(random: &mut Random) -> i32 {
    i32::try_from(random.between(1, u64::from(BROKERS.unsigned_abs()))).unwrap()
}

/// A partition, as (index of its topic, number).
fn partition(random: &mut Random) -> (usize, i32) {
    let topic = random.below(TOPICS.len());
    let count = usize::try_from(TOPICS[topic].1).unwrap();
    (topic, i32::try_from(random.below(count)).unwrap())
}

/// The requests of a client that are worth harming.
const HARMED: [Api; 9] = [
    Api::Produce,
    Api::Produce,
    Api::Fetch,
    Api::Metadata,
    Api::ListOffsets,
    Api::FindCoordinator,
    Api::ConsumerGroupHeartbeat,
    Api::OffsetCommit,
    Api::OffsetFetch,
];

/// Codes that a broker may answer with before (`false`) or after (`true`) a request took effect, and that all clients
/// must get over. Not among them is what says of a request that took effect that it surely did not: no broker does that.
fn code(random: &mut Random) -> What {
    let of_api: [(Api, bool, &[i16]); 12] = [
        (Api::Produce, false, &[2, 3, 5, 6, 7, 10, 13, 19, 56, 87, -1]),
        (Api::Produce, true, &[3, 6, 7, 20, 56, -1]),
        (Api::Fetch, false, &[3, 6, 56, 70, 71, 74, 75, 78, 100, -1]),
        (Api::Metadata, false, &[3, 5]),
        (Api::ListOffsets, false, &[3, 6, 56, 74, 75, 78]),
        (Api::FindCoordinator, false, &[14, 15]),
        (Api::InitProducerId, false, &[14, 15]),
        (Api::ConsumerGroupHeartbeat, false, &[14, 15, 16, 25, 110]),
        (Api::ConsumerGroupHeartbeat, true, &[14, 15, 16]),
        (Api::OffsetCommit, false, &[7, 14, 15, 16, 113]),
        (Api::OffsetCommit, true, &[7, 14, 15, 16]),
        (Api::OffsetFetch, false, &[14, 15, 16, 88, 113]),
    ];
    let (api, is_after, codes) = random.pick(&of_api);
    What::Fail { api, code: ErrorCode(random.pick(codes)), is_after, times: random.between(1, 4) }
}

const KINDS: &[Kind] = &[
    |r| What::Slow { broker: broker(r), delay_ms: r.between(20, 400), jitter_ms: r.between(0, 200) },
    |r| What::Narrow { broker: broker(r), bytes_per_ms: r.pick(&[1, 8, 64]) },
    |r| What::Chop { broker: broker(r), piece: r.pick(&[1, 3, 40]) },
    |r| What::CutFin { broker: broker(r) },
    |r| What::CutReset { broker: broker(r) },
    |r| What::CutAnswer { broker: broker(r), after_bytes: r.between(0, 120) },
    |r| What::BlackHole { broker: broker(r) },
    |r| What::LoseRequests { broker: broker(r) },
    |r| What::LoseAnswers { broker: broker(r) },
    |r| What::Sever { broker: broker(r) },
    |r| What::Refuse { broker: broker(r) },
    |r| What::HangConnect { broker: broker(r) },
    |r| What::DeadFirst { broker: broker(r) },
    |r| What::NoName { broker: broker(r) },
    |r| What::Moved { broker: broker(r) },
    |r| What::StopBroker { broker: broker(r) },
    |r| What::KillBroker { broker: broker(r) },
    |r| What::PauseBroker { broker: broker(r) },
    |r| What::Lag { lag_ms: r.pick(&[5, 50, 400, 1_500]) },
    |_| What::PreferredLeaders,
    |r| What::Throttle {
        api: r.pick(&HARMED),
        throttle_ms: r.pick(&[10, 300, 1_500]),
        times: r.between(1, 3),
    },
    |r| What::Twice { api: r.pick(&HARMED) },
    |r| What::Misnamed { api: r.pick(&HARMED) },
    |r| {
        let (topic, partition) = partition(r);
        What::Compact { topic, partition }
    },
    |r| {
        let (topic, partition) = partition(r);
        What::Trim { topic, partition }
    },
    move_leader,
    move_leader,
    |r| What::MoveCoordinator { broker: broker(r) },
    code,
    code,
    code,
    |r| What::Delay {
        api: r.pick(&HARMED),
        delay_ms: r.between(20, 3_000),
        is_after: r.chance(50),
        times: r.between(1, 3),
    },
    |r| What::Silence { api: r.pick(&HARMED), is_after: r.chance(50), times: r.between(1, 2) },
    |r| What::Disconnect { api: r.pick(&HARMED), is_after: r.chance(50), times: r.between(1, 3) },
    // The answer to a write is lost: the heart of idempotence.
    |r| What::Disconnect { api: Api::Produce, is_after: true, times: r.between(1, 3) },
    |r| {
        let (topic, partition) = partition(r);
        What::Stale { topic, partition, broker: broker(r), answers: r.between(1, 30) }
    },
    |r| {
        let (topic, partition) = partition(r);
        What::Leaderless { topic, partition, answers: r.between(1, 10) }
    },
    |r| What::Grow { topic: r.below(TOPICS.len()) },
    |r| What::Expel { nth: r.below(MEMBERS) },
    |r| What::Isolate { client: r.below(CLIENTS) },
];

fn move_leader(random: &mut Random) -> What {
    let (topic, partition) = partition(random);
    What::MoveLeader { topic, partition, broker: broker(random) }
}

/// Two producers, one reader without a group, one that comes late, and the members.
pub(crate) const CLIENTS: usize = 4 + MEMBERS;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn one_seed_is_one_schedule_in_order() {
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).is_sorted_by_key(|fault| fault.at_ms));
    }

    #[test]
    fn every_kind_of_fault_comes_up() {
        let kinds: BTreeSet<String> = (0..200)
            .flat_map(draw)
            .map(|fault| format!("{:?}", fault.what).split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(kinds.len(), 39, "{kinds:?}");
    }
}
