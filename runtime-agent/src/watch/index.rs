//! The golden-file index of the root, as the watch reads it: what the image has.

use bennu_golden::Index;
use std::fs::File;
use std::path::Path;

/// The index; in words why there is none.
pub(super) fn open(path: &Path) -> Result<Index<File>, String> {
    let file = File::open(path).map_err(|e| failed(path, &e))?;
    let length = file.metadata().map_err(|e| failed(path, &e))?.len();
    Index::open(file, length).map_err(|e| failed(path, &e))
}

/// What went wrong with it.
pub(super) fn failed(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// An index with these files, for tests.
#[cfg(test)]
pub(super) fn write(path: &Path, files: &[(&str, &[u8])]) {
    use bennu_formats::Sha256Digest;
    use bennu_golden::{Entry, FileKind, IndexBuilder};
    let mut builder = IndexBuilder::new();
    for (name, content) in files {
        let entry = Entry {
            path: name.as_bytes().to_vec(),
            kind: FileKind::Regular,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: content.len() as u64,
            digest: Sha256Digest::of(content),
            xattrs: None,
        };
        builder.push(entry).unwrap();
    }
    std::fs::write(path, builder.finish().unwrap()).unwrap();
}
