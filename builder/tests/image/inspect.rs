//! `bennu inspect` shows what is there, and comes to an end whatever is there.

use crate::workshop::{bennu, copy, pattern, workshop};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt as _;
use tempfile::TempDir;

#[test]
fn an_image_is_shown_with_the_words_that_nothing_was_verified() {
    let workshop = workshop();
    let said = bennu(&["inspect".as_ref(), workshop.pair.as_os_str()]).ends_with(0);
    for expected in [
        "NOT VERIFIED",
        "Slot A: demo_1 (UNVERIFIED)",
        "Slot B: demo_2 (UNVERIFIED)",
        "Boot entry EFI/Linux/demo_2+3-0.efi: 3 tries left, 0 done",
        "EFI/systemd/systemd-bootx64.efi",
        ".linux 195.3 KiB",
        "Demo (demo 2)",
        "IMAGE_ID=demo IMAGE_VERSION=1",
        "/usr/share",
        "partition table: both good",
    ] {
        assert!(said.out.contains(expected), "{expected}\n{}", said.out);
    }
    let said = bennu(&["inspect".as_ref(), workshop.disk.as_os_str()]).ends_with(0);
    assert!(said.out.contains("Slot B: empty"), "{}", said.out);
}

#[test]
fn the_json_has_manifest_and_predictions() {
    let workshop = workshop();
    let said = bennu(&["inspect".as_ref(), workshop.disk.as_os_str(), "--json".as_ref()]).ends_with(0);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["verified"], false);
    let (manifest, uki) = (&json["slots"][0]["manifest"], &json["esp"]["entries"][0]["uki"]);
    assert_eq!(manifest["pcrs"], uki["pcrs"]);
    assert_eq!(manifest["uki"]["sha256"], uki["sha256"]);
    assert_eq!(manifest["verity"]["root_hash"], uki["root_hash"]);
    assert_eq!(json["partitions"].as_array().unwrap().len(), 8);
    assert_eq!(json["slots"][1]["empty"], true);
    assert!(json["slots"][0]["root"]["files"].as_u64().unwrap() > 200);
}

#[test]
fn a_file_that_is_no_image_gives_exit_2_and_the_code() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("text");
    fs::write(&path, "no image").unwrap();
    let said = bennu(&["inspect".as_ref(), path.as_os_str()]).ends_with(2);
    assert!(said.err.contains("IMAGE-GPT"), "{}", said.err);
}

/// Bytes of table, FAT, UKI, manifest and root are overwritten: whatever is shown, nothing panics or hangs.
#[test]
fn no_damage_makes_inspect_or_verify_panic() {
    let workshop = workshop();
    let dir = TempDir::new_in(workshop.input.parent().unwrap()).unwrap();
    let disk = dir.path().join("disk.raw");
    let mib = 1 << 20;
    let length = fs::metadata(&workshop.disk).unwrap().len();
    let places = [
        512,
        1024,
        mib,
        mib + 32 * 512,
        mib + 600_000,
        35 * mib,
        35 * mib + 1024,
        51 * mib,
        52 * mib,
    ];
    let noise = pattern(1 << 16, 5);
    for (i, place) in places
        .into_iter()
        .chain([length - 512, length - 16_896])
        .enumerate()
    {
        for width in [1, 7, 400] {
            copy(&workshop.disk, &disk);
            let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
            let at = place + u64::from(noise[i * 97 + width]);
            let bytes = &noise[i * 1000..i * 1000 + width];
            file.write_all_at(
                &bytes[..width.min((length - at.min(length)) as usize)],
                at.min(length),
            )
            .unwrap();
            for command in ["inspect", "verify"] {
                let mut arguments = vec![command.as_ref(), disk.as_os_str()];
                let keys = workshop.file("keys");
                if command == "verify" {
                    arguments.extend(["--keys".as_ref(), keys.as_os_str()]);
                }
                let said = bennu(&arguments);
                assert!(
                    (0..=2).contains(&said.status) && !said.err.contains("panicked"),
                    "{place} {width}: {}",
                    said.err
                );
            }
        }
    }
}
