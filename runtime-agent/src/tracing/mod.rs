//! The trace of the running system, in a thread of its own: from the gate's ring to `/var/log/bennu/trace.jsonl`.
//!
//! The file is kept below [`MOST_BYTES`]; then it becomes `trace.1.jsonl`, and the one before that is gone. If it cannot
//! be written the ring fills up and the kernel counts what is lost, which the next line that can be written shows as a
//! gap. Denials have a ring and a reader of their own (`gate::watch`), which a flood here does not touch.

pub mod record;

use crate::console::Console;
use crate::gate::NoGate;
use crate::gate::sequence::Sequence;
use bennu_ebpf::live::Traces;
use bennu_formats::paths;
use bennu_formats::trace::TraceLine;
use bennu_linux::kmsg::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

/// Longest file; two of them are kept.
pub const MOST_BYTES: u64 = 16 << 20;
/// Records taken in one round; the ring has room for 2,148 (1 MiB, 488 bytes each).
const MOST_RECORDS: usize = 4096;
/// Pause after a round with records.
const BREATH: Duration = Duration::from_millis(50);
/// Pause after the file could not be written.
const PAUSE: Duration = Duration::from_secs(10);

/// Starts the thread.
///
/// # Errors
/// The gate's maps cannot be opened, or the system has no thread to give.
pub fn start() -> Result<(), NoGate> {
    let traces = Traces::open(Path::new(paths::ROOT_GATE_PINS))?;
    let thread = std::thread::Builder::new().name("trace".to_owned());
    // Never joined: it ends with the program.
    let _thread = thread.spawn(move || follow(traces)).map_err(NoGate::Thread)?;
    Ok(())
}

fn follow(mut traces: Traces) {
    let mut console = Console::open();
    let mut seen = Sequence::default();
    let mut told = false;
    loop {
        match round(&mut traces, &mut seen, &mut console) {
            Ok(()) => told = false,
            Err(error) => {
                if !told {
                    let words = format!("{}: cannot be written: {error}", paths::VAR_TRACE);
                    console.say(Level::Error, &words);
                }
                told = true;
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn round(traces: &mut Traces, seen: &mut Sequence, console: &mut Console) -> io::Result<()> {
    let minute = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    let _woken = poll(&mut [PollFd::new(&traces.ring(), PollFlags::IN)], Some(&minute));
    let mut out = BufWriter::new(open(Path::new(paths::VAR_TRACE), MOST_BYTES)?);
    for _ in 0..MOST_RECORDS {
        let Some(trace) = traces.next_trace() else { break };
        for line in record::lines(trace, seen) {
            if let TraceLine::Gap { cpu, missing, .. } = &line {
                let words = format!("GAP: {missing} records of the trace of CPU {cpu} were lost");
                console.say(Level::Warning, &words);
            }
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    std::thread::sleep(BREATH);
    Ok(())
}

/// Opens the file for appending; one that is too long becomes the one before it.
fn open(path: &Path, most: u64) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o750).create(directory)?;
    }
    let append = || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)
    };
    let file = append()?;
    if file.metadata()?.len() < most {
        return Ok(file);
    }
    std::fs::rename(path, path.with_extension("1.jsonl"))?;
    append()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_full_becomes_the_one_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log/trace.jsonl");
        for _ in 0..3 {
            open(&path, 10).unwrap().write_all(b"12345\n").unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"12345\n");
        let before = path.with_file_name("trace.1.jsonl");
        assert_eq!(std::fs::read(before).unwrap(), b"12345\n12345\n");
    }
}
