//! IMA rules for the initrd, which bennu-init loads after the latch.

use std::path::{Path, PathBuf};

/// Longest policy in bytes; also bennu-init's limit.
const MAX_POLICY_BYTES: u64 = 64 * 1024;
/// Longest rule in bytes: the kernel takes less than a page at a time.
const MAX_RULE_BYTES: usize = 4095;
/// The rules of `policy = "default"`.
const DEFAULT: &str = include_str!("ima-default.policy");
/// What a rule may begin with. Appraisal is left out: dm-verity is what decides here, and rules that appraise on a
/// root without signatures in extended attributes stop the machine.
const ACTIONS: [&str; 5] = ["measure", "dont_measure", "audit", "hash", "dont_hash"];

/// What an image wants of IMA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImaPlan {
    /// The rules that come with bennu.
    Default,
    /// The kernel's own.
    None,
    /// A file.
    File(PathBuf),
}

impl ImaPlan {
    /// From the value of `policy`: `default`, `none`, or a file.
    pub fn of(value: Option<&Path>) -> Self {
        match value {
            None => Self::Default,
            Some(path) if path == Path::new("default") => Self::Default,
            Some(path) if path == Path::new("none") => Self::None,
            Some(path) => Self::File(path.to_owned()),
        }
    }
}

/// Why the rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImaError {
    /// The file.
    #[error("ima policy: {path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too long.
    #[error("ima policy: {path}: expected at most {MAX_POLICY_BYTES} bytes, found {found}")]
    TooLong {
        /// File.
        path: PathBuf,
        /// Bytes.
        found: u64,
    },
    /// A rule that is none, or one of a kind that is not used.
    #[error(
        "ima policy: line {line}: expected at most {MAX_RULE_BYTES} printable ASCII characters that begin with \
         measure, dont_measure, audit, hash or dont_hash, found {found:?}"
    )]
    Rule {
        /// Line, from 1.
        line: usize,
        /// Its beginning.
        found: String,
    },
    /// Nothing but comments.
    #[error("ima policy: expected a rule, found none; write policy = \"none\" under [ima] to have none")]
    Empty,
}

/// The rules' text; none where the image wants none.
///
/// # Errors
/// The file cannot be read, is too long, or has a line that is no rule.
pub fn rules(plan: &ImaPlan) -> Result<Option<String>, ImaError> {
    let text = match plan {
        ImaPlan::None => return Ok(None),
        ImaPlan::Default => DEFAULT.to_owned(),
        ImaPlan::File(path) => read(path)?,
    };
    let mut rules = 0;
    for (index, line) in text.lines().enumerate() {
        let rule = line.trim();
        if rule.is_empty() || rule.starts_with('#') {
            continue;
        }
        rules += 1;
        let action = rule.split_ascii_whitespace().next().unwrap_or_default();
        let printable = rule.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\t');
        if !ACTIONS.contains(&action) || !printable || rule.len() > MAX_RULE_BYTES {
            return Err(ImaError::Rule {
                line: index + 1,
                found: rule.chars().take(64).collect(),
            });
        }
    }
    if rules == 0 {
        return Err(ImaError::Empty);
    }
    Ok(Some(text))
}

fn read(path: &Path) -> Result<String, ImaError> {
    let failed = |source| ImaError::Read {
        path: path.to_owned(),
        source,
    };
    let found = std::fs::metadata(path).map_err(failed)?.len();
    if found > MAX_POLICY_BYTES {
        return Err(ImaError::TooLong {
            path: path.to_owned(),
            found,
        });
    }
    std::fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<String>, ImaError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules");
        std::fs::write(&path, text).unwrap();
        rules(&ImaPlan::of(Some(&path)))
    }

    #[test]
    fn the_default_rules_are_rules() {
        let text = rules(&ImaPlan::of(None)).unwrap().unwrap();
        assert!(text.contains("measure func=BPRM_CHECK"));
        assert_eq!(rules(&ImaPlan::of(Some(Path::new("none")))).unwrap(), None);
    }

    #[test]
    fn a_file_of_rules_is_taken_and_one_that_appraises_is_refused_with_its_line() {
        assert!(of("# all\n\nmeasure func=MODULE_CHECK\n").unwrap().is_some());
        let refused = of("measure func=MODULE_CHECK\nappraise func=MODULE_CHECK\n");
        assert!(matches!(refused, Err(ImaError::Rule { line: 2, .. })));
        assert!(matches!(of("# nothing\n"), Err(ImaError::Empty)));
        assert!(matches!(
            of("measure \u{e9}"),
            Err(ImaError::Rule { line: 1, .. })
        ));
    }

    #[test]
    fn a_file_that_is_too_long_or_missing_is_named() {
        assert!(matches!(of(&"#".repeat(70_000)), Err(ImaError::TooLong { .. })));
        let missing = rules(&ImaPlan::File("/nowhere/rules".into()));
        assert!(matches!(missing, Err(ImaError::Read { .. })));
    }
}
