//! Names into addresses by systemd-resolved's Varlink interface (`io.systemd.Resolve.ResolveHostname`).
//!
//! The agent is a static program: the C library's own resolver would load plugins of the image's library, of another
//! version. An address is taken as it is, without asking anybody.

use serde::Deserialize;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Where systemd-resolved listens.
pub const SOCKET: &str = "/run/systemd/resolve/io.systemd.Resolve";
/// Longest answer in bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// Longest host name (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Not a host name.
    #[error("host: expected an address or a host name of letters, digits, dots and hyphens, found {0:?}")]
    Name(String),
    /// systemd-resolved is not there or does not answer.
    #[error("host {name}: systemd-resolved cannot be asked ({source}); name an address, or let it run")]
    Ask {
        /// Name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its answer is not one.
    #[error("host {name}: answer of systemd-resolved: {detail}")]
    Answer {
        /// Name.
        name: String,
        /// The words.
        detail: String,
    },
    /// It knows no address.
    #[error("host {name}: no address ({error})")]
    Unknown {
        /// Name.
        name: String,
        /// systemd-resolved's word for it.
        error: String,
    },
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    address: Vec<u8>,
}

/// The addresses of `host`, in the order in which they are to be tried.
///
/// # Errors
/// See [`ResolveError`].
pub fn addresses(host: &str, socket: &Path) -> Result<Vec<IpAddr>, ResolveError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || ['.', '-'].contains(&c);
    if host.is_empty() || host.len() > MAX_NAME || !host.chars().all(in_a_name) {
        return Err(ResolveError::Name(host.to_owned()));
    }
    let reply = ask(host, socket).map_err(|source| ResolveError::Ask {
        name: host.to_owned(),
        source,
    })?;
    decode(host, &reply)
}

fn ask(host: &str, socket: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let call =
        format!(r#"{{"method":"io.systemd.Resolve.ResolveHostname","parameters":{{"name":"{host}"}}}}"#);
    stream.write_all(call.as_bytes())?;
    stream.write_all(&[0])?;
    let mut reply = Vec::new();
    let mut byte = [0; 1];
    let mut limited = io::BufReader::new(stream).take(MAX_ANSWER);
    while limited.read(&mut byte)? == 1 && byte[0] != 0 {
        reply.push(byte[0]);
    }
    Ok(reply)
}

fn decode(host: &str, reply: &[u8]) -> Result<Vec<IpAddr>, ResolveError> {
    let reply: Reply = serde_json::from_slice(reply).map_err(|error| ResolveError::Answer {
        name: host.to_owned(),
        detail: error.to_string(),
    })?;
    let unknown = |error: String| ResolveError::Unknown {
        name: host.to_owned(),
        error,
    };
    if let Some(error) = reply.error {
        return Err(unknown(error));
    }
    let found = reply.parameters.map_or_else(Vec::new, |p| p.addresses);
    let addresses: Vec<IpAddr> = found.iter().filter_map(|a| ip(&a.address)).collect();
    if addresses.is_empty() {
        return Err(unknown("the answer names none".to_owned()));
    }
    Ok(addresses)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_address_is_taken_as_it_is() {
        let nobody = Path::new("/nonexistent");
        for text in ["192.0.2.7", "2001:db8::7"] {
            assert_eq!(
                addresses(text, nobody).unwrap(),
                [text.parse::<IpAddr>().unwrap()]
            );
        }
        assert!(matches!(
            addresses("logs.example", nobody),
            Err(ResolveError::Ask { .. })
        ));
        for text in ["", "a b", "a\"b", "a/b", &"a".repeat(254)] {
            assert!(
                matches!(addresses(text, nobody), Err(ResolveError::Name(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn the_answer_over_the_socket_gives_both_families_and_an_error_gives_its_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let answers = [
                r#"{"parameters":{"addresses":[{"ifindex":2,"family":2,"address":[192,0,2,7]},{"family":10,"address":[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,7]},{"family":1,"address":[1]}],"name":"logs.example","flags":1}}"#,
                r#"{"error":"io.systemd.Resolve.NoNameServers","parameters":{}}"#,
                r#"{"parameters":{"addresses":[]}}"#,
                "{",
            ];
            let mut calls = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut call = Vec::new();
                let mut byte = [1];
                while byte[0] != 0 {
                    stream.read_exact(&mut byte).unwrap();
                    call.push(byte[0]);
                }
                calls.push(call);
                stream.write_all(answer.as_bytes()).unwrap();
                stream.write_all(&[0]).unwrap();
            }
            calls
        });
        let found = addresses("logs.example", &path).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].to_string(), "2001:db8::7");
        let refused = addresses("logs.example", &path);
        assert!(
            matches!(refused, Err(ResolveError::Unknown { error, .. }) if error.ends_with("NoNameServers"))
        );
        assert!(matches!(addresses("x", &path), Err(ResolveError::Unknown { .. })));
        assert!(matches!(addresses("x", &path), Err(ResolveError::Answer { .. })));
        let calls = server.join().unwrap();
        let call: serde_json::Value = serde_json::from_slice(&calls[0][..calls[0].len() - 1]).unwrap();
        assert_eq!(call["parameters"]["name"], "logs.example");
    }
}
