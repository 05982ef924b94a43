//! The execution gate: what the image asks for ([`GateConfig`]) and what `bennud` saw ([`GateReport`]).
//!
//! [`GateConfig`] is written by `bennu build` into the verified root and read by `bennud gate`, which sets up the
//! gate; [`GateReport`] is written by `bennud` for `bennuctl`, and is a report only: the gate does not read it.

use crate::decode::{DecodeError, Document};
use serde::{Deserialize, Serialize};

/// Most programs with rights of their own.
pub const MAX_PROGRAMS: usize = 60;
/// Most interpreters that are confined.
pub const MAX_INTERPRETERS: usize = 32;
/// Most directories that an interpreter may read.
pub const MAX_DATA: usize = 16;
/// Longest path of a program in bytes.
pub const MAX_PATH_BYTES: usize = 255;
/// Denials that a report keeps: the newest.
pub const MAX_RECENT: usize = 16;

/// What the gate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateMode {
    /// What is not allowed is denied and recorded.
    Enforce,
    /// What is not allowed is recorded and happens.
    DryRun,
    /// There is no gate.
    None,
}

impl GateMode {
    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry-run",
            Self::None => "none",
        }
    }
}

/// What a program may do that others may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Make memory executable that is no unchanged verified file: just-in-time compilers.
    AnonymousExec,
    /// Change device-mapper devices.
    DeviceMapper,
    /// Send commands to disks past the block layer.
    Passthrough,
    /// Trace processes and write their memory.
    Trace,
    /// Write to the boot disk and its slots.
    WriteDevices,
    /// Name programs for the kernel to start: `core_pattern`, `modprobe`, `poweroff_cmd`, binfmt_misc.
    KernelSettings,
}

/// A verified program with rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateProgram {
    /// Absolute path in the root.
    pub path: String,
    /// Its rights.
    pub may: Vec<Right>,
}

/// A verified program that executes what it reads: it opens verified files for reading, and files below some directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interpreter {
    /// Absolute path in the root.
    pub path: String,
    /// Absolute paths of directories, each with what lies below it on the same file system.
    #[serde(default)]
    pub data: Vec<String>,
}

/// Whether programs that start and connections are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceRule {
    /// They are not.
    Off,
    /// Programs of privileged processes and all outbound connections.
    On,
}

/// `/usr/lib/bennu/gate.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// Schema number; 1.
    pub schema: u32,
    /// Mode.
    pub mode: GateMode,
    /// Programs with rights.
    pub programs: Vec<GateProgram>,
    /// Interpreters that are confined.
    pub interpreters: Vec<Interpreter>,
    /// The trace.
    pub trace: TraceRule,
}

impl Document for GateConfig {
    const NAME: &'static str = "gate configuration";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 256 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        if self.programs.len() > MAX_PROGRAMS {
            return Err(Self::bad_value("programs", "at most 60", self.programs.len()));
        }
        if self.interpreters.len() > MAX_INTERPRETERS {
            return Err(Self::bad_value(
                "interpreters",
                "at most 32",
                self.interpreters.len(),
            ));
        }
        if let Some(most) = self.interpreters.iter().find(|one| one.data.len() > MAX_DATA) {
            return Err(Self::bad_value(
                "interpreters",
                "at most 16 directories",
                &most.path,
            ));
        }
        let is_path = |path: &&String| path.starts_with('/') && path.len() <= MAX_PATH_BYTES;
        let mut programs = self.programs.iter().map(|program| &program.path);
        if let Some(path) = programs.find(|path| !is_path(path)) {
            return Err(Self::bad_value(
                "programs",
                "absolute paths of at most 255 bytes",
                path,
            ));
        }
        let mut paths = self
            .interpreters
            .iter()
            .flat_map(|one| std::iter::once(&one.path).chain(&one.data));
        match paths.find(|path| !is_path(path)) {
            Some(path) => Err(Self::bad_value(
                "interpreters",
                "absolute paths of at most 255 bytes",
                path,
            )),
            None => Ok(()),
        }
    }
}

macro_rules! kinds {
    ($($name:ident = $number:literal, $text:literal, $meaning:literal;)*) => {
        /// What was attempted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum DenialKind { $(#[doc = $meaning] #[serde(rename = $text)] $name,)* }

        impl DenialKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number in the gate's events (`ebpf/src/bpf/intf.h`, `KIND_…`).
            pub fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }

            /// The word in logs and documents.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

kinds! {
    Exec = 1, "exec", "execute a file that is not verified";
    MapExec = 2, "map-exec", "map a file executable that is not verified";
    AnonymousExec = 3, "anonymous-exec", "make memory executable that is no file";
    ChangedExec = 4, "changed-exec", "make changed memory of a verified file executable";
    WriteExec = 5, "write-exec", "make memory writable and executable at once";
    Personality = 6, "personality", "ask for readable memory to be executable";
    Trace = 7, "trace", "trace a process";
    ProcessMemory = 8, "process-memory", "write a process's memory through procfs";
    Module = 9, "module", "load a kernel module that is not verified";
    Firmware = 10, "firmware", "load firmware that is not verified";
    Kexec = 11, "kexec", "load another kernel";
    KernelData = 12, "kernel-data", "give the kernel a policy or certificate that is not verified";
    BpfObject = 13, "bpf-object", "open one of the gate's own maps, programs or links";
    BpfLoad = 14, "bpf-load", "load a program that reaches into the kernel";
    DeviceWrite = 15, "device-write", "open the boot disk or a slot for writing";
    Passthrough = 16, "passthrough", "send a command to a disk past the block layer";
    DeviceMapper = 17, "device-mapper", "change a device-mapper device";
    Partitions = 18, "partitions", "change the kernel's view of the boot disk's partitions";
    Mount = 19, "mount", "mount over verified files";
    Unmount = 20, "unmount", "unmount the gate's directory or what it stands on";
    Pin = 21, "pin", "remove or rename one of the gate's pins";
    KernelSetting = 22, "kernel-setting", "name a program for the kernel to start, or take the gate's calls away";
    Interpreter = 23, "interpreter", "read what is not verified with an interpreter";
    Shell = 24, "shell", "start a shell in a unit without shells";
    Executable = 25, "executable", "start a program that the unit's profile does not name";
    Connect = 26, "connect", "connect to whom the unit's profile does not name";
    Tcp = 27, "tcp", "make a TCP socket in a unit without TCP";
    Cgroup = 28, "cgroup", "leave the cgroup of a unit with a profile";
    UnitDenied = 29, "unit-denied", "start a program in a unit that starts none any more";
    NetworkCut = 30, "network-cut", "send past the cut network";
    Program = 31, "program", "pass for another program";
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It happened and would have been denied.
    DryRun,
    /// It was denied.
    Denied,
    /// It happened, against a rule that is to be one day.
    Warned,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What.
    pub kind: DenialKind,
    /// What came of it.
    pub outcome: Outcome,
    /// Milliseconds since kernel start, suspended time included.
    pub at_ms: u64,
    /// `major:minor` of the file's file system, or of the device. Of memory that is no file: of the program that asks for it.
    pub device: String,
    /// Inode, or the id of a BPF object; 0: none, or not on the root.
    pub inode: u64,
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// The process's name, which it chose itself.
    pub comm: String,
    /// Id of its cgroup: the inode of its directory in cgroupfs.
    pub cgroup: u64,
    /// Depends on `kind`: command of an ioctl, protection of memory, process id of what was traced.
    pub detail: u32,
    /// The unit whose profile rules it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Whom it was to connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// `/run/bennu/gate.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// Schema number; 1.
    pub schema: u32,
    /// Mode of the gate that stands.
    pub mode: GateMode,
    /// `major:minor` of the root's device.
    pub root: String,
    /// Events so far: denials, or what would have been one.
    pub events: u64,
    /// Those of which nothing but the number is known: the ring was full.
    pub lost: u64,
    /// The newest, oldest first.
    pub recent: Vec<Denial>,
}

impl Document for GateReport {
    const NAME: &'static str = "gate report";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 32 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &str) -> String {
        format!(
            r#"{{"schema":1,"mode":"enforce","programs":[{{"path":"{path}","may":["device-mapper","anonymous-exec"]}}],"interpreters":[],"trace":"off"}}"#
        )
    }

    #[test]
    fn a_configuration_has_a_mode_and_absolute_paths_with_rights() {
        let found = GateConfig::decode(config("/usr/bin/node").as_bytes()).unwrap();
        assert_eq!(found.mode, GateMode::Enforce);
        assert_eq!(found.programs[0].may, [Right::DeviceMapper, Right::AnonymousExec]);
        for path in ["node", "", &format!("/{}", "x".repeat(MAX_PATH_BYTES))] {
            let refused = GateConfig::decode(config(path).as_bytes());
            assert!(
                matches!(
                    refused,
                    Err(DecodeError::BadValue {
                        member: "programs",
                        ..
                    })
                ),
                "{path}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_mode_or_right_that_nobody_knows_is_refused() {
        for (from, to) in [("enforce", "permissive"), ("device-mapper", "everything")] {
            let refused = GateConfig::decode(config("/a").replace(from, to).as_bytes());
            assert!(
                matches!(refused, Err(DecodeError::Malformed { .. })),
                "{refused:?}"
            );
        }
        let many = vec![
            GateProgram {
                path: "/a".into(),
                may: vec![]
            };
            MAX_PROGRAMS + 1
        ];
        let config = GateConfig {
            schema: 1,
            mode: GateMode::DryRun,
            programs: many,
            interpreters: vec![],
            trace: TraceRule::Off,
        };
        let refused = GateConfig::decode(&serde_json::to_vec(&config).unwrap());
        assert!(matches!(refused, Err(DecodeError::BadValue { found, .. }) if found == "61"));
    }

    #[test]
    fn an_interpreter_has_absolute_paths_and_few_directories() {
        let with = |interpreter: &str| {
            let text = config("/a").replace(
                r#""interpreters":[]"#,
                &format!(r#""interpreters":[{interpreter}]"#),
            );
            GateConfig::decode(text.as_bytes())
        };
        assert_eq!(
            with(r#"{"path":"/bin/sh","data":["/etc"]}"#)
                .unwrap()
                .interpreters[0]
                .data,
            ["/etc"]
        );
        let many = vec![r#""/a""#; MAX_DATA + 1].join(",");
        for wrong in [
            r#"{"path":"sh"}"#.to_owned(),
            r#"{"path":"/bin/sh","data":["etc"]}"#.to_owned(),
            format!(r#"{{"path":"/bin/sh","data":[{many}]}}"#),
        ] {
            let refused = with(&wrong);
            assert!(
                matches!(
                    refused,
                    Err(DecodeError::BadValue {
                        member: "interpreters",
                        ..
                    })
                ),
                "{wrong}: {refused:?}"
            );
        }
    }

    #[test]
    fn numbers_and_words_of_kinds_are_unique() {
        let kinds = DenialKind::ALL;
        for (index, kind) in kinds.iter().enumerate() {
            assert_eq!(kind.number() as usize, index + 1);
            assert!(kinds[..index].iter().all(|other| other.as_str() != kind.as_str()));
        }
    }
}
