//! What stories wait for on the serial console, and how long.

use bennu_harness::prelude::*;

/// From power-on to the end of the initrd, on a busy machine: 30 s when it is quiet.
pub const INITRD: Duration = Duration::from_secs(240);
/// From power-on to multi-user: 50 s when it is quiet.
pub const MULTI_USER: Duration = Duration::from_secs(420);

/// Powers on, waits until the small root has said everything, gives all lines.
pub fn boot_to_probe(machine: &mut Machine) -> Result<Vec<String>> {
    let mut on = machine.power_on()?;
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(Duration::from_secs(60))?;
    Ok(texts(&on))
}

/// As [`boot_to_probe`], with what the rig at the TPM saw.
pub fn boot_to_probe_watched(machine: &mut Machine) -> Result<(Vec<String>, TpmWatch)> {
    let mut on = machine.power_on()?;
    let tpm = on.tpm_watch()?;
    on.wait_for_without("PROBE END", &["FAILED".into(), "HALTED".into()], INITRD)?;
    on.wait_exit(INITRD)?;
    Ok((texts(&on), tpm))
}

/// Powers on, expects the start to fail with `code` and to restart by itself; gives the line.
pub fn boot_that_fails(machine: &mut Machine, code: &str) -> Result<String> {
    let mut on = machine.power_on()?;
    let failed = format!("bennu-init: FAILED {code}:");
    let line = on.wait_for_without(failed.as_str(), &["PROBE BEGIN".into()], INITRD)?;
    on.wait_for_without(
        "marked bad; restarting into the other one",
        &["HALTED".into()],
        INITRD,
    )?;
    let ending = on.wait_exit(Duration::from_secs(60))?;
    ensure!(
        ending.reason == Some(ShutdownReason::GuestReset),
        "expected a reset, found {ending:?}"
    );
    Ok(line.text)
}

/// Powers on, expects the start to fail with `code` and to stop at the recovery screen without an open secret;
/// switches off and gives all lines.
pub fn boot_that_halts(machine: &mut Machine, code: &str) -> Result<Vec<String>> {
    let mut on = machine.power_on()?;
    let halted = format!("bennu-init: HALTED {code}:");
    on.wait_for_without(
        halted.as_str(),
        &["PROBE BEGIN".into(), "unsealed secret".into()],
        INITRD,
    )?;
    let last = format!("qr text  bennu:1:{code}:");
    on.wait_for(last.as_str(), INITRD)?;
    let lines = texts(&on);
    on.quit()?;
    Ok(lines)
}

/// Waits until a start fails as SECRET-UNSEAL with `reason`, without an open secret, and has reset itself; gives the
/// line.
pub fn expect_no_unseal(on: &mut PowerOn<'_>, reason: &str) -> Result<String> {
    let line = on.wait_for_without(
        "bennu-init: FAILED SECRET-UNSEAL:",
        &["unsealed secret".into(), "PROBE BEGIN".into()],
        INITRD,
    )?;
    ensure!(
        line.text.contains(reason),
        "expected `{reason}`, found: {}",
        line.text
    );
    expect_reset(on)?;
    Ok(line.text)
}

/// Powers on, and waits for the kernel to panic with `words` and to restart the machine.
pub fn boot_that_panics(machine: &mut Machine, words: &str, forbidden: &[Marker]) -> Result<Vec<String>> {
    let mut on = machine.power_on()?;
    let panic = format!("Kernel panic - not syncing: {words}");
    on.wait_for_without(panic.as_str(), forbidden, INITRD)?;
    expect_reset(&mut on)?;
    Ok(texts(&on))
}

/// Waits until the machine has reset itself.
pub fn expect_reset(on: &mut PowerOn<'_>) -> Result<()> {
    let ending = on.wait_exit(INITRD)?;
    ensure!(
        ending.reason == Some(ShutdownReason::GuestReset),
        "expected a reset, found {ending:?}"
    );
    Ok(())
}

/// The text of every line so far.
pub fn texts(on: &PowerOn<'_>) -> Vec<String> {
    on.lines().into_iter().map(|line| line.text).collect()
}

/// Demands a line with `part`.
pub fn expect_line(lines: &[String], part: &str) -> Result<String> {
    lines
        .iter()
        .find(|l| l.contains(part))
        .cloned()
        .with_context(|| format!("expected a line with `{part}`, found none"))
}

/// Demands that version `version` of the small image was verified and reached its root.
pub fn expect_version(lines: &[String], version: &str) -> Result<()> {
    expect_line(lines, &format!("bennu-init: verified small {version} "))?;
    expect_line(lines, &format!("IMAGE_VERSION={version}")).map(drop)
}

/// Demands that a start has the same secrets as an earlier one.
pub fn expect_same_secret(lines: &[String], earlier: &[String]) -> Result<()> {
    let (found, expected) = (secret_mark(lines, "machine")?, secret_mark(earlier, "machine")?);
    ensure!(
        found == expected,
        "expected the secret with mark {expected}, found {found}"
    );
    Ok(())
}

/// The hand-over that the root printed.
pub fn hand_over(lines: &[String]) -> Result<serde_json::Value> {
    let prefix = "PROBE /run/bennu/boot.json: ";
    let text: String = lines
        .iter()
        .filter_map(|line| line.split_once(prefix).map(|(_, text)| text))
        .collect();
    serde_json::from_str(&text).context("the hand-over that was printed")
}

/// The mark of a secret: equal marks mean equal secrets.
pub fn secret_mark(lines: &[String], name: &str) -> Result<String> {
    let line = expect_line(lines, &format!("PROBE SECRET {name} "))?;
    line.rsplit(' ').next().map(str::to_owned).context("no mark")
}

/// The value of a PCR that the root read from the kernel.
pub fn pcr(lines: &[String], bank: &str, index: u32) -> Result<String> {
    let line = expect_line(lines, &format!("PROBE PCR {bank} {index} "))?;
    line.rsplit(' ').next().map(str::to_owned).context("no value")
}

/// A file that the probe handed out.
pub fn hex_file(lines: &[String], path: &str) -> Result<Vec<u8>> {
    let begin = format!("PROBE HEX {path} ");
    let parts = lines.iter().filter_map(|line| line.split_once(&begin));
    let hex: String = parts.map(|(_, hex)| hex.trim()).collect();
    let bytes = hex::decode(&hex).with_context(|| format!("{path}: expected hex, found {hex}"))?;
    expect_line(lines, &format!("PROBE HEX-END {path} {}", bytes.len()))?;
    Ok(bytes)
}

/// What a program that the probe ran said, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// Its output.
    pub text: String,
    /// Its exit status.
    pub status: i32,
}

/// Every run of `program`, in order.
pub fn answers(lines: &[String], program: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut text = String::new();
    for line in lines {
        if let Some((_, end)) = line.split_once("PROBE RUN-END ") {
            if end.contains(program) {
                let status = end.rsplit(' ').next().and_then(|word| word.trim().parse().ok());
                answers.push(Answer {
                    text: text.clone(),
                    status: status.unwrap_or(-1),
                });
            }
            text.clear();
        } else if let Some((_, said)) = line.split_once("PROBE RUN ") {
            text.push_str(said);
            text.push('\n');
        }
    }
    answers
}
