//! `make demo`: a real Debian 13 boots under Secure Boot with its secret unsealed; then one byte of its root is
//! changed, and the machine ends in the other slot by itself, with the reason. Second act: an intruder with root, whom the
//! gate stops, who gives himself away, and whose machine is reborn without him. Each step is observed or the demo fails.

use anyhow::Context as _;
use bennu_harness::machine::Firmware;
use bennu_harness::prelude::*;
use bennu_scenarios::serial::{MULTI_USER, texts};
use bennu_scenarios::{forge, images};
use std::path::Path;
use std::process::ExitCode;

const STEPS: [&str; 14] = [
    "keys: Secure Boot, release key, TPM policy key",
    "image: Debian 13, versions 1 and 2, signed and verity-protected",
    "bennu verify: every signature and every block",
    "boot: Secure Boot enforced, newest slot verified",
    "boot: secret made, sealed to the TPM, unsealed, latched",
    "boot: multi-user reached, slot marked good",
    "tamper: one byte of the running slot's root changed",
    "boot: the kernel meets the changed block and stops",
    "boot: the machine ends in the other slot by itself, with the reason",
    "image: the same Debian, enforcing gate, State Purge and flip; version 3 has an intruder with root",
    "intruder: may execute nothing of his own and write no slot",
    "intruder: extends a PCR; two strong signs of two sources",
    "purge: secrets erased, the state volume's key wiped",
    "boot: reborn in the other slot, with the TPM's certificate of what happened",
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
    let mut machine = machine(&folder, disk)?;
    healthy_boot(&mut account, &mut machine)?;
    account.observe(STEPS[6], || tamper(&machine))?;
    recover(&mut account, &mut machine)?;
    drop(machine);
    intrusion(&mut account, &folder)?;
    account.finish()?;
    println!("\nlogs: {}", images::text(&folder.canonicalize()?));
    Ok(())
}

fn machine(folder: &Path, disk: String) -> Result<Machine> {
    Machine::create(
        folder,
        MachineSpec {
            memory_mib: 2048,
            vcpus: 2,
            firmware: Firmware::with_vars(images::variables()?),
            disk: DiskSource::CopyOf(disk.into()),
            extra_args: ["-device", "virtio-rng-pci"].map(Into::into).to_vec(),
            ..MachineSpec::default()
        },
    )
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

/// The second act, on a machine of its own: `images/demo/drift.toml` says what the intruder does and when.
fn intrusion(account: &mut Account<std::io::Stdout>, folder: &Path) -> Result<()> {
    let disk = account.observe(STEPS[9], || {
        let disk = images::disk(&["demo/reborn.toml", "demo/drift.toml"])?;
        Ok(images::text(&disk.canonicalize()?))
    })?;
    let folder = folder.join("intrusion");
    std::fs::create_dir_all(&folder)?;
    let mut machine = machine(&folder, disk)?;
    let mut on = machine.power_on()?;
    account.observe(STEPS[10], || {
        let execute = on.wait_for("bennud: DENIED exec: ", MULTI_USER)?;
        let write = on.wait_for("bennud: DENIED device-write: ", MULTI_USER)?;
        Ok(below(&[execute.text, write.text]))
    })?;
    account.observe(STEPS[11], || {
        Ok(on.wait_for("bennud: ALERT drift.two-strong: ", MULTI_USER)?.text)
    })?;
    account.observe(STEPS[12], || {
        on.wait_for("bennud: state-purge.erase-secrets done: ", MULTI_USER)?;
        let line = on.wait_for("bennud: state-purge.wipe-keys done: ", MULTI_USER)?;
        on.wait_for("bennud: flip-slot done: slot 3 is marked bad", MULTI_USER)?;
        on.wait_exit(MULTI_USER)?;
        Ok(line.text)
    })?;
    drop(on);
    account.observe(STEPS[13], || {
        let mut on = machine.power_on()?;
        on.wait_for("fell back from 3: SLOT-DRIFTED: ", MULTI_USER)?;
        on.wait_for("bennu-init: verified demo 2 ", MULTI_USER)?;
        let line = on.wait_for("certificates, signed by the TPM", MULTI_USER)?;
        let mut certificate = newest_certificate(&texts(&on))?;
        on.kill()?;
        certificate.push(line.text);
        Ok(below(&certificate))
    })?;
    Ok(())
}

/// Several lines behind a step.
fn below(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n      {line}")).collect()
}

/// The last one that `bennuctl certificates` showed: what was seen by the slot that ran before, and what was done.
fn newest_certificate(lines: &[String]) -> Result<Vec<String>> {
    // A prompt without an end may stand before it.
    let head = |line: &String| line.contains("certificate ") && line.contains(" of demo 3, boot ");
    let begin = lines.iter().rposition(head).context("no certificate of slot 3")?;
    let of_it = lines[begin + 1..]
        .iter()
        .take_while(|line| !line.starts_with("certificate ") && !line.starts_with("good: "));
    // Others write to the console, too.
    let of_it = of_it.filter(|line| line.starts_with("  ")).cloned();
    let certificate: Vec<String> = lines[begin..=begin].iter().cloned().chain(of_it).collect();
    for part in ["  seen at ", "  state-purge done at "] {
        ensure!(
            certificate.iter().any(|line| line.starts_with(part)),
            "expected `{part}` in the certificate, found {certificate:?}"
        );
    }
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_certificate_is_shown_without_what_stands_between() {
        let lines = [
            "certificate 0 of demo 3, boot a: drift.two-strong",
            "  seen at 1 ms: x (tpm, strong): y",
            "certificate 2 of demo 3, boot a: drift.two-strong",
            "  seen at 1 ms: x (tpm, strong): y",
            "bennud: scrub: begins",
            "  state-purge done at 2 ms, 1 ms after the first signal: all steps",
            "good: 2 certificates, signed by the TPM with the key k",
            "  other words",
        ]
        .map(str::to_owned);
        let found = newest_certificate(&lines).unwrap();
        assert_eq!(found, [&lines[2], &lines[3], &lines[5]].map(Clone::clone));
        assert!(newest_certificate(&lines[..2]).is_err());
        assert!(newest_certificate(&[]).is_err());
    }
}
