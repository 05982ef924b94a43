//! `struct trace_event`: a program that was started, or an outbound connection.

use super::{long, word};
use std::net::Ipv6Addr;

/// Length of `struct trace_event`.
pub const TRACE_BYTES: usize = 480;
const ANCESTOR_BYTES: usize = 32;
const ANCESTORS: usize = 6;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A program was started.
    Exec {
        /// The path that was asked for.
        path: String,
    },
    /// A connection over IP, or by another family of addresses.
    Connect {
        /// `AF_…`
        family: u32,
        /// IPv4 mapped.
        address: Ipv6Addr,
        /// Port.
        port: u16,
        /// IANA's protocol number.
        protocol: u32,
    },
    /// A connection to a Unix socket.
    ConnectUnix {
        /// The name that its server bound it to; `@` stands for the zero of an abstract one.
        name: String,
    },
}

/// One of those who started the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// Process.
    pub pid: u32,
    /// Device of its program, `major << 20 | minor`.
    pub device: u32,
    /// Inode of its program.
    pub inode: u64,
    /// Its name, which it chose itself.
    pub comm: String,
}

/// One record of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Number of the record on its CPU, from 1.
    pub number: u64,
    /// Nanoseconds since kernel start.
    pub time_ns: u64,
    /// CPU.
    pub cpu: u32,
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Its name.
    pub comm: String,
    /// Id of the cgroup.
    pub cgroup: u64,
    /// Name of the cgroup's directory.
    pub unit: String,
    /// Device of the program.
    pub device: u32,
    /// Inode of the program.
    pub inode: u64,
    /// The program lies on a verified device.
    pub verified: bool,
    /// What happened.
    pub act: Act,
    /// Parent first, six at most.
    pub ancestors: Vec<Ancestor>,
}

const AF_UNIX: u32 = 1;

impl Trace {
    /// Decodes one record; none for another length or an unknown kind, which no program of ours writes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != TRACE_BYTES {
            return None;
        }
        let detail = word(bytes, 56)?;
        let name = text(bytes.get(160..288)?);
        let act = match (word(bytes, 36)?, detail >> 16) {
            (1, _) => Act::Exec { path: name },
            (2, AF_UNIX) => Act::ConnectUnix { name },
            (2, family) => Act::Connect {
                family,
                address: Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(64..80)?).ok()?),
                port: u16::try_from(detail & 0xffff).ok()?,
                protocol: word(bytes, 60)?,
            },
            _ => return None,
        };
        Some(Self {
            number: long(bytes, 0)?,
            time_ns: long(bytes, 8)?,
            cgroup: long(bytes, 16)?,
            inode: long(bytes, 24)?,
            cpu: word(bytes, 32)?,
            pid: word(bytes, 40)?,
            uid: word(bytes, 44)?,
            device: word(bytes, 48)?,
            verified: word(bytes, 52)? != 0,
            comm: text(bytes.get(80..96)?),
            unit: text(bytes.get(96..160)?),
            act,
            ancestors: ancestors(bytes.get(288..288 + ANCESTORS * ANCESTOR_BYTES)?)?,
        })
    }
}

fn ancestors(bytes: &[u8]) -> Option<Vec<Ancestor>> {
    let mut all = Vec::new();
    for one in bytes.chunks_exact(ANCESTOR_BYTES) {
        let pid = word(one, 0)?;
        if pid == 0 {
            break;
        }
        all.push(Ancestor {
            pid,
            device: word(one, 4)?,
            inode: long(one, 8)?,
            comm: text(one.get(16..32)?),
        });
    }
    Some(all)
}

/// Up to the first zero; what is no UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
