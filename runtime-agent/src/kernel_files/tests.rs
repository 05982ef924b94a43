//! In plain directories; mounts of one's own are made where the tests run as root of the machine.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

fn world() -> (tempfile::TempDir, KernelFiles) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("sysfs/devices/tpm")).unwrap();
    fs::create_dir_all(dir.path().join("sysfs/class")).unwrap();
    fs::write(dir.path().join("sysfs/devices/tpm/10"), "ab\n").unwrap();
    fs::write(dir.path().join("outside"), "ab\n").unwrap();
    let files = KernelFiles::at(dir.path());
    (dir, files)
}

#[test]
fn a_file_is_read_by_its_path_through_links_and_with_its_limit() {
    let (dir, files) = world();
    symlink("../devices/tpm", dir.path().join("sysfs/class/tpm0")).unwrap();
    assert_eq!(files.read(KernelFs::Sys, "devices/tpm/10", 3).unwrap(), b"ab\n");
    assert_eq!(files.read_text(KernelFs::Sys, "class/tpm0/10", 3).unwrap(), "ab");
    let long = files.read(KernelFs::Sys, "class/tpm0/10", 2).unwrap_err();
    assert!(
        matches!(&long, ReadError::TooLong { limit: 2, path } if path == Path::new("/sys/class/tpm0/10"))
    );
    assert!(files.has(KernelFs::Sys, "class/tpm0"));
}

#[test]
fn only_what_is_not_there_is_absent() {
    let (_dir, files) = world();
    assert!(
        files
            .read(KernelFs::Sys, "devices/none", 1)
            .unwrap_err()
            .is_absent()
    );
    assert!(!files.has(KernelFs::Sys, "devices/none"));
    assert!(!files.has(KernelFs::Security, "ima"), "no such file system");
    assert!(files.has(KernelFs::Sys, "../outside"), "refused, and there");
}

#[test]
fn no_path_and_no_link_leads_out_of_the_file_system() {
    let (dir, files) = world();
    let outside = dir.path().join("outside");
    symlink(&outside, dir.path().join("sysfs/absolute")).unwrap();
    symlink("../outside", dir.path().join("sysfs/relative")).unwrap();
    symlink("devices/tpm/10", dir.path().join("sysfs/inside")).unwrap();
    assert_eq!(
        files.read(KernelFs::Sys, "inside", 9).unwrap(),
        b"ab\n",
        "control"
    );
    for path in ["absolute", "relative", "../outside"] {
        let refused = files.read(KernelFs::Sys, path, 9).unwrap_err();
        assert!(!refused.is_absent(), "{path}");
        assert!(refused.to_string().contains("leads elsewhere"), "{refused}");
    }
}

#[test]
fn a_directory_of_another_kind_of_file_system_is_refused() {
    let root = Root::checked(directory(Path::new("/proc")).unwrap(), KernelFs::Proc);
    assert!(root.open(Path::new("version")).is_ok(), "control");
    let root = Root::checked(directory(Path::new("/proc")).unwrap(), KernelFs::Sys);
    let refused = root.open(Path::new("version")).unwrap_err().to_string();
    assert_eq!(refused, "expected a file system of kind 0x62656572, found 0x9fa0");
}

#[test]
fn what_everybody_sees_is_read_without_a_word_and_a_mount_over_it_is_refused() {
    let files = KernelFiles::shared();
    assert_eq!(files.open_to_all(), None);
    let own = files.read_text(KernelFs::Proc, "self/stat", 4096).unwrap();
    assert!(own.starts_with(&format!("{} ", std::process::id())), "{own}");
    // A mount point in procfs, where there is one.
    if let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo")
        && let Some(point) = mounts
            .lines()
            .find_map(|line| line.split(' ').nth(4)?.strip_prefix("/proc/"))
    {
        let refused = files.open(KernelFs::Proc, point).unwrap_err();
        assert!(refused.to_string().contains("mounted over it"), "{refused}");
    }
}

#[test]
fn without_a_mount_of_its_own_the_shared_one_is_read_and_it_is_said_why() {
    let files = KernelFiles::own();
    assert!(files.read(KernelFs::Proc, "self/stat", 4096).is_ok());
    // As root of the machine there is nothing to say; otherwise each refusal is named with its act.
    if let Some(words) = files.open_to_all() {
        assert!(
            words.contains(": fsopen: ") || words.contains(": fsconfig: ") || words.contains(": fsmount: ")
        );
    }
}

#[test]
fn paths_for_what_takes_paths_lead_to_what_is_open() {
    let (dir, _files) = world();
    let file = File::open(dir.path().join("outside")).unwrap();
    assert_eq!(fs::read(descriptor_path(&file)).unwrap(), b"ab\n");
    assert_eq!(proc_path("modules"), Path::new("/proc/modules"));
}
