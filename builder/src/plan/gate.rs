//! `[gate]` in image.toml: what the execution gate does and which programs have rights.

use super::Checker;
use crate::definition::{AgentsRule, DefinitionError, GateSection};
use bennu_formats::decode::Document as _;
use bennu_formats::gate::{GateConfig, GateMode, TraceRule};

impl Checker<'_> {
    /// A gate needs bennud, and each path to be one.
    pub(super) fn gate(
        &self,
        section: GateSection,
        agents: AgentsRule,
    ) -> Result<GateConfig, DefinitionError> {
        let config = GateConfig {
            schema: 1,
            mode: section.mode.unwrap_or(GateMode::None),
            programs: section.program,
            interpreters: section.interpreter,
            trace: section.trace.unwrap_or(TraceRule::Off),
        };
        if config.mode != GateMode::None && agents == AgentsRule::None {
            return Err(self.value(
                "gate.mode",
                "`none` in an image without agents, since bennud sets the gate up",
                config.mode.as_str().to_owned(),
            ));
        }
        if config.mode == GateMode::None && !section.profile.is_empty() {
            return Err(self.value(
                "gate.profile",
                "none in an image without a gate, which holds them",
                section.profile.len().to_string(),
            ));
        }
        match config.check() {
            Ok(()) => Ok(config),
            Err(error) => Err(self.value(
                "gate",
                "at most 60 programs and 32 interpreters with absolute paths of at most 255 bytes",
                error.to_string(),
            )),
        }
    }
}
