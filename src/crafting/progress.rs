//! Progress updates, on `game.crafting.progress`.
//!
//! Invariant: a reason of failure exists only inside [`Status::Failed`].

use uuid::Uuid;

use super::{
    event::{Body, sealed},
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
pub struct ProgressUpdate {
    /// The session.
    pub session_id: Uuid,
    /// Who is watching it.
    pub player_id: Option<Uuid>,
    /// How far the whole is (`progress_percent`).
    pub progress: Percent,
    /// What it is doing, and why it failed if it did.
    pub status: Status,
    /// How long it has been going.
    pub elapsed: Option<Seconds>,
    /// How long it still takes.
    pub remaining: Option<Seconds>,
    /// The name of the step it is at.
    pub current_step: Option<String>,
    /// How far that step is.
    pub step_progress: Option<Percent>,
    /// All its steps.
    pub steps: Option<Vec<Step>>,
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
    const TOPIC: Topic = Topic::Progress;

    fn event_type(&self) -> EventType {
        EventType::PROGRESS_UPDATE
    }

    fn session_id(&self) -> Uuid {
        self.session_id
    }
}

impl sealed::Data for ProgressUpdate {
    fn read(event_type: &EventType, data: Node<'_, '_>) -> Option<Result<Self, Violation>> {
        (event_type.as_str() == "crafting.progress.update").then(|| read(data))
    }

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

fn read(data: Node<'_, '_>) -> Result<ProgressUpdate, Violation> {
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
        StatusName::Failed => json::string(node),
        _ => Err(node.breaks(Rule::OnlyWhenFailed)),
    })?;
    Ok(ProgressUpdate {
        session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
        player_id: fields.optional(place!(FIELDS, "player_id"), json::uuid)?,
        progress: fields.required(place!(FIELDS, "progress_percent"), json::integer)?,
        status: match status {
            StatusName::Active => Status::Active,
            StatusName::Paused => Status::Paused,
            StatusName::Interrupted => Status::Interrupted,
            StatusName::Completed => Status::Completed,
            StatusName::Failed => Status::Failed { reason: failure_reason },
        },
        elapsed: fields.optional(place!(FIELDS, "elapsed_seconds"), json::integer)?,
        remaining: fields.optional(place!(FIELDS, "remaining_seconds"), json::integer)?,
        current_step: fields.optional(place!(FIELDS, "current_step"), json::string)?,
        step_progress: fields.optional(place!(FIELDS, "step_progress"), json::integer)?,
        steps: fields.optional(place!(FIELDS, "steps"), |node| json::list(node, Step::read))?,
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

impl ToJson for Status {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        out.plain(self.as_str())
    }
}

/// One step of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which.
    pub step_id: String,
    /// What the player reads.
    pub step_name: String,
    /// Whether it is done.
    pub completed: bool,
    /// How far it is.
    pub progress: Percent,
    /// A word on it.
    pub status_message: Option<String>,
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

    fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 5] = ["step_id", "step_name", "completed", "progress", "status_message"];
        let fields = json::object(node, &FIELDS)?;
        Ok(Self {
            step_id: fields.required(place!(FIELDS, "step_id"), json::string)?,
            step_name: fields.required(place!(FIELDS, "step_name"), json::string)?,
            completed: fields.required(place!(FIELDS, "completed"), json::boolean)?,
            progress: fields.required(place!(FIELDS, "progress"), json::integer)?,
            status_message: fields.optional(place!(FIELDS, "status_message"), json::string)?,
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
#[derive(Clone, Copy)]
enum StatusName {
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
