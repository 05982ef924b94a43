//! Whether the trace is what the record log sealed (`docs/spec/trace.md` §4).
//!
//! Reads `trace.jsonl` and `trace.1.jsonl` in a directory, both untrusted; writes nothing. Of what the log says, lines count
//! that its check did not refuse. On failure the error names the file.

use super::{LogError, Place, Refused, lines, printable};
use crate::as_written::if_there;
use crate::tracing::file::{LONGEST_FILE, before, first_line};
use bennu_formats::Sha256Digest;
use bennu_formats::trace::{TraceFileId, TraceSeal};
use bennu_records::{Kind, Line, LogFile};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Name of the newest file.
const NEWEST: &str = "trace.jsonl";

/// What the log says.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// In the order of the log, with the number of the line.
    seals: Vec<(u64, TraceSeal)>,
    /// The log's first line is not there any more.
    begins_late: bool,
}

/// One file of the trace.
#[derive(Debug, Serialize)]
pub(super) struct Traced {
    name: String,
    bytes: u64,
    /// From its start, as they were written.
    sealed: u64,
}

impl Traced {
    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { name, bytes, sealed } = self;
        format!(
            "{}: {sealed} of {bytes} bytes are as the log sealed them",
            printable(name)
        )
    }
}

impl Sealed {
    /// The seals in a log, of the lines that nothing refuses.
    pub(super) fn of(files: &[LogFile], refused: &Refused) -> Self {
        let mut found = Self::default();
        let mut first = None;
        for file in files {
            for (number, bytes) in lines(file) {
                let Ok(line) = Line::decode(bytes) else { continue };
                first.get_or_insert(line.seq);
                if line.kind != Kind::Event || refused.contains(&(file.name.clone(), number)) {
                    continue;
                }
                // Other events are none.
                if let Ok(seal) = serde_json::from_value::<TraceSeal>(line.body)
                    && seal.event == TraceSeal::EVENT
                {
                    found.seals.push((line.seq, seal));
                }
            }
        }
        found.begins_late = first.is_some_and(|first| first > 0);
        found
    }

    /// The trace in `folder`, and what is to say of it.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub(super) fn check(&self, folder: &Path) -> Result<(Vec<Traced>, Vec<Place>), LogError> {
        let newest = folder.join(NEWEST);
        let (mut traced, mut places) = (Vec::new(), Vec::new());
        let mut there = BTreeSet::new();
        for path in [before(&newest), newest] {
            let failed = |source| LogError::Read {
                path: path.clone(),
                source,
            };
            let Some(file) = if_there(File::open(&path)).map_err(failed)? else {
                continue;
            };
            let (id, one, told) = self.file(&path, file).map_err(failed)?;
            there.extend(id);
            traced.push(one);
            places.extend(told);
        }
        places.extend(self.missing(folder, &there));
        Ok((traced, places))
    }

    fn file(&self, path: &Path, mut file: File) -> io::Result<(Option<TraceFileId>, Traced, Vec<Place>)> {
        let length = file.metadata()?.len();
        let mut traced = Traced {
            name: path.display().to_string(),
            bytes: length,
            sealed: 0,
        };
        if length > LONGEST_FILE {
            let words = format!("expected at most {LONGEST_FILE} bytes, found {length}");
            return Ok((None, traced, vec![refused(path, words)]));
        }
        let Some(id) = first_line(&file)? else {
            let words = "expected a first line that says which file of the trace it is, found none: it is not \
                         bennud's, or was changed";
            return Ok((None, traced, vec![refused(path, words.to_owned())]));
        };
        file.seek(SeekFrom::Start(0))?;
        let seals: Vec<_> = self.seals.iter().filter(|(_, seal)| seal.file == id).collect();
        let mut places = Vec::new();
        if seals.is_empty() {
            places.push(self.unknown(path, id));
        }
        let wanted = seals.iter().map(|(_, seal)| seal.bytes);
        let digests = digests(&mut file, wanted.collect())?;
        for (line, seal) in seals {
            let bytes = seal.bytes;
            let words = match digests.get(&bytes) {
                Some(found) if *found == seal.sha256 => {
                    traced.sealed = traced.sealed.max(bytes);
                    if !seal.ended || bytes == length {
                        continue;
                    }
                    format!("line {line} of the log says that it ended with {bytes} bytes, found {length}")
                }
                Some(_) => format!(
                    "expected its first {bytes} bytes as line {line} of the log sealed them, found others"
                ),
                None => {
                    format!("expected {bytes} bytes, which line {line} of the log sealed, found {length}")
                }
            };
            places.push(refused(path, words));
            // What comes after it has the same fault.
            break;
        }
        if traced.sealed < length && places.is_empty() {
            let words = format!("its last {} bytes are not sealed yet", length - traced.sealed);
            places.push(note(path, words));
        }
        Ok((Some(id), traced, places))
    }

    /// A file of which the log says nothing: its lines may have been rotated away, if it has lost its first ones.
    fn unknown(&self, path: &Path, id: TraceFileId) -> Place {
        let words = format!("the log has no seal of file {id}");
        match self.begins_late {
            true => note(path, format!("{words}: its first lines are not there any more")),
            false => refused(
                path,
                format!("{words}, and bennud seals one in the round after it begins it"),
            ),
        }
    }

    /// The last two files have to be there; those before them are gone in good order.
    fn missing(&self, folder: &Path, there: &BTreeSet<TraceFileId>) -> Vec<Place> {
        let mut last = BTreeMap::new();
        let mut order = Vec::new();
        for (line, seal) in &self.seals {
            if last.insert(seal.file, (line, seal)).is_none() {
                order.push(seal.file);
            }
        }
        let kept = order.len().saturating_sub(2);
        let gone = order.iter().enumerate().filter(|(_, id)| !there.contains(*id));
        let words = gone.filter_map(|(at, id)| {
            let (line, seal) = last.get(id)?;
            let words = format!("file {id}, of which line {line} of the log sealed {} bytes", seal.bytes);
            match (at >= kept, seal.ended) {
                (true, _) => Some(refused(folder, format!("expected {words}, found no such file"))),
                (false, true) => None,
                (false, false) => Some(note(
                    folder,
                    format!("{words}, is not there, and no line says that it ended: it was taken away, or a power cut was in between"),
                )),
            }
        });
        words.collect()
    }
}

/// Of the beginnings of a file that are as long as `wanted` says; none for those that it does not have.
fn digests(file: &mut File, wanted: BTreeSet<u64>) -> io::Result<BTreeMap<u64, Sha256Digest>> {
    let (mut hasher, mut read) = (Sha256::new(), 0);
    let mut found = BTreeMap::new();
    for length in wanted {
        read += io::copy(&mut file.take(length - read), &mut hasher)?;
        if read < length {
            break;
        }
        found.insert(length, Sha256Digest(hasher.clone().finalize().into()));
    }
    Ok(found)
}

fn place(path: &Path, refused: bool, text: String) -> Place {
    Place {
        file: path.display().to_string(),
        line: 0,
        refused,
        text,
    }
}

fn refused(path: &Path, text: String) -> Place {
    place(path, true, text)
}

fn note(path: &Path, text: String) -> Place {
    place(path, false, text)
}

#[cfg(test)]
mod tests;
