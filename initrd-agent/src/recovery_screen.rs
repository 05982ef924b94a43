//! The last screen: what a machine shows that no restart would help.
//!
//! Reads: the [`Report`] that [`crate::failure`] made, the kernel's list of consoles. Writes: every active
//! console, once; a line every ten minutes on those that are no screens, for whoever connects later. On
//! failure: a console that cannot be used is passed over, and the machine stays halted all the same.
//!
//! No input is read but the words of a factory reset, where one is offered ([`crate::screen_reset`]): nothing else that
//! is typed on a keyboard or a serial line does anything; Ctrl-Alt-Del is off. What remains is the power switch and what the kernel itself does at SysRq. No watchdog needs feeding:
//! `bennu-init` opens none, and one that the firmware left running is fed by the kernel until somebody opens it
//! (Documentation/watchdog/watchdog-parameters.rst, `handle_boot_enabled`).

mod qr;
mod report;
mod screen;

pub use report::{Kept, Report, ResetRow};

use crate::journal::Journal;
use crate::screen_reset::Offer;
use bennu_formats::recovery_qr::MachineHint;
use bennu_linux::console::{self, Console};
use bennu_linux::{bounded, kmsg, reboot, time};
use screen::Screen;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// The firmware's system UUID; only root reads it.
const SYSTEM_UUID: &str = "/sys/class/dmi/id/product_uuid";
/// How long one console may take. The longest screen has 8 KiB: 8.5 s at 9,600 baud.
const CONSOLE_TIME: Duration = Duration::from_secs(20);
/// Pause between reminders.
const REMINDER: Duration = Duration::from_secs(600);

/// The hint that tells this machine from others with the same image; `None` where the firmware does not say.
pub fn machine_hint() -> Option<MachineHint> {
    let uuid = bounded::read_text(Path::new(SYSTEM_UUID), 64).ok()?;
    MachineHint::of_system_uuid(&uuid)
}

/// Shows the screen and stays.
pub fn stay(journal: &mut Journal, report: &Report, reset: Option<Offer>) -> ! {
    // A panic of PID 1 panics the kernel, which may restart the machine: drawing must not become a storm.
    let shown = catch_unwind(AssertUnwindSafe(|| show(journal, report)));
    let mut lines = shown.unwrap_or_else(|_| {
        journal.error("the recovery screen could not be drawn; the lines above say what happened");
        Vec::new()
    });
    let mut reset = reset;
    loop {
        // As above; without it the screen stays as it is.
        let listened = catch_unwind(AssertUnwindSafe(|| match &reset {
            Some(offer) => offer.listen(REMINDER, journal),
            None => std::thread::sleep(REMINDER),
        }));
        if listened.is_err() {
            reset = None;
        }
        let text = screen::reminder(report, time::since_boot_ms());
        for line in &mut lines {
            // A line that takes nothing now may have a listener in ten minutes.
            let _not_listening = line.write_within(&text, CONSOLE_TIME);
        }
    }
}

/// Shows the screen once on each console; gives those that are to be reminded.
fn show(journal: &mut Journal, report: &Report) -> Vec<Console> {
    if let Err(error) = reboot::catch_ctrl_alt_del() {
        journal.warn(&format!("Ctrl-Alt-Del still restarts the machine: {error}"));
    }
    let screen = Screen::of(report);
    let consoles = open_all(journal);
    if let Err(error) = kmsg::keep_kernel_off_consoles() {
        journal.warn(&error.to_string());
    }
    let mut lines = Vec::new();
    let mut seen = 0_u32;
    for mut console in consoles {
        match console.write_within(&screen.render(console.window_size()), CONSOLE_TIME) {
            Ok(()) => seen += 1,
            // Told to the kernel's log and to /dev/console: the other consoles have their turn yet.
            Err(error) => journal.warn(&format!("{}: {error}", console.name().as_str())),
        }
        if !console.name().is_virtual_terminal() {
            lines.push(console);
        }
    }
    if seen == 0 {
        // As the journal: there is nobody left to complain to.
        let _lost = std::io::stdout()
            .write_all(screen.render(None).as_bytes())
            .and_then(|()| std::io::stdout().flush());
    }
    lines
}

fn open_all(journal: &mut Journal) -> Vec<Console> {
    let names = console::active(Path::new(console::ACTIVE)).unwrap_or_else(|error| {
        journal.warn(&error.to_string());
        Vec::new()
    });
    let opened = names.into_iter().map(Console::open);
    opened
        .filter_map(|console| console.map_err(|error| journal.warn(&error.to_string())).ok())
        .collect()
}
