//! The machine id: one that lasts, made on the first start.
//!
//! An image whose `/etc/machine-id` is missing or says `uninitialized` asks systemd for a first boot (machine-id(5)):
//! nothing is made for it; the id that systemd commits is kept like any other. For every other image there is an id
//! before init starts, so that systemd sees no first boot, at no start.

use super::{Content, Kept};
use crate::error::InitError;
use crate::journal::Journal;
use bennu_formats::handover::MachineIdSource;
use bennu_formats::identity::{self as format, IdentityClass, IdentityRule};
use bennu_linux::found::{self, Found};
use std::path::Path;

/// What systemd takes for a first boot.
const UNINITIALIZED: &[u8] = b"uninitialized";

/// Drops an id that is none, and makes one where the machine is to have one. Gives where the id comes from;
/// [`MachineIdSource::Kept`] for one that was among the files already.
pub fn settle(
    kept: &mut Vec<Kept>,
    refused: &mut Vec<String>,
    rule: &IdentityRule,
    lower: &Path,
    journal: &mut Journal,
) -> Result<MachineIdSource, InitError> {
    if !rule.keeps(IdentityClass::MachineId) {
        return Ok(MachineIdSource::NotKept);
    }
    if let Some(at) = kept.iter().position(|file| file.path == format::MACHINE_ID) {
        match &kept[at].content {
            Content::File { bytes, .. } if format::is_machine_id(bytes) => return Ok(MachineIdSource::Kept),
            Content::File { bytes, .. } if is_asking(bytes) => {}
            Content::File { .. } | Content::Link(_) => refused.push(format!(
                "/etc/{}: expected 32 hex digits, found something else",
                format::MACHINE_ID
            )),
        }
        kept.remove(at);
    }
    if image_asks_for_a_first_boot(lower)? {
        return Ok(MachineIdSource::LeftToSystemd);
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| InitError::Random(e.to_string()))?;
    let text = format::machine_id_text(random);
    kept.push(Kept::text(format::MACHINE_ID, &text, 0o444));
    journal.say("made a machine id");
    Ok(MachineIdSource::Made)
}

fn is_asking(bytes: &[u8]) -> bool {
    bytes.is_empty() || bytes.trim_ascii_end() == UNINITIALIZED
}

fn image_asks_for_a_first_boot(lower: &Path) -> Result<bool, InitError> {
    let found = found::look(lower, Path::new(format::MACHINE_ID), format::MAX_FILE_BYTES)
        .map_err(InitError::Identity)?;
    Ok(match found {
        Found::None => true,
        Found::Regular(file) => file.bytes.trim_ascii_end() == UNINITIALIZED,
        _ => false,
    })
}
