//! The firmware's log continued by what we extend, in the firmware's own form (TCG PC Client Platform Firmware Profile
//! 1.06, section 10.2: TCG_PCR_EVENT2), so that a tool that reads only that form accounts for every PCR of ours.
//!
//! Written by `bennu-init` (`bennu_formats::paths::RUN_MEASUREMENTS`); read by `tpm2_eventlog` and other verifiers.
//! Little-endian, behind the last event of the firmware's log:
//!
//! ```text
//! u32 pcr · u32 type = 0d (EV_IPL) · u32 count · count × (u16 algorithm · digest) · u32 size · text
//! text   sort of event, blank, words, a byte of zero
//! ```

use crate::firmware;
use crate::{LogError, MAX_LOG_BYTES};
use bennu_tpm::EventRecord;

/// EV_IPL with text that ends in a zero, as GRUB writes it: `tpm2_eventlog` prints the text. Of a tagged event it
/// prints hexadecimal digits.
const IPL: u32 = 0x0d;

/// `log`, which has to be whole, with an event for each of `records` behind it. An event has the digests whose
/// algorithm the log declares, in the log's order; a bank that the firmware does not measure into has no place in it.
///
/// # Errors
/// [`LogError`] where `log` cannot be read to its end, an event would have no digest, or the result has more events or
/// bytes than are read.
pub fn append(log: &[u8], records: &[EventRecord]) -> Result<Vec<u8>, LogError> {
    if let Some(broken) = firmware::read(log).broken {
        return Err(broken);
    }
    let algorithms = firmware::algorithms(log)?;
    let mut all = log.to_vec();
    for record in records {
        push(&mut all, &algorithms, record)?;
    }
    // What was written is read as any other log is: counts and lengths are within their limits.
    match firmware::read(&all).broken {
        Some(broken) => Err(broken),
        None => Ok(all),
    }
}

fn push(log: &mut Vec<u8>, algorithms: &[u16], record: &EventRecord) -> Result<(), LogError> {
    let declared = |id: &u16| record.digests.iter().find(|digest| digest.alg().id() == *id);
    let digests: Vec<_> = algorithms.iter().filter_map(declared).collect();
    if digests.is_empty() {
        return Err(LogError::NoBank { pcr: record.pcr });
    }
    let text = format!("{} {}\0", record.kind.name(), record.text);
    for word in [record.pcr.into(), IPL, length(digests.len())?] {
        log.extend(u32::to_le_bytes(word));
    }
    for digest in digests {
        log.extend(digest.alg().id().to_le_bytes());
        log.extend(digest.as_bytes());
    }
    log.extend(length(text.len())?.to_le_bytes());
    log.extend(text.as_bytes());
    Ok(())
}

fn length(found: usize) -> Result<u32, LogError> {
    u32::try_from(found).map_err(|_| LogError::TooLong {
        limit: MAX_LOG_BYTES,
        found,
    })
}
