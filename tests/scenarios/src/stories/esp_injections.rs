//! Files that systemd-stub takes from the ESP without asking whose they are: credentials, system extensions, add-ons
//! to the command line. It measures each into PCR 12 or 13, whose values the release's policy names: nothing opens.
//! An add-on that nobody signed the stub does not take at all.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};
use std::process::Command;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "foreign-credential-and-extension-beside-the-uki",
            Tier::Fast,
            beside
        ),
        story!("foreign-credential-for-every-uki", Tier::Fast, for_every_uki),
        story!("foreign-addon-beside-the-uki", Tier::Fast, addons),
        story!(
            "signed-addon-for-every-uki-under-two-names",
            Tier::Fast,
            addons_for_every_uki
        ),
    ]
}

/// Folders of one UKI's companions: the stub takes the name that the UKI has when it starts, and that counts tries.
fn companions(version: &str) -> Vec<String> {
    let names = ["", "+3-0", "+2-1", "+1-2", "+0-3"];
    names
        .map(|counter| format!("/EFI/Linux/small_{version}{counter}.efi.extra.d"))
        .to_vec()
}

pub(super) fn put_beside(machine: &Machine, version: &str, name: &str, content: &[u8]) -> Result<()> {
    let esp = machine.disk()?.esp()?;
    for folder in companions(version) {
        esp.make_folder(&folder)?;
        esp.put(&format!("{folder}/{name}"), content)?;
    }
    Ok(())
}

fn remove_beside(machine: &Machine, version: &str, name: &str) -> Result<()> {
    let esp = machine.disk()?.esp()?;
    for folder in companions(version) {
        esp.delete(&format!("{folder}/{name}"))?;
    }
    Ok(())
}

/// The sentence about a PCR that should be zero and is not.
fn unexpected(pcr: u32) -> String {
    format!("pcr {pcr}: expected {}, found ", "0".repeat(64))
}

pub(super) fn expect_unexpected(line: &str, pcr: u32) -> Result<()> {
    let reason = unexpected(pcr);
    ensure!(line.contains(&reason), "expected `{reason}`, found: {line}");
    let others = [11, 12, 13, 15].into_iter().filter(|other| *other != pcr);
    for other in others {
        ensure!(
            !line.contains(&format!("pcr {other}: ")),
            "expected PCR {pcr} alone, found: {line}"
        );
    }
    Ok(())
}

/// Demands the words about the cause.
fn expect_cause(line: &str, words: &str) -> Result<()> {
    ensure!(line.contains(words), "expected `{words}`, found: {line}");
    Ok(())
}

fn beside(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    put_beside(&machine, "2", "x.cred", b"the attacker's credential")?;
    let line = boot_that_fails(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&line, 12)?;
    expect_cause(
        &line,
        "PCR 12 is not the expected value: credentials beside the UKI were measured; the other slot would unseal; ",
    )?;
    // The other UKI has an extension beside it: no slot is left.
    put_beside(&machine, "1", "x.raw", b"the attacker's system extension")?;
    let lines = boot_that_halts(&mut machine, "PCR-UNEXPECTED")?;
    let line = expect_line(&lines, "FAILED PCR-UNEXPECTED: ")?;
    expect_unexpected(&line, 13)?;
    expect_cause(
        &line,
        "PCR 13 is not the expected value: a system extension beside the UKI was measured; ",
    )?;
    // On the recovery screen as well.
    expect_line(
        &lines,
        "found    PCR 13 is not the expected value: a system extension beside",
    )?;

    // The control: without them the machine boots again, and the secret opens that was sealed under them.
    remove_beside(&machine, "2", "x.cred")?;
    remove_beside(&machine, "1", "x.raw")?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;

    // The same machine with one file more, which would lie over `/etc`.
    {
        let esp = machine.disk()?.esp()?;
        for folder in companions("2") {
            esp.put(
                &format!("{folder}/x.confext.raw"),
                b"the attacker's configuration extension",
            )?;
        }
    }
    let line = boot_that_fails(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&line, 12)?;
    expect_cause(
        &line,
        "PCR 12 is not the expected value: a configuration extension beside the UKI was measured; ",
    )
}

fn for_every_uki(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let path = "/loader/credentials/x.cred";
    {
        let esp = machine.disk()?.esp()?;
        esp.make_folder("/loader/credentials")?;
        esp.put(path, b"the attacker's credential")?;
    }
    let line = boot_that_fails(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&line, 12)?;
    expect_cause(
        &line,
        "PCR 12 is not the expected value: credentials for every UKI (/loader/credentials) were measured; \
         the other slot would meet the same; ",
    )?;
    let lines = boot_that_halts(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&expect_line(&lines, "FAILED PCR-UNEXPECTED: ")?, 12)?;

    // Whoever takes it away gets the machine back.
    machine.disk()?.esp()?.delete(path)?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}

fn addons(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let addon = make_addon(context)?;
    let name = "x.addon.efi";
    put_beside(&machine, "2", name, &std::fs::read(&addon)?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    ensure!(
        pcr(&first, "sha256", 12)?.bytes().all(|b| b == b'0'),
        "an unsigned add-on was measured"
    );

    // Signed by db, as whoever has the db key can: taken, measured, and so nothing opens.
    let signed = sign(&addon)?;
    {
        let esp = machine.disk()?.esp()?;
        for folder in companions("2") {
            esp.put(&format!("{folder}/{name}"), &signed)?;
        }
    }
    let line = boot_that_fails(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&line, 12)?;
    expect_cause(
        &line,
        "PCR 12 is not the expected value: a command-line add-on was measured (\\EFI\\Linux\\small_2",
    )?;
    expect_cause(&line, "x.addon.efi); the other slot would unseal; ")?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "1")?;
    expect_line(
        &after,
        "fell back from 2: PCR-UNEXPECTED: PCR 12 is not the expected value: ",
    )?;
    expect_same_secret(&after, &first)
}

/// A file's name and its place are not signed: one add-on, taken by every UKI, and twice.
fn addons_for_every_uki(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let signed = sign(&make_addon(context)?)?;
    let names = ["a.addon.efi", "small_2.addon.efi"];
    {
        let esp = machine.disk()?.esp()?;
        esp.make_folder("/loader/addons")?;
        for name in names {
            esp.put(&format!("/loader/addons/{name}"), &signed)?;
        }
    }
    expect_unexpected(&boot_that_fails(&mut machine, "PCR-UNEXPECTED")?, 12)?;
    let lines = boot_that_halts(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&expect_line(&lines, "FAILED PCR-UNEXPECTED: ")?, 12)?;

    for name in names {
        machine.disk()?.esp()?.delete(&format!("/loader/addons/{name}"))?;
    }
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}

/// An add-on to the command line, made from the stub that Debian 13 has for it; unsigned.
fn make_addon(context: &Context) -> Result<std::path::PathBuf> {
    let (stub, words) = (
        context.folder().join("addon.stub"),
        context.folder().join("words"),
    );
    let bytes = debian_addon_stub()?;
    std::fs::write(&stub, &bytes)?;
    std::fs::write(&words, "debug=nobody-signed-this\0")?;
    let addon = context.folder().join("x.addon.efi");
    let section = format!(".cmdline={}", words.display());
    let address = format!(".cmdline={:#x}", end_of_image(&bytes)?);
    let args = [
        "--add-section",
        &section,
        "--change-section-vma",
        &address,
        "--set-section-flags",
        ".cmdline=data,readonly,alloc,load",
    ];
    let mut args: Vec<&std::ffi::OsStr> = args.iter().map(std::ffi::OsStr::new).collect();
    args.extend([stub.as_os_str(), addon.as_os_str()]);
    tool::run("objcopy", &args, &[])?;
    Ok(addon)
}

/// Address behind a PE32+ program's last section (PE/COFF, optional header: ImageBase, SizeOfImage).
fn end_of_image(program: &[u8]) -> Result<u64> {
    let word = |at: usize| -> Result<u64> {
        let bytes = program.get(at..at + 4).context("a short PE header")?;
        Ok(u64::from(u32::from_le_bytes(bytes.try_into()?)))
    };
    let optional_header = usize::try_from(word(0x3C)?)? + 24;
    let base = word(optional_header + 24)? | word(optional_header + 28)? << 32;
    Ok(base + word(optional_header + 56)?)
}

/// `addonx64.efi.stub` of the Debian 13 roots that the images are made from.
fn debian_addon_stub() -> Result<Vec<u8>> {
    // The releases fill the cache.
    images::small()?;
    let cache = images::top().join("target/cache");
    let member = "./usr/lib/systemd/boot/efi/addonx64.efi.stub";
    for entry in std::fs::read_dir(&cache)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("debian-trixie-") || !name.ends_with(".tar") {
            continue;
        }
        let args = ["--extract", "--to-stdout", "--file"].map(std::ffi::OsStr::new);
        let args = [&args[..], &[path.as_os_str(), member.as_ref()]].concat();
        return Ok(tool::run("tar", &args, &[])?);
    }
    bail!("expected a Debian 13 root in {}, found none", cache.display())
}

/// The program signed by the throw-away db key.
fn sign(program: &std::path::Path) -> Result<Vec<u8>> {
    let signed = program.with_extension("signed");
    let keys = images::keys();
    let status = Command::new("sbsign")
        .arg("--key")
        .arg(keys.join("db.key"))
        .arg("--cert")
        .arg(keys.join("db.crt"))
        .arg("--output")
        .arg(&signed)
        .arg(program)
        .status()
        .context("sbsign: install sbsigntool")?;
    ensure!(status.success(), "sbsign: {status}");
    Ok(std::fs::read(&signed)?)
}
