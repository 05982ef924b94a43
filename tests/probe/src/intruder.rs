//! What an intruder with root does in the stories about drift: executes something, extends a PCR, edits the log.

use crate::changes::VISITOR;
use crate::say;
use rustix::mount::{MountFlags, mount};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::Duration;

/// The arguments that this program is started with a second time: as one that no image has, and as a service.
const INTRUDER: &str = "as-an-intruder";
const SERVICE: &str = "as-a-service";
/// Where systemd mounts the hierarchy of control groups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Where nothing forbids execution.
const FOLDER: &str = "/tmp/intruder";

/// Programs that run until the machine is switched off.
static RUNNING: Mutex<Vec<(String, Child)>> = Mutex::new(Vec::new());

fn keep(name: &str, child: Child) {
    if let Ok(mut running) = RUNNING.lock() {
        running.push((name.to_owned(), child));
    }
}

/// What this program does when it is started a second time; whether it is.
pub fn live() -> bool {
    match std::env::args().nth(1).as_deref() {
        Some(INTRUDER) => say("PROBE INTRUDER RUNS"),
        Some(SERVICE) => say("PROBE SERVICE RUNS"),
        Some(VISITOR) => return true,
        _ => return false,
    }
    std::thread::sleep(Duration::from_secs(3600));
    true
}

/// The words of this file; whether `word` is one of them.
pub fn perform(word: &str, argument: &str) -> bool {
    match word {
        "start-bennud" => {
            if let Err(error) = start() {
                say(&format!("PROBE bennud cannot be started: {error}"));
            }
        }
        "await" => await_text(argument, 60),
        "await-long" => await_text(argument, 150),
        "pause" => std::thread::sleep(Duration::from_secs(argument.parse().unwrap_or(1))),
        "intrude-execute" => {
            if let Err(error) = execute() {
                say(&format!("PROBE INTRUDER cannot execute: {error}"));
            }
        }
        "intrude-pcr" => match extend(argument.parse().unwrap_or(0)) {
            Ok(code) => say(&format!("PROBE INTRUDER extended PCR {argument}: {code:08x}")),
            Err(error) => say(&format!("PROBE INTRUDER cannot extend: {error}")),
        },
        "who-runs" => who_runs(),
        // Most memory that a program had so far.
        "memory" => memory(),
        // Opens a device for writing, and writes nothing.
        "write-device" => match OpenOptions::new().write(true).open(argument) {
            Ok(_) => say(&format!("PROBE WRITE {argument} may be written")),
            Err(error) => say(&format!("PROBE WRITE {argument}: {error}")),
        },
        "copy-log" => copy_log(argument),
        "edit-log" => change_log(argument, |text| {
            text.replacen("ima-digest-unknown", "ima-digest-unknowm", 1)
        }),
        "cut-log" => change_log(argument, |text| {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            [&lines[..2], lines.get(3..).unwrap_or_default()]
                .concat()
                .concat()
        }),
        _ => return false,
    }
    true
}

/// `bennud` and a service, each in a control group of its own, as systemd starts them.
fn start() -> std::io::Result<()> {
    mount("cgroup2", CGROUPS, "cgroup2", MountFlags::NODEV, None)?;
    for (name, program, arguments) in [
        ("bennud", "/usr/lib/bennu/bennud", &[][..]),
        ("service", "/sbin/init", &[SERVICE][..]),
    ] {
        let group = Path::new(CGROUPS).join(name);
        fs::create_dir(&group)?;
        let child = Command::new(program).args(arguments).spawn()?;
        fs::write(group.join("cgroup.procs"), child.id().to_string())?;
        keep(name, child);
    }
    Ok(())
}

/// `<directory> <text>`: until a file in it has the text.
fn await_text(argument: &str, seconds: u32) {
    let (folder, text) = argument.split_once(' ').unwrap_or((argument, ""));
    for _ in 0..seconds * 10 {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        if texts.any(|found| found.contains(text)) {
            return say(&format!("PROBE FOUND {text}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    say(&format!("PROBE never found {text}"));
}

/// A program that no image has: this one with a byte more.
fn execute() -> std::io::Result<()> {
    fs::create_dir_all(FOLDER)?;
    mount("tmpfs", FOLDER, "tmpfs", MountFlags::NODEV, None)?;
    let path = Path::new(FOLDER).join("intruder");
    let mut bytes = fs::read("/proc/self/exe")?;
    bytes.push(0);
    fs::write(&path, bytes)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let child = Command::new(&path).arg(INTRUDER).spawn()?;
    keep("intruder", child);
    Ok(())
}

fn who_runs() {
    if let Ok(mut running) = RUNNING.lock() {
        for (name, child) in running.iter_mut() {
            let runs = matches!(child.try_wait(), Ok(None));
            say(&format!("PROBE RUNS {name} {runs}"));
        }
    }
}

fn memory() {
    if let Ok(running) = RUNNING.lock() {
        for (name, child) in running.iter() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let lines = status
                .lines()
                .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
            lines.for_each(|line| say(&format!("PROBE MEMORY {name} {line}")));
        }
    }
}

/// TPM2_PCR_Extend of the SHA-256 bank with an empty password (TPM 2.0 Part 3, 22.2); gives the response code.
fn extend(pcr: u32) -> std::io::Result<u32> {
    say(&format!("PROBE INTRUDER extends PCR {pcr}"));
    let mut command = vec![0x80, 0x02];
    command.extend(65u32.to_be_bytes());
    command.extend(0x182u32.to_be_bytes());
    command.extend(pcr.to_be_bytes());
    command.extend(9u32.to_be_bytes());
    command.extend(0x4000_0009u32.to_be_bytes());
    command.extend([0; 5]);
    command.extend(1u32.to_be_bytes());
    command.extend(0x000bu16.to_be_bytes());
    command.extend([0x66; 32]);
    let mut tpm = OpenOptions::new().read(true).write(true).open("/dev/tpmrm0")?;
    tpm.write_all(&command)?;
    let mut response = [0; 256];
    let length = tpm.read(&mut response)?;
    let code = response.get(6..10).filter(|_| length >= 10);
    let code: [u8; 4] = code.and_then(|code| code.try_into().ok()).unwrap_or([0xff; 4]);
    Ok(u32::from_be_bytes(code))
}

/// `<from> <to>`: a log is copied while it is written.
fn copy_log(argument: &str) {
    let (from, to) = argument.split_once(' ').unwrap_or((argument, ""));
    let copied = fs::create_dir_all(to).and_then(|()| {
        for file in fs::read_dir(from)?.flatten() {
            fs::copy(file.path(), Path::new(to).join(file.file_name()))?;
        }
        Ok(())
    });
    say(&format!("PROBE COPIED {to} {}", copied.is_ok()));
}

fn change_log(folder: &str, change: impl Fn(&str) -> String) {
    let changed = (|| {
        for file in fs::read_dir(folder)?.flatten() {
            let mut text = String::new();
            File::open(file.path())?.read_to_string(&mut text)?;
            fs::write(file.path(), change(&text))?;
        }
        std::io::Result::Ok(())
    })();
    say(&format!("PROBE CHANGED {folder} {}", changed.is_ok()));
}
