//! The three messages of sd_notify(3) that `bennud` sends: ready, alive, status.
//!
//! The socket's name comes in `NOTIFY_SOCKET`; without it nothing is sent. It is not handed on to health
//! commands, whose environment is cleared.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Why systemd cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// `NOTIFY_SOCKET` is neither an absolute path nor an abstract name.
    #[error("NOTIFY_SOCKET: expected an absolute path or @name, found {0:?}")]
    Address(OsString),
    /// The socket could not be opened.
    #[error("cannot open a socket for systemd's notifications: {0}")]
    Socket(io::Error),
    /// The message could not be sent.
    #[error("cannot notify systemd: {0}")]
    Send(io::Error),
}

/// A connection to the service manager.
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Opens the socket that `name` (the value of `NOTIFY_SOCKET`) names.
    ///
    /// # Errors
    /// [`NotifyError::Address`], [`NotifyError::Socket`].
    pub fn open(name: Option<OsString>) -> Result<Self, NotifyError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(Self { socket: None });
        };
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name),
            [b'/', ..] => SocketAddr::from_pathname(&name),
            _ => return Err(NotifyError::Address(name)),
        };
        let address = address.map_err(|_| NotifyError::Address(name))?;
        let socket = UnixDatagram::unbound().map_err(NotifyError::Socket)?;
        // systemd reads soon; an agent that waits for it while it waits for us would not.
        socket.set_nonblocking(true).map_err(NotifyError::Socket)?;
        Ok(Self {
            socket: Some((socket, address)),
        })
    }

    /// The agent runs; units ordered after it may go on.
    ///
    /// # Errors
    /// [`NotifyError::Send`].
    pub fn ready(&self) -> Result<(), NotifyError> {
        self.send("READY=1")
    }

    /// The agent is alive (`WatchdogSec=`).
    ///
    /// # Errors
    /// [`NotifyError::Send`].
    pub fn alive(&self) -> Result<(), NotifyError> {
        self.send("WATCHDOG=1")
    }

    /// One line for `systemctl status`.
    ///
    /// # Errors
    /// [`NotifyError::Send`].
    pub fn status(&self, line: &str) -> Result<(), NotifyError> {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.send(&format!("STATUS={line}"))
    }

    fn send(&self, message: &str) -> Result<(), NotifyError> {
        let Some((socket, address)) = &self.socket else {
            return Ok(());
        };
        socket
            .send_to_addr(message.as_bytes(), address)
            .map(drop)
            .map_err(NotifyError::Send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_reach_a_socket_with_a_path_and_one_with_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("bennu-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (name, socket) in [
            (path.into_os_string(), by_path),
            (format!("@{abstract_name}").into(), by_name),
        ] {
            let notifier = Notifier::open(Some(name)).unwrap();
            notifier.ready().unwrap();
            notifier.alive().unwrap();
            notifier.status("waiting\nREADY=1").unwrap();
            let all = [received(&socket), received(&socket), received(&socket)];
            assert_eq!(all, ["READY=1", "WATCHDOG=1", "STATUS=waiting READY=1"]);
        }
    }

    #[test]
    fn without_systemd_nothing_is_sent_and_a_strange_address_is_refused() {
        assert!(Notifier::open(None).unwrap().ready().is_ok());
        assert!(Notifier::open(Some("".into())).unwrap().ready().is_ok());
        let refused = Notifier::open(Some("relative".into()));
        assert!(matches!(refused, Err(NotifyError::Address(_))));
        let nobody = Notifier::open(Some("/nowhere/socket".into())).unwrap();
        assert!(matches!(nobody.ready(), Err(NotifyError::Send(_))));
    }
}
