//! The trace: programs that privileged processes started, and outbound connections. One JSON object a line
//! ([docs/spec/trace.md](../../../docs/spec/trace.md)).
//!
//! Written by `bennud` from the execution gate's ring; read by people and their tools. The kernel numbers the records of
//! each CPU, so that one which was lost leaves a [`TraceLine::Gap`].

use serde::{Deserialize, Serialize};

/// A program as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedProgram {
    /// `major:minor` of its file system's device.
    pub device: String,
    /// Inode.
    pub inode: u64,
}

/// One of those who started the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedAncestor {
    /// Process id.
    pub pid: u32,
    /// Its name, which it chose itself.
    pub comm: String,
    /// Its program; a kernel thread has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<TracedProgram>,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedProcess {
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Its name, which it chose itself.
    pub comm: String,
    /// Id of its cgroup: the inode of its directory in cgroupfs.
    pub cgroup: u64,
    /// Name of that directory: under systemd the unit's.
    pub unit: String,
    /// Its program; for `exec` the new one.
    pub program: TracedProgram,
    /// Whether the program lies on a verified device.
    pub verified: bool,
    /// Parent first, six at most.
    pub ancestors: Vec<TracedAncestor>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TraceLine {
    /// A program was started by a privileged process, or started privileged.
    Exec {
        /// CPU.
        cpu: u32,
        /// Number on that CPU.
        number: u64,
        /// Milliseconds since kernel start, suspended time included.
        at_ms: u64,
        /// The path that was asked for, its first 127 bytes. Only words: the program is what `program` says.
        path: String,
        /// Who.
        by: TracedProcess,
    },
    /// An outbound connection, before the kernel tries it.
    Connect {
        /// CPU.
        cpu: u32,
        /// Number on that CPU.
        number: u64,
        /// Milliseconds since kernel start, suspended time included.
        at_ms: u64,
        /// `10.0.0.1:443 tcp`, `[fd00::1]:53 udp`, `unix:/run/x`, `unix:@name`, `family 40`.
        to: String,
        /// Who.
        by: TracedProcess,
    },
    /// Records were lost: the ring was full.
    Gap {
        /// CPU.
        cpu: u32,
        /// The number after the gap.
        before: u64,
        /// How many.
        missing: u64,
    },
}
