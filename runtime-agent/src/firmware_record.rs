//! What the firmware measured in a start that became healthy, kept on the ESP so that a later one can say what
//! changed. A machine without it works the same and says less.

use crate::esp::{self, Access, EspAccessError};
use crate::status::measured::{Facts, Places};
use bennu_eventlog::changes;
use bennu_formats::ImageVersion;
use bennu_formats::handover::BlockDevice;

/// Why there is no new record.
#[derive(Debug, thiserror::Error)]
pub enum RememberError {
    /// The logs or the PCRs cannot be read.
    #[error("what the firmware measured is not remembered: {0}")]
    Facts(String),
    /// PCRs that the log does not account for.
    #[error("what the firmware measured is not remembered: its event log does not give the value of PCR {0}")]
    Unaccounted(u8),
    /// The ESP.
    #[error("what the firmware measured is not remembered: {0}")]
    Esp(#[from] EspAccessError),
}

/// Writes the record of this start, unless the same one is there.
///
/// # Errors
/// [`RememberError`].
pub fn remember(places: &Places, esp: &BlockDevice, version: &ImageVersion) -> Result<(), RememberError> {
    let facts = Facts::gather(places).map_err(RememberError::Facts)?;
    if let Some(pcr) = changes::FIRMWARE_PCRS
        .into_iter()
        .find(|pcr| !facts.accounted(*pcr))
    {
        return Err(RememberError::Unaccounted(pcr));
    }
    let record = changes::record(version, &facts.events, &facts.sha256());
    // A record that cannot be read is replaced.
    let known = esp::with_esp(esp, Access::ReadOnly, |esp| {
        Ok(esp.firmware_record().ok().flatten())
    })?;
    if known.as_ref() == Some(&record) {
        return Ok(());
    }
    Ok(esp::with_esp(esp, Access::ReadWrite, |esp| {
        esp.write_firmware_record(&record)
    })?)
}
