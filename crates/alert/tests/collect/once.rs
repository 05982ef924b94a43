//! Every line once, in order, whatever comes again.

use crate::workshop::*;
use bennu_alert::collect::{Collector, Outcome, Sent};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Name, lines, first keys.
type Sender = (&'static str, Vec<String>, &'static [u8]);

/// Three machines: one start, several starts, files that are full.
static LOGS: LazyLock<[Sender; 3]> = LazyLock::new(|| {
    [
        ("10.0.0.1_a", log(&[(1, 12)], 40), &[1]),
        ("10.0.0.2_b", log(&[(2, 3), (3, 0), (4, 7)], 40), &[2, 3, 4]),
        ("10.0.0.3_c", log(&[(5, 20), (6, 2)], 8000), &[5, 6]),
    ]
});

/// A step: a machine, how many lines it goes back, how many it sends; and what happens after that.
#[derive(Debug, Clone)]
struct Step {
    machine: usize,
    back: usize,
    lines: usize,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Nothing,
    Commit,
    /// The collector is killed and started anew.
    Killed,
}

fn step() -> impl Strategy<Value = Step> {
    let then = prop_oneof![Just(Then::Nothing), Just(Then::Commit), Just(Then::Killed)];
    (0..3_usize, 0..30_usize, 1..12_usize, then).prop_map(|(machine, back, lines, then)| Step {
        machine,
        back,
        lines,
        then,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_interleaving_of_repeats_of_several_machines_gives_each_log_once(steps in proptest::collection::vec(step(), 0..40)) {
        let directory = tempfile::tempdir().unwrap();
        let mut collector = open(directory.path());
        let mut next = [0; 3];
        for Step { machine, back, lines, then } in steps {
            let (name, log, _) = &LOGS[machine];
            let from = next[machine] - back.min(next[machine]);
            let to = (from + lines).min(log.len());
            let (outcomes, told) = send(&mut collector, name, &log[from..to]);
            for (number, outcome) in (from..to).zip(outcomes) {
                let expected = if number < next[machine] { Outcome::Repeat } else { Outcome::New };
                prop_assert_eq!(outcome, expected, "line {}", number);
            }
            prop_assert_eq!(codes(&told), Vec::<&str>::new());
            next[machine] = next[machine].max(to);
            match then {
                Then::Nothing => {}
                Then::Commit => collector.commit().unwrap(),
                Then::Killed => {
                    drop(collector);
                    collector = open(directory.path());
                }
            }
        }
        for (machine, (name, log, keys)) in LOGS.iter().enumerate() {
            send(&mut collector, name, &log[next[machine]..]);
            prop_assert_eq!(&kept(directory.path(), name, 0), log);
            prop_assert!(is_good(directory.path(), name, 0, keys));
            prop_assert!(!directory.path().join(name).join("notes.jsonl").exists());
        }
    }
}

#[test]
fn a_log_that_begins_anew_has_a_folder_of_its_own_and_late_lines_of_the_one_before_find_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let (old, new) = (log(&[(1, 6)], 40), log(&[(2, 3)], 40));
    send(&mut collector, "m", &old[..5]);
    let (_, told) = send(&mut collector, "m", &new[..3]);
    assert_eq!(codes(&told), ["RECORDS-ANEW"]);
    // A connection that hung: lines that were there, and the last ones.
    let (outcomes, told) = send(&mut collector, "m", &old[2..]);
    assert_eq!(
        outcomes,
        [
            Outcome::Repeat,
            Outcome::Repeat,
            Outcome::Repeat,
            Outcome::New,
            Outcome::New
        ]
    );
    assert!(told.is_empty(), "{told:?}");
    drop(collector);
    let mut collector = open(directory.path());
    let (_, told) = send(&mut collector, "m", &new);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(kept(directory.path(), "m", 0), old);
    assert_eq!(kept(directory.path(), "m", 1), new);
    assert!(is_good(directory.path(), "m", 0, &[1]) && is_good(directory.path(), "m", 1, &[2]));
}

#[test]
fn a_number_that_is_missing_is_told_unless_the_machine_said_so_or_leaves_lines_out() {
    let all = log(&[(1, 9)], 40);
    let some = [&all[..3], &all[7..]].concat();
    let said = "4 lines before number 7 were removed before they were sent".to_owned();
    let with_word = [&all[..3], &[said], &all[7..]].concat();
    for (lines, sent, expected) in [
        (&some, Sent::Everything, &["RECORDS-GAP"][..]),
        (&some, Sent::Alerts, &[]),
        (&with_word, Sent::Everything, &["RECORDS-SENDER"]),
        (&all, Sent::Everything, &[]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut collector = Collector::open(directory.path(), 10, sent).unwrap();
        let (_, told) = send(&mut collector, "m", lines);
        assert_eq!(codes(&told), expected);
        // All of it once more, and nothing is told or kept twice.
        let (outcomes, told) = send(&mut collector, "m", lines);
        assert!(told.is_empty() && outcomes.iter().all(|outcome| *outcome == Outcome::Repeat));
        let records: Vec<String> = lines
            .iter()
            .filter(|line| line.starts_with('{'))
            .cloned()
            .collect();
        assert_eq!(kept(directory.path(), "m", 0), records);
    }
}

#[test]
fn a_log_whose_first_line_never_came_is_kept_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = open(directory.path());
    let all = log(&[(1, 9)], 40);
    let (_, told) = send(&mut collector, "m", &all[4..]);
    assert_eq!(codes(&told), ["RECORDS-GAP"]);
    let (_, told) = send(&mut collector, "m", &all[4..]);
    assert!(told.is_empty());
    assert_eq!(kept(directory.path(), "m", 0), all[4..]);
}
