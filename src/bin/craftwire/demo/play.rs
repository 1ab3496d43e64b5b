//! Task: one run, from the members' start to the summary.

use craftwire::{
    consumer::StartFrom,
    crafting::{Crafting, Publisher, Topic},
};
use std::{
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use super::{
    cast::{Cast, Part},
    checks::Checks,
    ground::Ground,
    ids::Run,
    panel::Heading,
    plan::{self, Sizes},
    players::{Plan, Players},
    publishing::{Ledger, Stage, settle},
    stop::Stop,
    summary::{Summary, TopicResult},
    watch::{Display, Watch, group_lag, print},
};
use crate::{
    args::DemoArgs,
    clock::{Epoch, wall_clock_ms},
    exit::{Exit, Failure},
    output::{note, stdout_has_colour},
};

/// Plays, shows, and judges.
pub(crate) async fn play(
    crafting: &Crafting,
    args: &DemoArgs,
    ground: &Ground,
    run: Run,
    seed: u64,
    stop: Stop,
) -> Result<Exit, Failure> {
    let judged = plan::judged(args.length);
    let sizes =
        Sizes::of(args).ok_or_else(|| Failure::new(Exit::Usage, "--for: too long for so many events"))?;
    let publisher = crafting
        .publisher("demo.players")
        .build()
        .await
        .map_err(|error| Failure::because(Exit::Failed, "publishing", &error))?;

    let part = Part {
        run,
        judged,
        epoch: Arc::default(),
        checks: [0, 1].map(|at| Arc::new(Checks::new(Topic::ALL[at], sizes.0[at]))),
        // Nobody else writes to the run's own topics, so they are read whole.
        start_from: if ground.is_shared() { StartFrom::Latest } else { StartFrom::Earliest },
    };
    note("The members join their groups…");
    let mut cast = Cast::join(crafting, &part).await?;
    if let Err(failure) = cast.assemble(&stop).await {
        cast.leave().await;
        return Err(failure);
    }
    if ground.is_shared() {
        // The members look up where their partitions end; what is published before that they would not see.
        sleep(LOOK_UP).await;
    }

    let game = Game {
        crafting: crafting.clone(),
        publisher,
        ledger: Arc::new(Ledger::new(sizes.0)),
        checks: part.checks.clone(),
    };
    let players = Players::new(Plan {
        sessions: args.sessions,
        events_rate: args.events_rate,
        seed,
        started_ms: wall_clock_ms(),
    });
    let epoch = start(&part.epoch);
    let watch = Watch::new(epoch, &game.publisher, &game.ledger, &cast.desks);
    let heading = Heading { length: args.length, sessions: args.sessions, ground: ground.label() };
    let mut display = Display::choose(args.json, heading);
    let mut helpers = JoinSet::new();
    helpers.spawn(Arc::clone(&watch.lags).follow(crafting.clone()));

    let ended = tokio::select! {
        played_us = game.run(players, run, epoch, judged.until_us, stop) => Ok(played_us),
        error = watch.show(&mut display) => Err(error.end()),
        failure = cast.first_failure() => Err(Err(failure)),
    };
    cast.leave().await;
    let played_us = match ended {
        Ok(played_us) => played_us,
        Err(ended) => return ended,
    };

    let summary = game.sum_up(args, &watch, played_us).await;
    let exit = summary.exit(args.assert_slo);
    let text = match display.is_json() {
        true => format!("{}\n", summary.json(exit == Exit::Done)),
        false => format!("\n{}", summary.text(stdout_has_colour())),
    };
    print(&text).map_or_else(|error| error.end(), |()| Ok(exit))
}

fn start(epoch: &OnceLock<Epoch>) -> Epoch {
    *epoch.get_or_init(Epoch::now)
}

struct Game {
    crafting: Crafting,
    publisher: Publisher,
    ledger: Arc<Ledger>,
    checks: [Arc<Checks>; 2],
}

impl Game {
    /// Plays until `until_us`, then waits until everything published came back, or nothing more comes. Returns how
    /// long was played.
    async fn run(&self, players: Players, run: Run, epoch: Epoch, until_us: u64, stop: Stop) -> u64 {
        let (receipts, settled) = mpsc::channel(RECEIPT_BATCHES_MAX);
        let mut settling = JoinSet::new();
        settling.spawn(settle(settled, self.ledger.clone()));
        let stage = Stage::new(self.publisher.clone(), players, run, epoch, self.ledger.clone(), receipts);
        let mut playing = JoinSet::new();
        playing.spawn(stage.play(until_us, stop));
        while playing.join_next().await.is_some() {}
        let played_us = epoch.elapsed_us().min(until_us);

        self.publisher.close(CLOSE_TIMEOUT).await;
        while settling.join_next().await.is_some() {}
        self.all_received().await;
        played_us
    }

    async fn all_received(&self) {
        let mut missing = self.missing();
        let mut quiet = Duration::ZERO;
        while missing != [0; 2] && quiet < RECEIVE_QUIET_MAX {
            sleep(LOOK_EVERY).await;
            let before = std::mem::replace(&mut missing, self.missing());
            quiet = if before == missing { quiet + LOOK_EVERY } else { Duration::ZERO };
            if quiet == RECEIVE_QUIET_TOLD {
                let [events, updates] = missing;
                note(format_args!(
                    "Waiting for {events} events and {updates} updates that did not come back yet…"
                ));
            }
        }
        // A duplicate would come after what it duplicates.
        sleep(LINGER).await;
    }

    /// What was published and did not come back yet, by topic.
    fn missing(&self) -> [u64; 2] {
        let progress = self.publisher.metrics().progress;
        // Receipts of offers are dropped, so which of them failed is not known, only how many.
        let failed = progress.records_not_sent + progress.records_unknown;
        [
            self.checks[0].missing(&self.ledger.acked),
            self.checks[1].missing(&self.ledger.offered).saturating_sub(failed),
        ]
    }

    async fn sum_up(&self, args: &DemoArgs, watch: &Watch, played_us: u64) -> Summary {
        let from_us = plan::judged(args.length).from_us;
        let judged_us = played_us.saturating_sub(from_us);
        let metrics = self.publisher.metrics();
        let [lost_events, lost_progress] = self.missing();
        let [events_tally, progress_tally] = watch.tallies();
        let [events_latency, progress_latency] = watch.steady().map(|steady| steady.quantiles());
        let lag = |topic: Topic| group_lag(&self.crafting, topic.group());
        let events = TopicResult {
            topic: Topic::Events,
            published: self.ledger.events_acked.load(Relaxed),
            not_published: self.ledger.events_not_sent.load(Relaxed),
            unknown: self.ledger.events_unknown.load(Relaxed),
            lost: lost_events,
            tally: events_tally,
            latency: events_latency,
            rate: plan::rate(events_tally.received_judged, judged_us),
            rate_asked: args.events_rate.map(f64::from),
            lag: lag(Topic::Events).await,
        };
        let progress = TopicResult {
            topic: Topic::Progress,
            published: metrics.progress.records_acked,
            not_published: metrics.offers_refused + metrics.progress.records_not_sent,
            unknown: metrics.progress.records_unknown,
            lost: lost_progress,
            tally: progress_tally,
            latency: progress_latency,
            rate: plan::rate(progress_tally.received_judged, judged_us),
            rate_asked: Some(plan::progress_rate(args)),
            lag: lag(Topic::Progress).await,
        };
        Summary { topics: [events, progress], warm_up_s: (judged_us > 0).then(|| plan::seconds(from_us)) }
    }
}

/// A batch holds the receipts of a tick.
const RECEIPT_BATCHES_MAX: usize = 4096;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// If a member was lost, its partitions go to others when its session of 30 s is over.
const RECEIVE_QUIET_MAX: Duration = Duration::from_secs(40);
const RECEIVE_QUIET_TOLD: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LINGER: Duration = Duration::from_millis(200);
const LOOK_UP: Duration = Duration::from_secs(1);
