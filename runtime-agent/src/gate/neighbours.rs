//! Who else decides about execution: the kernel asks every security module, and one that denies is enough. The gate
//! says so when it is set up, and changes nothing for it.

use bennu_ebpf::others::{Others, others};
use bennu_linux::bounded;
use std::path::Path;

/// IPE's files, among them its policies, a directory each (Documentation/admin-guide/LSM/ipe.rst).
const IPE: &str = "/sys/kernel/security/ipe";
/// Longest of them that is read: a version is three numbers of 16 bits.
const MAX_BYTES: usize = 32;

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
            "a gate that guards {} programs of its own, as systemd's RestrictFileSystemAccess= does",
            others.guarded
        ));
    }
    (!who.is_empty()).then(|| format!("decide as well: {}", who.join(", ")))
}

/// Words about IPE, whose files are in `directory`, if one of its policies is active: the kernel has one at most.
fn words(directory: &Path) -> Option<String> {
    let read = |path: &Path| bounded::read_text(path, MAX_BYTES).ok();
    // Without IPE in the kernel there is no directory.
    let policies = std::fs::read_dir(directory.join("policies")).ok()?;
    let active = policies
        .flatten()
        .map(|policy| policy.path())
        .find(|policy| read(&policy.join("active")).is_some_and(|text| text.trim() == "1"))?;
    let name = active.file_name().unwrap_or_default().to_string_lossy();
    let version = read(&active.join("version")).map_or_else(String::new, |text| format!(" {}", text.trim()));
    let enforces = read(&directory.join("enforce")).is_none_or(|text| text.trim() == "1");
    Some(if enforces {
        format!("IPE decides as well: policy {name}{version}")
    } else {
        format!("IPE tells as well and denies nothing: policy {name}{version}")
    })
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
            "decide as well: systemd's RestrictFileSystemAccess=, a gate that guards 9 programs of its own, as systemd's \
             RestrictFileSystemAccess= does"
        );
    }

    #[test]
    fn an_active_policy_of_ipe_is_named_and_another_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("policies/spare/active", "0");
        assert_eq!(words(directory.path()), None);
        write("policies/boot/active", "1");
        assert_eq!(
            words(directory.path()).as_deref(),
            Some("IPE decides as well: policy boot")
        );
        write("policies/boot/version", "1.2.3");
        write("enforce", "1");
        assert_eq!(
            words(directory.path()).as_deref(),
            Some("IPE decides as well: policy boot 1.2.3")
        );
        write("enforce", "0");
        assert_eq!(
            words(directory.path()).as_deref(),
            Some("IPE tells as well and denies nothing: policy boot 1.2.3")
        );
        assert_eq!(words(Path::new("/nowhere")), None);
    }
}
