//! One usual event of each kind.

/// The start of a session with two materials: the largest of the usual events.
pub(crate) const START: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.session.start",
    "timestamp": "2026-01-15T09:30:00.125Z", "version": "1.0.0", "source": "crafting.network",
    "correlation_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a11",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "player_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a13",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "recipe_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a14",
        "player_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a13",
        "materials": [
            { "material_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a15", "quantity": 5, "quality": "common" },
            { "material_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a16", "quantity": 3, "quality": "uncommon" }
        ],
        "estimated_duration_seconds": 300, "workstation_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a17",
        "location": { "x": 123.45, "y": 67.89, "z": 0.5 }, "zone_id": "night_city_crafting_zone_01"
    }
}"#;

/// A session that came to its end.
pub(crate) const COMPLETE: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.session.complete",
    "timestamp": "2026-01-15T09:35:00.125Z", "version": "1.0.0", "source": "crafting.network",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "result_item_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a18",
        "duration_seconds": 300, "quality": "rare", "experience_gained": 150
    }
}"#;

/// A session that failed.
pub(crate) const FAIL: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.session.fail",
    "timestamp": "2026-01-15T09:31:00.125Z", "version": "1.0.0", "source": "crafting.network",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "failure_reason": "workstation_unavailable",
        "duration_seconds": 60, "materials_lost": true
    }
}"#;

/// A session that the player called off.
pub(crate) const CANCEL: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.session.cancel",
    "timestamp": "2026-01-15T09:31:00.125Z", "version": "1.0.0", "source": "crafting.network",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "cancel_reason": "player_request",
        "duration_seconds": 60, "materials_returned": true
    }
}"#;

/// A session that stands still.
pub(crate) const PAUSE: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.session.pause",
    "timestamp": "2026-01-15T09:31:00.125Z", "version": "1.0.0", "source": "crafting.network",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "pause_reason": "player_afk",
        "pause_time": "2026-01-15T09:31:00Z"
    }
}"#;

/// A session that goes on.
pub(crate) const RESUME: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.session.resume",
    "timestamp": "2026-01-15T09:33:00.125Z", "version": "1.0.0", "source": "crafting.network",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "resume_time": "2026-01-15T09:33:00Z",
        "remaining_duration_seconds": 240
    }
}"#;

/// A progress update, of which a session sends ten a second.
pub(crate) const PROGRESS: &str = r#"{
    "event_id": "0199c6a2-7c1e-7c3f-8f0a-9d0b0e6d2f5b", "event_type": "crafting.progress.update",
    "timestamp": "2026-01-15T09:32:06.125Z", "version": "1.0.0", "source": "crafting.network",
    "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12",
    "data": {
        "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "progress_percent": 42, "status": "active",
        "elapsed_seconds": 126, "remaining_seconds": 174, "current_step": "forging", "step_progress": 60
    }
}"#;
