//! The execution gate's part of the root: what it does, the profiles of units, the mount point of its pins, its units.

use super::root::{Editor, RootError};
use crate::plan::Plan;
use bennu_erofs::{Kind, Metadata};
use bennu_formats::debug_token::UtcDay;
use bennu_formats::decode::Document as _;
use bennu_formats::gate::GateMode;
use bennu_formats::paths;
use bennu_formats::profile::{Profile, ProfileSet};
use std::io;
use std::path::{Path, PathBuf};

/// Longest profile in bytes: 32 programs, 16 networks and 16 sockets need a tenth of it.
const MAX_PROFILE_BYTES: u64 = 256 << 10;
const UNITS: [(&str, &str); 2] = [
    (
        "bennu-gate.service",
        include_str!("../../assets/bennu-gate.service"),
    ),
    (
        "usr-lib-bennu-gate.mount",
        include_str!("../../assets/usr-lib-bennu-gate.mount"),
    ),
];

/// A gate that enforces: nothing starts without it. The second has the first's name and replaces it for the gate itself.
const DEMANDED: [(&str, &str); 2] = [
    (
        "service.d/10-bennu-gate.conf",
        include_str!("../../assets/bennu-gate-first.conf"),
    ),
    (
        "bennu-gate.service.d/10-bennu-gate.conf",
        include_str!("../../assets/bennu-gate-demanded.conf"),
    ),
];

/// What is written below systemd's directory of units, and how the start calls for the gate.
fn units(mode: GateMode) -> (Vec<(&'static str, &'static str)>, &'static str) {
    let mut all = UNITS.to_vec();
    match mode {
        GateMode::Enforce => {
            all.extend(DEMANDED);
            (all, "sysinit.target.requires")
        }
        GateMode::DryRun | GateMode::None => (all, "sysinit.target.wants"),
    }
}

/// Why the gate's part cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A document cannot be written as JSON.
    #[error("gate configuration: {0}")]
    Encode(#[source] serde_json::Error),
    /// A document breaks a rule of its format.
    #[error("{0}")]
    Document(#[from] bennu_formats::DecodeError),
    /// A program that the definition or a profile names.
    #[error("{key} {path}: expected a regular file of the root, found none")]
    Program {
        /// Where it is named.
        key: &'static str,
        /// The path.
        path: String,
    },
    /// A profile cannot be read.
    #[error("profile {path}: {source}")]
    Read {
        /// The file on the build host.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A profile is too long.
    #[error("profile {path}: expected at most {MAX_PROFILE_BYTES} bytes, found {found}")]
    TooLong {
        /// The file on the build host.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// A profile is not what a profile is.
    #[error("profile {path}: {detail}")]
    Parse {
        /// The file on the build host.
        path: PathBuf,
        /// What and where.
        detail: String,
    },
    /// A value of a profile.
    #[error("profile {path}: expected {expected}, found {found}")]
    Value {
        /// The file on the build host.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The build's time is none that a calendar has.
    #[error("SOURCE_DATE_EPOCH: expected a time before the year 10000, found {0}")]
    Day(u64),
}

impl Editor<'_> {
    /// Writes everything that an image with a gate has.
    pub(super) fn gate(&mut self, plan: &Plan) -> Result<(), RootError> {
        for program in &plan.gate.programs {
            self.is_program("gate.program", &program.path)?;
        }
        for interpreter in &plan.gate.interpreters {
            self.is_program("gate.interpreter", &interpreter.path)?;
        }
        self.document(paths::ROOT_GATE, &plan.gate)?;
        if !plan.profiles.is_empty() {
            let set = compile(&plan.profiles, plan.epoch)?;
            for profile in &set.profiles {
                let executables = profile.executables.iter().flat_map(|part| &part.allow);
                for path in executables.chain(&profile.anonymous_exec) {
                    self.is_program("profile", path)?;
                }
            }
            self.document(paths::ROOT_PROFILES, &set)?;
        }
        let directory = Metadata::root_owned(0o700, self.now);
        self.tree.insert_directory(paths::ROOT_GATE_PINS, directory)?;
        let (units, called_by) = units(plan.gate.mode);
        for (name, text) in units {
            self.text(&format!("/usr/lib/systemd/system/{name}"), 0o644, text.as_bytes())?;
        }
        self.link(
            &format!("/usr/lib/systemd/system/{called_by}/bennu-gate.service"),
            "../bennu-gate.service",
        )
    }

    /// What is written is read again, so that the machine does not refuse it.
    fn document<T: serde::Serialize + bennu_formats::decode::Document>(
        &mut self,
        path: &str,
        document: &T,
    ) -> Result<(), RootError> {
        let mut bytes = serde_json::to_vec_pretty(document).map_err(GateError::Encode)?;
        bytes.push(b'\n');
        T::decode(&bytes).map_err(GateError::Document)?;
        self.text(path, 0o644, &bytes)
    }

    fn is_program(&self, key: &'static str, path: &str) -> Result<(), RootError> {
        match self.tree.get_following(path)?.map(|node| &node.kind) {
            Some(Kind::Regular(_)) => Ok(()),
            _ => Err(RootError::Gate(GateError::Program {
                key,
                path: path.to_owned(),
            })),
        }
    }
}

/// Profiles out of their files, each checked by itself, so that a mistake is told with the file it stands in.
fn compile(files: &[PathBuf], epoch: u64) -> Result<ProfileSet, GateError> {
    let profiles = files.iter().map(|path| read(path));
    let set = ProfileSet {
        schema: ProfileSet::SCHEMA,
        built: UtcDay::of_seconds(epoch).ok_or(GateError::Day(epoch))?,
        profiles: profiles.collect::<Result<_, _>>()?,
    };
    set.check()?;
    Ok(set)
}

fn read(path: &Path) -> Result<Profile, GateError> {
    let failed = |source| GateError::Read {
        path: path.to_owned(),
        source,
    };
    let found = std::fs::metadata(path).map_err(failed)?.len();
    if found > MAX_PROFILE_BYTES {
        return Err(GateError::TooLong {
            path: path.to_owned(),
            found,
        });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let profile: Profile = toml::from_str(&text).map_err(|error| GateError::Parse {
        path: path.to_owned(),
        detail: error.to_string(),
    })?;
    match profile.fault() {
        None => Ok(profile),
        Some((expected, found)) => Err(GateError::Value {
            path: path.to_owned(),
            expected,
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = r#"
unit = "web.service"
no_shells = { stage = "deny" }

[executables]
rule = { stage = "dry-run", warn_from = "2026-02-01", deny_from = "2026-03-01" }
allow = ["/usr/sbin/nginx"]

[connect]
rule = { stage = "deny" }
network = [{ to = "10.0.0.0/8", ports = [443, 443], protocol = "tcp" }]
socket = [{ path = "/run/app" }, { abstract = "app" }]
"#;

    fn compiled(texts: &[&str]) -> Result<ProfileSet, GateError> {
        let directory = tempfile::tempdir().unwrap();
        let write = |(index, text): (usize, &&str)| {
            let path = directory.path().join(format!("{index}.toml"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let files: Vec<PathBuf> = texts.iter().enumerate().map(write).collect();
        compile(&files, 1_767_225_600)
    }

    #[test]
    fn profiles_become_one_document_with_the_builds_day() {
        let set = compiled(&[WEB, r#"unit = "local.service""#]).unwrap();
        assert_eq!(set.built.to_string(), "2026-01-01");
        assert_eq!(set.profiles[0].connect.as_ref().unwrap().socket.len(), 2);
        assert_eq!(set.profiles[1].rules(), [None; 4]);
        let written = serde_json::to_vec(&set).unwrap();
        assert_eq!(ProfileSet::decode(&written).unwrap(), set);
    }

    #[test]
    fn a_gate_that_enforces_is_required_by_every_service_and_one_in_dry_run_by_none() {
        let (enforced, called_by) = units(GateMode::Enforce);
        assert_eq!(called_by, "sysinit.target.requires");
        let text = |name: &str| {
            let found = enforced.iter().find(|(unit, _)| *unit == name);
            found.map(|(_, text)| *text).unwrap()
        };
        let every = text("service.d/10-bennu-gate.conf");
        for line in ["Requires=bennu-gate.service", "After=bennu-gate.service"] {
            assert!(every.lines().any(|found| found == line), "{line}");
        }
        // The same file name, or the gate would wait for itself.
        let own = text("bennu-gate.service.d/10-bennu-gate.conf");
        for line in [
            "FailureAction=reboot-force",
            "ConditionPathExists=",
            "IgnoreOnIsolate=yes",
        ] {
            assert!(own.lines().any(|found| found == line), "{line}");
        }
        let (dry, called_by) = units(GateMode::DryRun);
        assert_eq!(
            (dry.as_slice(), called_by),
            (UNITS.as_slice(), "sysinit.target.wants")
        );
        assert!(UNITS.iter().all(|(_, text)| !text.contains("FailureAction")));
    }

    #[test]
    fn mistakes_are_told_with_their_file() {
        let loosens = WEB.replace(r#"warn_from = "2026-02-01""#, r#"warn_from = "2026-04-01""#);
        assert!(matches!(compiled(&[&loosens]), Err(GateError::Value { .. })));
        let unknown = format!("{WEB}\n[files]\n");
        assert!(matches!(compiled(&[&unknown]), Err(GateError::Parse { .. })));
        assert!(matches!(compiled(&[WEB, WEB]), Err(GateError::Document(_))));
        let missing = compile(&[PathBuf::from("/nowhere.toml")], 0);
        assert!(matches!(missing, Err(GateError::Read { .. })));
    }
}
