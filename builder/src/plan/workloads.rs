//! `[workloads]` in image.toml: units that start only when every layer below them holds.

use super::Checker;
use crate::definition::{AgentsRule, DefinitionError, WorkloadsSection};

/// Longest unit name in bytes (systemd's `UNIT_NAME_MAX`).
const MAX_NAME: usize = 255;

impl Checker<'_> {
    /// Unit names; they need bennuctl in the root.
    pub(super) fn workloads(
        &self,
        section: WorkloadsSection,
        agents: AgentsRule,
    ) -> Result<Vec<String>, DefinitionError> {
        const KEY: &str = "workloads.units";
        if let Some(wrong) = section.units.iter().find(|name| !is_unit_name(name)) {
            return Err(self.value(KEY, "names of units, as nginx.service", wrong.clone()));
        }
        if agents == AgentsRule::None && !section.units.is_empty() {
            let found = section.units.join(", ");
            return Err(self.value(KEY, "none in an image without agents", found));
        }
        Ok(section.units)
    }
}

fn is_unit_name(name: &str) -> bool {
    let kinds = [".service", ".socket", ".target", ".timer", ".path", ".mount"];
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || ":-_.@\\".contains(c);
    name.len() <= MAX_NAME
        && name.chars().all(in_a_name)
        && !name.starts_with('.')
        && kinds
            .iter()
            .any(|kind| name.strip_suffix(kind).is_some_and(|stem| !stem.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::is_unit_name;

    #[test]
    fn a_unit_name_is_a_file_name_of_systemds() {
        for name in ["nginx.service", "getty@tty1.service", "a\\x2db.socket"] {
            assert!(is_unit_name(name), "{name}");
        }
        let long = format!("{}.service", "a".repeat(250));
        for name in [
            "nginx",
            ".service",
            "../x.service",
            "a b.service",
            "x.conf",
            long.as_str(),
        ] {
            assert!(!is_unit_name(name), "{name}");
        }
    }
}
