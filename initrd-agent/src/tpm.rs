//! The TPM: what we measure, and the latch.
//!
//! PCR 11 says that the initrd runs and that it has ended; PCR 15 is zero while secrets may be unsealed and
//! never again afterwards. Every extension goes to all active banks and into the event log.

use crate::error::InitError;
use bennu_formats::Sha256Digest;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::paths;
use bennu_linux::{bounded, time};
use bennu_luks::VolumeKey;
use bennu_policy::verify::Verified;
use bennu_tpm::{Client, Device, Event, EventKind, EventRecord, HashAlg, Measured as Data, PcrMask, Tpm};
use std::collections::BTreeMap;
use std::path::Path;

/// The kernel's resource manager, and the bare device where there is none.
const DEVICES: [&str; 2] = ["/dev/tpmrm0", "/dev/tpm0"];
/// What the state volume's key is measured as: the HMAC of these words under it.
const VOLUME_KEY_WORDS: &str = "bennu state volume";
/// PCRs that the hand-over reports.
const REPORTED: [u8; 8] = [4, 5, 7, 10, 11, 12, 13, 15];

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
        let mask = PcrMask::of(&REPORTED).map_err(InitError::TpmRead)?;
        let values = self
            .client
            .pcr_read(HashAlg::Sha256, mask)
            .map_err(InitError::TpmRead)?;
        let digest = |d: &bennu_tpm::Digest| d.as_bytes().try_into().map(Sha256Digest).ok();
        Ok(values
            .iter()
            .filter_map(|(pcr, d)| Some((u32::from(pcr), digest(d)?)))
            .collect())
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

    /// Writes the event log for the running system.
    pub fn write_event_log(&self) -> Result<(), InitError> {
        let failed = |source| InitError::Write {
            path: paths::RUN_EVENT_LOG.to_owned(),
            source,
        };
        std::fs::create_dir_all("/run/bennu")
            .and_then(|()| std::fs::write(paths::RUN_EVENT_LOG, self.event_log().concat()))
            .map_err(failed)
    }
}
