//! The power goes at every act of a writer, and any part of what was not flushed is there afterwards. The next writer
//! goes on; the check finds nothing that it refuses, every line that was flushed, and a mark for every torn end.

use crate::medium::Medium;
use crate::workshop::{by_key, event, open, signer, stamp};
use bennu_records::{Durability, Fault, WriteError};
use serde_json::json;

/// What one run of a machine writes; numbers of the lines that were flushed when the call returned.
fn run(medium: &Medium, segment: u8) -> Vec<u64> {
    let mut flushed = Vec::new();
    let Ok(mut writer) = open(medium, segment) else {
        return flushed;
    };
    flushed.push(writer.position().0 - 1);
    for n in 0..4 {
        let durability = if n % 2 == 0 {
            Durability::Later
        } else {
            Durability::Now
        };
        match writer.event(json!({"n": n}), stamp(n), durability) {
            Ok(seq) if durability == Durability::Now => flushed.extend([seq - 1, seq]),
            Ok(_) => {}
            Err(_) => {
                let again = writer.event(json!({}), stamp(n), Durability::Now);
                assert!(
                    matches!(again, Err(WriteError::Failed)),
                    "a failed writer is done"
                );
                return flushed;
            }
        }
    }
    if let Ok(seq) = writer.head(&mut signer(9).0, stamp(5)) {
        flushed.push(seq);
    }
    if writer.stop(stamp(6)).is_ok() {
        let stop = flushed.last().map(|seq| seq + 1);
        flushed.extend(stop);
    }
    flushed
}

fn is_sound(medium: &Medium, flushed: &[u64], words: &str) {
    let report = by_key(&medium.contents());
    assert!(!report.refused, "{words}: {report:#?}");
    let expected = flushed.iter().max().map_or(0, |seq| seq + 1);
    assert!(
        report.lines >= expected,
        "{words}: {} lines, {expected} flushed",
        report.lines
    );
}

#[test]
fn a_cut_at_any_act_with_any_part_of_the_cache_leaves_a_log_that_goes_on_and_is_found_sound() {
    let control = Medium::default();
    run(&control, 1);
    let (mut cuts, mut torn) = (0, 0);
    for acts in 0..control.acts() {
        let medium = Medium::default();
        medium.power_goes_after(acts);
        let mut flushed = run(&medium, 1);
        for kept in 0..=medium.cached() {
            for garbage in [0, 1, 500] {
                let medium = medium.after_the_cut(kept, garbage);
                let before = flushed.len();
                flushed.extend(run(&medium, 2));
                let words = format!("{acts} acts, {kept} bytes kept, {garbage} of garbage");
                is_sound(&medium, &flushed, &words);
                let report = by_key(&medium.contents());
                torn += usize::from(
                    report
                        .findings
                        .iter()
                        .any(|f| matches!(f.fault, Fault::Torn { .. })),
                );
                cuts += 1;
                flushed.truncate(before);
            }
        }
    }
    assert!(
        cuts > 500 && torn > 100,
        "positive control: {cuts} cuts, {torn} with a torn end"
    );
    println!("power cuts of the record log: {cuts}, {torn} with a torn end");
}

#[test]
fn two_cuts_in_a_row_leave_a_log_that_goes_on() {
    for first in 0..8 {
        for second in 0..8 {
            for kept in [0, 3, 60, 400] {
                let medium = Medium::default();
                medium.power_goes_after(first);
                let mut flushed = run(&medium, 1);
                let medium = medium.after_the_cut(kept, 2);
                medium.power_goes_after(second);
                flushed.extend(run(&medium, 2));
                let medium = medium.after_the_cut(kept, 0);
                flushed.extend(run(&medium, 3));
                is_sound(&medium, &flushed, &format!("{first} {second} {kept}"));
            }
        }
    }
}

#[test]
fn a_torn_end_that_somebody_changes_afterwards_is_found() {
    let medium = Medium::default();
    let mut writer = open(&medium, 1).unwrap();
    event(&mut writer, 1).unwrap();
    writer
        .event(json!({"n": 2}), stamp(2), Durability::Later)
        .unwrap();
    let medium = medium.after_the_cut(40, 0);
    open(&medium, 2).unwrap().stop(stamp(3)).unwrap();
    let contents = medium.contents();
    let report = by_key(&contents);
    assert!(!report.refused, "{report:#?}");
    assert_eq!(
        (report.findings[0].line, &report.findings[0].fault),
        (3, &Fault::Torn { bytes: 40 })
    );
    for at in contents[0].1.len() - 40..contents[0].1.len() {
        let mut changed = contents.clone();
        changed[0].1[at] ^= 1;
        assert!(by_key(&changed).refused, "{at}");
    }
    for length in contents[0].1.len() - 40..contents[0].1.len() {
        let mut cut = contents.clone();
        cut[0].1.truncate(length);
        assert!(by_key(&cut).refused, "{length}");
    }
}
