//! Task: `tail`: a topic as lines of JSON.
//!
//! Invariant: a record is acknowledged only after its line was written, so a group never skips what nobody saw.

use craftwire::crafting::{
    Body, Crafting, Delivered, Parsed, ProgressUpdate, SessionEvent, Subscriber, SubscriberBuilder, Topic,
};
use std::{future::ready, time::Duration};

use crate::{
    args::TailArgs,
    connect::connect,
    exit::{Exit, Failure, chain},
    ndjson::{self, Place},
    output::{Data, DataError, note, stdout_is_terminal},
    signals::interrupted,
    start::Start,
};

/// Runs the command.
pub(crate) async fn run(args: TailArgs, timeout: Duration) -> Result<Exit, Failure> {
    let crafting = connect(&args.brokers.brokers, timeout, "").await?;
    match Topic::from(args.topic) {
        Topic::Events => read::<SessionEvent>(&args, Crafting::session_events(&crafting)).await,
        Topic::Progress => read::<ProgressUpdate>(&args, Crafting::progress(&crafting)).await,
    }
}

async fn read<B: Body>(args: &TailArgs, builder: SubscriberBuilder<B>) -> Result<Exit, Failure> {
    let builder = match &args.group {
        Some(group) => builder.group(group),
        None => builder.without_group(),
    };
    let mut subscriber = builder
        .start_from(Start::resolve(args.from, args.group.is_some()))
        .build()
        .await
        .map_err(|error| Failure::because(Exit::Failed, "reading", &error))?;
    let mut printer = Printer::new(args.count);
    let ended = tokio::select! {
        ended = print_all(&mut subscriber, &mut printer) => ended,
        () = interrupted() => Ok(Exit::Done),
    };
    // What is written but not flushed yet counts as read only if it can still be flushed.
    let flushed = printer.flush();
    if let Err(error) = subscriber.close(CLOSE_TIMEOUT).await
        && args.group.is_some()
    {
        note(format_args!("the last commit failed, so some events will come again: {}", chain(&error)));
    }
    let ended = ended?;
    flushed.map_or_else(DataError::end, |()| Ok(ended))
}

async fn print_all<B: Body>(
    subscriber: &mut Subscriber<B>,
    printer: &mut Printer<B>,
) -> Result<Exit, Failure> {
    while !printer.is_done() {
        let next = tokio::select! {
            biased;
            next = subscriber.recv() => next,
            // Nothing more is here yet: show what there is, then wait.
            () = ready(()) => {
                if let Err(error) = printer.flush() {
                    return error.end();
                }
                subscriber.recv().await
            }
        };
        match next {
            Some(Ok(delivered)) => {
                if let Err(error) = printer.print(delivered) {
                    return error.end();
                }
            }
            Some(Err(error)) if error.is_fatal() => {
                return Err(Failure::because(Exit::Failed, "reading", &error));
            }
            Some(Err(error)) => note(format_args!("warning: {}", chain(&error))),
            None => break,
        }
    }
    Ok(Exit::Done)
}

/// Writes lines, and keeps what was written until it is flushed.
struct Printer<B> {
    out: Data,
    line: Vec<u8>,
    unflushed: Vec<Delivered<B>>,
    unflushed_max: usize,
    left: Option<u64>,
}

impl<B: Body> Printer<B> {
    fn new(count: Option<u64>) -> Self {
        // A terminal is read by a person, who waits for every line.
        let unflushed_max = if stdout_is_terminal() { 1 } else { UNFLUSHED_MAX };
        Self { out: Data::stdout(), line: Vec::new(), unflushed: Vec::new(), unflushed_max, left: count }
    }

    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn print(&mut self, delivered: Delivered<B>) -> Result<(), DataError> {
        self.line.clear();
        let record = delivered.record();
        let place = Place::from(record);
        let raw = record.value().unwrap_or_default();
        match delivered.parsed() {
            Parsed::Malformed(malformed) => {
                ndjson::malformed(raw, &malformed.violation, &place, &mut self.line);
            }
            Parsed::Event(_) | Parsed::Unknown(_) => {
                // Both were read from a JSON object, which these bytes are therefore.
                ndjson::with_place(raw, &place, &mut self.line);
            }
        }
        let written = self.out.line(&self.line);
        self.unflushed.push(delivered);
        written?;
        self.left = self.left.map(|left| left - 1);
        if self.is_done() || self.unflushed.len() >= self.unflushed_max { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DataError> {
        self.out.flush()?;
        for delivered in self.unflushed.drain(..) {
            // Where the partition is gone meanwhile, its new reader prints the event again.
            let _ = delivered.ack();
        }
        Ok(())
    }
}

const UNFLUSHED_MAX: usize = 512;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
