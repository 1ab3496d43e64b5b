//! Task: `perf produce`: records without pause, from the first one handed over to the last one acknowledged.

use craftwire::crafting::{ProgressUpdate, SessionEvent, Topic};
use std::{collections::VecDeque, time::Duration};

use super::{
    args::{ProduceArgs, ProfileName, Shared},
    connect,
    load::{Answer, Load, Raw, Settings, Typed, topic_of},
    payloads,
    report::Report,
    usage::Mark,
};
use crate::{
    clock::SteadyClock,
    exit::{Failure, chain},
    output::note,
};

/// Runs the mode.
pub(crate) async fn run(args: ProduceArgs, shared: Shared, timeout: Duration) -> Result<Report, Failure> {
    let payloads = payloads::load(&args.load.payloads)?;
    let settings = Settings::new(&args.load, &shared, ProfileName::Throughput);
    let crafting = connect(&args.place, timeout).await?;
    let measured = match (shared.typed, topic_of(&payloads)) {
        (false, _) => send_all(Raw::start(&crafting, &args.place, payloads, settings).await?, &args).await,
        (true, Topic::Events) => {
            send_all(Typed::<SessionEvent>::start(&crafting, &payloads, settings).await?, &args).await
        }
        (true, Topic::Progress) => {
            send_all(Typed::<ProgressUpdate>::start(&crafting, &payloads, settings).await?, &args).await
        }
    };
    let Measured { start, end, errors } = measured;
    let settings = settings.json(&shared);
    Ok(Report { mode: "produce", records: args.count, start, end, errors, settings, more: ().into() })
}

struct Measured {
    start: Mark,
    end: Mark,
    errors: u64,
}

async fn send_all<L: Load>(load: L, args: &ProduceArgs) -> Measured {
    let clock = SteadyClock::start();
    let mut turn = (0..load.len()).cycle();
    let mut start = Mark::default();
    let mut answers = Answers::default();
    for count in [args.warmup, args.count] {
        answers = Answers::default();
        start = Mark::new(clock.now_ns());
        for number in 0..count {
            match load.send(turn.next().unwrap_or(0), None).await {
                Ok(answer) => answers.push(answer),
                Err(error) => answers.failed(&error),
            }
            if number % LOOK_EVERY == 0 {
                answers.take_ready();
            }
        }
        load.flush().await;
        answers.take_all();
    }
    let end = Mark::new(clock.now_ns());
    load.close(CLOSE).await;
    Measured { start, end, errors: answers.errors }
}

/// What is not answered yet, in the order in which it was sent. The client's memory bounds it.
#[derive(Debug)]
pub(crate) struct Answers<A> {
    waiting: VecDeque<A>,
    pub(crate) errors: u64,
}

impl<A> Default for Answers<A> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), errors: 0 }
    }
}

impl<A: Answer> Answers<A> {
    pub(crate) fn push(&mut self, answer: A) {
        self.waiting.push_back(answer);
    }

    /// Counts the oldest ones that have their outcome.
    pub(crate) fn take_ready(&mut self) {
        while let Some(outcome) = self.waiting.front().and_then(Answer::outcome) {
            self.waiting.pop_front();
            self.count(outcome);
        }
    }

    /// Counts all; one without an outcome is an error.
    pub(crate) fn take_all(&mut self) {
        for answer in std::mem::take(&mut self.waiting) {
            match answer.outcome() {
                Some(outcome) => self.count(outcome),
                None => self.errors += 1,
            }
        }
    }

    /// Counts a record that was not sent. The first one is told, for the rest is like it.
    pub(crate) fn failed(&mut self, error: &dyn std::error::Error) {
        if self.errors == 0 {
            note(format_args!("warning: {} (further ones are only counted)", chain(error)));
        }
        self.errors += 1;
    }

    fn count(&mut self, outcome: Result<(), A::Error>) {
        if let Err(error) = outcome {
            self.failed(&error);
        }
    }
}

/// Answers come by the batch.
const LOOK_EVERY: u64 = 256;
const CLOSE: Duration = Duration::from_secs(5);
