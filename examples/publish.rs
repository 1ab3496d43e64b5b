//! Publishes the life of one crafting session.
//!
//! `cargo run --example publish -- 127.0.0.1:9092`

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use craftwire::crafting::{
    Crafting, CraftingDuration, Material, MaterialQuality, Materials, Percent, ProgressUpdate, Quality,
    Quantity, SessionComplete, SessionStart, Status,
};
use std::{error::Error, time::Duration};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).ok_or("usage: publish HOST:PORT")?;
    let crafting = Crafting::connect(&bootstrap).await?;
    crafting.topics().ensure().await?.require_clean()?;
    let publisher = crafting.publisher("crafting.network").build().await?;

    let (session, player) = (Uuid::new_v4(), Uuid::new_v4());
    let mut ore = Material::new(Uuid::new_v4(), Quantity::new(5)?);
    ore.quality = Some(MaterialQuality::Common);
    let start = SessionStart::new(session, Uuid::new_v4(), player).with_materials(Materials::new(vec![ore])?);
    publisher.publish(start).await?;

    // Progress is late by the time it would be sent again, so nobody waits for it.
    for percent in [25, 50, 75, 100] {
        publisher.offer(ProgressUpdate::new(session, Percent::new(percent)?, Status::Active))?;
    }

    let done = SessionComplete::new(session, Uuid::new_v4(), CraftingDuration::new(12)?);
    // Two awaits: the first until the event is taken, the second until the brokers have it.
    let receipt = publisher.enqueue(done.with_quality(Quality::Rare)).await?;
    let published = receipt.await?;
    println!("session {session} is in partition {} of {}", published.partition, published.topic);

    let report = publisher.close(Duration::from_secs(10)).await;
    println!("{report:?}");
    Ok(())
}
