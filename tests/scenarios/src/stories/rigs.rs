//! The fault rigs themselves: a boot through them that has no fault passes, so that what a fault changes in
//! another story is the fault's doing.

use crate::images;
use crate::serial::*;
use bennu_harness::faults;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "boots-through-the-fault-rigs",
        Tier::Fast,
        boots_through_the_fault_rigs
    )]
}

fn boots_through_the_fault_rigs(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    machine.set_tpm_faults(Some(vec![TpmFault::Record]));
    machine.set_disk_faults(Some(Vec::new()));

    // The power goes when the secret has been sealed; the drive keeps what it was given.
    let mut on = machine.power_on()?;
    let (tpm, disk) = (on.tpm_watch()?, on.disk_watch()?);
    on.wait_for("bennu-init: verified small 2 ", INITRD)?;
    let (_, cut) = faults::power_cut_losing(on, "PROBE BEGIN", INITRD, Survivors::Everything)?;
    ensure!(cut.sectors_lost == 0, "expected nothing lost, found {cut:?}");
    ensure_no_trouble(&tpm, &disk)?;
    let record = context.folder().join("power-on-1/tpm-traffic.txt");
    let index = std::fs::read_to_string(&record).with_context(|| images::text(&record))?;
    for command in ["TPM2_PCR_Extend", "TPM2_CreatePrimary"] {
        ensure!(
            index.contains(command),
            "expected {command} in {}",
            record.display()
        );
    }

    // The next start has its own sockets and counts, and boots as if nothing had been between.
    let mut on = machine.power_on()?;
    let (tpm, disk) = (on.tpm_watch()?, on.disk_watch()?);
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(Duration::from_secs(60))?;
    let lines = texts(&on);
    expect_version(&lines, "2")?;
    expect_line(&lines, "latched: the TPM refused a second unseal of 1 secrets")?;
    ensure_no_trouble(&tpm, &disk)?;
    let unseals = tpm.traffic().count(TpmCommand::UNSEAL);
    ensure!(unseals > 0, "expected TPM2_Unseal on the wire, found none");
    Ok(())
}

fn ensure_no_trouble(tpm: &TpmWatch, disk: &DiskWatch) -> Result<()> {
    let (tpm, disk) = (tpm.trouble(), disk.trouble());
    ensure!(
        tpm.is_empty() && disk.is_empty(),
        "expected rigs without trouble, found {tpm:?} and {disk:?}"
    );
    Ok(())
}
