//! Task: brings the members of both groups together, and lets them go again.

use craftwire::{
    consumer::StartFrom,
    crafting::{Body, Crafting, ProgressUpdate, SessionEvent, Topic},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    checks::Checks,
    ids::Run,
    members::{Desk, Member, Played},
    stats::{Judged, MemberStats},
    stop::Stop,
};
use crate::{
    clock::Epoch,
    exit::{Exit, Failure, chain},
    output::note,
};

/// The desks of all members, by topic in the order of [`Topic::ALL`].
pub(crate) type Desks = [Vec<Arc<Desk>>; 2];

/// The members of both groups. Dropping it ends them without a word to the groups.
#[derive(Debug)]
pub(crate) struct Cast {
    members: JoinSet<Result<(), Failure>>,
    pub(crate) desks: Arc<Desks>,
    closing: watch::Sender<bool>,
}

/// What all members are given.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) run: Run,
    pub(crate) judged: Judged,
    /// Set when the players start.
    pub(crate) epoch: Arc<OnceLock<Epoch>>,
    /// By topic.
    pub(crate) checks: [Arc<Checks>; 2],
    pub(crate) start_from: StartFrom,
}

impl Cast {
    /// Has as many members join each group as it has at full size.
    pub(crate) async fn join(crafting: &Crafting, part: &Part) -> Result<Self, Failure> {
        let mut cast =
            Self { members: JoinSet::new(), desks: Arc::default(), closing: watch::Sender::new(false) };
        let mut desks: Desks = Default::default();
        for _ in 0..Topic::Events.group().consumers() {
            desks[0].push(cast.join_one::<SessionEvent>(crafting, part).await?);
        }
        for _ in 0..Topic::Progress.group().consumers() {
            desks[1].push(cast.join_one::<ProgressUpdate>(crafting, part).await?);
        }
        cast.desks = Arc::new(desks);
        Ok(cast)
    }

    async fn join_one<B: Played>(&mut self, crafting: &Crafting, part: &Part) -> Result<Arc<Desk>, Failure> {
        let subscriber = B::builder(crafting)
            .start_from(part.start_from)
            .build()
            .await
            .map_err(|error| Failure::because(Exit::Failed, "joining the groups", &error))?;
        let desk = Arc::new(Desk::new(MemberStats::new(part.judged)));
        let at = usize::from(<B as Body>::TOPIC == Topic::Progress);
        let member = Member {
            subscriber,
            run: part.run,
            epoch: part.epoch.clone(),
            checks: part.checks[at].clone(),
            desk: desk.clone(),
        };
        self.members.spawn(member.read(self.closing.subscribe()));
        Ok(desk)
    }

    /// Waits until every member has its share of the partitions.
    pub(crate) async fn assemble(&mut self, stop: &Stop) -> Result<(), Failure> {
        let desks = self.desks.clone();
        let shared_out = async {
            while !Topic::ALL.iter().zip(desks.iter()).all(|(topic, desks)| is_shared_out(*topic, desks)) {
                sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            shared_out = timeout(ASSEMBLE_TIMEOUT, shared_out) => match shared_out {
                Ok(()) => Ok(()),
                Err(_) => {
                    let [events, progress] = self.desks.each_ref().map(|desks| shares(desks));
                    let message = format!(
                        "the groups did not share out their partitions within {ASSEMBLE_TIMEOUT:?}: the members have \
                         {events:?} and {progress:?}"
                    );
                    Err(Failure::new(Exit::Failed, message).hint("Other members may be in the groups; stop them first."))
                }
            },
            failure = self.first_failure() => Err(failure),
            () = stop.asked() => Err(Failure::new(Exit::Failed, "interrupted before the players began")),
        }
    }

    /// Waits until a member fails; for ever if none does.
    pub(crate) async fn first_failure(&mut self) -> Failure {
        loop {
            match self.members.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => return failure,
                Some(Err(error)) => return Failure::because(Exit::Failed, "a member's task", &error),
                None => std::future::pending().await,
            }
        }
    }

    /// Has all members leave, which commits what they handled.
    pub(crate) async fn leave(mut self) {
        self.closing.send_replace(true);
        while let Some(ended) = self.members.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => note(failure),
                Err(error) => note(format_args!("warning: a member ended badly: {}", chain(&error))),
            }
        }
    }
}

fn is_shared_out(topic: Topic, desks: &[Arc<Desk>]) -> bool {
    let share = usize::from(topic.partitions()).checked_div(desks.len());
    shares(desks).into_iter().all(|partitions| Some(partitions) == share)
}

fn shares(desks: &[Arc<Desk>]) -> Vec<usize> {
    desks.iter().map(|desk| desk.partitions()).collect()
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Some heartbeats of the slowest group that a broker allows by default.
const ASSEMBLE_TIMEOUT: Duration = Duration::from_secs(60);
