//! What crossed the TPM's wire: kept in memory, searched by stories, written to the power-on's folder.
//!
//! `tpm-traffic.bin` is all messages one after the other, as they were; each says its own length in its
//! header, and `grep` finds a secret in it. `tpm-traffic.txt` has one line a message: offset and length in
//! bytes, ms since the proxy's start, who sent it, and the command's name or the response's code.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::command::{ResponseCode, TpmCommand};
use super::fault::extended;
use crate::serial::as_ms;

/// Who made a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Firmware or guest: a request.
    Guest,
    /// The TPM: a response to the guest's request.
    Tpm,
    /// The proxy: a request of its own.
    Injected,
    /// The TPM: the response to that, which the guest does not see.
    TpmToInjected,
    /// The proxy: a response that the guest gets instead of the TPM's.
    Forged,
}

impl Origin {
    fn word(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Tpm => "tpm",
            Self::Injected => "injected",
            Self::TpmToInjected => "tpm-to-injected",
            Self::Forged => "forged",
        }
    }

    fn is_request(self) -> bool {
        matches!(self, Self::Guest | Self::Injected)
    }
}

/// One message on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Since the proxy's start.
    pub at: Duration,
    /// Who made it.
    pub origin: Origin,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Messages in the order in which they crossed. A boot has some thousand; their bytes are not bounded.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    messages: Vec<Message>,
}

impl Traffic {
    pub(crate) fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// All of them.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether one message holds these bytes in one piece. An empty search finds nothing.
    #[must_use]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        !bytes.is_empty()
            && self
                .messages
                .iter()
                .any(|message| message.bytes.windows(bytes.len()).any(|window| window == bytes))
    }

    /// How many requests of the guest were this command.
    #[must_use]
    pub fn count(&self, command: TpmCommand) -> usize {
        self.requests(command).count()
    }

    fn requests(&self, command: TpmCommand) -> impl Iterator<Item = &Message> {
        self.of_the_guest()
            .filter(move |message| TpmCommand::of(&message.bytes) == Some(command))
    }

    fn of_the_guest(&self) -> impl Iterator<Item = &Message> {
        self.messages
            .iter()
            .filter(|message| message.origin == Origin::Guest)
    }

    /// How many sessions the guest started that are salted to a key (TPM2_StartAuthSession, Part 3, 11.1: `tpmKey` is the
    /// first handle).
    #[must_use]
    pub fn salted_sessions(&self) -> usize {
        const RH_NULL: [u8; 4] = 0x4000_0007_u32.to_be_bytes();
        self.requests(TpmCommand::START_AUTH_SESSION)
            .filter(|message| message.bytes.get(10..14) != Some(&RH_NULL))
            .count()
    }

    /// How many requests of the guest extended this PCR.
    #[must_use]
    pub fn extends_of(&self, pcr: u32) -> usize {
        self.of_the_guest()
            .filter(|message| extended(&message.bytes) == Some(pcr))
            .count()
    }

    /// The index as it is written.
    #[must_use]
    pub fn index(&self) -> String {
        let mut text = String::from("# offset length ms from what\n");
        let mut offset = 0;
        for Message { at, origin, bytes } in &self.messages {
            let what = if origin.is_request() {
                TpmCommand::of(bytes).map(|command| command.to_string())
            } else {
                ResponseCode::of(bytes).map(|code| code.to_string())
            };
            let what = what.unwrap_or_else(|| "shorter than a header".to_owned());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{offset} {} {} {} {what}",
                bytes.len(),
                as_ms(*at),
                origin.word()
            );
            offset += bytes.len();
        }
        text
    }

    /// Writes `tpm-traffic.bin` and `tpm-traffic.txt`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let bytes: Vec<u8> = self
            .messages
            .iter()
            .flat_map(|message| &message.bytes)
            .copied()
            .collect();
        std::fs::write(folder.join("tpm-traffic.bin"), bytes)?;
        std::fs::write(folder.join("tpm-traffic.txt"), self.index())
    }
}
