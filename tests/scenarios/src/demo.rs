//! `make demo`: a real Debian 13 boots under Secure Boot with its secret unsealed; then one byte of its root is
//! changed, and the machine ends in the other slot by itself, with the reason. Each step is observed or the demo
//! fails.

use anyhow::Context as _;
use bennu_harness::machine::Firmware;
use bennu_harness::prelude::*;
use bennu_scenarios::serial::{MULTI_USER, texts};
use bennu_scenarios::{forge, images};
use std::process::ExitCode;

const STEPS: [&str; 9] = [
    "keys: Secure Boot, release key, TPM policy key",
    "image: Debian 13, versions 1 and 2, signed and verity-protected",
    "bennu verify: every signature and every block",
    "boot: Secure Boot enforced, newest slot verified",
    "boot: secret made, sealed to the TPM, unsealed, latched",
    "boot: multi-user reached, slot marked good",
    "tamper: one byte of the running slot's root changed",
    "boot: the kernel meets the changed block and stops",
    "boot: the machine ends in the other slot by itself, with the reason",
];

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn demo() -> Result<()> {
    let folder = images::top().join("target/vm/demo");
    let mut account = Account::new(std::io::stdout(), "Bennu: build, boot, tamper, recover", &STEPS)?;
    account.observe(STEPS[0], || {
        images::variables()?;
        Ok(images::text(&images::keys().canonicalize()?))
    })?;
    let disk = account.observe(STEPS[1], || {
        let disk = images::disk(&["demo/image.toml", "demo/v2.toml"])?;
        Ok(images::text(&disk.canonicalize()?))
    })?;
    account.observe(STEPS[2], || {
        images::run_bennu(&["verify", &disk, "--keys", &images::text(&images::keys())])?;
        Ok("nothing refused")
    })?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut machine = Machine::create(
        &folder,
        MachineSpec {
            memory_mib: 2048,
            vcpus: 2,
            firmware: Firmware::with_vars(images::variables()?),
            disk: DiskSource::CopyOf(disk.into()),
            extra_args: ["-device", "virtio-rng-pci"].map(Into::into).to_vec(),
            ..MachineSpec::default()
        },
    )?;
    healthy_boot(&mut account, &mut machine)?;
    account.observe(STEPS[6], || tamper(&machine))?;
    recover(&mut account, &mut machine)?;
    account.finish()?;
    println!("\nlogs: {}", images::text(&folder.canonicalize()?));
    Ok(())
}

fn healthy_boot(account: &mut Account<std::io::Stdout>, machine: &mut Machine) -> Result<()> {
    let mut on = machine.power_on()?;
    account.observe(STEPS[3], || {
        Ok(on.wait_for("bennu-init: verified demo 2 ", MULTI_USER)?.text)
    })?;
    account.observe(STEPS[4], || {
        on.wait_for("made secret machine and sealed it to this TPM", MULTI_USER)?;
        on.wait_for("unsealed secret machine (32 bytes)", MULTI_USER)?;
        Ok(on
            .wait_for("latched: the TPM refused a second unseal", MULTI_USER)?
            .text)
    })?;
    account.observe(STEPS[5], || {
        Ok(on.wait_for("bennud: slot 2 marked good (+3)", MULTI_USER)?.text)
    })?;
    on.kill()
}

/// Changes one byte of a program that every start of Debian executes.
fn tamper(machine: &Machine) -> Result<String> {
    let release = images::release("demo/v2.toml")?;
    let block = forge::flip_in_file(
        machine.disk()?,
        "demo_2",
        &release,
        "/usr/lib/systemd/systemd-journald",
    )?;
    Ok(format!("block {block} of slot 2: a byte of systemd-journald"))
}

fn recover(account: &mut Account<std::io::Stdout>, machine: &mut Machine) -> Result<()> {
    account.observe(STEPS[7], || {
        let mut on = machine.power_on()?;
        on.wait_for("bennu-init: starting /sbin/init", MULTI_USER)?;
        let line = on.wait_for("Kernel panic", MULTI_USER)?;
        on.wait_exit(MULTI_USER)?;
        Ok(line.text)
    })?;
    account.observe(STEPS[8], || {
        let mut on = machine.power_on()?;
        on.wait_for("bennu-init: FAILED VERITY-CORRUPT", MULTI_USER)?;
        on.wait_exit(MULTI_USER)?;
        drop(on);
        let mut on = machine.power_on()?;
        on.wait_for("bennu-init: verified demo 1 ", MULTI_USER)?;
        on.wait_for("bennud: slot 1 marked good (+3)", MULTI_USER)?;
        let lines = texts(&on);
        on.kill()?;
        lines
            .into_iter()
            .find(|l| l.contains("fell back from 2: "))
            .context("no reason was given")
    })?;
    Ok(())
}
