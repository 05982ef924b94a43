//! `bennu-forward`: the record log to a syslog server, in a process of its own without privileges
//! (`bennu-alert.service`): what the network answers is read here and not in the agent.
//!
//! Read: `/usr/lib/bennu/alerts.json`, `/run/bennu/boot.json`, the record log, a client certificate with its key if
//! somebody put one on the state volume. Written: the cursor, `/var/lib/bennu-alert/cursor.json`. While the server cannot be reached the log waits where
//! it is; each new reason is told once.

use crate::documents::{self, DocumentError};
use crate::notify::Notifier;
use crate::records;
use bennu_alert::{Batch, Confirm, DeliverError, Queue, QueueError, Selection, Sink, SinkError, resolve};
use bennu_formats::alerts::{AlertConfig, Confirmation, Sending};
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use bennu_linux::bounded::{self, ReadError};
use bennu_linux::kmsg::Level;
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

/// The log on its way to a server.
pub struct Forwarder {
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
    pub fn open(hostname: &str, say: &mut dyn FnMut(Level, &str)) -> Result<Self, ForwardError> {
        let config: AlertConfig = documents::read(Path::new(paths::ROOT_ALERTS))?;
        let client = match bounded::read(Path::new(paths::STATE_ALERT_CLIENT), MAX_CLIENT_BYTES) {
            Ok(pem) => Some(pem),
            Err(error) if error.is_absent() => None,
            Err(error) => return Err(ForwardError::Client(error)),
        };
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
        let handover: Handover = documents::read(Path::new(paths::RUN_HANDOVER))?;
        let (log, cursor) = (records::place(&handover), Path::new(paths::STATE_ALERT_CURSOR));
        let queue = Queue::open(log, cursor, selection, hostname).unwrap_or_else(|error| {
            say(Level::Warning, &format!("{error}; the whole log is sent"));
            Queue::from_the_beginning(log, cursor, selection, hostname)
        });
        Ok(Self {
            config,
            sink,
            queue,
            known: Vec::new(),
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
