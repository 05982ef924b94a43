//! What the collector has to tell people.

use bennu_formats::codes::Code;
use serde::Serialize;
use std::fmt;

/// Something that came, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Stable code (`docs/reference/errors.md`).
    pub code: Code,
    /// The machine, if a valid name came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Number of its log's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<u32>,
    /// Number of the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Words for people.
    pub words: String,
}

impl Told {
    /// Whether what came is evidence against somebody, or is lost; the others are told for the record.
    pub fn refuses(&self) -> bool {
        !matches!(
            self.code,
            Code::RecordsAnew | Code::RecordsSender | Code::RecordsTorn
        )
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(machine) = &self.machine {
            write!(f, "{machine}")?;
            if let Some(log) = self.log {
                write!(f, ", log {log}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.words)
    }
}
