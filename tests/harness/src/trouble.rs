//! Failures of the machinery under a story, as opposed to failures of the product.
//!
//! The runner starts a story again, once, for these and for nothing else: an assertion is never retried.

use crate::journal::Journal;
use crate::serial::SerialError;

/// The machine, not the product, failed.
#[derive(Debug, thiserror::Error)]
pub enum MachineTrouble {
    /// QEMU ended, or did not answer on its control socket, before the guest ran.
    #[error("start qemu: {found}; see {command_file}")]
    QemuDidNotStart {
        /// What was seen instead of a greeting, with QEMU's own words.
        found: String,
        /// File with the full command line.
        command_file: String,
    },
    /// The software TPM ended, or offered no control socket in time.
    #[error("start swtpm: {found}")]
    SwtpmDidNotStart {
        /// What was seen instead of the socket, with swtpm's own words.
        found: String,
    },
    /// The guest kernel's TPM driver gave up waiting: seen about once in seven boots on a loaded host.
    #[error("guest TPM driver timed out after {at_ms} ms of power-on: {line}; consequence: {consequence}")]
    GuestTpmTimeout {
        /// When, in ms since power-on.
        at_ms: u64,
        /// The kernel's line.
        line: String,
        /// The failure that the story reported because of it.
        consequence: String,
    },
}

/// Whether a serial line is the kernel's report of a TPM that did not answer in time.
///
/// Source: Linux 6.1 and 6.12 `drivers/char/tpm/` (`tpm-interface.c`: "Operation Timed out"; `tpm_crb.c`:
/// "cmdReady timed out", "goIdle timed out"; errno 62 is ETIME).
#[must_use]
pub fn is_tpm_timeout(line: &str) -> bool {
    let driver = line.contains("tpm tpm") || line.contains("tpm_crb") || line.contains("tpm_tis");
    driver
        && [
            "Operation Timed out",
            "cmdReady timed out",
            "goIdle timed out",
            "error -62",
        ]
        .iter()
        .any(|text| line.contains(text))
}

/// A marker that did not come on a machine whose TPM driver timed out is the machine's failure.
pub(crate) fn classify(error: anyhow::Error, journal: &Journal) -> anyhow::Error {
    let missed = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<SerialError>());
    let missed = missed
        .into_iter()
        .any(|cause| matches!(cause, SerialError::Deadline { .. } | SerialError::Ended { .. }));
    match journal.tpm_timeout() {
        Some(line) if missed => {
            let consequence = format!("{error:#}");
            MachineTrouble::GuestTpmTimeout {
                at_ms: line.ms,
                line: line.text,
                consequence,
            }
            .into()
        }
        _ => error,
    }
}

/// Whether the machine is at fault.
pub(crate) fn is_trouble(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<MachineTrouble>())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use anyhow::anyhow;

    use super::*;
    use crate::accelerator::Accelerator;
    use crate::console::Console;
    use crate::serial::SerialLine;

    /// A journal with one ended power-on that printed `text`.
    fn journal(text: &str) -> Journal {
        let folder = tempfile::tempdir().unwrap();
        let (mut guest, host) = UnixStream::pair().unwrap();
        let (console, reader) = Console::start(host, folder.path()).unwrap();
        guest.write_all(text.as_bytes()).unwrap();
        drop(guest);
        reader.join().unwrap();
        let journal = Journal::default();
        journal.begin("power-on-1".to_owned(), Accelerator::Tcg, console);
        journal
    }

    fn deadline() -> anyhow::Error {
        let error = SerialError::Deadline {
            marker: "m".into(),
            within_ms: 1,
            lines: 1,
            last: "l".into(),
        };
        anyhow::Error::from(error).context("wait for the slot")
    }

    #[test]
    fn a_missed_marker_after_a_tpm_timeout_is_the_machines_failure() {
        let error = classify(deadline(), &journal("boot\ntpm tpm0: Operation Timed out\n"));
        assert!(is_trouble(&error));
        assert!(
            error
                .to_string()
                .contains("consequence: wait for the slot: marker m did not"),
            "{error}"
        );
    }

    #[test]
    fn a_missed_marker_alone_and_a_wrong_value_after_a_tpm_timeout_are_the_products() {
        assert!(!is_trouble(&classify(deadline(), &journal("boot\n"))));
        let timeout = journal("tpm tpm0: Operation Timed out\n");
        assert!(!is_trouble(&classify(anyhow!("PCR 11 differs"), &timeout)));
        let line = SerialLine {
            ms: 1,
            text: "unsealed".into(),
        };
        let forbidden = SerialError::Forbidden {
            marker: "unsealed".into(),
            line,
        };
        assert!(!is_trouble(&classify(forbidden.into(), &timeout)));
    }

    #[test]
    fn the_drivers_timeouts_are_recognised() {
        assert!(is_tpm_timeout("[   12.301] tpm tpm0: Operation Timed out"));
        assert!(is_tpm_timeout("tpm_crb MSFT0101:00: cmdReady timed out"));
        assert!(is_tpm_timeout("tpm tpm0: tpm_try_transmit: send(): error -62"));
    }

    #[test]
    fn other_timeouts_and_other_tpm_lines_are_not() {
        assert!(!is_tpm_timeout(
            "tpm tpm0: A TPM error (256) occurred attempting the self test"
        ));
        assert!(!is_tpm_timeout("bennu-init: Operation Timed out"));
        assert!(!is_tpm_timeout("virtio_blk: Operation Timed out"));
    }
}
