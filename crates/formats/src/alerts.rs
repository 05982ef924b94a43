//! Where the record log is sent to: written by `bennu build` into the verified root, read by `bennu-forward`.
//!
//! No record leaves the machine without it. Receivers: syslog over TLS, RFC 5424 and RFC 5425.

use crate::decode::{DecodeError, Document};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Longest host or server name (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// Most addresses that a host name has here.
const MAX_ADDRESSES: usize = 64;

/// What counts as the server's word that it has what was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// TLS `close_notify`: rsyslog with the driver `ossl`, syslog-ng.
    #[default]
    CloseNotify,
    /// The connection is closed, in whatever way: rsyslog with the driver `gtls`.
    Close,
}

/// Which lines are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sending {
    /// All.
    #[default]
    Everything,
    /// Starts, heads, gaps, and events of severity `suspicious` and above.
    Alerts,
}

/// `/usr/lib/bennu/alerts.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertConfig {
    /// Schema number; 1.
    pub schema: u32,
    /// Address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name that the server's certificate must have.
    pub server_name: String,
    /// Certificate authorities, PEM; no others count.
    pub authorities: String,
    /// Confirmation.
    pub confirm: Confirmation,
    /// Selection.
    pub send: Sending,
}

impl Document for AlertConfig {
    const NAME: &'static str = "alert configuration";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 256 * 1024;

    fn check(&self) -> Result<(), DecodeError> {
        for (member, name) in [("host", &self.host), ("server_name", &self.server_name)] {
            let in_a_name = |c: char| c.is_ascii_alphanumeric() || ['.', '-', ':'].contains(&c);
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(in_a_name) {
                return Err(Self::bad_value(
                    member,
                    "an address or a host name of at most 253 characters",
                    name,
                ));
            }
        }
        if self.port == 0 {
            return Err(Self::bad_value("port", "1 to 65535", "0"));
        }
        Ok(())
    }
}

/// `/run/bennu/purged-sinks.json`: what `bennud` knew of the host's addresses when it purged the state; nobody resolves names
/// afterwards. Read by `bennu-forward purged`. Nothing is trusted about them: the server's certificate says who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgedSinks {
    /// Schema number; 1.
    pub schema: u32,
    /// In the order in which they are tried; may be empty.
    pub addresses: Vec<IpAddr>,
}

impl Document for PurgedSinks {
    const NAME: &'static str = "addresses after a purge";
    const SCHEMA: u32 = 1;
    const MAX_BYTES: usize = 4096;

    fn check(&self) -> Result<(), DecodeError> {
        if self.addresses.len() > MAX_ADDRESSES {
            let found = self.addresses.len().to_string();
            return Err(Self::bad_value("addresses", "at most 64", &found));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_after_a_purge_are_few_and_are_addresses() {
        let with = |addresses: &str| format!("{{\"schema\":1,\"addresses\":[{addresses}]}}");
        let good = with("\"10.0.2.2\",\"2001:db8::7\"");
        let decoded = PurgedSinks::decode(good.as_bytes()).unwrap();
        assert_eq!(decoded.addresses.len(), 2);
        assert!(PurgedSinks::decode(with("").as_bytes()).is_ok());
        let many = vec!["\"10.0.2.2\""; MAX_ADDRESSES + 1].join(",");
        let refused = PurgedSinks::decode(with(&many).as_bytes());
        let member = "addresses";
        assert!(matches!(refused, Err(DecodeError::BadValue { member: found, .. }) if found == member));
        assert!(PurgedSinks::decode(with("\"logs.example\"").as_bytes()).is_err());
        let long = vec![b' '; PurgedSinks::MAX_BYTES + 1];
        let refused = PurgedSinks::decode(&long);
        assert!(matches!(refused, Err(DecodeError::TooLong { .. })));
    }

    fn config() -> AlertConfig {
        AlertConfig {
            schema: 1,
            host: "logs.example".into(),
            port: 6514,
            server_name: "logs.example".into(),
            authorities: "PEM".into(),
            confirm: Confirmation::CloseNotify,
            send: Sending::Everything,
        }
    }

    #[test]
    fn names_and_ports_that_are_none_are_refused_by_their_member() {
        assert!(config().check().is_ok());
        let long = "a".repeat(254);
        for name in ["", "a b", "a/b", long.as_str()] {
            let bad = AlertConfig {
                host: name.into(),
                ..config()
            };
            let refused = bad.check();
            assert!(
                matches!(refused, Err(DecodeError::BadValue { member: "host", .. })),
                "{refused:?}"
            );
        }
        let bad = AlertConfig { port: 0, ..config() };
        assert!(matches!(
            bad.check(),
            Err(DecodeError::BadValue { member: "port", .. })
        ));
    }
}
