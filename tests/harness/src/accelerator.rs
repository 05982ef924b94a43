//! KVM only where a guest of our own kind has been seen to run under it; QEMU's TCG otherwise.
//!
//! `/dev/kvm` may exist and still hang a guest, or lack the SMM that Secure Boot firmware needs. So a guest
//! with our firmware has to bring out its first serial line within a deadline. The verdict is cached in
//! `target/vm/accelerator.json` for this boot of the host; `BENNU_VM_ACCEL=tcg|kvm` overrides it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::artefacts::write_atomically;
use crate::machine::{Machine, MachineSpec};
use crate::marker::Marker;

/// TCG needs some 7 s to the firmware's first line here; KVM that takes longer is of no use.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(15);

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// QEMU's translator: works everywhere.
    Tcg,
    /// The kernel's, proven by a probe.
    Kvm,
}

/// A probe's verdict with its reason, as cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What to use.
    pub accelerator: Accelerator,
    /// Why.
    pub reason: String,
    /// `/proc/sys/kernel/random/boot_id` of the host when it was probed.
    boot_id: String,
}

/// The accelerator to use on this host; probes once and keeps the verdict in `cache`.
///
/// # Errors
/// `BENNU_VM_ACCEL` has another value than `tcg` or `kvm`, or the verdict cannot be written.
pub fn choose(cache: &Path) -> anyhow::Result<Verdict> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the host's boot id")?;
    let boot_id = boot_id.trim().to_owned();
    match std::env::var("BENNU_VM_ACCEL").ok().as_deref() {
        None | Some("") => {}
        Some("tcg") => {
            return Ok(Verdict {
                accelerator: Accelerator::Tcg,
                reason: asked_for(),
                boot_id,
            });
        }
        Some("kvm") => {
            return Ok(Verdict {
                accelerator: Accelerator::Kvm,
                reason: asked_for(),
                boot_id,
            });
        }
        Some(other) => bail!("read BENNU_VM_ACCEL: expected `tcg` or `kvm`, found {other:?}"),
    }
    // A cache that is absent, damaged or of another boot costs one more probe and nothing else.
    let cached = fs::read(cache)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Verdict>(&bytes).ok());
    if let Some(verdict) = cached.filter(|verdict| verdict.boot_id == boot_id) {
        return Ok(verdict);
    }
    let verdict = match probe() {
        Ok(reason) => Verdict {
            accelerator: Accelerator::Kvm,
            reason,
            boot_id,
        },
        Err(error) => Verdict {
            accelerator: Accelerator::Tcg,
            reason: format!("{error:#}"),
            boot_id,
        },
    };
    write_atomically(cache, &serde_json::to_vec_pretty(&verdict)?)?;
    Ok(verdict)
}

fn asked_for() -> String {
    "BENNU_VM_ACCEL asks for it".to_owned()
}

/// Boots our firmware without disk and TPM under KVM until its first line.
fn probe() -> anyhow::Result<String> {
    fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .context("open /dev/kvm")?;
    let folder = tempfile::tempdir().context("make the probe's folder")?;
    let spec = MachineSpec {
        memory_mib: 512,
        tpm: None,
        accelerator: Some(Accelerator::Kvm),
        ..MachineSpec::default()
    };
    let mut machine = Machine::create(folder.path(), spec)?;
    let mut power_on = machine.power_on().context("start a guest under KVM")?;
    let line = power_on
        .wait_for(Marker::regex(".")?, FIRST_LINE_WITHIN)
        .context("run a guest under KVM")?;
    Ok(format!("a guest's firmware spoke {} ms after power-on", line.ms))
}
