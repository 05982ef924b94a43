//! A proxy on the wire between QEMU and the software TPM: what an interposer on a mainboard's bus can do.
//!
//! QEMU speaks to [`TpmProxy`] as if it were swtpm. Control commands pass unchanged; the data channel, which
//! QEMU hands over as a descriptor, ends here, and swtpm gets one of the proxy's own. So each TPM command and
//! each response passes through this process, where the rules of [`TpmFault`] delay, answer, forge, lose or
//! add to them. Without rules every byte passes as it is.
//!
//! A story sets the rules in [`crate::machine::MachineSpec::tpm_faults`] or, between power-ons, with
//! [`crate::machine::Machine::set_tpm_faults`], and asks [`crate::power_on::PowerOn::tpm_watch`] how often each
//! of them struck: a fault that never struck proves nothing. While the machine runs, it takes the TPM's power
//! ([`TpmWatch::power`]) or its voice ([`TpmWatch::silence`]). With [`TpmFault::Record`] the power-on's folder
//! gets `tpm-traffic.bin` and its index `tpm-traffic.txt`.
//!
//! If the proxy itself fails, it closes both sides; the guest sees a dead TPM, and
//! [`TpmWatch::trouble`] says why.

mod channel;
mod command;
mod fault;
mod power;
mod proxy;
mod public;
mod silence;
mod traffic;

#[cfg(test)]
mod tests;

pub use command::{ResponseCode, TpmCommand, pcr_extend};
pub use fault::{ExtendInstead, TpmFault};
pub use power::TpmPower;
pub use proxy::{TpmProxy, TpmWatch};
pub use traffic::{Message, Origin, Traffic};

/// Why the proxy does not run, or does not run any more.
#[derive(Debug, thiserror::Error)]
pub enum TpmRigError {
    /// QEMU's socket cannot be offered.
    #[error("offer the TPM proxy's socket {socket}: {source}")]
    Listen {
        /// Path of the socket.
        socket: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// swtpm does not take the connection.
    #[error("connect to swtpm at {socket}: {source}")]
    Connect {
        /// Path of the socket.
        socket: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A channel broke while both ends were in use.
    #[error("pass on the TPM's {channel}: {source}")]
    Channel {
        /// `control channel` or `data channel`.
        channel: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The TPM refused a command that [`TpmFault::Inject`] put in: the fault did not happen.
    #[error("inject {command}: expected success, found {code}")]
    Injected {
        /// What was injected.
        command: TpmCommand,
        /// The TPM's answer.
        code: ResponseCode,
    },
    /// The record could not be written.
    #[error("write the TPM's traffic to {folder}: {source}")]
    Record {
        /// Folder of the power-on.
        folder: String,
        /// The system's reason.
        source: std::io::Error,
    },
}
