//! The images that stories boot, built by the `bennu` binary under test and kept under `target/vm/images/`,
//! named by the digest of what they were built from. How long they are kept: [`image_store`].

use crate::{image_store, ipe, syslog};
use anyhow::{Context as _, Result, ensure};
use bennu_harness::prelude::*;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The checkout.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn target(path: &str) -> PathBuf {
    top().join("target").join(path)
}

/// The `bennu` binary under test.
pub fn bennu() -> PathBuf {
    target("release/bennu")
}

/// The throw-away keys of all stories.
pub fn keys() -> PathBuf {
    target("keys")
}

/// What is under test.
pub fn inputs() -> Vec<PathBuf> {
    vec![bennu(), target("release/agents"), top().join("images")]
}

/// Runs `bennu`, gives its standard output.
pub fn run_bennu(args: &[&str]) -> Result<String> {
    let output = Command::new(bennu())
        .args(args)
        .output()
        .context("target/release/bennu: run `make build`")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "bennu {}: {}\n{words}",
        args.join(" "),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Two stories may want the same thing at the same time; one of them makes it.
fn making() -> MutexGuard<'static, ()> {
    static MAKING: Mutex<()> = Mutex::new(());
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the keys, the syslog server's certificates and IPE's policy if they are not there, and the enrolled variable store.
pub fn variables() -> Result<PathBuf> {
    let _making = making();
    let keys = keys();
    // Keys of before there were configuration keys are throw-away ones as well.
    if keys.join("THROW-AWAY").exists() && !keys.join("configuration.pub").exists() {
        std::fs::remove_dir_all(&keys)?;
    }
    if !keys.exists() {
        run_bennu(&["keys", "generate", "--throw-away", &text(&keys)])?;
    }
    syslog::make_certificates()?;
    ipe::sign_policy()?;
    let store = images_directory()?.join("vars.fd");
    if !store.exists() {
        run_bennu(&["keys", "enrol", &text(&keys), "--output", &text(&store)])?;
    }
    Ok(store)
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `target/vm/images/<digest of binaries, keys and definitions>`.
fn images_directory() -> Result<PathBuf> {
    let mut hasher = Sha256::new();
    let mut files = vec![bennu()];
    for directory in [
        target("release/agents"),
        top().join("images"),
        keys(),
        syslog::certificates(),
        ipe::folder(),
    ] {
        list(&directory, &mut files)?;
    }
    files.sort();
    for file in files {
        hasher.update(text(&file));
        hasher.update(Sha256::digest(std::fs::read(&file).with_context(|| text(&file))?));
    }
    let store = target("vm/images");
    let directory = store.join(&hex::encode(hasher.finalize())[..image_store::NAME_CHARS]);
    image_store::enter(&store, &directory)?;
    Ok(directory)
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| text(directory))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?
        } else {
            files.push(path)
        }
    }
    Ok(())
}

/// The release that `images/<definition>` describes, built now or earlier.
pub fn release(definition: &str) -> Result<PathBuf> {
    variables()?;
    let name = definition.replace(['/', '.'], "-");
    let release = images_directory()?.join(name);
    let _making = making();
    if !release.exists() {
        build(&top().join("images").join(definition), &release)?;
    }
    Ok(release)
}

/// Builds the release that a definition describes, with the keys of all stories; those are there.
pub fn build(definition: &Path, release: &Path) -> Result<()> {
    run_bennu(&[
        "build",
        &text(definition),
        "--release",
        &text(release),
        "--keys",
        &text(&keys()),
        "--cache",
        &text(&cache()),
    ])
    .map(drop)
}

/// Where `bennu` keeps Debian's trees.
pub fn cache() -> PathBuf {
    target("cache")
}

/// A disk with these definitions in its slots.
pub fn disk(definitions: &[&str]) -> Result<PathBuf> {
    let releases = definitions
        .iter()
        .map(|d| release(d))
        .collect::<Result<Vec<_>>>()?;
    disk_of(&definitions.join("+").replace(['/', '.'], "-"), &releases)
}

/// A disk with these releases in its slots.
pub fn disk_of(name: &str, releases: &[PathBuf]) -> Result<PathBuf> {
    let disk = images_directory()?.join(format!("{name}.raw"));
    let _making = making();
    if !disk.exists() {
        let mut args = vec!["disk".to_owned(), "--output".to_owned(), text(&disk)];
        args.extend(releases.iter().map(|r| text(r)));
        run_bennu(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(disk)
}

/// The small test image: version 1 in slot A, version 2 in slot B.
pub fn small() -> Result<PathBuf> {
    disk(&["small/image.toml", "small/v2.toml"])
}

/// A machine with Secure Boot under our keys, a fresh TPM and a copy of `disk`.
pub fn machine(context: &mut Context, disk: &Path) -> Result<Machine> {
    machine_with(context, disk, 1024)
}

/// The same with that much memory.
pub fn machine_with(context: &mut Context, disk: &Path, memory_mib: u32) -> Result<Machine> {
    context.machine(MachineSpec {
        memory_mib,
        ..spec(disk)?
    })
}

/// How [`machine`] builds one, for stories that build it differently.
pub fn spec(disk: &Path) -> Result<MachineSpec> {
    Ok(MachineSpec {
        firmware: bennu_harness::machine::Firmware::with_vars(variables()?),
        disk: DiskSource::CopyOf(disk.to_owned()),
        extra_args: ["-device", "virtio-rng-pci"].map(Into::into).to_vec(),
        ..MachineSpec::default()
    })
}

/// The signed manifest of a release, as JSON.
pub fn manifest(release: &Path) -> Result<serde_json::Value> {
    let sig = bennu_formats::verity_sig::VeritySig::decode(&std::fs::read(release.join("verity-sig.json"))?)?;
    Ok(serde_json::from_slice(&sig.bennu.manifest.payload)?)
}
