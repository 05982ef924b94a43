//! Reading the files of a log and of its keys: each with a limit, before anything of it is decoded.

use super::{LogError, MAX_FILES};
use bennu_records::{InitialKey, KeyRing, LogFile, MAX_FILE_BYTES, Origin, collected_number, file_number};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Most bytes of a file of keys: some thousand starts.
const MAX_KEY_BYTES: u64 = 1 << 20;

/// The files of the log that `paths` name, directories looked into, in the order of their numbers, and whose they are.
pub(super) fn files(paths: &[PathBuf]) -> Result<(Vec<LogFile>, Origin), LogError> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let failed = |source| LogError::Read {
                path: path.clone(),
                source,
            };
            for entry in std::fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if number(&entry.path()).is_some() {
                    all.push(entry.path());
                }
            }
        } else {
            all.push(path.clone());
        }
    }
    if all.len() > MAX_FILES {
        return Err(LogError::TooMany);
    }
    all.sort();
    let mut origin = None;
    let mut files: Vec<LogFile> = Vec::with_capacity(all.len());
    for path in all {
        let (number, of) = number(&path).ok_or_else(|| LogError::Name(path.clone()))?;
        if *origin.get_or_insert(of) != of {
            return Err(LogError::Mixed(path));
        }
        if files.iter().any(|file| file.number == number) {
            return Err(LogError::Twice(path));
        }
        files.push(LogFile {
            name: path.display().to_string(),
            number,
            bytes: read(&path, MAX_FILE_BYTES)?,
        });
    }
    Ok((files, origin.unwrap_or_default()))
}

fn number(path: &Path) -> Option<(u64, Origin)> {
    let name = path.file_name()?.to_str()?;
    let written = file_number(name).map(|number| (number, Origin::Written));
    written.or_else(|| collected_number(name).map(|number| (number, Origin::Collected)))
}

/// All bytes of a file, at most `limit`.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|source| LogError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > limit {
        return Err(LogError::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// The keys in a file, one a line; empty lines are passed over.
pub(super) fn keys(path: &Path) -> Result<KeyRing, LogError> {
    let bytes = zeroize::Zeroizing::new(read(path, MAX_KEY_BYTES)?);
    let mut keys = KeyRing::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let digits = line.trim_ascii();
        if digits.is_empty() {
            continue;
        }
        let key = key(digits).ok_or_else(|| LogError::Key {
            path: path.to_owned(),
            line: at + 1,
        })?;
        keys.add(key);
    }
    Ok(keys)
}

fn key(digits: &[u8]) -> Option<InitialKey> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut key = zeroize::Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(InitialKey::new(*key))
}
