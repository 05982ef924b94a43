//! Compressed bytes of an initrd that can do the same: ours out of the UKI, dracut's for the same kernel.

use super::Session;
use super::dracut::{self, Abilities, Made};
use crate::product;
use crate::report::{Row, Runs, Target, Unit};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Row, definition and what the peer's initrd must be able to do.
const CASES: [(&str, &str, Abilities); 2] = [
    ("initrd-size", "images/small/v2.toml", Abilities::VerifiedRoot),
    (
        "initrd-size-encrypted-state",
        "images/small/state.toml",
        Abilities::VerifiedRootAndEncryptedState,
    ),
];
/// 8 MiB, and at most 0.6 of the peer's.
const TARGET: Target = Target {
    ratio: 0.6,
    ours_max: Some((8u32 << 20) as f64),
};

/// Weighs. A size does not vary between runs: each is taken once.
pub fn rows(session: &Session) -> Result<Vec<Row>> {
    if let Some(reason) = dracut::cannot_run()? {
        return Ok(CASES
            .iter()
            .map(|(name, _, _)| Row::not_run(name, dracut::PEER, &*reason))
            .collect());
    }
    CASES
        .iter()
        .map(|(name, definition, abilities)| row(session, name, definition, *abilities))
        .collect()
}

fn row(session: &Session, name: &str, definition: &str, abilities: Abilities) -> Result<Row> {
    let scratch = session.scratch()?;
    let release = scratch.path().join("release");
    product::build(&product::top().join(definition), &release, None)?;
    let uki = release.join("uki.efi");
    let ours = product::section(&uki, ".initrd", scratch.path())?;
    let kernel = kernel(&uki, scratch.path())?;
    let theirs = dracut::initrd(session, abilities)?;
    let runs = Runs {
        ours: vec![without_padding(&ours).len() as f64],
        theirs: vec![theirs.bytes as f64],
    };
    let note = note(definition, &kernel, &theirs);
    Ok(Row::measured(name, dracut::PEER, &theirs.version, Unit::Bytes, runs, TARGET)?.with_note(note))
}

fn kernel(uki: &Path, scratch: &Path) -> Result<String> {
    let bytes = product::section(uki, ".uname", scratch)?;
    let text = String::from_utf8(bytes).context("section .uname")?;
    Ok(text.trim_end_matches('\0').trim().to_owned())
}

/// A section may be filled up with zeros to the file's alignment (PE, section 3, SizeOfRawData).
fn without_padding(section: &[u8]) -> &[u8] {
    let end = section
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &section[..end]
}

fn note(definition: &str, kernel: &str, theirs: &Made) -> String {
    if kernel == theirs.kernel {
        return format!("{definition}, kernel {kernel} on both sides");
    }
    format!(
        "{definition}; kernels differ: ours {kernel}, the peer's {}; remove the older root from the cache",
        theirs.kernel
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_does_not_count_and_content_does() {
        assert_eq!(without_padding(&[1, 0, 2, 0, 0]), [1, 0, 2]);
        assert_eq!(without_padding(&[0, 0]), [0u8; 0]);
    }

    #[test]
    fn different_kernels_are_said() {
        let theirs = Made {
            bytes: 1,
            kernel: "6.1".into(),
            version: "dracut".into(),
        };
        assert!(note("x.toml", "6.1", &theirs).contains("both sides"));
        assert!(note("x.toml", "6.2", &theirs).contains("kernels differ"));
    }
}
