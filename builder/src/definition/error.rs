//! Why a definition is refused.

use super::{MAX_DEFINITION_BYTES, MAX_EXTENDS};
use std::path::PathBuf;

/// Why a definition is refused.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The file cannot be read.
    #[error("image definition {path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than a definition can sensibly be.
    #[error("image definition {path}: expected at most {MAX_DEFINITION_BYTES} bytes, found {found}")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// Not TOML, an unknown key, or a value of the wrong type; the text has line and column.
    #[error("image definition {path}: {detail}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        detail: String,
    },
    /// `extends` in a circle.
    #[error("image definition {0}: `extends` goes deeper than {MAX_EXTENDS} files; is it a circle?")]
    Circle(PathBuf),
    /// A key that must be there.
    #[error("image definition {path}: key `{key}` is missing; {advice}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What to write.
        advice: &'static str,
    },
    /// A value that cannot be.
    #[error("image definition {path}: key `{key}`: expected {expected}, found {found}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was there.
        found: String,
    },
}
