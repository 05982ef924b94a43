//! The checks of single values, each with the key it stands under.

use crate::cmdline::{self, HardeningPlan};
use crate::definition::{DefinitionError, IdentitySection, ImageSection, SourceKind, SourceSection};
use crate::size::parse_size;
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::trust::{RecoveryRule, SecretSpec, StateRule};
use bennu_formats::units::{BLOCK_BYTES, Bytes};
use std::path::{Path, PathBuf};

/// Default length of the state partition as flashed; it grows to the disk's end later.
const DEFAULT_STATE: Bytes = Bytes(128 << 20);
/// 16 MiB of LUKS2 header and the smallest file system.
const LEAST_STATE: Bytes = Bytes((16 << 20) + bennu_formats::state::FILE_SYSTEM_BYTES);
/// 2026-01-01T00:00:00Z: the time in every header when `SOURCE_DATE_EPOCH` is not set, because a build that
/// depends on the clock cannot be repeated.
const DEFAULT_EPOCH: u64 = 1_767_225_600;

/// The definition that is checked, for the words of a refusal.
pub(super) struct Checker<'a> {
    pub(super) path: &'a Path,
}

impl Checker<'_> {
    pub(super) fn missing(&self, key: &'static str, advice: &'static str) -> DefinitionError {
        DefinitionError::Missing {
            path: self.path.to_owned(),
            key,
            advice,
        }
    }

    pub(super) fn value(&self, key: &'static str, expected: &'static str, found: String) -> DefinitionError {
        DefinitionError::Value {
            path: self.path.to_owned(),
            key,
            expected,
            found,
        }
    }

    pub(super) fn within(
        &self,
        key: &'static str,
        expected: &'static str,
        found: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, DefinitionError> {
        if range.contains(&found) {
            Ok(found)
        } else {
            Err(self.value(key, expected, found.to_string()))
        }
    }

    pub(super) fn size(
        &self,
        key: &'static str,
        text: Option<&str>,
        default: Bytes,
    ) -> Result<Bytes, DefinitionError> {
        let Some(text) = text else { return Ok(default) };
        parse_size(text)
            .filter(|size| size.0 > 0 && size.0.is_multiple_of(256 * BLOCK_BYTES))
            .ok_or_else(|| self.value(key, "a multiple of 1 MiB as `512MiB`", text.to_owned()))
    }

    /// Length of the state partition; an encrypted one has room for header and file system.
    pub(super) fn state(&self, text: Option<&str>, rule: StateRule) -> Result<Bytes, DefinitionError> {
        const KEY: &str = "disk.state_size";
        let size = self.size(KEY, text, DEFAULT_STATE)?;
        if rule == StateRule::Encrypted && size.0 < LEAST_STATE.0 {
            return Err(self.value(
                KEY,
                "at least 80MiB for an encrypted state volume",
                text.unwrap_or("nothing").to_owned(),
            ));
        }
        Ok(size)
    }

    pub(super) fn identity(&self, section: IdentitySection) -> Result<IdentityRule, DefinitionError> {
        let rule = IdentityRule {
            classes: section.persist.unwrap_or_else(|| IdentityClass::DEFAULT.to_vec()),
            paths: section.paths,
        };
        if rule.is_bounded() {
            Ok(rule)
        } else {
            Err(self.value("identity.paths", "at most 64 paths", rule.paths.len().to_string()))
        }
    }

    /// A volatile state has no recovery key: whoever names an escrow key expects one.
    pub(super) fn recovery(
        &self,
        rule: Option<RecoveryRule>,
        state: StateRule,
    ) -> Result<RecoveryRule, DefinitionError> {
        match (rule, state) {
            (Some(RecoveryRule::Escrow(key)), StateRule::Volatile) => Err(self.value(
                "state.recovery",
                "an escrow key only with state.kind = \"encrypted\"",
                key.to_string(),
            )),
            (rule, _) => Ok(rule.unwrap_or(RecoveryRule::Console)),
        }
    }

    pub(super) fn secrets(&self, secrets: &[SecretSpec]) -> Result<(), DefinitionError> {
        match secrets.iter().find(|secret| !secret.is_well_formed()) {
            None => Ok(()),
            Some(wrong) => Err(self.value(
                "secret",
                "name of [a-z0-9-], 16 to 64 bytes",
                format!("{wrong:?}"),
            )),
        }
    }

    /// The schema that a release writes, and the oldest release that reads it.
    pub(super) fn state_schema(&self, image: &ImageSection) -> Result<(u32, u32), DefinitionError> {
        let written = image.state_schema.unwrap_or(1);
        let readable_from = self.within(
            "image.state_readable_from",
            "at most image.state_schema",
            image.state_readable_from.unwrap_or(written),
            0..=written,
        )?;
        Ok((written, readable_from))
    }

    pub(super) fn configuration_keys(
        &self,
        keys: Vec<PathBuf>,
        state: StateRule,
    ) -> Result<Vec<PathBuf>, DefinitionError> {
        if keys.is_empty() || state != StateRule::Volatile {
            return Ok(keys);
        }
        Err(self.value(
            "first_boot.keys",
            "none where [state] is volatile: nothing of the configuration would be kept",
            keys.len().to_string(),
        ))
    }

    /// Where the root comes from, and the kernel if from elsewhere.
    pub(super) fn sources(
        &self,
        root: &SourceSection,
        boot: Option<&SourceSection>,
    ) -> Result<(), DefinitionError> {
        self.source("root.kind", root)?;
        let Some(boot) = boot else { return Ok(()) };
        self.source("boot.source.kind", boot)?;
        if boot.exclude.is_empty() && boot.file.is_empty() && boot.link.is_empty() {
            return Ok(());
        }
        Err(self.value(
            "boot.source",
            "a source without `exclude`, `file` and `link`, which belong to [root]",
            "some of them".into(),
        ))
    }

    fn source(&self, key: &'static str, source: &SourceSection) -> Result<(), DefinitionError> {
        match source.kind {
            None => Err(self.missing(key, "write kind = \"debian\", \"directory\" or \"tar\"")),
            Some(SourceKind::Debian) if source.suite.is_none() => Err(self.missing(
                "suite",
                "a debian source needs suite = \"trixie\" or \"bookworm\"",
            )),
            Some(SourceKind::Directory | SourceKind::Tar) if source.path.is_none() => {
                Err(self.missing("path", "a directory or tar source needs path = \"…\""))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn hardening(&self, plan: HardeningPlan) -> Result<HardeningPlan, DefinitionError> {
        let expected = "names of options of the hardening (docs/reference/kernel-hardening.md)";
        match plan.unknown() {
            None => Ok(plan),
            Some(name) => Err(self.value("boot.hardening_without", expected, name.to_owned())),
        }
    }

    /// What Bennu itself puts there, or what would undo it, is not for the definition.
    pub(super) fn cmdline(&self, text: String, hardening: &HardeningPlan) -> Result<String, DefinitionError> {
        const KEY: &str = "boot.cmdline";
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !printable || text.len() > cmdline::MAX_TEXT_BYTES {
            return Err(self.value(KEY, "at most 1024 printable ASCII characters", text));
        }
        match cmdline::refused(&text, hardening) {
            None => Ok(text),
            Some((word, why)) => Err(self.value(KEY, why.expected(), word)),
        }
    }

    pub(super) fn epoch(&self) -> Result<u64, DefinitionError> {
        match std::env::var("SOURCE_DATE_EPOCH") {
            Err(_) => Ok(DEFAULT_EPOCH),
            Ok(text) => text.parse().map_err(|_| {
                self.value(
                    "SOURCE_DATE_EPOCH",
                    "seconds since 1970 as a decimal number",
                    text,
                )
            }),
        }
    }
}
