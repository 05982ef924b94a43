//! Makes logs byte by byte, the PCR values of whoever was honest, and asks an outside judge.

use bennu_eventlog::{Event, firmware, replay};
use bennu_formats::Sha256Digest;
use bennu_tpm::HashAlg;
use std::collections::BTreeMap;
use std::process::Command;

pub const EV_SEPARATOR: u32 = 4;
pub const EV_EVENT_TAG: u32 = 6;
pub const EV_IPL: u32 = 0xd;
pub const EV_VARIABLE: u32 = 0x8000_0001;
pub const EV_PROGRAM: u32 = 0x8000_0003;

/// A log with the header for `algs`.
pub fn header(algs: &[HashAlg]) -> Vec<u8> {
    let mut body = b"Spec ID Event03\0".to_vec();
    body.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    body.extend(u32::try_from(algs.len()).unwrap().to_le_bytes());
    for alg in algs {
        body.extend(alg.id().to_le_bytes());
        body.extend(u16::try_from(alg.size()).unwrap().to_le_bytes());
    }
    body.push(0);
    let mut log = [0_u32, 3].map(u32::to_le_bytes).concat();
    log.extend([0; 20]);
    log.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    log.extend(body);
    log
}

/// Adds an event whose digests are of `measured`.
pub fn push(log: &mut Vec<u8>, algs: &[HashAlg], pcr: u32, kind: u32, measured: &[u8], body: &[u8]) {
    for word in [pcr, kind, u32::try_from(algs.len()).unwrap()] {
        log.extend(word.to_le_bytes());
    }
    for alg in algs {
        log.extend(alg.id().to_le_bytes());
        log.extend(alg.digest(measured).as_bytes());
    }
    log.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    log.extend(body);
}

pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// EV_IPL as systemd-stub makes it.
pub fn ipl(log: &mut Vec<u8>, pcr: u32, words: &str) {
    push(
        log,
        &[HashAlg::Sha256],
        pcr,
        EV_IPL,
        words.as_bytes(),
        &utf16(words),
    );
}

/// A program with its path, as OVMF logs it.
pub fn program(log: &mut Vec<u8>, path: &str, content: &[u8]) {
    let path = utf16(path);
    let mut node = vec![4, 4];
    node.extend(u16::try_from(path.len() + 4).unwrap().to_le_bytes());
    node.extend(path);
    node.extend([0x7f, 0xff, 4, 0]);
    let mut body = vec![0; 24];
    body.extend((node.len() as u64).to_le_bytes());
    body.extend(node);
    push(log, &[HashAlg::Sha256], 4, EV_PROGRAM, content, &body);
}

/// A trust variable with its content.
pub fn variable(log: &mut Vec<u8>, name: &str, content: &[u8]) {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut body = vec![7; 16];
    body.extend((units.len() as u64 / 2).to_le_bytes());
    body.extend((content.len() as u64).to_le_bytes());
    body.extend(units);
    body.extend(content);
    push(log, &[HashAlg::Sha256], 7, EV_VARIABLE, &body, &body);
}

/// What an outside judge says of a log.
pub fn tpm2_eventlog(log: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log).unwrap();
    let output = Command::new("tpm2_eventlog")
        .arg(file.path())
        .output()
        .expect("install tpm2-tools");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The values that it calculates, of a log with one bank.
pub fn judged_pcrs(text: &str) -> Vec<(u8, String)> {
    let (_, pcrs) = text.split_once("\npcrs:\n").unwrap();
    pcrs.lines()
        .filter_map(|line| {
            let (pcr, value) = line.split_once(" : 0x")?;
            Some((pcr.trim().parse().unwrap(), value.to_owned()))
        })
        .collect()
}

/// The events of a log that has to be whole.
pub fn events(log: &[u8]) -> Vec<Event> {
    let log = firmware::read(log);
    assert_eq!(log.broken, None);
    log.events
}

/// What a TPM holds after these events, in the SHA-256 bank; PCRs that nobody extended are zero.
pub fn values(events: &[Event]) -> BTreeMap<u8, Sha256Digest> {
    let value = |pcr| {
        let value = replay::value(pcr, HashAlg::Sha256, events);
        (pcr, Sha256Digest(value.as_bytes().try_into().unwrap()))
    };
    (0..16).map(value).collect()
}
