//! What `bennud` reads and writes in the running system.

use crate::Seed;
use bennu_formats::Sha256Digest;
use bennu_golden::{Entry, FileKind, IndexBuilder, xattr_set};

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

pub fn seeds() -> anyhow::Result<Vec<Seed>> {
    Ok(vec![
        ("golden_index", "small", index()?),
        ("golden_index", "empty", IndexBuilder::new().finish()?),
    ])
}
