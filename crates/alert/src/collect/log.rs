//! One log of one machine, as it is kept: files `collected-<number of the first line>.jsonl`, each begun by a line that
//! begins a file on the machine too. In memory: where it ends, and where the last comparison was.

use super::CollectError;
use super::medium::{self, Medium, io_error};
use bennu_formats::Sha256Digest;
use bennu_records::{
    Kind, Line, MAX_FILE_BYTES, MAX_LINE_BYTES, SegmentId, collected_name, collected_number,
};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How a line stands to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is there, byte for byte.
    Repeat,
    /// It follows.
    Next {
        /// Numbers between the last line and this one.
        missing: u64,
    },
    /// Its number is there, with other bytes.
    Differs,
    /// It neither is there nor follows.
    Elsewhere,
}

/// Bytes at the end of a file that are no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TornOff {
    pub(super) bytes: u64,
    pub(super) kept: bool,
}

/// What is in a log's folder.
#[derive(Debug)]
pub(super) enum Opened {
    /// A log, and what was cut off at its end.
    Log(Log, Option<TornOff>),
    /// No file: the power went between the folder and its first line.
    Empty,
    /// A newest file that does not begin with a line, which no power cut leaves. It stays as it is.
    Damaged,
}

/// A log.
#[derive(Debug)]
pub(super) struct Log {
    /// Number of its folder.
    pub(super) number: u32,
    directory: PathBuf,
    /// First line of the newest file, and the file's length in bytes.
    file: u64,
    length: u64,
    /// The last line.
    last: u64,
    segment: SegmentId,
    step: u64,
    /// A line that was compared: first line of its file, its offset, its number. The next one to compare is likely the
    /// next one.
    compared: Option<(u64, u64, u64)>,
}

/// Folder of a log.
pub(super) fn folder(machine: &Path, number: u32) -> PathBuf {
    machine.join(format!("log-{number:08}"))
}

/// The number in such a name.
pub(super) fn folder_number(name: &str) -> Option<u32> {
    let number = name.strip_prefix("log-")?.parse().ok()?;
    (Path::new(&format!("log-{number:08}")) == Path::new(name)).then_some(number)
}

impl Log {
    /// Begins a log with its first line.
    pub(super) fn begin(
        machine: &Path,
        number: u32,
        medium: &mut Medium,
        line: &Line,
        bytes: &[u8],
    ) -> Result<Self, CollectError> {
        let directory = folder(machine, number);
        medium::make_directory(&directory)?;
        let mut log = Self {
            number,
            directory,
            file: 0,
            length: 0,
            last: 0,
            segment: line.segment,
            step: 0,
            compared: None,
        };
        log.begin_file(medium, line, bytes)?;
        Ok(log)
    }

    /// The log in a folder, with what a power cut left at its end cut off, and on the medium.
    pub(super) fn open(machine: &Path, number: u32) -> Result<Opened, CollectError> {
        let directory = folder(machine, number);
        let Some(file) = files(&directory)?.into_iter().max() else {
            return Ok(Opened::Empty);
        };
        let path = directory.join(collected_name(file));
        let mut log = Self {
            number,
            directory,
            file,
            length: 0,
            last: 0,
            segment: SegmentId([0; 8]),
            step: 0,
            compared: None,
        };
        let mut reader = BufReader::new(File::open(&path).map_err(io_error("open", &path))?);
        while let Some(bytes) = next_line(&mut reader).map_err(io_error("read", &path))? {
            let Ok(line) = Line::decode(&bytes) else { break };
            let good = if log.length == 0 {
                line.seq == file
            } else {
                line.seq > log.last
            };
            if !good {
                break;
            }
            log.ends_in(&line);
            log.length += bytes.len() as u64 + 1;
        }
        if log.length == 0 {
            return Ok(Opened::Damaged);
        }
        let torn = log.cut_torn(&path)?;
        medium::sync_directory(&log.directory)?;
        Ok(Opened::Log(log, torn))
    }

    /// Cuts off what is no line. More than one half line is kept beside: a power cut may leave it, and so may a bad disk.
    fn cut_torn(&self, path: &Path) -> Result<Option<TornOff>, CollectError> {
        let mut file = File::open(path).map_err(io_error("open", path))?;
        let found = file.metadata().map_err(io_error("look at", path))?.len();
        let bytes = found.saturating_sub(self.length);
        let mut kept = false;
        if bytes > 0 {
            file.seek(SeekFrom::Start(self.length))
                .map_err(io_error("read", path))?;
            let mut rest = Vec::new();
            file.take(MAX_FILE_BYTES)
                .read_to_end(&mut rest)
                .map_err(io_error("read", path))?;
            kept = rest.contains(&b'\n') || rest.len() > MAX_LINE_BYTES;
            if kept {
                let digest = Sha256Digest::of(&rest).to_string();
                let name = format!("torn-{:020}-{}-{digest}", self.file, self.length);
                let aside = self.directory.join(name);
                if !aside.exists() {
                    Medium::default().create(&aside, &rest)?;
                }
            }
        }
        medium::cut(path, self.length)?;
        Ok((bytes > 0).then_some(TornOff { bytes, kept }))
    }

    fn ends_in(&mut self, line: &Line) {
        self.last = line.seq;
        self.segment = line.segment;
        self.step = line.step;
    }

    /// Whether its newest line is of that segment.
    pub(super) fn is_in(&self, segment: SegmentId) -> bool {
        self.segment == segment
    }

    /// How a line stands to this log.
    pub(super) fn place(&mut self, line: &Line, bytes: &[u8]) -> Result<Place, CollectError> {
        if line.seq <= self.last {
            return Ok(match self.stored(line.seq)? {
                Some(there) if there == bytes => Place::Repeat,
                Some(_) => Place::Differs,
                None => Place::Elsewhere,
            });
        }
        let missing = line.seq - self.last - 1;
        let joint = is_joint(line);
        let follows = match line.kind {
            Kind::Start if line.step != 0 || line.segment == self.segment => false,
            Kind::Start => true,
            // Of lines that were removed unsent nothing is known, the segments they began neither.
            Kind::Continue if missing > 0 => true,
            _ => line.segment == self.segment && line.step.checked_sub(self.step) == Some(missing + 1),
        };
        let room = joint || self.length + (bytes.len() as u64) < MAX_FILE_BYTES;
        Ok(if follows && room {
            Place::Next { missing }
        } else {
            Place::Elsewhere
        })
    }

    /// Takes in a line that follows.
    pub(super) fn append(
        &mut self,
        medium: &mut Medium,
        line: &Line,
        bytes: &[u8],
    ) -> Result<(), CollectError> {
        if is_joint(line) {
            return self.begin_file(medium, line, bytes);
        }
        let path = self.directory.join(collected_name(self.file));
        medium.append(&path, self.length, &[bytes, b"\n"].concat())?;
        self.length += bytes.len() as u64 + 1;
        self.ends_in(line);
        Ok(())
    }

    fn begin_file(&mut self, medium: &mut Medium, line: &Line, bytes: &[u8]) -> Result<(), CollectError> {
        // The files before it are whole on the medium before this one is there.
        medium.sync()?;
        let path = self.directory.join(collected_name(line.seq));
        medium.create(&path, &[bytes, b"\n"].concat())?;
        self.file = line.seq;
        self.length = bytes.len() as u64 + 1;
        self.ends_in(line);
        Ok(())
    }

    /// The bytes that are kept under a number.
    fn stored(&mut self, number: u64) -> Result<Option<Vec<u8>>, CollectError> {
        if let Some((file, offset, _)) = self.compared.filter(|(.., known)| *known <= number)
            && let Some(found) = self.search(file, offset, number)?
        {
            return Ok(Some(found));
        }
        let files = files(&self.directory)?.into_iter();
        match files.filter(|first| *first <= number).max() {
            Some(file) => self.search(file, 0, number),
            None => Ok(None),
        }
    }

    /// Looks for a number in a file from an offset on.
    fn search(&mut self, file: u64, offset: u64, number: u64) -> Result<Option<Vec<u8>>, CollectError> {
        let path = self.directory.join(collected_name(file));
        let mut at = offset;
        let mut opened = File::open(&path).map_err(io_error("open", &path))?;
        opened
            .seek(SeekFrom::Start(offset))
            .map_err(io_error("read", &path))?;
        let mut reader = BufReader::new(opened);
        while let Some(bytes) = next_line(&mut reader).map_err(io_error("read", &path))? {
            let Ok(line) = Line::decode(&bytes) else { break };
            if line.seq >= number {
                self.compared = Some((file, at, line.seq));
                return Ok((line.seq == number).then_some(bytes));
            }
            at += bytes.len() as u64 + 1;
        }
        Ok(None)
    }
}

fn is_joint(line: &Line) -> bool {
    matches!(line.kind, Kind::Start | Kind::Continue)
}

/// First lines of the files in a log's folder.
fn files(directory: &Path) -> Result<Vec<u64>, CollectError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
        let name = entry.map_err(io_error("list", directory))?.file_name();
        found.extend(name.to_str().and_then(collected_number));
    }
    Ok(found)
}

/// The next whole line, without its line feed; none at the end, or where what comes is longer than a line.
fn next_line(reader: &mut impl io::BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_LINE_BYTES as u64 + 1)
        .read_until(b'\n', &mut bytes)?;
    Ok((bytes.pop() == Some(b'\n')).then_some(bytes))
}
