//! The chain of layers, each of which counts only when those below it hold: `bennuctl chain`, and what
//! `bennu-verified.target` waits for. Pure.

use super::pcrs::{PcrNow, expected_change};
use super::render::visible;
use super::verity::VerityState;
use super::{Answer, SCHEMA, Sources, Status};
use crate::documents::DocumentError;
use bennu_formats::gate::GateMode;
use bennu_formats::handover::SecureBootState;
use bennu_formats::health::HealthState;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Between two looks.
const ROUND: Duration = Duration::from_millis(250);
/// Width of the layers' column.
const LABEL: usize = 10;

/// How a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It holds.
    Holds,
    /// The image does without it.
    NotAsked,
    /// Not known yet.
    Pending,
    /// It does not hold.
    Broken,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name.
    pub layer: String,
    /// How it stands.
    pub standing: Standing,
    /// Why, in one sentence.
    pub why: String,
}

/// `bennuctl chain --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// [`SCHEMA`].
    pub schema: u32,
    /// From the ground up.
    pub layers: Vec<Layer>,
    /// The lowest layer that does not hold, if there is one.
    pub first_broken: Option<String>,
}

/// The last layer: workloads make the slot healthy, so they cannot wait for it.
const HEALTH: &str = "health";

impl Chain {
    /// The layers of `status`; `gate` is what the image asks for.
    pub fn of(status: &Status, gate: GateMode) -> Self {
        let layers = vec![
            firmware(status),
            release(status),
            root(status),
            tpm(status),
            self::gate(status, gate),
            watch(status),
            health(status),
        ];
        let broken = layers.iter().find(|layer| layer.standing == Standing::Broken);
        Self {
            schema: SCHEMA,
            first_broken: broken.map(|layer| layer.layer.clone()),
            layers,
        }
    }

    /// The chain once every layer is known, at the latest after `longest`.
    ///
    /// # Errors
    /// A document of the agents or of the image that is there and cannot be used.
    pub fn settled(
        sources: &Sources,
        verity: impl Fn(&str) -> VerityState,
        longest: Duration,
    ) -> Result<Self, DocumentError> {
        let end = Instant::now() + longest;
        loop {
            let chain = Self::of(&Status::gather(sources, &verity)?, sources.wanted_gate()?);
            let left = end.saturating_duration_since(Instant::now());
            if chain.is_settled() || left.is_zero() {
                return Ok(chain);
            }
            std::thread::sleep(ROUND.min(left));
        }
    }

    /// Yes when every layer that workloads stand on holds.
    pub fn answer(&self) -> Answer {
        let holds = |layer: &Layer| matches!(layer.standing, Standing::Holds | Standing::NotAsked);
        if self
            .layers
            .iter()
            .filter(|layer| layer.layer != HEALTH)
            .all(holds)
        {
            Answer::Yes
        } else {
            Answer::No
        }
    }

    /// Whether every layer below health is known.
    fn is_settled(&self) -> bool {
        let mut below = self.layers.iter().filter(|layer| layer.layer != HEALTH);
        below.all(|layer| layer.standing != Standing::Pending)
    }

    /// A ladder, the ground at the bottom.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for layer in self.layers.iter().rev() {
            let mark = match layer.standing {
                Standing::Holds => "[ok]",
                Standing::NotAsked => "[--]",
                Standing::Pending => "[..]",
                Standing::Broken => "[!!]",
            };
            let first = self.first_broken.as_ref() == Some(&layer.layer);
            let pointer = if first { "  <- first broken layer" } else { "" };
            // Writing into a string cannot fail.
            let _infallible = writeln!(
                out,
                "{mark} {:LABEL$} {}{pointer}",
                layer.layer,
                visible(&layer.why)
            );
        }
        out
    }
}

fn layer(name: &str, standing: Standing, why: impl Into<String>) -> Layer {
    Layer {
        layer: name.to_owned(),
        standing,
        why: why.into(),
    }
}

fn firmware(status: &Status) -> Layer {
    let (standing, why) = match status.secure_boot {
        SecureBootState::Enforced => (Standing::Holds, "Secure Boot enforced"),
        SecureBootState::Off => (Standing::Broken, "Secure Boot is off: anything starts"),
    };
    layer("firmware", standing, why)
}

fn release(status: &Status) -> Layer {
    if let Some(debug) = &status.debug {
        let why = format!(
            "a debug token for {} was taken: nothing sealed was opened",
            debug.day
        );
        return layer("release", Standing::Broken, why);
    }
    let why = format!(
        "{} {}, signed by {} release keys, security version {} at floor {}",
        status.image_id,
        status.version,
        status.verified_by.len(),
        status.security_version,
        status.floor
    );
    let holds = !status.verified_by.is_empty() && status.security_version >= status.floor;
    let standing = if holds { Standing::Holds } else { Standing::Broken };
    layer("release", standing, why)
}

fn root(status: &Status) -> Layer {
    match &status.verity {
        VerityState::Verified => layer("root", Standing::Holds, "dm-verity: no bad block met"),
        VerityState::Corrupted => layer(
            "root",
            Standing::Broken,
            "dm-verity met a block that is not the signed one",
        ),
        VerityState::Unknown { why } => layer("root", Standing::Pending, format!("not known: {why}")),
    }
}

fn tpm(status: &Status) -> Layer {
    let changed = |index: &u32| expected_change(*index).is_none();
    let moved: Vec<String> = status
        .pcrs
        .iter()
        .filter(|row| matches!(row.now, PcrNow::Changed { .. }))
        .map(|row| row.pcr)
        .filter(changed)
        .map(|index| format!("PCR {index}"))
        .collect();
    if !moved.is_empty() {
        let why = format!(
            "{} changed since the initrd, and nothing should extend them",
            moved.join(", ")
        );
        return layer("tpm", Standing::Broken, why);
    }
    let unknown = status
        .pcrs
        .iter()
        .any(|row| matches!(row.now, PcrNow::Unknown { .. }));
    if unknown || status.pcrs.is_empty() {
        return layer("tpm", Standing::Pending, "the kernel does not tell every PCR");
    }
    let why = format!(
        "PCRs as measured, latched; {} secrets were unsealed",
        status.secrets.len()
    );
    layer("tpm", Standing::Holds, why)
}

fn gate(status: &Status, asked: GateMode) -> Layer {
    let found = status.gate.as_ref().map(|report| report.mode);
    match (asked, found) {
        (GateMode::None, _) => layer(
            "gate",
            Standing::NotAsked,
            "the image asks for none: any file executes",
        ),
        (asked, None) => layer(
            "gate",
            Standing::Pending,
            format!("{}: not reported yet", asked.as_str()),
        ),
        (GateMode::Enforce, Some(GateMode::Enforce)) => {
            layer("gate", Standing::Holds, "only verified files execute")
        }
        (GateMode::DryRun, Some(GateMode::DryRun)) => layer(
            "gate",
            Standing::Holds,
            "dry run: what would be denied is told and happens",
        ),
        (asked, Some(found)) => {
            let why = format!("expected {}, found {}", asked.as_str(), found.as_str());
            layer("gate", Standing::Broken, why)
        }
    }
}

fn watch(status: &Status) -> Layer {
    match &status.watch {
        Some(watch) if watch.silent || !watch.clean => layer("watch", Standing::Broken, watch.words()),
        Some(watch) => layer("watch", Standing::Holds, watch.words()),
        None => layer("watch", Standing::Pending, "bennud has not looked yet"),
    }
}

fn health(status: &Status) -> Layer {
    match &status.health {
        Some(HealthState::Good { .. }) => layer(HEALTH, Standing::Holds, "slot marked good"),
        Some(HealthState::Waiting { on }) => layer(HEALTH, Standing::Pending, format!("waiting: {on}")),
        Some(HealthState::Unhealthy { failure }) => layer(
            HEALTH,
            Standing::Broken,
            format!("{}: {}", failure.code, failure.reason),
        ),
        None => layer(HEALTH, Standing::Pending, "bennud has not reported yet"),
    }
}
