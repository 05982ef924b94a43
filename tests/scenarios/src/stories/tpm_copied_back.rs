//! The TPM's state is copied back under a disk that went on: what the host of a virtual TPM can do, and nobody with a
//! real one. The volume is not opened, and it is not the volume that is said to be old.

use super::state::{count, machine, refused};
use crate::forge;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!("tpm-state-copied-back", Tier::Fast, copied_back)]
}

fn copied_back(context: &mut Context) -> Result<()> {
    let mut machine = machine(context)?;
    let first = boot_to_probe(&mut machine)?;
    count(&first, 1)?;
    let older = machine.tpm_snapshot()?;
    // One start later the two still fit, as after a power cut between their two writes.
    count(&boot_to_probe(&mut machine)?, 2)?;
    count(&boot_to_probe(&mut machine)?, 3)?;
    let newest = machine.tpm_snapshot()?;
    forge::give_tries_back(&machine, "small_5")?;

    machine.tpm_restore(&older)?;
    let line = refused(&mut machine, "STATE-ROLLED-BACK")?;
    let reason = "expected generation 1 or 2, found 3: the TPM's state is older than the volume";
    ensure!(line.contains(reason), "expected `{reason}`, found: {line}");

    // The control: the TPM's newest state opens the volume, and the count goes on.
    machine.tpm_restore(&newest)?;
    let after = boot_to_probe(&mut machine)?;
    expect_line(&after, "opened, generation 4")?;
    count(&after, 4)?;
    expect_same_secret(&after, &first)
}
