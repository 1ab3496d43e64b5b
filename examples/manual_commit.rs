//! Reads any topic in batches and commits when the work of a batch is safe.
//!
//! `cargo run --example manual_commit -- 127.0.0.1:9092 TOPIC GROUP`

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use craftwire::Client;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group] = args.as_slice() else {
        return Err("usage: manual_commit HOST:PORT TOPIC GROUP".into());
    };
    let client = Client::connect(bootstrap).await?;
    let mut consumer = client
        .consumer()
        .topics([topic.as_str()])
        .group(group.as_str())
        .commit_interval(None)
        .build()
        .await?;
    while let Some(batch) = consumer.recv_batch().await {
        let batch = batch?;
        let bytes: usize = batch.iter().filter_map(|record| record.value()).map(<[u8]>::len).sum();
        println!("{}: {} records, {bytes} bytes", batch.topic_partition(), batch.len());
        consumer.ack_batch(&batch);
        consumer.commit().await?;
    }
    Ok(())
}
