//! cryptsetup as a judge, on plain files.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A device of this size holds the header and some data.
pub const DEVICE_BYTES: u64 = 17 * 1024 * 1024;

/// A sparse file that stands for a device.
pub struct Device {
    folder: TempDir,
}

impl Device {
    pub fn new(start: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = Self { folder };
        fs::write(device.path(), start).unwrap();
        let file = OpenOptions::new().write(true).open(device.path()).unwrap();
        file.set_len(DEVICE_BYTES).unwrap();
        device
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("device")
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// A file beside the device.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        text(&path).to_owned()
    }

    /// Runs `cryptsetup ARGS… DEVICE`. Locks would need a folder of root's.
    pub fn run(&self, args: &[&str]) -> Output {
        let search = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        Command::new("cryptsetup")
            .args(args)
            .args(["--disable-locks", "--batch-mode"])
            .arg(self.path())
            .env("PATH", search)
            .env("LC_ALL", "C")
            .output()
            .expect("cryptsetup must be installed")
    }

    /// What it says; it must succeed.
    pub fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "cryptsetup {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit status of opening with a passphrase: 0, or 2 for a wrong one.
    pub fn open(&self, passphrase: &[u8]) -> Option<i32> {
        let file = self.file("passphrase", passphrase);
        self.run(&["open", "--test-passphrase", "--key-file", &file])
            .status
            .code()
    }

    /// The volume key that a passphrase opens, as hexadecimal digits.
    pub fn volume_key(&self, passphrase: &[u8]) -> String {
        let file = self.file("passphrase", passphrase);
        let said = self.says(&["luksDump", "--dump-volume-key", "--key-file", &file]);
        let (_, dump) = said.split_once("MK dump:").expect("a dump of the key");
        dump.split_whitespace().collect()
    }

    /// A device that cryptsetup formats as the template would, but for `args`; without our token.
    pub fn formatted_by_cryptsetup(key: &[u8], passphrase: &[u8], args: &[&str]) -> Self {
        let device = Self::new(&[]);
        let key = device.file("key", key);
        let passphrase = device.file("passphrase", passphrase);
        let mut all = vec!["luksFormat", "--type=luks2", "--key-file", &passphrase];
        if !args.iter().any(|arg| arg.starts_with("--key-size")) {
            all.extend(["--volume-key-file", &key, "--key-size=512"]);
        }
        for default in [
            "--cipher=aes-xts-plain64",
            "--sector-size=4096",
            "--offset=32768",
            "--luks2-metadata-size=16k",
            "--luks2-keyslots-size=512k",
            "--pbkdf=argon2id",
            "--pbkdf-force-iterations=4",
            "--pbkdf-memory=32",
            "--pbkdf-parallel=1",
            "--hash=sha256",
            "--label=bennu-state",
            "--uuid=2f1c5b0a-1122-4344-8566-778899aabbcc",
        ] {
            let (option, _) = default.split_once('=').unwrap();
            let replaced = args.iter().any(|arg| arg.split('=').next() == Some(option));
            if !replaced {
                all.push(default);
            }
        }
        all.extend(args);
        device.says(&all);
        device
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
