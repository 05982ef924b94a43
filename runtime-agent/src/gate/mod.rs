//! The execution gate: set up by `bennud gate` before anything of the image's own runs, watched by `bennud`.
//!
//! Read: `/usr/lib/bennu/gate.json` and `/run/bennu/boot.json`, the root's device-mapper table, the boot disk's GPT.
//! Made: a bpffs on `/usr/lib/bennu/gate` with the gate's links and maps. On failure `bennud gate` says the code GATE and
//! ends with status 1. If the image demands the gate (mode `enforce`) it gives the slot up before, and systemd restarts
//! the machine; `bennud` does so too when it finds no gate. One in dry run is told of and missed by nobody.

pub(crate) mod facts;
pub mod followers;
pub mod neighbours;
pub mod report;
pub mod watch;

use crate::documents::{self, DocumentError};
use crate::profiles;
use bennu_ebpf::interface::{Settings, rights};
use bennu_ebpf::programs::Packets;
use bennu_ebpf::{Gate, GateError, Kernel};
use bennu_formats::drift::{DriftConfig, EnforcedAction};
use bennu_formats::gate::{GateConfig, GateMode, Right, TraceRule};
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::block::BlockError;
use bennu_linux::bounded::ReadError;
use bennu_linux::bpf;
use bennu_linux::dm::DmError;
use bennu_linux::mount::{self, MountError, MountSpec, Restriction, Unmount};
use bennu_policy::gate::{Device, RootRefusal};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub enum NoGate {
    /// A document.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// A number in the hand-over record.
    #[error("hand-over record: expected a device number as major:minor, found {0}")]
    Number(String),
    /// A file of the kernel's.
    #[error("{0}")]
    Kernel(#[from] ReadError),
    /// The command line.
    #[error("{0}")]
    Cmdline(#[from] bennu_formats::cmdline::CmdlineError),
    /// device-mapper.
    #[error("{0}")]
    DeviceMapper(#[from] DmError),
    /// The root's device is not there.
    #[error("device-mapper: expected a device {0}, found none")]
    NoDevice(Device),
    /// The root is not trusted.
    #[error("{0}")]
    Root(#[from] RootRefusal),
    /// The boot disk or its partitions.
    #[error("boot disk: {0}")]
    Disk(#[from] BlockError),
    /// The boot disk's GPT.
    #[error("boot disk {disk}: partition table: {words}")]
    Table {
        /// The disk.
        disk: String,
        /// Why.
        words: String,
    },
    /// A file of the root.
    #[error("{path}: cannot be looked at: {source}")]
    File {
        /// Path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A program that the image names is not part of it.
    #[error(
        "{path}: expected on the root's device {root}, found on {found}; name a program of the root in image.toml"
    )]
    ForeignProgram {
        /// Path.
        path: String,
        /// The root.
        root: Device,
        /// Where it is.
        found: Device,
    },
    /// The bpffs.
    #[error("{0}")]
    Mount(#[from] MountError),
    /// A thread.
    #[error("gate: no thread to be had: {0}")]
    Thread(#[source] io::Error),
    /// Loading, attaching, pinning.
    #[error("{0}")]
    Gate(#[from] GateError),
    /// The programs are attached and nobody calls them.
    #[error("gate: expected the kernel to ask it, found that it does not: the kernel runs without lsm=…,bpf")]
    NotCalled,
    /// It does not deny.
    #[error("gate: expected it to deny executable memory, found that it was given")]
    NotDenied,
    /// There is one already, of another mode.
    #[error("gate: expected mode {expected}, found one that stands in mode {found}")]
    OtherMode {
        /// The image's.
        expected: &'static str,
        /// The gate's.
        found: &'static str,
    },
}

/// What the image asks for; a root without the document asks for no gate.
///
/// # Errors
/// The document is there and cannot be used.
pub fn wanted() -> Result<GateConfig, DocumentError> {
    Ok(
        documents::read_if_there(Path::new(paths::ROOT_GATE))?.unwrap_or(GateConfig {
            schema: 1,
            mode: GateMode::None,
            programs: Vec::new(),
            interpreters: Vec::new(),
            trace: TraceRule::Off,
        }),
    )
}

/// The gate that stands, in the mode that the image asks for, proven to work.
///
/// # Errors
/// [`NoGate::Gate`], [`NoGate::OtherMode`].
pub fn adopt(mode: GateMode) -> Result<Gate, NoGate> {
    let gate = Gate::adopt(Path::new(paths::ROOT_GATE_PINS))?;
    if gate.mode() == mode {
        prove(&gate)?;
        return Ok(gate);
    }
    Err(NoGate::OtherMode {
        expected: mode.as_str(),
        found: gate.mode().as_str(),
    })
}

/// Sets the gate up and proves that it works; gives one sentence about it. A gate that stands stays as it is.
///
/// # Errors
/// See [`NoGate`].
pub fn set_up(config: &GateConfig, handover: &Handover) -> Result<String, NoGate> {
    if adopt(config.mode).is_ok() {
        return Ok(format!("gate stands already: {}", config.mode.as_str()));
    }
    let root = facts::root(handover)?;
    let (devices, repairable) = facts::devices(handover)?;
    let profiles = profiles::read()?;
    let pins = Path::new(paths::ROOT_GATE_PINS);
    mount::mount(&MountSpec {
        source: Path::new("bennu-gate"),
        target: pins,
        file_system: "bpf",
        restrictions: &[Restriction::NoExec, Restriction::NoSuid, Restriction::NoDev],
        options: "mode=0700",
    })?;
    let answers = answers_to_drift()?;
    let settings = Settings {
        mode: config.mode,
        root_dev: root.kernel_number(),
        pin_dev: facts::look_at(paths::ROOT_GATE_PINS)?.device.kernel_number(),
        agent_inode: facts::look_at("/proc/self/exe")?.inode,
        top_inodes: facts::top_directories(root),
        programs: programs(config, root)?,
        devices: devices.iter().map(|device| device.kernel_number()).collect(),
        repairable: repairable.iter().map(|device| device.kernel_number()).collect(),
        interpreters: profiles::kinds(config, root)?,
        data: profiles::data(config, root)?,
        units: profiles
            .as_ref()
            .map_or(Ok(Vec::new()), |set| profiles::units(set, root))?,
        trace: config.trace == TraceRule::On,
        network: answers.contains(&EnforcedAction::CutNetwork),
        denies: answers.contains(&EnforcedAction::Deny),
    };
    let beside = neighbours::all();
    let gate = Gate::set_up(&settings, pins, &Machine).inspect_err(|_| {
        // Half a gate is none. Where it decides already it refuses this, and stays.
        let _stays = mount::unmount(pins, Unmount::Lazily);
    })?;
    prove(&gate)?;
    Ok(told(config, root, &settings, beside))
}

/// Only an image that enforces `cut-network` pays for a look at each packet, only one that enforces `deny` for one at
/// each fork.
fn answers_to_drift() -> Result<Vec<EnforcedAction>, NoGate> {
    let drift: Option<DriftConfig> = documents::read_if_there(Path::new(paths::ROOT_DRIFT))?;
    Ok(drift.map(|drift| drift.enforced).unwrap_or_default())
}

/// The kernel's calls that no library has.
struct Machine;

impl Kernel for Machine {
    fn freeze(&self, map: BorrowedFd<'_>) -> io::Result<()> {
        bennu_linux::bpf::freeze_map(map)
    }

    fn attach_to_groups(&self, program: BorrowedFd<'_>, packets: Packets) -> io::Result<()> {
        let root = bennu_linux::cgroup::open_root().map_err(io::Error::other)?;
        bennu_linux::bpf::attach_to_group(program, root.as_fd(), packets as u32)
    }
}

/// One sentence about a gate that was set up.
fn told(config: &GateConfig, root: Device, settings: &Settings, beside: Option<String>) -> String {
    let beside = beside.map(|words| format!("; {words}"));
    format!(
        "gate stands: {}, root {root}, {} hooks, {} devices guarded, {} programs with rights, {} interpreters \
         confined, {} units with profiles{}{}",
        config.mode.as_str(),
        bennu_ebpf::programs::wanted(settings).count(),
        settings.devices.len(),
        settings.programs.len(),
        config.interpreters.len(),
        settings.units.len(),
        if settings.network {
            ", network can be cut"
        } else {
            ""
        },
        beside.unwrap_or_default(),
    )
}

/// Programs with their rights, bennud first: it changes device-mapper devices. Root and hash tree of the slot that does
/// not run, which it mends, are no right: the gate knows bennud and these partitions.
fn programs(config: &GateConfig, root: Device) -> Result<Vec<(u64, u32)>, NoGate> {
    let own = [Right::DeviceMapper];
    let mut all = vec![(facts::look_at("/proc/self/exe")?.inode, rights(&own))];
    for program in &config.programs {
        all.push((facts::on_root(&program.path, root)?, rights(&program.may)));
    }
    Ok(all)
}

/// The programs may be attached and the hooks not called (`lsm=` without bpf), so something is tried that must not pass.
fn prove(gate: &Gate) -> Result<(), NoGate> {
    let asked = bpf::gate_is_asked();
    // One in dry run would record it.
    let given = gate.mode() == GateMode::Enforce && bpf::try_executable_memory().is_ok();
    proven(gate.mode(), asked, given)
}

/// What the trial shows: whether the kernel asks the gate, and whether executable memory was given, which another security
/// module may have denied as well.
fn proven(mode: GateMode, asked: bool, given: bool) -> Result<(), NoGate> {
    match (mode, asked, given) {
        (_, false, _) => Err(NoGate::NotCalled),
        (GateMode::Enforce, true, true) => Err(NoGate::NotDenied),
        _ => Ok(()),
    }
}

/// The device of the file system that a file lies on.
pub(crate) fn device_of(metadata: &std::fs::Metadata) -> Device {
    Device {
        major: rustix::fs::major(metadata.dev()),
        minor: rustix::fs::minor(metadata.dev()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_nobody_asks_or_that_lets_pass_what_it_should_deny_is_none() {
        for (mode, asked, given, good) in [
            (GateMode::Enforce, true, false, true),
            (GateMode::DryRun, true, true, true),
            (GateMode::Enforce, true, true, false),
            (GateMode::Enforce, false, true, false),
            (GateMode::Enforce, false, false, false),
            (GateMode::DryRun, false, true, false),
        ] {
            let proven = proven(mode, asked, given);
            assert_eq!(proven.is_ok(), good, "{mode:?} {asked} {given}: {proven:?}");
        }
    }
}
