//! A listener on the TPM's bus hears everything from power-on to power-off, of the start that makes a secret and a state
//! volume and of one that unseals them, and hears no part of the secret, of the volume's key or of the recovery key.

use super::{pin, state};
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::tpm_rig::Traffic;
use bennu_harness::{story, tool};

/// Any so many bytes of a secret, found on the wire, are a leak. By chance that happens once in 10¹³ stories.
const PART: usize = 8;
/// Where a sealed secret's file has its public area (docs/spec).
const PUBLIC_AREA: std::ops::Range<usize> = 44..122;
/// Letters of a recovery key in the order of their values (docs/spec/recovery.md).
const LETTERS: &str = "cbdefghijklnrtuv";
/// Bytes of a volume key.
const VOLUME_KEY: usize = 64;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "tpm-traffic-does-not-contain-the-secret",
            Tier::Fast,
            no_secret_on_the_wire
        ),
        story!(
            "tpm-traffic-does-not-contain-the-volume-key",
            Tier::Fast,
            no_volume_key_on_the_wire
        ),
    ]
}

fn no_secret_on_the_wire(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/shows-secret.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    machine.set_tpm_faults(Some(vec![TpmFault::Record]));

    let (made, first) = listen(&mut machine)?;
    expect_line(&made, "made secret machine and sealed it to this TPM")?;
    let secret = secret(&made)?;
    let (unsealed, second) = listen(&mut machine)?;
    expect_line(&unsealed, "unsealed secret machine (32 bytes)")?;
    ensure!(secret == self::secret(&unsealed)?, "the secret changed");

    let blob = machine.disk()?.esp()?.get("/bennu/secrets/machine.sealed")?;
    heard_none_of(&[("secret", &secret)], &blob, &first, &second)
}

fn no_volume_key_on_the_wire(context: &mut Context) -> Result<()> {
    let mut machine = state::machine(context)?;
    machine.set_tpm_faults(Some(vec![TpmFault::Record]));
    let (made, first) = listen(&mut machine)?;
    state::count(&made, 1)?;
    let recovery = pin::recovery_key(&made)?;
    let (opened, second) = listen(&mut machine)?;
    expect_line(&opened, "opened, generation 2")?;
    state::count(&opened, 2)?;

    let volume = volume_key(context, &machine, &recovery)?;
    let letters = recovery.replace('-', "");
    let random = recovery_bytes(&letters)?;
    let secrets: [(&str, &[u8]); 4] = [
        ("volume key", &volume),
        ("recovery key", recovery.as_bytes()),
        ("recovery key without hyphens", letters.as_bytes()),
        ("recovery key's random bytes", &random),
    ];
    let blob = machine.disk()?.esp()?.get("/bennu/secrets/state.volume.sealed")?;
    heard_none_of(&secrets, &blob, &first, &second)
}

/// Searches what was heard at the start that sealed `blob` and at one that unsealed it for each part of each secret.
fn heard_none_of(secrets: &[(&str, &[u8])], blob: &[u8], first: &Traffic, second: &Traffic) -> Result<()> {
    let public = blob
        .get(PUBLIC_AREA)
        .context("the sealed file is too short for a public area")?;
    for (start, traffic) in [("first", first), ("second", second)] {
        ensure!(
            traffic.count(TpmCommand::UNSEAL) > 0,
            "expected TPM2_Unseal at the {start} start"
        );
        // The controls: what crosses the wire in clear is found by the same search, whole and in part.
        ensure!(
            traffic.contains(public) && traffic.contains(&public[10..10 + PART]),
            "expected the sealed object's public area on the wire at the {start} start"
        );
        for (what, secret) in secrets {
            ensure!(secret.len() > PART, "expected a {what} of more than {PART} bytes");
            ensure!(
                !secret.windows(PART).any(|part| traffic.contains(part)),
                "part of the {what} was on the wire at the {start} start"
            );
        }
    }
    ensure!(
        first.count(TpmCommand::CREATE) > 0,
        "expected TPM2_Create at the first start"
    );
    Ok(())
}

/// The volume's key as cryptsetup takes it out of keyslot 0, having checked it against the header's digest.
fn volume_key(context: &Context, machine: &Machine, recovery: &str) -> Result<Vec<u8>> {
    let volume = context.folder().join("volume");
    let (key, dumped) = (context.folder().join("key"), context.folder().join("volume-key"));
    std::fs::write(&volume, state::header(machine)?)?;
    let file = std::fs::OpenOptions::new().write(true).open(&volume)?;
    file.set_len(32 << 20)?;
    std::fs::write(&key, recovery)?;
    let args = [
        "luksDump".as_ref(),
        "--batch-mode".as_ref(),
        "--dump-volume-key".as_ref(),
        "--volume-key-file".as_ref(),
        dumped.as_os_str(),
        "--key-file".as_ref(),
        key.as_os_str(),
        volume.as_os_str(),
    ];
    tool::run("cryptsetup", &args, &[])?;
    let bytes = std::fs::read(&dumped)?;
    for file in [volume, key, dumped] {
        std::fs::remove_file(file)?;
    }
    ensure!(
        bytes.len() == VOLUME_KEY,
        "expected a volume key of {VOLUME_KEY} bytes, found {}",
        bytes.len()
    );
    Ok(bytes)
}

/// The random bytes that a recovery key's letters stand for.
fn recovery_bytes(letters: &str) -> Result<Vec<u8>> {
    let hex: String = letters
        .chars()
        .filter_map(|letter| LETTERS.find(letter))
        .map(|value| format!("{value:x}"))
        .collect();
    let bytes = hex::decode(&hex)?;
    ensure!(
        bytes.len() == 32 && letters.len() == 64,
        "expected a recovery key of 64 letters, found {letters}"
    );
    Ok(bytes)
}

/// A start with a listener: what the console said, and what was heard.
fn listen(machine: &mut Machine) -> Result<(Vec<String>, Traffic)> {
    let (lines, tpm) = boot_to_probe_watched(machine)?;
    let trouble = tpm.trouble();
    ensure!(
        trouble.is_empty(),
        "expected no trouble of the rig, found {trouble:?}"
    );
    Ok((lines, tpm.traffic()))
}

/// The secret's bytes, as the root of this story shows them.
fn secret(lines: &[String]) -> Result<Vec<u8>> {
    let line = expect_line(lines, "PROBE SECRET-BYTES machine ")?;
    let bytes = hex::decode(line.rsplit(' ').next().unwrap_or_default().trim())?;
    ensure!(
        bytes.len() == 32,
        "expected a secret of 32 bytes, found {}",
        bytes.len()
    );
    Ok(bytes)
}
