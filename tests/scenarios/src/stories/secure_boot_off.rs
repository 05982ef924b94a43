//! Secure Boot taken away: the firmware's keys are gone, as after a reset of its settings or a new flash chip. The signed
//! UKI starts all the same, since nobody checks its signature any more; `bennu-init` refuses to go on.

use crate::images;
use crate::serial::*;
use bennu_harness::machine::Firmware;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "secure-boot-taken-away-opens-nothing",
        Tier::Fast,
        taken_away
    )]
}

const LOADER_CONF: &str = "/loader/loader.conf";
const SEALED: &str = "/bennu/secrets/machine.sealed";

fn taken_away(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    // The control: with the keys it boots, and has a secret to lose.
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let enrolled = std::fs::read(machine.vars_path())?;
    let sealed = machine.disk()?.esp()?.get(SEALED)?;
    let own = machine.disk()?.esp()?.get(LOADER_CONF)?;

    std::fs::copy(Firmware::default().vars, machine.vars_path())?;
    // systemd-boot would enrol the image's own keys again, which lie on the ESP: that would be no attack.
    let conf = "timeout 0\neditor no\nsecure-boot-enroll off\n";
    machine.disk()?.esp()?.put(LOADER_CONF, conf.as_bytes())?;
    let lines = boot_that_halts(&mut machine, "SECURE-BOOT-OFF")?;
    let reason = "secure boot: expected the firmware to enforce it, found it in setup mode";
    expect_line(&lines, reason)?;
    for later in ["bennu-init: verified ", "starting /sbin/init"] {
        ensure!(
            !lines.iter().any(|line| line.contains(later)),
            "expected the refusal before anything else, found `{later}`"
        );
    }
    ensure!(
        machine.disk()?.esp()?.get(SEALED)? == sealed,
        "the sealed secret was replaced"
    );

    // The keys are back, and nothing else was done.
    std::fs::write(machine.vars_path(), enrolled)?;
    machine.disk()?.esp()?.put(LOADER_CONF, &own)?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}
