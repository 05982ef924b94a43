//! Where the files of a log lie.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Most bytes of one file that are ever read.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Files with ascending numbers, each written once from its start to its end.
pub trait Store {
    /// Numbers of the files that are there, ascending, with their lengths in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn files(&self) -> io::Result<Vec<(u64, u64)>>;

    /// The bytes of a file.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::FileTooLarge`] above [`MAX_FILE_BYTES`].
    fn read(&self, number: u64) -> io::Result<Vec<u8>>;

    /// Makes a new, empty file, of which a power cut leaves the name or nothing, and writes to it from now on.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, number: u64) -> io::Result<()>;

    /// Writes behind what is in the newest file.
    ///
    /// # Errors
    /// What the system says; any part of the bytes may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&mut self, number: u64) -> io::Result<()>;
}

/// The file name of a number.
pub fn file_name(number: u64) -> String {
    format!("records-{number:020}.jsonl")
}

/// The number in a file name, if it is one of ours.
pub fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("records-")?.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// The name of a file that a collector made of lines that were sent to it: the number is that of its first line.
pub fn collected_name(first: u64) -> String {
    format!("collected-{first:020}.jsonl")
}

/// The number in such a name.
pub fn collected_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("collected-")?.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    (collected_name(number) == name).then_some(number)
}

/// A directory on a file system that orders its metadata (ext4).
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    newest: Option<File>,
}

impl Directory {
    /// Opens `path`, or makes it with mode 0700.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self {
            path: path.to_owned(),
            newest: None,
        })
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(file_name(number))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn newest(&mut self) -> io::Result<&mut File> {
        self.newest
            .as_mut()
            .ok_or_else(|| io::Error::other("no file of the record log is open for writing"))
    }
}

impl Store for Directory {
    fn files(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let number = entry.file_name().to_str().and_then(file_number);
            if let Some(number) = number.filter(|_| metadata.is_file()) {
                files.push((number, metadata.len()));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.file(number))?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(self.file(number))?;
        file.sync_all()?;
        self.sync_names()?;
        self.newest = Some(file);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.newest()?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.newest()?.sync_data()
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        fs::remove_file(self.file(number))?;
        self.sync_names()
    }
}
