//! The state volume's header, rewritten by somebody who knows LUKS2: a cipher that encrypts nothing, a re-encryption
//! that would decrypt in place, a generation that somebody else wrote. cryptsetup takes all three for sound headers;
//! the machine opens none. A header that was rewritten the same way and says what it said before is opened.

use super::state::{HEADER_BYTES, LABEL, count, header, machine, refused};
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub fn stories() -> Vec<Story> {
    vec![story!(
        "state-header-with-a-null-cipher-or-a-reencryption",
        Tier::Fast,
        rewritten_header
    )]
}

/// LUKS2 on-disk format 1.1.1, 2.1: length of a copy of the header at byte 8, its SHA-256 at byte 448 in a field of
/// 64, JSON from byte 4096 on. The second copy follows the first.
const CHECKSUM: std::ops::Range<usize> = 448..512;
const JSON_START: usize = 4096;

type Change = fn(&mut Value);

fn rewritten_header(context: &mut Context) -> Result<()> {
    let mut machine = machine(context)?;
    count(&boot_to_probe(&mut machine)?, 1)?;
    // The control: the text in another order, checksums of the attacker's.
    let same = rewritten(&header(&machine)?, |_| ())?;
    ensure!(same != header(&machine)?, "expected another text");
    machine.disk()?.write(LABEL, 0, &same)?;
    count(&boot_to_probe(&mut machine)?, 2)?;
    let own = header(&machine)?;
    let changes: [(&str, &str, &str, Change); 3] = [
        (
            "STATE-HEADER",
            "found the null cipher \"cipher_null-ecb\"",
            "cipher: cipher_null-ecb",
            null_cipher,
        ),
        (
            "STATE-HEADER",
            "offline-reencrypt",
            "offline-reencrypt",
            reencryption,
        ),
        (
            "STATE-FORGED",
            "a header made with it",
            "bennu-state",
            another_generation,
        ),
    ];
    for (code, reason, shown, change) in changes {
        let forged = rewritten(&own, change)?;
        let dump = dump(context, &forged)?;
        ensure!(dump.contains(shown), "expected `{shown}` from cryptsetup: {dump}");
        machine.disk()?.write(LABEL, 0, &forged)?;
        let line = refused(&mut machine, code)?;
        ensure!(line.contains(reason), "expected `{reason}`, found: {line}");
    }
    machine.disk()?.write(LABEL, 0, &own)?;
    count(&boot_to_probe(&mut machine)?, 3)
}

fn null_cipher(json: &mut Value) {
    json["segments"]["0"]["encryption"] = json!("cipher_null-ecb");
}

fn reencryption(json: &mut Value) {
    json["config"]["requirements"] = json!({ "mandatory": ["offline-reencrypt"] });
}

/// What a copy of an older header needs to pass for the newest.
fn another_generation(json: &mut Value) {
    json["tokens"]["0"]["generation"] = json!("3");
}

/// Both copies of the header with another JSON area and checksums that fit.
fn rewritten(header: &[u8], change: Change) -> Result<Vec<u8>> {
    let length = header.get(8..16).context("a short header")?;
    let length = usize::try_from(u64::from_be_bytes(length.try_into()?))?;
    let mut bytes = header.to_vec();
    for copy in [0, length] {
        let copy = bytes.get_mut(copy..copy + length).context("a short header")?;
        let (binary, area) = copy.split_at_mut(JSON_START);
        let end = area.iter().position(|b| *b == 0).context("JSON without an end")?;
        let mut json: Value = serde_json::from_slice(&area[..end])?;
        change(&mut json);
        let text = serde_json::to_vec(&json)?;
        area.fill(0);
        area.get_mut(..text.len())
            .context("JSON too long")?
            .copy_from_slice(&text);
        binary[CHECKSUM].fill(0);
        let digest = Sha256::new()
            .chain_update(&*binary)
            .chain_update(&*area)
            .finalize();
        binary[CHECKSUM][..digest.len()].copy_from_slice(&digest);
    }
    Ok(bytes)
}

/// What cryptsetup reads in it: it must be a header that is sound in its eyes.
fn dump(context: &Context, header: &[u8]) -> Result<String> {
    let path = context.folder().join("forged.luks");
    std::fs::write(&path, header)?;
    let file = std::fs::OpenOptions::new().write(true).open(&path)?;
    file.set_len(HEADER_BYTES as u64 + (31 << 20))?;
    let output = tool::run("cryptsetup", &["luksDump".as_ref(), path.as_os_str()], &[]);
    std::fs::remove_file(&path)?;
    Ok(String::from_utf8_lossy(&output?).into_owned())
}
