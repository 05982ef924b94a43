//! What a running QEMU talks to: the software TPM, with or without a proxy before it, and the disk's server.
//!
//! Started before QEMU and ended after it. The rules are the machine's; what they did is asked of the
//! power-on, through handles that outlive it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::disk_rig::{CutReport, DiskRig, DiskWatch, Survivors};
use crate::machine::Machine;
use crate::power_on::PowerOn;
use crate::tpm::Swtpm;
use crate::tpm_rig::{TpmProxy, TpmWatch};

/// Sockets of one power-on, in a folder with a short path: a socket's may have 107 bytes.
pub(crate) mod sockets {
    /// swtpm's control socket.
    pub(crate) const TPM: &str = "tpm";
    /// The TPM proxy's, for QEMU.
    pub(crate) const TPM_PROXY: &str = "tpm-proxy";
    /// The disk's server.
    pub(crate) const DISK: &str = "disk";
}

/// The programs and threads of one power-on, QEMU aside.
#[derive(Debug)]
pub(crate) struct Rigs {
    // The proxy goes first: swtpm ends when its connection is closed.
    proxy: Option<TpmProxy>,
    swtpm: Option<Swtpm>,
    disk: Option<DiskRig>,
    folder: PathBuf,
}

impl Rigs {
    pub(crate) fn start(machine: &Machine, sockets: &Path, folder: &Path) -> anyhow::Result<Self> {
        let spec = &machine.spec;
        let swtpm = match spec.tpm {
            Some(_) => Some(Swtpm::start(&machine.tpm_path(), sockets, folder)?),
            None => None,
        };
        let proxy = match (&swtpm, &spec.tpm_faults) {
            (Some(_), Some(faults)) => Some(TpmProxy::start(
                &sockets.join(sockets::TPM_PROXY),
                &sockets.join(sockets::TPM),
                faults.clone(),
            )?),
            (None, Some(_)) => anyhow::bail!("set TPM faults: the machine was made without a TPM"),
            (_, None) => None,
        };
        let disk = match &spec.disk_faults {
            Some(faults) => {
                let image = machine.disk()?.path();
                Some(DiskRig::start(
                    image,
                    &sockets.join(sockets::DISK),
                    faults.clone(),
                )?)
            }
            None => None,
        };
        Ok(Self {
            proxy,
            swtpm,
            disk,
            folder: folder.to_owned(),
        })
    }

    /// Process id of swtpm.
    pub(crate) fn swtpm_pid(&self) -> Option<u32> {
        self.swtpm.as_ref().map(Swtpm::pid)
    }

    /// After QEMU's end. What fails is said on standard error and asked of the handles.
    pub(crate) fn finish(&mut self) {
        if let Some(disk) = &mut self.disk {
            if let Err(error) = disk.finish() {
                eprintln!("end the disk rig: {error}");
            }
            for trouble in disk.watch().trouble() {
                eprintln!("disk rig: {trouble}");
            }
        }
        if let Some(proxy) = &mut self.proxy {
            proxy.finish();
            let watch = proxy.watch();
            if let Err(error) = watch.write(&self.folder) {
                eprintln!("{error}");
            }
            for trouble in watch.trouble() {
                eprintln!("TPM rig: {trouble}");
            }
        }
        if let Some(Err(error)) = self.swtpm.as_mut().map(Swtpm::finish) {
            eprintln!("end swtpm: {error}");
        }
    }
}

impl PowerOn<'_> {
    /// What the TPM's faults did so far; the handle outlives the power-on.
    ///
    /// # Errors
    /// The machine has no TPM faults, not even an empty list.
    pub fn tpm_watch(&self) -> anyhow::Result<TpmWatch> {
        let proxy = self.rigs.proxy.as_ref();
        proxy
            .map(TpmProxy::watch)
            .context("watch the TPM: the machine's tpm_faults is None")
    }

    /// What the disk's faults did so far; the handle outlives the power-on.
    ///
    /// # Errors
    /// The machine has no disk faults, not even an empty list.
    pub fn disk_watch(&self) -> anyhow::Result<DiskWatch> {
        let disk = self.rigs.disk.as_ref();
        disk.map(DiskRig::watch)
            .context("watch the disk: the machine's disk_faults is None")
    }

    /// Cuts the power of the disk and then of the machine: of what was not flushed, only the survivors stay.
    ///
    /// # Errors
    /// The machine has no disk faults, not even an empty list; the image cannot be written; QEMU cannot be
    /// killed.
    pub fn cut(self, survivors: Survivors) -> anyhow::Result<CutReport> {
        let disk = self.rigs.disk.as_ref();
        let report = disk
            .context("cut the disk's power: the machine's disk_faults is None")?
            .cut(survivors)?;
        self.kill()?;
        Ok(report)
    }
}
