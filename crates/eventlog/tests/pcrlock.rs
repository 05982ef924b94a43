//! The target's own `systemd-pcrlock` reads the firmware's log and the one that `bennu-init` writes, and finds the
//! events and digests that we find; and the same in the one file with both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_eventlog::{Event, append, cel, firmware};
use bennu_tpm::{EventKind, EventRecord, HashAlg};
use std::path::{Path, PathBuf};
use std::process::Command;

const FIRMWARE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/firmware-257.log");

/// What `bennu-init` logs of a good start.
fn records() -> [EventRecord; 4] {
    let manifest = "ab".repeat(32);
    let events = [
        (11, EventKind::Phase, "enter-initrd"),
        (15, EventKind::Manifest, manifest.as_str()),
        (15, EventKind::VolumeKey, "bennu state volume"),
        (11, EventKind::Phase, "leave-initrd"),
    ];
    events.map(|(pcr, kind, text)| EventRecord {
        pcr,
        digests: vec![HashAlg::Sha256.digest(text.as_bytes())],
        kind,
        text: text.to_owned(),
    })
}

fn ours() -> String {
    records()
        .map(|record| record.cel_json(&[7; 16], 1_234_567))
        .concat()
}

/// PCR and SHA-256 digest of each event that extends one.
fn extensions(events: &[Event]) -> Vec<(u64, String)> {
    let extending = events.iter().filter_map(|event| {
        let digest = event.digest(HashAlg::Sha256)?;
        Some((event.extends()?.into(), digest.to_string()))
    });
    extending.collect()
}

/// `BENNU_TARGET_ROOT` is the directory of an unpacked Debian 13 root.
#[test]
#[ignore = "needs the target root; tests/run gives it"]
fn the_targets_own_systemd_pcrlock_finds_the_same_events_in_both_logs() {
    let root = PathBuf::from(std::env::var_os("BENNU_TARGET_ROOT").expect("set BENNU_TARGET_ROOT"));
    let user = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(user.path(), ours()).unwrap();
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let judge = |firmware: &Path, user: &Path| -> Vec<(u64, String)> {
        let output = Command::new(libraries.join("ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(format!("{0}:{0}/systemd", libraries.display()))
            .arg(root.join("usr/lib/systemd/systemd-pcrlock"))
            .args(["--no-pager", "cel"])
            .env("SYSTEMD_MEASURE_LOG_FIRMWARE", firmware)
            .env("SYSTEMD_MEASURE_LOG_USERSPACE", user)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        let records: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let of = |record: &serde_json::Value| {
            let digests = record["digests"].as_array().unwrap();
            let sha256 = digests.iter().find(|d| d["hashAlg"] == "sha256").unwrap();
            (
                record["pcr"].as_u64().unwrap(),
                sha256["digest"].as_str().unwrap().to_owned(),
            )
        };
        records.as_array().unwrap().iter().map(of).collect()
    };
    let bytes = std::fs::read(FIRMWARE).unwrap();
    let mut events = firmware::read(&bytes).events;
    events.extend(cel::read(ours().as_bytes()).events);
    let apart = Path::new(FIRMWARE);
    assert_eq!(judge(apart, user.path()), extensions(&events));
    let (both, empty) = (tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
    let (both, empty) = (both.unwrap(), empty.unwrap());
    std::fs::write(both.path(), append(&bytes, &records()).unwrap()).unwrap();
    assert_eq!(judge(both.path(), empty.path()), extensions(&events));
    // The control: a record less is one less for both.
    let short = ours();
    let short = &short[..short.rfind('\u{1e}').unwrap()];
    std::fs::write(user.path(), short).unwrap();
    assert_eq!(
        judge(apart, user.path()),
        extensions(&events)[..extensions(&events).len() - 1]
    );
}
