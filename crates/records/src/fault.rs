//! What can be wrong with a log, or worth knowing.

use crate::line::LineError;

/// What is wrong, or worth knowing, at a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a line, and no later line says that a power cut left it.
    #[error("{0}")]
    NotALine(LineError),
    /// The MAC is not that of the line: it was changed.
    #[error("the line was changed: its MAC does not match")]
    Changed,
    /// Lines are missing before this one.
    #[error("{missing} lines are missing before this one: expected number {expected}")]
    Cut {
        /// Number that should be here.
        expected: u64,
        /// How many are missing.
        missing: u64,
    },
    /// The line is where it does not belong.
    #[error("expected number {expected}, found one that was due before: lines were moved, or come twice")]
    Misplaced {
        /// Number that should be here.
        expected: u64,
    },
    /// The line before, once more.
    #[error("the same line twice")]
    Twice,
    /// A line of another segment, or at another step, than the one before leads to.
    #[error("a line of another segment or step than the one before it leads to")]
    Spliced,
    /// A file that does not begin with the line that joins it to the one before, or such a line elsewhere.
    #[error("a file begins with a line that joins it to the one before, and has no other such line")]
    Joint,
    /// The chain that this line names is not the one of the lines before it.
    #[error("the chain in this line is not that of the lines before it")]
    Chain,
    /// A head that the trusted key did not sign.
    #[error("the head is not signed by the trusted key")]
    HeadSignature,
    /// A head whose signature is older than that of a head before it.
    #[error("the head was signed before one that stands above it, by the signer's own clock")]
    SignedBefore,
    /// A head of one start of the machine that was signed in another.
    #[error(
        "the head was signed in another start of the machine than its line says, by the signer's own count"
    )]
    SignedInAnotherBoot,
    /// A head that was signed at another time than its line says.
    #[error(
        "the head was signed at another time than its line says: the signer's clock and the log's are {} s apart",
        apart_ms / 1000
    )]
    SignedLate {
        /// How far, in milliseconds.
        apart_ms: u64,
    },
    /// The signer was reset within one start of the machine.
    #[error("the TPM was reset while the machine ran, by its own count")]
    SignerReset,
    /// The end of a file is no whole line, and the next file does not say so, or otherwise.
    #[error("the file ends in {bytes} bytes that are no line, and the next file does not say so")]
    TornUnmarked {
        /// How many.
        bytes: u64,
    },
    /// The first line of the next file says that a file ended in torn bytes, and it does not.
    #[error("the next file says that this one ends in other bytes that are no line")]
    TornClaimed,
    /// No key and no head proves the lines from here on.
    #[error("nothing proves {lines} lines from here on: no key of their segment, no head after them")]
    Unproven {
        /// How many.
        lines: u64,
    },
    /// A segment that would need too many steps from its key.
    #[error("step {step}: more steps from the segment's key than are taken")]
    TooManySteps {
        /// Step.
        step: u64,
    },
    /// No line at all.
    #[error("there is no line")]
    Empty,
    /// The line that a sink has kept is not in the log.
    #[error("the line that was kept elsewhere is not in the log: it was cut or is older")]
    KeptMissing,
    /// The power was cut while a line was written; the bytes are as the next writer found them.
    #[error("the power was cut while a line was written: {bytes} bytes are no line")]
    Torn {
        /// How many.
        bytes: u64,
    },
    /// The same, in a collected log: the bytes stayed on the machine.
    #[error("the power of the machine was cut while a line was written: {bytes} bytes of it stayed there")]
    TornElsewhere {
        /// How many.
        bytes: u64,
    },
    /// The writer counted events that never came.
    #[error("{lost} events of {what} were lost")]
    Gap {
        /// Which stream.
        what: String,
        /// How many.
        lost: u64,
    },
    /// A segment that was not ended in good order: killed, cut off, or cut short by somebody.
    #[error("the segment before was not ended: killed, power cut, or lines removed from its end")]
    NotStopped,
    /// The log does not begin with number 0.
    #[error("the log begins with number {seq}: older lines were rotated away")]
    BeginsLater {
        /// First number.
        seq: u64,
    },
}

impl Fault {
    /// Whether the log is refused for it; the others are told.
    pub fn refuses(&self) -> bool {
        !matches!(
            self,
            Self::Torn { .. }
                | Self::TornElsewhere { .. }
                | Self::Gap { .. }
                | Self::NotStopped
                | Self::BeginsLater { .. }
                | Self::SignerReset
        )
    }
}

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which file, as the caller called it.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u64,
    /// What.
    pub fault: Fault,
}
