//! Boot entries of the attacker's on the ESP (Boot Loader Specification, type 1). An unsigned initrd for the signed
//! kernel: with the kernel taken out of the UKI, which nobody signed alone, and with the UKI itself as the kernel. And
//! the UKI with another command line.

use super::esp_injections::expect_unexpected;
use crate::serial::*;
use crate::{forge, images};
use bennu_harness::machine::Firmware;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};

pub fn stories() -> Vec<Story> {
    vec![
        story!("foreign-initrd-by-a-boot-entry", Tier::Fast, by_a_boot_entry),
        story!("command-line-by-a-boot-entry", Tier::Fast, command_line),
    ]
}

const ENTRY: &str = "/loader/entries/attack.conf";
const LOADER_CONF: &str = "/loader/loader.conf";
const INITRD_FILE: &str = "/attack/initrd.cpio";
const OPTIONS: &str = "options console=ttyS0 quiet no_timer_check rdinit=/init";

fn by_a_boot_entry(context: &mut Context) -> Result<()> {
    control(context)?;

    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let own = machine.disk()?.esp()?.get(LOADER_CONF)?;
    plant(context, &machine, "/attack/vmlinuz")?;
    nothing_starts(&mut machine, "vmlinuz: Access denied")?;

    // The UKI itself: its stub has an initrd of its own, and does not go on beside another one.
    let uki = format!("/EFI/Linux/{}", forge::entry(machine.disk()?, "small_2")?);
    plant_entry(&machine, &format!("linux {uki}\ninitrd {INITRD_FILE}\n{OPTIONS}"))?;
    nothing_starts(&mut machine, "Error registering initrd: Already started")?;

    machine.disk()?.esp()?.delete(ENTRY)?;
    machine.disk()?.esp()?.put(LOADER_CONF, &own)?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}

/// A power-on that ends in the firmware behind `words`. systemd-boot 257 does not come back from a refused entry with an
/// initrd: a general protection fault, and the firmware stops. So bootfallback does not get its turn either.
fn nothing_starts(machine: &mut Machine, words: &str) -> Result<()> {
    let nothing: [Marker; 3] = ["PROBE BEGIN".into(), "bennu-init:".into(), "Linux version".into()];
    let mut on = machine.power_on()?;
    on.wait_for_without(words, &nothing, INITRD)?;
    on.wait_for_without("X64 Exception Type - 0D", &nothing, INITRD)?;
    match on.wait_for_any(&nothing, QUIET) {
        Err(SerialError::Deadline { .. }) => Ok(on.kill()?),
        Err(other) => Err(other.into()),
        Ok((_, line)) => bail!("expected nothing to start, found: {}", line.text),
    }
}

/// How long nothing is waited for: another start would show itself in half of it.
const QUIET: Duration = Duration::from_secs(60);

/// The stub takes a command line from outside only where no signature is asked for.
fn command_line(context: &mut Context) -> Result<()> {
    let words = "options console=ttyS0 rdinit=/attack";
    // The control.
    let mut machine = context.machine(MachineSpec {
        firmware: Firmware::default(),
        ..images::spec(&images::small()?)?
    })?;
    let uki = format!("/EFI/Linux/{}", forge::entry(machine.disk()?, "small_2")?);
    plant_entry(&machine, &format!("efi {uki}\n{words}"))?;
    let mut on = machine.power_on()?;
    on.wait_for_without("rdinit=/attack", &["bennu-init:".into()], INITRD)
        .context("without Secure Boot")?;
    on.kill()?;

    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let uki = format!("/EFI/Linux/{}", forge::entry(machine.disk()?, "small_2")?);
    let own = machine.disk()?.esp()?.get(LOADER_CONF)?;
    plant_entry(&machine, &format!("efi {uki}\n{words}"))?;
    // The kernel gets the UKI's own words all the same; systemd-boot has measured the others.
    let line = boot_that_fails(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&line, 12)?;

    machine.disk()?.esp()?.delete(ENTRY)?;
    machine.disk()?.esp()?.put(LOADER_CONF, &own)?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "1")?;
    expect_same_secret(&after, &first)
}

/// Where no signature is asked for, the entry starts the attacker's program as the initrd's init.
fn control(context: &mut Context) -> Result<()> {
    let mut machine = context.machine(MachineSpec {
        firmware: Firmware::default(),
        ..images::spec(&images::small()?)?
    })?;
    plant(context, &machine, "/attack/vmlinuz")?;
    let mut on = machine.power_on()?;
    on.wait_for_without("PROBE BEGIN", &["bennu-init:".into()], INITRD)
        .context("without Secure Boot")?;
    on.wait_for("PROBE /run/bennu/boot.json: cannot be read", INITRD)?;
    on.kill()
}

/// Kernel and initrd on the ESP, and the entry for them.
fn plant(context: &Context, machine: &Machine, kernel: &str) -> Result<()> {
    let esp = machine.disk()?.esp()?;
    esp.make_folder("/attack")?;
    esp.put("/attack/vmlinuz", &signed_kernel(context)?)?;
    esp.put(INITRD_FILE, &foreign_initrd(context)?)?;
    plant_entry(
        machine,
        &format!("linux {kernel}\ninitrd {INITRD_FILE}\n{OPTIONS}"),
    )
}

/// The entry, chosen at once.
fn plant_entry(machine: &Machine, body: &str) -> Result<()> {
    let esp = machine.disk()?.esp()?;
    let folders = esp.list("/loader")?;
    if !folders.iter().any(|folder| folder.name == "entries") {
        esp.make_folder("/loader/entries")?;
    }
    esp.put(ENTRY, format!("title attack\n{body}\n").as_bytes())?;
    // Keys are not enrolled where Secure Boot is off: that would be another attack's end.
    let conf = "default attack.conf\ntimeout 0\nsecure-boot-enroll off\n";
    Ok(esp.put(LOADER_CONF, conf.as_bytes())?)
}

fn signed_kernel(context: &Context) -> Result<Vec<u8>> {
    let uki = images::release("small/v2.toml")?.join("uki.efi");
    let kernel = context.folder().join("vmlinuz");
    let section = format!("--dump-section=.linux={}", kernel.display());
    let copy = context.folder().join("uki.copy");
    tool::run(
        "objcopy",
        &[section.as_ref(), uki.as_os_str(), copy.as_os_str()],
        &[],
    )?;
    std::fs::remove_file(copy)?;
    Ok(std::fs::read(kernel)?)
}

/// An archive with one program that says that it runs.
fn foreign_initrd(context: &Context) -> Result<Vec<u8>> {
    let folder = context.folder().join("initrd");
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(
        images::top().join("target/release/agents/bennu-probe"),
        folder.join("init"),
    )?;
    let directory = format!("--directory={}", folder.display());
    let args = ["--create", "--format=newc", "--quiet", &directory];
    Ok(tool::run("cpio", &args, b"init\n")?)
}
