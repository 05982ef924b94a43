//! The kernel's IMA policy: loaded once, rule by rule.
//!
//! Written by: `bennu-init`. Read by: the kernel, which on Debian (no `CONFIG_IMA_WRITE_POLICY`) takes one policy a
//! boot and then removes the file. Source: `Documentation/ABI/testing/ima_policy`, `security/integrity/ima/ima_fs.c`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where securityfs has it.
pub const POLICY: &str = "/sys/kernel/security/ima/policy";
/// Longest rule in bytes: the kernel takes less than a page a write.
pub const RULE_LIMIT: usize = 4095;

/// Why there is no new policy in force.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum ImaError {
    #[error(
        "ima policy: cannot open {path}: {source}; the kernel has no IMA, or a policy was loaded before in this boot"
    )]
    Open { path: PathBuf, source: io::Error },
    #[error("ima policy: the kernel refused the rule {rule:?}: {source}")]
    Rule { rule: String, source: io::Error },
}

/// Loads `rules`, one a line; lines that are empty or begin with `#` are left out.
///
/// # Errors
/// [`ImaError`]. After a refused rule the kernel drops all of them.
pub fn load_policy(path: &Path, rules: &str) -> Result<(), ImaError> {
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|source| ImaError::Open {
            path: path.to_owned(),
            source,
        })?;
    for rule in rules_of(rules) {
        file.write_all(format!("{rule}\n").as_bytes())
            .map_err(|source| ImaError::Rule {
                rule: rule.to_owned(),
                source,
            })?;
    }
    // Closing puts the rules into force or drops them, and tells nobody which: see [`takes_a_policy`].
    drop(file);
    Ok(())
}

/// The rules of a policy text.
pub fn rules_of(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whether the kernel takes another policy in this boot. One that takes a single policy does so until rules are in
/// force; one with `CONFIG_IMA_WRITE_POLICY` always does.
///
/// # Errors
/// The file can be neither found nor said to be missing.
pub fn takes_a_policy(path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_written_and_comments_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("policy");
        std::fs::write(&policy, "").unwrap();
        load_policy(
            &policy,
            "# why\n\n measure func=BPRM_CHECK \nmeasure func=MODULE_CHECK",
        )
        .unwrap();
        let found = std::fs::read_to_string(&policy).unwrap();
        assert_eq!(found, "measure func=BPRM_CHECK\nmeasure func=MODULE_CHECK\n");
    }

    #[test]
    fn a_kernel_that_takes_no_policy_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("policy");
        assert!(!takes_a_policy(&policy).unwrap());
        let refused = load_policy(&policy, "measure func=BPRM_CHECK");
        assert!(matches!(refused, Err(ImaError::Open { .. })));
    }
}
