//! Readers without a group: each reads all there is from the start, once and in order. One is there from the start, one
//! comes when all is over and meets what compaction, retention and transactions left.

use crate::{
    checker::Kind,
    history::{Event, Place, read_value},
    schedule::TOPICS,
    world::{Stage, World, pause},
};
use craftwire::{
    consumer::{ConsumeError, Consumer, ConsumerEvent, ConsumerRecord, Events, TopicPartition},
    error::RequestError,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use tokio::select;

/// Reads from a stage of the run on until it ends.
pub(crate) async fn run(world: World, client: usize, from: Stage) {
    world.until(from).await;
    let reader = world.add_reader(false);
    let client = world.client(client, 0).await;
    let settings = world.settings();
    let mut consumer = loop {
        let builder =
            client.consumer().topics(TOPICS.map(|(topic, _)| topic)).fetch_max_wait(settings.fetch_max_wait);
        match builder.build().await {
            Ok(consumer) => break consumer,
            Err(error) if may_pass(&world, &error) => pause(200).await,
            Err(error) => return world.violation(Kind::Error, format!("the reader: {error:?}")),
        }
    };
    drop(client);
    let mut events = consumer.events();
    loop {
        select! {
            biased;
            () = world.until(Stage::Close) => break,
            next = next(&mut consumer, &mut events) => match next {
                Next::Record(record) => drop(note_record(&world, reader, &consumer, &record)),
                Next::Event(event) => note_event(&world, reader, event),
                Next::Error(error) => note_error(&world, reader, &error),
                Next::End => return world.violation(Kind::Error, "the reader ended by itself"),
            },
        }
    }
    if let Err(error) = consumer.close().await {
        world.violation(Kind::Error, format!("closing the reader: {error:?}"));
    }
    world.record(reader, Event::Gone);
}

/// Whether starting is worth another try. One fault has brokers say that there is no such topic.
pub(crate) fn may_pass(world: &World, error: &ConsumeError) -> bool {
    let is_unknown = matches!(error, ConsumeError::Start(RequestError::UnknownTopic { .. }));
    error.is_retriable() || is_unknown && world.stage() == Stage::Faults
}

/// What comes next from a consumer.
pub(crate) enum Next {
    Event(ConsumerEvent),
    Record(ConsumerRecord),
    Error(ConsumeError),
    End,
}

/// Events first, so that a record that comes out behind a revoke is noted behind it.
pub(crate) async fn next(consumer: &mut Consumer, events: &mut Events) -> Next {
    let mut event = pin!(events.next());
    let mut record = pin!(consumer.recv());
    poll_fn(|cx| {
        if let Poll::Ready(Some(event)) = event.as_mut().poll(cx) {
            return Poll::Ready(Next::Event(event));
        }
        record.as_mut().poll(cx).map(|record| match record {
            Some(Ok(record)) => Next::Record(record),
            Some(Err(error)) => Next::Error(error),
            None => Next::End,
        })
    })
    .await
}

pub(crate) fn note_record(
    world: &World,
    reader: usize,
    consumer: &Consumer,
    record: &ConsumerRecord,
) -> Place {
    let at = record.topic_partition();
    let is_assigned = consumer.assignment().contains(&at);
    let place = place(&at);
    let id = record.value().and_then(read_value).map(|(id, _)| id);
    world.record(reader, Event::Read { place, offset: record.offset(), id, is_assigned });
    place
}

pub(crate) fn note_event(world: &World, reader: usize, event: ConsumerEvent) {
    let places = |list: Vec<TopicPartition>| list.iter().map(place).collect();
    let event = match event {
        ConsumerEvent::Assigned(list) => Event::Assigned(places(list)),
        ConsumerEvent::Revoked(list) => Event::Revoked(places(list)),
        ConsumerEvent::Lost(list) => Event::Lost(places(list)),
        ConsumerEvent::Reset { partition, from, to } => Event::Reset { place: place(&partition), from, to },
        // An outage may last for longer than that.
        ConsumerEvent::Stalled { .. } | ConsumerEvent::Resumed { .. } => return,
        other => Event::Failed(format!("{other:?}")),
    };
    world.record(reader, event);
}

/// A broker that refuses a partition for a while is one of the faults; nothing else is.
pub(crate) fn note_error(world: &World, reader: usize, error: &ConsumeError) {
    if !matches!(error, ConsumeError::Partition { .. } | ConsumeError::Stalled { .. }) {
        world.record(reader, Event::Failed(format!("{error:?}")));
    }
}

pub(crate) fn place(at: &TopicPartition) -> Place {
    let topic = TOPICS.iter().position(|(topic, _)| **topic == *at.topic);
    (topic.unwrap_or(usize::MAX), at.partition)
}
