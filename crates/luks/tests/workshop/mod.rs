//! Headers for the tests, and changes to them with checksums that hold.

#![allow(dead_code)] // each test binary uses its own part

use std::ops::Range;
use std::sync::OnceLock;

use bennu_luks::template::{BINARY_BYTES, COPY_BYTES};
use bennu_luks::{
    FormatParameters, KdfCost, RandomFailed, UnverifiedHeader, Update, VerifiedHeader, VolumeKey, format,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub mod cryptsetup;

pub const UUID: Uuid = Uuid::from_u128(0x2f1c5b0a_1122_4344_8566_778899aabbcc);
pub const GENERATION: u64 = 7;
pub const RECOVERY: &[u8] = b"tulip-orbit-canyon-velvet-mosaic-ember";
pub const OTHER_RECOVERY: &[u8] = b"quartz-lantern-meadow-copper-falcon-tide";
const CHECKSUM: Range<usize> = 448..480;

/// Cheap enough for a build without optimisation.
pub fn cheap() -> KdfCost {
    KdfCost::new(32, 4, 1).unwrap()
}

pub fn key() -> VolumeKey {
    VolumeKey::new(&std::array::from_fn::<u8, 64, _>(|at| at as u8)).unwrap()
}

pub fn other_key() -> VolumeKey {
    VolumeKey::new(&std::array::from_fn::<u8, 64, _>(|at| 255 - at as u8)).unwrap()
}

/// Bytes that look random, the same in every run: 0, 1, … hashed in 32-byte steps. Not for production.
pub fn predictable() -> impl FnMut(&mut [u8]) -> Result<(), RandomFailed> {
    let mut counter = 0u64;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            let hash = Sha256::digest(counter.to_be_bytes());
            chunk.copy_from_slice(&hash[..chunk.len()]);
            counter += 1;
        }
        Ok(())
    }
}

pub fn area_with(kdf: KdfCost) -> Vec<u8> {
    let parameters = FormatParameters {
        uuid: UUID,
        generation: GENERATION,
        kdf,
    };
    let area = format(&parameters, &key(), RECOVERY, &mut predictable()).unwrap();
    area.as_bytes().to_vec()
}

/// A new header; made once in each test binary.
pub fn area() -> Vec<u8> {
    static AREA: OnceLock<Vec<u8>> = OnceLock::new();
    AREA.get_or_init(|| area_with(cheap())).clone()
}

pub fn verified(area: &[u8]) -> VerifiedHeader {
    UnverifiedHeader::parse(area)
        .unwrap()
        .verify(&key())
        .ok()
        .unwrap()
}

/// The JSON text of the first copy.
pub fn json(area: &[u8]) -> String {
    let text = &area[BINARY_BYTES..COPY_BYTES];
    let end = text.iter().position(|&byte| byte == 0).unwrap();
    String::from_utf8(text[..end].to_vec()).unwrap()
}

/// The MAC in the token, as it stands there.
pub fn mac() -> String {
    let text = json(&area());
    let start = text.find("\"mac\":\"").unwrap() + 7;
    text[start..start + 64].to_owned()
}

/// Puts the checksum into the copy that begins at `start`.
pub fn seal(area: &mut [u8], start: usize) {
    let copy = &mut area[start..start + COPY_BYTES];
    copy[448..512][..32].fill(0);
    let mut sum = Sha256::new();
    sum.update(&copy[..448]);
    sum.update([0; 64]);
    sum.update(&copy[512..]);
    copy[CHECKSUM].copy_from_slice(&sum.finalize());
}

/// Changes both copies alike, checksums included.
pub fn change_copies(area: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut area = area.to_vec();
    for start in [0, COPY_BYTES] {
        change(&mut area[start..start + COPY_BYTES]);
        seal(&mut area, start);
    }
    area
}

/// Another JSON text in both copies.
pub fn with_json(area: &[u8], json: &str) -> Vec<u8> {
    change_copies(area, |copy| {
        copy[BINARY_BYTES..].fill(0);
        copy[BINARY_BYTES..][..json.len()].copy_from_slice(json.as_bytes());
    })
}

/// Replaces a part of the JSON text that stands there once.
pub fn replaced(area: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = json(area);
    assert_eq!(text.matches(from).count(), 1, "{from} must stand once in {text}");
    with_json(area, &text.replace(from, to))
}

/// Puts down the first `count` writes of an update.
pub fn put_down(area: &[u8], update: &Update, count: usize) -> Vec<u8> {
    let mut area = area.to_vec();
    for write in &update.writes()[..count] {
        let start = write.offset as usize;
        area[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    area
}
