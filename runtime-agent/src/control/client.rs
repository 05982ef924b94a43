//! What `bennuctl` asks of `bennud`: one request, one answer.

use super::PATIENCE;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Longest answer in bytes: a sentence with its head.
const MAX_ANSWER: u64 = 16 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket.
    #[error("{path}: bennud does not answer: {source}")]
    Socket {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No HTTP.
    #[error("bennud: expected an HTTP answer, found {0:?}")]
    Answer(String),
}

/// Status and text of the answer to `POST` of `target`.
///
/// # Errors
/// [`AskError`].
pub fn post(socket: &Path, target: &str) -> Result<(u16, String), AskError> {
    let answer = exchange(socket, target).map_err(|source| AskError::Socket {
        path: socket.display().to_string(),
        source,
    })?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status), Some((_, words))) => Ok((status, words.trim_end().to_owned())),
        _ => Err(AskError::Answer(answer.chars().take(80).collect())),
    }
}

fn exchange(socket: &Path, target: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("POST {target} HTTP/1.1\r\nHost: bennu\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
