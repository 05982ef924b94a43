//! A story: one scenario of the product, told to its end or to its first wrong step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::artefacts::{DISK, SECOND_DISK};
use crate::journal::Journal;
use crate::machine::{Machine, MachineSpec};
use crate::serial::as_ms;

/// How much a story boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Ends in the firmware or the initrd: 13–50 s.
    Fast,
    /// Boots to multi-user: a minute and more.
    Full,
}

/// One scenario. [`story!`](crate::story!) fills in the source.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    /// Unique, of `a-z 0-9 - _`: it names a folder.
    pub name: &'static str,
    /// What it costs.
    pub tier: Tier,
    /// Its source file (`file!()`): when that changes an earlier pass no longer counts.
    pub source: &'static str,
    /// What happens; the first error ends it.
    pub run: fn(&mut Context) -> anyhow::Result<()>,
}

/// A [`Story`] whose source is the file that this is written in.
#[macro_export]
macro_rules! story {
    ($name:expr, $tier:expr, $run:expr $(,)?) => {
        $crate::story::Story {
            name: $name,
            tier: $tier,
            source: file!(),
            run: $run,
        }
    };
}

/// What a story works with.
#[derive(Debug)]
pub struct Context {
    folder: PathBuf,
    journal: Journal,
    machines: Vec<PathBuf>,
    timings: Vec<(String, u64)>,
}

impl Context {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            journal: Journal::default(),
            machines: Vec::new(),
            timings: Vec::new(),
        }
    }

    /// The story's artefact folder; what it puts there is kept.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a machine in the story's folder; a second one goes to `machine-2/`.
    ///
    /// # Errors
    /// As [`Machine::create`].
    pub fn machine(&mut self, spec: MachineSpec) -> anyhow::Result<Machine> {
        let label = match self.machines.len() {
            0 => String::new(),
            others => format!("machine-{}/", others + 1),
        };
        let folder = self.folder.join(&label);
        fs::create_dir_all(&folder).with_context(|| format!("make folder {}", folder.display()))?;
        self.machines.push(folder.clone());
        Machine::create_noted(&folder, label, spec, self.journal.clone())
    }

    /// Runs a part of the story and notes how long it took, for `summary.json`.
    ///
    /// # Errors
    /// What the part fails with.
    pub fn timed<T>(
        &mut self,
        what: &str,
        part: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let result = part(self);
        self.timings.push((what.to_owned(), as_ms(started.elapsed())));
        result.with_context(|| what.to_owned())
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Parts and their durations in ms.
    pub(crate) fn timings(&self) -> &[(String, u64)] {
        &self.timings
    }

    /// A story that passed needs its disks no more: they are by far the largest files.
    pub(crate) fn delete_disks(&self) -> anyhow::Result<()> {
        let disks = |folder: &PathBuf| [DISK, SECOND_DISK].map(|name| folder.join(name));
        for disk in self.machines.iter().flat_map(disks) {
            match fs::remove_file(&disk) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.with_context(|| format!("delete {}", disk.display()))?,
            }
        }
        Ok(())
    }
}
