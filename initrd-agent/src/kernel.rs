//! Whether the kernel is what its signed command line asked for; and the IMA rules, once nothing is unsealed any more.
//!
//! Reads the command line and what the kernel shows of it. Writes IMA's policy. A hardening option that is not in
//! force is reported, not refused: its word is signed and measured, so the kernel or the machine cannot do it.

use crate::error::InitError;
use crate::journal::Journal;
use bennu_formats::Sha256Digest;
use bennu_formats::handover::{HardeningFact, RootHashCheck};
use bennu_formats::hardening::{Hardening, HardeningState};
use bennu_formats::{cmdline, paths};
use bennu_linux::bounded;
use bennu_linux::ima;
use std::path::Path;

/// Longest file that shows an option, in bytes: `/proc/self/maps` of a static program.
const MAX_SHOWN_BYTES: usize = 64 * 1024;
/// Longest IMA policy in bytes; also the builder's limit.
const MAX_POLICY_BYTES: usize = 64 * 1024;

/// The command line, at most as long as the kernel takes.
pub fn cmdline() -> Result<String, InitError> {
    let line = bounded::read(Path::new("/proc/cmdline"), cmdline::MAX_CMDLINE_BYTES)
        .map_err(InitError::CmdlineRead)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The kernel's release; unknown where it does not say.
pub fn release() -> String {
    bounded::read_text(Path::new("/proc/sys/kernel/osrelease"), 256)
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Whether the kernel is to check the signature over the root hash: where the signed command line says so.
pub fn root_hash_check(cmdline: &str) -> RootHashCheck {
    if crate::hardware::asks_for_signatures(cmdline) {
        RootHashCheck::ByKernel
    } else {
        RootHashCheck::ManifestOnly
    }
}

/// Looks at every option of the command line; says which are not in force.
pub fn hardening(cmdline: &str, journal: &mut Journal) -> Vec<HardeningFact> {
    let facts: Vec<HardeningFact> = Hardening::on(cmdline).map(look_at).collect();
    for fact in facts.iter().filter(|f| f.state == HardeningState::NotInForce) {
        journal.warn(&format!("the kernel does not have {} in force", fact.option));
    }
    facts
}

fn look_at(option: &Hardening) -> HardeningFact {
    let state = match option.path() {
        None => HardeningState::AskedFor,
        Some(path) => match bounded::read(Path::new(path), MAX_SHOWN_BYTES) {
            Ok(bytes) if option.holds(&String::from_utf8_lossy(&bytes)) == Some(true) => {
                HardeningState::InForce
            }
            // A file that is missing says that the kernel does not know the option.
            Ok(_) | Err(_) => HardeningState::NotInForce,
        },
    };
    HardeningFact {
        option: option.word(),
        state,
    }
}

/// Puts the image's IMA rules into force; gives their digest. After the latch: a measurement into PCR 10 in between
/// would break an open policy session.
pub fn load_ima_policy(journal: &mut Journal) -> Result<Option<Sha256Digest>, InitError> {
    let text = match bounded::read(Path::new(paths::INITRD_IMA_POLICY), MAX_POLICY_BYTES) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(InitError::ImaRead(error)),
    };
    let policy = Path::new(ima::POLICY);
    ima::load_policy(policy, &text).map_err(InitError::ImaLoad)?;
    if ima::takes_a_policy(policy).map_err(InitError::ImaLook)? {
        return Err(InitError::ImaNotFinal);
    }
    let digest = Sha256Digest::of(text.as_bytes());
    journal.say(&format!(
        "ima policy: {} rules in force",
        ima::rules_of(&text).count()
    ));
    Ok(Some(digest))
}
