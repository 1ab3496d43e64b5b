//! Each rule of the contract is broken once, and the violation names its path and the rule.

use bytes::{Bytes, BytesMut};
use craftwire::crafting::{ProgressUpdate, Rule, SessionEvent, Topic, Violation};
use serde_json::{Value, json};

use crate::samples::{A, B, envelope, full_event, malformed, minimal, violation};

#[test]
fn every_required_field_is_missed_and_may_not_be_null() {
    for (event_type, data) in minimal() {
        for name in data.as_object().unwrap().keys() {
            for null in [true, false] {
                let mut broken = data.clone();
                without(&mut broken, name, null);
                refused(&envelope(event_type, broken), &format!("data.{name}"), Rule::Required);
            }
        }
        for name in ["event_id", "event_type", "timestamp", "version", "source", "data"] {
            for null in [true, false] {
                let mut broken = envelope(event_type, data.clone());
                without(&mut broken, name, null);
                refused(&broken, name, Rule::Required);
            }
        }
    }
    for (event_type, data, inside) in [
        ("crafting.session.start", "/data/materials/1", "data.materials[1]"),
        ("crafting.session.complete", "/data/materials_used/0", "data.materials_used[0]"),
        ("crafting.session.start", "/data/location", "data.location"),
        ("crafting.progress.update", "/data/steps/1", "data.steps[1]"),
    ] {
        let event = full_event(event_type);
        let names: Vec<String> = event.pointer(data).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names.iter().filter(|name| !["quality", "status_message"].contains(&name.as_str())) {
            let mut broken = event.clone();
            without(broken.pointer_mut(data).unwrap(), name, false);
            refused(&broken, &format!("{inside}.{name}"), Rule::Required);
        }
    }
}

#[test]
fn each_broken_rule_is_named_with_its_path() {
    use Rule::{
        Array, Boolean, EventType, Number, Object, OnlyWhenFailed, SameSession, Source, Text, Timestamp, Ttl,
        Uuid, Version,
    };

    let names = |list: &'static [&'static str]| Rule::OneOf(list);
    let integer = |min, max| Rule::Integer { min, max };
    let any = integer(0, u64::MAX);
    let percent = integer(0, 100);
    let item_quality = names(&["poor", "common", "uncommon", "rare", "epic", "legendary"]);
    let material_quality = names(&["poor", "common", "uncommon", "rare", "epic"]);
    let material = |quantity: Value| json!({ "material_id": A, "quantity": quantity });

    // Type, place of the value, the value, path of the violation, rule of the violation.
    let mut table: Vec<(&str, &str, Value, &str, Rule)> = vec![];
    for event_type in ["crafting.session.resume", "crafting.progress.update"] {
        for id in ["event_id", "correlation_id", "session_id", "player_id", "game_id"] {
            for bad in [
                json!("7d0f7c1e52c34f0a9d0b0e6d2f5b9a12"),
                json!("{7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12}"),
                json!("urn:uuid:7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12"),
                json!("7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a1g"),
                json!("7d0f7c1e52c3-4f0a-9d0b-0e6d2f5b9a12-"),
                json!(7),
                json!({}),
            ] {
                table.push((event_type, id, bad, id, Uuid));
            }
        }
        table.extend([
            (event_type, "event_type", json!("crafting.session"), "event_type", EventType),
            (event_type, "event_type", json!("Crafting.session.start"), "event_type", EventType),
            (event_type, "event_type", json!("crafting.session.start.now"), "event_type", EventType),
            (event_type, "event_type", json!(1), "event_type", Text),
            (event_type, "timestamp", json!("2026-01-15 09:30:00Z"), "timestamp", Timestamp),
            (event_type, "timestamp", json!("2026-02-30T09:30:00Z"), "timestamp", Timestamp),
            (event_type, "timestamp", json!("2026-01-15T09:30:00"), "timestamp", Timestamp),
            (event_type, "timestamp", json!(1_768_469_400), "timestamp", Text),
            (event_type, "version", json!("1.0"), "version", Version),
            (event_type, "version", json!("v1.0.0"), "version", Version),
            (event_type, "version", json!(1.0), "version", Text),
            (event_type, "source", json!("crafting"), "source", Source),
            (event_type, "source", json!("crafting.network.eu"), "source", Source),
            (event_type, "source", json!("crafting.Network"), "source", Source),
            (event_type, "trace_id", json!(5), "trace_id", Text),
            (event_type, "tags", json!("one"), "tags", Array),
            (event_type, "tags", json!(["one", 2]), "tags[1]", Text),
            (event_type, "tags", json!(["one", null]), "tags[1]", Text),
            (event_type, "tags", json!(vec!["x"; 11]), "tags", Rule::Items { min: 0, max: 10 }),
            (event_type, "data", json!([]), "data", Object),
            (event_type, "data", json!("{}"), "data", Object),
            (event_type, "metadata", json!([]), "metadata", Object),
            (
                event_type,
                "metadata.priority",
                json!("urgent"),
                "metadata.priority",
                names(&["low", "normal", "high", "critical"]),
            ),
            (
                event_type,
                "metadata.priority",
                json!("LOW"),
                "metadata.priority",
                names(&["low", "normal", "high", "critical"]),
            ),
            (event_type, "metadata.ttl", json!("7w"), "metadata.ttl", Ttl),
            (event_type, "metadata.ttl", json!("d"), "metadata.ttl", Ttl),
            (event_type, "metadata.ttl", json!("-1d"), "metadata.ttl", Ttl),
            (event_type, "metadata.retry_count", json!(11), "metadata.retry_count", integer(0, 10)),
            (event_type, "metadata.retry_count", json!(-1), "metadata.retry_count", integer(0, 10)),
            (
                event_type,
                "metadata.compression",
                json!("zstd"),
                "metadata.compression",
                names(&["none", "gzip", "snappy", "lz4"]),
            ),
            (event_type, "metadata.size_bytes", json!(0), "metadata.size_bytes", integer(1, u64::MAX)),
            (event_type, "session_id", json!(B), "session_id", SameSession),
            (event_type, "data.session_id", json!("x"), "data.session_id", Uuid),
        ]);
    }
    let start = "crafting.session.start";
    table.extend([
        (start, "data.recipe_id", json!("x"), "data.recipe_id", Uuid),
        (start, "data.player_id", json!("x"), "data.player_id", Uuid),
        (start, "data.materials", json!({}), "data.materials", Array),
        (start, "data.materials", json!([]), "data.materials", Rule::Items { min: 1, max: 50 }),
        (
            start,
            "data.materials",
            json!(vec![material(json!(1)); 51]),
            "data.materials",
            Rule::Items { min: 1, max: 50 },
        ),
        (start, "data.materials", json!([3]), "data.materials[0]", Object),
        (start, "data.materials", json!([material(json!(1)), null]), "data.materials[1]", Object),
        (start, "data.materials.0.material_id", json!("x"), "data.materials[0].material_id", Uuid),
        (start, "data.materials.1.quantity", json!(0), "data.materials[1].quantity", integer(1, 1000)),
        (start, "data.materials.1.quantity", json!(1001), "data.materials[1].quantity", integer(1, 1000)),
        (start, "data.materials.1.quantity", json!(5.0), "data.materials[1].quantity", integer(1, 1000)),
        (start, "data.materials.1.quantity", json!("5"), "data.materials[1].quantity", integer(1, 1000)),
        (
            start,
            "data.materials.0.quality",
            json!("legendary"),
            "data.materials[0].quality",
            material_quality,
        ),
        (
            start,
            "data.estimated_duration_seconds",
            json!(0),
            "data.estimated_duration_seconds",
            integer(1, 3600),
        ),
        (
            start,
            "data.estimated_duration_seconds",
            json!(3601),
            "data.estimated_duration_seconds",
            integer(1, 3600),
        ),
        (start, "data.workstation_id", json!("x"), "data.workstation_id", Uuid),
        (start, "data.location", json!([1, 2, 3]), "data.location", Object),
        (start, "data.location.x", json!("1"), "data.location.x", Number),
        (start, "data.location.y", json!(true), "data.location.y", Number),
        (start, "data.location.z", json!({}), "data.location.z", Number),
        (start, "data.zone_id", json!(5), "data.zone_id", Text),
    ]);
    let complete = "crafting.session.complete";
    table.extend([
        (complete, "data.result_item_id", json!("x"), "data.result_item_id", Uuid),
        (complete, "data.duration_seconds", json!(0), "data.duration_seconds", integer(1, u64::MAX)),
        (complete, "data.duration_seconds", json!(42.0), "data.duration_seconds", integer(1, u64::MAX)),
        (complete, "data.quality", json!("mythic"), "data.quality", item_quality),
        (complete, "data.quality", json!(3), "data.quality", item_quality),
        (complete, "data.experience_gained", json!(-1), "data.experience_gained", any),
        (complete, "data.materials_used", json!(1), "data.materials_used", Array),
        (
            complete,
            "data.materials_used.0.quantity",
            json!(1001),
            "data.materials_used[0].quantity",
            integer(1, 1000),
        ),
    ]);
    let fail_reasons = names(&[
        "insufficient_materials",
        "recipe_error",
        "workstation_unavailable",
        "player_disconnect",
        "timeout",
        "system_error",
    ]);
    let fail = "crafting.session.fail";
    table.extend([
        (fail, "data.failure_reason", json!("bored"), "data.failure_reason", fail_reasons),
        (fail, "data.duration_seconds", json!(-1), "data.duration_seconds", any),
        (fail, "data.materials_lost", json!("true"), "data.materials_lost", Boolean),
        (fail, "data.materials_lost", json!(0), "data.materials_lost", Boolean),
    ]);
    let cancel = "crafting.session.cancel";
    let cancel_reasons = names(&["player_request", "workstation_unavailable", "zone_change", "combat_start"]);
    table.extend([
        (cancel, "data.cancel_reason", json!("timeout"), "data.cancel_reason", cancel_reasons),
        (cancel, "data.duration_seconds", json!(1.5), "data.duration_seconds", any),
        (cancel, "data.materials_returned", json!("no"), "data.materials_returned", Boolean),
    ]);
    let pause_reasons = names(&["player_afk", "combat_start", "system_maintenance", "technical_issue"]);
    table.extend([
        ("crafting.session.pause", "data.pause_reason", json!("afk"), "data.pause_reason", pause_reasons),
        ("crafting.session.pause", "data.pause_time", json!("now"), "data.pause_time", Timestamp),
        ("crafting.session.resume", "data.resume_time", json!("2026-01-15"), "data.resume_time", Timestamp),
        (
            "crafting.session.resume",
            "data.remaining_duration_seconds",
            json!(-5),
            "data.remaining_duration_seconds",
            any,
        ),
        (
            "crafting.session.resume",
            "data.remaining_duration_seconds",
            json!("5"),
            "data.remaining_duration_seconds",
            any,
        ),
    ]);
    let update = "crafting.progress.update";
    let statuses = names(&["active", "paused", "interrupted", "completed", "failed"]);
    let score = integer(1, 100);
    table.extend([
        (update, "data.player_id", json!("x"), "data.player_id", Uuid),
        (update, "data.progress_percent", json!(101), "data.progress_percent", percent),
        (update, "data.progress_percent", json!(-1), "data.progress_percent", percent),
        (update, "data.progress_percent", json!(42.0), "data.progress_percent", percent),
        (update, "data.progress_percent", json!("42"), "data.progress_percent", percent),
        (update, "data.progress_percent", json!(true), "data.progress_percent", percent),
        (update, "data.status", json!("done"), "data.status", statuses),
        (update, "data.elapsed_seconds", json!(-1), "data.elapsed_seconds", any),
        (update, "data.remaining_seconds", json!(0.5), "data.remaining_seconds", any),
        (update, "data.current_step", json!(2), "data.current_step", Text),
        (update, "data.step_progress", json!(101), "data.step_progress", percent),
        (update, "data.steps", json!({}), "data.steps", Array),
        (update, "data.steps", json!(["forge"]), "data.steps[0]", Object),
        (update, "data.steps.1.step_id", json!(1), "data.steps[1].step_id", Text),
        (update, "data.steps.1.step_name", json!(1), "data.steps[1].step_name", Text),
        (update, "data.steps.1.completed", json!("yes"), "data.steps[1].completed", Boolean),
        (update, "data.steps.1.progress", json!(101), "data.steps[1].progress", percent),
        (update, "data.steps.1.status_message", json!(1), "data.steps[1].status_message", Text),
        (update, "data.current_quality", json!(0), "data.current_quality", score),
        (update, "data.current_quality", json!(101), "data.current_quality", score),
        (update, "data.target_quality", json!(0), "data.target_quality", score),
        (update, "data.failure_reason", json!(1), "data.failure_reason", Text),
    ]);
    for status in ["active", "paused", "interrupted", "completed"] {
        table.push((update, "data.status", json!(status), "data.failure_reason", OnlyWhenFailed));
    }

    for (event_type, place, bad, path, rule) in table {
        let mut event = full_event(event_type);
        event["session_id"] = json!(A);
        let pointer = format!("/{}", place.replace('.', "/"));
        match pointer.rsplit_once('/').unwrap() {
            ("", name) => event[name] = bad.clone(),
            (parent, name) => {
                event["metadata"] = json!({ "priority": "low" });
                event.pointer_mut(parent).unwrap()[name] = bad.clone();
            }
        }
        let violation = refused(&event, path, rule);
        if place == path && !matches!(rule, Rule::Items { .. }) {
            assert!(bad.to_string().starts_with(violation.value.trim_end_matches('…')), "{violation}");
        }
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    let event = serde_json::to_string(&full_event("crafting.progress.update")).unwrap();
    let twice = event.replacen("\"status\"", "\"status\":\"active\",\"status\"", 1);
    let violation = malformed::<ProgressUpdate>(twice);
    assert_eq!((violation.path.as_str(), violation.rule), ("data.status", Rule::Once));
}

#[test]
fn what_is_no_json_is_refused_at_its_byte() {
    for (text, rule) in [
        (&b""[..], Rule::Json { offset: 0 }),
        (b"{\"event_id\": ", Rule::Json { offset: 13 }),
        (b"{\"event_id\": tru}", Rule::Json { offset: 16 }),
        (b"{\"event_id\": 1} {}", Rule::Json { offset: 16 }),
        (b"{\"event_id\": \"\xff\"}", Rule::Utf8 { offset: 14 }),
        (b"{\"future\": \"\xff\"}", Rule::Utf8 { offset: 12 }),
        (b"[]", Rule::Object),
        (b"null", Rule::Object),
        (b"\"{}\"", Rule::Object),
    ] {
        let violation = malformed::<SessionEvent>(text.to_vec());
        assert_eq!((violation.path.as_str(), violation.rule), ("$", rule), "{}", text.escape_ascii());
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    let mut event = full_event("crafting.session.start");
    event["data"]["zone_id"] = json!("HERE");
    let text = event.to_string().replace("HERE", "\\ud800");
    let violation = malformed::<SessionEvent>(text);
    assert_eq!((violation.path.as_str(), violation.rule), ("data.zone_id", Rule::Text));
}

#[test]
fn a_number_that_no_float_holds_is_no_coordinate() {
    let text = full_event("crafting.session.start").to_string().replace("-0.5", "1e400");
    let violation = malformed::<SessionEvent>(text);
    assert_eq!((violation.path.as_str(), violation.rule), ("data.location.z", Rule::Number));
    assert_eq!(violation.to_string(), "data.location.z: must be a finite number: 1e400");
}

#[test]
fn an_unknown_type_in_a_broken_envelope_is_malformed() {
    let mut event = envelope("crafting.session.inspect", json!({}));
    event["version"] = json!("one");
    assert_eq!(malformed::<SessionEvent>(event.to_string()).path, "version");
}

#[test]
fn the_largest_message_is_judged_as_one_record_in_a_batch() {
    for topic in Topic::ALL {
        let max_message_bytes = topic.max_message_bytes();
        assert!(topic.check_size(36, max_message_bytes - 200, &[]).is_ok());
        let refused = topic.check_size(36, max_message_bytes, &[]).unwrap_err();
        assert_eq!((refused.path.as_str(), refused.rule), ("$", Rule::Fits { topic, max_message_bytes }));
    }
}

#[test]
fn the_length_of_that_batch_is_what_another_encoder_makes_it() {
    use kafka_protocol::{
        indexmap::IndexMap,
        protocol::StrBytes,
        records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
    };
    let topic = Topic::Progress;
    for value_len in [131_072, 1_048_500, 1_048_576, 2_000_000] {
        let headers = [
            ("content-type", "application/json"),
            ("event_type", "crafting.progress.update"),
            ("event_id", B),
        ];
        let record = Record {
            transactional: false,
            delete_horizon: false,
            control: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: 0,
            sequence: -1,
            timestamp: 1_768_469_400_000,
            key: Some(Bytes::from_static(A.as_bytes())),
            value: Some(Bytes::from(vec![b' '; value_len])),
            headers: headers
                .iter()
                .map(|(key, value)| {
                    (StrBytes::from_static_str(key), Some(Bytes::from_static(value.as_bytes())))
                })
                .collect::<IndexMap<_, _>>(),
        };
        let mut batch = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut batch, [&record], &options).unwrap();

        let lens = headers.map(|(key, value)| (key.len(), value.len()));
        let refused = topic.check_size(A.len(), value_len, &lens).unwrap_err();
        assert_eq!(refused.value, format!("{} bytes", batch.len()));
    }
}

#[test]
fn errors_stay_small() {
    let mut event = full_event("crafting.session.start");
    event["data"]["materials"] = json!("x".repeat(300_000));
    let violation = malformed::<SessionEvent>(event.to_string());
    assert!(violation.to_string().len() < 200);
}

/// Removes a field, or sets it to null.
fn without(object: &mut Value, name: &str, null: bool) {
    let fields = object.as_object_mut().unwrap();
    match null {
        true => fields.insert(name.to_owned(), Value::Null),
        false => fields.remove(name),
    };
}

fn refused(event: &Value, path: &str, rule: Rule) -> Violation {
    let violation = violation(event);
    assert_eq!((violation.path.as_str(), violation.rule), (path, rule), "{event}");
    violation
}
