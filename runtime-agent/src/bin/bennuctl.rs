//! Shows people what the agents did, and takes the wish for a factory reset. Asks nothing of `bennud` but a scrub.

use bennu_esp::Esp;
use bennu_formats::firmware_record::FirmwareRecord;
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::time;
use bennu_runtime::certificates::Certificates;
use bennu_runtime::control::client;
use bennu_runtime::esp::{self, Access};
use bennu_runtime::factory_reset;
use bennu_runtime::generate::{self, Generate};
use bennu_runtime::log::collect::Options;
use bennu_runtime::log::{self, Question, Verdict, head_key};
use bennu_runtime::respond::certificates::Store;
use bennu_runtime::status::chain::Chain;
use bennu_runtime::status::event_log::EventLog;
use bennu_runtime::status::measured::{Facts, Measured, Places};
use bennu_runtime::status::times::BootTimes;
use bennu_runtime::status::why::{History, Why};
use bennu_runtime::status::{Answer, Sources, Status, render, verdict, verity};
use clap::{CommandFactory as _, Parser, Subcommand};
use serde::Serialize;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Shows which slot runs, how it was verified, and why the machine fell back
#[derive(Parser)]
#[command(
    name = "bennuctl",
    version,
    after_help = "Exit status: 0 yes, 1 no, 2 cannot tell."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Slot, root hash, keys, tries, PCRs, health, and the layers as a ladder (exit status 0: marked good, 1: not, 2: cannot tell)
    Status {
        /// Wait up to this long for the verdict on the slot's health
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        wait: Option<u32>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// The layers of the chain, each of which counts only when those below it hold (exit status 0: all below the
    /// slot's health hold, 1: not, 2: cannot tell)
    Chain {
        /// Wait up to this long for layers that are not known yet
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        wait: Option<u32>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// How long each step of the initrd took
    BootTimes {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Erase the machine's secrets and state at its next start: name the machine, then confirm with the code (root)
    #[command(group = clap::ArgGroup::new("confirmation").required(true))]
    FactoryReset {
        /// First: this machine's host name or the UUID of its state volume
        #[arg(long, group = "confirmation", value_name = "NAME")]
        machine: Option<String>,
        /// Second, within five minutes: the code that the first one gave
        #[arg(long, group = "confirmation", value_name = "CODE")]
        confirm: Option<String>,
    },
    /// Whether this start measured what its release predicted, what broke if not, why the machine fell back, and what
    /// earlier starts left (needs root; exit status 0: all as expected, 1: not, 2: cannot tell)
    Why {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Every event of the firmware's log and of user space's, replayed against the PCRs (needs root; exit status 0: they
    /// account for every PCR, 1: they do not, 2: cannot tell)
    EventLog {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Prints the state volume's recovery key, encrypted to the image's escrow key: an age file (needs root; exit status
    /// 1: the ESP has none)
    RecoveryBlob,
    /// Write man pages or shell completions
    #[command(subcommand)]
    Generate(Generate),
    /// What was seen and done about drift, also in earlier starts and by the slot that ran before, as the TPM signed it
    /// (needs root; exit status 0: all are signed and none is missing, 1: not, 2: cannot tell)
    Certificates {
        /// The attestation key of another TPM, 130 hex digits in a file; default: this machine's
        #[arg(long, value_name = "FILE")]
        signer: Option<PathBuf>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Read every block of both slots now, not when the next round is due (needs root; exit status 0: it begins or is on
    /// its way, 1: refused, 2: cannot tell)
    Scrub,
    /// The record log
    #[command(subcommand)]
    Log(LogCommand),
}

#[derive(Subcommand)]
enum LogCommand {
    /// Print it for people, a line each, and check it as `verify` does (exit status 0: as written, 1: refused, 2: cannot
    /// tell)
    Show {
        #[command(flatten)]
        question: Question,
        /// The newest lines only
        #[arg(long, short = 'n', value_name = "LINES")]
        last: Option<usize>,
    },
    /// Find any edit, cut, reorder, duplicate or gap (exit status 0: as written, 1: refused, 2: cannot tell)
    Verify {
        #[command(flatten)]
        question: Question,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// On a log server: keep what machines send, each line once, in order and byte for byte. Reads messages from stdin and
    /// confirms each on stdout, as rsyslog's omprog wants it; findings go to stderr (exit status at the end of its input: 0
    /// nothing was refused, 1: something was, 2: cannot go on)
    #[command(after_help = COLLECT_HELP)]
    Collect(Options),
}

const COLLECT_HELP: &str = "A line of its input is a JSON object with the members `machine` (name of its folder) and `line` \
(the record). Each machine's log lies in DIRECTORY/MACHINE/log-NUMBER, for `bennuctl log verify`; beside the logs lie \
notes.jsonl and conflicts.jsonl.";

fn main() -> ExitCode {
    // clap ends usage errors with status 2 by itself.
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            let _lost = writeln!(io::stderr(), "bennuctl: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<Answer, Box<dyn Error>> {
    let sources = Sources::default();
    match command {
        Command::Status { json, wait } => {
            if let Some(seconds) = wait {
                verdict::wait(&sources, Duration::from_secs((*seconds).into()))?;
            }
            let status = Status::gather(&sources, verity::ask)?;
            print(*json, &status, render::status)?;
            Ok(status.answer())
        }
        Command::Chain { json, wait } => {
            let longest = Duration::from_secs(wait.unwrap_or(0).into());
            let chain = Chain::settled(&sources, verity::ask, longest)?;
            print(*json, &chain, Chain::text)?;
            Ok(chain.answer())
        }
        Command::BootTimes { json } => {
            let times = BootTimes::of(sources.handover()?, sources.health()?.as_ref());
            print(*json, &times, BootTimes::text)?;
            Ok(Answer::Yes)
        }
        Command::FactoryReset { machine, confirm } => {
            factory_reset(&sources.handover()?, machine.as_deref(), confirm.as_deref())
        }
        Command::Why { json } => {
            let handover = sources.handover()?;
            let (history, last_good) = remembered(&handover);
            let measured = match Facts::gather_settled(&Places::default()) {
                Ok(facts) => Measured::of(&facts, &handover, last_good.as_ref()),
                Err(why) => Measured::Unknown { why },
            };
            let why = Why::of(handover, history, measured);
            print(*json, &why, Why::text)?;
            why.answer().ok_or_else(|| why.measured.sentence().into())
        }
        Command::EventLog { json } => {
            let log = EventLog::of(&Facts::gather_settled(&Places::default())?);
            print(*json, &log, EventLog::text)?;
            Ok(if log.all_match() { Answer::Yes } else { Answer::No })
        }
        Command::RecoveryBlob => recovery_blob(&sources.handover()?),
        Command::Generate(what) => {
            generate::run(what, Arguments::command())?;
            Ok(Answer::Yes)
        }
        Command::Certificates { signer, json } => {
            let key = head_key(signer.as_deref())?;
            let found = Store::of(&sources.handover()?).read();
            let certificates = Certificates::of(&found, &key);
            print(*json, &certificates, Certificates::text)?;
            Ok(certificates.answer())
        }
        Command::Scrub => scrub(),
        Command::Log(LogCommand::Show { question, last }) => {
            let (lines, verdict) = log::show::show(question, *last)?;
            let lines: String = lines.into_iter().map(|line| line + "\n").collect();
            write(&lines)?;
            write(&verdict.text())?;
            Ok(verdict.answer())
        }
        Command::Log(LogCommand::Verify { question, json }) => {
            let verdict = log::check(question)?;
            print(*json, &verdict, Verdict::text)?;
            Ok(verdict.answer())
        }
        Command::Log(LogCommand::Collect(options)) => {
            let (input, out) = (io::stdin().lock(), io::stdout().lock());
            Ok(log::collect::run(options, input, out, io::stderr())?)
        }
    }
}

fn scrub() -> Result<Answer, Box<dyn Error>> {
    let (status, words) = client::post(Path::new(paths::RUN_CONTROL), "/v1/scrub")?;
    if status == 202 {
        write(&format!("{words}; bennuctl status shows how far it is\n"))?;
        return Ok(Answer::Yes);
    }
    let _lost = writeln!(io::stderr(), "bennuctl: {words}");
    Ok(Answer::No)
}

fn recovery_blob(handover: &Handover) -> Result<Answer, Box<dyn Error>> {
    match esp::with_esp(&handover.esp, Access::ReadOnly, |esp| esp.recovery_blob())? {
        Some(blob) => {
            io::stdout().write_all(&blob)?;
            Ok(Answer::Yes)
        }
        None => {
            writeln!(
                io::stderr(),
                "bennuctl: the ESP has no recovery blob: the image names no escrow key, or the file was removed"
            )?;
            Ok(Answer::No)
        }
    }
}

/// One of the two confirmations.
fn factory_reset(
    handover: &Handover,
    machine: Option<&str>,
    confirm: Option<&str>,
) -> Result<Answer, Box<dyn Error>> {
    let places = factory_reset::Places::default();
    let now_ms = time::since_boot_ms();
    let done = match confirm {
        Some(code) => factory_reset::confirm(&places, code, now_ms).map(Err),
        None => {
            let names = factory_reset::names(handover);
            factory_reset::begin(&places, &names, machine.unwrap_or_default(), now_ms).map(Ok)
        }
    };
    let text = match done {
        Ok(Ok(code)) => format!(
            "The next start will erase every secret and the state of this machine. Nothing brings them back, the \
             recovery key neither.\nTo go on, within five minutes:\n    bennuctl factory-reset --confirm {code}\n"
        ),
        Ok(Err(wish)) => {
            esp::with_esp(&handover.esp, Access::ReadWrite, |esp| {
                esp.write_reset_request(&wish.encode())
            })?;
            "Confirmed. Restart the machine: it erases its secrets and its state, and starts as a new one.\n"
                .to_owned()
        }
        Err(error) if error.is_refusal() => {
            let _lost = writeln!(io::stderr(), "bennuctl: {error}");
            return Ok(Answer::No);
        }
        Err(error) => return Err(error.into()),
    };
    write(&text)?;
    Ok(Answer::Yes)
}

/// The boot record, and what the firmware measured at the last good start.
fn remembered(handover: &Handover) -> (History, Option<FirmwareRecord>) {
    let unknown = |why: String| (History::Unknown { why }, None);
    if !rustix::process::geteuid().is_root() {
        return unknown("needs root".to_owned());
    }
    let read = |esp: &Esp| Ok((esp.boot_record()?, esp.firmware_record().ok().flatten()));
    match esp::with_esp(&handover.esp, Access::ReadOnly, read) {
        Ok((found, firmware)) => (found.into(), firmware),
        Err(error) => unknown(error.to_string()),
    }
}

fn print<T: Serialize>(json: bool, value: &T, text: impl Fn(&T) -> String) -> Result<(), Box<dyn Error>> {
    let out = if json {
        serde_json::to_string_pretty(value)? + "\n"
    } else {
        text(value)
    };
    write(&out)
}

fn write(out: &str) -> Result<(), Box<dyn Error>> {
    match io::stdout().write_all(out.as_bytes()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
