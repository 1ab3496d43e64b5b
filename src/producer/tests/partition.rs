//! One partition: what is sent when, and what answers do.

use super::{rig::*, *};
use crate::{
    error::ErrorCode,
    producer::{
        delivery::{AckTime, Outcome},
        error::{NotSent, Unknown},
        idempotence::Sequencer,
        partition::{Notice, Poll},
        settle::{Answer, GiveUp},
    },
};

#[test]
fn one_batch_until_the_first_is_acked_then_five() {
    let mut rig = Rig::new();
    (0..9).for_each(|id| rig.append(id));
    let first = rig.poll().unwrap();
    assert!(rig.poll().is_none(), "nothing is sent behind an unconfirmed first batch");
    rig.ok(&first, 0);
    let out: Vec<Out> = std::iter::from_fn(|| rig.poll()).collect();
    assert_eq!(out.iter().flat_map(|out| ids(&out.bytes)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    rig.ok(&out[0], 1);
    assert_eq!(ids(&rig.poll().unwrap().bytes), [6]);
    assert!(rig.poll().is_none());
}

#[test]
fn one_batch_again_after_the_leader_changed() {
    let mut rig = Rig::confirmed();
    (1..4).for_each(|id| rig.append(id));
    let other = door(2);
    assert!(rig.slot.lock().route(Some(&other), 2).is_some(), "nothing is in flight, so it moves at once");
    rig.lane = other;
    let first = rig.poll().unwrap();
    assert!(rig.poll().is_none());
    rig.ok(&first, 1);
    assert!(rig.poll().is_some() && rig.poll().is_some());
}

#[test]
fn one_batch_again_after_a_long_pause_since_the_broker_may_have_forgotten() {
    let mut rig = Rig::confirmed();
    rig.now += Duration::from_secs(3_600);
    (1..4).for_each(|id| rig.append(id));
    assert!(rig.poll().is_some());
    assert!(rig.poll().is_none());
}

#[test]
fn it_moves_only_when_nothing_is_in_a_request() {
    let mut rig = Rig::confirmed();
    (1..4).for_each(|id| rig.append(id));
    let (b, c) = (rig.poll().unwrap(), rig.poll().unwrap());
    let other = door(2);
    assert!(rig.slot.lock().route(Some(&other), 2).is_none());
    assert!(rig.poll().is_none(), "nothing new on the old lane");
    rig.ok(&b, 1);
    assert!(!rig.slot.lock().is_of(&other));
    let settled = rig.settle(&c, &Answer::Lost);
    assert!(settled.list.is_some_and(|lane| Arc::ptr_eq(&lane, &other)));
    rig.lane = other;
    assert_eq!(rig.poll().unwrap().bytes, c.bytes, "what is unresolved goes first, as it was");
}

#[test]
fn after_a_failure_only_the_oldest_is_sent_as_it_was_until_all_are_resolved() {
    let mut rig = Rig::confirmed();
    (1..7).for_each(|id| rig.append(id));
    let out: Vec<Out> = std::iter::from_fn(|| rig.poll()).collect();
    assert_eq!(out.len(), 5);
    rig.say(&out[0], ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert!(rig.poll().is_none(), "others are still in flight");
    for later in &out[1..] {
        rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    assert!(rig.poll().is_none(), "not before the wait is over");
    rig.wait();
    for (before, offset) in out.iter().zip(1..) {
        let again = rig.poll().unwrap();
        assert_eq!(again.bytes, before.bytes);
        assert!(rig.poll().is_none(), "the next one only when this one is acked");
        rig.ok(&again, offset);
    }
    assert_eq!(ids(&rig.poll().unwrap().bytes), [6], "and only then what is new");
    assert!((0..6).all(|record| acked(rig.outcome(record))));
}

#[test]
fn a_lost_answer_leaves_it_open_and_a_duplicate_settles_it() {
    let mut rig = Rig::confirmed();
    rig.append(1);
    let out = rig.poll().unwrap();
    assert!(rig.settle(&out, &Answer::Lost).refresh);
    rig.wait();
    let again = rig.poll().unwrap();
    rig.say(&again, ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
    assert_eq!(rig.outcome(1), Some(&Outcome::Acked { base_offset: None, time: AckTime::OfRecord }));
}

#[test]
fn the_time_told_of_a_batch_sent_again_is_believed_only_where_the_topic_stamps_appends() {
    let written = |code, log_append_time_ms| Answer::Broker {
        code,
        message: None,
        base_offset: Some(0),
        log_append_time_ms,
        record_errors: Vec::new(),
    };
    let (none, duplicate) = (ErrorCode::NONE, ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
    for (before, code, told, expected) in [
        // The records' own time, which only a topic that stamps appends would give by chance.
        (None, none, Some(1), AckTime::NotKnown),
        (Some(None), none, Some(1), AckTime::OfRecord),
        (Some(Some(500)), none, Some(1), AckTime::OfBroker(1)),
        // No record has this time: the topic stamps appends, whatever it did before.
        (None, none, Some(700), AckTime::OfBroker(700)),
        (Some(None), none, Some(700), AckTime::OfBroker(700)),
        // A duplicate is answered with a time, so this one was appended now, and not stamped.
        (None, none, None, AckTime::OfRecord),
        (Some(Some(500)), none, None, AckTime::OfRecord),
        // An old broker says that it is a duplicate, and nothing else.
        (None, duplicate, None, AckTime::NotKnown),
        (Some(None), duplicate, None, AckTime::OfRecord),
        (Some(Some(500)), duplicate, None, AckTime::NotKnown),
    ] {
        let mut rig = Rig::new();
        if let Some(log_append_time_ms) = before {
            rig.append(0);
            let out = rig.poll().unwrap();
            rig.settle(&out, &written(none, log_append_time_ms));
        }
        rig.append(1);
        let out = rig.poll().unwrap();
        rig.settle(&out, &Answer::Lost);
        rig.wait();
        let again = rig.poll().unwrap();
        rig.settle(&again, &written(code, told));
        let last = rig.states.len() - 1;
        let outcome = Outcome::Acked { base_offset: Some(0), time: expected };
        assert_eq!(rig.outcome(last), Some(&outcome), "{before:?}, {code:?}, {told:?}");
    }
}

#[test]
fn an_open_batch_that_meets_45_47_or_59_is_unknown_and_the_next_epoch_begins() {
    for code in [45, 47, 59] {
        let code = ErrorCode(code);
        let mut rig = Rig::confirmed();
        rig.append(1);
        rig.append(2);
        let (a, b) = (rig.poll().unwrap(), rig.poll().unwrap());
        rig.settle(&a, &Answer::Lost);
        rig.settle(&b, &Answer::Lost);
        rig.append(3);
        rig.wait();
        let a = rig.poll().unwrap();
        let settled = rig.say(&a, code);
        // Whatever became of the first attempt: nothing older is open, so the broker lacks what it had acked.
        assert_eq!(settled.loss_suspected, code != ErrorCode::INVALID_PRODUCER_EPOCH, "{code}");
        assert_eq!(rig.outcome(1), Some(&Outcome::Unknown(Unknown::Refused { code })), "{code}");
        let b_again = rig.poll().unwrap();
        assert_eq!(b_again.bytes, b.bytes, "the old epoch is drained first");
        rig.ok(&b_again, 2);
        assert!(acked(rig.outcome(2)));
        if code == ErrorCode::INVALID_PRODUCER_EPOCH {
            assert!(rig.poll().is_none(), "it waits for another producer id");
            assert!(rig.slot.lock().offer_producer_id(8).is_some());
            assert_eq!(stamp(&rig.poll().unwrap().bytes), (8, 0, 0));
        } else {
            assert_eq!(stamp(&rig.poll().unwrap().bytes), (7, 1, 0));
        }
    }
}

#[test]
fn a_batch_that_was_surely_not_written_gets_a_stamp_of_the_next_epoch() {
    let mut rig = Rig::confirmed();
    (1..4).for_each(|id| rig.append(id));
    let out: Vec<Out> = std::iter::from_fn(|| rig.poll()).collect();
    let first = rig.say(&out[0], ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert!(first.loss_suspected, "the broker lacks what it had acked");
    assert!(!rig.say(&out[1], ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER).loss_suspected);
    rig.say(&out[2], ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    rig.wait();
    for (id, sequence) in [(1, 0), (2, 1), (3, 2)] {
        let again = rig.poll().unwrap();
        assert_eq!((ids(&again.bytes), stamp(&again.bytes)), (vec![id], (7, 1, sequence)));
        assert!(rig.poll().is_none());
        rig.ok(&again, 10);
    }
    assert!((1..4).all(|record| acked(rig.outcome(record))));
}

#[test]
fn a_rejected_last_batch_frees_its_sequence() {
    let mut rig = Rig::confirmed();
    rig.append(1);
    let out = rig.poll().unwrap();
    rig.say(&out, ErrorCode::INVALID_TIMESTAMP);
    assert!(matches!(rig.outcome(1), Some(Outcome::NotSent(NotSent::Rejected { .. }))));
    rig.append(2);
    assert_eq!(stamp(&rig.poll().unwrap().bytes), stamp(&out.bytes));
}

#[test]
fn a_rejected_batch_with_others_behind_it_costs_an_epoch_and_nothing_else() {
    let mut rig = Rig::confirmed();
    (1..4).for_each(|id| rig.append(id));
    let out: Vec<Out> = std::iter::from_fn(|| rig.poll()).collect();
    assert!(!rig.say(&out[0], ErrorCode::INVALID_RECORD).loss_suspected);
    for later in &out[1..] {
        assert!(!rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER).loss_suspected);
    }
    for (id, sequence) in [(2, 0), (3, 1)] {
        let again = rig.poll().unwrap();
        assert_eq!((ids(&again.bytes), stamp(&again.bytes)), (vec![id], (7, 1, sequence)));
        rig.ok(&again, 1);
    }
    assert!(matches!(rig.outcome(1), Some(Outcome::NotSent(_))));
    assert!(acked(rig.outcome(2)) && acked(rig.outcome(3)));
}

#[test]
fn a_rejection_after_an_open_attempt_is_unknown() {
    let mut rig = Rig::confirmed();
    rig.append(1);
    let out = rig.poll().unwrap();
    rig.say(&out, ErrorCode::REQUEST_TIMED_OUT);
    rig.wait();
    let again = rig.poll().unwrap();
    rig.say(&again, ErrorCode::MESSAGE_TOO_LARGE);
    let code = ErrorCode::MESSAGE_TOO_LARGE;
    assert_eq!(rig.outcome(1), Some(&Outcome::Unknown(Unknown::Refused { code })));
    rig.append(2);
    assert_eq!(
        stamp(&rig.poll().unwrap().bytes),
        (7, 1, 0),
        "never the sequence of what may have been written"
    );
}

#[test]
fn promise_6_codes_that_leave_it_open_are_retried_until_the_deadline_and_then_unknown() {
    for code in [-1, 2, 3, 6, 7, 13, 20, 56, 999] {
        let mut rig = Rig::confirmed();
        rig.append(1);
        let out = rig.poll().unwrap();
        rig.say(&out, ErrorCode(code));
        rig.wait();
        assert_eq!(rig.poll().unwrap().bytes, out.bytes, "{code}");
        rig.say(&out, ErrorCode(code));
        rig.now += Duration::from_secs(120);
        tell(rig.slot.lock().give_up(&GiveUp::Overdue(rig.now)));
        let after = Duration::from_secs(120);
        let last = Some(ErrorCode(code));
        assert_eq!(rig.outcome(1), Some(&Outcome::Unknown(Unknown::TimedOut { after, last })), "{code}");
    }
}

#[test]
fn what_was_never_sent_or_surely_not_written_is_not_sent_at_the_deadline() {
    let mut rig = Rig::confirmed();
    (1..4).for_each(|id| rig.append(id));
    let out = rig.poll().unwrap();
    rig.say(&out, ErrorCode::NOT_ENOUGH_REPLICAS);
    rig.now += Duration::from_secs(120);
    tell(rig.slot.lock().give_up(&GiveUp::Overdue(rig.now)));
    for record in 1..4 {
        assert!(matches!(rig.outcome(record), Some(Outcome::NotSent(NotSent::TimedOut { .. }))), "{record}");
    }
    assert_eq!(rig.memory.used(), 0);
    rig.append(4);
    assert_eq!(
        stamp(&rig.poll().unwrap().bytes),
        stamp(&out.bytes),
        "nothing was written, so the sequence is free"
    );
}

#[test]
fn a_batch_given_up_in_flight_is_unknown_at_once_and_its_late_answer_changes_nothing() {
    for late in [Answer::Lost, ok_at(1)] {
        let mut rig = Rig::confirmed();
        rig.append(1);
        let out = rig.poll().unwrap();
        rig.now += Duration::from_secs(120);
        tell(rig.slot.lock().give_up(&GiveUp::Overdue(rig.now)));
        assert!(matches!(rig.outcome(1), Some(Outcome::Unknown(Unknown::TimedOut { .. }))));
        assert!(rig.memory.used() > 0, "its bytes are still in the request");
        rig.append(2);
        assert!(rig.poll().is_none(), "nothing goes out before the old batch is resolved");
        rig.settle(&out, &late);
        assert!(matches!(rig.outcome(1), Some(Outcome::Unknown(_))));
        rig.wait();
        let next = rig.poll().unwrap();
        assert_eq!((ids(&next.bytes), stamp(&next.bytes)), (vec![2], (7, 1, 0)));
    }
}

#[test]
fn promise_4_after_the_largest_sequence_comes_zero() {
    let mut rig = Rig::new();
    rig.slot.lock().sequencer = Sequencer::at(7, 0, i32::MAX - 1);
    (0..5).for_each(|id| rig.append(id));
    for (sequence, offset) in [i32::MAX - 1, i32::MAX, 0, 1, 2].into_iter().zip(0..) {
        let out = rig.poll().unwrap();
        assert_eq!(stamp(&out.bytes), (7, 0, sequence));
        rig.ok(&out, offset);
    }
    assert!((0..5).all(|record| acked(rig.outcome(record))));
}

#[test]
fn promise_4_a_batch_across_the_wrap_is_sent_whole_and_again_as_it_was() {
    let mut rig = Rig::new();
    rig.slot.lock().sequencer = Sequencer::at(7, 0, i32::MAX - 2);
    for id in 0..6 {
        append(&rig.slot, &rig.memory, id, 20, rig.now).unwrap();
    }
    let out = rig.poll().unwrap();
    assert_eq!((ids(&out.bytes).len(), stamp(&out.bytes)), (6, (7, 0, i32::MAX - 2)));
    rig.settle(&out, &Answer::Lost);
    rig.wait();
    let again = rig.poll().unwrap();
    assert_eq!(again.bytes, out.bytes);
    rig.ok(&again, 0);
    rig.append(6);
    assert_eq!(stamp(&rig.poll().unwrap().bytes), (7, 0, 3));
}

#[test]
fn promise_5_after_the_last_epoch_comes_another_producer_id() {
    let mut rig = Rig::new();
    rig.slot.lock().sequencer = Sequencer::at(7, i16::MAX, 5);
    (0..3).for_each(|id| rig.append(id));
    let first = rig.poll().unwrap();
    assert_eq!(stamp(&first.bytes), (7, i16::MAX, 5));
    rig.ok(&first, 0);
    let second = rig.poll().unwrap();
    rig.say(&second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    rig.next_request += 1;
    let poll = rig.slot.poll(&rig.lane, rig.next_request, rig.now);
    assert!(matches!(poll, Poll::NeedProducerId(7)), "{poll:?}");
    assert!(rig.slot.lock().offer_producer_id(7).is_none(), "the same one is of no use");
    assert!(rig.slot.lock().offer_producer_id(9).is_some());
    assert_eq!(stamp(&rig.poll().unwrap().bytes), (9, 0, 0));
}

#[test]
fn retries_wait_longer_each_time() {
    let mut rig = Rig::confirmed();
    rig.append(1);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let out = rig.poll().unwrap();
        rig.say(&out, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        rig.next_request += 1;
        let Poll::Later(at) = rig.slot.poll(&rig.lane, rig.next_request, rig.now) else { panic!("no wait") };
        waits.push((at - rig.now).as_millis());
        rig.now = at;
    }
    for (wait, expected) in waits.iter().zip([100, 200, 400, 800, 1_000, 1_000]) {
        assert!((expected * 8 / 10..=expected * 12 / 10).contains(wait), "{waits:?}");
    }
}

#[test]
fn the_lane_is_told_once_and_again_when_a_batch_is_full() {
    let rig = Rig::new();
    let small = |id| append(&rig.slot, &rig.memory, id, 100, rig.now).unwrap().notice;
    assert!(matches!(small(0), Notice::Listed(_)));
    let notices: Vec<_> = (1..20).map(small).collect();
    let filled = notices.iter().filter(|notice| matches!(notice, Notice::Filled(_))).count();
    let told = notices.iter().filter(|notice| !matches!(notice, Notice::Nothing)).count();
    assert_eq!((filled, told), (2, 2), "twenty records of about 110 bytes in batches of 1 KiB");
}

#[test]
fn memory_is_charged_by_batch_and_a_grant_that_was_waited_for_always_does() {
    let slot = slot(0, limits(4_096));
    let memory = Memory::new(1_024);
    let now = start();
    assert!(append(&slot, &memory, 0, 800, now).is_ok());
    assert_eq!(memory.used(), 1_024);
    let Err(Refused::NeedMemory(bytes)) = append(&slot, &memory, 1, 800, now) else {
        panic!("no memory is left")
    };
    assert!(bytes >= 800);
    let bigger = Memory::new(10_000);
    // Whatever happens to the batch while it waits: here, it is sent, so the record opens another one.
    let lane = door(1);
    slot.lock().route(Some(&lane), 1);
    assert!(matches!(slot.poll(&lane, 1, now), Poll::Seal { .. }));
    let mut extra = bigger.try_grant(bytes);
    assert!(append_with(&slot, &bigger, &mut extra, 1, 800, now).is_ok());
    assert!(extra.is_none());
}

#[test]
fn a_record_too_large_for_a_batch_of_its_own_is_refused_with_its_size() {
    let slot = slot(0, limits(1_024));
    let memory = Memory::new(100_000);
    assert!(append(&slot, &memory, 0, 5_000, start()).is_ok(), "larger than the batch target is fine");
    let refused = append(&slot, &memory, 1, 10_000, start()).unwrap_err();
    // Length, attributes, two deltas, no key, the value's length, the value, no headers.
    assert_eq!(refused, Refused::TooLarge(61 + 3 + 1 + 2 + 1 + 3 + 10_000 + 1));
    assert!(append(&slot, &memory, 2, 10, start()).is_ok());
}

#[test]
fn closing_refuses_what_comes_and_gives_up_what_is_there() {
    let mut rig = Rig::confirmed();
    (1..4).for_each(|id| rig.append(id));
    let out = rig.poll().unwrap();
    rig.slot.lock().close();
    assert!(matches!(append(&rig.slot, &rig.memory, 9, 10, rig.now), Err(Refused::Closed)));
    assert_eq!(rig.slot.lock().outstanding().map(|(_, records)| records).sum::<u32>(), 3);
    tell(rig.slot.lock().give_up(&GiveUp::Closed));
    assert_eq!(rig.outcome(1), Some(&Outcome::Unknown(Unknown::Closed)));
    assert_eq!(rig.outcome(2), Some(&Outcome::NotSent(NotSent::Closed)));
    assert_eq!(rig.slot.lock().outstanding().count(), 0);
    rig.ok(&out, 1);
    assert_eq!(rig.memory.used(), 0);
}
