//! What is on a disk image, as it says of itself. Nothing is verified: signatures are named, not checked.
//!
//! Called by `bennu inspect`. Parts that cannot be read are shown with the reason, so that a damaged image can
//! still be looked at; everything read is bounded.

mod text;

use crate::image::{
    Contradiction, DiskImage, Esp, EspFile, OpenError, ReadFailed, RootTree, SlotPartitions, UkiFacts,
};
use crate::steps::os_release;
use bennu_disk::gpt::{Attributes, Health, Partition};
use bennu_formats::decode::Document as _;
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::manifest::{PredictedPcrs, SlotManifest};
use bennu_formats::names::{EMPTY_SLOT_LABEL, UkiFileName};
use bennu_formats::verity_sig::VeritySig;
use bennu_formats::{guids, paths};
use serde::Serialize;
use std::path::Path;

/// Most boot entries whose UKI is taken apart.
const MAX_ENTRIES: usize = 16;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No image.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The table contradicts itself, so nothing can be found by it.
    #[error("disk image: {0}; `bennu verify` says what that means")]
    Table(bennu_disk::gpt::TableError),
    /// The medium.
    #[error("{0}")]
    Read(#[from] ReadFailed),
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Schema number; 1.
    schema: u32,
    image: String,
    /// Always false: what follows is unverified.
    verified: bool,
    bytes: u64,
    disk_guid: String,
    table_copies: String,
    partitions: Vec<PartitionView>,
    esp: EspView,
    slots: Vec<SlotView>,
}

#[derive(Debug, Serialize)]
struct PartitionView {
    number: u32,
    label: String,
    kind: &'static str,
    guid: String,
    type_guid: String,
    offset: u64,
    bytes: u64,
    read_only: bool,
    no_auto: bool,
}

#[derive(Debug, Default, Serialize)]
struct EspView {
    error: Option<String>,
    files: Vec<FileView>,
    entries: Vec<EntryView>,
}

#[derive(Debug, Serialize)]
struct FileView {
    path: String,
    bytes: u32,
}

#[derive(Debug, Serialize)]
struct EntryView {
    path: String,
    version: Option<String>,
    tries_left: Option<u32>,
    tries_done: Option<u32>,
    uki: Option<UkiView>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct UkiView {
    bytes: u64,
    sha256: Sha256Digest,
    title: Option<String>,
    kernel: Option<String>,
    stub_version: String,
    cmdline: Option<String>,
    root_hash: Option<RootHash>,
    sections: Vec<SectionView>,
    pcrs: Option<PredictedPcrs>,
    pcrs_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct SectionView {
    name: String,
    bytes: u32,
}

#[derive(Debug, Serialize)]
struct SlotView {
    slot: String,
    label: String,
    empty: bool,
    manifest: Option<SlotManifest>,
    /// Key ids that the signatures claim.
    claimed_signers: Vec<String>,
    manifest_error: Option<String>,
    root: Option<RootView>,
    root_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct RootView {
    title: Option<String>,
    image_id: Option<String>,
    image_version: Option<String>,
    files: u64,
    directories: u64,
    symlinks: u64,
    others: u64,
    file_bytes: u64,
    largest_directories: Vec<DirectoryView>,
}

#[derive(Debug, Serialize)]
struct DirectoryView {
    path: String,
    bytes: u64,
}

/// Looks at the image at `path`.
///
/// # Errors
/// It is no image, or the medium fails.
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let image = match DiskImage::open(path)? {
        Ok(image) => image,
        Err(Contradiction(error)) => return Err(InspectError::Table(error)),
    };
    let table = image.table();
    let slots: Result<Vec<SlotView>, ReadFailed> = image.slots().iter().map(|s| slot(&image, s)).collect();
    Ok(Inspection {
        schema: 1,
        image: path.display().to_string(),
        verified: false,
        bytes: table.disk_sectors().saturating_mul(bennu_disk::SECTOR_BYTES),
        disk_guid: table.disk_guid().to_string(),
        table_copies: match image.health() {
            Health::Good => "both good".to_owned(),
            Health::PrimaryTorn(error) => format!("primary torn: {error}"),
            Health::BackupTorn(error) => format!("backup torn: {error}"),
            Health::CopiesDiffer => "they differ".to_owned(),
        },
        partitions: table.partitions().iter().map(partition).collect(),
        esp: esp(&image)?,
        slots: slots?,
    })
}

fn partition(partition: &Partition) -> PartitionView {
    PartitionView {
        number: partition.number,
        label: partition.label.to_string(),
        kind: kind(*partition.type_guid.as_bytes()),
        guid: partition.unique_guid.to_string(),
        type_guid: partition.type_guid.to_string(),
        offset: partition.byte_offset(),
        bytes: partition.byte_len(),
        read_only: partition.attributes.has(Attributes::READ_ONLY),
        no_auto: partition.attributes.has(Attributes::NO_AUTO),
    }
}

fn kind(type_guid: [u8; 16]) -> &'static str {
    match type_guid {
        guids::TYPE_ESP => "esp",
        guids::TYPE_ROOT_X86_64 => "root",
        guids::TYPE_ROOT_VERITY_X86_64 => "root-verity",
        guids::TYPE_ROOT_VERITY_SIG_X86_64 => "root-verity-sig",
        guids::TYPE_LINUX_GENERIC => "linux-generic",
        _ => "other",
    }
}

fn esp(image: &DiskImage) -> Result<EspView, ReadFailed> {
    let without = |error: String| EspView {
        error: Some(error),
        ..EspView::default()
    };
    let partitions = image.of_type(guids::TYPE_ESP);
    let Some(partition) = partitions.first() else {
        return Ok(without("there is no EFI system partition".to_owned()));
    };
    let mut esp = match Esp::open(image, partition)? {
        Ok(esp) => esp,
        Err(error) => return Ok(without(error.to_string())),
    };
    let files = match esp.all_files()? {
        Ok(files) => files,
        Err(error) => return Ok(without(error.to_string())),
    };
    let in_directory = format!("{}/", paths::ESP_UKI_DIRECTORY).to_ascii_lowercase();
    let is_entry = |file: &&EspFile| {
        let path = file.path.to_ascii_lowercase();
        path.starts_with(&in_directory) && path.ends_with(".efi")
    };
    let entries: Result<Vec<EntryView>, ReadFailed> = files
        .iter()
        .filter(is_entry)
        .take(MAX_ENTRIES)
        .map(|file| entry(&mut esp, file))
        .collect();
    Ok(EspView {
        error: None,
        entries: entries?,
        files: files
            .into_iter()
            .map(|f| FileView {
                path: f.path,
                bytes: f.bytes,
            })
            .collect(),
    })
}

fn entry(esp: &mut Esp<'_>, file: &EspFile) -> Result<EntryView, ReadFailed> {
    let name: Option<UkiFileName> = file.name.parse().ok();
    let counter = name.as_ref().and_then(|n| n.counter);
    let read = match esp.read(&file.path)? {
        Ok(bytes) => UkiFacts::of(&bytes).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (uki, error) = match read {
        Ok(facts) => (Some(uki(facts)), None),
        Err(error) => (None, Some(error)),
    };
    Ok(EntryView {
        path: file.path.clone(),
        version: name.map(|n| n.version.to_string()),
        tries_left: counter.map(|c| c.tries_left),
        tries_done: counter.map(|c| c.tries_done),
        uki,
        error,
    })
}

fn uki(facts: UkiFacts) -> UkiView {
    let (pcrs, pcrs_error) = match facts.pcrs {
        Ok(pcrs) => (Some(pcrs), None),
        Err(error) => (None, Some(error.to_string())),
    };
    UkiView {
        bytes: facts.bytes,
        sha256: facts.sha256,
        title: title(&facts.os_release),
        kernel: facts.uname,
        stub_version: facts.stub_version,
        cmdline: facts.cmdline,
        root_hash: facts.root_hash.ok(),
        sections: facts
            .sections
            .into_iter()
            .map(|(name, bytes)| SectionView { name, bytes })
            .collect(),
        pcrs,
        pcrs_error,
    }
}

fn title(os_release: &str) -> Option<String> {
    os_release::value(os_release, "PRETTY_NAME").map(|name| name.trim_matches('"').to_owned())
}

fn slot(image: &DiskImage, slot: &SlotPartitions<'_>) -> Result<SlotView, ReadFailed> {
    let label = slot
        .root
        .or(slot.sig)
        .map(|p| p.label.to_string())
        .unwrap_or_default();
    let mut view = SlotView {
        slot: slot.name.clone(),
        empty: label == EMPTY_SLOT_LABEL,
        label,
        manifest: None,
        claimed_signers: Vec::new(),
        manifest_error: None,
        root: None,
        root_error: None,
    };
    if view.empty {
        return Ok(view);
    }
    match slot.sig {
        None => view.manifest_error = Some("there is no root-verity-sig partition".to_owned()),
        Some(partition) => match VeritySig::decode(&image.read_sig(partition)?) {
            Err(error) => view.manifest_error = Some(error.to_string()),
            Ok(sig) => {
                let envelope = sig.bennu.manifest;
                view.claimed_signers = envelope.signatures.iter().map(|s| s.keyid.to_string()).collect();
                match SlotManifest::decode(&envelope.payload) {
                    Ok(manifest) => view.manifest = Some(manifest),
                    Err(error) => view.manifest_error = Some(error.to_string()),
                }
            }
        },
    }
    if let Some(partition) = slot.root {
        match root(image, partition)? {
            Ok(root) => view.root = Some(root),
            Err(error) => view.root_error = Some(error),
        }
    }
    Ok(view)
}

fn root(image: &DiskImage, partition: &Partition) -> Result<Result<RootView, String>, ReadFailed> {
    let tree = match RootTree::open(image, partition, partition.byte_len())? {
        Ok(tree) => tree,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let summary = match tree.summary()? {
        Ok(summary) => summary,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let os_release = tree.os_release()?.unwrap_or_default();
    let value = |key| os_release::value(&os_release, key).map(str::to_owned);
    let directory = |(path, bytes)| DirectoryView { path, bytes };
    Ok(Ok(RootView {
        title: title(&os_release),
        image_id: value("IMAGE_ID"),
        image_version: value("IMAGE_VERSION"),
        files: summary.files,
        directories: summary.directories,
        symlinks: summary.symlinks,
        others: summary.others,
        file_bytes: summary.bytes,
        largest_directories: summary.largest.into_iter().map(directory).collect(),
    }))
}
