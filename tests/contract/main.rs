//! The event contract: what it allows is read and written back, and what it does not is named.

#![allow(clippy::unwrap_used, clippy::panic)] // the helpers of tests are tests too

mod arbitrary;
mod reference;
mod rules;
mod samples;

use bytes::Bytes;
use craftwire::crafting::{Parsed, ProgressUpdate, Rule, SessionEvent, Status, parse};
use serde_json::{Value, json};

use samples::{A, B, envelope, full, full_event, minimal, reread};

const REFERENCE: &str = include_str!("../data/crafting-session-start.json");

#[test]
fn the_reference_event_round_trips() {
    let event = parse::<SessionEvent>(REFERENCE).event().unwrap();
    let written = event.to_json();
    let value = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
    assert_eq!(value(&written), value(REFERENCE.as_bytes()));
    assert_eq!(parse::<SessionEvent>(written).event().unwrap(), event);

    let SessionEvent::Start(start) = event.body() else { panic!("{event:?}") };
    let materials = start.materials.as_deref().unwrap();
    assert_eq!((materials.len(), materials[1].quantity.get()), (2, 3));
    assert_eq!(start.location.unwrap().x(), 123.45);
    assert_eq!(event.envelope().metadata.unwrap().ttl.unwrap().to_string(), "7d");
}

#[test]
fn fields_are_written_in_the_contracts_order() {
    let event = parse::<SessionEvent>(REFERENCE).event().unwrap();
    let compact: String = REFERENCE.split_whitespace().collect();
    assert_eq!(String::from_utf8(event.to_json()).unwrap(), compact);
}

#[test]
fn every_type_is_read_with_its_required_fields_alone() {
    for (event_type, data) in minimal() {
        let event = envelope(event_type, data);
        assert_eq!(reread(&event), event, "{event_type}");
    }
}

#[test]
fn every_type_is_read_with_all_its_fields() {
    for (event_type, data) in full() {
        let mut event = envelope(event_type, data);
        event["correlation_id"] = json!(B);
        event["session_id"] = json!(A);
        event["player_id"] = json!(B);
        event["game_id"] = json!(B);
        event["trace_id"] = json!("trace \" \\ \u{1} \u{1F600}");
        event["tags"] = json!(["one", "two", "", "four", "five", "six", "seven", "eight", "nine", "ten"]);
        event["metadata"] = json!({
            "priority": "critical", "ttl": "90m", "retry_count": 10, "compression": "lz4", "size_bytes": 1
        });
        assert_eq!(reread(&event), event, "{event_type}");
    }
}

#[test]
fn null_in_an_optional_field_is_absent() {
    for (event_type, full_data) in full() {
        let required = minimal().into_iter().find(|(name, _)| *name == event_type).unwrap().1;
        let mut data = full_data.clone();
        for (name, field) in data.as_object_mut().unwrap() {
            if required.get(name).is_none() {
                *field = Value::Null;
            }
        }
        // A reason that is null is no reason, whatever the status.
        if data.get("status").is_some() {
            data["status"] = required["status"].clone();
        }
        let mut event = envelope(event_type, data);
        for name in ["correlation_id", "session_id", "player_id", "game_id", "trace_id", "tags", "metadata"] {
            event[name] = Value::Null;
        }
        let read = reread(&event);
        let object = read.as_object().unwrap();
        assert_eq!(object.len(), 6, "{read}");
        assert_eq!(object["data"].as_object().unwrap().len(), required.as_object().unwrap().len(), "{read}");
    }
}

#[test]
fn fields_of_the_future_are_passed_over_everywhere() {
    let future = json!({ "event_id": null, "deep": [[{ "session_id": 5 }]], "text": "\u{1F600}" });
    for (event_type, data) in full() {
        let event = envelope(event_type, data);
        let mut newer = event.clone();
        add_everywhere(&mut newer, &future);
        assert_eq!(reread(&newer), event, "{event_type}");
    }
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let mut event = full_event("crafting.session.start");
    let data = event.as_object_mut().unwrap().remove("data").unwrap();
    let rest = event.to_string();
    let data_first = rest.replacen('{', &format!("{{\"data\":{data},"), 1);
    let data_last = format!("{},\"data\":{data}}}", rest.strip_suffix('}').unwrap());
    assert_eq!(
        parse::<SessionEvent>(data_first).event().unwrap(),
        parse::<SessionEvent>(data_last).event().unwrap()
    );
}

#[test]
fn either_case_of_uuids_and_any_offset_are_read_and_one_form_is_written() {
    let mut event = envelope("crafting.session.pause", minimal()[4].1.clone());
    event["event_id"] = json!(B.to_uppercase());
    event["timestamp"] = json!("2026-01-15T11:30:00.5+02:00");
    event["data"]["pause_time"] = json!("2026-01-15T04:30:00-05:00");
    let written = reread(&event);
    assert_eq!(written["event_id"], json!(B));
    assert_eq!(written["timestamp"], json!("2026-01-15T09:30:00.500Z"));
    assert_eq!(written["data"]["pause_time"], json!("2026-01-15T09:30:00Z"));
}

#[test]
fn sessions_are_the_same_in_either_case() {
    let mut event = full_event("crafting.session.resume");
    event["session_id"] = json!(A.to_uppercase());
    assert!(parse::<SessionEvent>(event.to_string()).event().is_ok());
}

#[test]
fn an_unknown_type_is_a_value_with_its_bytes() {
    let mut event = envelope("crafting.session.inspect", json!({ "session_id": A, "by": [1, 2.5] }));
    let raw = Bytes::from(event.to_string());
    let Parsed::Unknown(unknown) = parse::<SessionEvent>(raw.clone()) else { panic!() };
    assert_eq!(unknown.event_type.as_str(), "crafting.session.inspect");
    assert_eq!(unknown.raw, raw);
    assert_eq!(unknown.key().unwrap().to_string(), A);
    let parsed = Parsed::<SessionEvent>::Unknown(unknown);
    assert_eq!(
        (parsed.key().unwrap().to_string(), parsed.event_type().unwrap().action()),
        (A.to_owned(), "inspect")
    );

    event["session_id"] = json!(B);
    let Parsed::Unknown(unknown) = parse::<SessionEvent>(event.to_string()) else { panic!() };
    assert_eq!(unknown.key().unwrap().to_string(), B, "the envelope's session goes first");

    event["session_id"] = Value::Null;
    for data in [json!({}), json!({ "session_id": null }), json!({ "session_id": 12 })] {
        event["data"] = data;
        let Parsed::Unknown(unknown) = parse::<SessionEvent>(event.to_string()) else { panic!() };
        let refused = unknown.key().unwrap_err();
        assert_eq!((refused.path.as_str(), refused.rule), ("session_id", Rule::SessionForKey));
    }
}

#[test]
fn a_type_of_the_other_topic_is_unknown_here() {
    let update = full_event("crafting.progress.update").to_string();
    assert!(matches!(parse::<SessionEvent>(update.clone()), Parsed::Unknown(_)));
    assert!(matches!(parse::<ProgressUpdate>(update), Parsed::Event(_)));
    let start = full_event("crafting.session.start").to_string();
    assert!(matches!(parse::<ProgressUpdate>(start), Parsed::Unknown(_)));
}

#[test]
fn a_failed_update_keeps_its_reason() {
    let event = parse::<ProgressUpdate>(full_event("crafting.progress.update").to_string()).event().unwrap();
    assert_eq!(event.body().status, Status::Failed { reason: Some("the forge went cold".to_owned()) });
    assert!(event.body().status.is_final());
}

/// Adds a field to every object of the event.
fn add_everywhere(value: &mut Value, future: &Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| add_everywhere(field, future));
            fields.insert("a_field_of_the_future".to_owned(), future.clone());
        }
        Value::Array(items) => items.iter_mut().for_each(|item| add_everywhere(item, future)),
        _ => {}
    }
}
