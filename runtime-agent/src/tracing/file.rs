//! The trace's file: written by the trace's thread, looked at by the watch, sealed into the record log by the warden.
//!
//! What `bennud` wrote is known by its digest, so that bytes that somebody changes, cuts or takes away are seen in the next
//! round; what was on the medium once is sealed, so that they are found later as well (`docs/spec/trace.md` §4). A file
//! that is full becomes `trace.1.jsonl`, and the one before that is gone. On failure what was not written stays with the
//! caller.

use crate::as_written::{AsWritten, Mark, Writing};
use crate::records::boot_id;
use bennu_formats::trace::{TraceFileId, TraceLine, TraceSeal};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest file, one round's records besides; two of them are kept.
pub const MOST_BYTES: u64 = 16 << 20;
/// A longer one is not `bennud`'s: nobody reads it to its end.
pub const LONGEST_FILE: u64 = 2 * MOST_BYTES;
/// Longest first line, in bytes.
const FIRST_LINE: u64 = 256;
/// So many bytes are sealed without waiting.
const MANY_BYTES: u64 = 1 << 20;
/// Fewer wait for so long at most.
const LONGEST_UNSEALED: Duration = Duration::from_secs(300);

/// The file that is written.
#[derive(Debug)]
struct Current {
    id: TraceFileId,
    file: Arc<File>,
    bytes: AsWritten,
    /// Length of what was sealed last.
    sealed: Option<u64>,
    unsealed_since: Instant,
}

#[derive(Debug, Default)]
struct Known {
    path: PathBuf,
    current: Option<Current>,
    /// The file before it.
    before: Option<Mark>,
    /// It was told that they are not as they were: the next write takes them as they are.
    broken: bool,
    /// To be told at the next look.
    pending: Vec<String>,
    writing: Writing,
    /// Of files that are full.
    ended: Vec<TraceSeal>,
    /// The volume beneath it is gone for good.
    gone: bool,
}

/// The trace's file, between those who write it, look at it and seal it.
#[derive(Debug, Clone, Default)]
pub struct TraceFile(Arc<Mutex<Known>>);

impl TraceFile {
    /// Whoever panicked left numbers that at worst tell of a change.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume beneath it is gone for good: nothing is written, looked at or sealed any more. Waits for no write, which
    /// may hang.
    pub fn forget(&self) {
        *self.known() = Known {
            gone: true,
            ..Known::default()
        };
    }

    /// Appends `rest` to the file at `path`; one of `most` bytes becomes the one before it. What is not written stays.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&self, path: &Path, most: u64, rest: &mut Vec<u8>) -> io::Result<()> {
        if rest.is_empty() {
            return Ok(());
        }
        let known_as_it_is = self.begin_write(path)?;
        let written = self.write(path, most, known_as_it_is, rest);
        self.known().writing.end();
        written
    }

    /// Whether the file is known, and as it was written.
    fn begin_write(&self, path: &Path) -> io::Result<bool> {
        let mut known = self.known();
        if known.gone {
            return Err(purged());
        }
        path.clone_into(&mut known.path);
        if !known.broken {
            // Before a write hides it.
            let broken = known.look()?;
            known.broken = !broken.is_empty();
            known.pending.extend(broken);
        }
        known.writing.begin();
        Ok(known.current.is_some() && !known.broken)
    }

    fn write(&self, path: &Path, most: u64, known: bool, rest: &mut Vec<u8>) -> io::Result<()> {
        if !known {
            self.begin(path, adopt(path)?);
        }
        if self.length() >= most {
            self.end(path)?;
            self.begin(path, adopt(path)?);
        }
        let file = self
            .known()
            .current
            .as_ref()
            .map(|current| Arc::clone(&current.file));
        let mut out: &File = file.as_deref().ok_or_else(purged)?;
        let mut left = rest.len();
        let written = write_all(&mut out, rest, &mut left);
        let new = rest.len() - left;
        let mark = Mark::of(path).ok();
        if let Some(current) = &mut self.known().current {
            current.add(&rest[..new], mark);
        }
        rest.drain(..new);
        written
    }

    fn length(&self) -> u64 {
        let known = self.known();
        known.current.as_ref().map_or(0, |current| current.bytes.length())
    }

    fn begin(&self, path: &Path, current: Current) {
        let before = Mark::of(&before(path)).ok();
        let mut known = self.known();
        if !known.gone {
            known.current = Some(current);
            known.before = before;
            known.broken = false;
        }
    }

    /// The file becomes the one before the next.
    fn end(&self, path: &Path) -> io::Result<()> {
        let Some(current) = self.known().current.take() else {
            return Ok(());
        };
        current.file.sync_data()?;
        std::fs::rename(path, before(path))?;
        // At once: the next file may not come to be, on a disk that is full.
        self.known().before = Mark::of(&before(path)).ok();
        sync_folder(path)?;
        self.known().ended.push(current.seal(true));
        Ok(())
    }

    /// What is not as it was written, a sentence each, once. While something is being written it says nothing.
    ///
    /// # Errors
    /// What the system says of a file that is there, or a write that does not come back.
    pub fn look(&self) -> io::Result<Vec<String>> {
        let mut known = self.known();
        if known.writing.is_on_its_way("a write")? {
            return Ok(Vec::new());
        }
        // First, so that a look that fails loses nothing that is to be told.
        let found = if known.broken { Vec::new() } else { known.look()? };
        known.broken |= !found.is_empty();
        let mut broken = std::mem::take(&mut known.pending);
        broken.extend(found);
        Ok(broken)
    }

    /// Whether bytes wait for a seal, and long enough if `soon` is not asked for.
    pub fn wants_seal(&self, soon: bool) -> bool {
        let known = self.known();
        let waits = known.current.as_ref().is_some_and(|current| {
            let unsealed = current.bytes.length() - current.sealed.unwrap_or(0);
            let due = current.sealed.is_none()
                || unsealed >= MANY_BYTES
                || current.unsealed_since.elapsed() >= LONGEST_UNSEALED;
            unsealed > 0 && (soon || due)
        });
        waits || !known.ended.is_empty()
    }

    /// The seals of what was written, which is on the medium then. Tell it when they are in the log: [`Self::sealed`].
    ///
    /// # Errors
    /// What the system says.
    pub fn seals(&self) -> io::Result<Vec<TraceSeal>> {
        let (mut seals, current) = {
            let known = self.known();
            let current = known.current.as_ref();
            let current = current.filter(|current| current.sealed != Some(current.bytes.length()));
            let current = current.map(|current| (current.seal(false), Arc::clone(&current.file)));
            (known.ended.clone(), current)
        };
        if let Some((seal, file)) = current {
            file.sync_data()?;
            seals.push(seal);
        }
        Ok(seals)
    }

    /// This seal is in the log.
    pub fn sealed(&self, seal: &TraceSeal) {
        let mut known = self.known();
        known.ended.retain(|ended| ended != seal);
        // One that was cut since, and taken as it is, is sealed anew.
        let sealed = |current: &&mut Current| current.id == seal.file && current.bytes.length() >= seal.bytes;
        if let Some(current) = known.current.as_mut().filter(sealed) {
            current.sealed = Some(seal.bytes);
            current.unsealed_since = Instant::now();
        }
    }
}

impl Known {
    fn look(&mut self) -> io::Result<Vec<String>> {
        let mut broken = Vec::new();
        if let Some(before_) = &self.before {
            broken.extend(before_.look(&before(&self.path))?);
        }
        if let Some(current) = &mut self.current {
            broken.extend(current.bytes.look(&self.path)?);
        }
        Ok(broken)
    }
}

impl Current {
    fn of(id: TraceFileId, file: File, bytes: AsWritten) -> Self {
        Self {
            id,
            file: Arc::new(file),
            bytes,
            sealed: None,
            unsealed_since: Instant::now(),
        }
    }

    /// With these bytes more it looks like this.
    fn add(&mut self, bytes: &[u8], mark: Option<Mark>) {
        if self.sealed == Some(self.bytes.length()) {
            self.unsealed_since = Instant::now();
        }
        self.bytes.add(bytes);
        if let Some(mark) = mark {
            self.bytes.is_right_as(mark);
        }
    }

    fn seal(&self, ended: bool) -> TraceSeal {
        TraceSeal::new(self.id, self.bytes.length(), self.bytes.sha256(), ended)
    }
}

fn purged() -> io::Error {
    io::Error::other("the volume beneath it is purged")
}

/// The name of a file that is full.
pub fn before(path: &Path) -> PathBuf {
    path.with_extension("1.jsonl")
}

/// Opens the file to go on in it; begins one where there is none, and where another than `bennud` wrote the first line.
fn adopt(path: &Path) -> io::Result<Current> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    if length > 0 {
        if let Some(id) = first_line(&file)?.filter(|_| length <= LONGEST_FILE) {
            file.seek(SeekFrom::Start(0))?;
            let bytes = AsWritten::found(&mut file)?;
            let mut current = Current::of(id, file, bytes);
            current.end_line()?;
            return Ok(current);
        }
        std::fs::rename(path, before(path))?;
        file = open(path)?;
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let id = TraceFileId(bytes);
    let boot = boot_id();
    let mut line = serde_json::to_vec(&TraceLine::Begin { id, boot })?;
    line.push(b'\n');
    if let Err(error) = file.write_all(&line) {
        // Half a line would not be known as ours.
        let _emptied = file.set_len(0);
        return Err(error);
    }
    sync_folder(path)?;
    let mut current = Current::of(id, file, AsWritten::default());
    current.add(&line, None);
    Ok(current)
}

impl Current {
    /// A power cut may have left half a line: the next one does not go on in it.
    fn end_line(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if let Some(at) = self.bytes.length().checked_sub(1) {
            self.file.read_exact_at(&mut last, at)?;
        }
        if last != *b"\n" {
            (&*self.file).write_all(b"\n")?;
            self.bytes.add(b"\n");
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// Which file of the trace it is; none where its first line does not say so.
///
/// # Errors
/// What the system says.
pub fn first_line(file: &File) -> io::Result<Option<TraceFileId>> {
    let mut line = Vec::new();
    BufReader::new(file)
        .take(FIRST_LINE)
        .read_until(b'\n', &mut line)?;
    Ok(match serde_json::from_slice(&line) {
        Ok(TraceLine::Begin { id, .. }) if line.ends_with(b"\n") => Some(id),
        _ => None,
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// As [`Write::write_all`]; `left` is how many bytes are not written.
fn write_all(out: &mut impl Write, bytes: &[u8], left: &mut usize) -> io::Result<()> {
    while *left > 0 {
        match out.write(&bytes[bytes.len() - *left..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *left = left.saturating_sub(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
