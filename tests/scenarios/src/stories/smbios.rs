//! What a host writes into the firmware's SMBIOS tables (type 11, OEM strings) for the guest: more words for the
//! kernel's command line, which systemd-stub takes and measures into PCR 12, and credentials, which nothing of ours
//! reads in the initrd.

use super::esp_injections::expect_unexpected;
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "command-line-and-credential-from-smbios",
        Tier::Fast,
        command_line_and_credential
    )]
}

/// Names: systemd-stub(7), systemd.system-credentials(7).
const WORDS: &str = "io.systemd.stub.kernel-cmdline-extra=rd.break systemd.debug_shell init=/bin/sh";
const CREDENTIAL: &str = "io.systemd.credential:passwd.plaintext-password.root=the-attackers";

fn command_line_and_credential(context: &mut Context) -> Result<()> {
    let spec = images::spec(&images::small()?)?;
    let plain = spec.extra_args.clone();
    let with = |text: &str| {
        [
            &plain[..],
            &["-smbios".into(), format!("type=11,value={text}").into()],
        ]
        .concat()
    };
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
