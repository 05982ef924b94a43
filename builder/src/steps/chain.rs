//! The validated chain's part of the root: the target that is reached when every layer below the workloads holds, and the
//! workloads' bond to it.

use super::root::{Editor, RootError};
use crate::plan::Plan;

const UNITS: [(&str, &str); 2] = [
    (
        "bennu-verified.service",
        include_str!("../../assets/bennu-verified.service"),
    ),
    (
        "bennu-verified.target",
        include_str!("../../assets/bennu-verified.target"),
    ),
];
/// What binds a workload to the chain.
const DROP_IN: &[u8] = b"# Written by `bennu build`: [workloads] in image.toml.\n[Unit]\n\
    Requires=bennu-verified.target\nAfter=bennu-verified.target\n";
/// Where units of the image lie.
const DIRECTORIES: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

impl Editor<'_> {
    /// Writes it into every image with agents.
    pub(super) fn chain(&mut self, plan: &Plan) -> Result<(), RootError> {
        for (name, text) in UNITS {
            self.text(&format!("/usr/lib/systemd/system/{name}"), 0o644, text.as_bytes())?;
        }
        for unit in &plan.workloads {
            if !self.has_unit(unit)? {
                return Err(RootError::Workload(unit.clone()));
            }
            let path = format!("/usr/lib/systemd/system/{unit}.d/10-bennu-verified.conf");
            self.text(&path, 0o644, DROP_IN)?;
        }
        self.link(
            "/usr/lib/systemd/system/multi-user.target.wants/bennu-verified.target",
            "../bennu-verified.target",
        )
    }

    fn has_unit(&self, unit: &str) -> Result<bool, RootError> {
        for directory in DIRECTORIES {
            if self.tree.get_following(format!("{directory}/{unit}"))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
