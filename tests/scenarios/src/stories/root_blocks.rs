//! A changed block of the root: one that the initrd needs is met there, one that is read long after the pivot
//! panics the kernel, and the reason survives. Both end in the other slot.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("root-block-needed-before-the-pivot", Tier::Fast, before_the_pivot),
        story!(
            "root-block-read-long-after-the-pivot",
            Tier::Fast,
            after_the_pivot
        ),
    ]
}

fn before_the_pivot(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::small()?)?;
    forge::flip_in_root(
        machine.disk()?,
        "small_2",
        b"PRETTY_NAME=\"Bennu test root (small 2)\"",
    )?;
    boot_that_fails(&mut machine, "VERITY-CORRUPT")?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "fell back from 2: VERITY-CORRUPT: ")?;
    Ok(())
}

fn after_the_pivot(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/good.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    // Blessed first: the slot worked.
    let mut on = machine.power_on()?;
    on.wait_for("bennud: slot 2 marked good (+3)", INITRD)?;
    on.wait_for("PROBE READ /usr/share/late/data 65536 bytes", INITRD)?;
    on.wait_exit(INITRD)?;
    drop(on);
    // The last bytes of a file that is read after everything else.
    let data = std::fs::read(images::top().join("images/small/late-data"))?;
    let block = forge::flip_in_root(machine.disk()?, "small_2", &data[40_000..40_064])?;
    let mut on = machine.power_on()?;
    on.wait_for("PROBE BEGIN", INITRD)?;
    on.wait_for_without(
        "Kernel panic",
        &["PROBE READ /usr/share/late/data 65536".into()],
        INITRD,
    )?;
    let ending = on.wait_exit(INITRD)?;
    ensure!(
        ending.reason == Some(ShutdownReason::GuestReset),
        "expected a reset, found {ending:?}"
    );
    drop(on);
    // The next start knows what the kernel said, and gives the slot up.
    let line = boot_that_fails(&mut machine, "VERITY-CORRUPT")?;
    ensure!(
        line.contains(&format!("data block {block} is corrupted")),
        "expected block {block}, found: {line}"
    );
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, &format!("data block {block} is corrupted"))?;
    Ok(())
}
