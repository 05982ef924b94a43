//! One virtual machine: what survives when its power is off.
//!
//! Disk, variable store and TPM state are private copies in the machine's folder. [`Machine::power_on`] runs
//! them; while it runs the machine is borrowed, so no story can edit the disk of a running guest. A guest's
//! reset ends the power-on by default ([`Resets::EndPowerOn`]): the next [`Machine::power_on`] is the next
//! boot, at a third of a warm reset's cost.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::accelerator::{self, Accelerator};
use crate::artefacts::{Artefacts, DISK, SECOND_DISK};
use crate::disk::Disk;
use crate::disk_rig::DiskFault;
use crate::journal::Journal;
use crate::power_on::PowerOn;
use crate::tool;
use crate::tpm::{self, PcrBank};
use crate::tpm_rig::TpmFault;

/// UEFI firmware images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Code, flash unit 0, read-only and shared.
    pub code: PathBuf,
    /// Variable store to start from; each machine gets a copy as flash unit 1.
    pub vars: PathBuf,
}

impl Default for Firmware {
    /// Debian's 4 MiB OVMF with Secure Boot and SMM, without any keys: Setup Mode.
    fn default() -> Self {
        let folder = Path::new("/usr/share/OVMF");
        Self {
            code: folder.join("OVMF_CODE_4M.secboot.fd"),
            vars: folder.join("OVMF_VARS_4M.fd"),
        }
    }
}

impl Firmware {
    /// The default code with another variable store, with keys enrolled for instance.
    #[must_use]
    pub fn with_vars(vars: impl Into<PathBuf>) -> Self {
        Self {
            vars: vars.into(),
            ..Self::default()
        }
    }
}

/// Where a machine's disk comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskSource {
    /// No disk at all.
    None,
    /// A private sparse copy of this raw image.
    CopyOf(PathBuf),
    /// An empty disk of this many bytes.
    Empty {
        /// Size in bytes, a multiple of 512.
        bytes: u64,
    },
}

/// Where a second disk stands on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondDiskPlace {
    /// Before the first: Linux finds it first.
    Before,
    /// After the first.
    After,
    /// On another controller, the chipset's SATA: Linux has another driver for it, which takes longer.
    Sata,
}

/// A second disk, which the firmware does not choose by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondDisk {
    /// Its content; a copy of the first disk's source has the same GUIDs.
    pub source: DiskSource,
    /// Its place.
    pub place: SecondDiskPlace,
}

/// What a reset from inside the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resets {
    /// It ends the power-on with [`crate::power_on::ShutdownReason::GuestReset`].
    EndPowerOn,
    /// It resets the running machine; three to four times dearer than a new power-on.
    Warm,
}

/// What the guest's clocks count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestClock {
    /// Time.
    Time,
    /// The guest's instructions: each takes a nanosecond, and the processor's counter counts them, whatever else the
    /// host does. Time counts only while the guest is idle. One processor; always [`Accelerator::Tcg`].
    Instructions,
}

/// How to build a machine. Start from the default.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors. One costs less in firmware than two.
    pub vcpus: u32,
    /// Firmware images.
    pub firmware: Firmware,
    /// Banks of the TPM to make; `None`: no TPM.
    pub tpm: Option<Vec<PcrBank>>,
    /// The disk, virtio-blk with `cache=unsafe`.
    pub disk: DiskSource,
    /// Another disk, with `cache=unsafe`; virtio-blk unless its place says otherwise.
    pub second_disk: Option<SecondDisk>,
    /// What goes wrong on the TPM's wire; `None`: QEMU talks to swtpm, nothing is between them.
    pub tpm_faults: Option<Vec<TpmFault>>,
    /// What goes wrong with the first disk, and that writes are held until they are flushed; `None`: QEMU
    /// opens the image itself.
    pub disk_faults: Option<Vec<DiskFault>>,
    /// What a reset does.
    pub resets: Resets,
    /// `None`: the runner's choice, or a proven one.
    pub accelerator: Option<Accelerator>,
    /// What its clocks count.
    pub clock: GuestClock,
    /// More QEMU arguments, put last.
    pub extra_args: Vec<OsString>,
}

impl Default for MachineSpec {
    fn default() -> Self {
        Self {
            memory_mib: 1024,
            vcpus: 1,
            firmware: Firmware::default(),
            tpm: Some(vec![PcrBank::Sha256]),
            disk: DiskSource::None,
            second_disk: None,
            tpm_faults: None,
            disk_faults: None,
            resets: Resets::EndPowerOn,
            accelerator: None,
            clock: GuestClock::Time,
            extra_args: Vec::new(),
        }
    }
}

/// A machine whose power is off.
#[derive(Debug)]
pub struct Machine {
    pub(crate) folder: PathBuf,
    pub(crate) label: String,
    pub(crate) spec: MachineSpec,
    pub(crate) accelerator: Accelerator,
    pub(crate) journal: Journal,
    pub(crate) power_ons: u32,
    pub(crate) disk: Option<Disk>,
    pub(crate) second_disk: Option<Disk>,
    pub(crate) snapshots: u32,
}

impl Machine {
    /// Makes a machine whose private files lie in `folder`, which must exist and hold no machine.
    ///
    /// # Errors
    /// A source file is missing, a tool failed, or the folder holds a machine already.
    pub fn create(folder: &Path, spec: MachineSpec) -> anyhow::Result<Self> {
        Self::create_noted(folder, String::new(), spec, Journal::default())
    }

    pub(crate) fn create_noted(
        folder: &Path,
        label: String,
        spec: MachineSpec,
        journal: Journal,
    ) -> anyhow::Result<Self> {
        let accelerator = match (spec.clock, spec.accelerator) {
            (GuestClock::Instructions, _) => Accelerator::Tcg,
            (GuestClock::Time, Some(pinned)) => pinned,
            (GuestClock::Time, None) => {
                accelerator::choose(&Artefacts::in_target().root().join("accelerator.json"))?.accelerator
            }
        };
        let vars = folder.join("vars.fd");
        fs::copy(&spec.firmware.vars, &vars)
            .with_context(|| format!("copy variable store {}", spec.firmware.vars.display()))?;
        if let Some(banks) = &spec.tpm {
            tpm::manufacture(&folder.join("tpm"), banks)?;
        }
        let disk = make_disk(&spec.disk, &folder.join(DISK))?;
        let second_disk = match &spec.second_disk {
            Some(second) => make_disk(&second.source, &folder.join(SECOND_DISK))?,
            None => None,
        };
        Ok(Self {
            folder: folder.to_owned(),
            label,
            spec,
            accelerator,
            journal,
            power_ons: 0,
            disk,
            second_disk,
            snapshots: 0,
        })
    }

    /// Switches the power on. Nothing of the guest has run before this returns' clock starts.
    ///
    /// # Errors
    /// [`crate::trouble::MachineTrouble`] if QEMU or swtpm does not come up; [`tool::ToolError`] if one is missing.
    pub fn power_on(&mut self) -> anyhow::Result<PowerOn<'_>> {
        PowerOn::start(self)
    }

    /// The disk, to be read and edited while the power is off.
    ///
    /// # Errors
    /// The machine was made without one.
    pub fn disk(&self) -> anyhow::Result<&Disk> {
        self.disk
            .as_ref()
            .context("find the machine's disk: it was made with DiskSource::None")
    }

    /// The second disk.
    ///
    /// # Errors
    /// The machine was made without one.
    pub fn second_disk(&self) -> anyhow::Result<&Disk> {
        self.second_disk
            .as_ref()
            .context("find the machine's second disk: it was made without one")
    }

    /// Other faults on the TPM's wire from the next power-on on; counts start at 0.
    pub fn set_tpm_faults(&mut self, faults: Option<Vec<TpmFault>>) {
        self.spec.tpm_faults = faults;
    }

    /// Other faults of the first disk from the next power-on on; counts start at 0.
    pub fn set_disk_faults(&mut self, faults: Option<Vec<DiskFault>>) {
        self.spec.disk_faults = faults;
    }

    /// Other additional QEMU arguments from the next power-on on.
    pub fn set_extra_args(&mut self, args: Vec<OsString>) {
        self.spec.extra_args = args;
    }

    /// The machine's variable store, a raw file of the firmware's size.
    #[must_use]
    pub fn vars_path(&self) -> PathBuf {
        self.folder.join("vars.fd")
    }

    /// The TPM's state folder; copying it back is a TPM rollback.
    #[must_use]
    pub fn tpm_path(&self) -> PathBuf {
        self.folder.join("tpm")
    }

    /// The machine's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Makes a machine's disk at `path`.
fn make_disk(source: &DiskSource, path: &Path) -> anyhow::Result<Option<Disk>> {
    Ok(match source {
        DiskSource::None => None,
        DiskSource::CopyOf(image) => {
            tool::copy_sparse(image, path).with_context(|| format!("copy disk image {}", image.display()))?;
            Some(Disk::open(path)?)
        }
        DiskSource::Empty { bytes } => Some(Disk::create(path, *bytes)?),
    })
}
