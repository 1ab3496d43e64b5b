//! Task: `publish`: lines of JSON onto a topic, each checked, each published as the bytes that it is.

use bytes::BytesMut;
use craftwire::crafting::{PublishError, Publisher, Topic, Violation};
use indicatif::{ProgressBar, ProgressStyle};
use std::{fmt, path::Path, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    args::PublishArgs,
    connect::connect,
    exit::{Exit, Failure, chain},
    lines::{Line, Lines},
    output::{note, stderr_is_terminal},
    signals::interrupted,
    window::Window,
};

/// Runs the command.
pub(crate) async fn run(args: PublishArgs, timeout: Duration) -> Result<Exit, Failure> {
    let topic = Topic::from(args.topic);
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    // The file first: a wrong name is told sooner than an unreachable cluster.
    let (source, bar) = open(file).await?;
    let crafting = connect(&args.brokers.brokers, timeout, "").await?;
    let publisher = crafting
        .publisher(SOURCE)
        .build()
        .await
        .map_err(|error| Failure::because(Exit::Failed, "publishing", &error).hint(ENSURE_HINT))?;

    let mut job =
        Job { topic, publisher, window: Window::new(IN_FLIGHT_MAX), counts: Counts::default(), bar };
    let read = tokio::select! {
        read = job.publish_all(source) => read,
        () = interrupted() => {
            job.tell("interrupted: waiting for the answers to what was handed over");
            Ok(())
        }
    };
    job.finish().await;
    note(&job.counts);
    read?;
    Ok(if job.counts.refused + job.counts.failed > 0 { Exit::Partly } else { Exit::Done })
}

type Source = Box<dyn AsyncRead + Unpin + Send>;

async fn open(file: Option<&Path>) -> Result<(Source, ProgressBar), Failure> {
    let Some(path) = file else { return Ok((Box::new(tokio::io::stdin()), ProgressBar::hidden())) };
    let failed = |error| Failure::because(Exit::Failed, &format!("opening {}", path.display()), &error);
    let opened = tokio::fs::File::open(path).await.map_err(failed)?;
    let len = opened.metadata().await.map_or(0, |metadata| metadata.len());
    let bar = if stderr_is_terminal() && len > 0 { ProgressBar::new(len) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    Ok((Box::new(opened), bar))
}

struct Job {
    topic: Topic,
    publisher: Publisher,
    /// By line number.
    window: Window<u64>,
    counts: Counts,
    bar: ProgressBar,
}

#[derive(Debug, Default)]
struct Counts {
    published: u64,
    refused: u64,
    failed: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, refused, failed } = self;
        write!(f, "published {published}, refused {refused}, failed {failed}")
    }
}

impl Job {
    /// Hands over all lines of `source`, and counts the answers that come meanwhile.
    async fn publish_all(&mut self, mut source: Source) -> Result<(), Failure> {
        let mut lines = Lines::new(self.topic.max_message_bytes());
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let mut ready = Vec::new();
        loop {
            chunk.clear();
            let read = tokio::select! {
                read = source.read_buf(&mut chunk) => read,
                (line, answer) = self.window.next() => {
                    self.answered(line, answer);
                    continue;
                }
            };
            let read = read.map_err(|error| Failure::because(Exit::Failed, "reading the events", &error))?;
            if read == 0 {
                break;
            }
            lines.push(&chunk, |line| ready.push(line));
            for line in ready.drain(..) {
                self.publish(line).await;
            }
            self.bar.inc(u64::try_from(read).unwrap_or(0));
        }
        if let Some(line) = lines.finish() {
            self.publish(line).await;
        }
        Ok(())
    }

    async fn publish(&mut self, line: Line) {
        if line.is_blank() {
            return;
        }
        if line.is_cut()
            && let Err(violation) = self.topic.check_size(0, line.len, &[])
        {
            self.refused(line.number, &violation);
            return;
        }
        while self.window.is_full() {
            let (line, answer) = self.window.next().await;
            self.answered(line, answer);
        }
        match self.publisher.enqueue_json(self.topic, line.bytes).await {
            Ok(receipt) => self.window.push(line.number, receipt),
            Err(PublishError::Invalid(violation)) => self.refused(line.number, &violation),
            Err(error) => self.failed(line.number, &error),
        }
    }

    /// Waits for all answers that are still to come.
    async fn finish(&mut self) {
        let answers = async {
            while !self.window.is_empty() {
                let (line, answer) = self.window.next().await;
                self.answered(line, answer);
            }
        };
        tokio::select! {
            () = answers => {}
            () = interrupted() => {}
        }
        // Whatever has no answer yet gets one here.
        self.publisher.close(CLOSE_TIMEOUT).await;
        while !self.window.is_empty() {
            let (line, answer) = self.window.next().await;
            self.answered(line, answer);
        }
        self.bar.finish_and_clear();
    }

    fn answered(&mut self, line: u64, answer: Result<craftwire::crafting::Published, PublishError>) {
        match answer {
            Ok(_) => self.counts.published += 1,
            Err(error) => self.failed(line, &error),
        }
    }

    fn refused(&mut self, line: u64, violation: &Violation) {
        self.counts.refused += 1;
        let Violation { path, rule, value, .. } = violation;
        self.tell(&format!("line {line}: {path}: {rule}: {value}"));
    }

    fn failed(&mut self, line: u64, error: &PublishError) {
        self.counts.failed += 1;
        self.tell(&format!("line {line}: not published: {}", chain(error)));
    }

    fn tell(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }
}

/// Where events come from that name no source: those of this command all do.
const SOURCE: &str = "craftwire.publish";
const ENSURE_HINT: &str = "If the topics do not exist yet, make them with: craftwire topics ensure";
/// Enough for thousands a second at a round trip of half a second.
const IN_FLIGHT_MAX: usize = 4096;
const CHUNK_BYTES: usize = 64 * 1024;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
const BAR: &str = "{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
