//! The root file system of a slot: every block against the hash tree, then the name in it.

use super::names::Partitions;
use super::{Finding, NO_IDENTITY, Refusal, Section, Undecided};
use crate::image::{DiskImage, ReadFailed, RootTree};
use crate::progress::Progress;
use crate::steps::os_release;
use bennu_formats::digest::RootHash;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::units::Bytes;
use bennu_formats::{ImageId, ImageVersion};
use bennu_verity::{
    BLOCK_BYTES, ReadSuperblockError, Salt, Section as Window, VerityError, VerityParams, read_superblock,
    verify_device,
};
use std::fs::File;
use std::io::ErrorKind;
use std::num::NonZeroUsize;

/// Root and tree of one slot.
pub struct Root<'a> {
    /// The image.
    pub image: &'a DiskImage,
    /// The slot's partitions.
    pub partitions: Partitions<'a>,
    /// Progress.
    pub progress: &'a Progress,
}

impl Root<'_> {
    /// Checks superblock, tree and data with the manifest's parameters against `root_hash`; whether every block
    /// matches.
    ///
    /// # Errors
    /// The medium fails.
    pub fn check_tree(
        &self,
        manifest: &SlotManifest,
        root_hash: &RootHash,
        section: &mut Section,
    ) -> Result<bool, Undecided> {
        let params = match self.params(manifest) {
            Ok(params) => params,
            Err(refusal) => {
                section.record("hash tree", Err(refusal));
                return Ok(false);
            }
        };
        let verity = self.partitions.verity;
        let hash = Window::new(self.image.file(), verity.byte_offset(), verity.byte_len());
        section.record("verity superblock", superblock(&hash, &params)?);
        let blocks = self.blocks(&hash, &params, root_hash)?;
        let sound = blocks.is_ok();
        section.record("hash tree", blocks);
        Ok(sound)
    }

    /// The manifest's parameters, checked to fit the partitions.
    fn params(&self, manifest: &SlotManifest) -> Result<VerityParams, Refusal> {
        let salt = Salt::new(manifest.verity.salt.clone()).map_err(Refusal::VerityParams)?;
        let params =
            VerityParams::new(manifest.verity.data_blocks.0, salt, [0; 16]).map_err(Refusal::VerityParams)?;
        let Partitions { root, verity, .. } = self.partitions;
        let tree = params.layout().tree_bytes_with_superblock();
        for (what, partition, found) in [
            ("the root file system", root.byte_len(), params.data_bytes()),
            ("the hash tree", verity.byte_len(), tree),
        ] {
            if found > partition {
                return Err(Refusal::Geometry {
                    what,
                    partition,
                    found,
                });
            }
        }
        Ok(params)
    }

    fn blocks(
        &self,
        hash: &Window<&File>,
        params: &VerityParams,
        root_hash: &RootHash,
    ) -> Result<Result<String, Refusal>, Undecided> {
        let root = self.partitions.root;
        let data = Window::new(self.image.file(), root.byte_offset(), params.data_bytes());
        let step = self
            .progress
            .bytes(&format!("verify partition {}", root.number), params.data_bytes());
        let mut at = |blocks: u64| step.at(blocks * BLOCK_BYTES as u64);
        let expected = bennu_verity::RootHash(root_hash.0);
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let result = verify_device(&data, hash, params, &expected, &mut at, threads);
        step.finish();
        match result {
            Ok(()) => Ok(Ok(format!("{} blocks match the root hash", params.data_blocks()))),
            Err(error) if error.is_refusal() || is_cut_short(&error) => Ok(Err(Refusal::Verity(error))),
            Err(error) => Err(Undecided::Verity(error)),
        }
    }

    /// Checks os-release in the first `bytes` bytes of the root partition.
    ///
    /// # Errors
    /// The medium fails.
    pub fn check_identity(
        &self,
        bytes: Bytes,
        identity: Option<&(ImageId, ImageVersion)>,
        section: &mut Section,
    ) -> Result<(), Undecided> {
        let Some(identity) = identity else {
            section.add("root os-release", Finding::NotChecked(NO_IDENTITY));
            return Ok(());
        };
        let text = match RootTree::open(self.image, self.partitions.root, bytes.0)? {
            Ok(tree) => tree.os_release()?,
            Err(error) => Err(error),
        };
        let result = text
            .map_err(Refusal::Root)
            .and_then(|text| identity_of("the root", &text, identity));
        section.record("root os-release", result);
        Ok(())
    }
}

impl Root<'_> {
    /// Compares the golden-file index on the root with the manifest, and with one made anew from the root.
    ///
    /// # Errors
    /// The medium fails.
    pub fn check_golden(&self, manifest: &SlotManifest, section: &mut Section) -> Result<(), Undecided> {
        let Some(expected) = &manifest.golden_index else {
            let words = "none: the release was built before there were any";
            section.add("golden-file index", Finding::Remark(words.to_owned()));
            return Ok(());
        };
        let tree = match RootTree::open(self.image, self.partitions.root, manifest.root.bytes.0)? {
            Ok(tree) => tree,
            Err(error) => {
                section.record("golden-file index", Err(Refusal::Root(error)));
                return Ok(());
            }
        };
        let result = match tree.golden_digests()? {
            Err(error) => Err(Refusal::Golden(error)),
            Ok((found, _)) if found != Some(expected.sha256) => Err(Refusal::GoldenDigest {
                expected: expected.sha256,
                whose: "as in the manifest",
                found: found.map_or_else(|| "no index".to_owned(), |found| found.to_string()),
            }),
            Ok((_, made)) if made != expected.sha256 => Err(Refusal::GoldenDigest {
                expected: made,
                whose: "after what is on the root",
                found: expected.sha256.to_string(),
            }),
            Ok(_) => Ok(format!("{}, and the root agrees with it", expected.sha256)),
        };
        section.record("golden-file index", result);
        Ok(())
    }
}

/// Boot does not go by the superblock, but `veritysetup` and systemd do.
fn superblock(hash: &Window<&File>, params: &VerityParams) -> Result<Result<String, Refusal>, Undecided> {
    let found = match read_superblock(hash) {
        Ok(found) if found.data_blocks() == params.data_blocks() && found.salt() == params.salt() => {
            return Ok(Ok("as in the manifest".to_owned()));
        }
        Ok(found) => format!("{} data blocks and salt {}", found.data_blocks(), found.salt()),
        Err(ReadSuperblockError::Read(source)) if source.kind() != ErrorKind::UnexpectedEof => {
            return Err(ReadFailed::new("verity superblock", source).into());
        }
        Err(error) => error.to_string(),
    };
    Ok(Err(Refusal::Superblock {
        data_blocks: params.data_blocks(),
        found,
    }))
}

/// Whether data or tree should go on beyond the image's end.
fn is_cut_short(error: &VerityError) -> bool {
    matches!(error, VerityError::ReadData { source, .. } | VerityError::ReadHash { source, .. }
        if source.kind() == ErrorKind::UnexpectedEof)
}

/// Whether an os-release names `identity`, each key once.
pub fn identity_of(
    place: &'static str,
    text: &str,
    (id, version): &(ImageId, ImageVersion),
) -> Result<String, Refusal> {
    for (key, expected) in [("IMAGE_ID", id.as_str()), ("IMAGE_VERSION", version.as_str())] {
        let found = os_release::value(text, key);
        if found != Some(expected) {
            let found = found
                .unwrap_or("no such line, or several")
                .chars()
                .take(100)
                .collect();
            return Err(Refusal::Identity {
                place,
                key,
                expected: expected.to_owned(),
                found,
            });
        }
    }
    Ok(format!("names {id} {version}"))
}
