//! The end of a boot that failed: latch, verdict, one sentence, one action.
//!
//! Writes: the verdict to the boot record and the entry's name, the log of this start beside them. The log and the
//! screen explain; neither changes what happens.

use crate::error::InitError;
use crate::esp::Mounted;
use crate::evidence::{self, Evidence};
use crate::journal::Journal;
use crate::past;
use crate::recovery_screen::{self, Kept, Report, ResetRow};
use crate::screen_reset::Offer;
use crate::secrets;
use crate::tpm::Measured;
use bennu_formats::boot_record::{BootRecord, Failure, RESTARTS_VARIABLE};
use bennu_formats::{Code, ReleaseName, Sha256Digest};
use bennu_linux::console_input::Hushed;
use bennu_linux::efivars::{BENNU, EfiVarError, EfiVars, PERSISTENT, Variable};
use bennu_linux::reboot::{End, end as end_machine, sync};
use bennu_linux::time;
use bennu_policy::boot::{BLIND_RESTARTS, BootAction, on_failure_without_record};
use bennu_tpm::ReleasePolicy;
use std::time::Duration;

/// How long the sentence stays on the screen before a restart.
const READING_TIME: Duration = Duration::from_secs(3);

/// What the boot had reached.
#[derive(Default)]
pub struct Known {
    /// The release that the initrd belongs to.
    pub release: Option<ReleaseName>,
    /// The mounted ESP.
    pub esp: Option<Mounted>,
    /// The open TPM.
    pub tpm: Option<Measured>,
    /// What everything is sealed under, by the verified manifest.
    pub policy: Option<ReleasePolicy>,
    /// What the verified manifest expects to be measured.
    pub evidence: Option<Evidence>,
    /// A factory reset that the recovery screen may offer.
    pub reset: Option<Offer>,
    /// The consoles, silent for what is typed before anybody asks.
    pub consoles: Option<Hushed>,
}

/// What a failed start leaves behind.
struct Left {
    action: BootAction,
    /// `None` without an ESP.
    record: Option<BootRecord>,
    /// Digest of the failure log.
    log: Sha256Digest,
    kept: Kept,
}

/// Ends the boot. The latch is closed on this path as on the good one: whatever comes after has no secrets.
pub fn end(journal: &mut Journal, mut known: Known, error: &InitError) -> ! {
    let failure = evidence::explain(journal, &mut known, error.failure());
    journal.error(&format!("FAILED {}: {}", failure.code, failure.reason));
    journal.error(&format!("{}: {}", failure.code.meaning(), failure.code.advice()));
    let Known {
        release,
        esp,
        tpm,
        policy,
        reset,
        ..
    } = known;
    let events = close_tpm(journal, tpm, policy.as_ref());
    let log = |journal: &Journal| journal.failure_log(release.as_ref(), &events);
    let left = match esp {
        Some(esp) => verdict(journal, esp, &failure, log),
        None => without_esp(journal, failure.code, log),
    };
    sync();
    let report = Report {
        failure,
        release,
        record: left.record,
        machine: recovery_screen::machine_hint(),
        log: left.log,
        kept: left.kept,
        stopped_ms: time::since_boot_ms(),
        reset: if reset.is_some() {
            ResetRow::Offered
        } else {
            ResetRow::None
        },
    };
    match left.action {
        BootAction::FallBack => {
            journal.say("this slot is marked bad; restarting into the other one");
            restart(journal, &report)
        }
        BootAction::Retry => {
            journal.say("restarting for another attempt");
            restart(journal, &report)
        }
        BootAction::Halt => halt(journal, &report, reset),
    }
}

/// Closes the latch, and proves it where something is known that could be sealed; gives the event log of this start.
/// What the proof says changes nothing: this start opens no more, and gives nobody a shell.
fn close_tpm(journal: &mut Journal, tpm: Option<Measured>, policy: Option<&ReleasePolicy>) -> Vec<String> {
    let mut events = Vec::new();
    let closed = tpm.map_or_else(Measured::open, Ok).and_then(|mut tpm| {
        let latched = tpm.latch_after_failure();
        events = tpm.event_log();
        latched.map(|()| tpm)
    });
    match (closed, policy) {
        (Err(error), _) => journal.error(&format!("the latch could not be closed: {error}")),
        // Nothing was verified that a secret could be sealed for.
        (Ok(_), None) => {}
        (Ok(mut tpm), Some(policy)) => match secrets::prove_closed(&mut tpm, &[], policy) {
            Ok(refused) => journal.say(&format!("latched after the failure: {refused}")),
            Err(error) => journal.error(&error.to_string()),
        },
    }
    events
}

/// Decides, and writes the verdict where the next start finds it; then the log, which changes nothing.
fn verdict(
    journal: &mut Journal,
    mut esp: Mounted,
    failure: &Failure,
    log: impl FnOnce(&Journal) -> Vec<u8>,
) -> Left {
    let decided = esp.fail(failure);
    let record = Some(esp.record().clone());
    let log = log(journal);
    let kept = match esp.files().write_failure_log(&log) {
        Ok(()) => Kept::OnEsp,
        Err(error) => {
            journal.warn(&error.to_string());
            Kept::Nowhere(error.to_string())
        }
    };
    let unmounted = esp.unmount();
    let action = match (decided, unmounted) {
        (Ok(action), Ok(())) => action,
        (Err(why), _) | (_, Err(why)) => {
            journal.error(&format!("the verdict could not be written: {why}"));
            BootAction::Halt
        }
    };
    Left {
        action,
        record,
        log: Sha256Digest::of(&log),
        kept,
    }
}

/// Without an ESP there is no place for a verdict. The loader counts this entry's tries all the same, so a few
/// restarts reach the other slot; how many there were is kept in a variable of the firmware, so that they end.
fn without_esp(journal: &mut Journal, code: Code, log: impl FnOnce(&Journal) -> Vec<u8>) -> Left {
    Left {
        action: blind_action(journal, code),
        record: None,
        log: Sha256Digest::of(&log(journal)),
        kept: Kept::Nowhere("no ESP was mounted".to_owned()),
    }
}

fn blind_action(journal: &mut Journal, code: Code) -> BootAction {
    let restarts = match count_restart() {
        Ok(restarts) => restarts,
        Err(error) => {
            journal.error(&error.to_string());
            return BootAction::Halt;
        }
    };
    let action = on_failure_without_record(code, restarts);
    if action == BootAction::Retry {
        journal.say(&format!(
            "no ESP to write the verdict to: restart {restarts} of {BLIND_RESTARTS}"
        ));
    } else {
        past::forget_starts(journal);
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

fn restart(journal: &mut Journal, report: &Report) -> ! {
    std::thread::sleep(READING_TIME);
    let Err(error) = end_machine(End::Reboot);
    journal.error(&error.to_string());
    recovery_screen::stay(journal, report, None)
}

/// Nothing that a restart could change: the recovery screen.
fn halt(journal: &mut Journal, report: &Report, reset: Option<Offer>) -> ! {
    journal.error(&format!(
        "HALTED {}: no slot is left that may be started; switch the machine off",
        report.failure.code
    ));
    recovery_screen::stay(journal, report, reset)
}
