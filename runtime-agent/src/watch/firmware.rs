//! EFI variables that decide what boots.

use super::{Baseline, Look, Sighting, Subject};
use bennu_formats::Sha256Digest;
use bennu_linux::bounded;
use bennu_policy::drift::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EFIVARS: &str = "/sys/firmware/efi/efivars";
/// Names with their vendor (UEFI 2.10, 3.3 and 32.6; systemd's for the loader).
const VARIABLES: [&str; 8] = [
    "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "PK-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "KEK-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f",
    "dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f",
    "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
    "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
];
/// Most bytes of one: a dbx has tens of kilobytes.
const MAX_BYTES: usize = 256 * 1024;

/// Digests of the variables; none for one that is not there.
type Values = BTreeMap<&'static str, Option<Sha256Digest>>;

/// The variables.
pub struct Variables {
    directory: PathBuf,
    first: Baseline<Values>,
}

impl Default for Variables {
    fn default() -> Self {
        Self {
            directory: Path::new(EFIVARS).to_owned(),
            first: Baseline::default(),
        }
    }
}

impl Variables {
    fn read(&self) -> Result<Values, String> {
        let mut values = Values::new();
        for name in VARIABLES {
            let value = match bounded::read(&self.directory.join(name), MAX_BYTES) {
                Ok(bytes) => Some(Sha256Digest::of(&bytes)),
                Err(error) if error.is_absent() => None,
                Err(error) => return Err(error.to_string()),
            };
            values.insert(name, value);
        }
        Ok(values)
    }
}

impl Subject for Variables {
    fn name(&self) -> &'static str {
        "EFI variables"
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn look(&mut self) -> Look {
        let now = self.read()?;
        let Some((first, now)) = self.first.first(now) else {
            return Ok(Vec::new());
        };
        let changed = now
            .iter()
            .filter(|(name, value)| first.get(*name) != Some(*value));
        let told = |(name, _): (&&str, &Option<Sha256Digest>)| {
            let name = name.split('-').next().unwrap_or_default();
            Sighting::new(Signal::EfiVariableChanged, format!("{name} changed"))
        };
        Ok(changed.map(told).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_comes_goes_or_changes_is_told_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put(VARIABLES[3], b"db");
        let mut variables = Variables {
            directory: dir.path().to_owned(),
            first: Baseline::default(),
        };
        assert_eq!(variables.look(), Ok(Vec::new()));
        assert_eq!(variables.look(), Ok(Vec::new()), "control");
        put(VARIABLES[3], b"dB");
        put(VARIABLES[4], b"");
        let words: Vec<String> = variables.look().unwrap().into_iter().map(|s| s.detail).collect();
        assert_eq!(words, ["db changed", "dbx changed"]);
    }
}
