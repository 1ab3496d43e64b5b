//! Batches that are taken apart: refused for their size, or for records that the broker names.

use super::{rig::*, *};
use crate::{
    error::ErrorCode,
    producer::{
        delivery::Outcome,
        error::{NotSent, Unknown},
        settle::{Answer, GiveUp},
    },
};

#[test]
fn too_large_for_the_topic_says_how_large() {
    let mut rig = Rig::confirmed();
    rig.append(1);
    let out = rig.poll().unwrap();
    rig.say(&out, ErrorCode::MESSAGE_TOO_LARGE);
    let bytes = out.bytes.len();
    assert_eq!(rig.outcome(1), Some(&Outcome::NotSent(NotSent::TooLarge { bytes })));
}

/// A partition with batches of `records` records under way: all of the first, and five more of one record each.
fn with_a_batch_of(records: u64) -> (Rig, Vec<Out>) {
    let mut rig = Rig::confirmed();
    (1..=records).for_each(|id| rig.append_bytes(id, 100));
    let mut out = vec![rig.poll().unwrap()];
    for id in records + 1..records + 5 {
        rig.append(id);
        out.push(rig.poll().unwrap());
    }
    (rig, out)
}

/// Sends until nothing is left, all of it acked; the records and stamps of the batches.
fn drain(rig: &mut Rig) -> Vec<(Vec<u64>, (i64, i16, i32))> {
    rig.wait();
    std::iter::from_fn(|| {
        let out = rig.poll()?;
        rig.ok(&out, 100);
        Some((ids(&out.bytes), stamp(&out.bytes)))
    })
    .collect()
}

#[test]
fn promise_8_a_batch_that_is_too_large_is_cut_and_keeps_its_sequences_and_its_place() {
    let (mut rig, out) = with_a_batch_of(4);
    let settled = rig.say(&out[0], ErrorCode::MESSAGE_TOO_LARGE);
    assert!(settled.retried && !settled.loss_suspected);
    for later in &out[1..] {
        assert!(!rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER).loss_suspected);
    }
    rig.append(9);
    let sent = drain(&mut rig);
    let expected = [
        (vec![1, 2], (7, 0, 1)),
        (vec![3, 4], (7, 0, 3)),
        (vec![5], (7, 0, 5)),
        (vec![6], (7, 0, 6)),
        (vec![7], (7, 0, 7)),
        (vec![8], (7, 0, 8)),
        (vec![9], (7, 0, 9)),
    ];
    assert_eq!(sent, expected, "no epoch is spent");
    assert!((0..=9).all(|record| acked(rig.outcome(record))));
    let Some(Outcome::Acked { base_offset, .. }) = rig.outcome(4) else { panic!("not acked") };
    assert_eq!((*base_offset, rig.states[4].0.outcome_of(3).unwrap().1), (Some(100), 1));
    assert_eq!(rig.memory.used(), 0);
}

#[test]
fn promise_8_a_batch_is_cut_until_what_is_too_large_stands_alone() {
    let mut rig = Rig::confirmed();
    (1..=6).for_each(|id| rig.append_bytes(id, if id == 4 { 300 } else { 50 }));
    let mut sent = Vec::new();
    while let Some(out) = rig.poll() {
        if header(&out.bytes).batch_len > 250 {
            rig.say(&out, ErrorCode::MESSAGE_TOO_LARGE);
        } else {
            rig.ok(&out, 100);
        }
        sent.push(ids(&out.bytes));
    }
    let lone = sent.iter().position(|ids| *ids == [4]).unwrap();
    assert!(sent[..lone].iter().flatten().filter(|id| **id < 4).count() >= 3, "{sent:?}");
    for record in 1..=6 {
        let is_large = record == 4;
        assert_eq!(matches!(rig.outcome(record), Some(Outcome::NotSent(NotSent::TooLarge { .. }))), is_large);
        assert_eq!(acked(rig.outcome(record)), !is_large, "{record}");
    }
    assert_eq!(rig.memory.used(), 0);
}

#[test]
fn batches_are_smaller_once_one_was_too_large() {
    let mut rig = Rig::new();
    rig.slot = slot(0, limits(8_000));
    rig.slot.lock().route(Some(&rig.lane), 1);
    (0..60).for_each(|id| rig.append_bytes(id, 120));
    let out = rig.poll().unwrap();
    rig.say(&out, ErrorCode::MESSAGE_TOO_LARGE);
    drain(&mut rig);
    (60..120).for_each(|id| rig.append_bytes(id, 120));
    let next = rig.poll().unwrap();
    assert!(next.bytes.len() <= out.bytes.len() / 2, "{} after {}", next.bytes.len(), out.bytes.len());
}

fn at_fault(indexes: &[i32]) -> Answer {
    Answer::Broker {
        code: ErrorCode::INVALID_RECORD,
        message: Some("all of it".into()),
        base_offset: None,
        log_append_time_ms: None,
        record_errors: indexes.iter().map(|index| (*index, Some(format!("record {index}")))).collect(),
    }
}

#[test]
fn promise_8_named_records_fail_alone_and_the_rest_goes_before_what_was_behind() {
    let (mut rig, out) = with_a_batch_of(4);
    let settled = rig.settle(&out[0], &at_fault(&[1, 2]));
    assert!(settled.retried && !settled.loss_suspected);
    for later in &out[1..] {
        assert!(!rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER).loss_suspected);
    }
    let sent = drain(&mut rig);
    let expected = [(1, 0), (5, 2), (6, 3), (7, 4), (8, 5)]
        .map(|(id, sequence)| (if id == 1 { vec![1, 4] } else { vec![id] }, (7, 1, sequence)));
    assert_eq!(sent, expected, "what was behind it has sequences of the next epoch");
    for record in 1..=8 {
        match rig.outcome(record) {
            Some(Outcome::NotSent(NotSent::RecordRejected { code, message })) => {
                assert!([2, 3].contains(&record));
                assert_eq!(*code, ErrorCode::INVALID_RECORD);
                assert_eq!(message.as_deref(), Some(format!("record {}", record - 1).as_str()));
            }
            outcome => assert!(acked(outcome) && ![2, 3].contains(&record), "{record}: {outcome:?}"),
        }
    }
    assert_eq!(rig.memory.used(), 0);
}

#[test]
fn promise_8_with_nothing_behind_it_the_rest_takes_the_sequences_that_are_free() {
    let mut rig = Rig::confirmed();
    (1..=4).for_each(|id| rig.append_bytes(id, 100));
    let out = rig.poll().unwrap();
    rig.settle(&out, &at_fault(&[0]));
    rig.append(5);
    let sent = drain(&mut rig);
    assert_eq!(sent, [(vec![2, 3, 4], (7, 0, 1)), (vec![5], (7, 0, 4))]);
}

#[test]
fn promise_8_a_batch_of_refused_records_only_is_gone() {
    let (mut rig, out) = with_a_batch_of(2);
    let settled = rig.settle(&out[0], &at_fault(&[0, 1]));
    assert!(!settled.retried);
    for later in &out[1..] {
        rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    let sent = drain(&mut rig);
    assert_eq!(sent[0], (vec![3], (7, 1, 0)));
    assert_eq!(sent.len(), 4);
    assert_eq!(rig.memory.used(), 0);
}

#[test]
fn what_was_behind_a_refused_batch_and_may_be_written_is_never_renumbered() {
    let (mut rig, out) = with_a_batch_of(2);
    rig.settle(&out[0], &at_fault(&[0]));
    rig.settle(&out[1], &Answer::Lost);
    for later in &out[2..] {
        rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    rig.wait();
    let open = rig.poll().unwrap();
    assert_eq!(open.bytes, out[1].bytes, "the old epoch is drained first");
    rig.say(&open, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert!(matches!(rig.outcome(3), Some(Outcome::Unknown(_))));
    let sent = drain(&mut rig);
    assert_eq!(sent.iter().map(|(ids, _)| ids[0]).collect::<Vec<_>>(), [2, 4, 5, 6]);
    assert!(sent.iter().all(|(_, stamp)| stamp.1 == 1));
}

#[test]
fn a_batch_that_may_be_written_is_not_taken_apart() {
    for refusal in [answer(ErrorCode::MESSAGE_TOO_LARGE, None), at_fault(&[0])] {
        let mut rig = Rig::confirmed();
        (1..=4).for_each(|id| rig.append_bytes(id, 100));
        let out = rig.poll().unwrap();
        rig.settle(&out, &Answer::Lost);
        rig.wait();
        let again = rig.poll().unwrap();
        rig.settle(&again, &refusal);
        for record in 1..=4 {
            assert!(matches!(rig.outcome(record), Some(Outcome::Unknown(Unknown::Refused { .. }))));
        }
        assert_eq!(drain(&mut rig).len(), 0);
    }
}

#[test]
fn parts_are_given_up_at_the_deadline_of_their_records() {
    let (mut rig, out) = with_a_batch_of(4);
    rig.say(&out[0], ErrorCode::MESSAGE_TOO_LARGE);
    for later in &out[1..] {
        rig.say(later, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    assert_eq!(rig.slot.lock().outstanding().map(|(_, records)| records).sum::<u32>(), 8);
    rig.now += Duration::from_secs(120);
    tell(rig.slot.lock().give_up(&GiveUp::Overdue(rig.now)));
    for record in 1..=8 {
        assert!(matches!(rig.outcome(record), Some(Outcome::NotSent(NotSent::TimedOut { .. }))), "{record}");
    }
    assert_eq!(rig.memory.used(), 0);
    rig.append(9);
    assert_eq!(drain(&mut rig), [(vec![9], (7, 1, 0))]);
}
