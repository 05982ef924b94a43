//! The TPM: what we measure, and the latch.
//!
//! PCR 11 says that the initrd runs and that it has ended; PCR 15 is zero while secrets may be unsealed and
//! never again afterwards. Every extension goes to all active banks and into the event log.

use crate::error::InitError;
use crate::journal::Journal;
use bennu_eventlog::{Event as LogEvent, MAX_LOG_BYTES, Meaning, Origin, append, firmware};
use bennu_formats::Sha256Digest;
use bennu_formats::handover::SecureBootState;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::paths;
use bennu_linux::{bounded, time};
use bennu_luks::VolumeKey;
use bennu_policy::verify::Verified;
use bennu_tpm::{
    Client, Device, Event, EventKind, EventRecord, HashAlg, Measured as Data, PcrBank, PcrMask,
    ReleasePolicy, SECURE_BOOT_PCR, Tpm,
};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The kernel's resource manager, and the bare device where there is none.
const DEVICES: [&str; 2] = ["/dev/tpmrm0", "/dev/tpm0"];
/// What the state volume's key is measured as: the HMAC of these words under it.
const VOLUME_KEY_WORDS: &str = "bennu state volume";
/// PCRs that the SHA-256 bank has to hold: the firmware's two that say who booted, and those of the policy.
const NEEDED: [u8; 6] = [0, 7, 11, 12, 13, 15];
/// PCRs that every firmware with Secure Boot measures into (PC Client Platform Firmware Profile, 3.3.4).
const FIRMWARE: [u8; 2] = [0, 7];
/// PCRs that are compared when a start has failed.
const EVIDENCE: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 15];
/// PCRs that the hand-over reports: all of the boot (PC Client Platform Firmware Profile, 3.3.4, and UAPI.7).
const REPORTED: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The open TPM with the log of our extensions.
pub struct Measured {
    client: Client<Device>,
    log: Vec<(EventRecord, u64)>,
    latched: bool,
}

impl Measured {
    /// Opens the device.
    pub fn open() -> Result<Self, InitError> {
        let path = DEVICES
            .iter()
            .find(|p| Path::new(p).exists())
            .unwrap_or(&DEVICES[0]);
        let device = Device::open(Path::new(path)).map_err(InitError::TpmMissing)?;
        Ok(Self {
            client: Client::new(device),
            log: Vec::new(),
            latched: false,
        })
    }

    /// The client.
    pub fn client(&mut self) -> &mut Client<Device> {
        &mut self.client
    }

    /// Demands an active SHA-256 bank with every PCR that a policy of ours names, and, where the firmware enforced
    /// Secure Boot, that it has measured into that bank: nothing is sealed to one that nobody extends.
    pub fn check_bank(&mut self, secure_boot: SecureBootState) -> Result<(), InitError> {
        bank_is_active(&self.client.pcr_banks().map_err(InitError::TpmRead)?)?;
        match secure_boot {
            SecureBootState::Enforced => bank_is_measured(&self.read(&FIRMWARE)?),
            SecureBootState::Off => Ok(()),
        }
    }

    /// Demands the PCRs that the release names, also where nothing is sealed that would not open.
    pub fn expect(&mut self, release: &ReleasePolicy) -> Result<(), InitError> {
        self.client.expect_pcrs(release).map_err(InitError::Measured)
    }

    /// PCR 11 ← `enter-initrd`.
    pub fn enter_initrd(&mut self) -> Result<(), InitError> {
        self.phase("enter-initrd")
    }

    fn phase(&mut self, word: &str) -> Result<(), InitError> {
        self.extend(&Event {
            pcr: 11,
            measured: Data::Data(word.as_bytes()),
            kind: EventKind::Phase,
            text: word,
        })
    }

    /// PCR 12 ← digest of a debug token: every sealed policy names this PCR, so nothing opens any more.
    pub fn measure_debug_token(&mut self, digest: Sha256Digest) -> Result<(), InitError> {
        let text = digest.to_string();
        self.extend(&Event {
            pcr: 12,
            measured: Data::Data(text.as_bytes()),
            kind: EventKind::DebugToken,
            text: &text,
        })
    }

    /// Closes unsealing until the next power-on: PCR 15 ← manifest digest, then `none` where a volume key's
    /// keyed digest will stand; PCR 11 ← `leave-initrd`.
    pub fn latch(
        &mut self,
        manifest: &Verified<SlotManifest>,
        volume_key: Option<&VolumeKey>,
    ) -> Result<(), InitError> {
        let digest = manifest.signed_bytes_sha256();
        self.close(&digest.to_string(), volume_key)
    }

    /// The same before a recovery key is asked for: whoever types what, this start unseals nothing.
    pub fn latch_for_recovery(&mut self) -> Result<(), InitError> {
        self.close("recovery", None)
    }

    /// The same on failure, when there may be no manifest to name.
    pub fn latch_after_failure(&mut self) -> Result<(), InitError> {
        if self.latched {
            Ok(())
        } else {
            self.close("failed", None)
        }
    }

    /// PCR 15 ← the digest of a first-boot configuration that is about to be used. After the latch: nothing is sealed to
    /// what PCR 15 holds then.
    pub fn first_boot(&mut self, digest: &Sha256Digest) -> Result<(), InitError> {
        let text = digest.to_string();
        self.extend(&Event {
            pcr: 15,
            measured: Data::Data(text.as_bytes()),
            kind: EventKind::FirstBoot,
            text: &text,
        })
    }

    fn close(&mut self, manifest: &str, volume_key: Option<&VolumeKey>) -> Result<(), InitError> {
        let fifteen = |text| Event {
            pcr: 15,
            measured: Data::Data(str::as_bytes(text)),
            kind: EventKind::Manifest,
            text,
        };
        self.extend(&fifteen(manifest))?;
        let text = if volume_key.is_some() {
            VOLUME_KEY_WORDS
        } else {
            "none"
        };
        let mut volume = Event {
            kind: EventKind::VolumeKey,
            ..fifteen(text)
        };
        if let Some(key) = volume_key {
            let data = VOLUME_KEY_WORDS.as_bytes();
            volume.measured = Data::Keyed {
                key: key.as_bytes(),
                data,
            };
        }
        self.extend(&volume)?;
        self.phase("leave-initrd")?;
        self.latched = true;
        Ok(())
    }

    fn extend(&mut self, event: &Event<'_>) -> Result<(), InitError> {
        let record = self.client.pcr_extend(event).map_err(InitError::TpmExtend)?;
        self.log
            .push((record, time::since_boot_ms().saturating_mul(1000)));
        Ok(())
    }

    /// Values of the PCRs in the SHA-256 bank.
    pub fn pcrs(&mut self) -> Result<BTreeMap<u32, Sha256Digest>, InitError> {
        let values = self.read(&REPORTED)?;
        Ok(values
            .into_iter()
            .map(|(pcr, value)| (pcr.into(), value))
            .collect())
    }

    /// The PCRs that explain a failure: those of the firmware and those of the policy.
    pub fn evidence_pcrs(&mut self) -> Result<BTreeMap<u8, Sha256Digest>, InitError> {
        self.read(&EVIDENCE)
    }

    /// What the firmware has measured of Secure Boot: keys, db, dbx, and who signed what was started.
    pub fn secure_boot_pcr(&mut self) -> Result<Sha256Digest, InitError> {
        let values = self.read(&[SECURE_BOOT_PCR])?;
        let value = values.get(&SECURE_BOOT_PCR).copied();
        value
            .filter(|value| *value != Sha256Digest::ZERO)
            .ok_or(InitError::TpmUnmeasured { pcr: SECURE_BOOT_PCR })
    }

    fn read(&mut self, pcrs: &[u8]) -> Result<BTreeMap<u8, Sha256Digest>, InitError> {
        let mask = PcrMask::of(pcrs).map_err(InitError::TpmRead)?;
        let values = self
            .client
            .pcr_read(HashAlg::Sha256, mask)
            .map_err(InitError::TpmRead)?;
        let digest = |d: &bennu_tpm::Digest| d.as_bytes().try_into().map(Sha256Digest).ok();
        Ok(values
            .iter()
            .filter_map(|(pcr, d)| Some((pcr, digest(d)?)))
            .collect())
    }

    /// Every extension so far, as the replay takes it.
    pub fn events(&self) -> Vec<LogEvent> {
        let event = |(record, _): &(EventRecord, u64)| LogEvent {
            origin: Origin::UserSpace,
            pcr: record.pcr.into(),
            digests: record.digests.clone(),
            meaning: Meaning::Record {
                kind: record.kind.name().to_owned(),
                words: record.text.clone(),
            },
        };
        self.log.iter().map(event).collect()
    }

    /// Every extension so far, a record of CEL-JSON each.
    pub fn event_log(&self) -> Vec<String> {
        let text = bounded::read_text(Path::new("/proc/sys/kernel/random/boot_id"), 64).unwrap_or_default();
        let boot_id: uuid::Uuid = text.trim().parse().unwrap_or_default();
        self.log
            .iter()
            .map(|(record, us)| record.cel_json(boot_id.as_bytes(), *us))
            .collect()
    }

    /// Writes the event log for the running system: once for ourselves, and as the beginning of the log that
    /// systemd's programs append to, so that their tools read one log of all there is. Mode 0600 as systemd has it:
    /// whoever may open that file may lock it. And once behind the firmware's log, for tools that read that form only;
    /// where it cannot be read that file is not there, and this is said.
    pub fn write_event_log(&self, journal: &mut Journal) -> Result<(), InitError> {
        let log = self.event_log().concat();
        for path in [paths::RUN_EVENT_LOG, paths::RUN_SYSTEMD_EVENT_LOG] {
            write_log(path, log.as_bytes())?;
        }
        match self.measurements() {
            Ok(all) => write_log(paths::RUN_MEASUREMENTS, &all),
            Err(why) => {
                journal.warn(&format!("no {}: {why}", paths::RUN_MEASUREMENTS));
                Ok(())
            }
        }
    }

    /// The firmware's event log with every extension so far behind it, or why there is none.
    fn measurements(&self) -> Result<Vec<u8>, String> {
        let firmware =
            bounded::read(Path::new(firmware::PATH), MAX_LOG_BYTES).map_err(|error| error.to_string())?;
        let records: Vec<EventRecord> = self.log.iter().map(|(record, _)| record.clone()).collect();
        append(&firmware, &records).map_err(|error| error.to_string())
    }
}

fn write_log(path: &str, log: &[u8]) -> Result<(), InitError> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/run"));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(log)
    };
    write().map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Every PCR of [`NEEDED`] is in an active SHA-256 bank.
fn bank_is_active(banks: &[PcrBank]) -> Result<(), InitError> {
    let held = |pcr: u8| {
        let mut sha256 = banks.iter().filter(|b| b.alg_id == HashAlg::Sha256.id());
        sha256.any(|bank| bank.pcrs.contains(pcr))
    };
    let Some(pcr) = NEEDED.into_iter().find(|pcr| !held(*pcr)) else {
        return Ok(());
    };
    let name = |id: u16| HashAlg::from_id(id).map_or_else(|| format!("{id:#x}"), |alg| alg.to_string());
    let active = banks.iter().filter(|b| !b.pcrs.is_empty());
    let found: Vec<String> = active.map(|b| name(b.alg_id)).collect();
    Err(InitError::TpmBank {
        pcr,
        found: found.join(", "),
    })
}

/// A firmware that enforced Secure Boot has measured so.
fn bank_is_measured(values: &BTreeMap<u8, Sha256Digest>) -> Result<(), InitError> {
    let zero = values.iter().find(|(_, value)| **value == Sha256Digest::ZERO);
    zero.map_or(Ok(()), |(&pcr, _)| Err(InitError::TpmUnmeasured { pcr }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::Code;

    fn bank(alg_id: u16, pcrs: &[u8]) -> PcrBank {
        PcrBank {
            alg_id,
            pcrs: PcrMask::of(pcrs).unwrap(),
        }
    }

    #[test]
    fn a_tpm_without_a_whole_sha_256_bank_is_refused_with_the_banks_that_it_has() {
        let all: Vec<u8> = (0..24).collect();
        let (sha1, sha256) = (HashAlg::Sha1.id(), HashAlg::Sha256.id());
        bank_is_active(&[bank(sha1, &all), bank(sha256, &all)]).unwrap();
        for (banks, refused, found) in [
            (vec![bank(sha1, &all), bank(sha256, &[])], 0, "sha1"),
            (vec![bank(0x12, &all)], 0, "0x12"),
            (vec![bank(sha256, &[0, 7, 11, 12, 13])], 15, "sha256"),
            (vec![], 0, ""),
        ] {
            let error = bank_is_active(&banks).unwrap_err();
            assert_eq!(error.code(), Code::TpmBank);
            let InitError::TpmBank { pcr, found: active } = error else {
                panic!("{error}")
            };
            assert_eq!((pcr, active.as_str()), (refused, found));
        }
    }

    #[test]
    fn a_bank_that_the_firmware_does_not_measure_into_is_refused() {
        let (some, zero) = (Sha256Digest([1; 32]), Sha256Digest::ZERO);
        bank_is_measured(&[(0, some), (7, some)].into()).unwrap();
        for (values, refused) in [([(0, some), (7, zero)], 7), ([(0, zero), (7, some)], 0)] {
            let error = bank_is_measured(&values.into()).unwrap_err();
            assert_eq!(error.code(), Code::TpmBank);
            assert!(matches!(error, InitError::TpmUnmeasured { pcr } if pcr == refused));
        }
    }
}
