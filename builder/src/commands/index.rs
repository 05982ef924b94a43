//! `bennu index`: what the golden-file index of a slot's root says. Nothing is verified, as with `bennu inspect`; a
//! report says so. Exit status 0 found, 1 not in any index, 2 no answer.

use super::Outcome;
use crate::cli::IndexArgs;
use crate::image::{DiskImage, RootTree, printable};
use anyhow::{Context as _, Result, bail};
use bennu_formats::Sha256Digest;
use bennu_formats::decode::Document as _;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::verity_sig::VeritySig;
use bennu_golden::{Entry, Index, ReadAt};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

/// Most files of one digest that are shown.
const MOST: usize = 10_000;

/// One line of a report about a file.
#[derive(Serialize)]
struct FileLine<'a> {
    slot: &'a str,
    path: String,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    sha256: Option<Sha256Digest>,
    xattrs_sha256: Option<Sha256Digest>,
    capabilities: Option<CapabilitiesLine>,
}

#[derive(Serialize)]
struct CapabilitiesLine {
    permitted: String,
    inheritable: String,
    effective: bool,
    root_uid: u32,
}

/// The line of a report about an index.
#[derive(Serialize)]
struct IndexLine<'a> {
    slot: &'a str,
    verified: bool,
    sha256: Sha256Digest,
    in_manifest: Option<Sha256Digest>,
    entries: u32,
    regular_files: u32,
    xattr_sets: u32,
    bytes: u64,
}

/// Runs the command.
pub fn run(args: &IndexArgs) -> Result<Outcome> {
    let mut report = Report {
        args,
        out: BufWriter::new(io::stdout().lock()),
        found: 0,
    };
    match index_file(&args.image)? {
        Some((index, digest)) => report.index("-", &index, digest, None)?,
        None => disk(args, &mut report)?,
    }
    match report.out.flush() {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(if report.found > 0 {
        Outcome::Yes
    } else {
        Outcome::Refused
    })
}

/// The file at `path`, if it begins like an index.
fn index_file(path: &Path) -> Result<Option<(Index<File>, Sha256Digest)>> {
    use sha2::{Digest as _, Sha256};
    let named = || path.display().to_string();
    let mut file = File::open(path).with_context(named)?;
    let mut magic = [0; 8];
    if file.read_exact(&mut magic).is_err() || magic != *b"BENNUGLD" {
        return Ok(None);
    }
    let mut hasher = Sha256::new_with_prefix(magic);
    io::copy(&mut file, &mut hasher).with_context(named)?;
    let length = file.metadata().with_context(named)?.len();
    let index = Index::open(file, length).with_context(named)?;
    Ok(Some((index, Sha256Digest(hasher.finalize().into()))))
}

fn disk(args: &IndexArgs, report: &mut Report<'_, impl Write>) -> Result<()> {
    let image = match DiskImage::open(&args.image)? {
        Ok(image) => image,
        Err(contradiction) => bail!("disk image: {}; see `bennu verify`", contradiction.0),
    };
    let mut seen = false;
    for slot in image.slots() {
        let Some(root) = slot.root else { continue };
        let Ok(tree) = RootTree::open(&image, root, root.byte_len())? else {
            continue;
        };
        let named = || format!("slot {}", slot.name);
        if let Some((index, digest)) = tree.golden_index()?.with_context(named)? {
            seen = true;
            let manifest = match slot.sig {
                Some(sig) => in_manifest(&image.read_sig(sig)?),
                None => None,
            };
            report.index(&slot.name, &index, digest, manifest)?;
        }
    }
    if !seen {
        bail!(
            "{}: no slot has a golden-file index; build the release with this version of bennu",
            args.image.display()
        );
    }
    Ok(())
}

/// What a manifest, unverified, says of the index.
fn in_manifest(sig: &[u8]) -> Option<Sha256Digest> {
    let sig = VeritySig::decode(sig).ok()?;
    let manifest = SlotManifest::decode(&sig.bennu.manifest.payload).ok()?;
    manifest.golden_index.map(|index| index.sha256)
}

struct Report<'a, W> {
    args: &'a IndexArgs,
    out: W,
    found: u64,
}

impl<W: Write> Report<'_, W> {
    /// What was asked of one index.
    fn index<R: ReadAt>(
        &mut self,
        slot: &str,
        index: &Index<R>,
        digest: Sha256Digest,
        in_manifest: Option<Sha256Digest>,
    ) -> Result<()> {
        if let Some(path) = &self.args.path {
            let path = path.trim_start_matches('/').as_bytes();
            let found = index.by_path(path)?;
            return found.iter().try_for_each(|entry| self.file(slot, entry));
        }
        if let Some(digest) = &self.args.digest {
            let found = index.by_digest(digest, MOST)?;
            return found.iter().try_for_each(|entry| self.file(slot, entry));
        }
        if self.args.all {
            return (0..index.counts().entries).try_for_each(|number| self.file(slot, &index.entry(number)?));
        }
        index.check()?;
        self.summary(slot, index, digest, in_manifest)
    }

    fn summary<R: ReadAt>(
        &mut self,
        slot: &str,
        index: &Index<R>,
        sha256: Sha256Digest,
        in_manifest: Option<Sha256Digest>,
    ) -> Result<()> {
        self.found += 1;
        let counts = index.counts();
        let line = IndexLine {
            slot,
            verified: false,
            sha256,
            in_manifest,
            entries: counts.entries,
            regular_files: counts.regular,
            xattr_sets: counts.xattr_sets,
            bytes: counts.bytes,
        };
        if self.args.json {
            return self.json(&line);
        }
        let manifest = match in_manifest {
            Some(digest) if digest == sha256 => "as in the manifest".to_owned(),
            Some(digest) => format!("the manifest has {digest}"),
            None => "no manifest names one".to_owned(),
        };
        let IndexLine {
            entries,
            regular_files,
            xattr_sets,
            bytes,
            ..
        } = line;
        self.line(format_args!(
            "slot {slot} (UNVERIFIED): {entries} names, {regular_files} regular files, {xattr_sets} sets of extended \
             attributes, {bytes} bytes\n  sha256 {sha256}, {manifest}"
        ))
    }

    fn file(&mut self, slot: &str, entry: &Entry) -> Result<()> {
        self.found += 1;
        let sha256 = entry.kind.has_digest().then_some(entry.digest);
        let capabilities = entry.xattrs.and_then(|set| set.capabilities);
        let path = format!("/{}", String::from_utf8_lossy(&entry.path));
        if self.args.json {
            return self.json(&FileLine {
                slot,
                path,
                kind: entry.kind.word(),
                mode: format!("{:04o}", entry.mode),
                uid: entry.uid,
                gid: entry.gid,
                size: entry.size,
                sha256,
                xattrs_sha256: entry.xattrs.map(|set| set.digest),
                capabilities: capabilities.map(|c| CapabilitiesLine {
                    permitted: format!("{:016x}", c.permitted),
                    inheritable: format!("{:016x}", c.inheritable),
                    effective: c.effective,
                    root_uid: c.root_uid,
                }),
            });
        }
        let digest = sha256.map_or_else(|| format!("{:64}", "-"), |digest| digest.to_string());
        let Entry {
            mode, uid, gid, size, ..
        } = entry;
        let power = capabilities.map_or_else(String::new, |c| format!(" capabilities={:x}", c.permitted));
        let (kind, path) = (entry.kind.word(), printable(&path));
        self.line(format_args!(
            "{slot} {digest} {kind:12} {mode:04o} {uid}:{gid} {size:>10} {path}{power}"
        ))
    }

    fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(format_args!("{text}"))
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) -> Result<()> {
        match writeln!(self.out, "{text}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}
