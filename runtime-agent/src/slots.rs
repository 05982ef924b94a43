//! The slots of the boot disk with manifests that the release keys signed: the one that runs and the other one.
//!
//! Read: the partition table and each root-verity-sig partition, from the medium. A partition labelled `_empty` is no
//! slot. What does not verify is no slot either, and is told with its partition. Nothing is written.

use crate::medium::Medium;
use bennu_disk::gpt;
use bennu_formats::RootHash;
use bennu_formats::drift::DriftConfig;
use bennu_formats::guids::TYPE_ROOT_VERITY_SIG_X86_64;
use bennu_formats::handover::Handover;
use bennu_formats::manifest::{Architecture, SlotManifest};
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::{self, VeritySig};
use bennu_policy::verify::{ReleaseTrust, SlotFacts, verify_slot};
use bennu_verity::{ReadAt as _, Salt, Section, VerityParams};
use std::fs::File;
use uuid::Uuid;

/// Label of a slot's partitions without a release.
const EMPTY: &str = "_empty";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The slot that the machine runs from.
    Running,
    /// The one that does not run.
    Other,
}

impl Which {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Running => "runs",
            Self::Other => "does not run",
        }
    }
}

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number in the table.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Place {
    fn of(partition: &gpt::Partition) -> Self {
        Self {
            number: partition.number,
            start: partition.byte_offset(),
            bytes: partition.byte_len(),
        }
    }

    /// Its bytes on the disk.
    pub fn of_disk(self, disk: &Medium) -> Section<&Medium> {
        Section::new(disk, self.start, self.bytes)
    }
}

/// A slot with a verified manifest.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Whether it runs.
    pub which: Which,
    /// What it is.
    pub manifest: SlotManifest,
    /// Its dm-verity device.
    pub params: VerityParams,
    /// Root partition.
    pub root: Place,
    /// Root-verity partition.
    pub tree: Place,
}

impl Slot {
    /// The trusted digest of all of it.
    pub fn root_hash(&self) -> bennu_verity::RootHash {
        bennu_verity::RootHash(*self.manifest.verity.root_hash.as_bytes())
    }
}

/// A slot that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    /// Whether it runs.
    pub which: Which,
    /// Its root-verity-sig partition, and why.
    pub words: String,
}

/// Every slot of the disk.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    /// With a verified manifest.
    pub verified: Vec<Slot>,
    /// Without one.
    pub unjudged: Vec<Unjudged>,
}

impl Slots {
    /// One of them.
    pub fn get(&self, which: Which) -> Option<&Slot> {
        self.verified.iter().find(|slot| slot.which == which)
    }
}

/// Looks at the boot disk, which is open as `medium` as well.
///
/// # Errors
/// The disk or its table cannot be read; in words.
pub fn look(medium: &Medium, handover: &Handover, config: &DriftConfig) -> Result<Slots, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", handover.disk.path);
    let mut file = File::open(&handover.disk.path).map_err(|e| failed(&e))?;
    let (table, _health) = gpt::open(&mut file).map_err(|e| failed(&e))?;
    let running = format!("{}_{}", handover.image_id, handover.version);
    let mut slots = Slots::default();
    for partition in table.partitions() {
        let is_sig = partition.type_guid.into_bytes() == TYPE_ROOT_VERITY_SIG_X86_64;
        if !is_sig || partition.label.is(EMPTY) {
            continue;
        }
        let which = if partition.label.is(&running) {
            Which::Running
        } else {
            Which::Other
        };
        match slot(&table, partition, medium, handover, config) {
            Ok(slot) => slots.verified.push(slot),
            Err(why) => slots.unjudged.push(Unjudged {
                which,
                words: format!("manifest in partition {}: {why}", partition.number),
            }),
        }
    }
    Ok(slots)
}

fn slot(
    table: &gpt::Table,
    partition: &gpt::Partition,
    medium: &Medium,
    handover: &Handover,
    config: &DriftConfig,
) -> Result<Slot, String> {
    let length = (verity_sig::PARTITION_BYTES as u64).min(partition.byte_len());
    let mut bytes = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
    medium
        .read_exact_at(&mut bytes, partition.byte_offset())
        .map_err(|error| format!("cannot be read: {error}"))?;
    let root_hash = VeritySig::decode(&bytes).map_err(|e| e.to_string())?.root_hash;
    let (root, tree) = partitions_of(table, root_hash)?;
    let trust = ReleaseTrust {
        keys: &config.release_keys,
        threshold: config.release_threshold,
        image_id: &handover.image_id,
        architecture: Architecture::of_this_program().ok_or("an architecture that is not ours")?,
    };
    let facts = SlotFacts {
        root_hash,
        root_partition: Bytes(root.bytes),
        verity_partition: Bytes(tree.bytes),
    };
    let verified = verify_slot(&bytes, &trust, &facts).map_err(|refusal| refusal.to_string())?;
    let manifest = verified.get().clone();
    let salt = Salt::new(manifest.verity.salt.clone()).map_err(|e| e.to_string())?;
    let params =
        VerityParams::new(manifest.verity.data_blocks.0, salt, [0; 16]).map_err(|e| e.to_string())?;
    let which = if root_hash == handover.root_hash {
        Which::Running
    } else {
        Which::Other
    };
    Ok(Slot {
        which,
        manifest,
        params,
        root,
        tree,
    })
}

/// The two that a root hash names.
fn partitions_of(table: &gpt::Table, root_hash: RootHash) -> Result<(Place, Place), String> {
    let find = |guid| table.by_unique_guid(Uuid::from_bytes(guid)).map(Place::of);
    let root = find(root_hash.data_partition_uuid());
    let tree = find(root_hash.verity_partition_uuid());
    root.zip(tree)
        .ok_or_else(|| format!("root hash {root_hash} has no partitions"))
}
