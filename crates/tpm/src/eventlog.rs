//! What was measured, for logs that others replay.
//!
//! The format is that of systemd's `/run/log/systemd/tpm2-measure.log`: JSON text sequences (RFC 7464) of
//! records in TCG's Canonical Event Log JSON (CEL), without `recnum` as systemd has it. Written by whoever
//! extends; read by `systemd-pcrlock log` and by verifiers of quotes. A log is never trusted: its reader
//! replays it and compares with the PCRs.

use crate::hash::Digest;

/// Sort of event (`eventType` in the log).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A step of the boot, as systemd-pcrphase measures: the text itself is hashed.
    Phase,
    /// Keyed digest of a volume key, as systemd-cryptsetup measures.
    VolumeKey,
    /// Digest of the slot's manifest: ours, closes unsealing.
    Manifest,
    /// Digest of a debug token: ours, keeps everything sealed.
    DebugToken,
    /// Digest of a first-boot configuration: ours, after the latch and before it is used.
    FirstBoot,
}

impl EventKind {
    /// `eventType` in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::VolumeKey => "volume-key",
            Self::Manifest => "bennu-manifest",
            Self::DebugToken => "bennu-debug-token",
            Self::FirstBoot => "bennu-first-boot",
        }
    }
}

/// An extension that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// PCR that was extended.
    pub pcr: u8,
    /// Digest per bank.
    pub digests: Vec<Digest>,
    /// Sort of event.
    pub kind: EventKind,
    /// Words.
    pub text: String,
}

impl EventRecord {
    /// One record of the log: byte 1e, one line of JSON, newline. `boot_id` is that of
    /// `/proc/sys/kernel/random/boot_id`; `boottime_us` is CLOCK_BOOTTIME in microseconds.
    #[must_use]
    pub fn cel_json(&self, boot_id: &[u8; 16], boottime_us: u64) -> String {
        let mut line = String::with_capacity(1024);
        line.push('\u{1e}');
        line.push_str("{\"pcr\":");
        line.push_str(&self.pcr.to_string());
        line.push_str(",\"digests\":[");
        for (at, digest) in self.digests.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let entry = format!(
                "{comma}{{\"hashAlg\":\"{}\",\"digest\":\"{digest}\"}}",
                digest.alg()
            );
            line.push_str(&entry);
        }
        line.push_str("],\"content_type\":\"systemd\",\"content\":{\"string\":");
        push_json_string(&mut line, &self.text);
        line.push_str(",\"bootId\":\"");
        for byte in boot_id {
            line.push_str(&format!("{byte:02x}"));
        }
        line.push_str(&format!(
            "\",\"timestamp\":{boottime_us},\"eventType\":\"{}\"}}}}\n",
            self.kind.name()
        ));
        line
    }
}

/// JSON string (RFC 8259, 7): quotes, backslashes and control characters escaped.
fn push_json_string(line: &mut String, text: &str) {
    line.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                line.push('\\');
                line.push(char);
            }
            control if control < ' ' || control == '\u{7f}' => {
                line.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => line.push(other),
        }
    }
    line.push('"');
}
