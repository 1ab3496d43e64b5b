//! Progress updates, on `game.crafting.progress`.
//!
//! Invariant: a reason of failure exists only inside [`Status::Failed`].

use std::borrow::Cow;

use uuid::Uuid;

use super::{
    event::{Body, sealed},
    form::{Borrowed, Form, Owned, ReadForm},
    json::{self, Node, ObjectWriter, Out, ToJson, place},
    names::Named,
    topic::Topic,
    values::{EventType, Percent, QualityScore, Seconds},
    violation::{Rule, Violation},
};

/// How far a session is, right now.
///
/// ```
/// use craftwire::crafting::{Percent, ProgressUpdate, Seconds, Status};
/// use uuid::Uuid;
///
/// let update = ProgressUpdate::new(Uuid::from_u128(1), Percent::new(42)?, Status::Active)
///     .with_elapsed(Seconds::new(126)?)
///     .with_current_step("forging", Some(Percent::new(60)?));
/// assert_eq!(update.progress.get(), 42);
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgressUpdate<F: Form = Owned> {
    /// The session.
    pub session_id: Uuid,
    /// Who is watching it.
    pub player_id: Option<Uuid>,
    /// How far the whole is (`progress_percent`).
    pub progress: Percent,
    /// What it is doing, and why it failed if it did.
    pub status: F::Status,
    /// How long it has been going.
    pub elapsed: Option<Seconds>,
    /// How long it still takes.
    pub remaining: Option<Seconds>,
    /// The name of the step it is at.
    pub current_step: Option<F::Text>,
    /// How far that step is.
    pub step_progress: Option<Percent>,
    /// All its steps.
    pub steps: Option<F::Steps>,
    /// How good the result would be now.
    pub current_quality: Option<QualityScore>,
    /// How good it should become.
    pub target_quality: Option<QualityScore>,
}

impl ProgressUpdate {
    /// An update with the required fields.
    pub const fn new(session_id: Uuid, progress: Percent, status: Status) -> Self {
        Self {
            session_id,
            player_id: None,
            progress,
            status,
            elapsed: None,
            remaining: None,
            current_step: None,
            step_progress: None,
            steps: None,
            current_quality: None,
            target_quality: None,
        }
    }

    /// Sets `player_id`.
    #[must_use]
    pub const fn with_player_id(mut self, id: Uuid) -> Self {
        self.player_id = Some(id);
        self
    }

    /// Sets `elapsed_seconds`.
    #[must_use]
    pub const fn with_elapsed(mut self, elapsed: Seconds) -> Self {
        self.elapsed = Some(elapsed);
        self
    }

    /// Sets `remaining_seconds`.
    #[must_use]
    pub const fn with_remaining(mut self, remaining: Seconds) -> Self {
        self.remaining = Some(remaining);
        self
    }

    /// Sets `current_step` and `step_progress`.
    #[must_use]
    pub fn with_current_step(mut self, name: impl Into<String>, progress: Option<Percent>) -> Self {
        self.current_step = Some(name.into());
        self.step_progress = progress;
        self
    }

    /// Sets `steps`.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Sets `current_quality`.
    #[must_use]
    pub const fn with_current_quality(mut self, quality: QualityScore) -> Self {
        self.current_quality = Some(quality);
        self
    }

    /// Sets `target_quality`.
    #[must_use]
    pub const fn with_target_quality(mut self, quality: QualityScore) -> Self {
        self.target_quality = Some(quality);
        self
    }
}

impl Body for ProgressUpdate {
    type Ref<'a> = ProgressUpdate<Borrowed<'a>>;

    const TOPIC: Topic = Topic::Progress;

    fn event_type(&self) -> EventType {
        EventType::PROGRESS_UPDATE
    }

    fn session_id(&self) -> Uuid {
        self.session_id
    }
}

impl sealed::Data for ProgressUpdate {
    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .optional("player_id", self.player_id.as_ref())
            .field("progress_percent", &self.progress)
            .field("status", &self.status)
            .optional("elapsed_seconds", self.elapsed.as_ref())
            .optional("remaining_seconds", self.remaining.as_ref())
            .optional("current_step", self.current_step.as_ref())
            .optional("step_progress", self.step_progress.as_ref())
            .optional("steps", self.steps.as_ref())
            .optional("current_quality", self.current_quality.as_ref())
            .optional("target_quality", self.target_quality.as_ref())
            .optional("failure_reason", self.status.failure_reason())
    }
}

impl<'a, F: ReadForm<'a>> sealed::ReadData<'a> for ProgressUpdate<F> {
    fn read(event_type: &EventType, data: Node<'a, '_>) -> Option<Result<Self, Violation>> {
        (event_type.as_str() == "crafting.progress.update").then(|| read(data))
    }

    fn session(&self) -> Uuid {
        self.session_id
    }
}

impl<'a> sealed::DataRef<'a> for ProgressUpdate<Borrowed<'a>> {
    type Owned = ProgressUpdate;

    fn into_owned(self) -> ProgressUpdate {
        ProgressUpdate {
            session_id: self.session_id,
            player_id: self.player_id,
            progress: self.progress,
            status: self.status.into_owned(),
            elapsed: self.elapsed,
            remaining: self.remaining,
            current_step: self.current_step.map(Cow::into_owned),
            step_progress: self.step_progress,
            steps: self.steps.map(|steps| steps.iter().map(Step::into_owned).collect()),
            current_quality: self.current_quality,
            target_quality: self.target_quality,
        }
    }
}

fn read<'a, F: ReadForm<'a>>(data: Node<'a, '_>) -> Result<ProgressUpdate<F>, Violation> {
    const FIELDS: [&str; 12] = [
        "session_id",
        "player_id",
        "progress_percent",
        "status",
        "elapsed_seconds",
        "remaining_seconds",
        "current_step",
        "step_progress",
        "steps",
        "current_quality",
        "target_quality",
        "failure_reason",
    ];
    let fields = json::object(data, &FIELDS)?;
    let status = fields.required(place!(FIELDS, "status"), json::one_of::<StatusName>)?;
    let failure_reason = fields.optional(place!(FIELDS, "failure_reason"), |node| match status {
        StatusName::Failed => F::text(node),
        _ => Err(node.breaks(Rule::OnlyWhenFailed)),
    })?;
    Ok(ProgressUpdate {
        session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
        player_id: fields.optional(place!(FIELDS, "player_id"), json::uuid)?,
        progress: fields.required(place!(FIELDS, "progress_percent"), json::integer)?,
        status: F::status(status, failure_reason),
        elapsed: fields.optional(place!(FIELDS, "elapsed_seconds"), json::integer)?,
        remaining: fields.optional(place!(FIELDS, "remaining_seconds"), json::integer)?,
        current_step: fields.optional(place!(FIELDS, "current_step"), F::text)?,
        step_progress: fields.optional(place!(FIELDS, "step_progress"), json::integer)?,
        steps: fields.optional(place!(FIELDS, "steps"), F::steps)?,
        current_quality: fields.optional(place!(FIELDS, "current_quality"), json::integer)?,
        target_quality: fields.optional(place!(FIELDS, "target_quality"), json::integer)?,
    })
}

/// What a session is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Status {
    /// Crafting.
    Active,
    /// Standing still, to go on.
    Paused,
    /// Standing still, and it may not go on.
    Interrupted,
    /// Ended with a result.
    Completed,
    /// Ended without one.
    Failed {
        /// Why (`failure_reason`), in the sender's words.
        reason: Option<String>,
    },
}

impl Status {
    /// The name in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether no other status follows.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed { .. })
    }

    /// Why it failed, if it did and says so.
    pub fn failure_reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason } => reason.as_deref(),
            _ => None,
        }
    }
}

/// A [`Status`] that borrows from the JSON it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatusRef<'a> {
    /// Crafting.
    Active,
    /// Standing still, to go on.
    Paused,
    /// Standing still, and it may not go on.
    Interrupted,
    /// Ended with a result.
    Completed,
    /// Ended without one.
    Failed {
        /// Why (`failure_reason`), in the sender's words.
        reason: Option<Cow<'a, str>>,
    },
}

impl StatusRef<'_> {
    /// The name in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
        }
    }

    fn into_owned(self) -> Status {
        match self {
            Self::Active => Status::Active,
            Self::Paused => Status::Paused,
            Self::Interrupted => Status::Interrupted,
            Self::Completed => Status::Completed,
            Self::Failed { reason } => Status::Failed { reason: reason.map(Cow::into_owned) },
        }
    }
}

impl ToJson for Status {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        out.plain(self.as_str())
    }
}

/// One step of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step<F: Form = Owned> {
    /// Which.
    pub step_id: F::Text,
    /// What the player reads.
    pub step_name: F::Text,
    /// Whether it is done.
    pub completed: bool,
    /// How far it is.
    pub progress: Percent,
    /// A word on it.
    pub status_message: Option<F::Text>,
}

impl Step {
    /// A step that is not done.
    pub fn new(step_id: impl Into<String>, step_name: impl Into<String>, progress: Percent) -> Self {
        Self {
            step_id: step_id.into(),
            step_name: step_name.into(),
            completed: false,
            progress,
            status_message: None,
        }
    }

    /// Sets `completed`.
    #[must_use]
    pub const fn with_completed(mut self, completed: bool) -> Self {
        self.completed = completed;
        self
    }

    /// Sets `status_message`.
    #[must_use]
    pub fn with_status_message(mut self, message: impl Into<String>) -> Self {
        self.status_message = Some(message.into());
        self
    }
}

impl Step<Borrowed<'_>> {
    fn into_owned(self) -> Step {
        Step {
            step_id: self.step_id.into_owned(),
            step_name: self.step_name.into_owned(),
            completed: self.completed,
            progress: self.progress,
            status_message: self.status_message.map(Cow::into_owned),
        }
    }
}

impl<'a, F: ReadForm<'a>> Step<F> {
    pub(super) fn read(node: Node<'a, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 5] = ["step_id", "step_name", "completed", "progress", "status_message"];
        let fields = json::object(node, &FIELDS)?;
        Ok(Self {
            step_id: fields.required(place!(FIELDS, "step_id"), F::text)?,
            step_name: fields.required(place!(FIELDS, "step_name"), F::text)?,
            completed: fields.required(place!(FIELDS, "completed"), json::boolean)?,
            progress: fields.required(place!(FIELDS, "progress"), json::integer)?,
            status_message: fields.optional(place!(FIELDS, "status_message"), F::text)?,
        })
    }
}

impl ToJson for Step {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        out.object(|fields| {
            fields
                .field("step_id", &self.step_id)
                .field("step_name", &self.step_name)
                .field("completed", &self.completed)
                .field("progress", &self.progress)
                .optional("status_message", self.status_message.as_ref())
        })
    }
}

/// A status without what comes with it, as its field has it.
#[derive(Debug, Clone, Copy)]
pub enum StatusName {
    Active,
    Paused,
    Interrupted,
    Completed,
    Failed,
}

impl Named for StatusName {
    const NAMES: &'static [&'static str] = &["active", "paused", "interrupted", "completed", "failed"];

    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "active" => Self::Active,
            "paused" => Self::Paused,
            "interrupted" => Self::Interrupted,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => return None,
        })
    }
}
