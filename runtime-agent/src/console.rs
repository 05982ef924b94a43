//! What `bennud` says: to its standard error (the journal), to the kernel log, and to the console.
//!
//! The kernel log survives a panic in pstore; the console is what a person or a scenario sees. A line that
//! cannot be written is dropped: nothing is left to complain to.

use bennu_linux::kmsg::{Kmsg, Level};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// In front of each line; the scenarios look for it.
pub const PREFIX: &str = "bennud";

/// Where lines go.
pub struct Console {
    kmsg: Option<Kmsg>,
}

impl Console {
    /// Opens the kernel log, if there is one.
    pub fn open() -> Self {
        Self {
            kmsg: Kmsg::open(PREFIX).ok(),
        }
    }

    /// Says `text`. Below [`Level::Notice`] only the journal has it.
    pub fn say(&mut self, level: Level, text: &str) {
        let _lost = writeln!(std::io::stderr(), "<{}>{text}", level as u8);
        if level > Level::Notice {
            return;
        }
        let _lost = self.kmsg.as_mut().map(|kmsg| kmsg.log(level, text));
        let _lost = on_console(text);
    }
}

/// Not blocking: a serial line whose other end is stopped must not stop the agent.
fn on_console(text: &str) -> std::io::Result<()> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let mut console = File::options()
        .write(true)
        .custom_flags(flags)
        .open("/dev/console")?;
    // "\r" because a serial console may be raw.
    console.write_all(format!("{PREFIX}: {text}\r\n").as_bytes())
}
