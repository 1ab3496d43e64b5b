//! The same events as plain structs with serde's derives: what a service writes that has no crafting types.

use craftwire::crafting::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::{
    fmt::{self, Display},
    marker::PhantomData,
    str::FromStr,
};
use uuid::Uuid;

#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope<D> {
    event_id: Text<Uuid>,
    event_type: String,
    timestamp: Text<Timestamp>,
    version: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Text<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Text<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    player_id: Option<Text<Uuid>>,
    data: D,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Start {
    session_id: Text<Uuid>,
    recipe_id: Text<Uuid>,
    player_id: Text<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    materials: Option<Vec<Material>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_duration_seconds: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workstation_id: Option<Text<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Complete {
    session_id: Text<Uuid>,
    result_item_id: Text<Uuid>,
    duration_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    experience_gained: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    materials_used: Option<Vec<Material>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Fail {
    session_id: Text<Uuid>,
    failure_reason: FailureReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    materials_lost: Option<bool>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Cancel {
    session_id: Text<Uuid>,
    cancel_reason: CancelReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    materials_returned: Option<bool>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Pause {
    session_id: Text<Uuid>,
    pause_reason: PauseReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_time: Option<Text<Timestamp>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Resume {
    session_id: Text<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_time: Option<Text<Timestamp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_duration_seconds: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Progress {
    session_id: Text<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    player_id: Option<Text<Uuid>>,
    progress_percent: u8,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_progress: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Step>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_quality: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_quality: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Material {
    material_id: Text<Uuid>,
    quantity: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
}

#[derive(Serialize, Deserialize)]
struct Location {
    x: f64,
    y: f64,
    z: f64,
}

#[derive(Serialize, Deserialize)]
struct Step {
    step_id: String,
    step_name: String,
    completed: bool,
    progress: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Quality {
    Poor,
    Common,
    Uncommon,
    Rare,
    Epic,
    Legendary,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FailureReason {
    InsufficientMaterials,
    RecipeError,
    WorkstationUnavailable,
    PlayerDisconnect,
    Timeout,
    SystemError,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CancelReason {
    PlayerRequest,
    WorkstationUnavailable,
    ZoneChange,
    CombatStart,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PauseReason {
    PlayerAfk,
    CombatStart,
    SystemMaintenance,
    TechnicalIssue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Active,
    Paused,
    Interrupted,
    Completed,
    Failed,
}

/// A value that JSON has as text: an id or a time.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// Parses the text where it stands, without a copy.
struct Parse<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Parse<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(Text).map_err(E::custom)
    }
}
