//! What the integration tests share: fixed keys, the host's stub, and outside judges.
#![allow(dead_code)]

use bennu_uki::keys::{Certificate, SigningKey, ValidityPeriod};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// 2026-01-01T00:00:00Z.
pub const EPOCH_UNIX_S: u64 = 1_767_225_600;

/// The build host's systemd-stub (package systemd-boot-efi).
pub const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// The build host's systemd-boot, with a COFF symbol table behind its sections on Debian 12.
pub const SYSTEMD_BOOT: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

pub fn key(name: &str) -> SigningKey {
    SigningKey::from_pkcs8(&fixture(&format!("{name}.key"))).unwrap()
}

pub fn certificate(name: &str) -> Certificate {
    let validity = ValidityPeriod::ten_years_from(EPOCH_UNIX_S);
    key(name)
        .self_signed(&format!("Bennu test {name}"), validity)
        .unwrap()
}

pub fn host_file(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("read {path} (package systemd-boot-efi): {error}"))
}

/// A scratch directory with files in it.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Runs a judge. That it cannot be started is a failure of the test, not a skip.
pub fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("start {program}: {error}"))
}

/// Runs a tool that has to succeed, and returns what it says on stdout.
pub fn stdout_of(program: &str, args: &[&str]) -> String {
    let out = run(program, args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?} failed: {stderr}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs a judge that has to accept, and returns what it says on stdout and stderr.
pub fn accepts(program: &str, args: &[&str]) -> String {
    let out = run(program, args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?} refused: {stderr}");
    format!("{}{stderr}", String::from_utf8_lossy(&out.stdout))
}

/// Runs a judge that has to refuse.
pub fn refuses(program: &str, args: &[&str]) {
    let out = run(program, args);
    assert!(
        !out.status.success(),
        "{program} {args:?} accepted: {}",
        String::from_utf8_lossy(&out.stdout)
    );
}
