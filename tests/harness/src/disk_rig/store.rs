//! The image under its volatile cache and its faults. No network here.
//!
//! Invariant: the image holds everything that a flush or a FUA write has promised; `held` holds the other
//! writes in their order; `newest` shows each held sector's newest content, as a guest must read it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::DiskRigError;
use super::active::ActiveFault;
use super::fault::{Dice, DiskFault, Survivors};

/// Bytes of a sector, the smallest thing that a power cut keeps or loses whole.
pub(crate) const SECTOR: usize = 512;
/// A volatile cache of this many bytes is full and writes itself back.
const CACHE: usize = 256 << 20;

/// What is not flushed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Write requests.
    pub writes: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// What a power cut did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutReport {
    /// What had not been flushed.
    pub held: Held,
    /// Sectors of it that were written to the image.
    pub sectors_kept: usize,
    /// Sectors of it that were lost.
    pub sectors_lost: usize,
}

#[derive(Debug)]
struct Write {
    first_sector: u64,
    bytes: Vec<u8>,
    /// Sectors that no later FUA write has replaced.
    alive: Vec<bool>,
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not whole sectors of this disk.
    OutOfRange,
    /// A fault struck.
    Fault,
    /// The image failed.
    Image(DiskRigError),
}

#[derive(Debug)]
pub(crate) struct Store {
    image: PathBuf,
    file: File,
    bytes: u64,
    held: Vec<Write>,
    held_bytes: usize,
    newest: HashMap<u64, [u8; SECTOR]>,
    faults: Vec<ActiveFault>,
    off: bool,
}

impl Store {
    pub(crate) fn open(image: &Path, faults: Vec<DiskFault>) -> Result<Self, DiskRigError> {
        let failed = |source| DiskRigError::Image {
            act: "open",
            image: image.to_owned(),
            source,
        };
        let opened = OpenOptions::new().read(true).write(true).open(image);
        let file = opened.map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if !bytes.is_multiple_of(SECTOR as u64) || bytes == 0 {
            let image = image.to_owned();
            return Err(DiskRigError::Size { image, bytes });
        }
        for (number, fault) in faults.iter().enumerate() {
            fault.check(number, bytes)?;
        }
        Ok(Self {
            image: image.to_owned(),
            file,
            bytes,
            held: Vec::new(),
            held_bytes: 0,
            newest: HashMap::new(),
            faults: faults.into_iter().map(ActiveFault::new).collect(),
            off: false,
        })
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the power was cut.
    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    pub(crate) fn struck(&self, number: usize) -> u32 {
        self.faults.get(number).map_or(0, ActiveFault::struck)
    }

    /// How often the most-read sector of a fault's range was read.
    pub(crate) fn reads(&self, number: usize) -> u32 {
        self.faults.get(number).map_or(0, ActiveFault::reads)
    }

    pub(crate) fn turn_on(&mut self, number: usize) {
        if let Some(fault) = self.faults.get_mut(number) {
            fault.turn_on();
        }
    }

    pub(crate) fn held(&self) -> Held {
        Held {
            writes: self.held.len(),
            bytes: self.held_bytes,
        }
    }

    pub(crate) fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, Refusal> {
        let first = self.first_sector(offset, length)?;
        let asked = offset..offset + length as u64;
        let struck: Vec<Vec<Range<u64>>> = self.faults.iter_mut().map(|fault| fault.read(&asked)).collect();
        let mut at_work = self.faults.iter().zip(&struck);
        if at_work.any(|(fault, struck)| fault.refuses_reads() && !struck.is_empty()) {
            return Err(Refusal::Fault);
        }
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| Refusal::Image(self.failed("read", source)))?;
        if !self.newest.is_empty() {
            for (sector, content) in (first..).zip(bytes.chunks_exact_mut(SECTOR)) {
                if let Some(newest) = self.newest.get(&sector) {
                    content.copy_from_slice(newest);
                }
            }
        }
        for (fault, struck) in self.faults.iter().zip(&struck) {
            for part in struck {
                fault.tell(part, offset, &mut bytes);
            }
        }
        Ok(bytes)
    }

    /// Takes a write into the volatile cache, or with `fua` onto the image.
    pub(crate) fn write(&mut self, offset: u64, bytes: Vec<u8>, fua: bool) -> Result<(), Refusal> {
        let first_sector = self.first_sector(offset, bytes.len())?;
        let asked = offset..offset + bytes.len() as u64;
        // Each fault counts for itself, so none is passed over.
        let refusals = self.faults.iter_mut().map(|fault| fault.refuses_write(&asked));
        if refusals.filter(|refused| *refused).count() > 0 {
            return Err(Refusal::Fault);
        }
        if fua {
            let sectors = first_sector..first_sector + (bytes.len() / SECTOR) as u64;
            self.store(offset, &bytes).map_err(Refusal::Image)?;
            // What was held for these sectors is older; applied later it would break the promise.
            for write in &mut self.held {
                for (sector, alive) in (write.first_sector..).zip(&mut write.alive) {
                    *alive &= !sectors.contains(&sector);
                }
            }
            for sector in sectors {
                self.newest.remove(&sector);
            }
            return Ok(());
        }
        for (sector, content) in (first_sector..).zip(bytes.as_chunks::<SECTOR>().0) {
            self.newest.insert(sector, *content);
        }
        self.held_bytes += bytes.len();
        let alive = vec![true; bytes.len() / SECTOR];
        self.held.push(Write {
            first_sector,
            bytes,
            alive,
        });
        if self.held_bytes > CACHE {
            self.flush().map_err(Refusal::Image)?;
        }
        Ok(())
    }

    /// Brings every held write to the image, in order.
    pub(crate) fn flush(&mut self) -> Result<(), DiskRigError> {
        for write in std::mem::take(&mut self.held) {
            self.apply(&write, |_| true)?;
        }
        self.held_bytes = 0;
        self.newest.clear();
        Ok(())
    }

    /// Cuts the power: of what is held, only the survivors reach the image. No request is served any more.
    pub(crate) fn cut(&mut self, survivors: Survivors) -> Result<CutReport, DiskRigError> {
        if self.off {
            return Err(DiskRigError::Off);
        }
        self.off = true;
        let report = self.held();
        let held = std::mem::take(&mut self.held);
        let all: usize = held.iter().map(|write| write.alive.len()).sum();
        let mut kept = 0;
        match survivors {
            Survivors::Nothing => {}
            Survivors::Everything => {
                for write in &held {
                    kept += self.apply(write, |_| true)?;
                }
            }
            Survivors::EveryOther => {
                for write in held.iter().step_by(2) {
                    kept += self.apply(write, |_| true)?;
                }
            }
            Survivors::Torn { seed } => {
                let mut dice = Dice(seed);
                for write in &held {
                    kept += self.apply(write, |_| dice.coin())?;
                }
            }
            Survivors::Reordered { seed } => kept = self.apply_reordered(&held, &mut Dice(seed))?,
        }
        Ok(CutReport {
            held: report,
            sectors_kept: kept,
            sectors_lost: all - kept,
        })
    }

    fn apply_reordered(&self, held: &[Write], dice: &mut Dice) -> Result<usize, DiskRigError> {
        let mut order: Vec<&Write> = held.iter().collect();
        for last in (1..order.len()).rev() {
            order.swap(last, dice.below(last + 1));
        }
        let mut kept = 0;
        let arrived = dice.below(order.len() + 1);
        for (place, write) in order.iter().take(arrived).enumerate() {
            let whole = if place + 1 == arrived {
                dice.below(write.alive.len() + 1)
            } else {
                write.alive.len()
            };
            kept += self.apply(write, |sector| sector < whole)?;
        }
        Ok(kept)
    }

    /// Writes the chosen living sectors of a write to the image; gives their number.
    fn apply(&self, write: &Write, mut chosen: impl FnMut(usize) -> bool) -> Result<usize, DiskRigError> {
        let mut kept = 0;
        let sectors = write.bytes.as_chunks::<SECTOR>().0;
        for (number, (content, alive)) in sectors.iter().zip(&write.alive).enumerate() {
            if chosen(number) && *alive {
                let offset = (write.first_sector + number as u64) * SECTOR as u64;
                self.store(offset, content)?;
                kept += 1;
            }
        }
        Ok(kept)
    }

    fn store(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskRigError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| self.failed("write", source))
    }

    /// The first sector of a range that must be whole sectors of the disk.
    fn first_sector(&self, offset: u64, length: usize) -> Result<u64, Refusal> {
        let sector = SECTOR as u64;
        let end = offset.checked_add(length as u64);
        if !offset.is_multiple_of(sector)
            || !length.is_multiple_of(SECTOR)
            || end.is_none_or(|end| end > self.bytes)
        {
            return Err(Refusal::OutOfRange);
        }
        Ok(offset / sector)
    }

    fn failed(&self, act: &'static str, source: io::Error) -> DiskRigError {
        DiskRigError::Image {
            act,
            image: self.image.clone(),
            source,
        }
    }
}
