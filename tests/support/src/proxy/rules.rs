//! The rules that stand, what they decide about a frame, and how often they did.

use std::collections::BTreeMap;
use std::time::Duration;

use super::random::Draw;
use super::rule::{Direction, Fault, Rule};

/// Names a rule for as long as the proxy lives.
pub(super) type RuleId = u64;

/// A frame as rules see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) node: i32,
    pub(super) connection: u64,
    pub(super) direction: Direction,
    pub(super) api_key: Option<i16>,
    pub(super) len: usize,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

/// What is to become of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u32>,
    /// One byte a write, and the pause after each.
    pub(super) one_byte: Option<Duration>,
    pub(super) held_by: Option<RuleId>,
    pub(super) vanishes: bool,
    /// Which bit, counted from the first of the length.
    pub(super) flipped_bit: Option<usize>,
    pub(super) misnamed: bool,
    pub(super) twice: bool,
    pub(super) after_stray: bool,
    /// It waits for the next frame to go first.
    pub(super) swapped: bool,
    /// How many bytes go, and how the connection ends then.
    pub(super) end: Option<(usize, End)>,
}

impl Verdict {
    /// Turns the bits that are to be turned, and puts beside the frame what is to come with it.
    pub(super) fn harm(&self, frame: &mut Vec<u8>) {
        if self.after_stray || self.twice {
            let mut before = frame.clone();
            if self.after_stray {
                before.truncate(8);
                before[..4].copy_from_slice(&4_i32.to_be_bytes());
                misname(&mut before);
            }
            before.append(frame);
            *frame = before;
        }
        if self.misnamed {
            misname(frame);
        }
        if let Some(bit) = self.flipped_bit
            && let Some(byte) = frame.get_mut(bit / 8)
        {
            *byte ^= 1 << (bit % 8);
        }
    }
}

fn misname(frame: &mut [u8]) {
    if let Some(first) = frame.get_mut(4) {
        *first ^= 0x80;
    }
}

/// All rules of a proxy, those that were removed too: their counts are asked for later.
#[derive(Debug)]
pub(super) struct Rules {
    seed: u64,
    known: BTreeMap<RuleId, Known>,
    next: RuleId,
    injected: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Known {
    rule: Rule,
    stands: bool,
    seen: u64,
    injected: u64,
}

impl Known {
    /// The draw for this frame or connection, if the rule befalls it.
    fn befall(&mut self, seed: u64, id: RuleId) -> Option<Draw> {
        self.seen += 1;
        let draw = Draw::of(seed, id, self.seen);
        let befalls = self.seen > self.rule.skip
            && self.injected < self.rule.times
            && draw.other(ONE_IN).below(self.rule.one_in) == 0;
        befalls.then_some(draw)
    }
}

/// Purposes of draws.
const ONE_IN: u64 = 1;
const AMOUNT: u64 = 2;

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, known: BTreeMap::new(), next: 0, injected: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, rule: Rule) -> RuleId {
        self.next += 1;
        self.known.insert(self.next, Known { rule, stands: true, seen: 0, injected: 0 });
        self.next
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        if let Some(known) = self.known.get_mut(&id) {
            known.stands = false;
        }
    }

    pub(super) fn clear(&mut self) {
        self.known.values_mut().for_each(|known| known.stands = false);
    }

    pub(super) fn stands(&self, id: RuleId) -> bool {
        self.known.get(&id).is_some_and(|known| known.stands)
    }

    /// How often each fault came, by the names of faults.
    pub(super) fn injected(&self) -> &BTreeMap<&'static str, u64> {
        &self.injected
    }

    /// What becomes of this frame, by all rules together.
    pub(super) fn judge(&mut self, sight: Sight) -> Verdict {
        let mut verdict = Verdict::default();
        for (&id, known) in self.known.iter_mut().filter(|(_, known)| known.stands) {
            let rule = &known.rule;
            let about = rule.is_about(sight);
            let too_short = match rule.fault {
                Fault::BitFlip { from, spare_last } => sight.len <= from.saturating_add(spare_last),
                Fault::Misname | Fault::Stray => sight.len < 8,
                _ => false,
            };
            if !about || too_short || matches!(rule.fault, Fault::Life { .. }) {
                continue;
            }
            let Some(draw) = known.befall(self.seed, id) else { continue };
            known.injected += 1;
            *self.injected.entry(known.rule.fault.name()).or_default() += 1;
            let nth = known.injected - 1;
            apply(known.rule.fault, id, draw.other(AMOUNT), nth, sight.len, &mut verdict);
        }
        verdict
    }

    /// How long a connection is to live that is made now; the shortest by any rule.
    pub(super) fn life(&mut self, node: i32, connection: u64) -> Option<(RuleId, Duration)> {
        let mut shortest: Option<(RuleId, Duration)> = None;
        for (&id, known) in self.known.iter_mut().filter(|(_, known)| known.stands) {
            let Fault::Life { least, most } = known.rule.fault else { continue };
            if !known.rule.is_about_connection(node, connection) {
                continue;
            }
            let Some(draw) = known.befall(self.seed, id) else { continue };
            let life = draw.other(AMOUNT).between(least, most);
            if shortest.is_none_or(|(_, least)| life < least) {
                shortest = Some((id, life));
            }
        }
        shortest
    }

    /// The life that a rule gave a connection has passed.
    pub(super) fn life_ended(&mut self, id: RuleId) {
        *self.injected.entry("short life").or_default() += 1;
        if let Some(known) = self.known.get_mut(&id) {
            known.injected += 1;
        }
    }

    /// How often a rule befell something.
    pub(super) fn injected_by(&self, id: RuleId) -> u64 {
        self.known.get(&id).map_or(0, |known| known.injected)
    }
}

fn apply(fault: Fault, id: RuleId, draw: Draw, nth: u64, len: usize, verdict: &mut Verdict) {
    match fault {
        Fault::Delay { least, jitter } => verdict.delay += draw.between(least, least + jitter),
        Fault::Rate { bytes_per_second } => {
            let slower =
                verdict.bytes_per_second.map_or(bytes_per_second, |other| other.min(bytes_per_second));
            verdict.bytes_per_second = Some(slower.max(1));
        }
        Fault::OneByteWrites { pause } => {
            verdict.one_byte = Some(verdict.one_byte.map_or(pause, |other| other.max(pause)));
        }
        Fault::Hold => verdict.held_by = Some(id),
        Fault::BlackHole => verdict.vanishes = true,
        Fault::Cut { at } => verdict.end = Some((at.min(len), End::Fin)),
        Fault::CutEverywhere { step } => {
            let at = usize::try_from(nth).unwrap_or(usize::MAX).saturating_mul(step);
            verdict.end = Some((at.min(len), End::Fin));
        }
        Fault::Misname => verdict.misnamed = true,
        Fault::Twice => verdict.twice = true,
        Fault::Stray => verdict.after_stray = true,
        Fault::Swap => verdict.swapped = true,
        Fault::Reset { at } => verdict.end = Some((at.min(len), End::Reset)),
        Fault::BitFlip { from, spare_last } => {
            let bits = u64::try_from(len.saturating_sub(from + spare_last)).unwrap_or(0) * 8;
            verdict.flipped_bit = Some(from * 8 + usize::try_from(draw.below(bits)).unwrap_or(0));
        }
        Fault::Life { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::api;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sight(direction: Direction, api_key: i16) -> Sight {
        Sight { node: 1, connection: 3, direction, api_key: Some(api_key), len: 100 }
    }

    #[test]
    fn only_what_a_rule_is_about_meets_it() {
        let mut rules = Rules::new(1);
        let id = rules.add(Rule::answers(Fault::BlackHole).api(api::PRODUCE).node(1).connection(3));
        let harmless = [
            sight(Direction::Request, api::PRODUCE),
            sight(Direction::Answer, api::FETCH),
            Sight { node: 2, ..sight(Direction::Answer, api::PRODUCE) },
            Sight { connection: 4, ..sight(Direction::Answer, api::PRODUCE) },
            Sight { api_key: None, ..sight(Direction::Answer, api::PRODUCE) },
        ];
        assert!(harmless.into_iter().all(|sight| rules.judge(sight) == Verdict::default()));
        assert!(rules.judge(sight(Direction::Answer, api::PRODUCE)).vanishes);
        assert_eq!(rules.injected_by(id), 1);
        assert_eq!(rules.injected(), &BTreeMap::from([("black hole", 1)]));
        rules.remove(id);
        assert!(!rules.judge(sight(Direction::Answer, api::PRODUCE)).vanishes);
    }

    #[test]
    fn the_nth_call_is_counted_among_its_like() {
        let mut rules = Rules::new(1);
        let _ = rules.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).skip(2).times(2));
        let fate = |rules: &mut Rules| {
            let _ = rules.judge(sight(Direction::Answer, api::METADATA));
            rules.judge(sight(Direction::Answer, api::PRODUCE)).end
        };
        let fates: Vec<_> = (0..6).map(|_| fate(&mut rules).is_some()).collect();
        assert_eq!(fates, [false, false, true, true, false, false]);
    }

    #[test]
    fn cuts_go_through_a_frame_and_stop_at_its_end() {
        let mut rules = Rules::new(1);
        let _ = rules.add(Rule::answers(Fault::CutEverywhere { step: 30 }).times(6));
        let ends = (0..7).map(|_| rules.judge(sight(Direction::Answer, api::FETCH)).end.map(|(at, _)| at));
        let places = [0, 30, 60, 90, 100, 100].map(Some).into_iter().chain([None]);
        assert!(ends.eq(places));
    }

    #[test]
    fn names_are_turned_and_frames_put_beside() {
        let well = [0, 0, 0, 6, 0, 0, 0, 9, 1, 2];
        let harmed = |fault| {
            let mut rules = Rules::new(1);
            let _ = rules.add(Rule::answers(fault));
            let mut frame = well.to_vec();
            rules.judge(sight(Direction::Answer, api::FETCH)).harm(&mut frame);
            frame
        };
        let misnamed = [0, 0, 0, 6, 0x80, 0, 0, 9, 1, 2];
        let stray = [0, 0, 0, 4, 0x80, 0, 0, 9];
        assert_eq!(harmed(Fault::Misname), misnamed);
        assert_eq!(harmed(Fault::Twice), [well, well].concat());
        assert_eq!(harmed(Fault::Stray), [&stray[..], &well].concat());
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let run = |seed| {
            let mut rules = Rules::new(seed);
            let _ = rules.add(Rule::both_ways(Fault::BitFlip { from: 4, spare_last: 0 }).one_in(4));
            let _ = rules.add(Rule::both_ways(Fault::Delay { least: MS, jitter: 50 * MS }));
            let _ = rules.add(Rule::both_ways(Fault::Life { least: 500 * MS, most: 1500 * MS }));
            let frames: Vec<_> =
                (0..400).map(|_| rules.judge(sight(Direction::Answer, api::FETCH))).collect();
            let lives: Vec<_> = (0..10).map(|_| rules.life(1, 1).unwrap()).collect();
            (frames, lives)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let (frames, lives) = run(3);
        let flips: Vec<usize> = frames.iter().filter_map(|verdict| verdict.flipped_bit).collect();
        assert!((60..140).contains(&flips.len()), "{}", flips.len());
        assert!(flips.iter().all(|bit| (32..800).contains(bit)));
        assert!(frames.iter().all(|verdict| (MS..=51 * MS).contains(&verdict.delay)));
        assert!(lives.iter().all(|(_, life)| (500 * MS..=1500 * MS).contains(life)));
    }

    #[test]
    fn one_bit_turns_and_short_frames_have_none_to_turn() {
        let mut rules = Rules::new(9);
        let _ = rules.add(Rule::both_ways(Fault::BitFlip { from: 4, spare_last: 0 }));
        let mut frame = vec![0; 100];
        rules.judge(sight(Direction::Request, 0)).harm(&mut frame);
        assert_eq!(frame.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        let short = Sight { len: 4, ..sight(Direction::Request, 0) };
        assert_eq!(rules.judge(short), Verdict::default());

        let mut rules = Rules::new(9);
        let _ = rules.add(Rule::both_ways(Fault::BitFlip { from: 90, spare_last: 8 }));
        for _ in 0..50 {
            let bit = rules.judge(sight(Direction::Request, 0)).flipped_bit.unwrap();
            assert!((90 * 8..92 * 8).contains(&bit));
        }
    }

    #[test]
    fn rules_add_up() {
        let mut rules = Rules::new(1);
        for least in [MS, 2 * MS] {
            let _ = rules.add(Rule::both_ways(Fault::Delay { least, jitter: Duration::ZERO }));
        }
        let _ = rules.add(Rule::both_ways(Fault::Rate { bytes_per_second: 64_000 }));
        let _ = rules.add(Rule::both_ways(Fault::Rate { bytes_per_second: 0 }));
        let _ = rules.add(Rule::both_ways(Fault::OneByteWrites { pause: MS }));
        let hold = rules.add(Rule::both_ways(Fault::Hold));
        let _ = rules.add(Rule::both_ways(Fault::Cut { at: 500 }));
        let verdict = rules.judge(sight(Direction::Request, 0));
        assert_eq!((verdict.delay, verdict.bytes_per_second, verdict.one_byte), (3 * MS, Some(1), Some(MS)));
        assert_eq!((verdict.held_by, verdict.end), (Some(hold), Some((100, End::Fin))));
        assert!(rules.stands(hold));
        rules.clear();
        assert!(!rules.stands(hold));
        assert_eq!(rules.judge(sight(Direction::Request, 0)), Verdict::default());
    }
}
