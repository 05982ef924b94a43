//! The boot disk besides its slots: the partition table and the files of the ESP.

use super::{Baseline, Look, Sighting, Subject};
use crate::esp::{Access, with_esp};
use bennu_esp::{Census, EspError, Listing};
use bennu_formats::Sha256Digest;
use bennu_formats::handover::{BlockDevice, Handover};
use bennu_linux::time;
use bennu_policy::drift::Signal;
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Protective MBR, header and 128 entries, in bytes; the backup at the end has one sector less (UEFI 2.10, 5.3).
const TABLE_BYTES: u64 = 34 * 512;

/// The bytes of the ESP's files are hashed as soon as a length or a time is another one, and after this time in any case:
/// 20 MB cost 8 * 10^8 instructions on a processor without those for SHA-256, which once a minute is 1.4 % of 10^9 a second
/// and twice an hour 0.05 %.
const WHOLE_LOOK: Duration = Duration::from_secs(1800);

/// The partition table, both copies.
pub struct Table {
    disk: String,
    /// Digest of both copies.
    first: Baseline<Sha256Digest>,
}

impl Table {
    /// Of the boot disk.
    pub fn of(handover: &Handover) -> Self {
        Self {
            disk: handover.disk.path.clone(),
            first: Baseline::default(),
        }
    }

    fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut disk = File::open(&self.disk)?;
        let mut bytes = vec![0; TABLE_BYTES as usize * 2];
        let (front, back) = bytes.split_at_mut(TABLE_BYTES as usize);
        disk.read_exact(front)?;
        let end = disk.seek(SeekFrom::End(0))?;
        disk.seek(SeekFrom::Start(end.saturating_sub(TABLE_BYTES - 512)))?;
        disk.read_exact(&mut back[..TABLE_BYTES as usize - 512])?;
        Ok(bytes)
    }
}

impl Subject for Table {
    fn name(&self) -> &'static str {
        "partition table"
    }

    fn look(&mut self) -> Look {
        let bytes = self.read().map_err(|e| format!("{}: {e}", self.disk))?;
        let changed = self
            .first
            .first(Sha256Digest::of(&bytes))
            .filter(|(first, now)| *first != now)
            .map(|(first, now)| {
                let words = format!("digest of both copies {first} at the first look, now {now}");
                Sighting::new(Signal::GptChanged, words)
            });
        Ok(changed.into_iter().collect())
    }

    fn first_look(&self) -> Option<Value> {
        self.first.kept()
    }

    fn go_on_from(&mut self, first: Value) -> serde_json::Result<()> {
        self.first.go_on_from(first)
    }
}

/// Digests of the ESP's files as the last look found them: read when a name, length or time became another one, or at most
/// half an hour ago. Empty where that look failed.
pub type Digests = Arc<Mutex<Census>>;

/// Files of the ESP.
pub struct Files {
    esp: BlockDevice,
    digests: Digests,
    first: Baseline<Census>,
    last: Option<WholeLook>,
}

/// The last time that the bytes were read.
struct WholeLook {
    at: Duration,
    /// Of just before it.
    listing: Listing,
    seen: Vec<Sighting>,
}

impl WholeLook {
    /// Whether what was seen then may be told again instead of looking.
    fn holds(&self, now: Duration, listing: &Listing) -> bool {
        now.saturating_sub(self.at) < WHOLE_LOOK && self.listing == *listing
    }
}

impl Files {
    /// Of the ESP of this start.
    pub fn of(handover: &Handover, digests: Digests) -> Self {
        Self {
            esp: handover.esp.clone(),
            digests,
            first: Baseline::default(),
            last: None,
        }
    }
}

impl Files {
    /// Whoever panicked left digests that were found, or none.
    fn digests(&self) -> MutexGuard<'_, Census> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files that are new, gone or others. A census names boot entries without their count of tries, so that loader and good
/// mark change nothing in it.
fn differences(first: &Census, now: &Census) -> Vec<Sighting> {
    let mut seen = Vec::new();
    for (path, digest) in now {
        match first.get(path) {
            Some(before) if before == digest => {}
            Some(_) => seen.push(format!("{path} is another file")),
            None => seen.push(format!("{path} is new")),
        }
    }
    let gone = first.keys().filter(|path| !now.contains_key(*path));
    seen.extend(gone.map(|path| format!("{path} is gone")));
    let told = |words: String| Sighting::new(Signal::EspChanged, words);
    seen.into_iter().map(told).collect()
}

impl Subject for Files {
    fn name(&self) -> &'static str {
        "ESP"
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn look(&mut self) -> Look {
        let known = std::mem::take(&mut *self.digests());
        let now = time::monotonic();
        let last = self.last.as_ref();
        let found = with_esp(&self.esp, Access::ReadOnly, |esp| {
            let listing = match esp.listing() {
                // Somebody put them there: nobody else's are so many.
                Err(error @ EspError::TooManyFiles { .. }) => return Ok(Err(error.to_string())),
                listing => listing?,
            };
            let holds = last.is_some_and(|last| last.holds(now, &listing));
            let census = if holds { None } else { Some(esp.census()?) };
            Ok(Ok((listing, census)))
        });
        let (listing, census) = match found.map_err(|e| e.to_string())? {
            Ok(found) => found,
            Err(words) => return Ok(vec![Sighting::new(Signal::EspChanged, words)]),
        };
        *self.digests() = census.as_ref().map_or(known, Clone::clone);
        if let Some(census) = census {
            let compared = self.first.first(census);
            self.last = Some(WholeLook {
                at: now,
                listing,
                seen: compared
                    .map(|(first, now)| differences(first, &now))
                    .unwrap_or_default(),
            });
        }
        Ok(self.last.as_ref().map_or_else(Vec::new, |last| last.seen.clone()))
    }

    fn first_look(&self) -> Option<Value> {
        self.first.kept()
    }

    fn go_on_from(&mut self, first: Value) -> serde_json::Result<()> {
        self.first.go_on_from(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_again_after_a_while_and_at_once_when_the_listing_is_another_one() {
        let listing = |length| Listing::from([("a".to_owned(), (length, std::time::SystemTime::UNIX_EPOCH))]);
        let at = Duration::from_secs(1000);
        let last = WholeLook {
            at,
            listing: listing(1),
            seen: Vec::new(),
        };
        assert!(last.holds(at + Duration::from_secs(1799), &listing(1)));
        assert!(!last.holds(at + WHOLE_LOOK, &listing(1)));
        assert!(!last.holds(at, &listing(2)));
        assert!(!last.holds(at, &Listing::new()));
    }

    #[test]
    fn a_byte_of_either_copy_of_the_table_is_told_as_long_as_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let mut bytes = vec![0; 200 * 512];
        std::fs::write(&disk, &bytes).unwrap();
        let mut table = Table {
            disk: disk.display().to_string(),
            first: Baseline::default(),
        };
        assert_eq!(table.look(), Ok(Vec::new()));
        let backup = bytes.len() - 33 * 512;
        for (at, told) in [
            (2 * 512 + 56, 1),
            (34 * 512, 0),
            (backup - 1, 0),
            (backup, 1),
            (200 * 512 - 1, 1),
        ] {
            bytes[at] = 1;
            std::fs::write(&disk, &bytes).unwrap();
            let seen = table.look().unwrap();
            assert_eq!(seen.len(), told, "byte {at}");
            assert!(seen.iter().all(|one| one.signal == Signal::GptChanged));
            assert_eq!(table.look().unwrap(), seen, "it lasts");
            bytes[at] = 0;
            std::fs::write(&disk, &bytes).unwrap();
            assert_eq!(table.look(), Ok(Vec::new()), "control");
        }
        // While no bennud ran.
        let first = table.first_look().unwrap();
        bytes[2 * 512] = 1;
        std::fs::write(&disk, &bytes).unwrap();
        let mut after = Table {
            disk: disk.display().to_string(),
            first: Baseline::default(),
        };
        after.go_on_from(first).unwrap();
        assert_eq!(after.look().unwrap().len(), 1);
        std::fs::write(&disk, &bytes[..512]).unwrap();
        let why = table.look().unwrap_err();
        assert!(why.contains("disk: "), "{why}");
    }

    #[test]
    fn each_kind_of_difference_is_told_with_its_path() {
        let digest = |byte| Sha256Digest([byte; 32]);
        let census = |files: &[(&str, u8)]| -> Census {
            files
                .iter()
                .map(|(path, byte)| ((*path).to_owned(), digest(*byte)))
                .collect()
        };
        let first = census(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(differences(&first, &first), [], "control");
        let now = census(&[("a", 1), ("b", 2), ("d", 1)]);
        let words: Vec<String> = differences(&first, &now).into_iter().map(|s| s.detail).collect();
        assert_eq!(words, ["b is another file", "d is new", "c is gone"]);
    }
}
