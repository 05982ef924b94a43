//! The trace's file: what is told of changes to it, and what is sealed.

use super::*;
use bennu_formats::Sha256Digest;
use std::fs;

struct Rig {
    _folder: tempfile::TempDir,
    path: PathBuf,
    file: TraceFile,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    Rig {
        path: folder.path().join("log/trace.jsonl"),
        _folder: folder,
        file: TraceFile::default(),
    }
}

impl Rig {
    fn write(&self, text: &str) {
        let mut rest = text.as_bytes().to_vec();
        self.file.append(&self.path, MOST_BYTES, &mut rest).unwrap();
        assert_eq!(rest, b"");
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn told(&self) -> Vec<String> {
        self.file.look().unwrap()
    }

    /// As the warden does.
    fn seal(&self) -> Vec<TraceSeal> {
        let seals = self.file.seals().unwrap();
        seals.iter().for_each(|seal| self.file.sealed(seal));
        seals
    }

    /// Another `bennud`.
    fn restarted(self) -> Self {
        Self {
            file: TraceFile::default(),
            ..self
        }
    }
}

#[test]
fn a_file_that_is_full_becomes_the_one_before_it_and_its_whole_length_is_sealed() {
    let rig = rig();
    rig.write("12345\n12345\n");
    let most = rig.bytes().len() as u64;
    let mut rest = b"12345\n".to_vec();
    rig.file.append(&rig.path, most, &mut rest).unwrap();
    let whole = fs::read(before(&rig.path)).unwrap();
    assert!(whole.ends_with(b"}\n12345\n12345\n"), "{whole:?}");
    assert!(rig.bytes().ends_with(b"}\n12345\n"));
    let seals = rig.seal();
    assert_eq!(
        (seals[0].bytes, seals[0].sha256, seals[0].ended),
        (whole.len() as u64, Sha256Digest::of(&whole), true)
    );
    assert_eq!(
        (seals[1].sha256, seals[1].ended),
        (Sha256Digest::of(&rig.bytes()), false)
    );
    assert_ne!(seals[0].file, seals[1].file);
    assert_eq!(rig.seal(), []);
    assert_eq!(rig.told(), [""; 0]);
}

#[test]
fn a_changed_byte_a_cut_and_a_removed_file_are_told_once_and_what_comes_later_is_written() {
    let rig = rig();
    rig.write("one\n");
    assert_eq!(rig.told(), [""; 0], "positive control");
    let mut bytes = rig.bytes();
    *bytes.last_mut().unwrap() = b'!';
    fs::write(&rig.path, &bytes).unwrap();
    let told = rig.told();
    assert!(told[0].starts_with("trace.jsonl: expected the "), "{told:?}");
    assert_eq!(rig.told(), [""; 0], "told once");
    rig.write("two\n");
    assert!(
        rig.bytes().ends_with(b"one!\ntwo\n"),
        "no line is glued to another"
    );
    assert_eq!(rig.told(), [""; 0]);
    let file = File::options().write(true).open(&rig.path).unwrap();
    file.set_len(70).unwrap();
    let told = rig.told();
    assert!(told[0].contains(" bytes, found 70"), "{told:?}");
    rig.write("three\n");
    fs::remove_file(&rig.path).unwrap();
    let told = rig.told();
    assert!(told[0].ends_with("found no file"), "{told:?}");
    rig.write("four\n");
    assert!(rig.bytes().ends_with(b"}\nfour\n"));
    assert_eq!(rig.told(), [""; 0]);
}

#[test]
fn a_change_that_a_later_write_would_hide_is_told() {
    let rig = rig();
    rig.write("one\n");
    let mut bytes = rig.bytes();
    *bytes.last_mut().unwrap() = b' ';
    fs::write(&rig.path, &bytes).unwrap();
    rig.write("two\n");
    assert_eq!(rig.told().len(), 1);
}

#[test]
fn the_file_before_is_watched_too() {
    let rig = rig();
    for _ in 0..2 {
        let mut rest = b"12345\n".to_vec();
        rig.file.append(&rig.path, 70, &mut rest).unwrap();
    }
    assert_eq!(rig.told(), [""; 0]);
    fs::remove_file(before(&rig.path)).unwrap();
    let told = rig.told();
    assert!(told[0].starts_with("trace.1.jsonl: expected "), "{told:?}");
}

#[test]
fn reading_and_a_change_of_mode_are_no_change_of_bytes() {
    let rig = rig();
    rig.write("one\n");
    let other = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&rig.path, other).unwrap();
    rig.bytes();
    assert_eq!(rig.told(), [""; 0]);
}

#[test]
fn a_bennud_that_is_started_again_goes_on_in_the_same_file_behind_a_torn_line() {
    let rig = rig();
    rig.write("one\nhal");
    let first = rig.seal();
    let rig = rig.restarted();
    rig.write("two\n");
    assert!(rig.bytes().ends_with(b"one\nhal\ntwo\n"));
    let second = rig.seal();
    assert_eq!(first[0].file, second[0].file);
    assert_eq!(second[0].sha256, Sha256Digest::of(&rig.bytes()));
}

#[test]
fn a_file_of_somebody_elses_is_put_aside_and_not_gone_on_in() {
    let rig = rig();
    fs::create_dir_all(rig.path.parent().unwrap()).unwrap();
    fs::write(
        &rig.path,
        "{\"kind\":\"gap\",\"cpu\":0,\"before\":2,\"missing\":1}\n",
    )
    .unwrap();
    rig.write("one\n");
    assert!(rig.bytes().starts_with(b"{\"kind\":\"begin\",\"id\":\""));
    assert!(
        fs::read(before(&rig.path))
            .unwrap()
            .starts_with(b"{\"kind\":\"gap\"")
    );
    // Nor in one that is longer than bennud's can be.
    let rig = rig.restarted();
    let file = File::options().write(true).open(&rig.path).unwrap();
    file.set_len(LONGEST_FILE + 1).unwrap();
    rig.write("two\n");
    assert!(rig.bytes().len() < 200);
}

#[test]
fn a_seal_is_due_at_the_first_line_with_many_bytes_and_when_something_else_is_signed() {
    let rig = rig();
    assert!(!rig.file.wants_seal(true), "there is no trace");
    rig.write("one\n");
    assert!(rig.file.wants_seal(false), "an unknown file");
    rig.seal();
    rig.write("two\n");
    assert_eq!(
        (rig.file.wants_seal(false), rig.file.wants_seal(true)),
        (false, true)
    );
    rig.write(&"x".repeat(1 << 20));
    assert!(rig.file.wants_seal(false));
    rig.seal();
    assert!(!rig.file.wants_seal(true), "nothing is new");
}

#[test]
fn what_is_to_be_told_outlives_a_look_that_fails() {
    let rig = rig();
    rig.write("one\n");
    let mut bytes = rig.bytes();
    *bytes.last_mut().unwrap() = b' ';
    fs::write(&rig.path, &bytes).unwrap();
    rig.write("two\n");
    let folder = rig.path.parent().unwrap();
    let aside = folder.with_extension("aside");
    fs::rename(folder, &aside).unwrap();
    fs::write(folder, "no folder").unwrap();
    assert!(rig.file.look().is_err());
    fs::remove_file(folder).unwrap();
    fs::rename(aside, folder).unwrap();
    assert_eq!(rig.told().len(), 1);
}

#[test]
fn a_file_that_was_cut_while_its_seal_was_written_is_sealed_anew() {
    let rig = rig();
    rig.write("a longer line\n");
    let seals = rig.file.seals().unwrap();
    fs::write(&rig.path, &rig.bytes()[..rig.bytes().len() - 10]).unwrap();
    rig.write("x\n");
    assert_eq!(rig.told().len(), 1);
    rig.file.sealed(&seals[0]);
    assert!(rig.file.wants_seal(false));
    assert_eq!(rig.seal()[0].sha256, Sha256Digest::of(&rig.bytes()));
}

#[test]
fn a_full_file_after_which_no_other_one_could_be_begun_is_no_sign_of_anything() {
    let rig = rig();
    for _ in 0..2 {
        let mut rest = b"12345\n".to_vec();
        rig.file.append(&rig.path, 70, &mut rest).unwrap();
    }
    rig.file.end(&rig.path).unwrap();
    assert_eq!(rig.told(), [""; 0]);
    rig.write("one\n");
    assert_eq!(rig.told(), [""; 0]);
    assert!(rig.bytes().ends_with(b"}\none\n"));
}

#[test]
fn a_volume_that_was_purged_is_neither_written_nor_told_of() {
    let rig = rig();
    rig.write("one\n");
    rig.file.forget();
    fs::remove_file(&rig.path).unwrap();
    assert_eq!(rig.told(), [""; 0]);
    assert_eq!(rig.file.seals().unwrap(), []);
    let mut rest = b"two\n".to_vec();
    assert!(rig.file.append(&rig.path, MOST_BYTES, &mut rest).is_err());
    assert_eq!(rest, b"two\n");
}

/// Takes three bytes at once, and so many in all.
struct Disk(Vec<u8>, usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(3).min(self.1 - self.0.len());
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_full_disk_did_not_take_is_written_later_and_nothing_twice() {
    let (bytes, mut left) = (b"one\ntwo\n", 8);
    let mut disk = Disk(Vec::new(), 5);
    assert!(write_all(&mut disk, bytes, &mut left).is_err());
    assert_eq!(left, 3);
    disk.1 = 100;
    write_all(&mut disk, bytes, &mut left).unwrap();
    assert_eq!((disk.0.as_slice(), left), (&bytes[..], 0));
}
