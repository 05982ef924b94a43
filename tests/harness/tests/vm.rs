//! Real power-ons of the stock firmware under TCG. Its built-in shell runs `startup.nsh` from the ESP.

#![allow(
    clippy::unwrap_used,
    reason = "clippy does not take helpers outside #[test] for tests"
)]

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bennu_harness::accelerator::{self, Accelerator};
use bennu_harness::faults;
use bennu_harness::machine::{DiskSource, Machine, MachineSpec, Resets};
use bennu_harness::marker::Marker;
use bennu_harness::power_on::ShutdownReason;
use bennu_harness::serial::SerialError;
use bennu_harness::tpm::PcrBank;
use rustix::process::{Pid, WaitOptions, waitpid};

const BOOT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);

fn spec() -> MachineSpec {
    MachineSpec {
        memory_mib: 512,
        accelerator: Some(Accelerator::Tcg),
        ..MachineSpec::default()
    }
}

fn wait_gone(ids: &[u32]) {
    let deadline = Instant::now() + SOON;
    for id in ids {
        // A process that is dead and not reaped yet has a state line that says so; here all must be reaped.
        while Path::new(&format!("/proc/{id}")).exists() {
            assert!(Instant::now() < deadline, "process {id} is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn firmware_with_a_tpm_runs_a_script_from_the_esp_and_its_end_has_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskSource::Empty { bytes: 64 << 20 };
    let tpm = Some(vec![PcrBank::Sha1, PcrBank::Sha256]);
    let mut machine = Machine::create(folder.path(), MachineSpec { disk, tpm, ..spec() }).unwrap();
    let fresh_tpm = std::fs::read(machine.tpm_path().join("tpm2-00.permall")).unwrap();
    machine
        .disk()
        .unwrap()
        .write_table("label: gpt\ntype=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\n")
        .unwrap();
    let esp = machine.disk().unwrap().esp().unwrap();
    esp.format().unwrap();
    esp.put(
        "/startup.nsh",
        b"@echo -off\r\necho first-marker\r\necho seen > fs0:\\seen.txt\r\nreset\r\n",
    )
    .unwrap();

    let mut power_on = machine.power_on().unwrap();
    let ids = power_on.process_ids();
    assert_eq!(ids.len(), 2);
    let line = power_on
        .wait_for(Marker::regex("^BdsDxe: starting Boot[0-9]{4}").unwrap(), BOOT)
        .unwrap();
    assert!(line.ms > 100, "{line:?}");
    power_on.wait_for_prompt("in 5 seconds to skip", BOOT).unwrap();
    power_on.send("\r").unwrap();
    let seen = power_on
        .wait_for_without("first-marker", &["not recognized".into()], SOON)
        .unwrap();
    assert_eq!(seen.text, "first-marker");
    let ending = power_on.wait_exit(SOON).unwrap();
    assert_eq!(ending.reason, Some(ShutdownReason::GuestReset));
    assert!(ending.status.success());
    power_on.expect_none("second-marker").unwrap();
    assert!(matches!(
        power_on.expect_none("first-marker"),
        Err(SerialError::Forbidden { .. })
    ));
    let error = power_on.wait_for("second-marker", BOOT).unwrap_err();
    assert!(
        matches!(&error, SerialError::Ended { how, .. } if how.starts_with("GuestReset")),
        "{error}"
    );
    drop(power_on);
    wait_gone(&ids);

    assert_ne!(
        std::fs::read(machine.tpm_path().join("tpm2-00.permall")).unwrap(),
        fresh_tpm,
        "the TPM was used"
    );
    let log = std::fs::read_to_string(folder.path().join("power-on-1/serial.log")).unwrap();
    assert!(
        log.contains(" first-marker\n") && !log.contains('\u{1b}'),
        "{log}"
    );
    let esp = machine.disk().unwrap().esp().unwrap();
    assert!(
        esp.get("/seen.txt").unwrap().len() > 4,
        "the guest's write is on the disk"
    );
}

#[test]
fn secure_boot_firmware_without_a_disk_finds_nothing_and_the_power_is_cut_at_the_marker() {
    let folder = tempfile::tempdir().unwrap();
    let firmware = bennu_harness::machine::Firmware::with_vars("/usr/share/OVMF/OVMF_VARS_4M.ms.fd");
    let mut machine = Machine::create(folder.path(), MachineSpec { firmware, ..spec() }).unwrap();
    let power_on = machine.power_on().unwrap();
    let ids = power_on.process_ids();
    let line = faults::power_cut(power_on, "BdsDxe: No bootable option or device was found.", BOOT).unwrap();
    assert!(line.ms > 100, "{line:?}");
    wait_gone(&ids);
}

#[test]
fn a_marker_that_never_comes_fails_at_its_deadline_and_resets_end_the_power_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::create(folder.path(), MachineSpec { tpm: None, ..spec() }).unwrap();
    let mut power_on = machine.power_on().unwrap();
    let error = power_on
        .wait_for("never", Duration::from_millis(200))
        .unwrap_err();
    let expected = r#"marker "never" did not appear within 200 ms; 0 lines were seen, the last: none"#;
    assert_eq!(error.to_string(), expected);
    assert!(matches!(
        power_on.wait_exit(Duration::from_millis(50)),
        Err(SerialError::Deadline { .. })
    ));
    power_on.system_reset().unwrap();
    let ending = power_on.wait_exit(SOON).unwrap();
    assert!(ending.reason.is_some() && ending.status.success(), "{ending:?}");
    drop(power_on);
    let power_on = machine.power_on().unwrap();
    assert!(power_on.folder().ends_with("power-on-2"));
    assert_eq!(power_on.quit().unwrap().reason, Some(ShutdownReason::Quit));
}

#[test]
fn a_warm_reset_leaves_the_machine_running() {
    let folder = tempfile::tempdir().unwrap();
    let spec = MachineSpec {
        tpm: None,
        resets: Resets::Warm,
        ..spec()
    };
    let mut machine = Machine::create(folder.path(), spec).unwrap();
    let mut power_on = machine.power_on().unwrap();
    power_on.system_reset().unwrap();
    assert!(matches!(
        power_on.wait_exit(Duration::from_millis(500)),
        Err(SerialError::Deadline { .. })
    ));
    power_on.kill().unwrap();
}

#[test]
fn a_dropped_or_forgotten_power_on_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::create(folder.path(), spec()).unwrap();
    let power_on = machine.power_on().unwrap();
    let ids = power_on.process_ids();
    assert!(
        ids.iter().all(|id| Path::new(&format!("/proc/{id}")).exists()),
        "positive control"
    );
    drop(power_on);
    wait_gone(&ids);

    // The thread ends without running any destructor, as a killed test run does.
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let power_on = machine.power_on().unwrap();
        sender.send(power_on.process_ids()).unwrap();
        std::mem::forget(power_on);
    })
    .join()
    .unwrap();
    let ids = receiver.recv().unwrap();
    // The sockets' folder was forgotten as well.
    let command = std::fs::read_to_string(folder.path().join("power-on-2/command.txt")).unwrap();
    let sockets = Marker::regex("path=([^ ]+)/qmp")
        .unwrap()
        .capture(&command, 1)
        .unwrap();
    std::fs::remove_dir_all(sockets).unwrap();
    let deadline = Instant::now() + SOON;
    for id in ids {
        // Their guards are forgotten, so this process has to reap them.
        let pid = Pid::from_raw(i32::try_from(id).unwrap());
        while waitpid(pid, WaitOptions::NOHANG).unwrap().is_none() {
            assert!(Instant::now() < deadline, "process {id} still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn the_accelerator_is_probed_once_and_a_damaged_verdict_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("accelerator.json");
    std::fs::write(&cache, "{").unwrap();
    let verdict = accelerator::choose(&cache).unwrap();
    assert!(!verdict.reason.is_empty(), "{verdict:?}");
    if std::env::var_os("BENNU_VM_ACCEL").is_none() {
        let kept = std::fs::read_to_string(&cache).unwrap();
        assert_eq!(accelerator::choose(&cache).unwrap(), verdict);
        let other_boot = Marker::regex("\"boot_id\": \"([^\"]+)\"")
            .unwrap()
            .capture(&kept, 1)
            .unwrap();
        std::fs::write(&cache, kept.replace(&other_boot, "another")).unwrap();
        assert_eq!(
            accelerator::choose(&cache).unwrap().accelerator,
            verdict.accelerator
        );
        assert!(
            std::fs::read_to_string(&cache).unwrap().contains(&other_boot),
            "probed again after a reboot"
        );
    }
}
