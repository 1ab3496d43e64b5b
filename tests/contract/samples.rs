//! Events as JSON: of each type the smallest and the fullest.

use craftwire::crafting::{Body, Event, Parsed, ProgressUpdate, SessionEvent, Violation, parse};
use serde_json::{Value, json};

pub(crate) const A: &str = "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12";
pub(crate) const B: &str = "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a13";

pub(crate) fn minimal() -> Vec<(&'static str, Value)> {
    vec![
        ("crafting.session.start", json!({ "session_id": A, "recipe_id": A, "player_id": B })),
        ("crafting.session.complete", json!({ "session_id": A, "result_item_id": B, "duration_seconds": 1 })),
        ("crafting.session.fail", json!({ "session_id": A, "failure_reason": "recipe_error" })),
        ("crafting.session.cancel", json!({ "session_id": A, "cancel_reason": "zone_change" })),
        ("crafting.session.pause", json!({ "session_id": A, "pause_reason": "player_afk" })),
        ("crafting.session.resume", json!({ "session_id": A })),
        ("crafting.progress.update", json!({ "session_id": A, "progress_percent": 0, "status": "active" })),
    ]
}

pub(crate) fn full() -> Vec<(&'static str, Value)> {
    let materials = json!([
        { "material_id": A, "quantity": 1, "quality": "poor" },
        { "material_id": B, "quantity": 1000 },
    ]);
    vec![
        (
            "crafting.session.start",
            json!({
                "session_id": A, "recipe_id": A, "player_id": B, "materials": materials,
                "estimated_duration_seconds": 3600, "workstation_id": B,
                "location": { "x": 1e-7, "y": 123456789.25, "z": -0.5 }, "zone_id": "Zürich \"9\""
            }),
        ),
        (
            "crafting.session.complete",
            json!({
                "session_id": A, "result_item_id": B, "duration_seconds": u64::MAX, "quality": "legendary",
                "experience_gained": 0, "materials_used": materials
            }),
        ),
        (
            "crafting.session.fail",
            json!({ "session_id": A, "failure_reason": "timeout", "duration_seconds": 0, "materials_lost": false }),
        ),
        (
            "crafting.session.cancel",
            json!({ "session_id": A, "cancel_reason": "combat_start", "duration_seconds": 0, "materials_returned": false }),
        ),
        (
            "crafting.session.pause",
            json!({ "session_id": A, "pause_reason": "technical_issue", "pause_time": "2026-01-15T09:30:00.001Z" }),
        ),
        (
            "crafting.session.resume",
            json!({ "session_id": A, "resume_time": "2026-01-15T09:30:00Z", "remaining_duration_seconds": 0 }),
        ),
        (
            "crafting.progress.update",
            json!({
                "session_id": A, "player_id": B, "progress_percent": 100, "status": "failed", "elapsed_seconds": 0,
                "remaining_seconds": 9, "current_step": "forge", "step_progress": 0,
                "steps": [
                    { "step_id": "1", "step_name": "melt", "completed": true, "progress": 100, "status_message": "hot" },
                    { "step_id": "2", "step_name": "forge", "completed": false, "progress": 0 },
                ],
                "current_quality": 1, "target_quality": 100, "failure_reason": "the forge went cold"
            }),
        ),
    ]
}

pub(crate) fn full_event(event_type: &str) -> Value {
    let (event_type, data) = full().into_iter().find(|(name, _)| *name == event_type).unwrap();
    envelope(event_type, data)
}

pub(crate) fn envelope(event_type: &str, data: Value) -> Value {
    json!({
        "event_id": B, "event_type": event_type, "timestamp": "2026-01-15T09:30:00Z", "version": "1.0.0",
        "source": "crafting.network", "data": data
    })
}

/// The event as it is written again after it was read.
pub(crate) fn reread(event: &Value) -> Value {
    fn of<B: Body>(text: String) -> Vec<u8> {
        let event: Event<B> = parse(text).event().unwrap();
        assert_eq!(parse::<B>(event.to_json()).event().unwrap(), event);
        event.to_json()
    }
    let text = event.to_string();
    let written = if is_progress(event) { of::<ProgressUpdate>(text) } else { of::<SessionEvent>(text) };
    serde_json::from_slice(&written).unwrap()
}

/// The rule that an event of either topic breaks.
pub(crate) fn violation(event: &Value) -> Violation {
    let text = event.to_string();
    if is_progress(event) { malformed::<ProgressUpdate>(text) } else { malformed::<SessionEvent>(text) }
}

pub(crate) fn malformed<B: Body>(json: impl Into<Vec<u8>>) -> Violation {
    let json = json.into();
    match parse::<B>(json.clone()) {
        Parsed::Malformed(malformed) => {
            assert_eq!(malformed.raw, json);
            malformed.violation
        }
        other => panic!("{other:?}"),
    }
}

fn is_progress(event: &Value) -> bool {
    event["event_type"] == "crafting.progress.update"
}
