//! Answers as text that is the same on both clusters: what must differ is masked, all else is kept.
//!
//! Masked are: hosts and ports, the cluster's id, UUIDs (numbered as they appear, the nil one kept), producer ids,
//! fetch session ids other than 0, and the wording of messages (that there is one is kept).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write as _},
};

/// What the answers of one case were.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    entries: Vec<(String, Vec<String>)>,
    masks: Vec<(String, String)>,
    ids: BTreeMap<String, usize>,
}

impl Transcript {
    /// Writes `value` as `<name>` from now on.
    pub(crate) fn mask(&mut self, value: &str, name: &str) {
        self.masks.push((value.to_owned(), format!("<{name}>")));
    }

    pub(crate) fn note(&mut self, label: &str, answer: &impl Debug) {
        let mut text = format!("{answer:#?}");
        for (value, mask) in &self.masks {
            text = text.replace(value, mask);
        }
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let lines = joined(joined(lines)).iter().filter_map(|line| self.masked(line)).collect();
        self.entries.push((label.to_owned(), lines));
    }

    pub(crate) fn entries(&self) -> &[(String, Vec<String>)] {
        &self.entries
    }

    fn masked(&mut self, line: &str) -> Option<String> {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some((name, value)) = line.trim().trim_end_matches(',').split_once(": ") else {
            return Some(self.without_uuids(line));
        };
        let mask = match (name, value) {
            ("unknown_tagged_fields", "{}") => return None,
            ("host", value) if value != "\"\"" => "<host>",
            ("port", value) if value.parse().is_ok_and(|port: i32| port > 0) => "<port>",
            ("session_id", value) if value != "0" => "<session>",
            ("producer_id", value) if !value.contains('-') => "<producer>",
            ("cluster_id", value) if value != "None" => "<cluster>",
            ("error_message" | "batch_index_error_message", value) if !EMPTY.contains(&value) => "<message>",
            _ => return Some(self.without_uuids(line)),
        };
        Some(format!("{indent}{name}: {mask}"))
    }

    /// Puts `<id-1>`, `<id-2>` … in place of UUIDs.
    fn without_uuids(&mut self, line: &str) -> String {
        const LEN: usize = 36;
        let mut out = String::new();
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let uuid = rest.get(..LEN).filter(|text| text.as_bytes()[8] == b'-');
            match uuid.filter(|text| uuid::Uuid::parse_str(text).is_ok_and(|id| !id.is_nil())) {
                Some(id) => {
                    let next = self.ids.len() + 1;
                    let number = *self.ids.entry(id.to_owned()).or_insert(next);
                    let _ = write!(out, "<id-{number}>");
                    rest = &rest[LEN..];
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out
    }
}

/// Texts that say nothing.
const EMPTY: &[&str] = &["None", "Some(\"\")", "\"\""];

/// The error codes in an answer, whatever its shape.
pub(crate) fn error_codes(answer: &impl Debug) -> BTreeSet<i16> {
    let text = format!("{answer:#?}");
    let codes = text.lines().filter_map(|line| line.trim().strip_prefix("error_code: "));
    codes.map(|code| code.trim_end_matches(',').parse().unwrap()).collect()
}

/// Puts what `{:#?}` spreads over three lines for a wrapper of one value back on one.
fn joined(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let value = lines.peek().filter(|next| line.ends_with('(') && !next.ends_with(['(', '{', '[']));
        let Some(value) = value.map(|value| value.trim().trim_end_matches(',').to_owned()) else {
            out.push(line);
            continue;
        };
        lines.next();
        match lines.next() {
            Some(end) if end.trim().starts_with(')') => out.push(format!("{line}{value}{}", end.trim())),
            end => {
                out.extend([line, value]);
                out.extend(end);
            }
        }
    }
    out
}

/// What differs between two transcripts, as text for people; nothing if they are equal.
pub(crate) fn differences(mock: &[(String, Vec<String>)], kafka: &[(String, Vec<String>)]) -> String {
    let mut out = String::new();
    let nothing = (String::new(), Vec::new());
    for at in 0..mock.len().max(kafka.len()) {
        let (mock, kafka) = (mock.get(at).unwrap_or(&nothing), kafka.get(at).unwrap_or(&nothing));
        if mock == kafka {
            continue;
        }
        let label = if mock.0.is_empty() { &kafka.0 } else { &mock.0 };
        let _ = writeln!(out, "[{label}]");
        let same = |pair: &(&String, &String)| pair.0 == pair.1;
        let front = mock.1.iter().zip(&kafka.1).take_while(same).count();
        let (mock, kafka) = (&mock.1[front..], &kafka.1[front..]);
        let back = mock.iter().rev().zip(kafka.iter().rev()).take_while(same).count();
        for line in &mock[..mock.len() - back] {
            let _ = writeln!(out, "- {line}");
        }
        for line in &kafka[..kafka.len() - back] {
            let _ = writeln!(out, "+ {line}");
        }
    }
    out
}

#[test]
fn what_must_differ_is_masked_and_the_rest_is_kept() {
    #[derive(Debug)]
    #[allow(dead_code, reason = "read by Debug")]
    struct Answer {
        error_code: i16,
        error_message: Option<&'static str>,
        host: &'static str,
        port: i32,
        id: uuid::Uuid,
        nil: uuid::Uuid,
        offsets: Vec<i64>,
    }
    let answer = |id, port| Answer {
        error_code: 3,
        error_message: Some("no such topic"),
        host: "127.0.0.1",
        port,
        id: uuid::Uuid::from_u128(id),
        nil: uuid::Uuid::nil(),
        offsets: vec![port.into()],
    };
    let noted = |answers: &[Answer]| {
        let mut transcript = Transcript::default();
        answers.iter().for_each(|answer| transcript.note("answer", answer));
        transcript.entries().to_vec()
    };
    assert_eq!(error_codes(&answer(1, 2)), BTreeSet::from([3]));
    let one = noted(&[answer(7, 1), answer(8, 1)]);
    assert!(one[0].1.contains(&"    error_message: <message>".to_owned()), "{one:?}");
    assert!(one[0].1.contains(&"    nil: 00000000-0000-0000-0000-000000000000,".to_owned()), "{one:?}");
    assert_eq!(differences(&one, &noted(&[answer(9, 1), answer(5, 1)])), "");
    assert_eq!(
        differences(&one, &noted(&[answer(9, 1), answer(9, 1)])),
        "[answer]\n-     id: <id-2>,\n+     id: <id-1>,\n"
    );
    assert_eq!(
        differences(&one, &noted(&[answer(9, 1), answer(5, 4)])),
        "[answer]\n-         1,\n+         4,\n"
    );
}
