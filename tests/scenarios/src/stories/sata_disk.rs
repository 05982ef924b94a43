//! Disks on another controller than virtio. The boot disk may stand there; a clone may, and nothing comes of it.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("boots-from-a-sata-disk", Tier::Fast, boots_from_sata),
        story!("clone-on-another-controller-is-not-used", Tier::Fast, clone),
    ]
}

fn sata() -> Result<SecondDisk> {
    Ok(SecondDisk {
        source: DiskSource::CopyOf(images::small()?),
        place: SecondDiskPlace::Sata,
    })
}

/// The driver is not among those that are loaded at once.
fn boots_from_sata(context: &mut Context) -> Result<()> {
    let mut machine = context.machine(MachineSpec {
        disk: DiskSource::None,
        second_disk: Some(sata()?),
        ..images::spec(&images::small()?)?
    })?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "\"path\": \"/dev/sda1\"")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)").map(drop)
}

/// The firmware starts the virtio disk. The clone's driver is never loaded: neither its ESP nor its slots are read or
/// written.
fn clone(context: &mut Context) -> Result<()> {
    let mut machine = context.machine(MachineSpec {
        second_disk: Some(sata()?),
        ..images::spec(&images::small()?)?
    })?;
    let before = std::fs::read(machine.second_disk()?.path())?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    expect_line(&lines, "\"path\": \"/dev/vda1\"")?;
    expect_line(&lines, "unsealed secret machine (32 bytes)")?;
    ensure!(
        std::fs::read(machine.second_disk()?.path())? == before,
        "expected the clone as it was, found it changed"
    );
    Ok(())
}
