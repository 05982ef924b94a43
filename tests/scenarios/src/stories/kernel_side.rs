//! The kernel is as the signed command line asks for: hardened, its modules locked in the end, what runs in the root
//! measured from after the unseal on.

use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::story;
use sha2::{Digest as _, Sha256};

pub fn stories() -> Vec<Story> {
    vec![
        story!(
            "kernel-is-hardened-and-modules-are-locked-once-good",
            Tier::Fast,
            hardened
        ),
        story!(
            "ima-measures-the-root-after-the-unseal",
            Tier::Fast,
            measures_the_root
        ),
    ]
}

fn hardened(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/kernel.toml"])?)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    // The kernel's own words.
    for (path, text) in [
        (
            "/sys/kernel/security/lockdown",
            "none [integrity] confidentiality",
        ),
        ("/sys/module/module/parameters/sig_enforce", "Y"),
        ("/sys/module/dm_verity/parameters/require_signatures", "Y"),
        ("/proc/sys/kernel/kexec_load_disabled", "1"),
    ] {
        expect_line(&lines, &format!("PROBE {path}: {text}"))?;
    }
    // The report says the same.
    for option in [
        "lockdown=integrity",
        "module.sig_enforce=1",
        "dm_verity.require_signatures=1",
        "sysctl.kernel.kexec_load_disabled=1",
        "page_alloc.shuffle=1",
        "vsyscall=none",
    ] {
        let at = position(&lines, &format!("\"option\": \"{option}\""))?;
        let state = lines.get(at + 1).map(String::as_str).unwrap_or_default();
        ensure!(
            state.contains("\"state\": \"in-force\""),
            "{option}: expected it in force, found {state}"
        );
    }
    // Modules are open until the slot is good, and not any more afterwards.
    let open = position(&lines, "PROBE /proc/sys/kernel/modules_disabled: 0")?;
    let locked = position(&lines, "PROBE /proc/sys/kernel/modules_disabled: 1")?;
    let good = position(&lines, "bennud: slot 2 marked good (+3)")?;
    ensure!(
        open < good && good < locked,
        "expected modules to be locked once the slot is good, found lines {open}, {good}, {locked}"
    );
    Ok(())
}

fn position(lines: &[String], part: &str) -> Result<usize> {
    lines
        .iter()
        .position(|line| line.contains(part))
        .with_context(|| format!("expected a line with `{part}`, found none"))
}

fn measures_the_root(context: &mut Context) -> Result<()> {
    let mut machine = images::machine(context, &images::disk(&["small/kernel.toml"])?)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;
    let unsealed = position(&lines, "unsealed secret machine (32 bytes)")?;
    let latched = position(&lines, "latched: the TPM refused a second unseal of 1 secrets")?;
    let loaded = position(&lines, "ima policy: ")?;
    ensure!(
        unsealed < latched && latched < loaded,
        "expected the rules after the latch, found lines {unsealed}, {latched}, {loaded}"
    );
    // Nobody can load others.
    expect_line(&lines, "PROBE EXISTS /sys/kernel/security/ima/policy false")?;
    let entries: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once("PROBE IMA ").map(|(_, entry)| entry))
        .collect();
    let named = |name: &str| entries.iter().any(|entry| entry.ends_with(name));
    ensure!(
        named(" boot_aggregate") && entries.iter().any(|entry| entry.contains("/sbin/init")),
        "expected the root's init to be measured, found {entries:?}"
    );
    // What the list says is what PCR 10 holds.
    let found = expect_line(&lines, "PROBE IMA-PCR ")?;
    let replayed = hex::encode(replay(&entries)?);
    ensure!(
        found.ends_with(&replayed),
        "expected PCR 10 as replayed, {replayed}, found: {found}"
    );
    Ok(())
}

/// The SHA-256 bank's PCR 10 after these entries of template `ima-sig` (`Documentation/security/IMA-templates.rst`).
fn replay(entries: &[&str]) -> Result<[u8; 32]> {
    let mut pcr = [0; 32];
    for entry in entries {
        let words: Vec<&str> = entry.split(' ').filter(|word| !word.is_empty()).collect();
        let [number, _, template, digest, name] = words[..] else {
            bail!("expected five words, found {entry}");
        };
        ensure!(
            number == "10" && template == "ima-sig",
            "expected PCR 10 and template ima-sig, found {entry}"
        );
        let (algorithm, digest) = digest.split_once(':').context("no algorithm")?;
        let digest = [algorithm.as_bytes(), b":\0", &hex::decode(digest)?].concat();
        let name = [name.as_bytes(), b"\0"].concat();
        let mut template = Sha256::new();
        for field in [digest.as_slice(), &name, &[]] {
            template.update(u32::try_from(field.len())?.to_le_bytes());
            template.update(field);
        }
        pcr = Sha256::new()
            .chain_update(pcr)
            .chain_update(template.finalize())
            .finalize()
            .into();
    }
    Ok(pcr)
}
