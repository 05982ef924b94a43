//! The trace: programs that privileged processes started, and outbound connections. One JSON object a line
//! ([docs/spec/trace.md](../../../docs/spec/trace.md)).
//!
//! Written by `bennud` from the execution gate's ring; read by people and their tools. Records that were lost leave a
//! [`TraceLine::Gap`]. What became of each is counted in [`TraceReport`], by which a `bennud` that is started again goes on.

use crate::Sha256Digest;
use crate::decode::Document;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Which file of the trace: 8 random bytes, 16 lower-case hex digits in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceFileId(pub [u8; 8]);

impl fmt::Display for TraceFileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for TraceFileId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceFileId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 8];
        hex::decode_to_slice(&text, &mut bytes)
            .ok()
            .filter(|()| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
            .map(|()| Self(bytes))
            .ok_or_else(|| serde::de::Error::custom("expected 16 lower-case hex digits"))
    }
}

/// What a file of the trace begins with, as the event [`TraceSeal::EVENT`] of the record log says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSeal {
    /// Always [`TraceSeal::EVENT`].
    pub event: String,
    /// Which file.
    pub file: TraceFileId,
    /// So many bytes of it, from its start.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Sha256Digest,
    /// Nothing comes after them: another file was begun.
    pub ended: bool,
}

impl TraceSeal {
    /// Name of the event.
    pub const EVENT: &str = "trace-sealed";

    /// The seal of the first `bytes` bytes.
    pub fn new(file: TraceFileId, bytes: u64, sha256: Sha256Digest, ended: bool) -> Self {
        Self {
            event: Self::EVENT.to_owned(),
            file,
            bytes,
            sha256,
            ended,
        }
    }
}

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
    /// First line of a file: which it is.
    Begin {
        /// Which.
        id: TraceFileId,
        /// The kernel's boot id when it was begun.
        boot: String,
    },
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
    /// Records were lost: the ring was full, or `bennud` ended between reading and writing them.
    Gap {
        /// CPU.
        cpu: u32,
        /// They have smaller numbers.
        before: u64,
        /// How many.
        missing: u64,
    },
}

/// What became of one CPU's records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedCpu {
    /// Lines in the file.
    pub written: u64,
    /// Found the ring full, and are told.
    pub lost: u64,
    /// Were taken from the ring by a `bennud` that ended before it wrote them, and are told.
    pub unwritten: u64,
}

/// `/run/bennu/trace.json`, written by `bennud` after the lines that it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceReport {
    /// Schema number; 1.
    pub schema: u32,
    /// Each CPU, from 0.
    pub cpus: Vec<TracedCpu>,
}

impl TraceReport {
    /// Records that were written, and those that are told as lost.
    pub fn sums(&self) -> (u64, u64) {
        self.cpus.iter().fold((0, 0), |(written, lost), cpu| {
            let gone = cpu.lost.saturating_add(cpu.unwritten);
            (
                u64::saturating_add(written, cpu.written),
                u64::saturating_add(lost, gone),
            )
        })
    }
}

impl Document for TraceReport {
    const NAME: &'static str = "trace report";
    const SCHEMA: u32 = 1;
    // 8192 CPUs, as many as a kernel may have, with three numbers of 20 digits.
    const MAX_BYTES: usize = 2 << 20;
}
