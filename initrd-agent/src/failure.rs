//! The end of a boot that failed: latch, verdict, one sentence, one action.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::journal::Journal;
use crate::tpm::Measured;
use bennu_formats::Code;
use bennu_linux::efivars::{BENNU, EfiVarError, EfiVars, PERSISTENT, Variable};
use bennu_linux::reboot::{End, end as end_machine, sync};
use bennu_policy::boot::{BLIND_RESTARTS, BootAction, on_failure_without_record};
use std::time::Duration;

/// How long the sentence stays on the screen before a restart.
const READING_TIME: Duration = Duration::from_secs(3);

/// EFI variable with the number of restarts that were made without a verdict, one byte.
const RESTARTS_VARIABLE: &str = "BennuBlindRestarts";

/// What the boot had reached.
#[derive(Default)]
pub struct Known {
    /// The mounted ESP.
    pub esp: Option<Mounted>,
    /// The open TPM.
    pub tpm: Option<Measured>,
}

/// Ends the boot. The latch is closed on this path as on the good one: whatever comes after has no secrets.
pub fn end(journal: &mut Journal, known: Known, error: &InitError) -> ! {
    let failure = error.failure();
    journal.error(&format!("FAILED {}: {}", failure.code, failure.reason));
    journal.error(&format!("{}: {}", failure.code.meaning(), failure.code.advice()));
    close_tpm(journal, known.tpm);
    let action = verdict(journal, known.esp, error);
    sync();
    match action {
        BootAction::FallBack => {
            journal.say("this slot is marked bad; restarting into the other one");
            restart(journal)
        }
        BootAction::Retry => {
            journal.say("restarting for another attempt");
            restart(journal)
        }
        BootAction::Halt => halt(journal, failure.code),
    }
}

fn close_tpm(journal: &mut Journal, tpm: Option<Measured>) {
    let tpm = tpm.map_or_else(Measured::open, Ok);
    if let Err(error) = tpm.and_then(|mut tpm| tpm.latch_after_failure()) {
        journal.error(&format!("the latch could not be closed: {error}"));
    }
}

/// Decides, and writes the verdict where the next start finds it.
fn verdict(journal: &mut Journal, esp: Option<Mounted>, error: &InitError) -> BootAction {
    let Some(mut esp) = esp else {
        return without_esp(journal);
    };
    let decided = esp.fail(&error.failure());
    let unmounted = esp.unmount();
    match (decided, unmounted) {
        (Ok(action), Ok(())) => action,
        (Err(why), _) | (_, Err(why)) => {
            journal.error(&format!("the verdict could not be written: {why}"));
            BootAction::Halt
        }
    }
}

/// Without an ESP there is no place for a verdict. The loader counts this entry's tries all the same, so a few
/// restarts reach the other slot; how many there were is kept in a variable of the firmware, so that they end.
fn without_esp(journal: &mut Journal) -> BootAction {
    let restarts = match count_restart() {
        Ok(restarts) => restarts,
        Err(error) => {
            journal.error(&error.to_string());
            return BootAction::Halt;
        }
    };
    let action = on_failure_without_record(restarts);
    if action == BootAction::Retry {
        journal.say(&format!(
            "no ESP to write the verdict to: restart {restarts} of {BLIND_RESTARTS}"
        ));
    }
    action
}

fn count_restart() -> Result<u8, EfiVarError> {
    let variables = EfiVars::default();
    let found = variables.read(BENNU, RESTARTS_VARIABLE, 1)?;
    let count = found
        .and_then(|v| v.value.first().copied())
        .unwrap_or(0)
        .saturating_add(1);
    let variable = Variable {
        attributes: PERSISTENT,
        value: vec![count],
    };
    variables.write(BENNU, RESTARTS_VARIABLE, &variable, 1)?;
    Ok(count)
}

/// The slot has reached its root: the count starts anew.
pub fn forget_restarts() -> Result<(), EfiVarError> {
    EfiVars::default().delete(BENNU, RESTARTS_VARIABLE).map(drop)
}

fn restart(journal: &mut Journal) -> ! {
    std::thread::sleep(READING_TIME);
    let Err(error) = end_machine(End::Reboot);
    journal.error(&error.to_string());
    sleep_for_ever()
}

/// The last screen: nothing that a restart could change.
fn halt(journal: &mut Journal, code: Code) -> ! {
    journal.error(&format!(
        "HALTED {code}: no slot is left that may be started; switch the machine off"
    ));
    sleep_for_ever()
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
