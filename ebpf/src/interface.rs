//! What the programs and their loader agree on: the numbers and layouts of `src/bpf/intf.h`, little-endian.

use bennu_formats::gate::{DenialKind, GateMode, Right};

/// Directories of the root that nothing is mounted into, at most.
pub const TOP_DIRECTORIES: usize = 8;
/// Length of `struct gate_config`.
pub const CONFIG_BYTES: usize = 24 + 8 * TOP_DIRECTORIES;
/// Length of `struct gate_event`.
pub const EVENT_BYTES: usize = 80;
/// Length of `struct gate_counters`.
pub const COUNTERS_BYTES: usize = 16;

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
}

impl Settings {
    /// `struct gate_config`
    pub fn config(&self) -> [u8; CONFIG_BYTES] {
        let mut bytes = [0; CONFIG_BYTES];
        let words = [mode_number(self.mode), self.root_dev, self.pin_dev, 0];
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
    /// False in a dry run.
    pub denied: bool,
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
        let comm = bytes.get(64..)?;
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
            denied: word(bytes, 56)? != 0,
            comm: String::from_utf8_lossy(&comm[..end]).into_owned(),
        })
    }
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
mod tests {
    use super::*;

    const HEADER: &str = include_str!("bpf/intf.h");

    fn defined(name: &str) -> u32 {
        let line = HEADER.lines().find(|line| {
            line.strip_prefix("#define ")
                .is_some_and(|l| l.starts_with(&format!("{name} ")))
        });
        line.and_then(|line| line.rsplit(' ').next())
            .unwrap()
            .parse()
            .unwrap()
    }

    #[test]
    fn the_header_has_the_same_numbers() {
        for kind in DenialKind::ALL {
            let name = format!("KIND_{}", kind.as_str().replace('-', "_").to_uppercase());
            assert_eq!(defined(&name), kind.number(), "{name}");
        }
        assert_eq!(HEADER.matches("#define KIND_").count(), DenialKind::ALL.len());
        assert_eq!(defined("MODE_DRY_RUN"), mode_number(GateMode::DryRun));
        assert_eq!(defined("MODE_ENFORCE"), mode_number(GateMode::Enforce));
        assert_eq!(defined("MAY_ANONYMOUS_EXEC"), right_bit(Right::AnonymousExec));
        assert_eq!(defined("MAY_DEVICE_MAPPER"), right_bit(Right::DeviceMapper));
        assert_eq!(defined("MAY_PASSTHROUGH"), right_bit(Right::Passthrough));
        assert_eq!(defined("MAY_TRACE"), right_bit(Right::Trace));
        assert_eq!(defined("MAY_WRITE_DEVICES"), right_bit(Right::WriteDevices));
        assert_eq!(defined("MAY_KERNEL_SETTINGS"), right_bit(Right::KernelSettings));
        assert_eq!([defined("OWN_MAP"), 7], Own::Map.key(7));
        assert_eq!([defined("OWN_PROGRAM"), 7], Own::Program.key(7));
        assert_eq!([defined("OWN_LINK"), 7], Own::Link.key(7));
        assert_eq!(defined("TOP_DIRECTORIES") as usize, TOP_DIRECTORIES);
    }

    #[test]
    fn settings_become_the_programs_configuration() {
        let settings = Settings {
            mode: GateMode::Enforce,
            root_dev: 0x0fd0_0001,
            pin_dev: 40,
            agent_inode: 0x0102_0304_0506_0708,
            top_inodes: vec![9, 10],
            programs: vec![],
            devices: vec![],
        };
        let config = settings.config();
        assert_eq!(mode_of(&config), Some(GateMode::Enforce));
        assert_eq!(root_of(&config), Some(0x0fd0_0001));
        assert_eq!(config[8..16], [40, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(config[16..25], [8, 7, 6, 5, 4, 3, 2, 1, 9]);
        assert_eq!(config[32], 10);
        assert!(config[40..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn an_event_is_read_as_the_programs_wrote_it() {
        let mut bytes = [0; EVENT_BYTES];
        for (at, value) in [(0, 1), (8, 2), (16, 3), (24, 4)] {
            bytes[at] = value;
        }
        for (at, value) in [(32, 5), (36, 14), (40, 6), (44, 7), (48, 8), (52, 9), (56, 1)] {
            bytes[at] = value;
        }
        bytes[64..67].copy_from_slice(b"cat");
        let event = Event::decode(&bytes).unwrap();
        assert_eq!(
            (event.number, event.time_ns, event.inode, event.cgroup),
            (1, 2, 3, 4)
        );
        assert_eq!((event.cpu, event.kind, event.device), (5, DenialKind::BpfLoad, 6));
        assert_eq!(
            (event.pid, event.uid, event.detail, event.denied),
            (7, 8, 9, true)
        );
        assert_eq!(event.comm, "cat");
        assert_eq!(Event::decode(&bytes[1..]), None);
        bytes[36] = 200;
        assert_eq!(Event::decode(&bytes), None);
    }
}
