//! TPM states of a machine, judged by tpm2-tools over a swtpm that the test starts itself.

#![allow(
    clippy::unwrap_used,
    reason = "clippy does not take helpers outside #[test] for tests"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bennu_harness::accelerator::Accelerator;
use bennu_harness::machine::{DiskSource, Machine, MachineSpec, SecondDisk, SecondDiskPlace};
use bennu_harness::tpm::PcrBank;
use bennu_harness::tpm_rig::TpmCommand;

const SOON: Duration = Duration::from_secs(20);

fn machine(folder: &Path, banks: &[PcrBank]) -> Machine {
    let spec = MachineSpec {
        tpm: Some(banks.to_vec()),
        accelerator: Some(Accelerator::Tcg),
        ..MachineSpec::default()
    };
    Machine::create(folder, spec).unwrap()
}

/// A swtpm that a failed test does not leave behind.
struct Judged(Child);

impl Drop for Judged {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a tool of tpm2-tools on the TPM whose state lies in `state`; standard output, or `None` if it failed.
fn judge(state: &Path, tool: &str, args: &[&str]) -> Option<String> {
    let sockets = tempfile::Builder::new().prefix("judge-").tempdir().unwrap();
    let server = sockets.path().join("tpm");
    let control = sockets.path().join("tpm.ctrl");
    let swtpm = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={}", server.display()))
        .arg("--ctrl")
        .arg(format!("type=unixio,path={}", control.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let swtpm = Judged(swtpm.unwrap());
    let deadline = Instant::now() + SOON;
    while !(server.exists() && control.exists()) {
        assert!(Instant::now() < deadline, "swtpm offers no socket");
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = Command::new(tool)
        .arg("-T")
        .arg(format!("swtpm:path={}", server.display()))
        .args(args)
        .output()
        .unwrap();
    drop(swtpm);
    eprintln!("{tool}: {}", String::from_utf8_lossy(&output.stderr));
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// `tpm2_getcap pcrs` names a bank without PCRs too; the ones with all 24 are active.
fn active_banks(state: &Path) -> Vec<String> {
    let said = judge(state, "tpm2_getcap", &["pcrs"]).unwrap();
    said.lines()
        .filter(|line| line.contains("23"))
        .filter_map(|line| {
            line.trim_start_matches([' ', '-'])
                .trim()
                .split(':')
                .next()
                .map(str::to_owned)
        })
        .collect()
}

const INDEX: &str = "0x1500020";

#[test]
fn a_machine_has_the_banks_it_was_made_with() {
    for (banks, names) in [
        (&[PcrBank::Sha1][..], &["sha1"][..]),
        (&[PcrBank::Sha384], &["sha384"]),
        (&[PcrBank::Sha1, PcrBank::Sha256], &["sha1", "sha256"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(active_banks(&machine(folder.path(), banks).tpm_path()), names);
    }
}

#[test]
fn a_state_put_back_and_a_new_board_forget_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = machine(folder.path(), &[PcrBank::Sha256]);
    let state = machine.tpm_path();
    let index_is_there = |state: &Path| judge(state, "tpm2_nvreadpublic", &[INDEX]).is_some();
    let before = machine.tpm_snapshot().unwrap();
    assert!(!index_is_there(&state));
    judge(&state, "tpm2_nvdefine", &[INDEX, "-C", "o", "-s", "8"]).unwrap();
    let after = machine.tpm_snapshot().unwrap();
    assert!(
        index_is_there(&state),
        "positive control: the state is kept between starts"
    );

    machine.tpm_restore(&before).unwrap();
    assert!(!index_is_there(&state));
    // The snapshots stay as they are, and can be used again.
    machine.tpm_restore(&after).unwrap();
    assert!(index_is_there(&state) && index_is_there(after.path()) && !index_is_there(before.path()));

    let srk = |state: &Path| {
        let public = folder.path().join("srk.pub");
        let path = public.to_str().unwrap();
        judge(
            state,
            "tpm2_createprimary",
            &["-Q", "-G", "ecc", "-o", path, "-f", "tss"],
        )
        .map(|_| std::fs::read(&public).unwrap())
    };
    let old_seed = srk(&state);
    assert!(
        old_seed.is_some() && old_seed == srk(after.path()),
        "positive control: the same TPM"
    );
    std::fs::write(machine.vars_path(), b"changed").unwrap();
    machine.replace_tpm(Some(vec![PcrBank::Sha384])).unwrap();
    assert_eq!(active_banks(&state), ["sha384"]);
    assert!(!index_is_there(&state));
    assert_eq!(std::fs::read(machine.vars_path()).unwrap(), b"changed");
    machine.replace_board().unwrap();
    assert_eq!(active_banks(&state), ["sha384"]);
    assert_ne!(srk(&state), old_seed);
    assert!(std::fs::metadata(machine.vars_path()).unwrap().len() > 100_000);
}

#[test]
fn a_machine_without_a_tpm_has_no_state_to_keep_and_no_wire_for_faults() {
    let folder = tempfile::tempdir().unwrap();
    let spec = MachineSpec {
        tpm: None,
        tpm_faults: Some(Vec::new()),
        accelerator: Some(Accelerator::Tcg),
        ..MachineSpec::default()
    };
    let mut machine = Machine::create(folder.path(), spec).unwrap();
    assert!(machine.tpm_snapshot().is_err() && machine.replace_tpm(None).is_err());
    let error = machine.power_on().unwrap_err();
    assert_eq!(
        error.to_string(),
        "set TPM faults: the machine was made without a TPM"
    );
}

#[test]
fn a_second_disk_is_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, vec![7; 4096]).unwrap();
    let spec = MachineSpec {
        tpm: None,
        accelerator: Some(Accelerator::Tcg),
        disk: DiskSource::CopyOf(image.clone()),
        second_disk: Some(SecondDisk {
            source: DiskSource::CopyOf(image),
            place: SecondDiskPlace::Before,
        }),
        ..MachineSpec::default()
    };
    let machine = Machine::create(folder.path(), spec).unwrap();
    let (first, second) = (machine.disk().unwrap(), machine.second_disk().unwrap());
    assert_ne!(first.path(), second.path());
    assert_eq!(
        std::fs::read(first.path()).unwrap(),
        std::fs::read(second.path()).unwrap()
    );
}

#[test]
fn the_names_of_commands_are_those_of_tpm2_tools() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), &[PcrBank::Sha256]);
    let said = judge(&machine.tpm_path(), "tpm2_getcap", &["commands"]).unwrap();
    let mut known = std::collections::BTreeMap::new();
    let mut name = None;
    for line in said.lines() {
        if let Some(code) = line.trim().strip_prefix("commandIndex:") {
            let code = u32::from_str_radix(code.trim().trim_start_matches("0x"), 16).unwrap();
            known.insert(code, name.take().unwrap_or_default());
        } else if line.starts_with("TPM2_CC_") {
            name = Some(line.trim_end_matches(':').replace("TPM2_CC_", "TPM2_"));
        }
    }
    assert!(known.len() > 80, "positive control: {said}");
    let mut checked = 0;
    for (command, name) in TpmCommand::NAMED {
        // A command that this TPM has not, as TPM2_CertifyX509 on others, cannot be judged.
        if let Some(theirs) = known.get(&command.0) {
            assert!(theirs.eq_ignore_ascii_case(name), "{command:?}: {theirs}");
            checked += 1;
        }
    }
    assert!(
        checked + 5 > TpmCommand::NAMED.len(),
        "{checked} of {}",
        TpmCommand::NAMED.len()
    );
}
