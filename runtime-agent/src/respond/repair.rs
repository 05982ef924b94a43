//! Bad blocks of the slot that does not run, rewritten from bytes that its own manifest vouches for.
//!
//! Read: what the scrub found, the boot disk, both manifests. Written: single blocks of the root and root-verity
//! partitions of the slot that does not run, each only if it is bad, and only with bytes that have the digest that the
//! verified tree has for it (`bennu_verity::mend`); each is read back from the medium. The partitions are opened alone
//! (`O_EXCL`): the kernel refuses that for those of the running slot, and the execution gate refuses everybody but
//! `bennud`, and `bennud` everything but these partitions.
//!
//! Sources, in this order: the running slot, the slot itself (a block that it has twice). Another one is one more
//! `BlockSource`. What nobody has is left as it is, and the slot is reported as unrepairable.

use crate::console::Console;
use crate::documents;
use crate::gate::device_of;
use crate::kernel_files::{descriptor_path, proc_path};
use crate::medium::{self, Medium};
use crate::scrub::Scrubber;
use crate::scrub::report::{BadBlock, MOST_BAD, SlotReport};
use crate::slots::{self, Place as PartitionPlace, Slot, Which};
use bennu_formats::drift::DriftConfig;
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::block::{BlockDevice, Sysfs};
use bennu_verity::mend::{BlockSource, Left, Origin, Outcome, WriteBlock, mend};
use bennu_verity::scrub::{Fault, Finding, Place, Scrub};
use bennu_verity::source::SlotSource;
use std::fs::File;
use std::io;

/// Places that are named in one sentence.
const NAMED: usize = 4;

/// Mends the slot that does not run; `alive` is called now and then. Gives what was done.
///
/// # Errors
/// Nothing was bad, blocks stay bad, or the slot cannot be looked at; in words.
pub fn repair(handover: &Handover, scrubber: &Scrubber, alive: &mut dyn FnMut()) -> Result<String, String> {
    let config = verified_config()?;
    let medium = Medium::of(&handover.disk).map_err(|error| error.to_string())?;
    let slots = slots::look(&medium, handover, &config)?;
    let Some(slot) = slots.get(Which::Other) else {
        return Err(slots.unjudged.first().map_or_else(
            || "there is no other slot".to_owned(),
            |slot| format!("no source: {}", slot.words),
        ));
    };
    let root_hash = &slot.manifest.verity.root_hash;
    let findings: Vec<Finding> = scrubber
        .slot(root_hash, |known| {
            known.bad.iter().map(BadBlock::finding).collect()
        })
        .unwrap_or_default();
    let mut target = Target::of(handover, slot)?;
    let _alone = scrubber.hold_disk();
    let outcome = mend_slot(
        &medium,
        slot,
        slots.get(Which::Running),
        &findings,
        &mut target,
        alive,
    );
    scrubber.wrote();
    scrubber.slot(root_hash, |known| enter(known, slot, &outcome));
    if outcome.left.is_empty() {
        scrubber.tell(root_hash);
    }
    // No pass may be on its way that would.
    scrubber.save(&mut Console::open());
    told(slot, &outcome)
}

/// The configuration, if it is a file of the file system that this very program was executed from: what is mounted over
/// it in a name space of somebody's own has other release keys.
fn verified_config() -> Result<DriftConfig, String> {
    let path = paths::ROOT_DRIFT;
    let failed = |error: io::Error| format!("{path}: {error}");
    let file = File::open(path).map_err(failed)?;
    let found = device_of(&file.metadata().map_err(failed)?);
    let own = device_of(&std::fs::metadata(proc_path("self/exe")).map_err(failed)?);
    if found != own {
        return Err(format!(
            "{path}: expected it on bennud's own device {own}, found it on {found}"
        ));
    }
    documents::read(&descriptor_path(&file)).map_err(|error| error.to_string())
}

fn mend_slot(
    medium: &Medium,
    slot: &Slot,
    running: Option<&Slot>,
    findings: &[Finding],
    target: &mut dyn WriteBlock,
    alive: &mut dyn FnMut(),
) -> Outcome {
    let (data, hash) = (slot.root.of_disk(medium), slot.tree.of_disk(medium));
    let active = running.map(|running| {
        let parts = (running.root.of_disk(medium), running.tree.of_disk(medium));
        (running, parts)
    });
    let from_active = active.as_ref().and_then(|(running, (data, hash))| {
        let name = format!("slot {}", running.manifest.version);
        SlotSource::new(name, data, hash, &running.params, &slot.params)
    });
    let from_itself = SlotSource::new(
        "another place of it".to_owned(),
        &data,
        &hash,
        &slot.params,
        &slot.params,
    );
    let (mut from_active, mut from_itself) = (from_active, from_itself);
    let mut sources: Vec<&mut dyn BlockSource> = Vec::new();
    sources.extend(from_active.as_mut().map(|source| source as &mut dyn BlockSource));
    sources.extend(from_itself.as_mut().map(|source| source as &mut dyn BlockSource));
    let mut scrub = Scrub::new(&data, &hash, &slot.params, slot.root_hash());
    let mut outcome = mend(&mut scrub, findings, &mut sources, target, alive);
    outcome.left.sort_by_key(|(place, _)| *place);
    outcome
}

/// The two partitions, open for writing.
struct Target {
    root: Medium,
    tree: Medium,
}

impl Target {
    fn of(handover: &Handover, slot: &Slot) -> Result<Self, String> {
        let disk = medium::find(&handover.disk).map_err(|error| error.to_string())?;
        let all = Sysfs::default()
            .partitions_of(&disk.name)
            .map_err(|e| e.to_string())?;
        let open = |place| {
            let partition = partition(&all, place)?;
            Medium::alone(partition).map_err(|error| error.to_string())
        };
        Ok(Self {
            root: open(slot.root)?,
            tree: open(slot.tree)?,
        })
    }
}

/// The kernel's partition, which has to be where the table says.
fn partition(all: &[BlockDevice], place: PartitionPlace) -> Result<&BlockDevice, String> {
    let found = all.iter().find(|device| {
        device.partition.as_ref().is_some_and(|there| {
            there.number == place.number
                && there.start_sectors512.checked_mul(512) == Some(place.start)
                && device.size_sectors512.checked_mul(512) == Some(place.bytes)
        })
    });
    found.ok_or_else(|| {
        format!(
            "expected partition {} at byte {} with {} bytes, found none; restart the machine, so that the kernel \
             reads the table again",
            place.number, place.start, place.bytes
        )
    })
}

impl WriteBlock for Target {
    fn write(&mut self, place: Place, offset: u64, block: &[u8]) -> io::Result<()> {
        match place {
            Place::Data { .. } => self.root.write(block, offset),
            Place::Tree { .. } => self.tree.write(block, offset),
        }
    }
}

fn left_words(left: &Left) -> String {
    match left {
        Left::NoSource => "no source has its bytes".to_owned(),
        Left::BelowBad => "the tree block above it is bad".to_owned(),
        Left::Write(error) => format!("cannot be written: {error}"),
        Left::ReadBack => "was written and does not read back".to_owned(),
    }
}

/// What is bad from now on.
fn enter(known: &mut SlotReport, slot: &Slot, outcome: &Outcome) {
    let of = |(place, left): &(Place, Left)| {
        let finding = Finding {
            place: *place,
            fault: Fault::Wrong,
        };
        let mut bad = BadBlock::of(slot, &finding);
        if let Some(before) = known.bad.iter().find(|before| before.is_at(&bad)) {
            bad = before.clone();
        }
        bad.left = Some(left_words(left));
        bad
    };
    let bad: Vec<BadBlock> = outcome.left.iter().take(MOST_BAD).map(of).collect();
    known.mended = known.mended.saturating_add(outcome.mended.len() as u64);
    known.more_bad = outcome.left.len().saturating_sub(MOST_BAD) as u64;
    known.unjudged = if bad.is_empty() { 0 } else { known.unjudged };
    known.unrepairable = !bad.is_empty();
    known.bad = bad;
}

fn named(places: impl Iterator<Item = String>, count: usize) -> String {
    let mut words: Vec<String> = places.take(NAMED).collect();
    if count > NAMED {
        words.push(format!("{} more", count - NAMED));
    }
    words.join(", ")
}

fn place_words(slot: &Slot, place: Place) -> String {
    let finding = Finding {
        place,
        fault: Fault::Wrong,
    };
    crate::scrub::words::place(&BadBlock::of(slot, &finding))
}

fn told(slot: &Slot, outcome: &Outcome) -> Result<String, String> {
    let version = &slot.manifest.version;
    let mended = outcome.mended.iter().map(|(place, origin)| {
        let from = match origin {
            Origin::Children => "recomputed".to_owned(),
            Origin::Source(name) => format!("from {name}"),
        };
        format!("{} {from}", place_words(slot, *place))
    });
    let done = outcome.mended.len();
    let mut words = format!("slot {version}: {done} blocks mended and read back");
    if done > 0 {
        words.push_str(&format!(": {}", named(mended, done)));
    }
    let bad = outcome.left.len();
    if bad == 0 {
        return if done > 0 {
            Ok(words)
        } else {
            Err(format!("slot {version}: no block is bad any more"))
        };
    }
    let left = outcome
        .left
        .iter()
        .map(|(place, left)| format!("{}: {}", place_words(slot, *place), left_words(left)));
    Err(format!(
        "slot {version} is unrepairable: {bad} blocks stay bad: {}; {words}",
        named(left, bad)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_linux::block::{DeviceNumber, Partition};

    fn device(name: &str, number: u32, start: u64, sectors: u64) -> BlockDevice {
        BlockDevice {
            name: name.to_owned(),
            number: DeviceNumber {
                major: 254,
                minor: number,
            },
            size_sectors512: sectors,
            read_only: false,
            is_virtual: false,
            partition: Some(Partition {
                number,
                start_sectors512: start,
                disk: "vda".to_owned(),
            }),
        }
    }

    #[test]
    fn only_a_partition_that_the_kernel_has_where_the_table_says_is_written() {
        let all = [device("vda1", 1, 2048, 4096), device("vda2", 2, 6144, 8192)];
        let place = PartitionPlace {
            number: 2,
            start: 6144 * 512,
            bytes: 8192 * 512,
        };
        assert_eq!(partition(&all, place).unwrap().name, "vda2", "control");
        for moved in [
            PartitionPlace { number: 1, ..place },
            PartitionPlace {
                start: place.start + 512,
                ..place
            },
            PartitionPlace {
                bytes: place.bytes - 512,
                ..place
            },
        ] {
            let refused = partition(&all, moved).unwrap_err();
            assert!(refused.contains("restart the machine"), "{refused}");
        }
    }

    #[test]
    fn without_findings_or_with_many_the_sentence_stays_short() {
        let many: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        assert_eq!(named(many.clone().into_iter(), 100), "0, 1, 2, 3, 96 more");
        assert_eq!(named(many.into_iter().take(4), 4), "0, 1, 2, 3");
    }
}
