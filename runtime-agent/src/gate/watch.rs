//! Reads the gate's events in a thread of its own, tells them, and writes `/run/bennu/gate.json`.
//!
//! The gate does not need it: nothing is allowed or denied here. If the thread cannot go on it says so and ends;
//! the counts in the kernel go on.

use super::report::Ledger;
use crate::console::Console;
use crate::documents;
use crate::watch::Inbox;
use bennu_ebpf::{Gate, GateError};
use bennu_formats::paths;
use bennu_linux::kmsg::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::path::Path;
use std::time::Duration;

/// Events taken in one round; the ring has room for 1,724 (256 KiB, 152 bytes each).
const MOST_EVENTS: usize = 4096;
/// Pause after a round with events, so that a flood costs little.
const BREATH: Duration = Duration::from_millis(200);

/// Starts the thread; `units` are those with profiles, in their order; the watch for drift reads `denied`.
///
/// # Errors
/// The system has no thread to give.
pub fn start(gate: Gate, units: Vec<String>, denied: Inbox) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("gate".to_owned());
    // Never joined: it ends with the program.
    let _thread = thread.spawn(move || watch(gate, units, &denied))?;
    Ok(())
}

fn watch(mut gate: Gate, units: Vec<String>, denied: &Inbox) {
    let mut console = Console::open();
    let mut ledger = Ledger::new(gate.mode(), gate.root_dev(), units);
    // One that cannot be read tells earlier losses again.
    if let Ok(Some(before)) = documents::read_if_there(Path::new(paths::RUN_GATE)) {
        ledger.resume(&before);
    }
    loop {
        if let Err(error) = round(&mut gate, &mut ledger, denied, &mut console) {
            console.say(
                Level::Error,
                &format!("the gate's events are not watched any more, the gate stands: {error}"),
            );
            return;
        }
    }
}

fn round(
    gate: &mut Gate,
    ledger: &mut Ledger,
    denied: &Inbox,
    console: &mut Console,
) -> Result<(), GateError> {
    let mut events = Vec::new();
    while events.len() < MOST_EVENTS {
        let Some(event) = gate.next_event() else { break };
        events.push(event);
    }
    for line in ledger.take(events, denied) {
        console.say(Level::Warning, &line);
    }
    let (events, lost) = gate.counted()?;
    match ledger.newly_lost(lost) {
        0 => {}
        more => {
            console.say(
                Level::Warning,
                &format!("GAP: {more} events of the gate were lost"),
            );
            denied.lost(more);
        }
    }
    if let Err(error) = documents::write(Path::new(paths::RUN_GATE), &ledger.report(events, lost)) {
        console.say(
            Level::Warning,
            &format!("bennuctl will show an old state: {error}"),
        );
    }
    // A signal, an event or a minute: the next round looks again.
    let minute = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    let _woken = poll(&mut [PollFd::new(&gate.ring(), PollFlags::IN)], Some(&minute));
    std::thread::sleep(BREATH);
    Ok(())
}
