//! FAT32 volumes against `fsck.vfat`, mtools, crate `fatfs` and our own reader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod workshop;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bennu_disk::fat::reader::{Kind, Volume};
use bennu_disk::fat::{Content, Entry, FatError, MIN_VOLUME_BYTES, Plan};

use workshop::{MIB, crc32, file, noise, spec, tool};

const OFFSET: u64 = MIB;

/// An ESP as the builder makes it, and the odd cases.
fn esp() -> Vec<Entry> {
    let mut entries = vec![
        file("/EFI/BOOT/BOOTX64.EFI", &noise(100_000, 1)),
        file("EFI/systemd/systemd-bootx64.efi", &noise(100_000, 1)),
        file("/EFI/Linux/bennu-demo_2+3-0.efi", &noise(3 * 1024 * 1024 + 17, 2)),
        file("/EFI/Linux/bennu-demo_3.efi", &noise(4096, 3)),
        file("/loader/loader.conf", b"timeout 0\n"),
        file("/loader/random-seed", &[]),
        file("/exactly-13-ch", &noise(512, 4)),
        file("/LONGNA~1.TXT", b"an alias look-alike"),
        file("/long name with spaces.txt", b"spaces"),
        file(&format!("/{}", "n".repeat(255)), b"longest"),
        file("/.hidden", b"dot"),
        Entry {
            path: "/bennu".to_owned(),
            content: Content::Directory,
        },
    ];
    entries.extend((0..200).map(|n| {
        file(
            &format!("/many/a file with number {n}.txt"),
            format!("{n}").as_bytes(),
        )
    }));
    entries
}

fn contents(entries: &[Entry]) -> BTreeMap<String, Vec<u8>> {
    let with_bytes = entries.iter().filter_map(|entry| match &entry.content {
        Content::Bytes(bytes) => Some((entry.path.trim_start_matches('/').to_owned(), bytes.clone())),
        _ => None,
    });
    with_bytes.collect()
}

fn write_image(path: &Path, bytes: u64, entries: Vec<Entry>, offset: u64) {
    let mut image = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    image.set_len(offset + bytes).unwrap();
    Plan::new(spec(bytes), entries)
        .unwrap()
        .write(&mut image, offset, &mut |_| {})
        .unwrap();
}

/// fsck.vfat exits with 0 and prints its version and the counts, nothing else. Returns the line with the counts.
fn fsck(path: &Path) -> String {
    let output = tool("fsck.vfat", &["-n", path.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        output.status.success() && lines.len() == 2 && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(
        lines[0].starts_with("fsck.fat ") && lines[1].contains(" clusters"),
        "{text}"
    );
    lines[1].to_owned()
}

fn read_tree(root: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_tree(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn fsck_is_silent_for_every_cluster_size_and_for_an_empty_volume() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("esp.img");
    for bytes in [
        MIN_VOLUME_BYTES,
        MIN_VOLUME_BYTES + 512,
        100 * MIB,
        200 * MIB,
        256 * MIB,
        512 * MIB + 512,
    ] {
        write_image(&path, bytes, esp(), 0);
        let counts = fsck(&path);
        // 211 files, 7 directories and the label.
        assert!(counts.contains(": 219 files, "), "{counts}");
        write_image(&path, bytes, Vec::new(), 0);
        fsck(&path);
    }
}

#[test]
fn mtools_read_everything_back_from_an_offset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    write_image(&path, 100 * MIB, esp(), OFFSET);
    let image = format!("{}@@{OFFSET}", path.to_str().unwrap());
    let listing = tool("mdir", &["-i", &image, "::/EFI/Linux"]);
    let text = String::from_utf8(listing.stdout.clone()).unwrap();
    assert!(
        listing.status.success() && listing.stderr.is_empty(),
        "{listing:?}"
    );
    assert!(
        text.contains("Volume in drive : is BENNU-ESP") && text.contains("1234-ABCD"),
        "{text}"
    );
    assert!(
        text.contains("BENNU-~1 EFI   3145745 2024-02-29  12:34  bennu-demo_2+3-0.efi"),
        "{text}"
    );
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let copy = tool(
        "mcopy",
        &["-s", "-n", "-Q", "-i", &image, "::/", out.to_str().unwrap()],
    );
    assert!(copy.status.success() && copy.stderr.is_empty(), "{copy:?}");
    let mut found = BTreeMap::new();
    read_tree(&out, "", &mut found);
    assert!(found == contents(&esp()), "{:?}", found.keys());
    assert!(out.join("bennu").is_dir());
}

#[test]
fn crate_fatfs_reads_everything_back() {
    let mut image = Cursor::new(vec![0; 34 * MIB as usize]);
    Plan::new(spec(34 * MIB), esp())
        .unwrap()
        .write(&mut image, 0, &mut |_| {})
        .unwrap();
    image.set_position(0);
    let volume = fatfs::FileSystem::new(image, fatfs::FsOptions::new()).unwrap();
    assert_eq!(volume.fat_type(), fatfs::FatType::Fat32);
    assert_eq!(volume.volume_id(), 0x1234_abcd);
    assert_eq!(
        volume.read_volume_label_from_root_dir().unwrap().unwrap(),
        "BENNU-ESP"
    );
    let free = volume.stats().unwrap().free_clusters();
    let plan = Plan::new(spec(34 * MIB), esp()).unwrap();
    assert_eq!(u64::from(free) * plan.cluster_bytes(), plan.free_bytes());
    for (path, expected) in contents(&esp()) {
        let mut bytes = Vec::new();
        volume
            .root_dir()
            .open_file(&path)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        assert!(bytes == expected, "{path}");
    }
}

#[test]
fn our_reader_reads_everything_back_and_does_not_tell_case() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    write_image(&path, 100 * MIB, esp(), OFFSET);
    let mut volume = Volume::open(File::open(&path).unwrap(), OFFSET, 100 * MIB).unwrap();
    for (path, expected) in contents(&esp()) {
        assert!(volume.read(&path, u32::MAX).unwrap() == expected, "{path}");
    }
    assert_eq!(
        volume.read("/efi/linux/BENNU-DEMO_3.EFI", 4096).unwrap().len(),
        4096
    );
    assert_eq!(volume.read("/loader/LOADER~1.CON", 100).unwrap(), b"timeout 0\n");
    let names: Vec<String> = volume
        .list("")
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names.len(), 9);
    assert_eq!(volume.list("/many").unwrap().len(), 200);
    assert!(volume.list("bennu/").unwrap().is_empty());
    let linux = volume.list("/EFI/Linux").unwrap();
    assert_eq!(linux[0].name, "bennu-demo_2+3-0.efi");
    assert_eq!(
        (linux[0].kind, linux[0].bytes),
        (Kind::File, 3 * 1024 * 1024 + 17)
    );
}

#[test]
fn our_reader_reads_what_other_writers_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("esp.img");
    File::create(&path).unwrap().set_len(64 * MIB).unwrap();
    let image = path.to_str().unwrap();
    assert!(
        tool("mkfs.vfat", &["-F", "32", "-n", "ESP", image])
            .status
            .success()
    );
    let source = dir.path().join("source");
    fs::write(&source, noise(300_000, 9)).unwrap();
    let source = source.to_str().unwrap();
    assert!(
        tool("mmd", &["-i", image, "::/efi", "::/efi/Linux"])
            .status
            .success()
    );
    for name in ["::/efi/Linux/old name_1+2-1.efi", "::/efi/Linux/x.efi"] {
        assert!(tool("mcopy", &["-i", image, source, name]).status.success());
    }
    let renamed = [
        "-i",
        image,
        "::/efi/Linux/old name_1+2-1.efi",
        "new name_1+1-2.efi",
    ];
    assert!(tool("mren", &renamed).status.success());
    let mut volume = Volume::open(File::open(&path).unwrap(), 0, 64 * MIB).unwrap();
    let mut names: Vec<String> = volume
        .list("/EFI/Linux")
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.sort();
    assert_eq!(names, ["new name_1+1-2.efi", "x.efi"]);
    assert!(volume.read("/EFI/Linux/new name_1+1-2.efi", u32::MAX).unwrap() == noise(300_000, 9));
}

#[test]
fn a_volume_depends_on_its_arguments_only() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    write_image(&one, 34 * MIB, esp(), 0);
    let mut reversed = esp();
    reversed.reverse();
    write_image(&two, 34 * MIB, reversed, 0);
    let bytes = fs::read(&one).unwrap();
    assert!(bytes == fs::read(&two).unwrap());
    let entries = [file("a.txt", b"a"), file("Some Directory/b", &noise(1000, 5))];
    write_image(&one, MIN_VOLUME_BYTES, entries.to_vec(), 0);
    assert_eq!(crc32(&fs::read(&one).unwrap()), 3_561_616_789);
}

#[test]
fn files_are_streamed_and_their_slack_is_zero_on_a_dirty_medium() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, noise(2_500_001, 7)).unwrap();
    let entry = |path: &str| Entry {
        path: path.to_owned(),
        content: Content::File(source.clone()),
    };
    let entries = vec![entry("/a.bin"), file("/b", &[1]), entry("/c/d.bin")];
    let plan = Plan::new(spec(34 * MIB), entries).unwrap();
    let mut image = Cursor::new(vec![0xaa; 34 * MIB as usize]);
    let mut seen = Vec::new();
    plan.write(&mut image, 0, &mut |done| seen.push(done)).unwrap();
    assert_eq!(seen.last(), Some(&5_000_003));
    assert!(seen.is_sorted() && seen.len() >= 7);
    let path = dir.path().join("esp.img");
    fs::write(&path, image.get_ref()).unwrap();
    fsck(&path);
    let mut volume = Volume::open(&mut image, 0, 34 * MIB).unwrap();
    assert!(volume.read("/c/d.bin", u32::MAX).unwrap() == noise(2_500_001, 7));
    let bytes = image.get_ref();
    let b = bytes
        .windows(512)
        .position(|window| window[0] == 1 && window[1..].iter().all(|&b| b == 0));
    assert!(b.is_some());

    fs::write(&source, noise(2_500_000, 7)).unwrap();
    let refused = plan.write(&mut image, 0, &mut |_| {}).unwrap_err();
    assert!(
        matches!(
            refused,
            FatError::SourceChanged {
                expected: 2_500_001,
                ..
            }
        ),
        "{refused:?}"
    );
    fs::write(&source, noise(2_500_002, 7)).unwrap();
    let refused = plan.write(&mut image, 0, &mut |_| {}).unwrap_err();
    assert!(
        matches!(
            refused,
            FatError::SourceChanged {
                expected: 2_500_001,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[test]
fn a_full_volume_is_clean_and_one_byte_more_is_refused_with_sizes() {
    let free = Plan::new(spec(34 * MIB), Vec::new()).unwrap().free_bytes();
    let full = |bytes: u64| Plan::new(spec(34 * MIB), vec![file("BIG", &vec![7; bytes as usize])]);
    let plan = full(free).unwrap();
    assert_eq!(plan.free_bytes(), 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("esp.img");
    let mut image = File::create(&path).unwrap();
    image.set_len(34 * MIB).unwrap();
    plan.write(&mut image, 0, &mut |_| {}).unwrap();
    fsck(&path);
    let refused = full(free + 1).unwrap_err();
    let expected = matches!(refused, FatError::NoSpace { needed, available } if needed == available + 512 && available == free + 512);
    assert!(expected, "{refused:?}");
}

#[test]
fn the_writer_needs_no_reading() {
    // Only Write and Seek: a sink that forgets.
    struct Sink(u64);
    impl Write for Sink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0 += buf.len() as u64;
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Seek for Sink {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }
    let mut sink = Sink(0);
    Plan::new(spec(512 * MIB), esp())
        .unwrap()
        .write(&mut sink, 0, &mut |_| {})
        .unwrap();
    assert!(sink.0 < 8 * MIB, "free clusters are not written: {}", sink.0);
}
