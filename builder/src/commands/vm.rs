//! `bennu vm run`: QEMU with OVMF, Secure Boot under the image's keys, and a software TPM.

use super::Outcome;
use crate::cli::{VmArgs, VmCommand};
use crate::definition::AcceptedKeys;
use crate::steps::enrolment;
use crate::steps::keys::KeySet;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// Time stamp of the enrolled variables: 2025-01-01.
const ENROLLED_AT: u64 = 1_735_689_600;
/// How long swtpm may take to listen.
const TPM_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn run(command: VmCommand) -> Result<Outcome> {
    let VmCommand::Run(args) = command;
    std::fs::create_dir_all(&args.state).with_context(|| args.state.display().to_string())?;
    let variables = args.state.join("vars.fd");
    if !variables.exists() {
        let keys = KeySet::read(&args.keys, AcceptedKeys::ThrowAway)?;
        let stock =
            std::fs::read(OVMF_VARS).with_context(|| format!("{OVMF_VARS}: install the package ovmf"))?;
        std::fs::write(
            &variables,
            enrolment::enrolled_variables(&stock, &keys, ENROLLED_AT)?,
        )?;
    }
    let mut tpm = Tpm::start(&args.state)?;
    let status = qemu(&args, &variables, &tpm.socket)
        .status()
        .context("qemu-system-x86_64: install qemu-system-x86")?;
    tpm.stop();
    ensure!(status.success(), "qemu ended with {status}");
    Ok(Outcome::Yes)
}

/// A running swtpm; killed when dropped.
struct Tpm {
    child: Child,
    socket: std::path::PathBuf,
}

impl Tpm {
    fn start(state: &Path) -> Result<Self> {
        let directory = state.join("tpm");
        std::fs::create_dir_all(&directory)?;
        let socket = state.join("tpm.sock");
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--terminate", "--flags", "startup-clear"])
            .arg(format!("--tpmstate=dir={}", directory.display()))
            .arg(format!("--ctrl=type=unixio,path={}", socket.display()))
            .stdin(Stdio::null())
            .spawn()
            .context("swtpm: install the package swtpm")?;
        let tpm = Self { child, socket };
        let since = Instant::now();
        while !tpm.socket.exists() {
            ensure!(
                since.elapsed() < TPM_DEADLINE,
                "swtpm: no socket within {} s",
                TPM_DEADLINE.as_secs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(tpm)
    }

    fn stop(&mut self) {
        // It ends by itself when QEMU lets go; this is for the case that it did not.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn qemu(args: &VmArgs, variables: &Path, tpm: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-machine",
            "q35,smm=on",
            "-accel",
            "tcg,thread=multi,tb-size=512",
            "-cpu",
            "max",
            "-smp",
            "2",
        ])
        .args([
            "-m",
            &args.memory_mib.to_string(),
            "-nodefaults",
            "-nic",
            "none",
            "-display",
            "none",
        ])
        .args([
            "-serial",
            "mon:stdio",
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
        ])
        .args([
            "-drive",
            &format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"),
        ])
        .args([
            "-drive",
            &format!("if=pflash,unit=1,format=raw,file={}", variables.display()),
        ])
        .args(["-chardev", &format!("socket,id=tpm,path={}", tpm.display())])
        .args([
            "-tpmdev",
            "emulator,id=tpm0,chardev=tpm",
            "-device",
            "tpm-crb,tpmdev=tpm0",
        ])
        .args([
            "-drive",
            &format!(
                "if=none,id=disk,format=raw,cache=writeback,file={}",
                args.image.display()
            ),
        ])
        .args([
            "-device",
            "virtio-blk-pci,drive=disk,bootindex=1",
            "-device",
            "virtio-rng-pci",
        ]);
    if args.snapshot {
        command.arg("-snapshot");
    }
    command
}
