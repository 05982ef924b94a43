//! What `bennud` reads and writes in the running system.

use bennu_formats::Sha256Digest;
use bennu_golden::Index;

/// The golden-file index: opened, searched, checked.
pub fn golden_index(bytes: &[u8]) -> bool {
    let Ok(index) = Index::open(bytes, bytes.len() as u64) else {
        return false;
    };
    let counts = index.counts();
    let _ = index.by_path(b"usr/bin/true");
    let _ = index.by_digest(&Sha256Digest::ZERO, 8);
    let mut found = true;
    for number in 0..counts.entries.min(64) {
        let Ok(entry) = index.entry(number) else { continue };
        found &= index.by_path(&entry.path).is_ok_and(|same| same == Some(entry));
    }
    let sound = index.check().is_ok();
    assert!(
        !sound || found,
        "an index passed its check and an entry of it is not found"
    );
    sound
}
