//! What a run came to, and whether that is as it should be.

use craftwire::crafting::Topic;
use serde_json::{Value, json};
use std::fmt::Write;

use super::{
    meter::{amount, latency_json, latency_limit, millis, rounded, short_name},
    panel::ms,
    stats::{Quantiles, Tally},
};
use crate::exit::Exit;

/// One topic's run.
#[derive(Debug, Clone)]
pub(crate) struct TopicResult {
    pub(crate) topic: Topic,
    /// Acknowledged by the broker.
    pub(crate) published: u64,
    /// Refused by the publisher, or not sent.
    pub(crate) not_published: u64,
    /// Sent, and whether they were written is not known.
    pub(crate) unknown: u64,
    /// Published and never received.
    pub(crate) lost: u64,
    pub(crate) tally: Tally,
    /// Of events that were due after the warm-up.
    pub(crate) latency: Quantiles,
    /// Received a second after the warm-up.
    pub(crate) rate: f64,
    /// What was asked for a second, if anything.
    pub(crate) rate_asked: Option<f64>,
    /// What the group had not committed when it was closed, if the cluster said so.
    pub(crate) lag: Option<u64>,
}

/// The whole run.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) topics: [TopicResult; 2],
    /// How much of the beginning is not judged; `None`: it ended before.
    pub(crate) warm_up_s: Option<f64>,
}

/// A sentence that is true or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    /// Whether it is a service level, rather than something that always must hold.
    pub(crate) is_level: bool,
    pub(crate) text: String,
}

impl TopicResult {
    fn verdicts(&self, is_warm: bool) -> Vec<Verdict> {
        let name = short_name(self.topic);
        let always = |holds, text| Verdict { holds, is_level: false, text };
        let level = |holds, text| Verdict { holds, is_level: true, text };
        let Tally { received, duplicates, out_of_order, errors, .. } = self.tally;
        // What may have been written without an answer may also have come back.
        let balance = self.lost == 0 && received.saturating_sub(self.published) <= self.unknown;
        let balance_text = match self.lost {
            0 => format!("{name}: published {} = received {received}", self.published),
            lost => format!("{name}: published {}, received {received}: {lost} lost", self.published),
        };
        let mut verdicts = vec![
            always(balance, balance_text),
            always(
                out_of_order == 0,
                format!("{name}: order kept in every session{}", unless_none(out_of_order)),
            ),
            always(duplicates == 0, format!("{name}: duplicates {duplicates}")),
        ];
        if errors > 0 {
            verdicts.push(always(false, format!("{name}: errors while reading {errors}")));
        }
        let tried = self.published + self.not_published + self.unknown;
        let failed = self.not_published + self.unknown;
        let allowed = amount(tried) * allowed_failures(self.topic);
        verdicts.push(level(amount(failed) <= allowed, format!("{name}: not published {failed} of {tried}")));
        if is_warm {
            let limit_ms = latency_limit(self.topic).as_millis();
            let is_within = self.latency.count > 0 && u128::from(self.latency.p99_us) < limit_ms * 1000;
            verdicts.push(level(
                is_within,
                format!("{name}: p99 {} ms, limit {limit_ms} ms", ms(self.latency.p99_us)),
            ));
            if let Some(asked) = self.rate_asked {
                let text = format!("{name}: {:.0} received a second, {asked:.0} asked for", self.rate);
                verdicts.push(level(self.rate >= asked * RATE_SHARE, text));
            }
        }
        verdicts
    }
}

impl Summary {
    /// Everything that was judged. A level that nobody asserts is judged all the same, and says so.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.topics.iter().flat_map(|topic| topic.verdicts(self.warm_up_s.is_some())).collect()
    }

    /// How the program ends.
    pub(crate) fn exit(&self, asserts_levels: bool) -> Exit {
        let verdicts = self.verdicts();
        let always = verdicts.iter().all(|verdict| verdict.is_level || verdict.holds);
        let levels = self.warm_up_s.is_some() && verdicts.iter().all(|verdict| verdict.holds);
        match (asserts_levels, always, levels) {
            (true, _, false) => Exit::SloMissed,
            (false, false, _) => Exit::Failed,
            _ => Exit::Done,
        }
    }

    /// The tables and verdicts, in colour if wanted.
    pub(crate) fn text(&self, has_colour: bool) -> String {
        let mut text = String::new();
        let [events, progress] = &self.topics;
        let mut row = |name: &str, of: &dyn Fn(&TopicResult) -> String| {
            let _ = writeln!(text, "{name:34}{:>12}{:>12}", of(events), of(progress));
        };
        row("", &|topic| short_name(topic.topic).to_owned());
        row("published (acknowledged)", &|topic| topic.published.to_string());
        row("received", &|topic| topic.tally.received.to_string());
        row("lost", &|topic| topic.lost.to_string());
        row("duplicates", &|topic| topic.tally.duplicates.to_string());
        row("out of order", &|topic| topic.tally.out_of_order.to_string());
        row("not published", &|topic| (topic.not_published + topic.unknown).to_string());
        row("group lag at the end", &|topic| topic.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string()));
        if let Some(warm_up_s) = self.warm_up_s {
            let _ = writeln!(text, "after {warm_up_s:.0} s of warm-up:");
            let mut row = |name: &str, of: &dyn Fn(&TopicResult) -> String| {
                let _ = writeln!(text, "{name:34}{:>12}{:>12}", of(events), of(progress));
            };
            row("  received a second", &|topic| format!("{:.0}", topic.rate));
            row("  publish to hand-off, p50 ms", &|topic| ms(topic.latency.p50_us));
            row("  p99 ms", &|topic| ms(topic.latency.p99_us));
            row("  p99.9 ms", &|topic| ms(topic.latency.p999_us));
            row("  max ms", &|topic| ms(topic.latency.max_us));
            row("  limit of p99 ms", &|topic| latency_limit(topic.topic).as_millis().to_string());
        }
        for verdict in self.verdicts() {
            let (mark, colour) = match verdict {
                Verdict { holds: true, .. } => ("ok     ", "32"),
                Verdict { is_level: true, .. } => ("missed ", "33"),
                _ => ("FAILED ", "31"),
            };
            let mark = if has_colour { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() };
            let _ = writeln!(text, "{mark} {}", verdict.text);
        }
        text
    }

    /// As `--json` prints it.
    pub(crate) fn json(&self, exit_is_done: bool) -> Value {
        let topics = self.topics.iter().map(|topic| {
            let fields = json!({
                "published": topic.published,
                "received": topic.tally.received,
                "lost": topic.lost,
                "duplicates": topic.tally.duplicates,
                "out_of_order": topic.tally.out_of_order,
                "not_published": topic.not_published,
                "unknown": topic.unknown,
                "foreign": topic.tally.foreign,
                "errors": topic.tally.errors,
                "group_lag": topic.lag,
                "received_per_s": rounded(topic.rate),
                "latency_ms": latency_json(&topic.latency),
                "latency_p99_limit_ms": millis(1000) * amount(limit_ms(topic.topic)),
            });
            (short_name(topic.topic).to_owned(), fields)
        });
        let verdicts: Vec<Value> = self
            .verdicts()
            .into_iter()
            .map(|verdict| json!({ "holds": verdict.holds, "service_level": verdict.is_level, "text": verdict.text }))
            .collect();
        json!({
            "kind": "summary",
            "warm_up_s": self.warm_up_s.map(rounded),
            "topics": topics.collect::<serde_json::Map<_, _>>(),
            "verdicts": verdicts,
            "ok": exit_is_done,
        })
    }
}

/// The share of events that may fail to be published: what the contract's durability leaves.
const fn allowed_failures(topic: Topic) -> f64 {
    match topic {
        Topic::Events => 0.000_01,
        Topic::Progress => 0.000_1,
    }
}

fn limit_ms(topic: Topic) -> u64 {
    u64::try_from(latency_limit(topic).as_millis()).unwrap_or(u64::MAX)
}

fn unless_none(count: u64) -> String {
    if count == 0 { String::new() } else { format!(": no, {count} events out of order") }
}

/// Rates count as reached a hundredth below: a second more or less of a random game weighs that much.
const RATE_SHARE: f64 = 0.99;

#[cfg(test)]
mod tests {
    use super::*;

    fn result(topic: Topic) -> TopicResult {
        TopicResult {
            topic,
            published: 1000,
            not_published: 0,
            unknown: 0,
            lost: 0,
            tally: Tally { received: 1000, ..Tally::default() },
            latency: Quantiles { count: 800, p50_us: 2_000, p99_us: 9_000, p999_us: 9_900, max_us: 11_000 },
            rate: 99.5,
            rate_asked: Some(100.0),
            lag: Some(0),
        }
    }

    fn good() -> Summary {
        Summary { topics: Topic::ALL.map(result), warm_up_s: Some(3.0) }
    }

    fn exits(change: impl FnOnce(&mut TopicResult)) -> (Exit, Exit) {
        let mut summary = good();
        change(&mut summary.topics[1]);
        (summary.exit(false), summary.exit(true))
    }

    #[test]
    fn a_good_run_ends_well() {
        assert_eq!((good().exit(false), good().exit(true)), (Exit::Done, Exit::Done));
        let text = good().text(false);
        assert!(text.contains("ok      events: published 1000 = received 1000"), "{text}");
        assert!(text.contains("ok      progress: p99 9.00 ms, limit 10 ms"), "{text}");
        assert!(!text.contains('\x1b') && good().text(true).contains("\x1b[32m"));
        assert_eq!(good().json(true)["topics"]["progress"]["latency_p99_limit_ms"], 10.0);
    }

    #[test]
    fn what_always_must_hold_fails_any_run() {
        let both = (Exit::Failed, Exit::SloMissed);
        assert_eq!(exits(|topic| topic.lost = 1), both);
        assert_eq!(exits(|topic| topic.tally.received = 1001), both);
        assert_eq!(exits(|topic| topic.tally.duplicates = 1), both);
        assert_eq!(exits(|topic| topic.tally.out_of_order = 1), both);
        assert_eq!(exits(|topic| topic.tally.errors = 1), both);
    }

    #[test]
    fn levels_fail_only_who_asserts_them() {
        let asserted = (Exit::Done, Exit::SloMissed);
        assert_eq!(exits(|topic| topic.latency.p99_us = 10_000), asserted);
        assert_eq!(exits(|topic| topic.latency = Quantiles::default()), asserted);
        assert_eq!(exits(|topic| topic.rate = 98.0), asserted);
        assert_eq!(exits(|topic| topic.not_published = 1), asserted);
        let mut short = good();
        short.warm_up_s = None;
        assert_eq!((short.exit(false), short.exit(true)), asserted);
    }

    #[test]
    fn what_may_have_been_written_may_come_back() {
        let exit = exits(|topic| {
            topic.unknown = 1;
            topic.tally.received = 1001;
        });
        assert_eq!(exit.0, Exit::Done);
    }
}
