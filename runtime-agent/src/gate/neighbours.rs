//! Who else decides about execution: the kernel asks every security module, and one that denies is enough. The gate
//! says so when it is set up, and changes nothing for it.

use bennu_linux::bounded;
use std::path::Path;

/// IPE's policies, a directory each (Documentation/admin-guide/LSM/ipe.rst).
pub const IPE: &str = "/sys/kernel/security/ipe/policies";
const MAX_BYTES: usize = 16;

/// Words about IPE if one of its policies in `directory` is active.
pub fn words(directory: &Path) -> Option<String> {
    // Without IPE in the kernel there is no directory.
    let mut active: Vec<String> = std::fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter(|policy| {
            bounded::read_text(&policy.path().join("active"), MAX_BYTES).is_ok_and(|text| text == "1")
        })
        .map(|policy| policy.file_name().to_string_lossy().into_owned())
        .collect();
    active.sort();
    (!active.is_empty()).then(|| format!("IPE decides as well: policy {}", active.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_policy_of_ipe_is_named_and_another_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for (name, active) in [("boot", "1\n"), ("spare", "0\n")] {
            let policy = directory.path().join(name);
            std::fs::create_dir(&policy).unwrap();
            std::fs::write(policy.join("active"), active).unwrap();
        }
        assert_eq!(
            words(directory.path()).as_deref(),
            Some("IPE decides as well: policy boot")
        );
        assert_eq!(words(&directory.path().join("spare")), None);
        assert_eq!(words(Path::new("/nowhere")), None);
    }
}
