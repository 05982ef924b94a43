//! What the programs and their loader agree on: the numbers and layouts of `src/bpf/intf.h`, little-endian.

pub mod memory;
pub mod respond;
pub mod trace;
pub mod units;

use bennu_formats::gate::{DenialKind, GateMode, Outcome, Right};
use units::{Data, Unit};

/// Directories of the root that nothing is mounted into, at most.
pub const TOP_DIRECTORIES: usize = 8;
/// Length of `struct gate_config`.
pub const CONFIG_BYTES: usize = 24 + 8 * TOP_DIRECTORIES;
/// Length of `struct gate_event`.
pub const EVENT_BYTES: usize = 144;
/// Length of `struct gate_counters`.
pub const COUNTERS_BYTES: usize = 16;

/// Length of [`Event::peer`].
pub const PEER_BYTES: usize = 64;

/// Kinds of BPF objects in the key of `own`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// `OWN_MAP`
    Map,
    /// `OWN_PROGRAM`
    Program,
    /// `OWN_LINK`
    Link,
}

impl Own {
    /// `struct own_key`
    pub fn key(self, id: u32) -> [u32; 2] {
        let kind = match self {
            Self::Map => 1,
            Self::Program => 2,
            Self::Link => 3,
        };
        [kind, id]
    }
}

/// The bit of a right in the values of `programs`.
pub fn right_bit(right: Right) -> u32 {
    match right {
        Right::AnonymousExec => 1,
        Right::DeviceMapper => 2,
        Right::Passthrough => 4,
        Right::Trace => 8,
        Right::WriteDevices => 16,
        Right::KernelSettings => 32,
    }
}

/// The bits of several rights.
pub fn rights(all: &[Right]) -> u32 {
    all.iter().fold(0, |bits, right| bits | right_bit(*right))
}

/// What a device is guarded from, the value in `devices`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// `GUARD_FIXED`
    Fixed,
    /// `GUARD_REPAIRABLE`
    Repairable,
}

impl Guard {
    /// The number.
    pub fn number(self) -> u32 {
        match self {
            Self::Fixed => 1,
            Self::Repairable => 2,
        }
    }
}

/// `gate_config.mode`; zero means that nothing is decided yet.
pub fn mode_number(mode: GateMode) -> u32 {
    match mode {
        GateMode::None => 0,
        GateMode::DryRun => 1,
        GateMode::Enforce => 2,
    }
}

/// What the programs decide by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Mode.
    pub mode: GateMode,
    /// The root's device, `major << 20 | minor`.
    pub root_dev: u32,
    /// The device number of the pins' file system.
    pub pin_dev: u32,
    /// Inode of bennud on the root.
    pub agent_inode: u64,
    /// Inodes of the directories of the root that nothing is mounted into; what is beyond the eighth is left out.
    pub top_inodes: Vec<u64>,
    /// Inodes of programs on the root, and their rights.
    pub programs: Vec<(u64, u32)>,
    /// Devices that nobody writes.
    pub devices: Vec<u32>,
    /// Those of them that bennud mends: root and hash tree of slots that do not run.
    pub repairable: Vec<u32>,
    /// Inodes of programs on the root, and what they are besides ([`units::program`]).
    pub interpreters: Vec<(u64, u32)>,
    /// Directories whose files interpreters may open.
    pub data: Vec<Data>,
    /// Profiles; the number of the first is 1.
    pub units: Vec<Unit>,
    /// Whether programs that start and connections are recorded.
    pub trace: bool,
    /// Whether the network can be cut.
    pub network: bool,
    /// Whether units can be kept from starting programs: also from starting them in another unit.
    pub denies: bool,
}

impl Settings {
    /// Each device with its guard.
    pub fn guards(&self) -> impl Iterator<Item = (u32, u32)> {
        self.devices.iter().map(|device| {
            let repairable = self.repairable.contains(device);
            let guard = if repairable {
                Guard::Repairable
            } else {
                Guard::Fixed
            };
            (*device, guard.number())
        })
    }

    /// `FEATURE_…`
    fn features(&self) -> u32 {
        let confined = self
            .interpreters
            .iter()
            .any(|(_, kind)| kind & units::program::CONFINED != 0);
        u32::from(confined)
            | u32::from(!self.units.is_empty()) << 1
            | u32::from(self.trace) << 2
            | u32::from(self.network) << 3
    }

    /// `struct gate_config`
    pub fn config(&self) -> [u8; CONFIG_BYTES] {
        let mut bytes = [0; CONFIG_BYTES];
        let words = [
            mode_number(self.mode),
            self.root_dev,
            self.pin_dev,
            self.features(),
        ];
        let (head, rest) = bytes.split_at_mut(16);
        for (place, word) in head.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let longs = std::iter::once(&self.agent_inode).chain(&self.top_inodes);
        for (place, long) in rest.chunks_exact_mut(8).zip(longs) {
            place.copy_from_slice(&long.to_le_bytes());
        }
        bytes
    }
}

/// The mode in a `struct gate_config`; none for one that no loader of ours wrote.
pub fn mode_of(config: &[u8; CONFIG_BYTES]) -> Option<GateMode> {
    match word(config, 0)? {
        1 => Some(GateMode::DryRun),
        2 => Some(GateMode::Enforce),
        _ => None,
    }
}

/// The root's device in a `struct gate_config`.
pub fn root_of(config: &[u8; CONFIG_BYTES]) -> Option<u32> {
    word(config, 4)
}

/// The bits of `FEATURE_…` in a `struct gate_config`.
pub fn features_of(config: &[u8; CONFIG_BYTES]) -> u32 {
    word(config, 12).unwrap_or_default()
}

/// `struct gate_event`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Number of the event on its CPU, from 1.
    pub number: u64,
    /// Nanoseconds since kernel start.
    pub time_ns: u64,
    /// Inode, or id of a BPF object.
    pub inode: u64,
    /// Id of the cgroup.
    pub cgroup: u64,
    /// CPU.
    pub cpu: u32,
    /// What was attempted.
    pub kind: DenialKind,
    /// `major << 20 | minor`.
    pub device: u32,
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Depends on the kind.
    pub detail: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// The profile, from 1; zero: none.
    pub profile: u32,
    /// 16 bytes of an IPv6 address, or the beginning of a Unix socket's name.
    pub peer: [u8; PEER_BYTES],
    /// Name of the process, which it chose itself; what is no UTF-8 is replaced.
    pub comm: String,
}

impl Event {
    /// Decodes one record of the ring; none for another length or an unknown kind, which no program of ours writes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != EVENT_BYTES {
            return None;
        }
        let kind = word(bytes, 36)?;
        let comm = bytes.get(64..80)?;
        let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
        Some(Self {
            number: long(bytes, 0)?,
            time_ns: long(bytes, 8)?,
            inode: long(bytes, 16)?,
            cgroup: long(bytes, 24)?,
            cpu: word(bytes, 32)?,
            kind: DenialKind::ALL.iter().copied().find(|k| k.number() == kind)?,
            device: word(bytes, 40)?,
            pid: word(bytes, 44)?,
            uid: word(bytes, 48)?,
            detail: word(bytes, 52)?,
            outcome: match word(bytes, 56)? {
                0 => Outcome::DryRun,
                1 => Outcome::Denied,
                2 => Outcome::Warned,
                _ => return None,
            },
            profile: word(bytes, 60)?,
            peer: bytes.get(80..144)?.try_into().ok()?,
            comm: String::from_utf8_lossy(&comm[..end]).into_owned(),
        })
    }
}

/// Events of all CPUs, and those that were lost.
pub fn sum<'a>(each: impl Iterator<Item = &'a [u8; COUNTERS_BYTES]>) -> (u64, u64) {
    each.map(counters)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// `struct gate_counters`: events, and those that were lost.
pub fn counters(bytes: &[u8; COUNTERS_BYTES]) -> (u64, u64) {
    (
        long(bytes, 0).unwrap_or_default(),
        long(bytes, 8).unwrap_or_default(),
    )
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
