//! The record log to a syslog server, started without privileges by `bennu-alert.service`, and, with the word `purged`, by
//! `bennu-purged-alert.service` after a State Purge.
//!
//! A program of its own: TLS and certificates are more code than the agent itself, and only images that name a server
//! carry it. It ends, with status 2, only when it cannot begin.

use bennu_linux::kmsg::Level;
use bennu_runtime::console::Console;
use bennu_runtime::forward::{Forwarder, Life};
use bennu_runtime::notify::Notifier;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut console = Console::open();
    let mut say = |level, words: &str| console.say(level, words);
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let Some(life) = Life::of(std::env::args_os().skip(1)) else {
        say(Level::Critical, "expected no words or `purged`, found others");
        return ExitCode::from(2);
    };
    let begun = Notifier::open(std::env::var_os("NOTIFY_SOCKET"))
        .map_err(|error| error.to_string())
        .and_then(|notifier| {
            let forwarder = Forwarder::open(life, &hostname, &mut say).map_err(|error| error.to_string())?;
            Ok((notifier, forwarder))
        });
    match begun {
        Ok((notifier, forwarder)) => {
            let _untold = notifier.ready();
            forwarder.run(&notifier, &mut say)
        }
        Err(why) => {
            say(Level::Critical, &format!("cannot send the record log: {why}"));
            ExitCode::from(2)
        }
    }
}
