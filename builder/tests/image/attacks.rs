//! One folder of `tests/fixtures` an attack: `fixture.toml` says what is changed in a good image and with which
//! codes and exit status `bennu verify` has to refuse it. All codes are listed, so that nothing else is refused.

use crate::change::{Change, Target};
use crate::workshop::{copy, workshop};
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

/// Which image is attacked.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Victim {
    /// Version 1 in slot A, slot B empty.
    #[default]
    OneSlot,
    /// Versions 1 and 2.
    TwoSlots,
}

/// `fixture.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    /// What the attacker does and hopes for.
    attack: String,
    /// Image.
    #[serde(default)]
    image: Victim,
    /// Exit status of `bennu verify`.
    exit: i32,
    /// Codes of all refusals, each once, in the order of the report; for exit 2 those in the message, for exit 0
    /// none.
    codes: Vec<String>,
    /// Slot of the first refusal.
    slot: Option<String>,
    /// Changes, in order.
    change: Vec<Change>,
}

fn folders() -> Vec<PathBuf> {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    let entries = fs::read_dir(base).unwrap().map(|e| e.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

fn read(folder: &Path) -> Fixture {
    let text = fs::read_to_string(folder.join("fixture.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

/// What went otherwise than the fixture says.
fn attack(fixture: &Fixture) -> Result<(), String> {
    let workshop = workshop();
    let dir = TempDir::new_in(workshop.input.parent().unwrap()).unwrap();
    let disk = dir.path().join("disk.raw");
    let original = match fixture.image {
        Victim::OneSlot => &workshop.disk,
        Victim::TwoSlots => &workshop.pair,
    };
    copy(original, &disk);
    let before = workshop.verify(&disk);
    if before.status != 0 {
        return Err(format!(
            "positive control: the untouched image is refused:\n{}{}",
            before.out, before.err
        ));
    }
    let target = Target {
        disk: &disk,
        workshop,
        scratch: dir.path(),
    };
    fixture.change.iter().for_each(|change| target.apply(change));
    let after = workshop.verify(&disk);
    let found = || format!("found exit {}:\n{}{}", after.status, after.out, after.err);
    if after.status != fixture.exit || after.err.contains("panicked") {
        return Err(format!("expected exit {}, {}", fixture.exit, found()));
    }
    if after.status == 2 {
        let named = fixture.codes.iter().all(|code| after.err.contains(code.as_str()));
        return if named {
            Ok(())
        } else {
            Err(format!("expected {:?}, {}", fixture.codes, found()))
        };
    }
    let json: Value = serde_json::from_str(&after.out).map_err(|e| format!("{e}: {}", found()))?;
    let mut codes: Vec<&str> = Vec::new();
    for refusal in json["refusals"].as_array().into_iter().flatten() {
        let code = refusal["code"].as_str().unwrap_or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    if codes != fixture.codes || json["refusals"][0]["slot"].as_str() != fixture.slot.as_deref() {
        return Err(format!(
            "expected {:?} in slot {:?}, {}",
            fixture.codes,
            fixture.slot,
            found()
        ));
    }
    Ok(())
}

#[test]
fn every_attack_is_refused_with_its_codes_and_no_other() {
    let folders = folders();
    assert!(folders.len() >= 20, "{}", folders.len());
    let _built = workshop();
    let (queue, failed) = (Mutex::new(folders), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(folder) = queue.lock().unwrap().pop() else {
                        break;
                    };
                    if let Err(words) = attack(&read(&folder)) {
                        failed
                            .lock()
                            .unwrap()
                            .push(format!("{}: {words}", folder.display()));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_attack_says_what_it_is_and_expects_codes_that_exist() {
    for folder in folders() {
        let fixture = read(&folder);
        assert!(fixture.attack.len() > 20, "{}", folder.display());
        assert_eq!(
            fixture.exit == 0,
            fixture.codes.is_empty(),
            "{}",
            folder.display()
        );
        for code in &fixture.codes {
            let known = bennu_formats::Code::ALL
                .iter()
                .any(|known| known.as_str() == code);
            assert!(known, "{}: {code}", folder.display());
        }
    }
}

/// A test that cannot fail is worth nothing: an attack that changes nothing is told apart.
#[test]
fn a_fixture_whose_change_does_nothing_fails() {
    let nothing = r#"
        attack = "none at all, to see that the test notices"
        exit = 1
        codes = ["UKI-SIGNATURE"]
        change = []
    "#;
    let words = attack(&toml::from_str(nothing).unwrap()).unwrap_err();
    assert!(words.starts_with("expected exit 1, found exit 0"), "{words}");
}
