//! Reads session events as a member of the group `crafting_processor`, until Ctrl-C.
//!
//! `cargo run --example subscribe -- 127.0.0.1:9092`

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use craftwire::crafting::{Crafting, Parsed, SessionEvent};
use std::{error::Error, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).ok_or("usage: subscribe HOST:PORT")?;
    let crafting = Crafting::connect(&bootstrap).await?;
    let mut events = crafting.session_events().build().await?;
    loop {
        let delivered = tokio::select! {
            delivered = events.recv() => delivered,
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(delivered) = delivered else { break };
        let delivered = match delivered {
            Ok(delivered) => delivered,
            Err(error) if !error.is_fatal() => {
                println!("{error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match delivered.parsed() {
            Parsed::Event(event) => match event.body() {
                SessionEvent::Start(start) => {
                    println!("{} begins recipe {}", start.session_id, start.recipe_id);
                }
                SessionEvent::Complete(done) => println!("{} made {}", done.session_id, done.result_item_id),
                other => println!("{other:?}"),
            },
            Parsed::Unknown(newer) => println!("an event of a newer kind: {}", newer.event_type),
            Parsed::Malformed(bad) => println!("not an event: {}", bad.violation),
        }
        // Only now: an event that is not acknowledged comes again.
        delivered.ack();
    }
    // Commits what was acknowledged and leaves the group, so that others take over at once.
    events.close(Duration::from_secs(10)).await?;
    Ok(())
}
