//! What the machine says about what was measured, judged from outside.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;

pub fn stories() -> Vec<Story> {
    vec![story!("event-logs-account-for-every-pcr", Tier::Fast, good)]
}

fn good(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/evidence.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    let lines = boot_to_probe(&mut machine)?;
    for (path, name) in [
        (
            "/sys/kernel/security/tpm0/binary_bios_measurements",
            "firmware.log",
        ),
        ("/run/log/systemd/tpm2-measure.log", "userspace.log"),
    ] {
        std::fs::write(context.folder().join(name), hex_file(&lines, path)?)?;
    }
    Ok(())
}

/// A file that the probe handed out.
fn hex_file(lines: &[String], path: &str) -> Result<Vec<u8>> {
    let begin = format!("PROBE HEX {path} ");
    let hex: String = lines
        .iter()
        .filter_map(|l| l.split_once(&begin))
        .map(|(_, hex)| hex.trim())
        .collect();
    let bytes = hex::decode(&hex).context(hex)?;
    expect_line(lines, &format!("PROBE HEX-END {path} {}", bytes.len()))?;
    Ok(bytes)
}
