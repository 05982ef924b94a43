//! The disk: releases in slots, the ESP, an empty state partition, the GPT (`docs/spec/disk-layout.md`).

use crate::progress::Progress;
use crate::steps::first_boot;
use crate::steps::release::{self, Release, derived_uuid};
use anyhow::{Context as _, Result, ensure};
use bennu_disk::fat::{self, DosTime, VolumeLabel, VolumeSpec};
use bennu_disk::gpt::{self, Attributes, Label, PartitionSpec, Place, Table};
use bennu_disk::image::SparseImage;
use bennu_formats::names::{BootCounter, EMPTY_SLOT_LABEL, UkiFileName, slot_label};
use bennu_formats::units::Bytes;
use bennu_formats::{guids, paths, verity_sig};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// UKIs that must fit the ESP: two slots and one that is being written.
const UKIS_ON_ESP: u64 = 3;
/// Part of the ESP that is left free besides, for records, sealed secrets and the file system itself.
const ESP_RESERVE_BYTES: u64 = 4 << 20;

/// What to put on a disk.
pub struct DiskPlan {
    releases: Vec<(Release, PathBuf)>,
    /// Content of `/bennu/first-boot.json`.
    first_boot: Option<Vec<u8>>,
}

/// A partition with where its content comes from.
struct Part {
    spec: PartitionSpec,
    content: Option<PathBuf>,
}

impl DiskPlan {
    /// Reads one or two releases of one image.
    ///
    /// # Errors
    /// They do not belong on one disk.
    pub fn new(directories: &[PathBuf]) -> Result<Self> {
        ensure!(
            (1..=2).contains(&directories.len()),
            "disk: expected one or two releases, found {}",
            directories.len()
        );
        let releases = directories
            .iter()
            .map(|d| release::read(d))
            .collect::<Result<Vec<_>>>()?;
        for (release, directory) in &releases {
            let found = release::signatures(directory)?;
            ensure!(
                found >= release.release_threshold as usize,
                "disk: release {}: expected signatures by {} release keys, found {found}; add one with \
                 `bennu sign {} --key release-….key`",
                release.version,
                release.release_threshold,
                directory.display()
            );
        }
        if let [(a, _), (b, _)] = releases.as_slice() {
            ensure!(
                a.image_id == b.image_id,
                "disk: expected two releases of {}, found one of {}",
                a.image_id,
                b.image_id
            );
            ensure!(
                a.version != b.version,
                "disk: expected two versions, found {} twice",
                a.version
            );
            ensure!(
                a.root_hash != b.root_hash,
                "disk: both releases have root hash {}",
                a.root_hash
            );
        }
        Ok(Self {
            releases,
            first_boot: None,
        })
    }

    /// Puts the signed first-boot configuration at `path` on the ESP as well.
    ///
    /// # Errors
    /// It is none, or for another image.
    pub fn with_first_boot(mut self, path: &Path) -> Result<Self> {
        self.first_boot = Some(first_boot::read_signed(path, &self.first().image_id)?);
        Ok(self)
    }

    fn first(&self) -> &Release {
        &self.releases[0].0
    }

    fn largest(&self, what: fn(&Release) -> Bytes) -> u64 {
        self.releases.iter().map(|(r, _)| what(r).0).max().unwrap_or(0)
    }

    /// Writes the disk to `out`. Nothing stands under that name unless all of it was written.
    ///
    /// # Errors
    /// Something does not fit, or writing failed.
    pub fn write(&self, out: &Path, progress: &Progress) -> Result<()> {
        let parent = out
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).with_context(|| format!("disk {}", out.display()))?;
        let scratch = tempfile::Builder::new()
            .prefix(".bennu-disk")
            .tempdir_in(parent)?;
        let partial = scratch.path().join("disk.raw");
        self.write_to(&partial, progress)?;
        std::fs::rename(&partial, out).with_context(|| format!("disk {}", out.display()))
    }

    fn write_to(&self, path: &Path, progress: &Progress) -> Result<()> {
        let parts = self.parts()?;
        let specs: Vec<PartitionSpec> = parts.iter().map(|p| p.spec.clone()).collect();
        let bytes = gpt::required_disk_bytes(&specs)?;
        let table = Table::plan(bytes, derived_uuid("disk", &self.seed()), &specs)?;
        let mut image = SparseImage::create(path, bytes)?;
        for (part, placed) in parts.iter().zip(table.partitions()) {
            let Some(source) = &part.content else { continue };
            let step = progress.bytes(&format!("partition {}", placed.number), placed.byte_len());
            image.copy_file(source, placed.byte_offset(), placed.byte_len(), &mut |done| {
                step.at(done)
            })?;
            step.finish();
        }
        let esp = &table.partitions()[0];
        let volume = self.esp(esp.byte_len())?;
        let step = progress.bytes("esp", esp.byte_len());
        volume.write(image.file_mut(), esp.byte_offset(), &mut |done| step.at(done))?;
        step.finish();
        table.write(image.file_mut())?;
        Ok(image.sync()?)
    }

    /// Everything that follows from what is on the disk, as one name.
    fn seed(&self) -> String {
        let names: Vec<String> = self
            .releases
            .iter()
            .map(|(r, _)| slot_label(&r.image_id, &r.version))
            .collect();
        names.join("+")
    }

    fn parts(&self) -> Result<Vec<Part>> {
        let spec = |type_guid: [u8; 16],
                    guid: Uuid,
                    label: &str,
                    bytes: u64,
                    attributes: u64|
         -> Result<PartitionSpec> {
            Ok(PartitionSpec {
                type_guid: Uuid::from_bytes(type_guid),
                unique_guid: guid,
                label: Label::new(label)?,
                place: Place::Next { bytes },
                attributes: Attributes(attributes),
            })
        };
        let seed = self.seed();
        let esp = spec(
            guids::TYPE_ESP,
            derived_uuid("esp", &seed),
            "esp",
            self.largest(|r| r.esp_bytes),
            guids::ATTRIBUTE_NO_AUTO,
        )?;
        let mut parts = vec![Part {
            spec: esp,
            content: None,
        }];
        let slot = self.largest(|r| r.slot_bytes);
        let tree = bennu_verity::max_tree_bytes_for_data(slot)?.next_multiple_of(1 << 20);
        let sizes = [slot, tree, verity_sig::PARTITION_BYTES as u64];
        let types = [
            guids::TYPE_ROOT_X86_64,
            guids::TYPE_ROOT_VERITY_X86_64,
            guids::TYPE_ROOT_VERITY_SIG_X86_64,
        ];
        let attributes = guids::ATTRIBUTE_READ_ONLY | guids::ATTRIBUTE_NO_AUTO;
        for slot in 0..2 {
            for kind in 0..3 {
                let (guid, label, content) = match self.releases.get(slot) {
                    Some((release, dir)) => {
                        let hash = &release.root_hash;
                        let guids = [
                            hash.data_partition_uuid(),
                            hash.verity_partition_uuid(),
                            hash.verity_sig_partition_uuid(),
                        ];
                        let file = [release::ROOT, release::TREE, release::SIG][kind];
                        let label = slot_label(&release.image_id, &release.version);
                        (Uuid::from_bytes(guids[kind]), label, Some(dir.join(file)))
                    }
                    // Empty slots get GUIDs of their own, so that no two partitions share one.
                    None => (
                        derived_uuid(&format!("empty-{slot}-{kind}"), &seed),
                        EMPTY_SLOT_LABEL.to_owned(),
                        None,
                    ),
                };
                parts.push(Part {
                    spec: spec(types[kind], guid, &label, sizes[kind], attributes)?,
                    content,
                });
            }
        }
        let state = derived_uuid("state", &seed);
        let attributes = guids::ATTRIBUTE_NO_AUTO;
        let spec = spec(
            guids::TYPE_LINUX_GENERIC,
            state,
            "state",
            self.largest(|r| r.state_bytes),
            attributes,
        )?;
        parts.push(Part { spec, content: None });
        Ok(parts)
    }

    fn esp(&self, bytes: u64) -> Result<fat::Plan> {
        let mut entries = Vec::new();
        // Loader and enrolment files come from the newest release.
        let newest = self
            .releases
            .iter()
            .max_by(|(a, _), (b, _)| a.version.cmp(&b.version));
        let (_, dir) = newest.context("disk: no release")?;
        collect(&dir.join(release::ESP), "", &mut entries)?;
        let mut largest_uki = 0;
        for (release, dir) in &self.releases {
            let path = dir.join(release::UKI);
            largest_uki = largest_uki.max(
                std::fs::metadata(&path)
                    .with_context(|| path.display().to_string())?
                    .len(),
            );
            let name = UkiFileName {
                image_id: release.image_id.clone(),
                version: release.version.clone(),
                counter: Some(BootCounter {
                    tries_left: release.tries,
                    tries_done: 0,
                }),
            };
            entries.push(fat::Entry {
                path: format!("{}/{name}", paths::ESP_UKI_DIRECTORY),
                content: fat::Content::File(path),
            });
        }
        // A file in each directory that the agents write to: a directory that they had to make could be lost to a
        // power cut.
        for directory in [paths::ESP_BENNU_DIRECTORY, paths::ESP_SECRETS_DIRECTORY] {
            entries.push(fat::Entry {
                path: format!("{directory}/README.TXT"),
                content: fat::Content::Bytes(ESP_README.to_vec()),
            });
        }
        if let Some(content) = &self.first_boot {
            entries.push(fat::Entry {
                path: paths::ESP_FIRST_BOOT.to_owned(),
                content: fat::Content::Bytes(content.clone()),
            });
        }
        let needed = largest_uki * UKIS_ON_ESP + ESP_RESERVE_BYTES;
        ensure!(
            needed <= bytes,
            "disk: expected an ESP of at least {} ({UKIS_ON_ESP} UKIs of {} and {}), found {}; raise disk.esp_size",
            Bytes(needed),
            Bytes(largest_uki),
            Bytes(ESP_RESERVE_BYTES),
            Bytes(bytes)
        );
        let seed = derived_uuid("volume-id", &self.seed());
        let id = seed.as_bytes();
        let spec = VolumeSpec {
            bytes,
            label: VolumeLabel::new("ESP")?,
            volume_id: u32::from_le_bytes([id[0], id[1], id[2], id[3]]),
            time: DosTime::from_unix_clamped(self.first().epoch),
        };
        Ok(fat::Plan::new(spec, entries)?)
    }
}

const ESP_README: &[u8] = b"Boot record and sealed secrets of this machine. Nothing here is trusted.\r\n";

/// The files below `dir`, in the order of their names.
fn collect(dir: &Path, prefix: &str, entries: &mut Vec<fat::Entry>) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let inside = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if path.is_dir() {
            collect(&path, &inside, entries)?;
        } else {
            entries.push(fat::Entry {
                path: inside,
                content: fat::Content::File(path),
            });
        }
    }
    Ok(())
}
