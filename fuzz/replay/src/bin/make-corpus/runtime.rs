//! What `bennud` reads and writes in the running system.

use crate::{Seed, root};
use anyhow::Context as _;
use bennu_formats::Sha256Digest;
use bennu_formats::dsse::{Envelope, Signature};
use bennu_fuzz_replay::{LOG_FILE_END, LOG_KEYS};
use bennu_golden::{Entry, FileKind, IndexBuilder, xattr_set};
use bennu_records::{Directory, Durability, InitialKey, Limits, Stamp, Writer, file_name};

fn index() -> anyhow::Result<Vec<u8>> {
    let capability: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut builder = IndexBuilder::new();
    for (path, kind, mode, content) in [
        ("", FileKind::Directory, 0o755, ""),
        ("usr", FileKind::Directory, 0o755, ""),
        ("usr/bin", FileKind::Directory, 0o755, ""),
        ("usr/bin/ping", FileKind::Regular, 0o4755, "a program"),
        ("usr/bin/true", FileKind::Regular, 0o755, "another program"),
        ("usr/bin/truth", FileKind::Regular, 0o755, "another program"),
        ("bin", FileKind::Symlink, 0o777, "usr/bin"),
        ("null", FileKind::CharDevice, 0o666, ""),
    ] {
        let device = if kind == FileKind::CharDevice {
            1 << 32 | 3
        } else {
            0
        };
        let ping = path.ends_with("ping");
        builder.push(Entry {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: device + content.len() as u64,
            digest: if kind.has_digest() {
                Sha256Digest::of(content.as_bytes())
            } else {
                Sha256Digest::ZERO
            },
            xattrs: xattr_set(ping.then_some((&b"security.capability"[..], &capability[..])))?,
        })?;
    }
    Ok(builder.finish()?)
}

/// Two files of two segments; the first was cut off while a line was written.
fn log() -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let stamp = Stamp {
        at_ms: 1_767_225_600_000,
        up_ms: 1000,
    };
    for (number, key) in LOG_KEYS.into_iter().enumerate() {
        let store = Directory::open(folder.path())?;
        let mut writer = Writer::open(
            store,
            Limits::default(),
            &InitialKey::new(key),
            "boot",
            "seed",
            stamp,
        )?;
        writer.event(serde_json::json!({"event": "exec"}), stamp, Durability::Now)?;
        writer.gap("exec, cpu 0", 3, stamp)?;
        let path = folder.path().join(file_name(number as u64));
        if number == 0 {
            let bytes = std::fs::read(&path)?;
            std::fs::write(&path, &bytes[..bytes.len() - 30])?;
        } else {
            writer.stop(stamp)?;
        }
    }
    let file = |number| std::fs::read(folder.path().join(file_name(number)));
    Ok([file(0)?, vec![LOG_FILE_END], file(1)?].concat())
}

fn certificate() -> anyhow::Result<Vec<u8>> {
    let path = root().join("crates/records/tests/golden/action-certificate.json");
    let envelope = Envelope {
        payload_type: bennu_records::certificate::PAYLOAD_TYPE.to_owned(),
        payload: std::fs::read(&path).with_context(|| format!("read {}", path.display()))?,
        signatures: vec![Signature {
            keyid: Sha256Digest::ZERO,
            sig: vec![1; 64],
        }],
    };
    Ok(serde_json::to_vec(&envelope)?)
}

/// A pinned log of `crates/formats`, with the byte in front that says which form it has.
fn ima(name: &str, form: u8) -> anyhow::Result<Vec<u8>> {
    let path = root().join("crates/formats/tests/golden").join(name);
    let log = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok([vec![form], log].concat())
}

pub fn seeds() -> anyhow::Result<Vec<Seed>> {
    Ok(vec![
        ("golden_index", "small", index()?),
        ("golden_index", "empty", IndexBuilder::new().finish()?),
        ("ima_log", "sha1", ima("ima-sha1.bin", 0)?),
        ("ima_log", "sha256", ima("ima-sha256.bin", 1)?),
        ("record_log", "torn-and-whole", log()?),
        (
            "collector_input",
            "of-rsyslog",
            br#"{"machine":"10.0.0.7_gate-7","line":" {\"v\":1,\"seq\":0}"}"#.to_vec(),
        ),
        ("action_certificate", "pinned", certificate()?),
    ])
}
