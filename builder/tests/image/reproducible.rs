//! The same input gives the same disk, bit for bit, wherever, whenever and by whomever it is built.

use crate::workshop::{EFI_PARTS, judge, workshop};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A user that owns nothing else.
const OTHER_UID: u32 = 12_345;

/// How a build is done otherwise.
struct Circumstances {
    time_zone: &'static str,
    umask: &'static str,
    home: PathBuf,
    locale: &'static str,
    one_thread: bool,
    uid: Option<u32>,
}

/// What a build reads.
const INPUT: [&str; 5] = ["root", "keys", "image.toml", "boot", "agents"];

/// Copies the input below `to`, with a directory that was filled in another order and at another time; then
/// gives it away.
fn copied(from: &Path, to: &Path, uid: Option<u32>) -> PathBuf {
    let input = to.join("some/other/place");
    fs::create_dir_all(&input).unwrap();
    for name in INPUT {
        judge(
            "cp",
            &["-a".as_ref(), from.join(name).as_os_str(), input.as_os_str()],
        );
    }
    let many = input.join("root/usr/share/many");
    let before = to.join("before");
    fs::rename(&many, &before).unwrap();
    fs::create_dir(&many).unwrap();
    fs::set_permissions(&many, fs::metadata(&before).unwrap().permissions()).unwrap();
    let mut paths: Vec<PathBuf> = fs::read_dir(&before)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    for path in paths.iter().rev() {
        fs::rename(path, many.join(path.file_name().unwrap())).unwrap();
    }
    fs::remove_dir(before).unwrap();
    if let Some(uid) = uid {
        judge(
            "chown",
            &[
                "-R".as_ref(),
                std::ffi::OsStr::new(&uid.to_string()),
                to.as_os_str(),
            ],
        );
    }
    input
}

fn build(input: &Path, out: &Path, circumstances: &Circumstances) -> PathBuf {
    let program = out.join("bennu");
    fs::copy(env!("CARGO_BIN_EXE_bennu"), &program).unwrap();
    let (release, disk) = (out.join("release"), out.join("disk.raw"));
    let script = "umask \"$1\"; shift; cd \"$1\"; shift; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", circumstances.umask]).arg(out);
    if let Some(uid) = circumstances.uid {
        let uid = uid.to_string();
        command.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"]);
    }
    if circumstances.one_thread {
        command.args(["taskset", "-c", "0"]);
    }
    command
        .arg(program)
        .args(["--quiet", "build"])
        .arg(input.join("image.toml"));
    command.arg("--release").arg(release).arg("--disk").arg(&disk);
    command
        .arg("--agents")
        .arg(input.join("agents"))
        .arg("--cache")
        .arg(out.join("cache"));
    command
        .env_remove("SOURCE_DATE_EPOCH")
        .env("TZ", circumstances.time_zone);
    command
        .env("HOME", &circumstances.home)
        .env("LC_ALL", circumstances.locale)
        .env("TMPDIR", out);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    disk
}

#[test]
fn two_builds_in_different_circumstances_give_the_same_bytes() {
    let workshop = workshop();
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let uid = is_root.then_some(OTHER_UID);
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let input = copied(&workshop.input, there.path(), uid);
    assert!(input.join("boot").join(EFI_PARTS).exists());
    let first = Circumstances {
        time_zone: "UTC",
        umask: "022",
        home: PathBuf::from("/root"),
        locale: "C",
        one_thread: false,
        uid: None,
    };
    let second = Circumstances {
        time_zone: "Pacific/Kiritimati",
        umask: "077",
        home: there.path().join("nobody"),
        locale: "C.UTF-8",
        one_thread: true,
        uid,
    };
    let one = build(&workshop.input, here.path(), &first);
    let two = build(&input, there.path(), &second);
    judge("cmp", &[one.as_os_str(), two.as_os_str()]);
    judge("cmp", &[one.as_os_str(), workshop.disk.as_os_str()]);
    let tree = |dir: &TempDir| dir.path().join("release");
    judge(
        "diff",
        &["-r".as_ref(), tree(&here).as_os_str(), tree(&there).as_os_str()],
    );
}

#[test]
fn another_version_gives_other_bytes() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let disk = dir.path().join("disk.raw");
    let more = [
        "--version".as_ref(),
        "3".as_ref(),
        "--disk".as_ref(),
        disk.as_os_str(),
    ];
    workshop
        .build("image.toml", &dir.path().join("release"), &more)
        .ends_with(0);
    let same = Command::new("cmp")
        .arg("-s")
        .args([&disk, &workshop.disk])
        .status()
        .unwrap();
    assert_eq!(same.code(), Some(1), "positive control of cmp");
}
