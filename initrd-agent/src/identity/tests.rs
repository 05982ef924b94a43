//! Layers in an ordinary directory: what a machine keeps, and what root of an earlier start cannot bring in.

use super::collect::{Collected, collect};
use super::layer::{self, CURRENT, UPPER};
use super::*;
use bennu_formats::identity::{IdentityClass, IdentityRule, MAX_FILE_BYTES, MAX_FILES};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

/// A state volume and an image's `/etc`.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(machine.lower().join("ssh")).unwrap();
        fs::create_dir(machine.dir.path().join("state")).unwrap();
        assert!(!layer::open_area(&machine.area()).unwrap());
        layer::renew(&machine.area(), &machine.lower(), &[]).unwrap();
        machine
    }

    fn area(&self) -> PathBuf {
        self.dir.path().join("state/identity")
    }

    fn lower(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    fn upper(&self) -> PathBuf {
        self.area().join(CURRENT).join(UPPER)
    }

    /// What the running system writes.
    fn write(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.upper().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn collect(&self) -> Collected {
        collect(&self.upper(), &rule()).unwrap()
    }

    /// The next start.
    fn restart(&self) -> Collected {
        assert!(layer::open_area(&self.area()).unwrap());
        let collected = self.collect();
        layer::renew(&self.area(), &self.lower(), &collected.kept).unwrap();
        collected
    }
}

fn rule() -> IdentityRule {
    IdentityRule {
        classes: IdentityClass::DEFAULT.to_vec(),
        paths: vec!["/etc/chrony/chrony.keys".parse().unwrap()],
    }
}

fn kept(collected: &Collected) -> Vec<&str> {
    collected.kept.iter().map(|file| file.path.as_str()).collect()
}

#[track_caller]
fn refused(machine: &Machine, path: &str, words: &str) {
    let collected = machine.restart();
    let expected = format!("/etc/{path}: expected ");
    let found = collected
        .refused
        .iter()
        .find(|said| said.starts_with(&expected) && said.ends_with(words));
    assert!(found.is_some(), "{path}: {words}: {:?}", collected.refused);
    assert!(!machine.upper().join(path).exists());
    // Positive control, beside it.
    assert_eq!(fs::read(machine.upper().join("hostname")).unwrap(), b"kiosk\n");
}

#[test]
fn the_listed_files_survive_with_their_permissions_and_nothing_else_does() {
    let machine = Machine::new();
    let key = machine.write("ssh/ssh_host_ed25519_key", b"private");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [
        "hostname",
        "machine-id",
        "ssh/ssh_host_ed25519_key.pub",
        "systemd/network/10-lan.network",
        "chrony/chrony.keys",
        "timezone",
    ] {
        machine.write(path, path.as_bytes());
    }
    symlink("../usr/share/zoneinfo/UTC", machine.upper().join("localtime")).unwrap();
    for path in [
        "ld.so.preload",
        "systemd/system/evil.service",
        "ssh/sshd_config",
        "shadow",
    ] {
        machine.write(path, b"evil");
    }
    for _ in 0..2 {
        let collected = machine.restart();
        assert_eq!(collected.kept.len(), 8, "{:?}", kept(&collected));
        assert_eq!(collected.refused, Vec::<String>::new());
    }
    let upper = machine.upper();
    assert_eq!(
        fs::read(upper.join("chrony/chrony.keys")).unwrap(),
        b"chrony/chrony.keys"
    );
    assert_eq!(
        fs::read_link(upper.join("localtime")).unwrap(),
        Path::new("../usr/share/zoneinfo/UTC")
    );
    let mode = fs::metadata(upper.join("ssh/ssh_host_ed25519_key"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    for path in ["ld.so.preload", "systemd/system", "ssh/sshd_config", "shadow"] {
        assert!(!upper.join(path).exists(), "{path}");
    }
}

#[test]
fn what_is_left_behind_is_told_by_name() {
    let machine = Machine::new();
    machine.write("hostname", b"kiosk\n");
    machine.write("ld.so.preload", b"evil");
    machine.write("systemd/system/evil.service", b"evil");
    let dropped = machine.restart().dropped;
    assert_eq!(
        dropped,
        ["/etc/ld.so.preload", "/etc/systemd/system/evil.service"]
    );
    assert_eq!(machine.restart().dropped, Vec::<String>::new());
}

#[test]
fn everything_but_a_short_regular_file_is_refused() {
    type Plant = fn(&Path);
    let plant: [(&str, Plant, &str); 6] = [
        (
            "machine-id",
            |path| symlink("/etc/shadow", path).unwrap(),
            "a symbolic link",
        ),
        (
            "machine-info",
            |path| fs::write(path, vec![b'x'; MAX_FILE_BYTES + 1]).unwrap(),
            "65537",
        ),
        (
            "timezone",
            |path| {
                fs::write(path, "x").unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o4755)).unwrap();
            },
            "mode 4755",
        ),
        ("adjtime", |path| fs::create_dir(path).unwrap(), "a directory"),
        (
            "localtime",
            |path| symlink("../usr/share/zoneinfo/../../../etc/shadow", path).unwrap(),
            "a link elsewhere",
        ),
        (
            "ssh/ssh_host_x_key",
            |path| symlink("../shadow", path).unwrap(),
            "a symbolic link",
        ),
    ];
    for (path, make, words) in plant {
        let machine = Machine::new();
        machine.write("hostname", b"kiosk\n");
        fs::create_dir_all(machine.upper().join("ssh")).unwrap();
        make(&machine.upper().join(path));
        refused(&machine, path, words);
    }
}

#[test]
fn a_directory_that_is_a_link_is_not_entered() {
    let machine = Machine::new();
    machine.write("hostname", b"kiosk\n");
    fs::create_dir(machine.dir.path().join("elsewhere")).unwrap();
    fs::write(machine.dir.path().join("elsewhere/ssh_host_a_key"), "x").unwrap();
    symlink(machine.dir.path().join("elsewhere"), machine.upper().join("ssh")).unwrap();
    refused(&machine, "ssh", "a link");
    assert!(machine.dir.path().join("elsewhere/ssh_host_a_key").exists());
}

#[test]
fn more_files_and_bytes_than_the_limit_are_refused() {
    let machine = Machine::new();
    for n in 0..=MAX_FILES {
        machine.write(&format!("systemd/network/{n:03}.network"), b"x");
    }
    let collected = machine.restart();
    assert_eq!(collected.kept.len(), MAX_FILES);
    assert_eq!(
        collected.refused,
        ["/etc/systemd/network/128.network: expected at most 128 files, found one more"]
    );
    let machine = Machine::new();
    for n in 0..17 {
        machine.write(
            &format!("systemd/network/{n:03}.network"),
            &vec![b'x'; MAX_FILE_BYTES],
        );
    }
    let collected = machine.restart();
    assert_eq!(collected.kept.len(), 16);
    assert_eq!(
        collected.refused,
        ["/etc/systemd/network/016.network: expected at most 1048576 bytes in all, found more"]
    );
}

#[test]
fn an_area_that_is_no_directory_is_that_of_a_first_start() {
    for path in ["identity", "identity/etc", "identity/etc/upper"] {
        let machine = Machine::new();
        machine.write("hostname", b"kiosk\n");
        let planted = machine.dir.path().join("state").join(path);
        fs::remove_dir_all(&planted).unwrap();
        symlink("/usr", &planted).unwrap();
        assert!(!layer::open_area(&machine.area()).unwrap(), "{path}");
        layer::renew(&machine.area(), &machine.lower(), &[]).unwrap();
        assert!(fs::symlink_metadata(machine.upper()).unwrap().is_dir());
    }
}

#[test]
fn a_cut_at_any_of_its_steps_leaves_the_old_layer_or_the_new_one() {
    let machine = Machine::new();
    machine.write("hostname", b"kiosk\n");
    // A start that was cut while it made the next layer, or before it threw the old one away.
    fs::create_dir_all(machine.area().join("next/upper")).unwrap();
    fs::write(machine.area().join("next/upper/machine-id"), "half").unwrap();
    fs::create_dir_all(machine.area().join("trash/a/b/c")).unwrap();
    let collected = machine.restart();
    assert_eq!(kept(&collected), ["hostname"]);
    let left: Vec<_> = fs::read_dir(machine.area())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["etc"]);
}

#[test]
fn a_layer_as_deep_as_one_likes_is_thrown_away_without_a_stack() {
    let machine = Machine::new();
    let mut path = machine.upper();
    for _ in 0..900 {
        path.push("d");
        fs::create_dir(&path).unwrap();
    }
    machine.restart();
    for _ in 0..3 {
        machine.restart();
    }
    assert!(!machine.area().join("trash").exists());
}

#[test]
fn directories_of_the_layer_look_like_those_of_the_image_and_nothing_stands_over_a_file_of_it() {
    let machine = Machine::new();
    fs::set_permissions(machine.lower().join("ssh"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(machine.lower().join("chrony"), "a file").unwrap();
    machine.write("ssh/ssh_host_a_key", b"x");
    machine.write("chrony/chrony.keys", b"x");
    let collected = machine.collect();
    let refused = layer::renew(&machine.area(), &machine.lower(), &collected.kept).unwrap();
    assert_eq!(
        refused,
        ["/etc/chrony/chrony.keys: expected a directory for it in the image, found something else"]
    );
    let mode = fs::metadata(machine.upper().join("ssh")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o711);
}

#[test]
fn a_machine_id_is_made_once_and_left_to_systemd_where_the_image_asks_for_a_first_boot() {
    let settle = |machine: &Machine, kept: &mut Vec<Kept>| {
        let mut refused = Vec::new();
        let mut journal = Journal::start();
        let source = machine_id::settle(kept, &mut refused, &rule(), &machine.lower(), &mut journal).unwrap();
        (source, refused)
    };
    let of = |made| {
        if made {
            MachineIdSource::Made
        } else {
            MachineIdSource::LeftToSystemd
        }
    };
    let machine = Machine::new();
    for (image, made) in [
        (None, false),
        (Some("uninitialized\n"), false),
        (Some(""), true),
        (Some("0123456789abcdef0123456789abcdef\n"), true),
    ] {
        let path = machine.lower().join("machine-id");
        match image {
            Some(text) => fs::write(&path, text).unwrap(),
            None => assert!(!path.exists()),
        }
        let mut kept = Vec::new();
        assert_eq!(settle(&machine, &mut kept), (of(made), Vec::new()));
        assert_eq!(!kept.is_empty(), made, "{image:?}");
        let before = kept.clone();
        let again = if made { MachineIdSource::Kept } else { of(made) };
        assert_eq!(settle(&machine, &mut kept), (again, Vec::new()));
        assert_eq!(kept, before, "it stays");
        let mut planted = vec![Kept::text("machine-id", "not an id", 0o644)];
        let (source, refused) = settle(&machine, &mut planted);
        assert_eq!((source, refused.len()), (of(made), 1));
        assert_eq!(!planted.is_empty(), made, "{image:?}");
    }
}
