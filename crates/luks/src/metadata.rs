//! What the template leaves open, and the JSON text that says it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use crate::kdf::KdfCost;
use crate::template::{
    DIGEST_ITERATIONS, ENCRYPTION, JSON_BYTES, KEYSLOT_AREA_BYTES, KEYSLOT_AREA_OFFSETS, KEYSLOTS_BYTES,
    SALT_BYTES, SEGMENT_OFFSET_BYTES, SEGMENT_SECTOR_BYTES, STRIPES, TOKEN_TYPE, VOLUME_KEY_BYTES,
};

/// A keyslot of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keyslot {
    /// Keyslot 0: the recovery key.
    Recovery,
    /// Keyslot 1: one more, such as an escrow key; not made by [`crate::format`].
    Further,
}

impl Keyslot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Recovery, Self::Further];

    /// Its name in the JSON text, and for `cryptsetup --key-slot`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovery => "0",
            Self::Further => "1",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Recovery => 0,
            Self::Further => 1,
        }
    }
}

impl fmt::Display for Keyslot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recovery => "0 (recovery)",
            Self::Further => "1",
        })
    }
}

/// What is open in a keyslot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyslotRecord {
    /// Index into [`KEYSLOT_AREA_OFFSETS`].
    pub(crate) position: Position,
    pub(crate) cost: KdfCost,
    pub(crate) salt: [u8; SALT_BYTES],
}

/// Where a keyslot's area lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    First,
    Second,
}

impl Position {
    pub(crate) const ALL: [Self; 2] = [Self::First, Self::Second];

    pub(crate) fn offset(self) -> u64 {
        let [first, second] = KEYSLOT_AREA_OFFSETS;
        match self {
            Self::First => first,
            Self::Second => second,
        }
    }
}

/// What is open in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) uuid: Uuid,
    pub(crate) generation: u64,
    pub(crate) mac: [u8; 32],
    pub(crate) keyslots: [Option<KeyslotRecord>; 2],
    pub(crate) digest_salt: [u8; SALT_BYTES],
    pub(crate) digest: [u8; 32],
}

impl Metadata {
    pub(crate) fn keyslot(&self, keyslot: Keyslot) -> Option<&KeyslotRecord> {
        self.keyslots[keyslot.index()].as_ref()
    }

    /// Names of the keyslots that are there.
    pub(crate) fn keyslot_names(&self) -> Vec<&'static str> {
        let there = |keyslot: &Keyslot| self.keyslot(*keyslot).is_some();
        Keyslot::ALL
            .into_iter()
            .filter(there)
            .map(Keyslot::name)
            .collect()
    }

    /// A position that no keyslot has.
    pub(crate) fn free_position(&self) -> Option<Position> {
        let taken = |position| self.keyslots.iter().flatten().any(|k| k.position == position);
        Position::ALL.into_iter().find(|position| !taken(*position))
    }

    /// The JSON text. Always the same for the same values.
    pub(crate) fn to_json(&self) -> String {
        let keyslots: Vec<String> = Keyslot::ALL
            .into_iter()
            .filter_map(|keyslot| Some(keyslot_json(keyslot, self.keyslot(keyslot)?)))
            .collect();
        let names: Vec<String> = self.keyslot_names().iter().map(|n| format!("\"{n}\"")).collect();
        format!(
            "{{\"keyslots\":{{{keyslots}}},\
             \"tokens\":{{\"0\":{{\"type\":\"{TOKEN_TYPE}\",\"keyslots\":[],\"generation\":\"{generation}\",\
             \"mac\":\"{mac}\"}}}},\
             \"segments\":{{\"0\":{{\"type\":\"crypt\",\"offset\":\"{SEGMENT_OFFSET_BYTES}\",\"size\":\"dynamic\",\
             \"iv_tweak\":\"0\",\"encryption\":\"{ENCRYPTION}\",\"sector_size\":{SEGMENT_SECTOR_BYTES}}}}},\
             \"digests\":{{\"0\":{{\"type\":\"pbkdf2\",\"keyslots\":[{names}],\"segments\":[\"0\"],\
             \"hash\":\"sha256\",\"iterations\":{DIGEST_ITERATIONS},\"salt\":\"{salt}\",\"digest\":\"{digest}\"}}}},\
             \"config\":{{\"json_size\":\"{JSON_BYTES}\",\"keyslots_size\":\"{KEYSLOTS_BYTES}\"}}}}",
            keyslots = keyslots.join(","),
            generation = self.generation,
            mac = hex::encode(self.mac),
            names = names.join(","),
            salt = BASE64.encode(self.digest_salt),
            digest = BASE64.encode(self.digest),
        )
    }
}

fn keyslot_json(keyslot: Keyslot, record: &KeyslotRecord) -> String {
    format!(
        "\"{name}\":{{\"type\":\"luks2\",\"key_size\":{VOLUME_KEY_BYTES},\
         \"af\":{{\"type\":\"luks1\",\"stripes\":{STRIPES},\"hash\":\"sha256\"}},\
         \"area\":{{\"type\":\"raw\",\"offset\":\"{offset}\",\"size\":\"{KEYSLOT_AREA_BYTES}\",\
         \"encryption\":\"{ENCRYPTION}\",\"key_size\":{VOLUME_KEY_BYTES}}},\
         \"kdf\":{{\"type\":\"argon2id\",\"time\":{time},\"memory\":{memory},\"cpus\":{cpus},\"salt\":\"{salt}\"}}}}",
        name = keyslot.name(),
        offset = record.position.offset(),
        time = record.cost.time(),
        memory = record.cost.memory_kib(),
        cpus = record.cost.cpus(),
        salt = BASE64.encode(record.salt),
    )
}
