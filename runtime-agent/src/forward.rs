//! `bennu-forward`: the record log to a syslog server, in a process of its own without privileges
//! (`bennu-alert.service`): what the network answers is read here and not in the agent.
//!
//! Read: `/usr/lib/bennu/alerts.json`, `/run/bennu/boot.json`, the record log, a client certificate with its key if
//! somebody put one on the state volume. Written: the cursor, `/var/lib/bennu-alert/cursor.json`. While the server cannot be
//! reached the log waits where it is; each new reason is told once.
//!
//! After a State Purge it was killed with everything else, and is started anew by `bennu-purged-alert.service`: it reads the
//! log in `/run` and the addresses that `bennud` knew, has no client certificate, and asks nobody for a name.

use crate::documents::{self, DocumentError};
use crate::notify::Notifier;
use crate::records;
use bennu_alert::{Batch, Confirm, DeliverError, Queue, QueueError, Selection, Sink, SinkError, resolve};
use bennu_formats::alerts::{AlertConfig, Confirmation, PurgedSinks, Sending};
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::bounded::{self, ReadError};
use bennu_linux::kmsg::Level;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Between two looks at the log.
const ROUND: Duration = Duration::from_secs(1);
/// Longest pause after a failure; the first is [`ROUND`], doubled each time.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Most bytes of the client's certificates and key.
const MAX_CLIENT_BYTES: usize = 64 * 1024;

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] DocumentError),
    /// The client's certificate.
    #[error("{0}")]
    Client(ReadError),
    /// TLS.
    #[error("{0}")]
    Sink(#[from] SinkError),
}

/// Why a batch stays in the queue.
#[derive(Debug, thiserror::Error)]
enum Stays {
    #[error("{0}")]
    Queue(#[from] QueueError),
    #[error("{0}")]
    Resolve(#[from] resolve::ResolveError),
    #[error("{0}")]
    Deliver(#[from] DeliverError),
}

/// Which log is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// That of the running system.
    Running,
    /// The one that `bennud` began when it had purged the state. Nothing of the state volume is read: its key is gone, and the
    /// client's key was one of the secrets.
    Purged,
}

impl Life {
    /// The command line: nothing, or `purged`. None for anything else.
    pub fn of(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        match (words.next(), words.next()) {
            (None, _) => Some(Self::Running),
            (Some(word), None) if word == "purged" => Some(Self::Purged),
            _ => None,
        }
    }

    /// The client's certificate and key.
    fn client(self) -> Result<Option<Vec<u8>>, ForwardError> {
        match self {
            Self::Purged => Ok(None),
            Self::Running => match bounded::read(Path::new(paths::STATE_ALERT_CLIENT), MAX_CLIENT_BYTES) {
                Ok(pem) => Ok(Some(pem)),
                Err(error) if error.is_absent() => Ok(None),
                Err(error) => Err(ForwardError::Client(error)),
            },
        }
    }

    /// Log and cursor.
    fn files(self) -> Result<(&'static Path, &'static Path), ForwardError> {
        match self {
            Self::Purged => Ok((Path::new(paths::RUN_RECORDS), Path::new(paths::RUN_PURGED_CURSOR))),
            Self::Running => {
                let handover: Handover = documents::read(Path::new(paths::RUN_HANDOVER))?;
                Ok((records::place(&handover), Path::new(paths::STATE_ALERT_CURSOR)))
            }
        }
    }

    /// Addresses that are known from before.
    fn known(self, place: &Path, say: &mut dyn FnMut(Level, &str)) -> Vec<IpAddr> {
        if self == Self::Running {
            return Vec::new();
        }
        match documents::read::<PurgedSinks>(place) {
            Ok(sinks) => sinks.addresses,
            Err(error) => {
                // An image that names an address needs none.
                say(Level::Warning, &format!("{error}; names cannot be resolved"));
                Vec::new()
            }
        }
    }
}

/// The log on its way to a server.
pub struct Forwarder {
    life: Life,
    config: AlertConfig,
    sink: Sink,
    queue: Queue,
    /// Addresses that the name had last: while the network is cut but for them, nobody resolves it.
    known: Vec<IpAddr>,
}

impl Forwarder {
    /// What the image says. A cursor that cannot be read is told of and begins anew.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub fn open(life: Life, hostname: &str, say: &mut dyn FnMut(Level, &str)) -> Result<Self, ForwardError> {
        let config: AlertConfig = documents::read(Path::new(paths::ROOT_ALERTS))?;
        let client = life.client()?;
        let confirm = match config.confirm {
            Confirmation::CloseNotify => Confirm::CloseNotify,
            Confirmation::Close => Confirm::Close,
        };
        let authorities = config.authorities.as_bytes();
        let sink = Sink::new(
            &config.server_name,
            config.port,
            authorities,
            client.as_deref(),
            confirm,
        )?;
        let selection = match config.send {
            Sending::Everything => Selection::Everything,
            Sending::Alerts => Selection::Alerts,
        };
        let (log, cursor) = life.files()?;
        let queue = Queue::open(log, cursor, selection, hostname).unwrap_or_else(|error| {
            say(Level::Warning, &format!("{error}; the whole log is sent"));
            Queue::from_the_beginning(log, cursor, selection, hostname)
        });
        Ok(Self {
            life,
            config,
            sink,
            queue,
            known: life.known(Path::new(paths::RUN_PURGED_SINKS), say),
        })
    }

    /// Sends for as long as the machine runs.
    pub fn run(mut self, notifier: &Notifier, say: &mut dyn FnMut(Level, &str)) -> ! {
        let mut pause = ROUND;
        let mut told: Option<String> = None;
        loop {
            let _untold = notifier.alive();
            match self.round() {
                Ok(0) => pause = ROUND,
                Ok(sent) => {
                    pause = ROUND;
                    if told.take().is_some() {
                        say(
                            Level::Info,
                            &format!("{}: took {sent} messages; it is reached again", self.server()),
                        );
                    }
                    let _untold = notifier.status(&format!("{}: took {sent} messages", self.server()));
                    // There may be more.
                    continue;
                }
                Err(error) => {
                    let words = error.to_string();
                    if told.as_ref() != Some(&words) {
                        say(
                            Level::Warning,
                            &format!("{}: {words}; the records wait", self.server()),
                        );
                        let _untold = notifier.status(&words);
                        told = Some(words);
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            wait(pause, notifier);
        }
    }

    fn server(&self) -> String {
        format!("syslog server {}:{}", self.config.host, self.config.port)
    }

    fn addresses(&mut self) -> Result<Vec<IpAddr>, resolve::ResolveError> {
        if self.life == Life::Purged && !self.known.is_empty() {
            return Ok(self.known.clone());
        }
        match resolve::addresses(&self.config.host, Path::new(resolve::SOCKET)) {
            Ok(found) => self.known = found,
            Err(error) if self.known.is_empty() => return Err(error),
            // The certificate says who answers there.
            Err(_) => {}
        }
        Ok(self.known.clone())
    }

    /// One batch; gives the number of messages that the server took.
    fn round(&mut self) -> Result<u64, Stays> {
        let batch: Batch = self.queue.next_batch()?;
        if !batch.is_empty() {
            let addresses = self.addresses()?;
            self.sink.deliver(&addresses, &batch.frames)?;
        }
        self.queue.confirm(&batch)?;
        Ok(batch.messages)
    }
}

/// In steps, so that the watchdog hears of it.
fn wait(pause: Duration, notifier: &Notifier) {
    let step = Duration::from_secs(30);
    let mut left = pause;
    while !left.is_zero() {
        let now = left.min(step);
        std::thread::sleep(now);
        left -= now;
        let _untold = notifier.alive();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_nothing_or_one_word() {
        let of = |words: &[&str]| Life::of(words.iter().map(OsString::from));
        assert_eq!(of(&[]), Some(Life::Running));
        assert_eq!(of(&["purged"]), Some(Life::Purged));
        for words in [&["running"][..], &["purged", "purged"], &[""]] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }

    #[test]
    fn after_a_purge_nothing_of_the_state_volume_is_read() {
        assert!(matches!(Life::Purged.client(), Ok(None)));
        let (log, cursor) = Life::Purged.files().unwrap();
        for path in [log, cursor] {
            assert!(path.starts_with("/run"), "{}", path.display());
        }
    }

    #[test]
    fn addresses_of_before_are_taken_over_and_their_absence_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("purged-sinks.json");
        let mut told = Vec::new();
        let mut say = |_: Level, words: &str| told.push(words.to_owned());
        assert!(Life::Running.known(&place, &mut say).is_empty());
        assert!(Life::Purged.known(&place, &mut say).is_empty());
        let sinks = PurgedSinks {
            schema: 1,
            addresses: vec!["192.0.2.7".parse().unwrap()],
        };
        documents::write(&place, &sinks).unwrap();
        assert_eq!(Life::Purged.known(&place, &mut say), sinks.addresses);
        assert!(Life::Running.known(&place, &mut say).is_empty());
        assert!(
            matches!(&told[..], [one] if one.ends_with("names cannot be resolved")),
            "{told:?}"
        );
    }
}
