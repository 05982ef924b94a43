//! What the machine says about what was measured: the firmware's log, and the one with ours behind it, judged by
//! tpm2_eventlog, all of it by the PCRs. systemd-pcrlock judges in Debian 13, and in `crates/eventlog/tests/pcrlock.rs`.

use super::esp_injections::put_beside;
use crate::images;
use crate::serial::*;
use bennu_harness::prelude::*;
use bennu_harness::{story, tool};

const FIRMWARE_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
const USER_LOG: &str = "/run/log/systemd/tpm2-measure.log";
const MEASUREMENTS: &str = "/run/bennu/measurements.bin";
const AS_EXPECTED: &str = "all measurements are as expected: ";

pub fn stories() -> Vec<Story> {
    vec![
        story!("event-logs-account-for-every-pcr", Tier::Fast, accounted),
        story!("firmware-that-changed-is-named", Tier::Fast, changed_firmware),
        story!("debian-13-adds-to-the-event-log", Tier::Full, debian_13),
    ]
}

fn accounted(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/evidence.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    let lines = boot_to_probe(&mut machine)?;
    expect_version(&lines, "2")?;

    // By an outside judge: what it calculates is what the kernel read from the TPM.
    let firmware = judge(context, &lines, FIRMWARE_LOG, &[0, 4, 5, 7])?;
    let with_ours = judge_measurements(context, &lines, &[0, 4, 5, 7, 11, 15])?;
    let fifteen = "\n    15 : 0x";
    ensure!(
        !firmware.contains(fifteen) && with_ours.contains(fifteen),
        "expected PCR 15 in the log with ours only"
    );
    let latched = "phase leave-initrd";
    ensure!(
        with_ours.contains(latched),
        "tpm2_eventlog: expected `{latched}`: {with_ours}"
    );
    let user = String::from_utf8(hex_file(&lines, USER_LOG)?)?;
    ensure!(
        user.matches('\u{1e}').count() == 4,
        "expected 4 records of bennu-init, found: {user}"
    );

    // The running system's own answer, and the same after a record was taken away.
    let answers = answers(&lines, "bennuctl why");
    let [good, changed] = &answers[..] else {
        bail!("expected two answers, found {answers:?}")
    };
    ensure!(
        good.text.contains(AS_EXPECTED) && good.status == 0,
        "expected `{AS_EXPECTED}`, found {good:?}"
    );
    ensure!(
        changed
            .text
            .contains("PCR 15 has another value than the event logs give")
            && changed.status == 1,
        "expected the missing record to be noticed, found {changed:?}"
    );
    let logs = crate::serial::answers(&lines, "bennuctl event-log");
    let [good, changed] = &logs[..] else {
        bail!("expected two tables, found {logs:?}")
    };
    ensure!(good.status == 0 && !good.text.contains("  NO  "), "{}", good.text);
    ensure!(
        changed.status == 1 && changed.text.contains(" 15  NO  "),
        "{}",
        changed.text
    );
    // bennud kept what the firmware measured.
    let record = machine.disk()?.esp()?.get("/bennu/firmware-record.json")?;
    let record: serde_json::Value = serde_json::from_slice(&record)?;
    ensure!(record["pcrs"]["7"] == pcr(&lines, "sha256", 7)?, "found {record}");
    Ok(())
}

/// The guest's log with `bennu-init`'s extensions in it, as [`judge`] does.
pub fn judge_measurements(context: &Context, lines: &[String], pcrs: &[u32]) -> Result<String> {
    judge(context, lines, MEASUREMENTS, pcrs)
}

/// What tpm2_eventlog calculates from a log of the guest are the values that the guest's kernel read from the TPM.
fn judge(context: &Context, lines: &[String], path: &str, pcrs: &[u32]) -> Result<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let log = context.folder().join(name);
    std::fs::write(&log, hex_file(lines, path)?)?;
    let judged = tool::run("tpm2_eventlog", &[log.as_os_str()], &[])?;
    let judged = String::from_utf8(judged)?;
    for &index in pcrs {
        let value = pcr(lines, "sha256", index)?;
        let line = format!("  {index:<2} : 0x{value}");
        ensure!(
            judged.contains(&line),
            "tpm2_eventlog: {path}: expected `{line}`, found {judged}"
        );
    }
    Ok(judged)
}

/// The record of another start: a `dbx` that was different then, in an ESP that anybody can write.
fn changed_firmware(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["small/image.toml", "small/evidence.toml"])?;
    let mut machine = images::machine(context, &disk)?;
    boot_to_probe(&mut machine)?;
    let path = "/bennu/firmware-record.json";
    {
        let esp = machine.disk()?.esp()?;
        let mut record: serde_json::Value = serde_json::from_slice(&esp.get(path)?)?;
        record["pcrs"]["7"] = "00".repeat(32).into();
        let events = record["events"].as_array_mut().context("no events")?;
        let dbx = events.iter_mut().find(|event| event["what"] == "variable dbx");
        dbx.context("no event of dbx")?["digest"] = "0".repeat(16).into();
        esp.put(path, &serde_json::to_vec(&record)?)?;
    }
    // A failure beside it: the change is told on the console as well.
    put_beside(&machine, "2", "x.cred", b"the attacker's credential")?;
    let mut on = machine.power_on()?;
    let sentence = "since the last good start PCR 7 changed: variable dbx is another one";
    on.wait_for_without(sentence, &["PROBE BEGIN".into()], INITRD)?;
    on.wait_for_without(
        "bennu-init: FAILED PCR-UNEXPECTED: PCR 12",
        &["PROBE BEGIN".into()],
        INITRD,
    )?;
    expect_reset(&mut on)
}

fn debian_13(context: &mut Context) -> Result<()> {
    let disk = images::disk(&["demo/image.toml", "demo/evidence.toml"])?;
    let mut machine = images::machine_with(context, &disk, 2048)?;
    let mut on = machine.power_on()?;
    on.wait_for_without("EVIDENCE END", &["FAILED".into()], MULTI_USER)?;
    let lines = texts(&on);
    drop(on);
    expect_line(&lines, AS_EXPECTED)?;
    // systemd appended to what bennu-init began.
    expect_line(&lines, "user-space  phase enter-initrd")?;
    expect_line(&lines, "user-space  phase ready")?;
    // systemd's own reader finds the PCRs in both logs, and ours not in the firmware's alone.
    for index in [0, 4, 5, 7, 11, 15] {
        expect_line(&lines, &format!("pcrlock PCR {index} true."))?;
    }
    for (index, found) in [(7, true), (11, false), (15, false)] {
        expect_line(&lines, &format!("pcrlock-without PCR {index} {found}."))?;
    }
    Ok(())
}
