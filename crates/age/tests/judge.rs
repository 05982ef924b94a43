//! Debian's `age` decides.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_age::{EncryptError, MOST_BYTES, RandomFailed, encrypt};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An identity file of age-keygen, and its recipient's key.
fn key(dir: &Path, name: &str) -> (PathBuf, [u8; 32]) {
    let path = dir.join(name);
    let made = Command::new("age-keygen").arg("-o").arg(&path).output();
    assert!(
        made.expect("age-keygen: run tests/install-tools")
            .status
            .success()
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let recipient = text
        .lines()
        .find_map(|l| l.strip_prefix("# public key: "))
        .unwrap();
    (path, bech32(recipient))
}

/// Of a recipient that age-keygen printed: what decides on others is tested in `bennu-formats`.
fn bech32(text: &str) -> [u8; 32] {
    let characters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let data = &text["age1".len()..text.len() - 6];
    let bits: Vec<usize> = data
        .chars()
        .flat_map(|c| {
            let value = characters.find(c).unwrap();
            (0..5).rev().map(move |bit| value >> bit & 1)
        })
        .collect();
    let bytes = bits[..256]
        .chunks(8)
        .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | *bit as u8));
    bytes.collect::<Vec<u8>>().try_into().unwrap()
}

fn random(buffer: &mut [u8]) -> Result<(), RandomFailed> {
    let mut source = std::fs::File::open("/dev/urandom").map_err(|_| RandomFailed)?;
    std::io::Read::read_exact(&mut source, buffer).map_err(|_| RandomFailed)
}

fn decrypt(identity: &Path, file: &str) -> Result<Vec<u8>, String> {
    let mut age = Command::new("age")
        .args(["--decrypt", "--identity"])
        .arg(identity)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("age: run tests/install-tools");
    let mut stdin = age.stdin.take().unwrap();
    let bytes = file.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(bytes.as_bytes()));
    let output = age.wait_with_output().unwrap();
    // It may refuse before it has read everything.
    let _unread = writer.join().unwrap();
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn age_decrypts_it_with_the_right_identity_and_with_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (right, recipient) = key(dir.path(), "right");
    let (wrong, _) = key(dir.path(), "wrong");
    for length in [0, 1, 71, 4096, MOST_BYTES] {
        let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let file = encrypt(&recipient, &text, &mut random).unwrap();
        assert!(file.is_ascii() && file.lines().all(|line| line.len() <= 64));
        assert_eq!(decrypt(&right, &file).unwrap(), text);
        let refused = decrypt(&wrong, &file).unwrap_err();
        assert!(refused.contains("no identity matched"), "{refused}");
    }
}

#[test]
fn age_refuses_it_with_any_line_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (identity, recipient) = key(dir.path(), "key");
    let file = encrypt(&recipient, b"a recovery key", &mut random).unwrap();
    assert!(decrypt(&identity, &file).is_ok(), "positive control");
    let lines: Vec<&str> = file.lines().collect();
    for changed in 1..lines.len() - 1 {
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let first = if lines[changed].starts_with('A') { "B" } else { "A" };
        lines[changed].replace_range(..1, first);
        assert!(
            decrypt(&identity, &(lines.join("\n") + "\n")).is_err(),
            "line {changed}"
        );
    }
}

#[test]
fn each_file_is_another_one_and_shows_nothing_of_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let (_, recipient) = key(dir.path(), "key");
    let one = encrypt(&recipient, b"the same text", &mut random).unwrap();
    let two = encrypt(&recipient, b"the same text", &mut random).unwrap();
    assert_ne!(one, two);
}

#[test]
fn a_point_of_low_order_too_long_a_text_and_a_source_that_fails_give_nothing() {
    for low in [[0; 32], std::array::from_fn(|at| u8::from(at == 0))] {
        assert_eq!(encrypt(&low, b"text", &mut random), Err(EncryptError::LowOrder));
    }
    let recipient = [9; 32];
    let found = MOST_BYTES + 1;
    assert_eq!(
        encrypt(&recipient, &vec![0; found], &mut random),
        Err(EncryptError::TooLong { found })
    );
    assert_eq!(
        encrypt(&recipient, b"text", &mut |_| Err(RandomFailed)),
        Err(EncryptError::Random(RandomFailed))
    );
}
