//! What the execution gate denied, as signals. The gate's own thread puts it in, the watch takes it out.

use super::{Look, Sighting, Subject};
use bennu_formats::gate::{Denial, DenialKind, Outcome};
use bennu_policy::drift::{Signal, Weight};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Denials of one weight that wait for the next round, at most; what is beyond is counted. A flood of weak ones takes no
/// place of a strong one's.
const MOST: usize = 256;

/// From the gate's thread to the watch.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    strong: VecDeque<Denial>,
    weak: VecDeque<Denial>,
    /// Came, and found no place.
    beyond: u64,
    /// Never came.
    lost: u64,
    /// Records of the trace that are lost.
    lost_of_trace: u64,
}

impl Inbox {
    /// Puts a denial in. What only would have been denied is no sign of anything, and neither is what a response
    /// to drift refuses: that would make signs out of itself.
    pub fn put(&self, denial: &Denial) {
        let own = matches!(denial.kind, DenialKind::UnitDenied | DenialKind::NetworkCut);
        if denial.outcome != Outcome::Denied || own {
            return;
        }
        self.with(|waiting| {
            let line = match signal(denial.kind).row().weight {
                Weight::Strong => &mut waiting.strong,
                Weight::Weak => &mut waiting.weak,
            };
            if line.len() == MOST {
                waiting.beyond = waiting.beyond.saturating_add(1);
            } else {
                line.push_back(denial.clone());
            }
        });
    }

    /// So many events of the gate never came.
    pub fn lost(&self, events: u64) {
        self.with(|waiting| waiting.lost = waiting.lost.saturating_add(events));
    }

    /// So many records of the trace are lost.
    pub fn lost_of_trace(&self, records: u64) {
        self.with(|waiting| waiting.lost_of_trace = waiting.lost_of_trace.saturating_add(records));
    }

    fn take(&self) -> Waiting {
        self.with(std::mem::take)
    }

    /// A thread that panicked left a list of whole denials.
    fn with<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The gate's denials.
pub(super) struct Gate(pub(super) Inbox);

impl Subject for Gate {
    fn name(&self) -> &'static str {
        "execution gate"
    }

    fn look(&mut self) -> Look {
        let Waiting {
            strong,
            weak,
            beyond,
            lost,
            lost_of_trace,
        } = self.0.take();
        let mut seen: Vec<Sighting> = strong.iter().chain(&weak).map(sighting).collect();
        if lost > 0 {
            let words = format!("{lost} events of the gate were lost");
            seen.push(Sighting::new(Signal::EventsLost, words));
        }
        if lost_of_trace > 0 {
            let words = format!("{lost_of_trace} records of the trace were lost");
            seen.push(Sighting::new(Signal::EventsLost, words));
        }
        if beyond > 0 {
            let words = format!("{beyond} denials beyond the {MOST} of their weight that one round looks at");
            seen.push(Sighting::new(Signal::EventsLost, words));
        }
        Ok(seen)
    }
}

fn sighting(denial: &Denial) -> Sighting {
    let words = format!(
        "{}: {} ({}:{}), by {} (process {}, user {})",
        denial.kind.as_str(),
        denial.kind.meaning(),
        denial.device,
        denial.inode,
        denial.comm,
        denial.pid,
        denial.uid
    );
    let signal = signal(denial.kind);
    Sighting {
        cgroup: Some(denial.cgroup),
        at_ms: Some(denial.at_ms),
        // A program that was not let start is none of a process's.
        process: (signal == Signal::GateTampering).then_some(denial.pid),
        ..Sighting::new(signal, words)
    }
}

/// Strong where nothing on a sound machine tries it: the gate's own objects, protected memory, the slots.
fn signal(kind: DenialKind) -> Signal {
    match kind {
        DenialKind::ProcessMemory
        | DenialKind::BpfObject
        | DenialKind::DeviceWrite
        | DenialKind::DeviceMapper
        | DenialKind::Partitions
        | DenialKind::Unmount
        | DenialKind::Pin => Signal::GateTampering,
        DenialKind::Exec
        | DenialKind::MapExec
        | DenialKind::AnonymousExec
        | DenialKind::ChangedExec
        | DenialKind::WriteExec
        | DenialKind::Personality
        | DenialKind::Trace
        | DenialKind::Module
        | DenialKind::Firmware
        | DenialKind::Kexec
        | DenialKind::KernelData
        | DenialKind::BpfLoad
        | DenialKind::Passthrough
        | DenialKind::Mount
        | DenialKind::KernelSetting
        | DenialKind::Interpreter
        | DenialKind::Shell
        | DenialKind::Executable
        | DenialKind::Connect
        | DenialKind::Tcp
        | DenialKind::Cgroup
        | DenialKind::UnitDenied
        | DenialKind::NetworkCut
        | DenialKind::Program => Signal::GateDenial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(kind: DenialKind, outcome: Outcome, comm: &str) -> Denial {
        Denial {
            kind,
            outcome,
            at_ms: 7,
            device: "254:0".into(),
            inode: 9,
            pid: 42,
            uid: 0,
            comm: comm.into(),
            cgroup: 1,
            detail: 0,
            profile: None,
            peer: None,
        }
    }

    #[test]
    fn an_attempt_on_the_slots_is_strong_and_a_program_that_may_not_run_is_weak() {
        let inbox = Inbox::default();
        let mut gate = Gate(inbox.clone());
        inbox.put(&denial(DenialKind::DeviceWrite, Outcome::Denied, "dd"));
        inbox.put(&denial(DenialKind::Exec, Outcome::Denied, "sh"));
        let seen = gate.look().unwrap();
        let signals: Vec<Signal> = seen.iter().map(|one| one.signal).collect();
        assert_eq!(signals, [Signal::GateTampering, Signal::GateDenial]);
        assert!(seen[0].detail.contains("by dd (process 42, user 0)"), "{seen:?}");
        assert_eq!(seen[0].at_ms, Some(7), "the kernel's time");
        assert!(gate.look().unwrap().is_empty());
    }

    #[test]
    fn what_was_not_denied_and_what_a_response_refuses_are_no_signals() {
        let inbox = Inbox::default();
        for outcome in [Outcome::DryRun, Outcome::Warned] {
            inbox.put(&denial(DenialKind::Pin, outcome, "x"));
        }
        for kind in [DenialKind::UnitDenied, DenialKind::NetworkCut] {
            inbox.put(&denial(kind, Outcome::Denied, "x"));
        }
        assert!(Gate(inbox).look().unwrap().is_empty());
    }

    #[test]
    fn a_process_that_is_named_bennud_is_told() {
        let inbox = Inbox::default();
        inbox.put(&denial(DenialKind::AnonymousExec, Outcome::Denied, "bennud"));
        assert_eq!(Gate(inbox).look().unwrap().len(), 1);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let inbox = Inbox::default();
        for _ in 0..MOST + 5 {
            inbox.put(&denial(DenialKind::Exec, Outcome::Denied, "sh"));
        }
        inbox.put(&denial(DenialKind::DeviceWrite, Outcome::Denied, "dd"));
        inbox.lost(10);
        inbox.lost_of_trace(3);
        inbox.lost_of_trace(4);
        let seen = Gate(inbox).look().unwrap();
        assert_eq!(seen.len(), 1 + MOST + 3);
        assert_eq!(
            seen[0].signal,
            Signal::GateTampering,
            "the flood hides no strong one"
        );
        for (told, words) in seen[MOST + 1..]
            .iter()
            .zip(["10 events", "7 records", "5 denials"])
        {
            assert_eq!(told.signal, Signal::EventsLost);
            assert!(told.detail.starts_with(words), "{told:?}");
        }
    }
}
