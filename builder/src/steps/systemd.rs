//! What systemd would be told that does not go with a root that `bennu-init` sets up.
//!
//! `RestrictFileSystemAccess=` (systemd 261) lets nothing execute but what lies on a dm-verity device whose signature systemd's
//! own programs saw the kernel verify. The root was verified before systemd started, so that nothing at all would execute:
//! `docs/adr/0030-restrict-file-system-access.md`.

use bennu_erofs::{Kind, Tree, TreeError};
use std::collections::BTreeMap;

/// Where the manager's configuration lies, the directory that wins first (systemd-system.conf(5)).
const DIRECTORIES: [&str; 4] = [
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
];
/// The setting, and how the kernel's command line overrides it.
const SETTING: &str = "RestrictFileSystemAccess";
const PARAMETER: &str = "systemd.restrict_filesystem_access";
/// Longest configuration file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// What systemd takes for no (`parse_boolean()`).
const NO: [&str; 7] = ["", "0", "no", "n", "false", "f", "off"];

/// The setting where it is on: file or command line, and the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Restricted {
    /// Where it is said.
    pub place: String,
    /// What.
    pub value: String,
}

/// Whether systemd would restrict what executes, by the files of `tree` and by `cmdline`. Of several assignments the last one
/// counts, in the order in which systemd reads them.
///
/// # Errors
/// A file is longer than 1 MiB, or a directory is none.
pub(super) fn restricted(tree: &Tree, cmdline: &str) -> Result<Option<Restricted>, TreeError> {
    let prefix = format!("{PARAMETER}=");
    let on_the_line = cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(&prefix))
        .next_back();
    if let Some(value) = on_the_line {
        return Ok(on("the command line".to_owned(), value));
    }
    let mut last = None;
    for path in files(tree)? {
        let text = tree.read_file(&path, MAX_BYTES)?;
        if let Some(value) = assigned(&String::from_utf8_lossy(&text)) {
            last = Some((path, value));
        }
    }
    Ok(last.and_then(|(path, value)| on(path, &value)))
}

fn on(place: String, value: &str) -> Option<Restricted> {
    let off = NO.contains(&value.to_ascii_lowercase().as_str());
    (!off).then(|| Restricted {
        place,
        value: value.to_owned(),
    })
}

/// The main file and the drop-ins by their names; one of a directory that wins hides others of its name.
fn files(tree: &Tree) -> Result<Vec<String>, TreeError> {
    let is_file = |path: &str| -> Result<bool, TreeError> {
        let found = tree.get_following(path)?;
        Ok(matches!(found.map(|node| &node.kind), Some(Kind::Regular(_))))
    };
    let mut files = Vec::new();
    for directory in DIRECTORIES {
        let path = format!("{directory}/system.conf");
        if is_file(&path)? {
            files.push(path);
            break;
        }
    }
    let mut drop_ins = BTreeMap::new();
    for directory in DIRECTORIES {
        let directory = format!("{directory}/system.conf.d");
        if tree.get_following(&directory)?.is_none() {
            continue;
        }
        for (name, _) in tree.list(&directory)? {
            let name = String::from_utf8_lossy(name).into_owned();
            let path = format!("{directory}/{name}");
            if name.ends_with(".conf") && !drop_ins.contains_key(&name) {
                // A link to nowhere or to /dev/null hides as well.
                drop_ins.insert(name, is_file(&path)?.then_some(path));
            }
        }
    }
    files.extend(drop_ins.into_values().flatten());
    Ok(files)
}

/// The last value in the section `[Manager]`.
fn assigned(text: &str) -> Option<String> {
    let mut in_manager = false;
    let mut value = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_manager = line == "[Manager]";
        } else if in_manager
            && let Some((name, found)) = line.split_once('=')
            && name.trim_end() == SETTING
        {
            value = Some(found.trim().to_owned());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_erofs::{Content, Metadata, Timestamp};

    fn tree(files: &[(&str, &str)]) -> Tree {
        let now = Timestamp::from_seconds(0);
        let mut tree = Tree::new(Metadata::root_owned(0o755, now));
        for (path, text) in files {
            let content = Content::inline(text.as_bytes());
            tree.insert_file(path, Metadata::root_owned(0o644, now), content)
                .unwrap();
        }
        tree
    }

    fn place(files: &[(&str, &str)], cmdline: &str) -> Option<String> {
        let found = restricted(&tree(files), cmdline).unwrap();
        found.map(|found| format!("{}: {}", found.place, found.value))
    }

    const ON: &str = "[Manager]\nRestrictFileSystemAccess = exec\n";
    const OFF: &str = "# x\n[Manager]\nRestrictFileSystemAccess=no\n";

    #[test]
    fn the_last_assignment_counts_in_systemds_order() {
        let main = "/etc/systemd/system.conf";
        let (early, late) = (
            "/usr/lib/systemd/system.conf.d/10-a.conf",
            "/etc/systemd/system.conf.d/50-b.conf",
        );
        let said = |path: &str| Some(format!("{path}: exec"));
        assert_eq!(place(&[], ""), None);
        assert_eq!(place(&[(main, ON)], ""), said(main));
        assert_eq!(place(&[(main, ON), (early, OFF)], ""), None);
        assert_eq!(place(&[(main, OFF), (early, ON)], ""), said(early));
        assert_eq!(place(&[(early, ON), (late, OFF)], ""), None);
        assert_eq!(place(&[(early, OFF), (late, ON)], ""), said(late));
        // A file of the same name in /etc hides the one in /usr/lib, as does the main file.
        let hidden = "/etc/systemd/system.conf.d/10-a.conf";
        assert_eq!(place(&[(early, ON), (hidden, "")], ""), None);
        assert_eq!(
            place(&[("/usr/lib/systemd/system.conf", ON), (main, "")], ""),
            None
        );
    }

    #[test]
    fn only_an_assignment_of_the_manager_counts_and_any_word_but_a_no_is_one() {
        let main = "/usr/lib/systemd/system.conf";
        for text in [
            "RestrictFileSystemAccess=exec",
            "[Other]\nRestrictFileSystemAccess=exec",
            "[Manager]\n#RestrictFileSystemAccess=exec",
            "[Manager]\nRestrictFileSystemAccess=",
            "[Manager]\nRestrictFileSystemAccess=No",
            "[Manager]\nRestrictFileSystems=exec",
        ] {
            assert_eq!(place(&[(main, text)], ""), None, "{text}");
        }
        for value in ["yes", "1", "exec", "EXEC", "something new"] {
            let text = format!("[Manager]\nRestrictFileSystemAccess={value}\n[Other]\n");
            assert_eq!(place(&[(main, &text)], ""), Some(format!("{main}: {value}")));
        }
    }

    #[test]
    fn the_command_line_overrides_files() {
        let main = ("/etc/systemd/system.conf", ON);
        let line = "quiet systemd.restrict_filesystem_access=no";
        assert_eq!(place(&[main], line), None);
        let line = "systemd.restrict_filesystem_access=no systemd.restrict_filesystem_access=exec";
        assert_eq!(place(&[], line).unwrap(), "the command line: exec");
    }
}
