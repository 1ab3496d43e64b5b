//! The six events of a crafting session's life, on `game.crafting.events`.

use std::borrow::Cow;

use uuid::Uuid;

use super::{
    event::{Body, EventDraft, sealed},
    form::{Borrowed, Form, Owned, ReadForm},
    json::{self, Node, ObjectWriter, place},
    material::{Location, Material, Materials},
    names::{CancelReason, FailureReason, PauseReason, Quality},
    timestamp::Timestamp,
    topic::Topic,
    values::{CraftingDuration, EstimatedDuration, EventType, Seconds},
    violation::Violation,
};

/// What happened to a crafting session.
///
/// ```
/// use craftwire::crafting::{Body, FailureReason, SessionEvent, SessionFail};
/// use uuid::Uuid;
///
/// let event: SessionEvent = SessionFail::new(Uuid::from_u128(7), FailureReason::Timeout).into();
/// assert_eq!(event.event_type().as_str(), "crafting.session.fail");
/// assert_eq!(event.session_id(), Uuid::from_u128(7));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// `crafting.session.start`
    Start(SessionStart),
    /// `crafting.session.complete`
    Complete(SessionComplete),
    /// `crafting.session.fail`
    Fail(SessionFail),
    /// `crafting.session.cancel`
    Cancel(SessionCancel),
    /// `crafting.session.pause`
    Pause(SessionPause),
    /// `crafting.session.resume`
    Resume(SessionResume),
}

impl Body for SessionEvent {
    type Ref<'a> = SessionEventRef<'a>;

    const TOPIC: Topic = Topic::Events;

    fn event_type(&self) -> EventType {
        match self {
            Self::Start(_) => EventType::SESSION_START,
            Self::Complete(_) => EventType::SESSION_COMPLETE,
            Self::Fail(_) => EventType::SESSION_FAIL,
            Self::Cancel(_) => EventType::SESSION_CANCEL,
            Self::Pause(_) => EventType::SESSION_PAUSE,
            Self::Resume(_) => EventType::SESSION_RESUME,
        }
    }

    fn session_id(&self) -> Uuid {
        sealed::ReadData::session(self)
    }
}

impl sealed::Data for SessionEvent {
    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        match self {
            Self::Start(start) => start.write(fields),
            Self::Complete(complete) => complete.write(fields),
            Self::Fail(fail) => fail.write(fields),
            Self::Cancel(cancel) => cancel.write(fields),
            Self::Pause(pause) => pause.write(fields),
            Self::Resume(resume) => resume.write(fields),
        }
    }
}

/// A [`SessionEvent`] that borrows from the JSON it was read from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionEventRef<'a> {
    /// `crafting.session.start`
    Start(SessionStart<Borrowed<'a>>),
    /// `crafting.session.complete`
    Complete(SessionComplete<Borrowed<'a>>),
    /// `crafting.session.fail`
    Fail(SessionFail),
    /// `crafting.session.cancel`
    Cancel(SessionCancel),
    /// `crafting.session.pause`
    Pause(SessionPause),
    /// `crafting.session.resume`
    Resume(SessionResume),
}

impl<'a> sealed::DataRef<'a> for SessionEventRef<'a> {
    type Owned = SessionEvent;

    fn into_owned(self) -> SessionEvent {
        match self {
            Self::Start(start) => SessionEvent::Start(SessionStart {
                session_id: start.session_id,
                recipe_id: start.recipe_id,
                player_id: start.player_id,
                materials: start.materials.map(Materials::as_checked),
                estimated_duration: start.estimated_duration,
                workstation_id: start.workstation_id,
                location: start.location,
                zone_id: start.zone_id.map(Cow::into_owned),
            }),
            Self::Complete(complete) => SessionEvent::Complete(SessionComplete {
                session_id: complete.session_id,
                result_item_id: complete.result_item_id,
                duration: complete.duration,
                quality: complete.quality,
                experience_gained: complete.experience_gained,
                materials_used: complete.materials_used.map(|materials| materials.iter().collect()),
            }),
            Self::Fail(fail) => SessionEvent::Fail(fail),
            Self::Cancel(cancel) => SessionEvent::Cancel(cancel),
            Self::Pause(pause) => SessionEvent::Pause(pause),
            Self::Resume(resume) => SessionEvent::Resume(resume),
        }
    }
}

macro_rules! read_by_type {
    ($($event:ty),*) => {$(
        impl<'a> sealed::ReadData<'a> for $event {
            fn read(event_type: &EventType, data: Node<'a, '_>) -> Option<Result<Self, Violation>> {
                Some(match event_type.as_str() {
                    "crafting.session.start" => SessionStart::read(data).map(Self::Start),
                    "crafting.session.complete" => SessionComplete::read(data).map(Self::Complete),
                    "crafting.session.fail" => SessionFail::read(data).map(Self::Fail),
                    "crafting.session.cancel" => SessionCancel::read(data).map(Self::Cancel),
                    "crafting.session.pause" => SessionPause::read(data).map(Self::Pause),
                    "crafting.session.resume" => SessionResume::read(data).map(Self::Resume),
                    _ => return None,
                })
            }

            fn session(&self) -> Uuid {
                match self {
                    Self::Start(start) => start.session_id,
                    Self::Complete(complete) => complete.session_id,
                    Self::Fail(fail) => fail.session_id,
                    Self::Cancel(cancel) => cancel.session_id,
                    Self::Pause(pause) => pause.session_id,
                    Self::Resume(resume) => resume.session_id,
                }
            }
        }
    )*};
}

read_by_type! { SessionEvent, SessionEventRef<'a> }

macro_rules! variants {
    ($($body:ident => $variant:ident),*) => {$(
        impl From<$body> for SessionEvent {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        }

        impl From<$body> for EventDraft<SessionEvent> {
            fn from(body: $body) -> Self {
                Self::new(body.into())
            }
        }
    )*};
}

variants! {
    SessionStart => Start, SessionComplete => Complete, SessionFail => Fail,
    SessionCancel => Cancel, SessionPause => Pause, SessionResume => Resume
}

/// A session began.
///
/// ```
/// use craftwire::crafting::{EstimatedDuration, Location, Material, Materials, Quantity, SessionStart};
/// use uuid::Uuid;
///
/// let (session, recipe, player, iron) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
/// let start = SessionStart::new(session, recipe, player)
///     .with_materials(Materials::new(vec![Material::new(iron, Quantity::new(5)?)])?)
///     .with_estimated_duration(EstimatedDuration::new(300)?)
///     .with_location(Location::new(123.45, 67.89, 0.0)?)
///     .with_zone_id("night_city_crafting_zone_01");
/// assert_eq!(start.player_id, player);
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionStart<F: Form = Owned> {
    /// The session.
    pub session_id: Uuid,
    /// What is being made.
    pub recipe_id: Uuid,
    /// Who makes it.
    pub player_id: Uuid,
    /// What goes into it.
    pub materials: Option<F::Materials>,
    /// How long it should take.
    pub estimated_duration: Option<EstimatedDuration>,
    /// Where it is made.
    pub workstation_id: Option<Uuid>,
    /// Where in the world.
    pub location: Option<Location>,
    /// In which zone.
    pub zone_id: Option<F::Text>,
}

impl SessionStart {
    /// A start with the required fields.
    pub const fn new(session_id: Uuid, recipe_id: Uuid, player_id: Uuid) -> Self {
        Self {
            session_id,
            recipe_id,
            player_id,
            materials: None,
            estimated_duration: None,
            workstation_id: None,
            location: None,
            zone_id: None,
        }
    }

    /// Sets `materials`.
    #[must_use]
    pub fn with_materials(mut self, materials: Materials) -> Self {
        self.materials = Some(materials);
        self
    }

    /// Sets `estimated_duration_seconds`.
    #[must_use]
    pub const fn with_estimated_duration(mut self, duration: EstimatedDuration) -> Self {
        self.estimated_duration = Some(duration);
        self
    }

    /// Sets `workstation_id`.
    #[must_use]
    pub const fn with_workstation_id(mut self, id: Uuid) -> Self {
        self.workstation_id = Some(id);
        self
    }

    /// Sets `location`.
    #[must_use]
    pub const fn with_location(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// Sets `zone_id`.
    #[must_use]
    pub fn with_zone_id(mut self, id: impl Into<String>) -> Self {
        self.zone_id = Some(id.into());
        self
    }

    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .field("recipe_id", &self.recipe_id)
            .field("player_id", &self.player_id)
            .optional("materials", self.materials.as_deref())
            .optional("estimated_duration_seconds", self.estimated_duration.as_ref())
            .optional("workstation_id", self.workstation_id.as_ref())
            .optional("location", self.location.as_ref())
            .optional("zone_id", self.zone_id.as_ref())
    }
}

impl<'a, F: ReadForm<'a>> SessionStart<F> {
    fn read(data: Node<'a, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 8] = [
            "session_id",
            "recipe_id",
            "player_id",
            "materials",
            "estimated_duration_seconds",
            "workstation_id",
            "location",
            "zone_id",
        ];
        let fields = json::object(data, &FIELDS)?;
        Ok(Self {
            session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
            recipe_id: fields.required(place!(FIELDS, "recipe_id"), json::uuid)?,
            player_id: fields.required(place!(FIELDS, "player_id"), json::uuid)?,
            materials: fields.optional(place!(FIELDS, "materials"), F::materials)?,
            estimated_duration: fields
                .optional(place!(FIELDS, "estimated_duration_seconds"), json::integer)?,
            workstation_id: fields.optional(place!(FIELDS, "workstation_id"), json::uuid)?,
            location: fields.optional(place!(FIELDS, "location"), Location::read)?,
            zone_id: fields.optional(place!(FIELDS, "zone_id"), F::text)?,
        })
    }
}

/// A session ended with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionComplete<F: Form = Owned> {
    /// The session.
    pub session_id: Uuid,
    /// What was made.
    pub result_item_id: Uuid,
    /// How long it took.
    pub duration: CraftingDuration,
    /// How good it is.
    pub quality: Option<Quality>,
    /// What the player learned.
    pub experience_gained: Option<u64>,
    /// What went into it.
    pub materials_used: Option<F::MaterialList>,
}

impl SessionComplete {
    /// A completion with the required fields.
    pub const fn new(session_id: Uuid, result_item_id: Uuid, duration: CraftingDuration) -> Self {
        Self {
            session_id,
            result_item_id,
            duration,
            quality: None,
            experience_gained: None,
            materials_used: None,
        }
    }

    /// Sets `quality`.
    #[must_use]
    pub const fn with_quality(mut self, quality: Quality) -> Self {
        self.quality = Some(quality);
        self
    }

    /// Sets `experience_gained`.
    #[must_use]
    pub const fn with_experience_gained(mut self, experience: u64) -> Self {
        self.experience_gained = Some(experience);
        self
    }

    /// Sets `materials_used`.
    #[must_use]
    pub fn with_materials_used(mut self, materials: Vec<Material>) -> Self {
        self.materials_used = Some(materials);
        self
    }

    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .field("result_item_id", &self.result_item_id)
            .field("duration_seconds", &self.duration)
            .optional("quality", self.quality.as_ref())
            .optional("experience_gained", self.experience_gained.as_ref())
            .optional("materials_used", self.materials_used.as_ref())
    }
}

impl<'a, F: ReadForm<'a>> SessionComplete<F> {
    fn read(data: Node<'a, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 6] = [
            "session_id",
            "result_item_id",
            "duration_seconds",
            "quality",
            "experience_gained",
            "materials_used",
        ];
        let fields = json::object(data, &FIELDS)?;
        Ok(Self {
            session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
            result_item_id: fields.required(place!(FIELDS, "result_item_id"), json::uuid)?,
            duration: fields.required(place!(FIELDS, "duration_seconds"), json::integer)?,
            quality: fields.optional(place!(FIELDS, "quality"), json::one_of)?,
            experience_gained: fields.optional(place!(FIELDS, "experience_gained"), json::integer)?,
            materials_used: fields.optional(place!(FIELDS, "materials_used"), F::material_list)?,
        })
    }
}

/// A session ended without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionFail {
    /// The session.
    pub session_id: Uuid,
    /// Why.
    pub failure_reason: FailureReason,
    /// How long it lasted.
    pub duration: Option<Seconds>,
    /// Whether the materials are gone, if it says; see [`materials_lost`](Self::materials_lost()).
    pub materials_lost: Option<bool>,
}

impl SessionFail {
    /// A failure with the required fields.
    pub const fn new(session_id: Uuid, failure_reason: FailureReason) -> Self {
        Self { session_id, failure_reason, duration: None, materials_lost: None }
    }

    /// Whether the materials are gone; not unless it says.
    pub fn materials_lost(&self) -> bool {
        self.materials_lost.unwrap_or(false)
    }

    /// Sets `duration_seconds`.
    #[must_use]
    pub const fn with_duration(mut self, duration: Seconds) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Sets `materials_lost`.
    #[must_use]
    pub const fn with_materials_lost(mut self, lost: bool) -> Self {
        self.materials_lost = Some(lost);
        self
    }

    fn read(data: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 4] = ["session_id", "failure_reason", "duration_seconds", "materials_lost"];
        let fields = json::object(data, &FIELDS)?;
        Ok(Self {
            session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
            failure_reason: fields.required(place!(FIELDS, "failure_reason"), json::one_of)?,
            duration: fields.optional(place!(FIELDS, "duration_seconds"), json::integer)?,
            materials_lost: fields.optional(place!(FIELDS, "materials_lost"), json::boolean)?,
        })
    }

    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .field("failure_reason", &self.failure_reason)
            .optional("duration_seconds", self.duration.as_ref())
            .optional("materials_lost", self.materials_lost.as_ref())
    }
}

/// A session was called off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCancel {
    /// The session.
    pub session_id: Uuid,
    /// Why.
    pub cancel_reason: CancelReason,
    /// How long it lasted.
    pub duration: Option<Seconds>,
    /// Whether the player has the materials back, if it says; see [`materials_returned`](Self::materials_returned()).
    pub materials_returned: Option<bool>,
}

impl SessionCancel {
    /// A cancellation with the required fields.
    pub const fn new(session_id: Uuid, cancel_reason: CancelReason) -> Self {
        Self { session_id, cancel_reason, duration: None, materials_returned: None }
    }

    /// Whether the player has the materials back; yes unless it says.
    pub fn materials_returned(&self) -> bool {
        self.materials_returned.unwrap_or(true)
    }

    /// Sets `duration_seconds`.
    #[must_use]
    pub const fn with_duration(mut self, duration: Seconds) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Sets `materials_returned`.
    #[must_use]
    pub const fn with_materials_returned(mut self, returned: bool) -> Self {
        self.materials_returned = Some(returned);
        self
    }

    fn read(data: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 4] = ["session_id", "cancel_reason", "duration_seconds", "materials_returned"];
        let fields = json::object(data, &FIELDS)?;
        Ok(Self {
            session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
            cancel_reason: fields.required(place!(FIELDS, "cancel_reason"), json::one_of)?,
            duration: fields.optional(place!(FIELDS, "duration_seconds"), json::integer)?,
            materials_returned: fields.optional(place!(FIELDS, "materials_returned"), json::boolean)?,
        })
    }

    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .field("cancel_reason", &self.cancel_reason)
            .optional("duration_seconds", self.duration.as_ref())
            .optional("materials_returned", self.materials_returned.as_ref())
    }
}

/// A session stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPause {
    /// The session.
    pub session_id: Uuid,
    /// Why.
    pub pause_reason: PauseReason,
    /// Since when.
    pub pause_time: Option<Timestamp>,
}

impl SessionPause {
    /// A pause with the required fields.
    pub const fn new(session_id: Uuid, pause_reason: PauseReason) -> Self {
        Self { session_id, pause_reason, pause_time: None }
    }

    /// Sets `pause_time`.
    #[must_use]
    pub const fn with_pause_time(mut self, time: Timestamp) -> Self {
        self.pause_time = Some(time);
        self
    }

    fn read(data: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 3] = ["session_id", "pause_reason", "pause_time"];
        let fields = json::object(data, &FIELDS)?;
        Ok(Self {
            session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
            pause_reason: fields.required(place!(FIELDS, "pause_reason"), json::one_of)?,
            pause_time: fields.optional(place!(FIELDS, "pause_time"), json::parsed)?,
        })
    }

    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .field("pause_reason", &self.pause_reason)
            .optional("pause_time", self.pause_time.as_ref())
    }
}

/// A session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionResume {
    /// The session.
    pub session_id: Uuid,
    /// Since when.
    pub resume_time: Option<Timestamp>,
    /// How long it still takes.
    pub remaining_duration: Option<Seconds>,
}

impl SessionResume {
    /// A resumption with the required fields.
    pub const fn new(session_id: Uuid) -> Self {
        Self { session_id, resume_time: None, remaining_duration: None }
    }

    /// Sets `resume_time`.
    #[must_use]
    pub const fn with_resume_time(mut self, time: Timestamp) -> Self {
        self.resume_time = Some(time);
        self
    }

    /// Sets `remaining_duration_seconds`.
    #[must_use]
    pub const fn with_remaining_duration(mut self, remaining: Seconds) -> Self {
        self.remaining_duration = Some(remaining);
        self
    }

    fn read(data: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 3] = ["session_id", "resume_time", "remaining_duration_seconds"];
        let fields = json::object(data, &FIELDS)?;
        Ok(Self {
            session_id: fields.required(place!(FIELDS, "session_id"), json::uuid)?,
            resume_time: fields.optional(place!(FIELDS, "resume_time"), json::parsed)?,
            remaining_duration: fields
                .optional(place!(FIELDS, "remaining_duration_seconds"), json::integer)?,
        })
    }

    fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o> {
        fields
            .field("session_id", &self.session_id)
            .optional("resume_time", self.resume_time.as_ref())
            .optional("remaining_duration_seconds", self.remaining_duration.as_ref())
    }
}
