//! One lane: when requests leave, what is in them, and where their answers go.

use super::*;
use crate::{
    error::ConnectionError,
    net::Lane,
    producer::{
        delivery::{AckTime, BatchState, Outcome},
        error::NotSent,
        lane::ProduceLane,
        metrics::Counters,
        partition::Notice,
        slot::PartitionSlot,
    },
};
use futures_util::FutureExt;

struct Rig {
    door: Arc<Door>,
    lane: ProduceLane,
    slots: Vec<Arc<PartitionSlot>>,
    memory: Memory,
    heard: Arc<Heard>,
    counters: Arc<Counters>,
    now: Instant,
}

impl Rig {
    fn new(partitions: i32, settings: LaneSettings) -> Self {
        let door = door(1);
        let (heard, counters) = (Arc::new(Heard::default()), Arc::new(Counters::default()));
        let mut lane = ProduceLane::new(door.clone(), heard.clone(), counters.clone(), settings);
        let now = start();
        lane.handle_connected(&versions(), now);
        let slots: Vec<_> = (0..partitions).map(|p| slot(p, limits(1_024))).collect();
        for slot in &slots {
            slot.lock().route(Some(&door), 1);
        }
        let mut rig = Self { door, lane, slots, memory: Memory::new(1_000_000), heard, counters, now };
        assert!(rig.poll().is_none());
        rig
    }

    fn append(&self, partition: usize, id: u64, bytes: usize) -> Arc<BatchState> {
        let slot = &self.slots[partition];
        let appended = append(slot, &self.memory, id, bytes, self.now).unwrap();
        match appended.notice {
            Notice::Nothing => {}
            Notice::Listed(door) => door.list(slot.clone()),
            Notice::Filled(door) => door.filled(),
        }
        appended.state
    }

    fn poll(&mut self) -> Option<Request> {
        self.lane.poll_request(self.now)
    }

    fn ok(&mut self, request: &Request) {
        let said: Vec<_> = batches_of(request)
            .iter()
            .map(|(_, partition, _)| Said {
                partition: *partition,
                code: 0,
                base_offset: 0,
                record_error: None,
            })
            .collect();
        self.answer(request, &said);
    }

    fn answer(&mut self, request: &Request, said: &[Said]) {
        self.lane.handle_response(request.token, response(said, 0), self.now).unwrap();
    }
}

fn partitions(request: &Request) -> Vec<i32> {
    batches_of(request).into_iter().map(|(_, partition, _)| partition).collect()
}

#[test]
fn the_first_record_leaves_at_once_and_the_next_ones_together_after_the_gap() {
    let mut rig = Rig::new(3, settings());
    assert_eq!(rig.lane.poll_timeout(), None, "nothing wakes it when idle");
    rig.append(0, 0, 100);
    let first = rig.poll().unwrap();
    let sent_at = rig.now;
    assert_eq!(partitions(&first), [0]);
    rig.now += MS;
    rig.append(1, 1, 100);
    rig.append(2, 2, 100);
    rig.append(1, 3, 100);
    assert!(rig.poll().is_none());
    assert_eq!(rig.lane.poll_timeout(), Some(sent_at + 2 * MS));
    rig.ok(&first);
    assert!(rig.poll().is_none(), "an answer does not open the gate earlier");
    rig.now = sent_at + 2 * MS;
    rig.lane.handle_timeout(rig.now);
    let second = rig.poll().unwrap();
    assert_eq!(partitions(&second), [1, 2], "one request with one batch of each partition");
    assert_eq!(ids(&batches_of(&second)[0].2), [1, 3]);
    rig.ok(&second);
    assert!(rig.poll().is_none());
    assert_eq!(rig.lane.poll_timeout(), None);
    assert_eq!(rig.counters.snapshot().requests, 2);
}

#[test]
fn a_batchs_worth_leaves_before_the_gap_is_over() {
    let mut rig = Rig::new(2, settings());
    rig.append(0, 0, 10);
    let first = rig.poll().unwrap();
    rig.ok(&first);
    rig.append(0, 1, 600);
    assert!(rig.poll().is_none());
    rig.append(1, 2, 600);
    assert!(rig.poll().is_some(), "1 200 bytes are ready, 1 000 are enough");
}

#[test]
fn two_requests_wait_for_answers_unless_a_batchs_worth_is_ready() {
    let mut rig = Rig::new(8, settings());
    for partition in 0..2 {
        rig.append(partition, 0, 10);
        assert!(rig.poll().is_some());
        rig.now += 10 * MS;
    }
    rig.append(2, 0, 10);
    assert!(rig.poll().is_none());
    assert_eq!(rig.lane.poll_timeout(), None, "an answer will wake it");
    for partition in 3..6 {
        rig.append(partition, 0, 990);
        rig.append(partition, 0, 990);
        assert!(rig.poll().is_some());
    }
    rig.append(6, 0, 990);
    rig.append(6, 0, 990);
    assert!(rig.poll().is_none(), "five is the most");
}

#[test]
fn bytes_in_flight_are_bounded() {
    let mut rig = Rig::new(8, LaneSettings { in_flight_bytes: 2_500, ..settings() });
    (0..8).for_each(|partition| drop(rig.append(partition, 0, 1_000)));
    let first = rig.poll().unwrap();
    assert_eq!(partitions(&first).len(), 3, "the cap is reached by the third");
    rig.now += 10 * MS;
    assert!(rig.poll().is_none());
    rig.ok(&first);
    assert_eq!(partitions(&rig.poll().unwrap()).len(), 3);
}

#[test]
fn each_request_starts_where_the_last_one_stopped() {
    let mut rig = Rig::new(4, LaneSettings { request_bytes: 2_000, ..settings() });
    let mut seen = vec![0; 4];
    for round in 0..8 {
        (0..4).for_each(|partition| drop(rig.append(partition, round, 900)));
        rig.now += 10 * MS;
        while let Some(request) = rig.poll() {
            let partitions = partitions(&request);
            assert!(partitions.len() <= 3);
            partitions.iter().for_each(|p| seen[usize::try_from(*p).unwrap()] += 1);
            rig.ok(&request);
            rig.now += 10 * MS;
        }
    }
    assert_eq!(seen, [8, 8, 8, 8]);
}

#[test]
fn answers_reach_their_partitions_in_any_order_and_missing_ones_leave_it_open() {
    let mut rig = Rig::new(3, settings());
    let states: Vec<_> = (0..3).map(|partition| rig.append(partition, 0, 10)).collect();
    let request = rig.poll().unwrap();
    let said = [
        Said { partition: 2, code: 0, base_offset: 22, record_error: None },
        Said { partition: 0, code: 0, base_offset: 20, record_error: None },
        Said { partition: 0, code: 0, base_offset: 99, record_error: None },
        Said { partition: 7, code: 0, base_offset: 77, record_error: None },
    ];
    rig.answer(&request, &said);
    let acked = |base| Some(Outcome::Acked { base_offset: Some(base), time: AckTime::OfRecord });
    assert_eq!(states[0].outcome().cloned(), acked(20), "the first answer for a partition is the one");
    assert_eq!(states[2].outcome().cloned(), acked(22));
    assert_eq!(states[1].outcome(), None);
    rig.now += 1_000 * MS;
    let again = rig.poll().unwrap();
    assert_eq!(batches_of(&again)[0].2, batches_of(&request)[1].2, "sent again as it was");
}

#[test]
fn when_a_connection_ends_its_batches_are_sent_again_on_the_next() {
    let mut rig = Rig::new(2, settings());
    rig.append(0, 0, 10);
    rig.append(1, 1, 10);
    let request = rig.poll().unwrap();
    rig.lane.handle_disconnected(&ConnectionError::Closed, rig.now);
    assert!(rig.poll().is_none());
    assert!(rig.lane.wants_connection());
    assert_eq!(rig.lane.poll_timeout(), None, "there is nothing to do without a connection");
    assert!(*rig.heard.refreshes.lock().unwrap() > 0);
    rig.now += 1_000 * MS;
    rig.lane.handle_connected(&versions(), rig.now);
    let again = rig.poll().unwrap();
    assert_eq!(batches_of(&again), batches_of(&request));
    assert_eq!(rig.counters.snapshot().requests_in_flight, 1);
}

#[test]
fn an_idle_lane_without_a_connection_is_woken_by_what_is_listed_next() {
    let mut rig = Rig::new(1, settings());
    rig.lane.handle_disconnected(&ConnectionError::Closed, rig.now);
    assert!(!rig.lane.wants_connection());
    let waker = rig.door.waker();
    assert!(waker.woken().now_or_never().is_none());
    rig.append(0, 0, 10);
    assert!(waker.woken().now_or_never().is_some(), "its task sleeps until it is woken");
    assert!(rig.lane.wants_connection());
}

#[test]
fn a_partition_that_moved_away_is_no_reason_to_connect() {
    let mut rig = Rig::new(1, settings());
    rig.append(0, 0, 10);
    rig.poll().unwrap();
    rig.lane.handle_disconnected(&ConnectionError::Closed, rig.now);
    let other = door(2);
    let list_with = rig.slots[0].lock().route(Some(&other), 2);
    assert!(list_with.is_some_and(|lane| Arc::ptr_eq(&lane, &other)));
    rig.lane.handle_disconnected(&ConnectionError::Closed, rig.now);
    assert!(!rig.lane.wants_connection());
}

#[test]
fn a_retry_wakes_the_lane_when_its_wait_is_over() {
    let mut rig = Rig::new(1, settings());
    rig.append(0, 0, 10);
    let request = rig.poll().unwrap();
    rig.answer(&request, &[Said { partition: 0, code: 6, base_offset: -1, record_error: None }]);
    rig.now += 10 * MS;
    assert!(rig.poll().is_none());
    let at = rig.lane.poll_timeout().unwrap();
    assert!((80..=120).contains(&(at - rig.now + 10 * MS).as_millis()));
    rig.now = at;
    rig.lane.handle_timeout(rig.now);
    assert!(rig.poll().is_some());
    assert_eq!(*rig.heard.refreshes.lock().unwrap(), 1);
    assert_eq!(rig.counters.snapshot().retries, 1);
}

#[test]
fn a_pause_that_the_broker_orders_is_kept() {
    let mut rig = Rig::new(2, settings());
    rig.append(0, 0, 10);
    let request = rig.poll().unwrap();
    let frame = response(&[Said { partition: 0, code: 0, base_offset: 0, record_error: None }], 500);
    rig.lane.handle_response(request.token, frame, rig.now).unwrap();
    rig.append(0, 1, 10);
    let until = rig.now + 500 * MS;
    rig.now += 499 * MS;
    assert!(rig.poll().is_none());
    assert_eq!(rig.lane.poll_timeout(), Some(until));
    rig.now = until;
    assert!(rig.poll().is_some());
}

#[test]
fn an_answer_that_cannot_be_read_ends_the_connection() {
    let mut rig = Rig::new(1, settings());
    rig.append(0, 0, 10);
    let request = rig.poll().unwrap();
    let frame = Bytes::from_static(&[0, 0, 0, 0, 0, 0xff, 0xff]);
    assert!(rig.lane.handle_response(request.token, frame, rig.now).is_err());
}

#[test]
fn a_lane_that_is_dropped_frees_its_partitions() {
    let mut rig = Rig::new(1, settings());
    rig.append(0, 0, 10);
    rig.poll().unwrap();
    let other = door(2);
    rig.slots[0].lock().route(Some(&other), 2);
    drop(rig.lane);
    assert!(rig.slots[0].lock().is_of(&other));
    assert!(!other.is_empty(), "it is on its new lane's list");
}

#[test]
fn a_closed_door_ends_the_lane() {
    let rig = Rig::new(1, settings());
    assert!(!rig.lane.is_finished());
    rig.door.close();
    assert!(rig.lane.is_finished());
}

#[test]
fn a_broker_that_is_too_old_refuses_its_records_at_once_and_names_the_versions() {
    let mut rig = Rig::new(1, settings());
    rig.lane.handle_disconnected(&ConnectionError::Closed, rig.now);
    let waiting = rig.append(0, 1, 100);
    rig.lane.handle_connected(&Versions::new([(0, VersionRange::new(3, 8))]), rig.now);
    assert!(rig.lane.poll_request(rig.now).is_none());
    let refused = |state: &BatchState| match state.outcome() {
        Some(Outcome::NotSent(NotSent::Unsupported(cause))) => (cause.ours.0, cause.theirs),
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(refused(&waiting), (9, Some((3, 8))));
    let next = rig.append(0, 2, 100);
    assert!(rig.lane.poll_request(rig.now).is_none());
    assert_eq!(refused(&next), (9, Some((3, 8))), "and what comes after it");

    rig.lane.handle_disconnected(&ConnectionError::Closed, rig.now);
    rig.append(0, 3, 100);
    rig.lane.handle_connected(&versions(), rig.now);
    assert!(rig.lane.poll_request(rig.now).is_some(), "it was replaced by a newer one");
}
