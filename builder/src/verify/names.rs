//! Labels and GUIDs of a slot's partitions and the name of its boot entry: all follow from image id, version and
//! root hash (`docs/spec/disk-layout.md`).

use super::esp::BootEntry;
use super::{Refusal, Section};
use bennu_disk::gpt::Partition;
use bennu_formats::RootHash;
use bennu_formats::names::EMPTY_SLOT_LABEL;
use uuid::Uuid;

/// The partitions of a slot that has all of them.
#[derive(Clone, Copy)]
pub struct Partitions<'a> {
    /// Root.
    pub root: &'a Partition,
    /// Hash tree.
    pub verity: &'a Partition,
    /// Manifest.
    pub sig: &'a Partition,
}

impl Partitions<'_> {
    fn all(&self) -> [&Partition; 3] {
        [self.root, self.verity, self.sig]
    }

    /// The root hash that the GUIDs of root and root-verity partition make up (UAPI.2).
    pub fn root_hash(&self) -> RootHash {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(self.root.unique_guid.as_bytes());
        bytes[16..].copy_from_slice(self.verity.unique_guid.as_bytes());
        RootHash(bytes)
    }
}

/// Checks the labels against `expected`.
pub fn labels(partitions: &Partitions<'_>, expected: &str, section: &mut Section) {
    let wrong = partitions
        .all()
        .into_iter()
        .filter(|p| !p.label.is(expected))
        .map(|p| Refusal::Label {
            number: p.number,
            expected: expected.to_owned(),
            found: p.label.to_string(),
        });
    section.record_all("partition labels", expected, wrong.collect());
}

/// A slot that no boot entry starts and that is labelled empty in part.
pub fn half_empty(partitions: &Partitions<'_>) -> bool {
    partitions.all().iter().any(|p| p.label.is(EMPTY_SLOT_LABEL))
}

/// Checks the GUIDs against `root_hash`.
pub fn guids(partitions: &Partitions<'_>, root_hash: &RootHash, section: &mut Section) {
    let expected = [
        root_hash.data_partition_uuid(),
        root_hash.verity_partition_uuid(),
        root_hash.verity_sig_partition_uuid(),
    ];
    let wrong = partitions
        .all()
        .into_iter()
        .zip(expected)
        .filter_map(|(p, guid)| {
            let expected = Uuid::from_bytes(guid);
            let (number, found) = (p.number, p.unique_guid);
            (found != expected).then_some(Refusal::Guid {
                number,
                expected,
                found,
            })
        });
    section.record_all("partition GUIDs", "as the root hash demands", wrong.collect());
}

/// Checks the boot entry's file name against `label`.
pub fn boot_entry(entry: &BootEntry, label: &str) -> Result<String, Refusal> {
    if entry.slot_label().as_deref() == Some(label) {
        return Ok(entry.path.clone());
    }
    Err(Refusal::UkiName {
        expected: label.to_owned(),
        found: entry.file_name.clone(),
    })
}
