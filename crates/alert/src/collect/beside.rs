//! What is kept beside a log: notes, and lines that were not taken in. JSON lines, each once.

use super::CollectError;
use super::medium::{self, Medium, io_error};
use bennu_formats::codes::Code;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Most bytes of one such file. It is read through when something is added: an intruder's lines must stay cheap.
const MAX_BYTES: u64 = 1 << 20;

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Version: 1.
    pub v: u32,
    /// Why it is kept.
    pub code: Code,
    /// Number of the log's folder.
    pub log: Option<u32>,
    /// Number of the line that it is about.
    pub number: Option<u64>,
    /// What came, byte for byte, or words of the collector.
    pub text: String,
}

/// What became of something that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is there now.
    New,
    /// It was there.
    Again,
    /// There is no room.
    Full,
}

/// One such file.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    exists: bool,
    length: u64,
}

impl Beside {
    /// Opens it; half a line at its end is cut off. One that is not there is made with its first line.
    pub(super) fn open(path: PathBuf) -> Result<Self, CollectError> {
        let mut whole = 0;
        let exists = read(&path, |line| {
            whole += line.len() as u64 + 1;
            true
        })
        .map_err(io_error("read", &path))?;
        if exists {
            medium::cut(&path, whole)?;
        }
        Ok(Self {
            path,
            exists,
            length: whole,
        })
    }

    /// Adds a line, unless it is there.
    pub(super) fn add(&mut self, medium: &mut Medium, kept: &Kept) -> Result<Added, CollectError> {
        let mut line = serde_json::to_vec(kept)
            .map_err(|error| io_error("encode a line of", &self.path)(io::Error::other(error)))?;
        if self.has(|there| there == line)? {
            return Ok(Added::Again);
        }
        line.push(b'\n');
        if self.length + line.len() as u64 > MAX_BYTES {
            return Ok(Added::Full);
        }
        if self.exists {
            medium.append(&self.path, self.length, &line)?;
        } else {
            medium.create(&self.path, &line)?;
            self.exists = true;
        }
        self.length += line.len() as u64;
        Ok(Added::New)
    }

    /// Whether one of the lines is that.
    pub(super) fn has(&self, mut is: impl FnMut(&[u8]) -> bool) -> Result<bool, CollectError> {
        let mut found = false;
        let all = |line: &[u8]| {
            found = is(line);
            !found
        };
        read(&self.path, all).map_err(io_error("read", &self.path))?;
        Ok(found)
    }
}

/// Gives each whole line until `line` says that it is enough; whether there is such a file.
fn read(path: &Path, mut line: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(io::Read::take(file, MAX_BYTES));
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        reader.read_until(b'\n', &mut bytes)?;
        match bytes.strip_suffix(b"\n") {
            Some(text) if line(text) => {}
            _ => return Ok(true),
        }
    }
}
