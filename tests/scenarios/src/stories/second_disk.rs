//! A second disk with the GUIDs of the first: a clone that the attacker changed, attached so that one is taken for
//! the other. Refused wherever it stands on the bus; the control is the same disk with GUIDs of its own.

use crate::images;
use crate::serial::*;
use bennu_harness::machine::Firmware;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!("second-disk-with-the-same-guids", Tier::Fast, same_guids)]
}

fn same_guids(context: &mut Context) -> Result<()> {
    let mut machine = with_clone(context, SecondDiskPlace::Before)?;
    refused(&mut machine)?;
    // What the code advises: the copy gets GUIDs of its own.
    let clone = machine.second_disk()?;
    for partition in clone.partitions()? {
        clone.set_uuid(partition.number, "R")?;
    }
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    drop(machine);

    refused(&mut with_clone(context, SecondDiskPlace::After)?)
}

fn with_clone(context: &mut Context, place: SecondDiskPlace) -> Result<Machine> {
    let disk = images::small()?;
    context.machine(MachineSpec {
        firmware: Firmware::with_vars(images::variables()?),
        second_disk: Some(SecondDisk {
            source: DiskSource::CopyOf(disk.clone()),
            place,
        }),
        ..images::spec(&disk)?
    })
}

/// The ESP of neither is trusted with a verdict: the start is repeated, and how often is counted by the firmware.
fn refused(machine: &mut Machine) -> Result<()> {
    let mut on = machine.power_on()?;
    let secret: [Marker; 3] = [
        "made secret".into(),
        "unsealed secret".into(),
        "PROBE BEGIN".into(),
    ];
    let line = on.wait_for_without("bennu-init: FAILED DUPLICATE-PARTITION:", &secret, INITRD)?;
    let (both, orders) = ("expected on one disk, found on ", ["vda and vdb", "vdb and vda"]);
    ensure!(
        orders
            .iter()
            .any(|order| line.text.contains(&format!("{both}{order}"))),
        "expected both disks to be named, found: {}",
        line.text
    );
    on.wait_for_without("no ESP to write the verdict to: restart 1 of 7", &secret, INITRD)?;
    expect_reset(&mut on)
}
