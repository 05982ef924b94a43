//! The first-boot configuration on the ESP: read and proven on a machine's first start, ignored at every other.
//!
//! Anybody with the disk can write it, take it away or bring another machine's. One that is refused ends the start: a
//! machine that comes up without the configuration that somebody meant it to have is worse than one that says why not,
//! and whoever can put a file there can keep the machine from starting anyway.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::journal::Journal;
use bennu_formats::first_boot::{FirstBoot, MachineUuid};
use bennu_formats::trust::TrustConfig;
use bennu_linux::bounded;
use bennu_policy::verify::Verified;
use bennu_policy::verify::first_boot::{FirstBootTrust, verify};
use std::path::Path;

/// The firmware's system UUID; only root reads it.
const SYSTEM_UUID: &str = "/sys/class/dmi/id/product_uuid";

/// Refuses a wrong file before a state volume is made and its recovery key shown.
pub fn check_early(esp: &Mounted, trust: &TrustConfig, journal: &mut Journal) -> Result<(), InitError> {
    if let Some(config) = read_and_verify(esp, trust)? {
        let keys: Vec<String> = config
            .signed_by()
            .iter()
            .map(|key| key.to_string()[..16].to_owned())
            .collect();
        journal.say(&format!(
            "first-boot configuration {} signed by configuration key {}",
            config.signed_bytes_sha256(),
            keys.join(", ")
        ));
    }
    Ok(())
}

/// Reads the file, if there is one, and proves it. Each use reads it anew and proves what it has read.
pub fn read_and_verify(esp: &Mounted, trust: &TrustConfig) -> Result<Option<Verified<FirstBoot>>, InitError> {
    let Some(bytes) = esp.files().first_boot()? else {
        return Ok(None);
    };
    let machine: Option<MachineUuid> = bounded::read_text(Path::new(SYSTEM_UUID), 64)
        .ok()
        .and_then(|text| text.parse().ok());
    Ok(Some(verify(
        &bytes,
        &FirstBootTrust::new(trust, machine.as_ref()),
    )?))
}

/// A zone that the image does not have would be UTC without a word. `etc` is the verified root's `/etc`.
pub fn check_zone(config: &FirstBoot, etc: &Path) -> Result<(), InitError> {
    let Some(zone) = &config.time_zone else {
        return Ok(());
    };
    let file = etc.join("../usr/share/zoneinfo").join(zone);
    match std::fs::symlink_metadata(file) {
        Ok(_) => Ok(()),
        Err(_) => Err(InitError::FirstBootZone(zone.clone())),
    }
}
