//! The root tree: source, minus exclusions, plus files and links of the definition, plus agents and identity.

use crate::definition::{AgentsRule, FileEntry, SourceSection};
use crate::plan::{AlertError, AlertPlan, Plan};
use crate::steps::agents::{AgentError, Agents};
use crate::steps::gate::GateError;
use crate::steps::{os_release, systemd};
use bennu_erofs::{Content, Kind, Metadata, Timestamp, Tree, TreeError};
use bennu_formats::decode::Document as _;
use bennu_formats::drift::DriftConfig;
use bennu_formats::gate::GateMode;
use bennu_formats::paths;
use bennu_formats::trust::ReleaseKey;
use std::path::PathBuf;

/// Left out of every root: the kernel and its initrd live in the UKI.
const ALWAYS_EXCLUDED: [&str; 3] = ["/boot", "/vmlinuz", "/initrd.img"];
/// Mount points that the boot needs, with their permissions.
const MOUNT_POINTS: [(&str, u32); 7] = [
    ("/proc", 0o555),
    ("/sys", 0o555),
    ("/dev", 0o755),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/var", 0o755),
    ("/etc", 0o755),
];
const PURGED_TARGET: &str = include_str!("../../assets/purged.target");
const BENNUD_UNIT: &str = include_str!("../../assets/bennud.service");
/// Only in images that name a syslog server.
const ALERT_UNIT: &str = include_str!("../../assets/bennu-alert.service");
/// What takes its place after a State Purge.
const PURGED_ALERT_UNIT: &str = include_str!("../../assets/bennu-purged-alert.service");

/// Why a root cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The tree refused a path or a name.
    #[error("root: {0}")]
    Tree(#[from] TreeError),
    /// A file of the definition.
    #[error("root: file {path}: {source}")]
    Source {
        /// The file on the build host.
        path: PathBuf,
        /// Why.
        source: bennu_erofs::ContentError,
    },
    /// `[[root.file]]` without or with both of `content` and `source`.
    #[error("root: file {0}: expected exactly one of `content` and `source`")]
    FileContent(String),
    /// `mode` that is not octal.
    #[error("root: file {path}: mode: expected an octal string as \"0755\", found {found}")]
    Mode {
        /// Path in the root.
        path: String,
        /// What was there.
        found: String,
    },
    /// An agent.
    #[error("root: {0}")]
    Agent(#[from] AgentError),
    /// The drift configuration would be refused.
    #[error("root: {0}")]
    Drift(#[from] bennu_formats::decode::DecodeError),
    /// The health or the drift configuration cannot be written as JSON.
    #[error("root: configuration: {0}")]
    Health(serde_json::Error),
    /// The alert configuration.
    #[error("root: {0}")]
    Alert(#[from] AlertError),
    /// A workload that the root does not have.
    #[error("root: workloads.units {0}: expected a unit of the root, found none; name one that is there")]
    Workload(String),
    /// Nothing would execute.
    #[error(
        "root: {place}: expected RestrictFileSystemAccess= to be off, found `{value}`: systemd trusts only devices that are set \
         up after it has started, the root is set up before, and nothing would execute; let [gate] in image.toml do it, or \
         set it to `no`"
    )]
    Restricted {
        /// File, or the command line.
        place: String,
        /// What it says.
        value: String,
    },
    /// The execution gate's part.
    #[error("root: {0}")]
    Gate(#[from] GateError),
}

/// Composes the root of `plan` on top of `tree`; gives the os-release text as well, which goes into the UKI.
///
/// # Errors
/// See [`RootError`].
pub fn compose(
    plan: &Plan,
    mut tree: Tree,
    agents: &Agents,
    release_keys: Vec<ReleaseKey>,
) -> Result<(Tree, String), RootError> {
    let now = Timestamp::from_seconds(i64::try_from(plan.epoch).unwrap_or(i64::MAX));
    let mut editor = Editor { tree: &mut tree, now };
    for path in ALWAYS_EXCLUDED
        .iter()
        .map(|p| (*p).to_owned())
        .chain(plan.root.exclude.iter().cloned())
    {
        editor.tree.remove(&path)?;
    }
    for (path, mode) in MOUNT_POINTS {
        if editor.tree.get_following(path)?.is_none() {
            editor
                .tree
                .insert_directory(path, Metadata::root_owned(mode, now))?;
        }
    }
    // Before the definition's own files, which may replace it.
    editor.immutable()?;
    editor.definition_files(plan, &plan.root)?;
    if let Some(systemd::Restricted { place, value }) = systemd::restricted(editor.tree, &plan.cmdline)? {
        return Err(RootError::Restricted { place, value });
    }
    if plan.agents == AgentsRule::Included {
        editor.agents(plan, agents)?;
        editor.drift(plan, release_keys)?;
    }
    let text = editor.identity(plan)?;
    tree.clamp_mtimes(now);
    Ok((tree, text))
}

pub(super) struct Editor<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) now: Timestamp,
}

impl Editor<'_> {
    pub(super) fn text(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), RootError> {
        let metadata = Metadata::root_owned(mode, self.now);
        self.tree.insert_file(path, metadata, Content::inline(content))?;
        Ok(())
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<(), RootError> {
        self.tree
            .insert_symlink(path, target.as_bytes(), Metadata::root_owned(0o777, self.now))?;
        Ok(())
    }

    fn definition_files(&mut self, plan: &Plan, section: &SourceSection) -> Result<(), RootError> {
        for file in &section.file {
            let mode = file_mode(file)?;
            match (&file.content, &file.source) {
                (Some(content), None) => {
                    let text = content
                        .replace("${version}", plan.version.as_str())
                        .replace("${id}", plan.image_id.as_str());
                    self.text(&file.path, mode, text.as_bytes())?;
                }
                (None, Some(source)) => {
                    let content = Content::whole_file(source).map_err(|e| RootError::Source {
                        path: source.clone(),
                        source: e,
                    })?;
                    self.tree
                        .insert_file(&file.path, Metadata::root_owned(mode, self.now), content)?;
                }
                _ => return Err(RootError::FileContent(file.path.clone())),
            }
        }
        for link in &section.link {
            self.link(&link.path, &link.target)?;
        }
        Ok(())
    }

    /// bennud with its unit, bennuctl, the health configuration; systemd's own blessing is masked because
    /// marking good re-arms the counter and never removes it.
    fn agents(&mut self, plan: &Plan, agents: &Agents) -> Result<(), RootError> {
        self.text("/usr/lib/bennu/bennud", 0o755, &agents.read("bennud")?)?;
        self.text("/usr/bin/bennuctl", 0o755, &agents.read("bennuctl")?)?;
        self.text(
            "/usr/lib/systemd/system/bennud.service",
            0o644,
            BENNUD_UNIT.as_bytes(),
        )?;
        self.link(
            "/usr/lib/systemd/system/sysinit.target.wants/bennud.service",
            "../bennud.service",
        )?;
        self.link("/etc/systemd/system/systemd-bless-boot.service", "/dev/null")?;
        let mut health = serde_json::to_vec_pretty(&plan.health).map_err(RootError::Health)?;
        health.push(b'\n');
        self.text(paths::ROOT_HEALTH, 0o644, &health)?;
        self.chain(plan)?;
        if let Some(alerts) = &plan.alerts {
            self.alerts(alerts, agents)?;
        }
        if plan.gate.mode == GateMode::None {
            Ok(())
        } else {
            self.gate(plan)
        }
    }

    /// What bennud does about drift, and where it leaves a machine that has nothing to protect any more.
    fn drift(&mut self, plan: &Plan, release_keys: Vec<ReleaseKey>) -> Result<(), RootError> {
        let config = DriftConfig {
            schema: DriftConfig::SCHEMA,
            interval_ms: plan.drift.interval_ms,
            scrub_mib_per_s: plan.drift.scrub_mib_per_s,
            scrub_processor_permille: plan.drift.scrub_processor_permille,
            enforced: plan.drift.enforced.clone(),
            weak_window_s: plan.drift.weak_window_s,
            strong_window_s: plan.drift.strong_window_s,
            spared: plan.drift.spared.clone(),
            release_keys,
            release_threshold: plan.release_threshold,
        };
        let mut bytes = serde_json::to_vec_pretty(&config).map_err(RootError::Health)?;
        bytes.push(b'\n');
        // What bennud would refuse is refused here.
        DriftConfig::decode(&bytes)?;
        self.text(paths::ROOT_DRIFT, 0o644, &bytes)?;
        self.text(
            "/usr/lib/systemd/system/purged.target",
            0o644,
            PURGED_TARGET.as_bytes(),
        )
    }

    /// The syslog server and the units that send to it.
    fn alerts(&mut self, alerts: &AlertPlan, agents: &Agents) -> Result<(), RootError> {
        self.text(
            "/usr/lib/bennu/bennu-forward",
            0o755,
            &agents.read("bennu-forward")?,
        )?;
        self.text(paths::ROOT_ALERTS, 0o644, &alerts.document()?)?;
        for (unit, text, target) in [
            ("bennu-alert.service", ALERT_UNIT, "multi-user.target"),
            ("bennu-purged-alert.service", PURGED_ALERT_UNIT, "purged.target"),
        ] {
            const UNITS: &str = "/usr/lib/systemd/system";
            self.text(&format!("{UNITS}/{unit}"), 0o644, text.as_bytes())?;
            self.link(&format!("{UNITS}/{target}.wants/{unit}"), &format!("../{unit}"))?;
        }
        Ok(())
    }

    fn identity(&mut self, plan: &Plan) -> Result<String, RootError> {
        const PATH: &str = "/usr/lib/os-release";
        let original = match self.tree.get_following(PATH)?.map(|node| &node.kind) {
            Some(Kind::Regular(_)) => {
                let bytes = self.tree.read_file(PATH, os_release::MAX_BYTES)?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        };
        let text = os_release::with_identity(
            original.as_deref(),
            &plan.image_id,
            &plan.version,
            plan.title.as_deref(),
        );
        self.text(PATH, 0o644, text.as_bytes())?;
        if self.tree.get("/etc/os-release")?.is_none() {
            self.link("/etc/os-release", "../usr/lib/os-release")?;
        }
        Ok(text)
    }
}

fn file_mode(file: &FileEntry) -> Result<u32, RootError> {
    let Some(text) = &file.mode else { return Ok(0o644) };
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| RootError::Mode {
            path: file.path.clone(),
            found: text.clone(),
        })
}
