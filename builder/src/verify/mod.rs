//! Verification of a whole disk image with public keys only, in the order of a boot: partition table, boot
//! programs, then for each slot names, UKI, manifest, measurements, policy, hash tree, root.
//!
//! Called by `bennu verify`. A refusal does not end it, so that everything that is wrong is listed; what is
//! compared after a refused manifest is compared with unproven values and can only add refusals. What cannot be
//! decided (a medium that fails) ends it with [`Undecided`].

mod esp;
mod names;
mod refusal;
mod report;
mod root;
mod slot;
mod tpm;

pub use refusal::Refusal;
pub use report::{Finding, Report, Section};

use crate::image::{Contradiction, DiskImage, OpenError, ReadFailed, SlotPartitions};
use crate::progress::Progress;
use crate::steps::keys::PublicKeys;
use bennu_disk::gpt::Health;
use bennu_formats::names::EMPTY_SLOT_LABEL;
use bennu_verity::VerityError;
use esp::BootEntry;
use std::path::Path;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// No image.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The medium.
    #[error("{0}")]
    Read(#[from] ReadFailed),
    /// Data or tree could not be read.
    #[error("{0}")]
    Verity(VerityError),
}

/// Why a check against image and version is left out.
const NO_IDENTITY: &str = "neither manifest, UKI nor label names image and version";

/// Whom to believe.
pub struct Trust<'a> {
    /// Keys.
    pub keys: &'a PublicKeys,
    /// How many different release keys must have signed.
    pub release_threshold: u32,
}

/// Verifies the image at `path`.
///
/// # Errors
/// It is no image, or could not be read.
pub fn verify(path: &Path, trust: &Trust<'_>, progress: &Progress) -> Result<Report, Undecided> {
    let mut disk = Section::new(None, "disk".to_owned());
    let image = match DiskImage::open(path)? {
        Ok(image) => image,
        Err(Contradiction(error)) => {
            disk.record("partition table", Err(Refusal::Table(error)));
            return Ok(Report { sections: vec![disk] });
        }
    };
    partition_table(&image, &mut disk);
    let mut entries = esp::check(&image, trust, &mut disk)?;
    let slots = image.slots();
    let paired = pair(&slots, &mut entries);
    if !slots.iter().any(|slot| !is_empty(slot)) {
        disk.record("slots", Err(Refusal::NoSlot));
    }
    for entry in entries {
        disk.record("boot entry", Err(entry.stray()));
    }
    let mut sections = vec![disk];
    for (slot, entry) in slots.iter().zip(paired) {
        sections.push(slot::check(&image, slot, entry, trust, progress)?);
    }
    Ok(Report { sections })
}

fn partition_table(image: &DiskImage, disk: &mut Section) {
    let seen = format!("{} partitions, no GUID twice", image.table().partitions().len());
    disk.add(
        "partition table",
        match image.health() {
            Health::Good => Finding::Good(format!("{seen}, both copies good")),
            Health::PrimaryTorn(error) => {
                Finding::Remark(format!("{seen}; backup taken, primary torn: {error}"))
            }
            Health::BackupTorn(error) => {
                Finding::Remark(format!("{seen}; primary taken, backup torn: {error}"))
            }
            Health::CopiesDiffer => Finding::Remark(format!("{seen}; the copies differ, primary taken")),
        },
    );
}

/// Whether nothing is installed in a slot: none of its partitions is labelled otherwise.
fn is_empty(slot: &SlotPartitions<'_>) -> bool {
    [slot.root, slot.verity, slot.sig]
        .iter()
        .flatten()
        .all(|p| p.label.is(EMPTY_SLOT_LABEL))
}

/// Takes the boot entry of each slot out of `entries`: by the root hash that it names, as at boot; for the slots
/// left over by version, so that a damaged one is reported where it belongs.
fn pair(slots: &[SlotPartitions<'_>], entries: &mut Vec<BootEntry>) -> Vec<Option<BootEntry>> {
    let mut take = |wanted: &dyn Fn(&BootEntry) -> bool| {
        let at = entries.iter().position(wanted)?;
        Some(entries.remove(at))
    };
    let mut paired: Vec<Option<BootEntry>> = slots
        .iter()
        .map(|slot| {
            let root = slot.root?.unique_guid;
            take(&|entry| entry.root_guid() == Some(root))
        })
        .collect();
    for (slot, found) in slots.iter().zip(&mut paired) {
        let label = |p: &bennu_disk::gpt::Partition| p.label.to_string();
        if let (None, Some(label)) = (&found, slot.root.or(slot.sig).map(label)) {
            *found = take(&|entry| entry.slot_label().as_deref() == Some(label.as_str()));
        }
    }
    paired
}
