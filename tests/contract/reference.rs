//! Events as serde_json has them: what our own writer is compared with.

use craftwire::crafting::{Body, Event, Material, Metadata, ProgressUpdate, SessionEvent, Step};
use serde_json::{Value, json};

/// A whole event around its `data`.
pub(crate) fn event<B: Body>(event: &Event<B>, data: &Value) -> Value {
    let envelope = event.envelope();
    present(json!({
        "event_id": envelope.event_id.to_string(), "event_type": event.event_type().as_str(),
        "timestamp": envelope.timestamp.to_string(), "version": envelope.version.to_string(),
        "source": envelope.source.as_str(),
        "correlation_id": envelope.correlation_id.map(text), "session_id": envelope.session_id().map(text),
        "player_id": envelope.player_id.map(text), "game_id": envelope.game_id.map(text),
        "trace_id": envelope.trace_id,
        "tags": if envelope.tags.is_empty() { None } else { Some(envelope.tags.to_vec()) },
        "data": data, "metadata": envelope.metadata.as_ref().map(metadata),
    }))
}

/// The `data` of a session event.
pub(crate) fn session(event: &SessionEvent) -> Value {
    let data = match event {
        SessionEvent::Start(start) => json!({
            "session_id": text(start.session_id), "recipe_id": text(start.recipe_id), "player_id": text(start.player_id),
            "materials": start.materials.as_deref().map(materials),
            "estimated_duration_seconds": start.estimated_duration.map(u64::from),
            "workstation_id": start.workstation_id.map(text),
            "location": start.location.map(|at| json!({ "x": at.x(), "y": at.y(), "z": at.z() })),
            "zone_id": start.zone_id,
        }),
        SessionEvent::Complete(complete) => json!({
            "session_id": text(complete.session_id), "result_item_id": text(complete.result_item_id),
            "duration_seconds": complete.duration.get(), "quality": complete.quality.map(text),
            "experience_gained": complete.experience_gained,
            "materials_used": complete.materials_used.as_deref().map(materials),
        }),
        SessionEvent::Fail(fail) => json!({
            "session_id": text(fail.session_id), "failure_reason": text(fail.failure_reason),
            "duration_seconds": fail.duration.map(u64::from), "materials_lost": fail.materials_lost,
        }),
        SessionEvent::Cancel(cancel) => json!({
            "session_id": text(cancel.session_id), "cancel_reason": text(cancel.cancel_reason),
            "duration_seconds": cancel.duration.map(u64::from), "materials_returned": cancel.materials_returned,
        }),
        SessionEvent::Pause(pause) => json!({
            "session_id": text(pause.session_id), "pause_reason": text(pause.pause_reason),
            "pause_time": pause.pause_time.map(text),
        }),
        SessionEvent::Resume(resume) => json!({
            "session_id": text(resume.session_id), "resume_time": resume.resume_time.map(text),
            "remaining_duration_seconds": resume.remaining_duration.map(u64::from),
        }),
        other => panic!("no reference for {other:?}"),
    };
    present(data)
}

/// The `data` of a progress update.
pub(crate) fn progress(update: &ProgressUpdate) -> Value {
    present(json!({
        "session_id": text(update.session_id), "player_id": update.player_id.map(text),
        "progress_percent": update.progress.get(), "status": update.status.as_str(),
        "elapsed_seconds": update.elapsed.map(u64::from), "remaining_seconds": update.remaining.map(u64::from),
        "current_step": update.current_step, "step_progress": update.step_progress.map(u64::from),
        "steps": update.steps.as_ref().map(|steps| steps.iter().map(step).collect::<Vec<_>>()),
        "current_quality": update.current_quality.map(u64::from),
        "target_quality": update.target_quality.map(u64::from), "failure_reason": update.status.failure_reason(),
    }))
}

fn step(step: &Step) -> Value {
    present(json!({
        "step_id": step.step_id, "step_name": step.step_name, "completed": step.completed,
        "progress": step.progress.get(), "status_message": step.status_message,
    }))
}

fn materials(materials: &[Material]) -> Vec<Value> {
    let material = |material: &Material| {
        present(json!({
            "material_id": text(material.material_id), "quantity": material.quantity.get(),
            "quality": material.quality.map(text),
        }))
    };
    materials.iter().map(material).collect()
}

fn metadata(metadata: &Metadata) -> Value {
    present(json!({
        "priority": metadata.priority.map(text), "ttl": metadata.ttl.map(text),
        "retry_count": metadata.retry_count.map(u64::from), "compression": metadata.compression.map(text),
        "size_bytes": metadata.size_bytes.map(u64::from),
    }))
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

/// Without the fields that are not there.
fn present(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}
