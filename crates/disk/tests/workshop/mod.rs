//! What the tests of this crate share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod power;
pub mod table;

use std::process::{Command, Output};

use bennu_disk::fat::{Content, DosTime, Entry, VolumeLabel, VolumeSpec};

pub const MIB: u64 = 1 << 20;
pub fn spec(bytes: u64) -> VolumeSpec {
    VolumeSpec {
        bytes,
        label: VolumeLabel::new("BENNU-ESP").unwrap(),
        volume_id: 0x1234_abcd,
        time: DosTime::from_unix_clamped(1_709_210_096),
    }
}

pub fn file(path: &str, bytes: &[u8]) -> Entry {
    Entry {
        path: path.to_owned(),
        content: Content::Bytes(bytes.to_vec()),
    }
}

pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(step).collect()
}

pub fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    let table: Vec<u32> = (0..256).map(|byte| (0..8).fold(byte, step)).collect();
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (crc >> 8) ^ table[usize::from(crc as u8 ^ byte)])
}

pub fn tool(program: &str, args: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).output();
    output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"))
}
