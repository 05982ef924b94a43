//! A listener on the TPM's bus hears everything from power-on to power-off, of the start that makes the secret and
//! of one that unseals it, and hears no part of the secret.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use bennu_harness::tpm_rig::Traffic;

/// Any so many bytes of the secret, found on the wire, are a leak. By chance that happens once in 10¹³ stories.
const PART: usize = 8;
/// Where a sealed secret's file has its public area (docs/spec).
const PUBLIC_AREA: std::ops::Range<usize> = 44..122;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "tpm-traffic-does-not-contain-the-secret",
        Tier::Fast,
        no_secret_on_the_wire
    )]
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
    let public = blob
        .get(PUBLIC_AREA)
        .context("the sealed secret is too short for a public area")?;
    let both = [("first", &first), ("second", &second)];
    for (start, traffic) in both {
        ensure!(
            traffic.count(TpmCommand::UNSEAL) > 0,
            "expected TPM2_Unseal at the {start} start"
        );
        // The controls: what crosses the wire in clear is found by the same search, whole and in part.
        ensure!(
            traffic.contains(public) && traffic.contains(&public[10..10 + PART]),
            "expected the sealed object's public area on the wire at the {start} start"
        );
        for part in secret.windows(PART) {
            ensure!(
                !traffic.contains(part),
                "part of the secret was on the wire at the {start} start"
            );
        }
    }
    ensure!(
        first.count(TpmCommand::CREATE) > 0,
        "expected TPM2_Create at the first start"
    );
    Ok(())
}

/// A start with a listener: what the console said, and what was heard.
fn listen(machine: &mut Machine) -> Result<(Vec<String>, Traffic)> {
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(INITRD)?;
    let trouble = tpm.trouble();
    ensure!(
        trouble.is_empty(),
        "expected no trouble of the rig, found {trouble:?}"
    );
    Ok((texts(&on), tpm.traffic()))
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
