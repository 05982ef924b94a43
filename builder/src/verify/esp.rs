//! The EFI system partition: boot programs and boot entries, with their signatures.

use super::{Finding, Refusal, Section, Trust, Undecided};
use crate::image::{DiskImage, Esp, EspFile, UkiFacts};
use bennu_formats::names::{UkiFileName, slot_label};
use bennu_formats::{guids, paths};
use bennu_uki::authenticode;
use uuid::Uuid;

/// What the firmware starts, and what that starts.
const BOOT_PROGRAMS: [(&str, &str); 2] = [
    ("fallback program", "EFI/BOOT/BOOTX64.EFI"),
    ("boot loader", "EFI/systemd/systemd-bootx64.efi"),
];
/// Most boot entries that are looked at; a disk of ours has three at most.
const MAX_ENTRIES: usize = 16;

/// A UKI on the ESP.
pub struct BootEntry {
    /// Path on the ESP.
    pub path: String,
    /// File name.
    pub file_name: String,
    /// The name, where it is one of ours.
    pub name: Option<UkiFileName>,
    /// What is in the file, if it could be read.
    pub content: Result<Content, Refusal>,
}

/// A UKI that was read.
pub struct Content {
    /// Who signed it.
    pub signature: Result<String, Refusal>,
    /// The UKI taken apart; `None` where it is no PE image, which `signature` says as well.
    pub facts: Option<UkiFacts>,
}

impl BootEntry {
    /// The UKI taken apart.
    pub fn facts(&self) -> Option<&UkiFacts> {
        self.content.as_ref().ok()?.facts.as_ref()
    }

    /// GUID of the root partition that this entry starts.
    pub fn root_guid(&self) -> Option<Uuid> {
        let root_hash = self.facts()?.root_hash.as_ref().ok()?;
        Some(Uuid::from_bytes(root_hash.data_partition_uuid()))
    }

    /// Label of the slot that goes with the file name.
    pub fn slot_label(&self) -> Option<String> {
        self.name.as_ref().map(|n| slot_label(&n.image_id, &n.version))
    }

    /// The refusal of an entry that belongs to no slot.
    pub fn stray(self) -> Refusal {
        let wanted = match self.root_guid() {
            Some(guid) => format!("root partition {guid}"),
            None => "its root hash".to_owned(),
        };
        Refusal::StrayEntry {
            path: self.path,
            wanted,
        }
    }
}

/// Checks the boot programs and reads the boot entries.
///
/// # Errors
/// The medium fails.
pub fn check(image: &DiskImage, trust: &Trust<'_>, disk: &mut Section) -> Result<Vec<BootEntry>, Undecided> {
    let partitions = image.of_type(guids::TYPE_ESP);
    let [partition] = partitions.as_slice() else {
        disk.record("boot partition", Err(Refusal::EspCount(partitions.len())));
        return Ok(Vec::new());
    };
    let mut esp = match Esp::open(image, partition)? {
        Ok(esp) => esp,
        Err(error) => {
            disk.record("boot partition", Err(Refusal::Esp(error)));
            return Ok(Vec::new());
        }
    };
    disk.add(
        "boot partition",
        Finding::Good(format!("partition {}, FAT32", partition.number)),
    );
    for (name, path) in BOOT_PROGRAMS {
        let result = boot_program(&mut esp, path, trust)?;
        disk.record(name, result);
    }
    let files = match esp.files(paths::ESP_UKI_DIRECTORY)? {
        Ok(files) => files,
        Err(source) => {
            let path = paths::ESP_UKI_DIRECTORY.to_owned();
            disk.record("boot entries", Err(Refusal::EspFile { path, source }));
            return Ok(Vec::new());
        }
    };
    let files: Vec<EspFile> = files
        .into_iter()
        .filter(|f| f.name.to_ascii_lowercase().ends_with(".efi"))
        .collect();
    if files.len() > MAX_ENTRIES {
        let refusal = Refusal::TooManyEntries {
            limit: MAX_ENTRIES,
            found: files.len(),
        };
        disk.record("boot entries", Err(refusal));
    }
    files
        .iter()
        .take(MAX_ENTRIES)
        .map(|file| entry(&mut esp, file, trust))
        .collect()
}

fn boot_program(
    esp: &mut Esp<'_>,
    path: &'static str,
    trust: &Trust<'_>,
) -> Result<Result<String, Refusal>, Undecided> {
    let bytes = match esp.read(path)? {
        Ok(bytes) => bytes,
        Err(source) => {
            return Ok(Err(Refusal::EspFile {
                path: path.to_owned(),
                source,
            }));
        }
    };
    let signed = authenticode::verify(&bytes, std::slice::from_ref(&trust.keys.db));
    Ok(match signed {
        Ok(by) => Ok(format!("{path}, signed by {}", by.subject())),
        Err(source) => Err(Refusal::Loader { path, source }),
    })
}

fn entry(esp: &mut Esp<'_>, file: &EspFile, trust: &Trust<'_>) -> Result<BootEntry, Undecided> {
    let path = file.path.clone();
    let content = match esp.read(&path)? {
        Err(source) => Err(Refusal::EspFile {
            path: path.clone(),
            source,
        }),
        Ok(bytes) => Ok(Content {
            signature: authenticode::verify(&bytes, std::slice::from_ref(&trust.keys.db))
                .map(|by| format!("signed by {}", by.subject()))
                .map_err(|source| Refusal::UkiSignature {
                    path: path.clone(),
                    source,
                }),
            facts: UkiFacts::of(&bytes).ok(),
        }),
    };
    Ok(BootEntry {
        path,
        file_name: file.name.clone(),
        name: file.name.parse().ok(),
        content,
    })
}
