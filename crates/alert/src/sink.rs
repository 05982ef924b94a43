//! The syslog server: one TLS connection a batch.
//!
//! Syslog over TLS has no acknowledgement (RFC 5425 §4.4). What comes nearest is the end of the connection: we say that
//! there is no more (`close_notify`), and a server that has read everything up to there answers the same. A connection
//! that breaks before has confirmed nothing.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the connection, for each write and for each read.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes that the server may send after ours; it has nothing to say.
const MAX_ANSWER: usize = 4096;

/// What counts as the server's word that it has the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// It answers `close_notify`: the default, and what rsyslog with the driver `ossl` and syslog-ng do.
    CloseNotify,
    /// It closes the connection, in whatever way: for servers that do not answer (rsyslog with the driver `gtls`).
    /// Somebody in the network can forge this and make a batch be lost.
    Close,
}

/// Why there is no sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The certificates.
    #[error("{what}: expected PEM certificates, found: {detail}")]
    Certificates {
        /// Which.
        what: &'static str,
        /// The words.
        detail: String,
    },
    /// The client's key.
    #[error("client key: expected one PEM private key, found: {0}")]
    Key(String),
    /// The server's name.
    #[error("server name: expected a DNS name or an address, found {0:?}")]
    Name(String),
    /// They do not go together.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a batch is not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// No connection.
    #[error("{address}: no connection: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS or the network, while sending.
    #[error("{address}: sending: {source}")]
    Send {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Everything is sent and the server has not confirmed it.
    #[error(
        "{address}: expected the server to close the connection in good order, found: {found}; it is sent again"
    )]
    Unconfirmed {
        /// Where to.
        address: SocketAddr,
        /// What came instead.
        found: String,
    },
    /// There is no address to try.
    #[error("no address to send to")]
    NoAddress,
}

/// A server and how to talk to it.
#[derive(Debug)]
pub struct Sink {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    port: u16,
    confirm: Confirm,
}

impl Sink {
    /// A server called `name` whose certificate is signed by one of `authorities` (PEM; the system's own list takes no
    /// part). `client`: certificate chain and key of this machine, PEM, in one text.
    ///
    /// # Errors
    /// See [`SinkError`].
    pub fn new(
        name: &str,
        port: u16,
        authorities: &[u8],
        client: Option<&[u8]>,
        confirm: Confirm,
    ) -> Result<Self, SinkError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("certificate authority", authorities)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let chain = certificates("client certificate", pem)?;
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|e| SinkError::Key(e.to_string()))?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        Ok(Self {
            config: Arc::new(config),
            name: ServerName::try_from(name.to_owned()).map_err(|_| SinkError::Name(name.to_owned()))?,
            port,
            confirm,
        })
    }

    /// Sends `frames` to the first of `addresses` that takes a connection; returns when the server has confirmed them.
    ///
    /// # Errors
    /// See [`DeliverError`]; nothing is known then of what the server has.
    pub fn deliver(&self, addresses: &[IpAddr], frames: &[u8]) -> Result<(), DeliverError> {
        let mut last = DeliverError::NoAddress;
        for address in addresses {
            let address = SocketAddr::new(*address, self.port);
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return self.deliver_over(stream, address, frames),
                Err(source) => last = DeliverError::Connect { address, source },
            }
        }
        Err(last)
    }

    fn deliver_over(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        frames: &[u8],
    ) -> Result<(), DeliverError> {
        let send = |source| DeliverError::Send { address, source };
        stream.set_read_timeout(Some(PATIENCE)).map_err(send)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(send)?;
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| send(io::Error::other(error)))?;
        let mut tls = StreamOwned::new(connection, stream);
        tls.write_all(frames).map_err(send)?;
        tls.conn.send_close_notify();
        tls.flush().map_err(send)?;
        let unconfirmed = |found| Err(DeliverError::Unconfirmed { address, found });
        let mut answer = [0; MAX_ANSWER];
        let mut seen = 0;
        loop {
            match tls.read(&mut answer) {
                Ok(0) => return Ok(()),
                Ok(count) if seen + count <= MAX_ANSWER => seen += count,
                Ok(_) => return unconfirmed(format!("more than {MAX_ANSWER} bytes of its own")),
                // rustls' word for an end without `close_notify`.
                Err(error)
                    if error.kind() == io::ErrorKind::UnexpectedEof && self.confirm == Confirm::Close =>
                {
                    return Ok(());
                }
                Err(error) => return unconfirmed(error.to_string()),
            }
        }
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SinkError> {
    let refused = |detail: String| SinkError::Certificates { what, detail };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| refused(error.to_string()))?;
    if found.is_empty() {
        return Err(refused("none".to_owned()));
    }
    Ok(found)
}
