//! The state volume: found, compared with what the TPM has pinned, opened; made on the first start.
//!
//! Everything on the partition and on the ESP may have been written by anyone. The header is compared with one
//! template; the volume key comes from the TPM only; which volume it is and how old is decided by
//! `bennu_policy::state` against an NV index that only a fulfilled release policy writes. Called before the latch and
//! before any secret is unsealed: a machine with a wrong volume releases nothing.
//!
//! Order of writes, each flushed before the next: first start: sealed key, header, file system, pin; the TPM has no
//! owner yet, whose authorisation the volume's key may guard. Later: header
//! with the next generation, pin. A cut in between leaves a state that the next start completes.

mod device;
pub mod key;
mod partition;
mod recovery_key;
mod schema;

use crate::error::InitError;
use crate::esp::{KeptState, Mounted};
use crate::first_boot;
use crate::floor;
use crate::hardware::Hardware;
use crate::journal::Journal;
use crate::opened::Boot;
use crate::secrets::{self, Besides};
use crate::tpm::Measured;
use bennu_formats::handover;
use bennu_formats::manifest::POLICY_REF;
use bennu_formats::paths;
use bennu_formats::state::{self as format, StatePin};
use bennu_formats::state_schema::StateSchema;
use bennu_formats::trust::{LocalRule, RecoveryRule, StateRule};
use bennu_linux::block::{BlockDevice, OpenMode};
use bennu_luks::{
    FormatParameters, HeaderError, KdfCost, RandomFailed, RecoveryKey, UnverifiedHeader, VerifiedHeader,
    VolumeKey,
};
use bennu_policy::state::{self as policy, KeyFact, PinFact, StateDecision, VolumeFact};
use bennu_policy::state_schema::Release;
use bennu_tpm::{GuardedIndex, GuardedState, HashAlg, IndexPlace, NvAttributes, ReleasePolicy, RsaPublic};
use key::Guard;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The open state volume.
pub struct StateVolume {
    /// Where it is mounted.
    pub mounted: PathBuf,
    /// Its key, to be measured.
    pub key: VolumeKey,
    /// Which releases can read it, for the boot record.
    pub kept: KeptState,
    /// For the running system.
    pub report: handover::StateVolume,
}

fn opened(
    (mounted, schema): (PathBuf, StateSchema),
    key: VolumeKey,
    own: u32,
    uuid: uuid::Uuid,
    generation: u64,
) -> StateVolume {
    let report = handover::StateVolume {
        uuid: uuid.to_string(),
        generation,
        mounted: mounted.display().to_string(),
        schema: handover::KeptSchema {
            of_release: own,
            written: schema.written,
            readable_from: schema.readable_from,
        },
    };
    StateVolume {
        mounted,
        key,
        kept: KeptState { own, schema },
        report,
    }
}

/// The index that pins the volume of this machine.
pub fn pin_index(key: &RsaPublic) -> GuardedIndex {
    let place = IndexPlace {
        index: format::NV_INDEX,
        attributes: NvAttributes(bennu_formats::floor::NV_ATTRIBUTES),
        size: format::PIN_BYTES as u16,
    };
    GuardedIndex::new(place, &key.name(), POLICY_REF.as_bytes())
}

/// Opens or makes the state volume, if the image has one. `key` is what [`key::find`] gave.
pub fn open(
    tpm: &mut Measured,
    esp: &mut Mounted,
    boot: &Boot<'_>,
    key: Result<Option<VolumeKey>, InitError>,
    hardware: &mut Hardware<'_>,
    journal: &mut Journal,
) -> Result<Option<StateVolume>, InitError> {
    let Boot {
        slot,
        trust,
        release,
        manifest,
        ..
    } = boot;
    if trust.state == StateRule::Volatile {
        return Ok(None);
    }
    let partition = slot.state.as_ref().ok_or(InitError::StateNoPartition)?;
    let partition = &partition::grow(&slot.disk, partition, journal);
    let index = pin_index(&release.key);
    let reader = Release {
        state_schema: manifest.get().state_schema,
        readable_from: trust.state_readable_from,
    };
    let pin = pinned(tpm, &index)?;
    let key = key?;
    let bytes = first_bytes(partition, bennu_luks::template::METADATA_BYTES)?;
    let (volume, header) = judge_with(&bytes, key.as_ref());
    match policy::decide(&pin, &volume) {
        StateDecision::Refuse(failure) => Err(InitError::StateRefused(failure)),
        StateDecision::Provision => {
            first_boot::check_early(esp, trust, journal)?;
            esp.waiting_begins()?;
            let guard = Guard::choose(tpm, trust.local, hardware, journal)?;
            esp.waiting_ends()?;
            let maker = Maker {
                tpm,
                esp,
                release,
                reader,
                partition,
                rule: &trust.recovery,
                local: trust.local,
                guard,
            };
            maker.make(&index, journal).map(Some)
        }
        StateDecision::Open { generation } => {
            let (Some(key), Some(header)) = (key, header) else {
                let words = "expected one that the sealed key authenticates, found another";
                return Err(InitError::StateHeader(words.to_owned()));
            };
            let header = at_generation(partition, header, generation)?;
            let pin = pin_of(header.uuid(), generation, &key);
            tpm.client()
                .write_guarded(&index, release, &pin.encode())
                .map_err(InitError::StatePin)?;
            let mounted = device::open_and_mount(partition, &header, &key, device::Content::Kept, reader)?;
            journal.say(&format!(
                "state volume {} opened, generation {generation}",
                header.uuid()
            ));
            Ok(Some(opened(
                mounted,
                key,
                reader.state_schema,
                header.uuid(),
                generation,
            )))
        }
    }
}

/// What the TPM has pinned.
pub fn pinned(tpm: &mut Measured, index: &GuardedIndex) -> Result<PinFact, InitError> {
    Ok(match tpm.client().guarded(index).map_err(InitError::StatePin)? {
        GuardedState::Absent | GuardedState::Unwritten => PinFact::None,
        GuardedState::Holds(bytes) => PinFact::Pinned(
            StatePin::decode(&bytes)
                .ok_or_else(|| InitError::StateHeader("pin: expected 56 bytes".into()))?,
        ),
    })
}

fn pin_of(uuid: uuid::Uuid, generation: u64, key: &VolumeKey) -> StatePin {
    StatePin {
        uuid: *uuid.as_bytes(),
        generation,
        key_digest: digest(key),
    }
}

/// What the key is pinned by; says nothing of the key itself.
pub fn digest(key: &VolumeKey) -> [u8; 32] {
    let digest = HashAlg::Sha256.keyed_digest(key.as_bytes(), format::PIN_WORDS);
    digest.as_bytes().try_into().unwrap_or_default()
}

/// Writes the generation to the header, unless a power cut before the pin left it there.
fn at_generation(
    partition: &BlockDevice,
    header: VerifiedHeader,
    generation: u64,
) -> Result<VerifiedHeader, InitError> {
    if header.generation() == generation {
        return Ok(header);
    }
    let update = header
        .with_generation(generation)
        .map_err(|e| InitError::StateHeader(e.to_string()))?;
    device::write_all(partition, update.writes())?;
    Ok(update.into_header())
}

/// The first bytes of the partition. Read once; only this copy is decoded.
pub fn first_bytes(partition: &BlockDevice, length: usize) -> Result<Vec<u8>, InitError> {
    let mut bytes = vec![0; length];
    let mut file: File = partition.open(OpenMode::Read)?;
    file.read_exact(&mut bytes).map_err(InitError::StateIo)?;
    Ok(bytes)
}

/// What lies on the partition, by its first bytes, to whoever has no key.
pub fn judge(bytes: &[u8]) -> (VolumeFact, Option<UnverifiedHeader>) {
    let metadata = &bytes[..bytes.len().min(bennu_luks::template::METADATA_BYTES)];
    if metadata.iter().all(|byte| *byte == 0) {
        return (VolumeFact::Blank, None);
    }
    let header = match UnverifiedHeader::parse(metadata) {
        Ok(header) => header,
        Err(HeaderError::NotLuks { looks_like }) => {
            return (VolumeFact::NotOurs(looks_like.to_string()), None);
        }
        Err(other) => return (VolumeFact::Deviates(other.to_string()), None),
    };
    let fact = VolumeFact::Header {
        uuid: *header.claimed_uuid().as_bytes(),
        generation: header.claimed_generation(),
        key: None,
    };
    (fact, Some(header))
}

/// The same with the sealed key, if there is one; the header where the key authenticates it. It is verified here and
/// nowhere else.
fn judge_with(bytes: &[u8], key: Option<&VolumeKey>) -> (VolumeFact, Option<VerifiedHeader>) {
    let (mut volume, header) = judge(bytes);
    let mut verified = None;
    if let (VolumeFact::Header { key: judged, .. }, Some(header), Some(key)) = (&mut volume, header, key) {
        verified = header.verify(key).ok();
        *judged = Some(KeyFact {
            authenticates: verified.is_some(),
            digest: digest(key),
        });
    }
    (volume, verified)
}

/// Makes the volume of a machine that has none.
struct Maker<'a> {
    tpm: &'a mut Measured,
    esp: &'a Mounted,
    release: &'a ReleasePolicy,
    reader: Release,
    partition: &'a BlockDevice,
    rule: &'a RecoveryRule,
    local: LocalRule,
    guard: Guard,
}

impl Maker<'_> {
    fn make(mut self, index: &GuardedIndex, journal: &mut Journal) -> Result<StateVolume, InitError> {
        let bytes = secrets::random(self.tpm, bennu_luks::template::VOLUME_KEY_BYTES)?;
        let key = VolumeKey::new(&bytes).map_err(|e| InitError::StateHeader(e.to_string()))?;
        let recovery = self.recovery_key()?;
        self.seal(&key)?;
        let uuid = random_uuid()?;
        recovery_key::escrow(&recovery, uuid, self.rule, self.esp)?;
        let parameters = FormatParameters {
            uuid,
            generation: policy::FIRST_GENERATION,
            kdf: KdfCost::STANDARD,
        };
        let mut random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(|_| RandomFailed);
        let area = bennu_luks::format(&parameters, &key, recovery.as_str().as_bytes(), &mut random)
            .map_err(|e| InitError::StateHeader(e.to_string()))?;
        device::write_all(self.partition, &area.writes())?;
        let header = UnverifiedHeader::parse(area.as_bytes())
            .map_err(|e| InitError::StateHeader(e.to_string()))?
            .verify(&key)
            .map_err(|e| InitError::StateHeader(e.to_string()))?;
        let empty = device::Content::Empty;
        let mounted = device::open_and_mount(self.partition, &header, &key, empty, self.reader)?;
        let (rule, own) = (self.rule, self.reader.state_schema);
        self.begin_pin(index, &pin_of(uuid, policy::FIRST_GENERATION, &key), &key)?;
        journal.say(&format!("made state volume {uuid}"));
        recovery_key::announce(&recovery, rule, journal);
        Ok(opened(mounted, key, own, uuid, policy::FIRST_GENERATION))
    }

    /// Seals the key and writes it. Where more than the policy guards it, it has to open once before anything relies on it.
    fn seal(&mut self, key: &VolumeKey) -> Result<(), InitError> {
        let (blob, bytes) = self.guard.seal(self.tpm, key, &self.release.key)?;
        if self.guard.is_any() {
            self.guard
                .unseal(self.tpm, &blob, self.release)
                .map_err(|source| InitError::SecretUnseal {
                    name: paths::STATE_SECRET.to_owned(),
                    source,
                })?;
        }
        Ok(self
            .esp
            .files()
            .write_sealed_secret(paths::STATE_SECRET, &bytes)?)
    }

    fn recovery_key(&mut self) -> Result<RecoveryKey, InitError> {
        let mut bytes = Zeroizing::new([0; RecoveryKey::RANDOM_BYTES]);
        bytes.copy_from_slice(&secrets::random(self.tpm, RecoveryKey::RANDOM_BYTES)?);
        Ok(RecoveryKey::of(&bytes))
    }

    /// Takes the owner's authorisation, which only an initrd like this one can unseal.
    fn begin_pin(self, index: &GuardedIndex, pin: &StatePin, key: &VolumeKey) -> Result<(), InitError> {
        let besides = Besides {
            volume: Some(key),
            rule: self.local,
        };
        let owner = floor::owner_authorisation(self.tpm, self.esp, self.release, besides)?;
        self.tpm
            .client()
            .begin_guarded(index, &owner, &pin.encode())
            .map_err(InitError::StatePin)
    }
}

fn random_uuid() -> Result<uuid::Uuid, InitError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| InitError::Random(e.to_string()))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
