//! What is asked of a leader with a newer epoch, and what its answers change (KIP-320).

use super::*;
use crate::{
    consumer::{core::Validation, error::ConsumeError, test_batches::batch, test_batches::with_leader_epoch},
    error::ErrorCode,
};

/// Has handed out offsets 0 to 2 of epoch 4, when broker 2 leads under epoch 6.
fn behind() -> Consumer {
    let batches = (0..3).map(|offset| with_leader_epoch(&batch(offset, &["a"]), 4)).collect();
    let mut broker = Broker::with(vec![batches]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    assert_eq!(consumer.drain(&mut broker).len(), 3);
    consumer.led_by(2, 6);
    consumer
}

impl Consumer {
    fn led_by(&mut self, leader: i32, leader_epoch: i32) {
        let found = Leadership { topic_id: TOPIC_ID, leader: Some(leader), leader_epoch };
        self.shared.with(|core| core.apply_leaders(|_| Some(found)));
    }

    fn validations(&mut self) -> Vec<Validation> {
        self.shared.with(|core| core.take_driver_work(self.now)).validations
    }

    /// What the broker would be asked for, as (offset, epoch of what was read).
    fn wants(&mut self, broker: i32) -> Vec<(i64, i32)> {
        let wants = self.shared.with(|core| core.wants(broker, self.now));
        wants.wanted.iter().map(|it| (it.spec.fetch_offset, it.spec.last_fetched_epoch)).collect()
    }

    fn validated(&mut self, asked: &Validation, leader_epoch: i32, end_offset: i64) {
        self.shared.with(|core| core.handle_validated(asked, leader_epoch, end_offset));
    }
}

#[test]
fn promise_25_nothing_is_fetched_of_a_newer_epoch_before_its_leader_was_asked() {
    let mut consumer = behind();
    assert_eq!(consumer.wants(2), []);
    let asked = consumer.validations();
    assert_eq!(asked.len(), 1);
    let Validation { leader, leader_epoch, offset, epoch, .. } = &asked[0];
    assert_eq!((*leader, *leader_epoch, *offset, *epoch), (2, 6, 3, 4));
    assert_eq!(consumer.validations(), [], "once is enough");
    consumer.validated(&asked[0], 4, 3);
    assert_eq!(consumer.wants(2), [(3, 4)]);
    assert_eq!(consumer.validations(), []);
}

#[test]
fn promise_25_an_epoch_that_ended_sooner_is_a_truncation() {
    let mut consumer = behind();
    let asked = consumer.validations().remove(0);
    consumer.validated(&asked, 3, 1);
    assert!(matches!(
        consumer.reader.next_record(consumer.now),
        Next::Error(ConsumeError::LogTruncated { from: 3, to: 1, .. })
    ));
    assert_eq!(consumer.wants(2), [(1, 3)]);
}

#[test]
fn promise_25_what_the_leader_does_not_know_is_no_truncation() {
    let mut consumer = behind();
    let asked = consumer.validations().remove(0);
    consumer.validated(&asked, -1, -1);
    assert_eq!(consumer.wants(2), [(3, -1)]);
    assert!(consumer.record().is_none());
    let mut consumer = behind();
    let asked = consumer.validations().remove(0);
    consumer.shared.with(|core| core.handle_validation_unsupported(&asked));
    assert_eq!(consumer.wants(2), [(3, 4)], "what the fetch says must do");
}

#[test]
fn promise_25_an_answer_counts_for_what_was_asked_only() {
    let mut consumer = behind();
    let asked = consumer.validations().remove(0);
    consumer.led_by(1, 7);
    let again = consumer.validations().remove(0);
    assert_eq!((again.leader, again.leader_epoch), (1, 7));
    consumer.validated(&asked, 3, 1);
    consumer.shared.with(|core| core.handle_validation_failed(&asked, None, consumer.now));
    assert_eq!((consumer.wants(1), consumer.validations()), (vec![], vec![]));
    consumer.validated(&again, 4, 3);
    assert_eq!(consumer.wants(1), [(3, 4)]);
    // The position moved while the question was under way.
    consumer.led_by(2, 8);
    let asked = consumer.validations().remove(0);
    consumer.shared.with(|core| core.seek(&name(0), 1)).unwrap();
    consumer.validated(&asked, 3, 1);
    assert_eq!(consumer.wants(2), [(1, -1)]);
    assert!(consumer.record().is_none());
}

#[test]
fn promise_25_an_error_is_asked_again_after_a_pause() {
    let mut consumer = behind();
    let asked = consumer.validations().remove(0);
    let code = Some(ErrorCode::FENCED_LEADER_EPOCH);
    consumer.shared.with(|core| core.handle_validation_failed(&asked, code, consumer.now));
    let work = consumer.shared.with(|core| core.take_driver_work(consumer.now));
    assert!(work.refresh && work.validations.is_empty() && work.retry_at.is_some());
    consumer.now += Duration::from_secs(2);
    assert_eq!(consumer.validations(), [asked]);
}

#[test]
fn promise_25_the_group_s_commit_may_be_of_an_older_epoch() {
    for (committed, epoch, is_asked) in [(5, 4, true), (5, 5, false), (5, -1, false)] {
        let mut consumer = Consumer::new(committed_only());
        let ids = consumer.shared.with(|core| core.assign([(name(0), TOPIC_ID, Phase::Committed)]));
        consumer.follow_leaders();
        consumer.shared.with(|core| core.handle_committed_offset(ids[0], committed, epoch));
        assert_eq!(consumer.validations().len(), usize::from(is_asked), "{epoch}");
        assert_eq!(consumer.wants(1).is_empty(), is_asked);
    }
}

/// Kafka answers OFFSET_OUT_OF_RANGE also to an epoch that it does not know: no reason for a reset.
#[test]
fn promise_25_out_of_range_by_the_epoch_is_asked_again_without_one() {
    let mut broker = Broker::with(vec![vec![with_leader_epoch(&batch(0, &["a"]), 4)]]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    assert_eq!(consumer.drain(&mut broker), [(0, 0)]);
    broker.log(0).error = Some(ErrorCode::OFFSET_OUT_OF_RANGE);
    consumer.fetch(&mut broker);
    assert_eq!(broker.last_asked[0].last_fetched_epoch, 4);
    broker.log(0).batches.push(with_leader_epoch(&batch(1, &["b"]), 4));
    assert_eq!(consumer.drain(&mut broker), [(0, 1)]);
}
