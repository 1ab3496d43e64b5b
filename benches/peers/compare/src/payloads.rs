//! The values that all clients send: events of the contract, made from a fixed seed, with a first member that has room
//! for the time at which a record is due.

use std::{fmt::Write as _, fs, io, path::Path};

/// A topic's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Events,
    Progress,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Progress => "progress",
        }
    }
}

/// Writes 20 000 lines.
pub fn write(kind: Kind, path: &Path) -> io::Result<()> {
    let mut random = Random(20_260_115);
    let sessions: Vec<String> = (0..LINES / 4).map(|_| random.id()).collect();
    let mut text = String::new();
    for number in 0..LINES {
        let session = &sessions[number % sessions.len()];
        let (event_type, rest) = match kind {
            Kind::Events => event(&mut random),
            Kind::Progress => {
                let percent = number / sessions.len() * 25 + random.below(25);
                ("progress.update", format!(r#","progress_percent":{percent},"status":"active""#))
            }
        };
        let (id, day, second) = (random.id(), 1 + random.below(28), random.below(60));
        let _writing_to_memory_succeeds = writeln!(
            text,
            concat!(
                r#"{{"t":"0000000000000000000","event_id":"{}","event_type":"crafting.{}","#,
                r#""timestamp":"2026-01-{:02}T09:30:{:02}Z","version":"1.0.0","source":"crafting.core","#,
                r#""data":{{"session_id":"{}"{}}}}}"#
            ),
            id, event_type, day, second, session, rest
        );
    }
    fs::write(path, text)
}

/// The kinds about as often as sessions have them: most messages of a session resume and pause it.
fn event(random: &mut Random) -> (&'static str, String) {
    match random.below(100) {
        0..=57 => ("session.resume", String::new()),
        58..=71 => ("session.pause", r#","pause_reason":"player_afk""#.to_owned()),
        72..=83 => ("session.cancel", r#","cancel_reason":"player_request""#.to_owned()),
        84..=91 => ("session.fail", r#","failure_reason":"recipe_error""#.to_owned()),
        92..=95 => {
            let (item, seconds) = (random.id(), 1 + random.below(3_600));
            ("session.complete", format!(r#","result_item_id":"{item}","duration_seconds":{seconds}"#))
        }
        _ => {
            let (recipe, player) = (random.id(), random.id());
            ("session.start", format!(r#","recipe_id":"{recipe}","player_id":"{player}""#))
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        (self.next() % end) as usize
    }

    /// A UUID of version 4.
    fn id(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48 & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }
}

const LINES: usize = 20_000;
