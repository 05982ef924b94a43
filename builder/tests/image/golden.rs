//! The golden-file index of what was built, against other people's tools.

use crate::workshop::{Said, bennu, copy, judge, workshop};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use tempfile::TempDir;

const ITSELF: &str = "/usr/lib/bennu/golden.idx";

fn index(arguments: &[&OsStr]) -> Said {
    let mut all: Vec<&OsStr> = vec!["index".as_ref()];
    all.extend(arguments);
    bennu(&all)
}

fn lines(said: &Said) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap();
    said.out.lines().map(line).collect()
}

/// `find` and `sha256sum` over an extracted root: path → kind, mode, size, digest.
fn independent(root: &Path) -> BTreeMap<String, (String, String, u64, Option<String>)> {
    let format: &OsStr = "/%P\t%y\t%m\t%s\t%l\n".as_ref();
    let said = judge("find", &[root.as_os_str(), "-printf".as_ref(), format]);
    let files: Vec<Vec<&str>> = said.lines().map(|line| line.split('\t').collect()).collect();
    let entry = |fields: Vec<&str>| {
        let path = fields[0].to_owned();
        let at = root.join(fields[0].trim_start_matches('/'));
        let size: u64 = fields[3].parse().unwrap();
        let (kind, size, digest) = match fields[1] {
            "f" => {
                let said = judge("sha256sum", &[at.as_os_str()]);
                ("file", size, Some(said.split(' ').next().unwrap().to_owned()))
            }
            "l" => {
                let words = format!("printf %s '{}' | sha256sum", fields[4]);
                let said = judge("sh", &["-c".as_ref(), OsStr::new(&words)]);
                let target = fields[4].len() as u64;
                (
                    "symlink",
                    target,
                    Some(said.split(' ').next().unwrap().to_owned()),
                )
            }
            "d" => ("directory", 0, None),
            other => panic!("{other}"),
        };
        let mode = u32::from_str_radix(fields[2], 8).unwrap();
        (path, (kind.to_owned(), format!("{mode:04o}"), size, digest))
    };
    files.into_iter().map(entry).collect()
}

#[test]
fn sha256sum_stat_and_getcap_agree_with_the_index_of_every_file() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let extracted = dir.path().join("root");
    let option = format!("--extract={}", extracted.display());
    let root = workshop.release.join("root.erofs");
    judge(
        "fsck.erofs",
        &[OsStr::new(&option), "--preserve-perms".as_ref(), root.as_os_str()],
    );
    let mut expected = independent(&extracted);
    let (_, _, bytes, digest) = expected.remove(ITSELF).expect("the index is on the root");

    let said = index(&[workshop.disk.as_os_str(), "--json".as_ref()]).ends_with(0);
    let summary = &lines(&said)[0];
    assert_eq!(summary["sha256"].as_str(), digest.as_deref());
    assert_eq!(summary["sha256"], summary["in_manifest"]);
    assert_eq!(summary["bytes"].as_u64(), Some(bytes));
    assert_eq!(summary["entries"].as_u64(), Some(expected.len() as u64));

    let said = index(&[workshop.disk.as_os_str(), "--all".as_ref(), "--json".as_ref()]).ends_with(0);
    let found: BTreeMap<_, _> = lines(&said)
        .into_iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().map(str::to_owned);
            assert_eq!((line["uid"].as_u64(), line["gid"].as_u64()), (Some(0), Some(0)));
            let size = line["size"].as_u64().unwrap();
            let values = (text("kind").unwrap(), text("mode").unwrap(), size, text("sha256"));
            (text("path").unwrap(), values)
        })
        .collect();
    assert!(found.len() > 210, "{}", found.len());
    assert_eq!(found, expected);
}

#[test]
fn files_are_found_in_both_slots_by_path_and_digest_and_in_the_index_file_itself() {
    let workshop = workshop();
    let pair = workshop.pair.as_os_str();
    let by_path = index(&[
        pair,
        "--path".as_ref(),
        "/usr/share/demo/version".as_ref(),
        "--json".as_ref(),
    ]);
    let found = lines(&by_path.ends_with(0));
    assert_eq!(
        found
            .iter()
            .map(|l| l["slot"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["A", "B"]
    );
    // printf 'demo 1\n' | sha256sum
    let first = judge("sh", &["-c", "printf 'demo 1\\n' | sha256sum"])[..64].to_owned();
    assert_eq!(found[0]["sha256"], first);
    assert_ne!(found[1]["sha256"], first);
    let by_digest = index(&[pair, "--digest".as_ref(), first.as_ref()]).ends_with(0);
    assert_eq!(by_digest.out.lines().count(), 1, "{}", by_digest.out);
    assert!(
        by_digest.out.contains("/usr/share/demo/version"),
        "{}",
        by_digest.out
    );
    index(&[pair, "--path".as_ref(), ITSELF.as_ref()]).ends_with(1);
    index(&[pair, "--digest".as_ref(), "0".repeat(64).as_ref()]).ends_with(1);

    let dir = TempDir::new().unwrap();
    let option = format!("--extract={}", dir.path().join("root").display());
    let root = workshop.release.join("root.erofs");
    judge("fsck.erofs", &[OsStr::new(&option), root.as_os_str()]);
    let file = dir.path().join("root/usr/lib/bennu/golden.idx");
    let found = index(&[file.as_os_str(), "--digest".as_ref(), first.as_ref()]).ends_with(0);
    assert!(found.out.contains("/usr/share/demo/version"), "{}", found.out);
    let mut bytes = fs::read(&file).unwrap();
    bytes.push(0);
    fs::write(&file, bytes).unwrap();
    index(&[file.as_os_str()]).ends_with(2);
}

#[test]
fn an_image_without_an_index_gives_no_answer() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("text");
    fs::write(&path, "no image").unwrap();
    index(&[path.as_os_str()]).ends_with(2);
    let workshop = workshop();
    let disk = dir.path().join("disk.raw");
    copy(&workshop.disk, &disk);
    // Without the roots' partitions there is no index to be found.
    judge("sgdisk", &["--zap-all".as_ref(), disk.as_os_str()]);
    index(&[disk.as_os_str()]).ends_with(2);
}

/// What an archive says of owners, modes and capabilities stands in the index; getcap(8) reads the same.
pub fn agrees_with_archive(disk: &Path, archived: &[(&str, u32, u64, u64)], capability: &[u8]) {
    for (path, mode, uid, gid) in archived {
        let said = index(&[
            disk.as_os_str(),
            "--path".as_ref(),
            path.as_ref(),
            "--json".as_ref(),
        ])
        .ends_with(0);
        let line = &lines(&said)[0];
        assert_eq!(line["mode"], format!("{mode:04o}"), "{path}");
        assert_eq!(
            (line["uid"].as_u64(), line["gid"].as_u64()),
            (Some(*uid), Some(*gid)),
            "{path}"
        );
        let has_capabilities = !line["capabilities"].is_null();
        assert_eq!(has_capabilities, *path == "usr/bin/ping", "{path}");
        if has_capabilities {
            // CAP_NET_RAW is bit 13 (Linux include/uapi/linux/capability.h).
            assert_eq!(line["capabilities"]["permitted"], "0000000000002000");
            assert_eq!(line["capabilities"]["effective"], true);
        }
    }
    // Only root may write file capabilities for getcap to read.
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let file = tempfile::NamedTempFile::new_in(disk.parent().unwrap()).unwrap();
        let value: String = capability.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = format!("0x{value}");
        let path = file.path().as_os_str();
        judge(
            "setfattr",
            &[
                "-n".as_ref(),
                "security.capability".as_ref(),
                "-v".as_ref(),
                OsStr::new(&value),
                path,
            ],
        );
        let said = judge("getcap", &[path]);
        assert!(said.trim_end().ends_with("cap_net_raw=ep"), "{said}");
    }
}
