//! Tools of the host: where they lie, which version they are, who we are.

use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Folders searched after `PATH`: Debian keeps veritysetup in one that is not in a user's.
const MORE_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A command of a tool, or nothing if it is not installed.
pub fn tool(name: &str) -> Option<Command> {
    find(name).map(|path| {
        let mut command = Command::new(path);
        command.env("LC_ALL", "C.UTF-8");
        command
    })
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The reason of a row whose peer is not installed; nothing if all are.
pub fn missing(tools: &[(&str, &str)]) -> Option<String> {
    let missing: Vec<String> = tools
        .iter()
        .filter(|(name, _)| find(name).is_none())
        .map(|(name, package)| format!("{name} is not installed (apt-get install {package})"))
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// First line that a tool says when it is called so, on whichever stream.
pub fn first_line(name: &str, arguments: &[&str]) -> Result<String> {
    let Some(mut command) = tool(name) else {
        bail!("{name} is not installed")
    };
    // The status does not count: mkfs.erofs tells its version and ends with 1.
    let output = command
        .args(arguments)
        .output()
        .with_context(|| name.to_owned())?;
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    Ok(words.lines().next().unwrap_or(name).trim().to_owned())
}

/// Whether we are root, by the effective user id of proc(5), status.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| effective_uid(&text))
        == Some(0)
}

fn effective_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_number() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_uid("Uid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package_and_a_present_one_is_not() {
        assert_eq!(missing(&[("sh", "dash")]), None);
        let words = missing(&[("sh", "dash"), ("no-such-tool", "some-package")]).unwrap();
        assert!(words.contains("no-such-tool") && words.contains("some-package") && !words.contains("dash"));
    }
}
