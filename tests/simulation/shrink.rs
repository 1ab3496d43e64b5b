//! Makes a list of faults as short as it can be while the run still fails (Zeller's delta debugging), then each fault as
//! short in time.
//!
//! Invariant: what it returns was run, and failed.

use crate::schedule::Fault;

/// The shortest list found that still `fails`, by running it `runs` times at the most.
pub(crate) fn shrink(faults: &[Fault], runs: u32, mut fails: impl FnMut(&[Fault]) -> bool) -> Vec<Fault> {
    let mut left = runs;
    let mut try_one = |faults: &[Fault]| {
        if left == 0 {
            return false;
        }
        left -= 1;
        fails(faults)
    };
    let fewer = drop_some(faults.to_vec(), &mut try_one);
    shorten(fewer, &mut try_one)
}

/// Leaves out halves, then quarters, and so on down to single faults, for as long as that helps.
fn drop_some(mut faults: Vec<Fault>, fails: &mut impl FnMut(&[Fault]) -> bool) -> Vec<Fault> {
    let mut size = faults.len();
    while size > 0 {
        let mut from = 0;
        let mut has_shrunk = false;
        while from < faults.len() {
            let to = faults.len().min(from + size);
            let without: Vec<Fault> = [&faults[..from], &faults[to..]].concat();
            if fails(&without) {
                faults = without;
                has_shrunk = true;
            } else {
                from = to;
            }
        }
        if !has_shrunk || size > 1 {
            size /= 2;
        }
    }
    faults
}

/// Halves the time that each fault lasts.
fn shorten(mut faults: Vec<Fault>, fails: &mut impl FnMut(&[Fault]) -> bool) -> Vec<Fault> {
    for at in 0..faults.len() {
        while faults[at].for_ms > 10 {
            let mut shorter = faults.clone();
            shorter[at].for_ms /= 2;
            if !fails(&shorter) {
                break;
            }
            faults = shorter;
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::What;
    use std::cell::Cell;

    fn fault(at_ms: u64, broker: i32) -> Fault {
        Fault { at_ms, for_ms: 1_000, what: What::BlackHole { broker } }
    }

    fn has(faults: &[Fault], broker: i32) -> bool {
        faults.iter().any(|fault| fault.what == What::BlackHole { broker })
    }

    #[test]
    fn only_the_two_faults_that_matter_stay_and_as_long_as_they_must() {
        let all: Vec<Fault> = (0_i32..40).map(|at| fault(u64::from(at.unsigned_abs()), at)).collect();
        let fails = |faults: &[Fault]| {
            let long =
                faults.iter().any(|fault| fault.what == What::BlackHole { broker: 31 } && fault.for_ms > 300);
            has(faults, 7) && long
        };
        let found = shrink(&all, 1_000, fails);
        let expected = [Fault { for_ms: 7, ..fault(7, 7) }, Fault { for_ms: 500, ..fault(31, 31) }];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_fails_by_itself_needs_no_fault() {
        assert_eq!(shrink(&[fault(0, 1), fault(1, 2)], 100, |_| true), []);
    }

    #[test]
    fn it_stops_when_it_may_try_no_more_and_still_has_what_fails() {
        let all: Vec<Fault> = (0_i32..40).map(|at| fault(u64::from(at.unsigned_abs()), at)).collect();
        let runs = Cell::new(0);
        let found = shrink(&all, 9, |faults| {
            runs.set(runs.get() + 1);
            has(faults, 7)
        });
        assert_eq!(runs.get(), 9);
        assert!(has(&found, 7) && found.len() < 40);
    }
}
