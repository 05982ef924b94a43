//! Builds that are refused, and what they leave behind: nothing.

use crate::workshop::{DEFINITION, Said, bennu, workshop};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Builds `definition` into an empty directory and checks that it fails and leaves the directory empty.
#[track_caller]
fn refused(name: &str, definition: &str) -> Said {
    let workshop = workshop();
    fs::write(workshop.file(name), definition).unwrap();
    let dir = TempDir::new().unwrap();
    let disk = dir.path().join("disk.raw");
    let said = workshop
        .build(
            name,
            &dir.path().join("release"),
            &["--disk".as_ref(), disk.as_os_str()],
        )
        .ends_with(2);
    assert_eq!(said.out, "", "no result without a build");
    is_empty(dir.path());
    said
}

#[track_caller]
fn is_empty(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_nothing_is_left_behind() {
    let said = refused(
        "unknown.toml",
        &DEFINITION.replacen("[boot]\n", "[boot]\ncolour = \"red\"\n", 1),
    );
    assert!(
        said.err.contains("unknown.toml") && said.err.contains("line 13"),
        "{}",
        said.err
    );
    assert!(said.err.contains("colour"), "{}", said.err);
}

#[test]
fn a_root_in_which_systemd_would_let_nothing_execute_is_refused() {
    let drop_in = "[[root.file]]\npath = \"/etc/systemd/system.conf.d/exec.conf\"\n\
        content = \"[Manager]\\nRestrictFileSystemAccess=exec\\n\"\n";
    let said = refused(
        "restricted.toml",
        &DEFINITION.replacen("[boot]\n", &format!("{drop_in}[boot]\n"), 1),
    );
    for words in [
        "/etc/systemd/system.conf.d/exec.conf: expected RestrictFileSystemAccess= to be off, found `exec`",
        "let [gate] in image.toml do it",
    ] {
        assert!(said.err.contains(words), "{}", said.err);
    }
}

#[test]
fn a_production_image_refuses_throw_away_keys() {
    let said = refused(
        "production.toml",
        &DEFINITION.replacen("accept = \"throw-away\"\n", "", 1),
    );
    assert!(said.err.contains("is marked as throw-away"), "{}", said.err);
}

#[test]
fn throw_away_keys_without_their_marker_file_are_known_by_their_certificates() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    for entry in fs::read_dir(workshop.file("keys")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "THROW-AWAY" {
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::write(
        workshop.file("unmarked.toml"),
        DEFINITION.replacen("accept = \"throw-away\"\n", "", 1),
    )
    .unwrap();
    let out = TempDir::new().unwrap();
    let said = workshop
        .build(
            "unmarked.toml",
            &out.path().join("r"),
            &["--keys".as_ref(), dir.path().as_os_str()],
        )
        .ends_with(2);
    assert!(said.err.contains("is marked as throw-away"), "{}", said.err);
    is_empty(out.path());
}

#[test]
fn a_root_larger_than_its_slot_leaves_no_release() {
    let said = refused("small-slot.toml", &DEFINITION.replacen("16MiB", "1MiB", 1));
    assert!(said.err.contains("slot_size is 1.0 MiB"), "{}", said.err);
}

#[test]
fn a_missing_agent_leaves_no_release() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let release = dir.path().join("release");
    let said = workshop.build(
        "image.toml",
        &release,
        &["--agents".as_ref(), dir.path().as_os_str()],
    );
    // The second --agents is refused by the command line itself.
    assert_eq!(said.status, 2);
    let definition = workshop.file("image.toml");
    let said = bennu(&[
        "build".as_ref(),
        definition.as_os_str(),
        "--release".as_ref(),
        release.as_os_str(),
        "--agents".as_ref(),
        dir.path().as_os_str(),
    ])
    .ends_with(2);
    assert!(
        said.err.contains("bennu-init") && said.err.contains("--agents"),
        "{}",
        said.err
    );
    is_empty(dir.path());
}

#[test]
fn an_esp_without_room_for_three_ukis_is_refused_and_leaves_no_disk() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    // Three UKIs of 11 MiB and 4 MiB do not fit into 34 MiB.
    let boot = dir.path().join("boot");
    crate::workshop::judge(
        "cp",
        &["-a".as_ref(), workshop.file("boot").as_os_str(), boot.as_os_str()],
    );
    let kernel = boot
        .join("usr/lib/modules")
        .join(crate::workshop::KERNEL)
        .join("vmlinuz");
    fs::write(kernel, vec![7; 11 << 20]).unwrap();
    let definition = DEFINITION.replacen("path = \"boot\"", &format!("path = \"{}\"", boot.display()), 1);
    fs::write(workshop.file("large-uki.toml"), definition).unwrap();
    let out = TempDir::new().unwrap();
    let (release, disk) = (out.path().join("release"), out.path().join("disk.raw"));
    let said = workshop
        .build("large-uki.toml", &release, &["--disk".as_ref(), disk.as_os_str()])
        .ends_with(2);
    assert!(
        said.err.contains("expected an ESP of at least") && said.err.contains("disk.esp_size"),
        "{}",
        said.err
    );
    let left: Vec<_> = fs::read_dir(out.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["release"], "the release is whole, the disk is not there");
}

#[test]
fn a_release_directory_that_exists_is_not_touched() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("mine"), "mine").unwrap();
    let said = workshop.build("image.toml", dir.path(), &[]).ends_with(2);
    assert!(said.err.contains("exists already"), "{}", said.err);
    assert_eq!(fs::read_to_string(dir.path().join("mine")).unwrap(), "mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_error_is_told_once() {
    let said = refused(
        "no-boot.toml",
        &DEFINITION.replacen("path = \"boot\"", "path = \"nowhere\"", 1),
    );
    let words = "nowhere";
    assert_eq!(said.err.matches(words).count(), 1, "{}", said.err);
}

#[test]
fn verify_without_keys_or_with_too_high_a_threshold_cannot_decide() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let disk = workshop.disk.as_os_str();
    let said = bennu(&["verify".as_ref(), disk, "--keys".as_ref(), dir.path().as_os_str()]).ends_with(2);
    assert!(said.err.contains("db.crt"), "{}", said.err);
    let keys = workshop.file("keys");
    let threshold = "--release-threshold=2".as_ref();
    let said = bennu(&[
        "verify".as_ref(),
        disk,
        "--keys".as_ref(),
        keys.as_os_str(),
        threshold,
    ])
    .ends_with(2);
    assert!(said.err.contains("expected 1 to 1"), "{}", said.err);
}

#[test]
fn a_release_with_too_few_signatures_gets_on_no_disk_until_the_second_key_has_signed() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let keys = dir.path().join("keys");
    fs::create_dir(&keys).unwrap();
    for entry in fs::read_dir(workshop.file("keys")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, keys.join(path.file_name().unwrap())).unwrap();
    }
    fs::copy(workshop.stranger.join("release.pub"), keys.join("release-2.pub")).unwrap();
    let text = DEFINITION.replacen("[keys]", "[keys]\nrelease_threshold = 2", 1);
    fs::write(workshop.input.join("two-keys.toml"), text).unwrap();
    let (release, disk) = (dir.path().join("release"), dir.path().join("disk.raw"));
    let keys = keys.as_os_str();
    let said = workshop
        .build("two-keys.toml", &release, &["--keys".as_ref(), keys])
        .ends_with(0);
    assert!(said.out.contains("signatures 1, 2 needed"), "{}", said.out);

    let (release, image) = (release.as_os_str(), disk.as_os_str());
    let make: [&OsStr; 4] = ["disk".as_ref(), release, "--output".as_ref(), image];
    let said = bennu(&make).ends_with(2);
    assert!(
        said.err
            .contains("expected signatures by 2 release keys, found 1"),
        "{}",
        said.err
    );
    assert!(!disk.exists());

    let own = workshop.file("keys").join("release.key");
    let sign = |key: &OsStr| bennu(&["sign".as_ref(), release, "--key".as_ref(), key]);
    let said = sign(own.as_os_str()).ends_with(2);
    assert!(said.err.contains("that has not signed yet"), "{}", said.err);
    let said = sign(workshop.stranger.join("release.key").as_os_str()).ends_with(0);
    assert!(said.out.contains("signatures 2, 2 needed"), "{}", said.out);

    bennu(&make).ends_with(0);
    let two = "--release-threshold=2".as_ref();
    bennu(&["verify".as_ref(), image, "--keys".as_ref(), keys, two]).ends_with(0);
    let other = workshop.file("keys");
    let said = bennu(&[
        "verify".as_ref(),
        image,
        "--keys".as_ref(),
        other.as_os_str(),
        two,
    ]);
    said.ends_with(2);
}
