//! What the firmware measured in a start that became healthy, kept on the ESP so that a later one can say what
//! changed. A machine without it works the same and says less; a TPM that says nothing holds up nobody.

use crate::esp::{self, Access, EspAccessError};
use crate::limit::{Late, TPM_LIMIT, within};
use crate::status::measured::{Facts, Places};
use bennu_eventlog::changes;
use bennu_formats::ImageVersion;
use bennu_formats::handover::BlockDevice;
use std::time::Duration;

/// Why there is no new record.
#[derive(Debug, thiserror::Error)]
pub enum RememberError {
    /// The logs or the PCRs cannot be read.
    #[error("what the firmware measured is not remembered: {0}")]
    Facts(String),
    /// The TPM says nothing.
    #[error("what the firmware measured is not remembered: PCRs: {0}")]
    Late(#[from] Late),
    /// PCRs that the log does not account for.
    #[error("what the firmware measured is not remembered: its event log does not give the value of PCR {0}")]
    Unaccounted(u8),
    /// The ESP.
    #[error("what the firmware measured is not remembered: {0}")]
    Esp(#[from] EspAccessError),
}

fn gather(places: Places, limit: Duration, alive: &mut dyn FnMut()) -> Result<Facts, RememberError> {
    within(limit, alive, move || Facts::gather(&places))?.map_err(RememberError::Facts)
}

/// Writes the record of this start, unless the same one is there. `alive` is called while the TPM is asked.
///
/// # Errors
/// [`RememberError`].
pub fn remember(
    places: Places,
    esp: &BlockDevice,
    version: &ImageVersion,
    alive: &mut dyn FnMut(),
) -> Result<(), RememberError> {
    let facts = gather(places, TPM_LIMIT, alive)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_files::KernelFiles;
    use std::sync::Arc;

    #[test]
    fn a_tpm_that_says_nothing_costs_the_record_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("securityfs/tpm0");
        std::fs::create_dir_all(&folder).unwrap();
        let places = Places {
            kernel: Arc::new(KernelFiles::at(dir.path())),
            user_log: dir.path().join("nowhere"),
        };
        let gathered = || gather(places.clone(), Duration::from_millis(200), &mut || ());
        assert!(matches!(gathered(), Err(RememberError::Facts(_))), "control");
        // Whoever opens it waits.
        let (path, pipe) = (
            folder.join("binary_bios_measurements"),
            rustix::fs::FileType::Fifo,
        );
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, 0o600.into(), 0).unwrap();
        let late = gathered().unwrap_err();
        assert_eq!(
            late.to_string(),
            "what the firmware measured is not remembered: PCRs: timed out after 200 ms"
        );
        // Lets the thread go.
        drop(std::fs::OpenOptions::new().write(true).open(&path).unwrap());
    }
}
