//! Who else decides about execution: the kernel asks every security module, and one that denies is enough. The gate
//! says so when it is set up, and changes nothing for it.

use bennu_ebpf::others::{Others, others};
use bennu_linux::bounded;
use std::path::Path;

/// IPE's policies, a directory each (Documentation/admin-guide/LSM/ipe.rst).
const IPE: &str = "/sys/kernel/security/ipe/policies";
const MAX_BYTES: usize = 16;

/// Beginnings of the names of systemd's programs, as the kernel cuts them, and the setting that loads them
/// (systemd 257 and 261, src/bpf).
const SYSTEMD: [(&str, &str); 2] = [
    ("restrict_filesy", "systemd's RestrictFileSystems="),
    ("restrict_fsacce", "systemd's RestrictFileSystemAccess="),
];

/// Words about everybody else, read before the gate's own programs are there.
pub fn all() -> Option<String> {
    let programs = match others() {
        Ok(others) => of_programs(&others),
        Err(error) => Some(format!(
            "whether other programs decide as well is not known: {error}"
        )),
    };
    let words: Vec<String> = words(Path::new(IPE)).into_iter().chain(programs).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn of_programs(others: &Others) -> Option<String> {
    let name = |name: &String| {
        let known = SYSTEMD.iter().find(|(begins, _)| name.starts_with(begins));
        known.map_or_else(|| name.clone(), |(_, setting)| (*setting).to_owned())
    };
    let mut who: Vec<String> = others.names.iter().map(name).collect();
    if others.guarded > 0 {
        who.push(format!(
            "a gate that guards {} programs of its own",
            others.guarded
        ));
    }
    (!who.is_empty()).then(|| format!("decide as well: {}", who.join(", ")))
}

/// Words about IPE if one of its policies in `directory` is active.
fn words(directory: &Path) -> Option<String> {
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
    fn other_programs_are_named_by_who_loads_them() {
        let others = |names: &[&str], guarded| Others {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            guarded,
        };
        assert_eq!(of_programs(&others(&[], 0)), None);
        assert_eq!(
            of_programs(&others(&["restrict_filesy", "theirs"], 0)).unwrap(),
            "decide as well: systemd's RestrictFileSystems=, theirs"
        );
        assert_eq!(
            of_programs(&others(&["restrict_fsacce"], 9)).unwrap(),
            "decide as well: systemd's RestrictFileSystemAccess=, a gate that guards 9 programs of its own"
        );
    }

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
