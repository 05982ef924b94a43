//! A release: a directory with everything of one version. Nothing stands under its final name until all of it
//! is there.
//!
//! | file | content |
//! |---|---|
//! | `root.erofs` | root file system |
//! | `root.verity` | superblock and hash tree |
//! | `verity-sig.json` | content of the root-verity-sig partition, with the signed manifest |
//! | `uki.efi` | signed UKI |
//! | `esp/…` | the other files of the ESP: loader, fallback program, `loader.conf`, key enrolment files |
//! | `release.json` | what the disk step needs to know |

use crate::definition::Definition;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::steps::agents::Agents;
use crate::steps::keys::KeySet;
use crate::steps::manifest::{self, RootFacts};
use crate::steps::source::Sources;
use crate::steps::uki::BootParts;
use crate::steps::{enrolment, golden, initrd, root, uki};
use anyhow::{Context as _, Result};
use bennu_erofs::{ImageOptions, Timestamp, Tree, VolumeName, write_image};
use bennu_formats::units::Bytes;
use bennu_formats::verity_sig::VeritySig;
use bennu_formats::{ImageId, ImageVersion, RootHash};
use bennu_verity::{Salt, VerityParams};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Name of the root file system in a release.
pub const ROOT: &str = "root.erofs";
/// Name of the hash tree.
pub const TREE: &str = "root.verity";
/// Name of the partition content with the manifest.
pub const SIG: &str = "verity-sig.json";
/// Name of the UKI.
pub const UKI: &str = "uki.efi";
/// Directory with the other ESP files.
pub const ESP: &str = "esp";
/// Name of the description.
pub const DESCRIPTION: &str = "release.json";

/// `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Schema number; 1.
    pub schema: u32,
    /// Image id.
    pub image_id: ImageId,
    /// Version.
    pub version: ImageVersion,
    /// Root hash.
    pub root_hash: RootHash,
    /// Tries of the boot entry.
    pub tries: u32,
    /// Bytes of the ESP.
    pub esp_bytes: Bytes,
    /// Bytes of a slot's root partition.
    pub slot_bytes: Bytes,
    /// Bytes of the state partition.
    pub state_bytes: Bytes,
    /// Time stamp.
    pub epoch: u64,
    /// How many release keys must have signed before the release can be put on a disk.
    pub release_threshold: u32,
}

/// How many signatures the manifest in a release has.
///
/// # Errors
/// It cannot be read or is malformed.
pub fn signatures(dir: &Path) -> Result<usize> {
    let path = dir.join(SIG);
    let content = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let json = VeritySig::decode(&content).with_context(|| path.display().to_string())?;
    Ok(json.bennu.manifest.signatures.len())
}

/// Signs the manifest of a release with one more release key; gives how many signatures there are now.
///
/// # Errors
/// The release cannot be read, the key has signed already, or writing failed: the release is as it was.
pub fn add_signature(dir: &Path, key: &ed25519_dalek::SigningKey) -> Result<usize> {
    let path = dir.join(SIG);
    let content = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let json = manifest::add_signature(&content, key).with_context(|| path.display().to_string())?;
    let mut partial = tempfile::NamedTempFile::new_in(dir)?;
    partial.write_all(&json.encode()?)?;
    partial.as_file().sync_all()?;
    partial
        .as_file()
        .set_permissions(std::fs::metadata(&path)?.permissions())?;
    partial
        .persist(&path)
        .with_context(|| path.display().to_string())?;
    Ok(json.bennu.manifest.signatures.len())
}

/// What a build needs besides the plan.
pub struct Tools<'a> {
    /// Agents.
    pub agents: &'a Agents,
    /// Cache.
    pub cache: &'a Path,
    /// Progress.
    pub progress: &'a Progress,
}

/// Loads a definition and plans it.
///
/// # Errors
/// The definition's.
pub fn plan(path: &Path, over: crate::plan::Overrides) -> Result<Plan> {
    Ok(Plan::new(path, Definition::load(path)?, over)?)
}

/// Builds the release of `plan` into `out`, which must not exist.
///
/// # Errors
/// Any step's; nothing is left under `out`.
pub fn build(plan: &Plan, out: &Path, tools: &Tools<'_>) -> Result<Release> {
    anyhow::ensure!(
        !out.exists(),
        "release {}: exists already; name another directory or remove it",
        out.display()
    );
    let parent = out
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("release {}", out.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".bennu-release")
        .tempdir_in(parent)?;
    let release = build_in(plan, scratch.path(), tools)?;
    let made = scratch.keep();
    std::fs::rename(&made, out).with_context(|| format!("release {}", out.display()))?;
    Ok(release)
}

fn build_in(plan: &Plan, dir: &Path, tools: &Tools<'_>) -> Result<Release> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    let keys = KeySet::read(&plan.keys, plan.accept)?;
    let sources = Sources {
        cache: tools.cache,
        epoch: plan.epoch,
        progress: tools.progress,
    };
    let source = sources.tree(&plan.root)?;
    let other = plan
        .boot_source
        .as_ref()
        .map(|section| sources.tree(section))
        .transpose()?;
    let boot: &Tree = other.as_ref().unwrap_or(&source);
    let parts = BootParts::read(boot)?;
    let initrd = initrd::build(plan, boot, &parts.release, &keys, tools.agents)?;
    let (mut tree, os_release) = root::compose(plan, source, tools.agents, keys.trusted_release_keys())?;
    let now = Timestamp::from_seconds(i64::try_from(plan.epoch).unwrap_or(i64::MAX));
    let step = tools.progress.spinner("golden-file index");
    let index = golden::add(&mut tree, now)?;
    step.finish();
    let facts = write_root(plan, &tree, dir, tools.progress)?;
    let step = tools.progress.spinner("golden-file index, of what was written");
    golden::check_written(&dir.join(ROOT), &index)?;
    step.finish();
    let uki = uki::build(plan, &parts, &os_release, &facts.root_hash, &initrd, &keys)?;
    write(&dir.join(UKI), &uki.bytes)?;
    let manifest = manifest::compose(plan, &facts, index, &uki, &keys)?;
    write(&dir.join(SIG), &manifest::sign(&manifest, &keys)?)?;
    enrolment::write_esp(plan, &dir.join(ESP), &parts, &keys, tools.agents)?;
    let release = Release {
        schema: 1,
        image_id: plan.image_id.clone(),
        version: plan.version.clone(),
        root_hash: facts.root_hash,
        tries: plan.health.tries,
        esp_bytes: plan.esp,
        slot_bytes: plan.slot,
        state_bytes: plan.state,
        epoch: plan.epoch,
        release_threshold: plan.release_threshold,
    };
    write(&dir.join(DESCRIPTION), &serde_json::to_vec_pretty(&release)?)?;
    Ok(release)
}

/// The salt is one constant an image id, so that equal blocks have equal leaf hashes across releases.
fn salt(id: &ImageId) -> [u8; 32] {
    Sha256::new_with_prefix(b"bennu-verity-salt\0")
        .chain_update(id.as_str())
        .finalize()
        .into()
}

/// A UUID that follows from the image's name and from what it is for.
pub fn derived_uuid(purpose: &str, name: &str) -> uuid::Uuid {
    let digest = Sha256::new_with_prefix(b"bennu-uuid\0")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(name);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn write_root(plan: &Plan, tree: &Tree, dir: &Path, progress: &Progress) -> Result<RootFacts> {
    let path = dir.join(ROOT);
    let mut options = ImageOptions::new(*derived_uuid("root", &plan.name()).as_bytes(), plan.epoch);
    options.volume_name = VolumeName::new(plan.image_id.as_str())?;
    options.size_limit_bytes = Some(plan.slot.0);
    let step = progress.bytes("root file system", plan.slot.0);
    let file = File::create_new(&path)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let summary = write_image(tree, &mut out, &options, &mut |done| step.at(done))
        .with_context(|| format!("root file system (slot_size is {})", plan.slot))?;
    out.flush()?;
    step.finish();

    let salt = salt(&plan.image_id);
    let uuid = *derived_uuid("verity", &plan.name()).as_bytes();
    let params = VerityParams::new(summary.bytes / 4096, Salt::new(salt.to_vec())?, uuid)?;
    let data = File::open(&path)?;
    let mut tree_file = BufWriter::with_capacity(1 << 20, File::create_new(dir.join(TREE))?);
    let step = progress.bytes("hash tree", summary.bytes);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let hash = bennu_verity::build(&data, &params, &mut tree_file, &mut |done| step.at(done), threads)?;
    tree_file.flush()?;
    step.finish();
    let tree = std::fs::metadata(dir.join(TREE))?.len();
    Ok(RootFacts {
        bytes: Bytes(summary.bytes),
        root_hash: RootHash(hash.0),
        tree: Bytes(tree),
        salt,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).with_context(|| path.display().to_string())?;
    file.write_all(bytes).with_context(|| path.display().to_string())
}

/// Reads a release's description.
///
/// # Errors
/// Not there or not a description.
pub fn read(dir: &Path) -> Result<(Release, PathBuf)> {
    let path = dir.join(DESCRIPTION);
    let bytes =
        std::fs::read(&path).with_context(|| format!("release {}: made by `bennu build`?", dir.display()))?;
    let release: Release = serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    anyhow::ensure!(
        release.schema == 1,
        "{}: expected schema 1, found {}",
        path.display(),
        release.schema
    );
    Ok((release, dir.to_owned()))
}
