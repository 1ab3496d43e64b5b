//! A steady load, round the partitions.

use craftwire::{Producer, ProducerRecord, producer::Delivery};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::interval};

/// A load that runs until it is ended.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<u64>,
}

impl Load {
    /// So many records a second, each of the size of an event.
    pub(super) fn start(producer: Producer, topic: &str, partitions: i32, rate: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let topic = topic.to_owned();
        let task = tokio::spawn(send(producer, topic, partitions, rate / 1000, stopped));
        Self { stop, task }
    }

    /// How many were acked, which must be all.
    pub(super) async fn end(self) -> u64 {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

async fn send(
    producer: Producer,
    topic: String,
    partitions: i32,
    each_ms: u32,
    stopped: watch::Receiver<bool>,
) -> u64 {
    let mut pace = interval(Duration::from_millis(1));
    let mut open: VecDeque<Delivery> = VecDeque::new();
    let mut acked = 0;
    let mut partitions = (0..partitions).cycle();
    while !*stopped.borrow() {
        pace.tick().await;
        for partition in partitions.by_ref().take(each_ms.try_into().unwrap()) {
            let record = ProducerRecord::new(topic.as_str(), &VALUE[..]).partition(partition);
            open.push_back(producer.send(record).await.unwrap());
        }
        while let Some(outcome) = open.front().and_then(Delivery::outcome) {
            outcome.unwrap();
            acked += 1;
            open.pop_front();
        }
    }
    for delivery in open {
        delivery.await.unwrap();
        acked += 1;
    }
    acked
}

/// As long as an event usually is.
static VALUE: [u8; 430] = [b'e'; 430];
