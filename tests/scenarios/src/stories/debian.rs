//! Real Debian roots, to multi-user.

use crate::serial::*;
use crate::{forge, images};
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![
        story!("boots-debian-13-and-marks-it-good", Tier::Full, debian_13),
        story!("boots-a-debian-12-image", Tier::Full, debian_12),
        story!("workloads-wait-for-the-validated-chain", Tier::Full, broken_chain),
    ]
}

fn debian_13(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/image.toml", "demo/v2.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for("bennu-init: verified demo 2 ", MULTI_USER)?;
    on.wait_for("bennu-init: made a machine id", MULTI_USER)?;
    on.wait_for("bennud: gate stands: enforce, root ", MULTI_USER)?;
    let id = good_and_first_boot(&mut on)?;
    // bennuctl waits for the verdict before it reports.
    on.wait_for("health       good, marked ", MULTI_USER)?;
    on.wait_for("verified the root hash's signature", MULTI_USER)?;
    on.wait_for("hardening    lockdown=integrity, ", MULTI_USER)?;
    on.wait_for("host name    bennu-demo", MULTI_USER)?;
    on.wait_for("machine id   made at this start, kept from now on", MULTI_USER)?;
    let kept =
        "/etc keeps   machine-id, ssh-host-keys, hostname, network, time-zone; 0 files of the start before";
    on.wait_for(kept, MULTI_USER)?;
    on.wait_for("gate         enforced; ", MULTI_USER)?;
    for layer in ["health", "watch", "gate", "tpm", "root", "release", "firmware"] {
        on.wait_for(format!("[ok] {layer} ").as_str(), MULTI_USER)?;
    }
    no_denial(&on)?;
    drop(on);
    let entry = forge::entry(machine.disk()?, "demo_2")?;
    ensure!(
        entry == "demo_2+3-0.efi",
        "expected the counter armed again, found {entry}"
    );
    // The same machine to systemd at its next start, and no first boot.
    let mut on = machine.power_on()?;
    let line = on.wait_for(", first boot: ", MULTI_USER)?;
    ensure!(
        line.text.contains(id.text.trim()) && id.text.contains(", first boot: no"),
        "expected `{}` again, found `{}`",
        id.text,
        line.text
    );
    on.wait_for("machine id   kept since an earlier start", MULTI_USER)?;
    on.wait_for("gate         enforced; ", MULTI_USER)?;
    no_denial(&on)
}

/// A PCR was extended that nothing should extend: the layer is named, and the workload, which starts in the story above,
/// does not.
fn broken_chain(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/image.toml", "demo/extended.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for("[ok] gate ", MULTI_USER)?;
    let line = on.wait_for("[!!] tpm ", MULTI_USER)?;
    ensure!(
        line.text.contains("PCR 12 changed since the initrd") && line.text.contains("first broken layer"),
        "found {}",
        line.text
    );
    on.wait_for_without("OBSERVER END", &["machine id   ".into()], MULTI_USER)?;
    let lines = texts(&on);
    expect_line(&lines, "ActiveState=inactive")?;
    Ok(())
}

/// An ordinary system has nothing to be denied.
fn no_denial(on: &PowerOn) -> Result<()> {
    let foreign = texts(on)
        .into_iter()
        .find(|line| line.contains("bennud: DENIED "));
    ensure!(foreign.is_none(), "expected no denial, found {foreign:?}");
    Ok(())
}

/// Waits for the good mark and for what the image says of its first boot, which come in either order; gives the latter.
fn good_and_first_boot(on: &mut PowerOn) -> Result<SerialLine> {
    let markers = [", first boot: ", "bennud: slot 2 marked good (+3)", "FAILED"].map(Into::into);
    let (mut first_boot, mut good) = (None, false);
    loop {
        match on.wait_for_any(&markers, MULTI_USER)? {
            (0, line) => first_boot = Some(line),
            (1, _) => good = true,
            (_, line) => bail!("expected a good mark, found {}", line.text),
        }
        if let (true, Some(line)) = (good, &first_boot) {
            return Ok(line.clone());
        }
    }
}

fn debian_12(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/bookworm.toml"])?)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "1")?;
    expect_line(&lines, "PROBE /proc/sys/kernel/osrelease: 6.1.")?;
    // Its kernel does not look for the signer in the platform keyring.
    expect_line(
        &lines,
        "; this kernel does not verify its signature, the manifest names it",
    )?;
    expect_line(&lines, "\"root_hash_check\": \"manifest-only\"")?;
    // systemd-boot 252 measures the command line into PCR 12; we predicted that as well.
    let manifest = images::manifest(&images::release("small/bookworm.toml")?)?;
    for (index, name) in [(11, "pcr11_leave_initrd"), (12, "pcr12")] {
        let predicted = manifest["pcrs"][name].as_str().context("no prediction")?;
        ensure!(
            pcr(&lines, "sha256", index)? == predicted,
            "PCR {index}: expected {predicted}"
        );
    }
    ensure!(
        pcr(&lines, "sha256", 12)?.bytes().any(|b| b != b'0'),
        "expected a command-line event in PCR 12"
    );
    expect_line(&lines, "latched: the TPM refused a second unseal of 1 secrets")?;
    Ok(())
}
