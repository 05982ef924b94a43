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
use crate::artefacts::{Artefacts, DISK};
use crate::disk::Disk;
use crate::journal::Journal;
use crate::power_on::PowerOn;
use crate::tool;
use crate::tpm::{self, PcrBank};

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

/// What a reset from inside the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resets {
    /// It ends the power-on with [`crate::power_on::ShutdownReason::GuestReset`].
    EndPowerOn,
    /// It resets the running machine; three to four times dearer than a new power-on.
    Warm,
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
    /// What a reset does.
    pub resets: Resets,
    /// `None`: the runner's choice, or a proven one.
    pub accelerator: Option<Accelerator>,
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
            resets: Resets::EndPowerOn,
            accelerator: None,
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
    disk: Option<Disk>,
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
        let accelerator = match spec.accelerator {
            Some(pinned) => pinned,
            None => accelerator::choose(&Artefacts::in_target().root().join("accelerator.json"))?.accelerator,
        };
        let vars = folder.join("vars.fd");
        fs::copy(&spec.firmware.vars, &vars)
            .with_context(|| format!("copy variable store {}", spec.firmware.vars.display()))?;
        if let Some(banks) = &spec.tpm {
            tpm::manufacture(&folder.join("tpm"), banks)?;
        }
        let path = folder.join(DISK);
        let disk = match &spec.disk {
            DiskSource::None => None,
            DiskSource::CopyOf(image) => {
                tool::copy_sparse(image, &path)
                    .with_context(|| format!("copy disk image {}", image.display()))?;
                Some(Disk::open(&path)?)
            }
            DiskSource::Empty { bytes } => Some(Disk::create(&path, *bytes)?),
        };
        Ok(Self {
            folder: folder.to_owned(),
            label,
            spec,
            accelerator,
            journal,
            power_ons: 0,
            disk,
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

    /// QEMU's whole command line but the program. `sockets` has a short path: a socket's may have 107 bytes.
    pub(crate) fn arguments(&self, sockets: &Path) -> Vec<OsString> {
        let mut list = ArgumentList::default();
        let spec = &self.spec;
        list.pair("-machine", "q35,smm=on");
        match self.accelerator {
            Accelerator::Tcg => list
                .pair("-accel", "tcg,thread=multi,tb-size=512")
                .pair("-cpu", "max"),
            Accelerator::Kvm => list.pair("-accel", "kvm").pair("-cpu", "host"),
        };
        list.pair("-smp", &spec.vcpus.to_string())
            .pair("-m", &spec.memory_mib.to_string());
        list.flag("-nodefaults")
            .pair("-nic", "none")
            .pair("-display", "none")
            .flag("-S");
        list.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
        list.file(
            "-drive",
            "if=pflash,unit=0,format=raw,readonly=on,file=",
            &spec.firmware.code,
        );
        list.file("-drive", "if=pflash,unit=1,format=raw,file=", &self.vars_path());
        if spec.tpm.is_some() {
            list.file("-chardev", "socket,id=tpm-socket,path=", &sockets.join("tpm"));
            list.pair("-tpmdev", "emulator,id=tpm,chardev=tpm-socket")
                .pair("-device", "tpm-crb,tpmdev=tpm");
        }
        if let Some(disk) = &self.disk {
            list.file(
                "-drive",
                "if=none,id=disk,format=raw,cache=unsafe,file=",
                disk.path(),
            );
            list.pair("-device", "virtio-blk-pci,drive=disk,bootindex=0");
        }
        list.pair("-chardev", "stdio,id=console,signal=off")
            .pair("-serial", "chardev:console");
        list.file(
            "-chardev",
            "socket,id=control,server=on,wait=off,path=",
            &sockets.join("qmp"),
        );
        list.pair("-mon", "chardev=control,mode=control");
        if spec.resets == Resets::EndPowerOn {
            list.flag("-no-reboot");
        }
        list.0.extend(spec.extra_args.iter().cloned());
        list.0
    }
}

#[derive(Debug, Default)]
struct ArgumentList(Vec<OsString>);

impl ArgumentList {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    fn pair(&mut self, name: &str, value: &str) -> &mut Self {
        self.flag(name).flag(value)
    }

    /// An option list that ends with a file name, in which QEMU wants commas doubled.
    fn file(&mut self, name: &str, options: &str, path: &Path) -> &mut Self {
        self.pair(
            name,
            &format!("{options}{}", path.display().to_string().replace(',', ",,")),
        )
    }
}
