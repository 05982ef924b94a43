//! The init of the small roots that most scenarios boot.
//!
//! It stands where systemd stands in a real image: it is a file in the verified root, started by `bennu-init`.
//! It prints what the initrd left behind between two markers, does what `/etc/probe` in the root asks for, and
//! switches the machine off. The product knows nothing of it.

mod changes;
mod etc;
mod intruder;
mod module;
mod neighbours;
mod reset;

use rustix::system::{RebootCommand, reboot};
use std::fs;
use std::io::Write as _;
use std::path::Path;

fn main() {
    if intruder::live() {
        return;
    }
    say("PROBE BEGIN");
    show("/run/bennu/boot.json");
    show("/run/bennu/tpm2-measure.log");
    show("/proc/mounts");
    show("/usr/lib/os-release");
    show("/proc/sys/kernel/osrelease");
    for pcr in [0, 4, 5, 7, 10, 11, 12, 13, 15] {
        for bank in ["sha1", "sha256", "sha384"] {
            let path = format!("/sys/class/tpm/tpm0/pcr-{bank}/{pcr}");
            if let Ok(value) = fs::read_to_string(&path) {
                say(&format!("PROBE PCR {bank} {pcr} {}", value.trim().to_lowercase()));
            }
        }
    }
    secrets();
    writable();
    for line in fs::read_to_string("/etc/probe").unwrap_or_default().lines() {
        perform(line);
    }
    say("PROBE END");
    rustix::fs::sync();
    let _off = reboot(RebootCommand::PowerOff);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn say(text: &str) {
    let _lost = write!(std::io::stdout(), "{text}\r\n").and_then(|()| std::io::stdout().flush());
}

fn show(path: &str) {
    match fs::read_to_string(path) {
        Ok(text) => {
            for line in text.lines() {
                say(&format!("PROBE {path}: {}", line.trim_start_matches('\u{1e}')));
            }
        }
        Err(error) => say(&format!("PROBE {path}: cannot be read: {error}")),
    }
}

/// A short digest-like number of each secret: enough to see that two boots have the same one, too little to
/// be the secret.
fn secrets() {
    let Ok(directory) = fs::read_dir("/run/secrets") else {
        return say("PROBE no secrets");
    };
    for entry in directory.flatten() {
        if let Ok(bytes) = fs::read(entry.path()) {
            let mark = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
            });
            say(&format!(
                "PROBE SECRET {} {} {mark:016x}",
                entry.file_name().to_string_lossy(),
                bytes.len()
            ));
        }
    }
}

/// The bytes of each secret, for the one root whose story searches the TPM's wire for them.
fn show_secrets() {
    let Ok(directory) = fs::read_dir("/run/secrets") else {
        return say("PROBE no secrets");
    };
    for entry in directory.flatten() {
        if let Ok(bytes) = fs::read(entry.path()) {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            say(&format!(
                "PROBE SECRET-BYTES {} {hex}",
                entry.file_name().to_string_lossy()
            ));
        }
    }
}

/// A whole file, for stories that judge it outside of the machine.
fn hex(path: &str) {
    match fs::read(path) {
        Ok(bytes) => {
            for part in bytes.chunks(512) {
                let hex: String = part.iter().map(|b| format!("{b:02x}")).collect();
                say(&format!("PROBE HEX {path} {hex}"));
            }
            say(&format!("PROBE HEX-END {path} {}", bytes.len()));
        }
        Err(error) => say(&format!("PROBE HEX {path} cannot be read: {error}")),
    }
}

/// Takes the second record out of an event log.
fn drop_record(path: &str) {
    let changed = fs::read_to_string(path).and_then(|text| {
        let mut records: Vec<&str> = text.split_inclusive('\n').collect();
        if records.len() > 1 {
            records.remove(1);
        }
        fs::write(path, records.concat())
    });
    say(&format!("PROBE DROPPED {path} {}", changed.is_ok()));
}

/// Runs a program of this root, shows what it says and its exit status.
fn run(line: &str) {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    match std::process::Command::new(program).args(words).output() {
        Ok(output) => {
            for text in [&output.stdout, &output.stderr] {
                for line in String::from_utf8_lossy(text).lines() {
                    say(&format!("PROBE RUN {line}"));
                }
            }
            say(&format!("PROBE RUN-END {line}: {}", output.status));
        }
        Err(error) => say(&format!("PROBE RUN {line} cannot be started: {error}")),
    }
}

fn show_ima() {
    let list = "/sys/kernel/security/ima/ascii_runtime_measurements";
    let value = "/sys/class/tpm/tpm0/pcr-sha256/10";
    let (found, pcr) = (fs::read_to_string(list), fs::read_to_string(value));
    for line in found.unwrap_or_default().lines() {
        say(&format!("PROBE IMA {line}"));
    }
    say(&format!(
        "PROBE IMA-PCR {}",
        pcr.unwrap_or_default().trim().to_lowercase()
    ));
}

fn writable() {
    for path in [
        "/probe-was-here",
        "/usr/probe-was-here",
        "/etc/probe-was-here",
        "/var/probe-was-here",
    ] {
        let word = if fs::write(path, b"x").is_ok() {
            "writable"
        } else {
            "read-only"
        };
        say(&format!("PROBE {path} {word}"));
    }
}

fn wait_until_good() {
    for _ in 0..600 {
        if fs::read_to_string("/run/bennu/health.json").is_ok_and(|text| text.contains("\"good\"")) {
            return say("PROBE GOOD");
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    say("PROBE never became good");
}

fn run_here(line: &str) {
    let mut words = line.split(' ');
    let Some(program) = words.next() else { return };
    match std::process::Command::new(program).args(words).status() {
        Ok(status) => say(&format!("PROBE RAN {line}: {status}")),
        Err(error) => say(&format!("PROBE RAN {line}: cannot be started: {error}")),
    }
}

/// In a thread that waits for its end, so that nothing is left of it when somebody kills it.
fn run_beside(program: &str) {
    match std::process::Command::new(program).spawn() {
        Ok(mut child) => {
            let _waits = std::thread::spawn(move || child.wait());
        }
        Err(error) => say(&format!("PROBE {program} cannot be started: {error}")),
    }
}

/// The records of the kernel's log that hold `part`, with their time in microseconds since kernel start
/// (Documentation/ABI/testing/dev-kmsg: a read gives one record, `priority,number,microseconds,flags;text`).
fn kernel_log(part: &str) {
    let options = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let log = match rustix::fs::open("/dev/kmsg", options, rustix::fs::Mode::empty()) {
        Ok(log) => log,
        Err(error) => return say(&format!("PROBE KERNEL-LOG cannot be opened: {error}")),
    };
    let mut record = [0; 8192];
    loop {
        match rustix::io::read(&log, &mut record) {
            Ok(length) => show_record(&record[..length], part),
            // Records were overwritten meanwhile; the next read goes on behind them.
            Err(rustix::io::Errno::PIPE) => {}
            Err(_) => return,
        }
    }
}

fn show_record(record: &[u8], part: &str) {
    let text = String::from_utf8_lossy(record);
    let Some((head, message)) = text.split_once(';') else {
        return;
    };
    let message = message.lines().next().unwrap_or_default();
    if message.contains(part) {
        let microseconds = head.split(',').nth(2).unwrap_or_default();
        say(&format!("PROBE KERNEL-LOG {microseconds} {message}"));
    }
}

/// The lines of a file that hold a part.
fn lines(argument: &str) {
    let (path, part) = argument.split_once(' ').unwrap_or((argument, ""));
    match fs::read_to_string(path) {
        Ok(text) => {
            let found = text.lines().filter(|line| line.contains(part));
            found.for_each(|line| say(&format!("PROBE LINE {line}")));
            say(&format!("PROBE LINES {path} {}", text.lines().count()));
        }
        Err(error) => say(&format!("PROBE LINES {path} cannot be read: {error}")),
    }
}

fn wait_until_locked() {
    for _ in 0..100 {
        if fs::read_to_string("/proc/sys/kernel/modules_disabled").is_ok_and(|text| text.trim() == "1") {
            return say("PROBE MODULES LOCKED");
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    say("PROBE modules never became locked");
}

fn perform(line: &str) {
    let (word, argument) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        // Reads a whole file: a bad block in it panics the kernel.
        "read" => match fs::read(argument) {
            Ok(bytes) => say(&format!("PROBE READ {argument} {} bytes", bytes.len())),
            Err(error) => say(&format!("PROBE READ {argument} failed: {error}")),
        },
        // Starts bennud, which is a product binary of this root, and gives it time to mark the slot good.
        "mark-good" | "mark-good-and-lock" => {
            match std::process::Command::new("/usr/lib/bennu/bennud").spawn() {
                Ok(mut child) => {
                    wait_until_good();
                    if word == "mark-good-and-lock" {
                        wait_until_locked();
                    }
                    let _stopped = child.kill().and_then(|()| child.wait());
                }
                Err(error) => say(&format!("PROBE bennud cannot be started: {error}")),
            }
        }
        // Starts bennud and leaves it running.
        "agent" => run_beside("/usr/lib/bennu/bennud"),
        // Runs a program of this root and waits for it.
        "run-here" => run_here(argument),
        "pause" => std::thread::sleep(std::time::Duration::from_secs(argument.parse().unwrap_or(1))),
        "show-secrets" => show_secrets(),
        "hex" => hex(argument),
        "run" => run(argument),
        "drop-record" => drop_record(argument),
        "show" => show(argument),
        // Reads IMA's list and PCR 10 with nothing measured in between: this program is all that runs.
        "show-ima" => show_ima(),
        // Adds one to the number in a file, which is kept or not.
        "count" => {
            let before: u64 = fs::read_to_string(argument)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0);
            let kept = fs::write(argument, format!("{}\n", before + 1));
            rustix::fs::sync();
            say(&format!("PROBE COUNT {argument} {} {}", before + 1, kept.is_ok()));
        }
        // Size of a file system in MiB.
        "blocks" => match rustix::fs::statvfs(argument) {
            Ok(found) => say(&format!(
                "PROBE BLOCKS {argument} {}",
                found.f_blocks.saturating_mul(found.f_frsize) >> 20
            )),
            Err(error) => say(&format!("PROBE BLOCKS {argument} failed: {error}")),
        },
        "kernel-log" => kernel_log(argument),
        "lines" => lines(argument),
        // What follows, at one start only: `count` has counted before.
        "at" => {
            let (start, rest) = argument.split_once(' ').unwrap_or((argument, ""));
            let now = fs::read_to_string("/var/starts").unwrap_or_default();
            if now.trim() == start {
                perform(rest);
            }
        }
        "reset-asked" => drop(reset::ask()),
        "reset-confirmed" => reset::confirm(),
        "exists" => say(&format!(
            "PROBE EXISTS {argument} {}",
            Path::new(argument).exists()
        )),
        // Never becomes healthy, and says so.
        "reboot" => {
            say("PROBE REBOOT");
            rustix::fs::sync();
            let _reset = reboot(RebootCommand::Restart);
        }
        // The rest of the line, at this start only, by the count in /var/starts.
        "on" => {
            let (start, rest) = argument.split_once(' ').unwrap_or((argument, ""));
            if fs::read_to_string("/var/starts").is_ok_and(|count| count.trim() == start) {
                perform(rest);
            }
        }
        "" => {}
        other if etc::perform(other, argument) || intruder::perform(other, argument) => {}
        other if changes::perform(other) || neighbours::perform(other, argument) => {}
        other if module::perform(other, argument) => {}
        other => say(&format!("PROBE unknown word {other}")),
    }
}
