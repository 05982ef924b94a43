//! Other people's tools look at what `bennu build` made.

use crate::workshop::{DEFINITION, Workshop, copy, judge, pattern, workshop};
use bennu_disk::gpt::{self, Partition, Table};
use bennu_erofs::Image;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

pub fn table(disk: &Path) -> Table {
    gpt::open(&mut File::open(disk).unwrap()).unwrap().0
}

pub fn partition(disk: &Path, number: u32) -> Partition {
    table(disk)
        .partitions()
        .iter()
        .find(|p| p.number == number)
        .expect("partition is there")
        .clone()
}

/// The bytes of a partition in a file of their own.
fn slice(disk: &Path, number: u32, to: &Path) {
    let partition = partition(disk, number);
    let mut file = File::open(disk).unwrap();
    file.seek(SeekFrom::Start(partition.byte_offset())).unwrap();
    std::io::copy(
        &mut file.take(partition.byte_len()),
        &mut File::create(to).unwrap(),
    )
    .unwrap();
}

fn manifest(workshop: &Workshop) -> serde_json::Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let json: serde_json::Value =
        serde_json::Deserializer::from_slice(&fs::read(workshop.release.join("verity-sig.json")).unwrap())
            .into_iter()
            .next()
            .unwrap()
            .unwrap();
    let payload = STANDARD
        .decode(json["bennu"]["manifest"]["payload"].as_str().unwrap())
        .unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn sbverify_accepts_uki_and_boot_programs_and_refuses_another_certificate() {
    let workshop = workshop();
    let (own, other) = (workshop.file("keys/db.crt"), workshop.stranger.join("db.crt"));
    for name in [
        "uki.efi",
        "esp/EFI/BOOT/BOOTX64.EFI",
        "esp/EFI/systemd/systemd-bootx64.efi",
    ] {
        let program = workshop.release.join(name);
        judge(
            "sbverify",
            &["--cert".as_ref(), own.as_os_str(), program.as_os_str()],
        );
        let refused = std::process::Command::new("sbverify")
            .arg("--cert")
            .arg(&other)
            .arg(&program)
            .output();
        assert!(!refused.unwrap().status.success(), "{name}");
    }
}

#[test]
fn veritysetup_accepts_root_and_tree_with_the_manifests_root_hash() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let (root, tree) = (dir.path().join("root"), dir.path().join("tree"));
    slice(&workshop.disk, 2, &root);
    slice(&workshop.disk, 3, &tree);
    let hash = manifest(workshop)["verity"]["root_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    judge(
        "veritysetup",
        &[
            "verify".as_ref(),
            root.as_os_str(),
            tree.as_os_str(),
            OsStr::new(&hash),
        ],
    );
}

#[test]
fn fsck_finds_nothing_to_say_about_esp_and_root() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let esp = dir.path().join("esp");
    slice(&workshop.pair, 1, &esp);
    let said = judge("fsck.vfat", &["-n".as_ref(), esp.as_os_str()]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        matches!(lines.as_slice(), [version, summary]
        if version.starts_with("fsck.fat ") && summary.contains(" files, ")),
        "{said}"
    );
    let said = judge(
        "fsck.erofs",
        &[
            "--extract".as_ref(),
            workshop.release.join("root.erofs").as_os_str(),
        ],
    );
    assert!(!said.contains("<E>") && !said.contains("<W>"), "{said}");
}

#[test]
fn sgdisk_finds_no_problem_and_sees_the_names() {
    let workshop = workshop();
    for disk in [&workshop.disk, &workshop.pair] {
        let said = judge("sgdisk", &["-v".as_ref(), disk.as_os_str()]);
        assert!(said.contains("No problems found"), "{said}");
    }
    let said = judge("sgdisk", &["-p".as_ref(), workshop.pair.as_os_str()]);
    assert_eq!(
        (said.matches("demo_1").count(), said.matches("demo_2").count()),
        (3, 3),
        "{said}"
    );
    let said = judge("sgdisk", &["-p".as_ref(), workshop.disk.as_os_str()]);
    assert_eq!(
        (said.matches("demo_1").count(), said.matches("_empty").count()),
        (3, 3),
        "{said}"
    );
}

#[test]
fn openssl_accepts_the_signature_over_the_root_hash() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    let bytes = fs::read(workshop.release.join("verity-sig.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(bytes.split(|b| *b == 0).next().unwrap()).unwrap();
    let (signature, hash) = (dir.path().join("p7s"), dir.path().join("hash"));
    fs::write(
        &signature,
        STANDARD.decode(json["signature"].as_str().unwrap()).unwrap(),
    )
    .unwrap();
    fs::write(&hash, json["rootHash"].as_str().unwrap()).unwrap();
    let certificate = workshop.file("keys/db.crt");
    let with = |name: &'static str, path: &Path| [OsStr::new(name).to_owned(), path.as_os_str().to_owned()];
    let mut arguments = [
        "smime",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-noverify",
        "-nointern",
    ]
    .map(Into::into)
    .to_vec();
    arguments.extend(with("-in", &signature));
    arguments.extend(with("-content", &hash));
    arguments.extend(with("-certfile", &certificate));
    let said = judge("openssl", &arguments);
    assert!(said.contains("Verification successful"), "{said}");
}

#[test]
fn the_definitions_files_and_the_agents_are_in_the_root() {
    let workshop = workshop();
    let image = Image::open(File::open(workshop.release.join("root.erofs")).unwrap()).unwrap();
    let text = |path: &str| {
        let inode = image
            .resolve(path)
            .unwrap()
            .unwrap_or_else(|| panic!("{path} is there"));
        String::from_utf8(image.read_file(&inode, 1 << 20).unwrap()).unwrap()
    };
    assert_eq!(text("/usr/share/demo/version"), "demo 1\n");
    let os_release = text("/etc/os-release");
    assert!(
        os_release.ends_with("PRETTY_NAME=\"Demo (demo 1)\"\nIMAGE_ID=demo\nIMAGE_VERSION=1\n"),
        "{os_release}"
    );
    for path in [
        "/usr/lib/bennu/bennud",
        "/usr/bin/bennuctl",
        "/usr/lib/systemd/system/bennud.service",
    ] {
        assert!(image.resolve(path).unwrap().is_some(), "{path}");
    }
    let shadow = image.resolve("/etc/shadow").unwrap().unwrap();
    assert_eq!(
        (shadow.uid, shadow.gid, shadow.mode.bits()),
        (0, 0, 0o600),
        "all belong to root by default"
    );
    assert!(image.resolve("/proc").unwrap().is_some(), "mount points are made");
}

/// cap_net_raw+ep, revision 2 (Linux `struct vfs_cap_data`).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Path, permissions, owner, group of the files in the archive.
const ARCHIVED: [(&str, u32, u64, u64); 5] = [
    ("usr/bin/su", 0o4755, 0, 0),
    ("usr/bin/wall", 0o2755, 0, 5),
    ("usr/bin/ping", 0o755, 0, 0),
    ("home/user/private", 0o600, 1000, 1000),
    ("srv/far", 0o640, 3_000_000, 70_000),
];

fn archive() -> Vec<u8> {
    let header = |kind, mode, size| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_600_000_000);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    let mut archive = Builder::new(Vec::new());
    let mut sticky = header(EntryType::Directory, 0o1777, 0);
    archive
        .append_data(&mut sticky, "tmp/", std::io::empty())
        .unwrap();
    for (path, mode, uid, gid) in ARCHIVED {
        if path == "usr/bin/ping" {
            let xattrs: [(&str, &[u8]); 2] = [
                ("SCHILY.xattr.security.capability", &CAPABILITY),
                ("SCHILY.xattr.user.note", b"hello"),
            ];
            archive.append_pax_extensions(xattrs).unwrap();
        }
        let data = pattern(5000, path.len());
        let mut header = header(EntryType::Regular, mode, data.len() as u64);
        header.set_uid(uid);
        header.set_gid(gid);
        archive.append_data(&mut header, path, data.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Mode, owner and group of a path, as dump.erofs sees them.
fn dumped(image: &Path, path: &str) -> (u32, u64, u64) {
    let said = judge(
        "dump.erofs",
        &[OsStr::new(&format!("--path=/{path}")), image.as_os_str()],
    );
    let after = |text: &str, word: &str| -> String {
        let rest = text
            .split(word)
            .nth(1)
            .unwrap_or_else(|| panic!("{word} in {said}"));
        rest.trim_start()
            .split_ascii_whitespace()
            .next()
            .unwrap()
            .trim_end_matches(',')
            .to_owned()
    };
    let access = after(&said, "Access:");
    let mode = u32::from_str_radix(access.split('/').next().unwrap(), 8).unwrap();
    (
        mode,
        after(&said, "Uid:").parse().unwrap(),
        after(&said, "Gid:").parse().unwrap(),
    )
}

#[test]
fn owners_modes_capabilities_and_xattrs_of_a_tar_come_through() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    fs::write(workshop.file("root.tar"), archive()).unwrap();
    let definition = DEFINITION.replacen(
        "kind = \"directory\"\npath = \"root\"",
        "kind = \"tar\"\npath = \"root.tar\"",
        1,
    );
    fs::write(workshop.file("tar.toml"), definition).unwrap();
    let (release, disk): (PathBuf, PathBuf) = (dir.path().join("release"), dir.path().join("disk.raw"));
    workshop
        .build("tar.toml", &release, &["--disk".as_ref(), disk.as_os_str()])
        .ends_with(0);
    workshop.verify(&disk).ends_with(0);
    crate::golden::agrees_with_archive(&disk, &ARCHIVED, &CAPABILITY);
    let root = release.join("root.erofs");
    let image = Image::open(File::open(&root).unwrap()).unwrap();
    for (path, mode, uid, gid) in ARCHIVED {
        // dump.erofs 1.5 leaves set-user-id, set-group-id and sticky bit out.
        assert_eq!(dumped(&root, path), (mode & 0o777, uid, gid), "{path}");
        let inode = image.resolve(path).unwrap().unwrap();
        assert_eq!(u32::from(inode.mode.bits()), mode, "{path}");
        let mut found = vec![0; 5000];
        assert_eq!(image.read_at(&inode, 0, &mut found).unwrap(), 5000);
        assert_eq!(found, pattern(5000, path.len()), "{path}");
    }
    assert_eq!(image.resolve("tmp").unwrap().unwrap().mode.bits(), 0o1777);
    let ping = image.resolve("usr/bin/ping").unwrap().unwrap();
    let xattrs: Vec<(Vec<u8>, Vec<u8>)> = image.xattrs(&ping).unwrap().into_iter().collect();
    let expected: [(&[u8], &[u8]); 2] = [(b"security.capability", &CAPABILITY), (b"user.note", b"hello")];
    assert_eq!(
        xattrs,
        expected.map(|(name, value)| (name.to_vec(), value.to_vec()))
    );
}

#[test]
fn verify_is_content_with_good_images_and_needs_public_keys_only() {
    let workshop = workshop();
    let dir = TempDir::new().unwrap();
    for name in ["db.crt", "release.pub", "tpm-policy.pub"] {
        fs::copy(workshop.file("keys").join(name), dir.path().join(name)).unwrap();
    }
    for disk in [&workshop.disk, &workshop.pair] {
        let said = crate::workshop::bennu(&[
            "verify".as_ref(),
            disk.as_os_str(),
            "--keys".as_ref(),
            dir.path().as_os_str(),
        ])
        .ends_with(0);
        assert!(
            !said.out.contains("REFUSED") && !said.out.contains("note"),
            "{}",
            said.out
        );
        let json: serde_json::Value = serde_json::from_str(&workshop.verify(disk).ends_with(0).out).unwrap();
        assert_eq!(
            (&json["verdict"], &json["refusals"]),
            (&"good".into(), &serde_json::json!([]))
        );
    }
    // A copy is as good as the original.
    let moved = dir.path().join("moved.raw");
    copy(&workshop.disk, &moved);
    workshop.verify(&moved).ends_with(0);
}
