//! The first-boot configuration on the ESP: applied once, if a configuration key has signed it for this image; a wrong
//! one stops a first start with its reason, and is nothing to a machine that has had its first start.

use crate::forge::foreign_key;
use crate::images;
use crate::serial::*;
use bennu_formats::dsse::{self, Envelope, Signature};
use bennu_formats::first_boot::PAYLOAD_TYPE;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::path::Path;

const FILE: &str = "/bennu/first-boot.json";
const CONFIGURATION: &str = r#"
image_id = "small"
machine = "12345678-1234-4234-8234-123456789abc"
hostname = "kiosk-7"
machine_id = "0123456789abcdef0123456789abcdef"
time_zone = "Europe/Vienna"
[[network]]
name = "10-lan.network"
content = "[Network]\nDHCP=yes\n"
[[authorized_keys]]
user = "admin"
keys = ["ssh-ed25519 AAAA admin"]
"#;

pub fn stories() -> Vec<Story> {
    vec![story!("first-boot-configuration", Tier::Fast, configuration)]
}

fn configuration(context: &mut Context) -> Result<()> {
    let good = signed(context.folder(), CONFIGURATION)?;
    let release = images::release("small/identity.toml")?;
    let flashed = context.folder().join("flashed.raw");
    let file = context.folder().join("first-boot.json");
    std::fs::write(&file, &good)?;
    images::run_bennu(&[
        "disk",
        &images::text(&release),
        "--output",
        &images::text(&flashed),
        "--first-boot",
        &images::text(&file),
    ])?;
    let mut spec = images::spec(&flashed)?;
    let uuid = ["-uuid", "12345678-1234-4234-8234-123456789abc"];
    spec.extra_args.extend(uuid.map(Into::into));
    let mut machine = context.machine(spec)?;
    std::fs::remove_file(&flashed)?;
    ensure!(
        machine.disk()?.esp()?.get(FILE)? == good,
        "expected `bennu disk` to put the file on the ESP as it is"
    );

    wrong_ones(&mut machine, context.folder(), &good)?;

    machine.disk()?.esp()?.put(FILE, &good)?;
    let first = boot_to_probe(&mut machine)?;
    expect_line(&first, "bennu-init: applied the first-boot configuration ")?;
    expect_configured(&first)?;
    let event = expect_line(&first, "bennu-first-boot")?;
    ensure!(
        event.contains("\"pcr\":15"),
        "expected an event of PCR 15, found {event}"
    );

    // Another one, signed as well, and one by a stranger: nothing reads them any more.
    let other = CONFIGURATION.replace("kiosk-7", "kiosk-8");
    for file in [signed(context.folder(), &other)?, b"{}".to_vec()] {
        machine.disk()?.esp()?.put(FILE, &file)?;
        let next = boot_to_probe(&mut machine)?;
        let again = next.iter().find(|line| line.contains("first-boot configuration"));
        ensure!(again.is_none(), "expected it to be passed over, found {again:?}");
        let name = if next.iter().any(|l| l.contains("PROBE COUNT /var/starts 2 ")) {
            "first-name"
        } else {
            "second-name"
        };
        expect_line(&next, &format!("PROBE FILE /etc/hostname 644 {name}"))?;
        expect_line(
            &next,
            "PROBE FILE /etc/machine-id 444 0123456789abcdef0123456789abcdef",
        )?;
        expect_line(
            &next,
            "PROBE FILE /etc/ssh/authorized_keys.d/admin 644 ssh-ed25519 AAAA admin",
        )?;
    }
    Ok(())
}

fn expect_configured(lines: &[String]) -> Result<()> {
    for what in [
        "/etc/hostname 644 kiosk-7",
        "/etc/machine-id 444 0123456789abcdef0123456789abcdef",
        "/etc/localtime -> ../usr/share/zoneinfo/Europe/Vienna",
        "/etc/systemd/network/10-lan.network 644 [Network]",
        "/etc/ssh/authorized_keys.d/admin 644 ssh-ed25519 AAAA admin",
    ] {
        expect_line(lines, &format!("PROBE FILE {what}"))?;
    }
    Ok(())
}

/// Each stops the first start before a state volume is made.
fn wrong_ones(machine: &mut Machine, folder: &Path, good: &[u8]) -> Result<()> {
    let mut unsigned = Envelope::decode(good)?;
    unsigned.signatures.clear();
    let mut foreign = Envelope::decode(good)?;
    let message = dsse::pre_authentication_encoding(PAYLOAD_TYPE, &foreign.payload);
    let stranger = foreign_key();
    foreign.signatures = vec![Signature {
        keyid: foreign.signatures[0].keyid,
        sig: ed25519_dalek::Signer::sign(&stranger, &message)
            .to_bytes()
            .to_vec(),
    }];
    let other_image = signed(folder, &CONFIGURATION.replace("\"small\"", "\"other\""))?;
    let other_machine = signed(folder, &CONFIGURATION.replace("9abc\"", "9abd\""))?;
    for (bytes, code, words) in [
        (
            serde_json::to_vec(&unsigned)?,
            "FIRST-BOOT-FORMAT",
            "1 to 16 signatures",
        ),
        (
            serde_json::to_vec(&foreign)?,
            "FIRST-BOOT-SIGNATURE",
            "by one of 1 configuration keys",
        ),
        (
            other_image,
            "FIRST-BOOT-OTHER",
            "expected image id small, found other",
        ),
        (other_machine, "FIRST-BOOT-OTHER", "123456789abc, found one for"),
        (
            vec![b' '; 98_305],
            "FIRST-BOOT-FORMAT",
            "expected at most 98304 bytes",
        ),
    ] {
        machine.disk()?.esp()?.put(FILE, &bytes)?;
        let lines = boot_that_halts(machine, code)?;
        let line = expect_line(&lines, &format!("bennu-init: FAILED {code}: "))?;
        ensure!(line.contains(words), "expected `{words}`, found {line}");
        let made = lines.iter().find(|line| line.contains("made state volume"));
        ensure!(made.is_none(), "expected no state volume, found {made:?}");
        give_tries_back(machine)?;
    }
    Ok(())
}

/// Starts that stopped count; somebody who tries files gives the slot its tries back.
fn give_tries_back(machine: &Machine) -> Result<()> {
    let entry = crate::forge::entry(machine.disk()?, "small_6")?;
    let esp = machine.disk()?.esp()?;
    if entry != "small_6+3-0.efi" {
        esp.rename(&format!("/EFI/Linux/{entry}"), "small_6+3-0.efi")?;
    }
    for record in ["boot-record.json", "boot-record.2.json"] {
        esp.delete(&format!("/bennu/{record}"))?;
    }
    Ok(())
}

/// The configuration, signed by `bennu` with the stories' configuration key.
fn signed(folder: &Path, configuration: &str) -> Result<Vec<u8>> {
    let (toml, out) = (folder.join("first-boot.toml"), folder.join("signed.json"));
    std::fs::write(&toml, configuration)?;
    images::run_bennu(&[
        "first-boot",
        "sign",
        &images::text(&toml),
        "--key",
        &images::text(&images::keys().join("configuration.key")),
        "--output",
        &images::text(&out),
    ])?;
    Ok(std::fs::read(&out)?)
}
