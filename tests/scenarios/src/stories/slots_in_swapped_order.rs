//! Slots are found by GUID: the order of the partitions on the disk does not matter.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "slots-in-swapped-order",
        Tier::Fast,
        slots_in_swapped_order
    )]
}

fn slots_in_swapped_order(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/v2.toml", "small/image.toml"])?)?;
    {
        // Numbers and positions disagree as well.
        let disk = machine.disk()?;
        disk.swap_entries(2, 5)?;
    }
    expect_version(&boot_to_probe(&mut machine)?, "2")
}
