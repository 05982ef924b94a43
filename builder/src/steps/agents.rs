//! The three agents, as built beside `bennu` itself.
//!
//! They are looked for in the directory that `--agents` names, else in `agents/` beside the `bennu` binary,
//! where `make build` puts the static ones.

use std::path::{Path, PathBuf};

/// Why an agent cannot be put in.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Not there.
    #[error("agent {path}: cannot be read: {source}; build the agents with `make build`, or give --agents")]
    Read {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a static program: it would depend on the image's libraries.
    #[error(
        "agent {0}: expected a statically linked x86-64 ELF program, found something else; run `make build`"
    )]
    NotStatic(PathBuf),
}

/// The directory with the agents.
#[derive(Debug, Clone)]
pub struct Agents(PathBuf);

impl Agents {
    /// `given`, or beside this program.
    pub fn locate(given: Option<&Path>) -> Self {
        if let Some(path) = given {
            return Self(path.to_owned());
        }
        let beside = std::env::current_exe()
            .ok()
            .and_then(|p| p.parent().map(|d| d.join("agents")));
        Self(beside.unwrap_or_else(|| PathBuf::from("agents")))
    }

    /// The path of one agent.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The bytes of one agent, checked to be static.
    ///
    /// # Errors
    /// Missing, or not a static program.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, AgentError> {
        let path = self.path(name);
        let bytes = std::fs::read(&path).map_err(|source| AgentError::Read {
            path: path.clone(),
            source,
        })?;
        if is_static_elf(&bytes) {
            Ok(bytes)
        } else {
            Err(AgentError::NotStatic(path))
        }
    }
}

/// Whether an x86-64 ELF program asks for no interpreter (no `PT_INTERP`).
fn is_static_elf(bytes: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let word = |at: usize| {
        bytes
            .get(at..at + 4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let half = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    if bytes.get(..5) != Some(b"\x7fELF\x02".as_slice()) || half(18) != Some(62) {
        return false;
    }
    let (Some(table), Some(entry), Some(count)) = (word(32), half(54), half(56)) else {
        return false;
    };
    (0..usize::from(count)).all(|i| word(table as usize + i * usize::from(entry)) != Some(PT_INTERP))
}
