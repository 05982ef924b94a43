//! What the background scrub found, and the UKIs of both slots against their manifests.

use super::disk::Digests;
use super::{Look, Sighting, Subject};
use crate::esp::{Access, EspAccessError, with_esp};
use crate::scrub::{Scrubber, Uki};
use bennu_esp::{Esp, EspError, entry_in_census};
use bennu_formats::handover::{BlockDevice, Handover};
use bennu_formats::{ImageId, Sha256Digest};
use bennu_policy::drift::Signal;
use std::sync::PoisonError;

/// The scrub.
pub struct Blocks(pub Scrubber);

impl Subject for Blocks {
    fn name(&self) -> &'static str {
        "scrub"
    }

    fn look(&mut self) -> Look {
        Ok(self.0.sightings())
    }
}

/// The UKIs: looked at once in each round of the scrub.
pub struct Ukis {
    scrubber: Scrubber,
    esp: BlockDevice,
    digests: Digests,
    id: ImageId,
    looked: u64,
    last: Vec<Sighting>,
}

impl Ukis {
    /// Of this machine.
    pub fn of(handover: &Handover, scrubber: Scrubber, digests: Digests) -> Self {
        Self {
            scrubber,
            esp: handover.esp.clone(),
            digests,
            id: handover.image_id.clone(),
            looked: 0,
            last: Vec::new(),
        }
    }

    /// Those that the look at the ESP has read; none where one is missing there.
    fn known(&self, wanted: &[Uki]) -> Option<Vec<(Uki, Option<Sha256Digest>)>> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |uki: &Uki| {
            let digest = digests.get(&entry_in_census(&self.id, &uki.version))?;
            Some((uki.clone(), Some(*digest)))
        };
        wanted.iter().map(known).collect()
    }

    fn read(&self, wanted: &[Uki]) -> Result<Vec<(Uki, Option<Sha256Digest>)>, EspAccessError> {
        with_esp(&self.esp, Access::ReadOnly, |esp| {
            let each = wanted
                .iter()
                .map(|uki| Ok((uki.clone(), found(esp, &self.id, uki)?)));
            each.collect()
        })
    }
}

fn found(esp: &Esp, id: &ImageId, uki: &Uki) -> Result<Option<Sha256Digest>, EspError> {
    let entries = esp.entries(id)?;
    let entry = entries.iter().find(|entry| entry.version == uki.version);
    entry.map(|name| esp.uki_sha256(name)).transpose()
}

/// A UKI that is not what its manifest says: of either slot, a file of the ESP that changed.
fn sighting(uki: &Uki, found: Option<Sha256Digest>) -> Option<Sighting> {
    let of = format!("UKI of slot {} ({})", uki.version, uki.which.words());
    let words = match found {
        Some(found) if found == uki.sha256 => return None,
        Some(found) => format!("{of}: digest expected {}, found {found}", uki.sha256),
        None => format!("{of}: none is on the ESP"),
    };
    Some(Sighting::new(Signal::EspChanged, words))
}

impl Subject for Ukis {
    fn name(&self) -> &'static str {
        "boot entries"
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn look(&mut self) -> Look {
        let (round, wanted) = self.scrubber.ukis();
        if round != self.looked {
            let found = match self.known(&wanted) {
                Some(known) => known,
                None => self.read(&wanted).map_err(|error| error.to_string())?,
            };
            self.looked = round;
            self.last = found
                .iter()
                .filter_map(|(uki, found)| sighting(uki, *found))
                .collect();
        }
        Ok(self.last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Which;

    #[test]
    fn a_uki_that_is_another_one_or_gone_is_told_with_its_slot() {
        let digest = |byte| Sha256Digest([byte; 32]);
        let uki = Uki {
            which: Which::Other,
            version: "2".parse().unwrap(),
            sha256: digest(1),
        };
        assert_eq!(sighting(&uki, Some(digest(1))), None, "control");
        let changed = sighting(&uki, Some(digest(2))).unwrap();
        assert_eq!(changed.signal, Signal::EspChanged);
        assert!(
            changed
                .detail
                .starts_with("UKI of slot 2 (does not run): digest expected 0101"),
            "{}",
            changed.detail
        );
        let gone = sighting(&uki, None).unwrap();
        assert_eq!(gone.detail, "UKI of slot 2 (does not run): none is on the ESP");
    }

    #[test]
    fn the_digest_is_of_the_files_bytes_whatever_its_counter_says() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("EFI/Linux");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("small_2+2-1.efi"), "uki").unwrap();
        let uki = Uki {
            which: Which::Running,
            version: "2".parse().unwrap(),
            sha256: Sha256Digest::of(b"uki"),
        };
        let esp = Esp::at(dir.path());
        let id: ImageId = "small".parse().unwrap();
        assert_eq!(found(&esp, &id, &uki).unwrap(), Some(uki.sha256));
        let of_the_census = esp.census().unwrap();
        assert_eq!(of_the_census[&entry_in_census(&id, &uki.version)], uki.sha256);
        let other = Uki {
            version: "3".parse().unwrap(),
            ..uki
        };
        assert_eq!(found(&esp, &id, &other).unwrap(), None);
    }
}
