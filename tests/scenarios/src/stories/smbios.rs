//! What a host writes into the firmware's SMBIOS tables (type 11, OEM strings) for the guest: more words for the
//! kernel's command line, which systemd-stub takes and measures into PCR 12, and credentials, which nothing of ours
//! reads in the initrd, and which systemd of the running system is told by the signed command line to leave. QEMU's
//! fw_cfg is the other way for credentials.

use super::esp_injections::expect_unexpected;
use crate::images;
use crate::serial::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bennu_harness::prelude::*;
use bennu_harness::story;
use std::ffi::OsString;

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "command-line-and-credential-from-smbios",
            Tier::Fast,
            command_line_and_credential
        ),
        story!(
            "credentials-from-the-host-do-not-reach-systemd",
            Tier::Full,
            running_system
        ),
    ]
}

/// Names: systemd-stub(7), systemd.system-credentials(7).
pub(super) const WORDS: &str =
    "io.systemd.stub.kernel-cmdline-extra=rd.break systemd.debug_shell init=/bin/sh";
const CREDENTIAL: &str = "io.systemd.credential:passwd.plaintext-password.root=the-attackers";

/// The arguments with one more string in the table.
pub(super) fn with_text(plain: &[OsString], text: &str) -> Vec<OsString> {
    [plain, &["-smbios".into(), format!("type=11,value={text}").into()]].concat()
}

fn command_line_and_credential(context: &mut Context) -> Result<()> {
    let spec = images::spec(&images::small()?)?;
    let plain = spec.extra_args.clone();
    let with = |text: &str| with_text(&plain, text);
    let mut machine = context.machine(spec)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;

    machine.set_extra_args(with(WORDS));
    expect_unexpected(&boot_that_fails(&mut machine, "PCR-UNEXPECTED")?, 12)?;
    let lines = boot_that_halts(&mut machine, "PCR-UNEXPECTED")?;
    expect_unexpected(&expect_line(&lines, "FAILED PCR-UNEXPECTED: ")?, 12)?;

    // The control, and the credential: the same machine, the same table with another string in it.
    machine.set_extra_args(with(CREDENTIAL));
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    ensure!(
        pcr(&after, "sha256", 12)?.bytes().all(|b| b == b'0'),
        "a credential from SMBIOS was measured: something took it"
    );
    ensure!(
        !after.iter().any(|line| line.contains("/run/credentials")),
        "a credential store was mounted"
    );
    expect_same_secret(&after, &first)
}

/// systemd-debug-generator(8): a whole unit, and a drop-in that has it started.
const UNIT: &str = "[Service]\nType=oneshot\nExecStart=/bin/echo THE ATTACKER RUNS\nStandardOutput=tty\n\
                    TTYPath=/dev/ttyS0\n";
const DROP_IN: &str = "[Unit]\nWants=attack.service\n";
const RUNS: &str = "THE ATTACKER RUNS";

/// Credentials by every way that a host has: they make the running system execute what nobody signed.
fn running_system(context: &mut Context) -> Result<()> {
    let credentials = host_credentials();
    // The control: an image that leaves the word out of its command line.
    let mut machine = attacked(context, "demo/credentials-taken.toml", &credentials)?;
    let mut on = machine.power_on()?;
    on.wait_for("bennu-init: verified demo 2 ", MULTI_USER)?;
    let report = &each(&mut on, &[REPORT, RUNS])?[0];
    for name in [
        "attack.smbios,",
        "attack.fw-cfg,",
        "systemd.extra-unit.attack.service,",
    ] {
        ensure!(report.contains(name), "expected `{name}`, found: {report}");
    }
    on.quit()?;

    let mut machine = attacked(context, "demo/credentials.toml", &credentials)?;
    let mut on = machine.power_on()?;
    on.wait_for("bennu-init: verified demo 2 ", MULTI_USER)?;
    let report = &each(&mut on, &[REPORT, "bennud: slot 2 marked good (+3)"])?[0];
    ensure!(
        report.contains("CREDENTIALS system: service: END"),
        "expected no credential, found: {report}"
    );
    // The report comes after multi-user, and multi-user after what it wants.
    on.expect_none(RUNS)?;
    on.quit().map(drop)
}

/// Waits for each marker, in whatever order they come; gives their lines in the order of `markers`.
fn each(on: &mut PowerOn<'_>, markers: &[&str]) -> Result<Vec<String>> {
    let wanted: Vec<Marker> = markers.iter().map(|marker| (*marker).into()).collect();
    let mut found = vec![None; markers.len()];
    while found.contains(&None) {
        let (at, line) = on.wait_for_any(&wanted, MULTI_USER)?;
        found[at] = Some(line.text);
    }
    Ok(found.into_iter().flatten().collect())
}

/// What the image's service says once multi-user is reached.
const REPORT: &str = "CREDENTIALS system:";

fn attacked(context: &mut Context, definition: &str, more: &[OsString]) -> Result<Machine> {
    let mut spec = images::spec(&images::disk(&[definition])?)?;
    spec.memory_mib = 2048;
    spec.extra_args.extend_from_slice(more);
    context.machine(spec)
}

/// Arguments of QEMU.
fn host_credentials() -> Vec<OsString> {
    let binary = |name: &str, text: &str| {
        let text = BASE64_STANDARD.encode(text);
        format!("type=11,value=io.systemd.credential.binary:{name}={text}")
    };
    [
        "-smbios".into(),
        binary("attack.smbios", "the attacker's"),
        "-smbios".into(),
        binary("systemd.extra-unit.attack.service", UNIT),
        "-smbios".into(),
        binary("systemd.unit-dropin.multi-user.target", DROP_IN),
        "-fw_cfg".into(),
        "name=opt/io.systemd.credentials/attack.fw-cfg,string=the-attackers".to_owned(),
    ]
    .map(OsString::from)
    .to_vec()
}
