//! The slot that does not run: whether the machine may be flipped to it.
//!
//! Read from the boot disk: partition table, the other root-verity-sig partition, its root and its hash tree, every
//! block of them against the root hash that the release keys signed. Nothing is written. What cannot be read does not
//! verify.

use crate::esp::{Access, with_esp};
use crate::medium::Medium;
use bennu_disk::gpt;
use bennu_esp::FoundRecord;
use bennu_formats::drift::DriftConfig;
use bennu_formats::handover::Handover;
use bennu_formats::manifest::{Architecture, SlotManifest};
use bennu_formats::names::UkiFileName;
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::{self, VeritySig};
use bennu_formats::{ImageVersion, RootHash};
use bennu_policy::drift::OtherSlot;
use bennu_policy::verify::{ReleaseTrust, SlotFacts, Verified, verify_slot};
use bennu_verity::{Salt, Section, VerityParams, verify_device};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use uuid::Uuid;

/// What was found, and the first thing that speaks against it.
#[derive(Debug, Clone)]
pub struct Found {
    /// For the decision.
    pub slot: OtherSlot,
    /// Flips in a row, by the boot record.
    pub flips_in_a_row: u32,
    /// In words.
    pub words: String,
}

/// Looks at the other slot and verifies it whole; `alive` is called now and then.
pub fn look(handover: &Handover, config: &DriftConfig, alive: &mut dyn FnMut()) -> Found {
    let mut slot = OtherSlot {
        present: false,
        verifies: false,
        marked_bad: false,
        security_version: 0,
        floor: handover.floor,
    };
    let mut flips_in_a_row = 0;
    let words = match judge(handover, config, &mut slot, &mut flips_in_a_row, alive) {
        Ok(version) => format!("slot {version} verifies"),
        Err(why) => why,
    };
    Found {
        slot,
        flips_in_a_row,
        words,
    }
}

fn judge(
    handover: &Handover,
    config: &DriftConfig,
    slot: &mut OtherSlot,
    flips_in_a_row: &mut u32,
    alive: &mut dyn FnMut(),
) -> Result<ImageVersion, String> {
    let disk = &handover.disk.path;
    let failed = |e: &dyn std::fmt::Display| format!("{disk}: {e}");
    let mut file = File::open(disk).map_err(|e| failed(&e))?;
    let (table, _health) = gpt::open(&mut file).map_err(|e| failed(&e))?;
    let (manifest, sections) = manifest(&table, &mut file, handover, config)?;
    let found = manifest.get();
    slot.security_version = found.security_version;
    let entry = entry_of(handover, &found.version)?;
    slot.present = entry.present;
    slot.marked_bad = entry.marked_bad;
    *flips_in_a_row = entry.flips_in_a_row;
    if !entry.present {
        return Err(format!("slot {} has no boot entry", found.version));
    }
    // A mark or a floor decides already: nothing of the slot is read for it.
    if !entry.marked_bad && found.security_version >= handover.floor {
        // From the medium: what the kernel remembers of it is not what the other slot will find.
        let medium = Medium::of(&handover.disk).map_err(|error| error.to_string())?;
        blocks(&medium, found, sections, alive)?;
        slot.verifies = true;
    }
    Ok(found.version.clone())
}

/// Root and hash tree on the disk: first byte and length.
type Sections = [(u64, u64); 2];

/// The manifest of the one slot that is not ours, verified.
fn manifest(
    table: &gpt::Table,
    disk: &mut File,
    handover: &Handover,
    config: &DriftConfig,
) -> Result<(Verified<SlotManifest>, Sections), String> {
    let trust = ReleaseTrust {
        keys: &config.release_keys,
        threshold: config.release_threshold,
        image_id: &handover.image_id,
        architecture: Architecture::of_this_program().ok_or("an architecture that is not ours")?,
    };
    let mut why = "there is no other slot".to_owned();
    for partition in table.partitions() {
        let mut bytes = Vec::new();
        let at = SeekFrom::Start(partition.byte_offset());
        let length = (verity_sig::PARTITION_BYTES as u64).min(partition.byte_len());
        let read = disk
            .seek(at)
            .and_then(|_| disk.take(length).read_to_end(&mut bytes));
        // Any partition may be looked at: only one of a slot decodes.
        let Ok(root_hash) = read.map(drop).map_err(|_| ()).and_then(|()| root_hash(&bytes)) else {
            continue;
        };
        if root_hash == handover.root_hash {
            continue;
        }
        let find = |guid| table.by_unique_guid(Uuid::from_bytes(guid));
        let (Some(root), Some(tree)) = (
            find(root_hash.data_partition_uuid()),
            find(root_hash.verity_partition_uuid()),
        ) else {
            why = format!("root hash {root_hash} has no partitions");
            continue;
        };
        let facts = SlotFacts {
            root_hash,
            root_partition: Bytes(root.byte_len()),
            verity_partition: Bytes(tree.byte_len()),
        };
        match verify_slot(&bytes, &trust, &facts) {
            Ok(manifest) => {
                let place = |p: &gpt::Partition| (p.byte_offset(), p.byte_len());
                return Ok((manifest, [place(root), place(tree)]));
            }
            Err(refusal) => why = refusal.to_string(),
        }
    }
    Err(why)
}

fn root_hash(bytes: &[u8]) -> Result<RootHash, ()> {
    VeritySig::decode(bytes).map(|sig| sig.root_hash).map_err(|_| ())
}

/// What the ESP says of a slot.
#[derive(Debug, PartialEq, Eq)]
struct OnEsp {
    /// It has a boot entry.
    present: bool,
    /// The record has marked it bad, or its tries are used up.
    marked_bad: bool,
    /// Of the record.
    flips_in_a_row: u32,
}

fn entry_of(handover: &Handover, version: &ImageVersion) -> Result<OnEsp, String> {
    let read = with_esp(&handover.esp, Access::ReadOnly, |esp| {
        let entries = esp.entries(&handover.image_id)?;
        Ok((entries, esp.boot_record()?))
    });
    let (entries, record) = read.map_err(|error| error.to_string())?;
    Ok(on_esp(&entries, &record, version))
}

fn on_esp(entries: &[UkiFileName], record: &FoundRecord, version: &ImageVersion) -> OnEsp {
    let entry = entries.iter().find(|entry| entry.version == *version);
    let spent = entry.is_some_and(|entry| entry.counter.is_some_and(|counter| counter.tries_left == 0));
    let record = match record {
        FoundRecord::Whole(record) | FoundRecord::OneCopy { record, .. } => Some(record),
        FoundRecord::None | FoundRecord::Damaged(_) => None,
    };
    let slot = record.and_then(|record| record.slots.get(version));
    OnEsp {
        present: entry.is_some(),
        marked_bad: slot.is_some_and(|slot| slot.bad.is_some()) || spent,
        flips_in_a_row: record.map_or(0, |record| record.drift_flips),
    }
}

/// Every block of root and tree.
fn blocks(
    disk: &Medium,
    manifest: &SlotManifest,
    [root, tree]: Sections,
    alive: &mut dyn FnMut(),
) -> Result<(), String> {
    let verity = &manifest.verity;
    let failed = |e: &dyn std::fmt::Display| format!("slot {}: {e}", manifest.version);
    let salt = Salt::new(verity.salt.clone()).map_err(|e| failed(&e))?;
    let params = VerityParams::new(verity.data_blocks.0, salt, [0; 16]).map_err(|e| failed(&e))?;
    let root_hash = bennu_verity::RootHash(*verity.root_hash.as_bytes());
    let mut progress = |_done: u64| alive();
    verify_device(
        &Section::new(disk, root.0, root.1),
        &Section::new(disk, tree.0, tree.1),
        &params,
        &root_hash,
        &mut progress,
        NonZeroUsize::MIN,
    )
    .map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::boot_record::{BootRecord, Failure};
    use bennu_formats::codes::Code;

    #[test]
    fn a_mark_used_up_tries_and_flips_in_a_row_come_from_the_esp() {
        let version: ImageVersion = "2".parse().unwrap();
        let entries = |name: &str| vec![name.parse().unwrap()];
        let mut record = BootRecord {
            drift_flips: 2,
            ..BootRecord::default()
        };
        let sound = OnEsp {
            present: true,
            marked_bad: false,
            flips_in_a_row: 2,
        };
        let whole = |record: &BootRecord| FoundRecord::Whole(record.clone());
        assert_eq!(
            on_esp(&entries("demo_2+3-0.efi"), &whole(&record), &version),
            sound
        );
        let spent = on_esp(&entries("demo_2+0-3.efi"), &whole(&record), &version);
        assert!(spent.marked_bad);
        let other = on_esp(&entries("demo_1+3-0.efi"), &FoundRecord::None, &version);
        assert_eq!((other.present, other.flips_in_a_row), (false, 0));
        record.slot_mut(&version).bad = Some(Failure::new(Code::SlotDrifted, "words"));
        assert!(on_esp(&entries("demo_2+3-0.efi"), &whole(&record), &version).marked_bad);
    }
}
