//! The disk of a machine with sealed secrets runs with another TPM: on a board that was repaired, or in a thief's
//! machine. It stops and says what is missing; nothing is sealed anew over what the old TPM could still open.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("tpm-replaced", Tier::Fast, tpm_replaced),
        story!("disk-in-another-machine", Tier::Fast, board_replaced),
    ]
}

fn tpm_replaced(context: &mut Context) -> Result<()> {
    stops_until_restored(context, |machine| machine.replace_tpm(None))
}

fn board_replaced(context: &mut Context) -> Result<()> {
    stops_until_restored(context, Machine::replace_board)
}

fn stops_until_restored(
    context: &mut Context,
    replace: impl FnOnce(&mut Machine) -> Result<()>,
) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    let first = boot_to_probe(&mut machine)?;
    expect_version(&first, "2")?;
    let sealed = machine.disk()?.esp()?.get("/bennu/secrets/machine.sealed")?;
    let own = machine.tpm_snapshot()?;

    replace(&mut machine)?;
    let lines = boot_that_halts(&mut machine, "FLOOR-MISSING")?;
    expect_line(
        &lines,
        "floor: expected the nv index 0x180be00 of a machine with sealed secrets, found none",
    )?;
    ensure!(
        machine.disk()?.esp()?.get("/bennu/secrets/machine.sealed")? == sealed,
        "the sealed secret was replaced"
    );

    // Its own TPM opens it as before.
    machine.tpm_restore(&own)?;
    let after = boot_to_probe(&mut machine)?;
    expect_version(&after, "2")?;
    expect_same_secret(&after, &first)
}
