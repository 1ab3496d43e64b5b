//! Event JSON out and in, for each kind of event: `encode` and `parse` beside serde_json on plain structs of the same
//! fields.
//!
//! The two do the same work on ids and times (parsed, checked, written back). The structs of the reference check no other
//! rule of the contract; `parse` checks them all, and passes over unknown fields as they do.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench: what fails here ends it, and its output is its purpose"
)]

#[path = "crafting_json/reference.rs"]
mod reference;
#[path = "crafting_json/samples.rs"]
mod samples;

use bytes::Bytes;
use craftwire::crafting::{Body, Event, Parsed, ProgressUpdate, SessionEvent, decode, encode, parse};
use criterion::{BenchmarkId, Criterion, Throughput};
use reference::{Cancel, Complete, Envelope, Fail, Pause, Progress, Resume, Start};
use serde::{Serialize, de::DeserializeOwned};
use std::{hint::black_box, time::Duration};

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
        .configure_from_args();
    kind::<SessionEvent, Start>(&mut criterion, "start", samples::START);
    kind::<SessionEvent, Complete>(&mut criterion, "complete", samples::COMPLETE);
    kind::<SessionEvent, Fail>(&mut criterion, "fail", samples::FAIL);
    kind::<SessionEvent, Cancel>(&mut criterion, "cancel", samples::CANCEL);
    kind::<SessionEvent, Pause>(&mut criterion, "pause", samples::PAUSE);
    kind::<SessionEvent, Resume>(&mut criterion, "resume", samples::RESUME);
    kind::<ProgressUpdate, Progress>(&mut criterion, "progress", samples::PROGRESS);
    criterion.final_summary();
}

/// Both directions of one kind, for us and for the reference.
fn kind<B: Body, D: Serialize + DeserializeOwned>(criterion: &mut Criterion, name: &str, sample: &str) {
    let event: Event<B> = parse(sample.to_owned()).event().expect("the sample is an event");
    let json = Bytes::from(event.to_json());
    let plain: Envelope<D> = serde_json::from_slice(&json).expect("the reference reads what we wrote");
    let plain_json = serde_json::to_vec(&plain).expect("the reference is written");
    assert_eq!(value(&json), value(&plain_json), "both write the same event");

    let mut group = criterion.benchmark_group("crafting_json/encode");
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function(BenchmarkId::new(name, "craftwire"), |bencher| {
        let mut out = Vec::with_capacity(1_024);
        bencher.iter(|| {
            out.clear();
            encode(black_box(&event), &mut out);
            out.len()
        });
    });
    group.bench_function(BenchmarkId::new(name, "serde_json"), |bencher| {
        let mut out = Vec::with_capacity(1_024);
        bencher.iter(|| {
            out.clear();
            serde_json::to_writer(&mut out, black_box(&plain)).expect("memory is written to");
            out.len()
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("crafting_json/parse");
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function(BenchmarkId::new(name, "craftwire"), |bencher| {
        bencher.iter(|| match parse::<B>(black_box(&json).clone()) {
            Parsed::Event(event) => event,
            other => unreachable!("{other:?}"),
        });
    });
    group.bench_function(BenchmarkId::new(name, "decode"), |bencher| {
        bencher.iter(|| decode::<B>(black_box(&json)).expect("the sample is an event").event_id());
    });
    group.bench_function(BenchmarkId::new(name, "serde_json"), |bencher| {
        bencher.iter(|| serde_json::from_slice::<Envelope<D>>(black_box(&json)).expect("it was read before"));
    });
    group.finish();
}

fn value(json: &[u8]) -> serde_json::Value {
    serde_json::from_slice(json).expect("it is JSON")
}
