//! QEMU's control socket: one JSON object a line, each command answered by `return` or `error`, events between.
//!
//! Source: QEMU 7.2, `docs/interop/qmp-spec.txt`. Only one client, no pipelining.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// A loaded host may take its time; an answer that takes longer never comes.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Why QEMU did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket broke or stayed silent.
    #[error("talk to qemu's control socket about `{command}`: {source}")]
    Socket {
        /// Command under way.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// QEMU refused the command.
    #[error("qemu refused control command `{command}`: {answer}")]
    Refused {
        /// Command name.
        command: String,
        /// QEMU's error object.
        answer: String,
    },
}

/// An open, negotiated control connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    /// Connects to the socket and negotiates; fails with `NotFound` or `ConnectionRefused` while QEMU has not
    /// made it yet.
    pub(crate) fn connect(path: &Path) -> Result<Self, QmpError> {
        let failed = |source| QmpError::Socket {
            command: "connect".to_owned(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            events: Vec::new(),
        };
        let greeting = qmp.message().map_err(failed)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Refused {
                command: "connect".to_owned(),
                answer: greeting.to_string(),
            });
        }
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Runs one command without arguments and returns its answer.
    pub(crate) fn execute(&mut self, command: &str) -> Result<Value, QmpError> {
        self.execute_with(command, json!({}))
    }

    /// Runs one command and returns its answer.
    pub(crate) fn execute_with(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let failed = |source| QmpError::Socket {
            command: command.to_owned(),
            source,
        };
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.reader.get_mut().write_all(line.as_bytes()).map_err(failed)?;
        loop {
            let mut message = self.message().map_err(failed)?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                return Err(QmpError::Refused {
                    command: command.to_owned(),
                    answer: error.to_string(),
                });
            }
            self.events.push(message);
        }
    }

    /// Reads until QEMU has closed the socket; returns all events of the connection.
    pub(crate) fn drain(&mut self) -> &[Value] {
        // The end of the stream, a reset socket and a silent one mean the same here: no more events.
        while let Ok(message) = self.message() {
            self.events.push(message);
        }
        &self.events
    }

    fn message(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(io::Error::from)
    }
}
