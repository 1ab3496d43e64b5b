//! Task: `demo`: players play, members of both groups read, and a panel shows how it goes.

mod cast;
mod checks;
mod ground;
mod ids;
mod members;
mod meter;
mod panel;
mod plan;
mod play;
mod players;
mod publishing;
mod random;
mod session;
mod stats;
mod stop;
mod summary;
mod watch;

use craftwire::crafting::{Crafting, TopicOutcome};
use std::time::Duration;
use uuid::Uuid;

use crate::{
    args::DemoArgs,
    connect::connect,
    exit::{Exit, Failure},
    output::note,
};

use self::{ground::Ground, ids::Run, stop::Stop};

/// Runs the command.
pub(crate) async fn run(args: DemoArgs, timeout: Duration) -> Result<Exit, Failure> {
    if args.assert_slo && args.length <= plan::WARM_UP_MIN {
        let message = "--assert-slo: nothing is judged in the first 3 s, so --for must be longer";
        return Err(Failure::new(Exit::Usage, message));
    }
    if args.shared && args.brokers.is_none() {
        return Err(Failure::new(Exit::Usage, "--shared: there are real topics only where --brokers says"));
    }
    let (random, seed) = Uuid::new_v4().as_u64_pair();
    let run = Run::new(random);
    let ground = Ground::choose(&args, run)?;
    let crafting = connect(ground.bootstrap(), timeout, ground.suffix()).await?;
    let stop = Stop::on_interrupt();

    let played = tokio::select! {
        played = play_on(&crafting, &args, &ground, run, seed, stop.clone()) => played,
        () = stop.at_once() => Err(Failure::new(Exit::Failed, "interrupted twice: ended without a summary")),
    };
    if ground.is_own() {
        clean_up(&crafting).await;
    }
    played
}

async fn play_on(
    crafting: &Crafting,
    args: &DemoArgs,
    ground: &Ground,
    run: Run,
    seed: u64,
    stop: Stop,
) -> Result<Exit, Failure> {
    let found = crafting.topics().ensure().await;
    let found = found.map_err(|error| Failure::because(Exit::Failed, "making the topics", &error))?;
    for topic in found.topics {
        if let TopicOutcome::Drift(drifts) = &topic.outcome {
            drifts.iter().for_each(|drift| note(format_args!("warning: topic {}: {drift}", topic.name)));
        }
    }
    ground.introduce(crafting);
    play::play(crafting, args, ground, run, seed, stop).await
}

/// Deletes what the run made. What stays is said.
async fn clean_up(crafting: &Crafting) {
    let deleted = tokio::time::timeout(CLEAN_UP_TIMEOUT, crafting.topics().delete()).await;
    let why = match deleted {
        Ok(Ok(())) => return,
        Ok(Err(error)) => crate::exit::chain(&error),
        Err(_) => format!("no answer within {CLEAN_UP_TIMEOUT:?}"),
    };
    let [events, progress] = craftwire::crafting::Topic::ALL.map(|topic| crafting.topic_name(topic));
    note(format_args!("warning: {events} and {progress} could not be deleted: {why}"));
}

const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(20);
