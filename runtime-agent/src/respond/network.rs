//! `cut-network`: packets of every socket are dropped but those of loopback and those of TCP from and to the alert sinks.
//! The execution gate's programs drop them, at the root of the control groups; they hold without `bennud`.
//!
//! A sink's name is resolved while the network is whole, once a minute: afterwards nobody answers. Nor does anybody after a
//! State Purge: then the addresses go to `bennu-forward purged`.

use super::deny::open;
use crate::documents;
use crate::limit::within;
use bennu_alert::resolve;
use bennu_ebpf::interface::respond::{MAX_SINKS, Responses, Sink};
use bennu_formats::alerts::{AlertConfig, PurgedSinks};
use bennu_formats::decode::Document as _;
use bennu_formats::paths;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two questions for the addresses of a name.
const ANEW: Duration = Duration::from_secs(60);
/// Longest time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The places that alerts go to.
#[derive(Debug, Default, Clone)]
pub struct Sinks {
    place: Option<(String, u16)>,
    addresses: Vec<IpAddr>,
    asked: Option<Instant>,
}

impl Sinks {
    /// Those of `/usr/lib/bennu/alerts.json`; none where the image sends nothing.
    ///
    /// # Errors
    /// The document is there and cannot be used; in words.
    pub fn of_image() -> Result<Self, String> {
        let config: Option<AlertConfig> =
            documents::read_if_there(Path::new(paths::ROOT_ALERTS)).map_err(|error| error.to_string())?;
        Ok(Self {
            place: config.map(|config| (config.host, config.port)),
            ..Self::default()
        })
    }

    /// Whether the image names one.
    pub fn is_named(&self) -> bool {
        self.place.is_some()
    }

    /// Whether it has an address that is known.
    pub fn is_known(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Asks for the addresses of a name, if it is time to. Addresses that are known stay when there is no answer.
    pub fn refresh(&mut self, alive: &mut dyn FnMut()) {
        let Some((host, _)) = self.place.clone() else {
            return;
        };
        if self.asked.is_some_and(|asked| asked.elapsed() < ANEW) {
            return;
        }
        self.asked = Some(Instant::now());
        let answer = within(ANSWER_LIMIT, alive, move || {
            resolve::addresses(&host, Path::new(resolve::SOCKET))
        });
        if let Ok(Ok(mut addresses)) = answer {
            addresses.truncate(MAX_SINKS);
            self.addresses = addresses;
        }
    }

    fn all(&self) -> Vec<Sink> {
        let port = self.place.as_ref().map(|(_, port)| *port);
        let of = |(address, port): (&IpAddr, u16)| Sink {
            address: *address,
            port,
        };
        self.addresses
            .iter()
            .zip(port.into_iter().cycle())
            .map(of)
            .collect()
    }

    /// Whom packets still reach, in words.
    fn words(&self) -> String {
        match (&self.place, self.addresses.as_slice()) {
            (None, _) => "the image names no alert sink".to_owned(),
            (Some((host, _)), []) => format!("no address of the alert sink {host} is known"),
            (Some((_, port)), known) => {
                let known: Vec<String> = known
                    .iter()
                    .map(|address| format!("{address} port {port}"))
                    .collect();
                format!("alerts go to {}", known.join(", "))
            }
        }
    }

    /// Leaves `path` to the sender that runs after a purge, and has its unit take the place of the other one.
    ///
    /// # Errors
    /// In words.
    pub fn leave(&self, path: &Path) -> Result<(), String> {
        let left = PurgedSinks {
            schema: PurgedSinks::SCHEMA,
            addresses: self.addresses.clone(),
        };
        documents::write(path, &left).map_err(|error| error.to_string())
    }

    /// What cuts the network: for [`cut`], with the words about it.
    pub fn plan(&self) -> (Vec<Sink>, String) {
        (self.all(), self.words())
    }
}

/// Cuts it.
///
/// # Errors
/// In words.
pub fn cut((sinks, words): (Vec<Sink>, String)) -> Result<String, String> {
    let mut gate = open()?;
    if !gate.can_cut() {
        return Err("the gate was set up without the programs that drop packets".to_owned());
    }
    let now = gate.now().map_err(|error| error.to_string())?;
    let state = Responses {
        cut: Some(sinks),
        ..now
    };
    gate.set(&state).map_err(|error| error.to_string())?;
    Ok(format!("only loopback is left; {words}"))
}

/// Lets packets through again.
///
/// # Errors
/// In words.
pub fn undo() -> Result<String, String> {
    let mut gate = open()?;
    let now = gate.now().map_err(|error| error.to_string())?;
    gate.set(&Responses { cut: None, ..now })
        .map_err(|error| error.to_string())?;
    Ok("packets go as before".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> Sinks {
        Sinks {
            place: Some((host.to_owned(), 6514)),
            ..Sinks::default()
        }
    }

    #[test]
    fn an_address_is_a_sink_and_a_name_without_an_answer_is_none() {
        let mut sinks = at("10.0.2.100");
        sinks.refresh(&mut || ());
        let (all, words) = sinks.plan();
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].address.to_string(), all[0].port),
            ("10.0.2.100".into(), 6514)
        );
        assert_eq!(words, "alerts go to 10.0.2.100 port 6514");
        let mut sinks = at("no-such-host.invalid.");
        sinks.refresh(&mut || ());
        let (all, words) = sinks.plan();
        assert!(
            all.is_empty() && words.starts_with("no address of the alert sink"),
            "{words}"
        );
        let (all, words) = Sinks::default().plan();
        assert!(all.is_empty() && words.contains("names no alert sink"), "{words}");
    }

    #[test]
    fn the_sender_after_a_purge_gets_the_addresses_that_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purged-sinks.json");
        let mut sinks = at("10.0.2.100");
        for known in [0, 1] {
            sinks.leave(&path).unwrap();
            let left: PurgedSinks = documents::read(&path).unwrap();
            assert_eq!(left.addresses.len(), known);
            sinks.refresh(&mut || ());
        }
        assert!(sinks.leave(Path::new("/nonexistent/sinks")).is_err());
    }

    #[test]
    fn without_a_gate_nothing_is_cut() {
        assert!(cut(Sinks::default().plan()).is_err());
        assert!(undo().is_err());
    }
}
