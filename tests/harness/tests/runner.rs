//! The runner's report, retry, selection and reuse. No guest runs here.

#![allow(
    clippy::unwrap_used,
    reason = "clippy does not take helpers outside #[test] for tests"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::bail;
use bennu_harness::accelerator::Accelerator;
use bennu_harness::artefacts::Artefacts;
use bennu_harness::machine::{DiskSource, MachineSpec};
use bennu_harness::options::Options;
use bennu_harness::runner::{Runner, Tally};
use bennu_harness::story;
use bennu_harness::story::{Context, Story, Tier};

fn run(stories: &[Story], folder: &std::path::Path, options: &Options) -> (Tally, String) {
    run_round(1, stories, folder, options)
}

fn run_round(round: u32, stories: &[Story], folder: &std::path::Path, options: &Options) -> (Tally, String) {
    let runner = Runner {
        stories,
        inputs: Vec::new(),
        artefacts: Artefacts::at(folder.join("vm")),
        round,
    };
    let mut out = Vec::new();
    let tally = runner.run(options, &mut out).unwrap();
    (tally, String::from_utf8(out).unwrap())
}

fn passes(_: &mut Context) -> anyhow::Result<()> {
    Ok(())
}

fn spec() -> MachineSpec {
    MachineSpec {
        tpm: None,
        accelerator: Some(Accelerator::Tcg),
        ..MachineSpec::default()
    }
}

#[test]
fn passes_and_failures_are_counted_in_the_last_line() {
    fn fails(context: &mut Context) -> anyhow::Result<()> {
        context.timed("first part", |_| Ok(()))?;
        let machine = context.machine(MachineSpec {
            disk: DiskSource::Empty { bytes: 1 << 20 },
            ..spec()
        })?;
        bail!("slot of {} chosen, expected B", machine.disk()?.path().display());
    }
    fn panics(_: &mut Context) -> anyhow::Result<()> {
        assert_eq!(1, 2, "numbers differ");
        Ok(())
    }
    let stories = [
        story!("good", Tier::Fast, passes),
        story!("bad", Tier::Fast, fails),
        story!("panicking", Tier::Full, panics),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (tally, text) = run(
        &stories,
        folder.path(),
        &Options {
            jobs: 2,
            ..Options::default()
        },
    );
    assert_eq!(tally, Tally { passed: 1, failed: 2 });
    assert!(text.ends_with("\n1 passed, 2 failed\n"), "{text}");
    assert!(text.contains("passed  good  0."), "{text}");
    assert!(
        text.contains("chosen, expected B\n    last 0 serial lines"),
        "{text}"
    );
    assert!(
        text.contains("reason: the story panicked: assertion `left == right` failed: numbers differ"),
        "{text}"
    );
    let kept = folder.path().join("vm/bad");
    assert!(text.contains(&format!("artefacts: {}", kept.display())), "{text}");
    assert!(kept.join("disk.raw").exists(), "a failure keeps its disk");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(kept.join("summary.json")).unwrap()).unwrap();
    assert_eq!(
        (&summary["outcome"], &summary["attempt"]),
        (&"failed".into(), &1.into())
    );
    assert_eq!(summary["parts"][0]["part"], "first part");
}

#[test]
fn a_story_is_retried_once_if_qemu_does_not_start() {
    static STARTS: AtomicU32 = AtomicU32::new(0);
    fn broken(context: &mut Context) -> anyhow::Result<()> {
        STARTS.fetch_add(1, Ordering::Relaxed);
        let mut machine = context.machine(MachineSpec {
            extra_args: vec!["-nonsense".into()],
            ..spec()
        })?;
        machine.power_on()?;
        Ok(())
    }
    let folder = tempfile::tempdir().unwrap();
    let (tally, text) = run(
        &[story!("broken", Tier::Fast, broken)],
        folder.path(),
        &Options::default(),
    );
    assert_eq!(tally, Tally { passed: 0, failed: 1 });
    assert_eq!(STARTS.load(Ordering::Relaxed), 2);
    assert!(text.starts_with("retry   broken"), "{text}");
    assert!(
        text.contains("start qemu: it ended with exit status: 1: "),
        "{text}"
    );
    assert!(text.contains("-nonsense: invalid option"), "{text}");
    assert!(
        folder
            .path()
            .join("vm/broken.attempt-1/power-on-1/command.txt")
            .exists()
    );
}

#[test]
fn a_failed_assertion_is_not_retried() {
    static STARTS: AtomicU32 = AtomicU32::new(0);
    fn wrong(_: &mut Context) -> anyhow::Result<()> {
        STARTS.fetch_add(1, Ordering::Relaxed);
        bail!("wrong")
    }
    let folder = tempfile::tempdir().unwrap();
    run(
        &[story!("wrong", Tier::Fast, wrong)],
        folder.path(),
        &Options::default(),
    );
    assert_eq!(STARTS.load(Ordering::Relaxed), 1);
}

#[test]
fn a_pass_is_reused_and_a_failure_is_not() {
    static STARTS: AtomicU32 = AtomicU32::new(0);
    fn counted(_: &mut Context) -> anyhow::Result<()> {
        STARTS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn fails(_: &mut Context) -> anyhow::Result<()> {
        bail!("always")
    }
    let stories = [
        story!("counted", Tier::Fast, counted),
        story!("failing", Tier::Full, fails),
    ];
    let folder = tempfile::tempdir().unwrap();
    run(&stories, folder.path(), &Options::default());
    let (tally, text) = run(&stories, folder.path(), &Options::default());
    assert_eq!(tally, Tally { passed: 1, failed: 1 });
    assert!(text.starts_with("reused  counted  passed in 0."), "{text}");
    assert!(text.contains("FAILED  failing"), "{text}");
    assert_eq!(STARTS.load(Ordering::Relaxed), 1);
    let fresh = Options {
        fresh: true,
        tier: Some(Tier::Fast),
        ..Options::default()
    };
    let (_, text) = run(&stories, folder.path(), &fresh);
    assert!(text.ends_with("\n1 passed, 0 failed\n"), "{text}");
    assert_eq!(STARTS.load(Ordering::Relaxed), 2);
    let (_, text) = run(
        &stories,
        folder.path(),
        &Options {
            parts: vec!["count".into()],
            ..Options::default()
        },
    );
    assert!(
        text.starts_with("reused  counted") && !text.contains("failing"),
        "{text}"
    );
}

#[test]
fn a_second_round_takes_no_result_of_the_first_and_resumes_its_own() {
    let stories = [story!("good", Tier::Fast, passes)];
    let folder = tempfile::tempdir().unwrap();
    let reused = |round| {
        let (tally, text) = run_round(round, &stories, folder.path(), &Options::default());
        assert_eq!(tally, Tally { passed: 1, failed: 0 });
        text.starts_with("reused  good")
    };
    assert_eq!([1, 2, 1, 2].map(reused), [false, false, true, true]);
}

#[test]
fn a_run_that_cannot_mean_anything_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = |stories: &[Story], inputs: Vec<std::path::PathBuf>, parts: &[&str]| {
        let runner = Runner {
            stories,
            inputs,
            artefacts: Artefacts::at(folder.path()),
            round: 1,
        };
        let parts = parts.iter().map(ToString::to_string).collect();
        runner
            .run(
                &Options {
                    parts,
                    ..Options::default()
                },
                &mut Vec::new(),
            )
            .unwrap_err()
            .to_string()
    };
    let good = story!("good", Tier::Fast, passes);
    assert_eq!(
        error(&[good], vec![], &["absent"]),
        "select stories: none of 1 matches"
    );
    assert_eq!(
        error(&[good, good], vec![], &[]),
        r#"name story "good": another story has this name"#
    );
    assert_eq!(
        error(&[story!("../x", Tier::Fast, passes)], vec![], &[]),
        r#"name story "../x": use a-z 0-9 - _ only"#
    );
    assert_eq!(
        error(&[good], vec!["/nonexistent".into()], &[]),
        "find input /nonexistent: build it first"
    );
}
