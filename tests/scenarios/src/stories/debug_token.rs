//! The debug token: a start of one machine on one day at which nothing sealed opens, and a mark says so. Any other token
//! costs a line in the log.

use super::evidence::judge_measurements;
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

const TOKEN: &str = "/bennu/debug-token.json";
/// The other half of `images/small/debug.pub`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n\
                   -----END PRIVATE KEY-----\n";
/// What the machine's clock shows, so that no midnight comes in between.
const CLOCK: &str = "base=2026-06-15T12:00:00";
const TODAY: &str = "2026-06-15";

pub fn stories() -> Vec<Story> {
    vec![story!(
        "debug-token-keeps-everything-sealed",
        Tier::Fast,
        keeps_sealed
    )]
}

/// Puts a token on the ESP.
fn put_token(machine: &Machine, identity: &str, day: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let key = scratch.path().join("debug.key");
    let token = scratch.path().join("token.json");
    std::fs::write(&key, KEY)?;
    images::run_bennu(&[
        "debug-token",
        "--key",
        &images::text(&key),
        "--image",
        "small",
        "--machine",
        identity,
        "--day",
        day,
        "--note",
        "ticket 7",
        "--output",
        &images::text(&token),
    ])?;
    Ok(machine.disk()?.esp()?.put(TOKEN, &std::fs::read(token)?)?)
}

/// An ordinary start: the state and the secret of before.
fn expect_ordinary(lines: &[String], starts: u32, earlier: &[String]) -> Result<()> {
    expect_line(lines, "PROBE EXISTS /run/bennu/debug false")?;
    expect_line(lines, &format!("PROBE COUNT /var/starts {starts} true"))?;
    expect_same_secret(lines, earlier)
}

fn keeps_sealed(context: &mut Context) -> Result<()> {
    let mut spec = images::spec(&images::disk(&["small/debug.toml"])?)?;
    spec.extra_args.extend(["-rtc", CLOCK].map(Into::into));
    let mut machine = context.machine(spec)?;
    let first = boot_to_probe(&mut machine)?;
    let line = expect_line(&first, "bennu-init: machine ")?;
    let identity = line.rsplit(' ').next().context("no identity")?.trim().to_owned();
    expect_ordinary(&first, 1, &first)?;

    // Of another machine, and then of yesterday.
    put_token(&machine, &"7".repeat(64), TODAY)?;
    let second = boot_to_probe(&mut machine)?;
    expect_line(&second, "debug token refused: debug token: expected machine ")?;
    expect_ordinary(&second, 2, &first)?;

    put_token(&machine, &identity, TODAY)?;
    let debug = boot_to_probe(&mut machine)?;
    expect_line(&debug, "DEBUG START: token for 2026-06-15 by key ")?;
    expect_line(&debug, "note: ticket 7")?;
    expect_line(&debug, "debug start: the TPM refused to unseal 3 secrets")?;
    expect_line(&debug, "PROBE EXISTS /run/bennu/debug true")?;
    // Volatile: it counts from one, and nothing of it is kept.
    expect_line(&debug, "PROBE COUNT /var/starts 1 true")?;
    for opened in [
        "unsealed secret",
        "opened, generation",
        "PROBE SECRET ",
        "made secret",
    ] {
        if let Some(line) = debug.iter().find(|line| line.contains(opened)) {
            bail!("expected nothing to be opened, found: {line}");
        }
    }
    ensure!(
        pcr(&debug, "sha256", 12)? != pcr(&first, "sha256", 12)?,
        "PCR 12 is as ever"
    );
    judge_measurements(context, &debug, &[11, 12, 15])?;

    put_token(&machine, &identity, "2026-06-14")?;
    let expired = boot_to_probe(&mut machine)?;
    expect_line(
        &expired,
        "it is for 2026-06-14, and today is 2026-06-15 by this machine's clock",
    )?;
    expect_ordinary(&expired, 3, &first)
}
