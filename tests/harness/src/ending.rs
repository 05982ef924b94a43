//! How a power-on ended, by QEMU's own account.

use std::process::ExitStatus;

use serde_json::Value;

/// Why a machine stopped, as QEMU's `SHUTDOWN` event says (QEMU 7.2, `qapi/run-state.json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The guest asked for a reset, and resets end the power-on.
    GuestReset,
    /// The guest switched the power off.
    GuestShutdown,
    /// The guest's kernel panicked and a pvpanic device told QEMU.
    GuestPanic,
    /// [`crate::power_on::PowerOn::quit`].
    Quit,
    /// Another of QEMU's words.
    Other(String),
}

/// How a power-on ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// The reason that QEMU gave; `None` if it gave none, as when it was killed.
    pub reason: Option<ShutdownReason>,
    /// When, in ms since power-on.
    pub ms: u64,
}

/// The reason in the last `SHUTDOWN` event. `None` if there is none.
pub(crate) fn reason_of(events: &[Value]) -> Option<ShutdownReason> {
    let shutdown = events.iter().rev().find(|event| event["event"] == "SHUTDOWN")?;
    Some(match shutdown["data"]["reason"].as_str()? {
        "guest-reset" => ShutdownReason::GuestReset,
        "guest-shutdown" => ShutdownReason::GuestShutdown,
        "guest-panic" => ShutdownReason::GuestPanic,
        "host-qmp-quit" => ShutdownReason::Quit,
        other => ShutdownReason::Other(other.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ShutdownReason, reason_of};

    #[test]
    fn the_last_shutdown_event_gives_the_reason() {
        let event =
            |reason: &str| json!({ "event": "SHUTDOWN", "data": { "guest": true, "reason": reason } });
        let resume = json!({ "event": "RESUME" });
        assert_eq!(
            reason_of(&[resume.clone(), event("guest-shutdown")]),
            Some(ShutdownReason::GuestShutdown)
        );
        assert_eq!(
            reason_of(&[event("guest-panic"), event("guest-reset")]),
            Some(ShutdownReason::GuestReset)
        );
        assert_eq!(reason_of(&[event("host-qmp-quit")]), Some(ShutdownReason::Quit));
        assert_eq!(
            reason_of(&[event("host-signal")]),
            Some(ShutdownReason::Other("host-signal".into()))
        );
        assert_eq!(reason_of(&[resume]), None);
    }
}
