//! What was measured in this start, replayed: whether the event logs account for the PCRs, and whether the PCRs are
//! what the release's signer predicted.
//!
//! Read: the firmware's event log in securityfs and that of user space (root only), and the PCRs as the kernel shows them,
//! one file each (Documentation/ABI/stable/sysfs-class-tpm). Nothing is written, the TPM is not asked.

use crate::kernel_files::{KernelFiles, KernelFs};
use bennu_eventlog::{
    Event, Expected, MAX_LOG_BYTES, Meaning, Origin, cel, changes, firmware, judge, replay,
};
use bennu_formats::Sha256Digest;
use bennu_formats::firmware_record::FirmwareRecord;
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::bounded;
use bennu_tpm::{Digest, HashAlg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the kernel shows the TPM's banks in sysfs: a directory `pcr-<algorithm>` each.
const TPM: &str = "class/tpm/tpm0";
/// Where it shows the firmware's event log in securityfs: [`firmware::PATH`].
const FIRMWARE_LOG: &str = "tpm0/binary_bios_measurements";
/// PCRs that the logs have to account for. PCR 10 is IMA's, which has a log of its own; 16 and 23 are for
/// applications, 17 to 22 for a late launch.
const ACCOUNTED: [u8; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15];
/// Looks at logs and PCRs until they agree.
const LOOKS: u32 = 4;
/// Between two looks: an extension takes a discrete TPM some tens of milliseconds.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// The longest PCR in hex with its newline, and some bytes so that a longer file is noticed.
const MAX_FILE_BYTES: usize = 144;

/// Where the facts are.
#[derive(Debug, Clone)]
pub struct Places {
    /// With the banks and the firmware's event log.
    pub kernel: Arc<KernelFiles>,
    /// User space's event log.
    pub user_log: PathBuf,
}

impl Places {
    /// The machine's.
    pub fn of(kernel: Arc<KernelFiles>) -> Self {
        Self {
            kernel,
            user_log: paths::RUN_SYSTEMD_EVENT_LOG.into(),
        }
    }
}

impl Default for Places {
    /// The machine's, as everybody sees it.
    fn default() -> Self {
        Self::of(Arc::new(KernelFiles::shared()))
    }
}

/// Both logs and every bank's PCRs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Events of the firmware, then those of user space.
    pub events: Vec<Event>,
    /// Why a log was not read to its end.
    pub broken: Vec<String>,
    /// PCR values by bank.
    pub banks: BTreeMap<HashAlg, BTreeMap<u8, Digest>>,
}

impl Facts {
    /// Reads everything.
    ///
    /// # Errors
    /// A log or a PCR cannot be read; in words.
    pub fn gather(places: &Places) -> Result<Self, String> {
        let mut events = Vec::new();
        let mut broken = Vec::new();
        let kernel = &places.kernel;
        let of_firmware = kernel.read(KernelFs::Security, FIRMWARE_LOG, MAX_LOG_BYTES);
        let of_user_space = bounded::read(&places.user_log, MAX_LOG_BYTES);
        let logs = [
            (
                firmware::PATH.into(),
                firmware::read(&of_firmware.map_err(|error| error.to_string())?),
            ),
            (
                places.user_log.to_string_lossy(),
                cel::read(&of_user_space.map_err(|error| error.to_string())?),
            ),
        ];
        for (path, log) in logs {
            events.extend(log.events);
            broken.extend(log.broken.map(|why| format!("{path}: {why}")));
        }
        let mut banks = BTreeMap::new();
        for alg in HashAlg::ALL {
            let directory = format!("{TPM}/pcr-{alg}");
            if kernel.has(KernelFs::Sys, &directory) {
                banks.insert(alg, bank(alg, kernel, &directory)?);
            }
        }
        if !banks.contains_key(&HashAlg::Sha256) {
            return Err(format!("/sys/{TPM}: expected a bank sha256, found none"));
        }
        Ok(Self {
            events,
            broken,
            banks,
        })
    }

    /// As [`Self::gather`], anew while the logs do not account for the PCRs: systemd extends first and writes its
    /// record afterwards, so that a look in between finds a record missing.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub fn gather_settled(places: &Places) -> Result<Self, String> {
        for _ in 1..LOOKS {
            let facts = Self::gather(places)?;
            if ACCOUNTED.into_iter().all(|pcr| facts.accounted(pcr)) {
                return Ok(facts);
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Self::gather(places)
    }

    /// The SHA-256 bank.
    pub fn sha256(&self) -> BTreeMap<u8, Sha256Digest> {
        let bank = self.banks.get(&HashAlg::Sha256);
        let values = bank.into_iter().flatten();
        values
            .filter_map(|(pcr, value)| Some((*pcr, Sha256Digest(value.as_bytes().try_into().ok()?))))
            .collect()
    }

    /// Whether the logs give this PCR's value in every bank.
    pub fn accounted(&self, pcr: u8) -> bool {
        self.banks.iter().all(|(alg, values)| {
            let value = values.get(&pcr);
            value.is_none_or(|value| *value == replay::value(pcr, *alg, &self.events))
        })
    }
}

fn bank(alg: HashAlg, kernel: &KernelFiles, directory: &str) -> Result<BTreeMap<u8, Digest>, String> {
    let read = |pcr: u8| {
        let path = format!("{directory}/{pcr}");
        let text = kernel.read_text(KernelFs::Sys, &path, MAX_FILE_BYTES);
        let text = text.map_err(|error| error.to_string())?;
        let value = hex::decode(text.trim())
            .ok()
            .and_then(|bytes| Digest::new(alg, &bytes));
        let expected = || format!("/sys/{path}: expected a digest in hex");
        Ok((pcr, value.ok_or_else(expected)?))
    };
    ACCOUNTED.into_iter().map(read).collect()
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Measured {
    /// All PCRs are accounted for and as predicted.
    AsExpected {
        /// Events of both logs.
        events: usize,
        /// Banks that were replayed.
        banks: Vec<String>,
        /// PCRs of the firmware that changed since the last good start; no policy names them.
        firmware_changes: Vec<String>,
    },
    /// Something is not.
    Unexpected {
        /// One sentence a finding, the policy's first.
        findings: Vec<String>,
        /// As above.
        firmware_changes: Vec<String>,
    },
    /// That cannot be told.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Measured {
    /// Judges the facts; `last_good` is the record on the ESP, if there is one.
    pub fn of(facts: &Facts, handover: &Handover, last_good: Option<&FirmwareRecord>) -> Self {
        let values = facts.sha256();
        let whole = facts.broken.is_empty();
        let deviations = judge(&expected(handover, &values), &values, &facts.events, whole);
        let mut findings: Vec<String> = deviations.iter().map(ToString::to_string).collect();
        findings.extend(not_closed(handover, &facts.events));
        findings.extend(facts.broken.iter().cloned());
        let told = |pcr: &u8| deviations.iter().any(|deviation| deviation.pcr == *pcr);
        let missing = ACCOUNTED
            .iter()
            .filter(|pcr| !told(pcr) && !facts.accounted(**pcr))
            .map(|pcr| {
                format!(
                    "PCR {pcr} has another value than the event logs give: a record was removed or changed, or \
                     something was measured without one"
                )
            });
        findings.extend(missing);
        let firmware_changes = last_good.map_or_else(Vec::new, |before| {
            let now = changes::record(&handover.version, &facts.events, &values);
            let changes = changes::changes(before, &now);
            changes.iter().map(ToString::to_string).collect()
        });
        if findings.is_empty() {
            Self::AsExpected {
                events: facts.events.len(),
                banks: facts.banks.keys().map(ToString::to_string).collect(),
                firmware_changes,
            }
        } else {
            Self::Unexpected {
                findings,
                firmware_changes,
            }
        }
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::AsExpected { events, banks, .. } => format!(
                "all measurements are as expected: {events} events account for every PCR ({})",
                banks.join(", ")
            ),
            Self::Unexpected { findings, .. } => findings.join("; "),
            Self::Unknown { why } => format!("what was measured is not known: {why}"),
        }
    }

    /// Changes of the firmware's PCRs.
    pub fn firmware_changes(&self) -> &[String] {
        match self {
            Self::AsExpected { firmware_changes, .. } | Self::Unexpected { firmware_changes, .. } => {
                firmware_changes
            }
            Self::Unknown { .. } => &[],
        }
    }
}

/// PCR 11 is as predicted after any phase from `leave-initrd` on: which one the system has reached is not asked.
fn expected(handover: &Handover, values: &BTreeMap<u8, Sha256Digest>) -> Expected {
    let predicted = &handover.predicted_pcrs;
    let phases = [
        predicted.pcr11_leave_initrd,
        predicted.pcr11_sysinit,
        predicted.pcr11_ready,
    ];
    let reached = phases.into_iter().find(|value| values.get(&11) == Some(value));
    Expected {
        sections: predicted.pcr11_sections,
        section_digests: predicted.sections.clone(),
        values: BTreeMap::from([
            (11, reached.unwrap_or(predicted.pcr11_leave_initrd)),
            (12, predicted.pcr12),
            (13, predicted.pcr13),
        ]),
    }
}

/// PCR 15 begins with this release's manifest: the latch of this start.
fn not_closed(handover: &Handover, events: &[Event]) -> Option<String> {
    let first = events
        .iter()
        .find(|event| event.origin == Origin::UserSpace && event.extends() == Some(15));
    let expected = handover.manifest_sha256.to_string();
    match first.map(|event| &event.meaning) {
        Some(Meaning::Record { words, .. }) if *words == expected => None,
        Some(other) => Some(format!(
            "PCR 15 begins with {other} and not with this release's manifest"
        )),
        None => Some("the event log has no record of the latch (PCR 15)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firmwares_log_is_where_its_reader_says() {
        let path = KernelFs::Security.place().join(FIRMWARE_LOG);
        assert_eq!(path.to_str(), Some(firmware::PATH));
    }
}
