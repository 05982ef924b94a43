//! Why a start failed, from what was measured: the cause in one sentence, and whether the other slot would meet it.
//!
//! Reads: PCRs, the firmware's event log, the other slot's manifest (verified as this slot's was), and from the ESP
//! the record of the last good start, which is untrusted. Writes nothing. It explains a failure that is decided
//! already: whatever cannot be read here costs words only.

use crate::esp::Mounted;
use crate::failure::Known;
use crate::journal::Journal;
use crate::slot::{self, Slot};
use crate::tpm::Measured;
use bennu_eventlog::changes;
use bennu_eventlog::{Deviation, Event, Expected, MAX_LOG_BYTES, Reach, firmware, judge, other_slot_meets};
use bennu_formats::boot_record::Failure;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::trust::TrustConfig;
use bennu_formats::verity_sig::{self, VeritySig};
use bennu_formats::{Code, RootHash, Sha256Digest, guids};
use bennu_linux::block::{BlockDevice, OpenMode};
use bennu_linux::bounded;
use bennu_policy::verify::{ReleaseTrust, SlotFacts, Verified, verify_slot};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use uuid::Uuid;

/// What is known of this slot's policy, and of where another slot may be.
pub struct Evidence {
    expected: Expected,
    security_version: u64,
    /// The floor, once it was read.
    pub floor: Option<u64>,
    root_hash: RootHash,
    disk: BlockDevice,
    trust: TrustConfig,
}

impl Evidence {
    /// The policy of a verified manifest, as it has to be when secrets are unsealed.
    pub fn of(manifest: &Verified<SlotManifest>, slot: &Slot, trust: &TrustConfig) -> Self {
        let manifest = manifest.get();
        let pcrs = &manifest.pcrs;
        Self {
            expected: Expected {
                sections: pcrs.pcr11_sections,
                section_digests: pcrs.sections.clone(),
                values: BTreeMap::from([
                    (11, pcrs.pcr11_enter_initrd),
                    (12, pcrs.pcr12),
                    (13, pcrs.pcr13),
                    (15, Sha256Digest::ZERO),
                ]),
            },
            security_version: manifest.security_version,
            floor: None,
            root_hash: manifest.verity.root_hash,
            disk: slot.disk.clone(),
            trust: trust.clone(),
        }
    }
}

/// Puts the cause in front of the reason of a failure that the TPM's state may explain; tells on the console what
/// else is known. Called before the latch, which changes the PCRs.
pub fn explain(journal: &mut Journal, known: &mut Known, failure: Failure) -> Failure {
    let (Some(evidence), Some(tpm)) = (&known.evidence, &mut known.tpm) else {
        return failure;
    };
    if !concerns_the_tpm(failure.code) {
        return failure;
    }
    let values = match tpm.evidence_pcrs() {
        Ok(values) => values,
        Err(error) => {
            journal.warn(&format!("what was measured cannot be compared: {error}"));
            return failure;
        }
    };
    let (events, whole) = events(journal, tpm);
    let deviations = judge(&evidence.expected, &values, &events, whole);
    if let Some(esp) = &known.esp {
        tell_changes(journal, esp, evidence, &events, &values);
    }
    // PCR 7 is none of the release's: what the firmware measured otherwise than before is told, and nothing else to compare.
    if failure.code == Code::StateSecureBoot {
        return failure;
    }
    let Some(cause) = evidence.cause(failure.code, &deviations) else {
        journal.say(
            "PCRs 11, 12, 13 and 15 have the expected values: what was measured does not explain the failure",
        );
        return failure;
    };
    Failure::new(failure.code, &format!("{cause}; {}", failure.reason))
}

/// Failures of the steps between the first extension and the latch.
fn concerns_the_tpm(code: Code) -> bool {
    matches!(
        code,
        Code::PcrUnexpected
            | Code::SecretUnseal
            | Code::SecretBlob
            | Code::BelowFloor
            | Code::FloorMissing
            | Code::FloorForeign
            | Code::FloorAccess
            | Code::StateKeyMissing
            | Code::StateOtherTpm
            | Code::StateForged
            | Code::StateSecureBoot
    )
}

/// The firmware's events and our own; whether the firmware's log was read to its end.
fn events(journal: &mut Journal, tpm: &Measured) -> (Vec<Event>, bool) {
    let (mut events, whole) = match bounded::read(Path::new(firmware::PATH), MAX_LOG_BYTES) {
        Ok(bytes) => {
            let log = firmware::read(&bytes);
            if let Some(why) = &log.broken {
                journal.warn(&why.to_string());
            }
            (log.events, log.broken.is_none())
        }
        Err(error) => {
            journal.warn(&format!("the firmware's event log: {error}"));
            (Vec::new(), false)
        }
    };
    events.extend(tpm.events());
    (events, whole)
}

fn tell_changes(
    journal: &mut Journal,
    esp: &Mounted,
    evidence: &Evidence,
    events: &[Event],
    values: &BTreeMap<u8, Sha256Digest>,
) {
    match esp.files().firmware_record() {
        Ok(None) => {}
        Ok(Some(before)) => {
            let now = changes::record(&evidence.trust.version, events, values);
            for change in changes::changes(&before, &now) {
                journal.say(&format!("since the last good start {change}"));
            }
        }
        Err(error) => journal.warn(&error.to_string()),
    }
}

impl Evidence {
    /// The sentence; `None` where nothing that was measured is unexpected.
    fn cause(&self, code: Code, deviations: &[Deviation]) -> Option<String> {
        if deviations.is_empty() && code != Code::BelowFloor {
            return None;
        }
        let mut parts: Vec<String> = deviations.iter().map(ToString::to_string).collect();
        parts.push(self.other_slot(deviations));
        Some(parts.join("; "))
    }

    fn other_slot(&self, deviations: &[Deviation]) -> String {
        let other = match self.read_other() {
            Ok(other) => other,
            Err(why) => return why,
        };
        let manifest = other.get();
        let enough = match self.floor {
            Some(floor) => Some(manifest.security_version >= floor),
            None => (manifest.security_version >= self.security_version).then_some(true),
        };
        let reach = if deviations.is_empty() {
            Reach::ThisUki
        } else {
            other_slot_meets(deviations)
        };
        match (reach, enough) {
            (_, Some(false)) => format!("the other slot ({}) is below the floor", manifest.version),
            (Reach::EveryUki, _) => "the other slot would meet the same".to_owned(),
            (Reach::ThisUki, Some(true)) => "the other slot would unseal".to_owned(),
            (Reach::ThisUki, None) | (Reach::Unknown, _) => {
                "whether the other slot would unseal is not known".to_owned()
            }
        }
    }

    /// The newest manifest of another slot that verifies, or words for why there is none.
    fn read_other(&self) -> Result<Verified<SlotManifest>, String> {
        let partitions = slot::partitions_of(&self.disk).map_err(|error| error.to_string())?;
        let own = Uuid::from_bytes(self.root_hash.verity_sig_partition_uuid());
        let kind = Uuid::from_bytes(guids::TYPE_ROOT_VERITY_SIG_X86_64);
        let others = partitions
            .iter()
            .filter(|(entry, _)| entry.type_guid == kind && entry.unique_guid != own);
        let mut refused = None;
        let mut newest: Option<Verified<SlotManifest>> = None;
        for (_, device) in others {
            match self.verify_other(device, &partitions) {
                Ok(found)
                    if newest
                        .as_ref()
                        .is_none_or(|n| n.get().version < found.get().version) =>
                {
                    newest = Some(found);
                }
                Ok(_) => {}
                Err(why) => refused = Some(why),
            }
        }
        let none = || {
            refused.map_or_else(
                || "there is no other slot".to_owned(),
                |why| format!("no other slot: {why}"),
            )
        };
        newest.ok_or_else(none)
    }

    /// By the function that verifies this slot's, with the root hash that the other one claims: it says what was
    /// signed, and nothing is started by it.
    fn verify_other(
        &self,
        device: &BlockDevice,
        partitions: &[(bennu_disk::gpt::Partition, BlockDevice)],
    ) -> Result<Verified<SlotManifest>, String> {
        let mut bytes = Vec::new();
        let file = device.open(OpenMode::Read).map_err(|e| e.to_string())?;
        file.take(verity_sig::PARTITION_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(|e| e.to_string())?;
        let root_hash = VeritySig::decode(&bytes).map_err(|e| e.to_string())?.root_hash;
        let length = |guid: [u8; 16]| {
            let found = partitions
                .iter()
                .find(|(entry, _)| entry.unique_guid == Uuid::from_bytes(guid));
            found
                .map(|(_, device)| slot::length(device))
                .ok_or("its partitions are not there")
        };
        let facts = SlotFacts {
            root_hash,
            root_partition: length(root_hash.data_partition_uuid())?,
            verity_partition: length(root_hash.verity_partition_uuid())?,
        };
        verify_slot(&bytes, &ReleaseTrust::from(&self.trust), &facts).map_err(|e| e.code().to_string())
    }
}
