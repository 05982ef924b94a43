//! A correctly signed release that never becomes healthy uses up its attempts; the other slot boots and says why.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!(
        "falls-back-when-never-healthy",
        Tier::Fast,
        falls_back_when_never_healthy
    )]
}

fn falls_back_when_never_healthy(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/restarts.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    // `restarts` allows two attempts; its init restarts the machine each time.
    for attempt in 1..=2 {
        let mut on = machine.power_on()?;
        on.wait_for(
            format!("bennu-init: small 3: attempt {attempt} of 2").as_str(),
            INITRD,
        )?;
        on.wait_for("PROBE REBOOT", INITRD)?;
        let ending = on.wait_exit(Duration::from_secs(60))?;
        ensure!(
            ending.reason == Some(ShutdownReason::GuestReset),
            "expected a reset, found {ending:?}"
        );
    }
    // The third start of it is one too many: the slot is given up before its root is touched.
    boot_that_fails(&mut machine, "SLOT-UNHEALTHY")?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(
        &lines,
        "fell back from 3: SLOT-UNHEALTHY: expected a healthy start, found 2 starts without one",
    )?;
    Ok(())
}
