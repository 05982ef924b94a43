//! `[alerts]`: the syslog server, and the certificate authorities that are read when the root is composed.

use super::Checker;
use crate::definition::{AgentsRule, AlertsSection, DefinitionError};
use bennu_formats::alerts::AlertConfig;
use bennu_formats::decode::Document as _;
use std::path::{Path, PathBuf};

/// Port of syslog over TLS (RFC 5425 §4.1).
const PORT: u16 = 6514;

/// Where the record log is sent to.
#[derive(Debug, Clone)]
pub struct AlertPlan {
    /// All but the certificates.
    config: AlertConfig,
    /// File of certificate authorities, PEM.
    authorities: PathBuf,
}

/// Why the configuration cannot be completed.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The certificates.
    #[error("alerts.authorities: {path}: cannot be read: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No certificate in them.
    #[error("alerts.authorities: {0}: expected PEM certificates, found none")]
    NoCertificate(PathBuf),
    /// Too long for a machine to read.
    #[error("alerts.authorities: {path}: expected at most {most} bytes with the rest, found {found}")]
    TooLong {
        /// File.
        path: PathBuf,
        /// Limit.
        most: usize,
        /// Found.
        found: usize,
    },
    /// Not JSON, which cannot be.
    #[error("alert configuration: {0}")]
    Encode(#[from] serde_json::Error),
}

impl AlertPlan {
    /// `None` without the section. Who sends is an agent.
    pub(super) fn of(
        section: AlertsSection,
        agents: AgentsRule,
        check: &Checker<'_>,
    ) -> Result<Option<Self>, DefinitionError> {
        let Some(host) = section.host else {
            let another = section.authorities.is_some()
                || section.port.is_some()
                || section.server_name.is_some()
                || section.confirm.is_some()
                || section.send.is_some();
            return match another {
                false => Ok(None),
                true => Err(check.missing("alerts.host", "name the syslog server")),
            };
        };
        if agents == AgentsRule::None {
            return Err(check.value("alerts.host", "none in an image without agents", host));
        }
        let authorities = section.authorities.ok_or_else(|| {
            check.missing(
                "alerts.authorities",
                "name a PEM file with the certificate of who signed the server's",
            )
        })?;
        let config = AlertConfig {
            schema: AlertConfig::SCHEMA,
            server_name: section.server_name.unwrap_or_else(|| host.clone()),
            host,
            port: section.port.unwrap_or(PORT),
            authorities: String::new(),
            confirm: section.confirm.unwrap_or_default(),
            send: section.send.unwrap_or_default(),
        };
        match config.check() {
            Ok(()) => Ok(Some(Self { config, authorities })),
            Err(error) => Err(check.value("alerts", "a host and a port", error.to_string())),
        }
    }

    /// The document, with the certificates in it.
    ///
    /// # Errors
    /// See [`AlertError`].
    pub fn document(&self) -> Result<Vec<u8>, AlertError> {
        let path: &Path = &self.authorities;
        let text = std::fs::read_to_string(path).map_err(|source| AlertError::Read {
            path: path.to_owned(),
            source,
        })?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(AlertError::NoCertificate(path.to_owned()));
        }
        let config = AlertConfig {
            authorities: text,
            ..self.config.clone()
        };
        let mut bytes = serde_json::to_vec_pretty(&config)?;
        bytes.push(b'\n');
        if bytes.len() > AlertConfig::MAX_BYTES {
            return Err(AlertError::TooLong {
                path: path.to_owned(),
                most: AlertConfig::MAX_BYTES,
                found: bytes.len(),
            });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, agents: AgentsRule) -> Result<Option<AlertPlan>, DefinitionError> {
        let section: AlertsSection = toml::from_str(text).unwrap();
        let path = Path::new("image.toml");
        AlertPlan::of(section, agents, &Checker { path })
    }

    #[test]
    fn what_nobody_would_send_is_refused() {
        let whole = "host = \"logs.example\"\nauthorities = \"ca.pem\"\n";
        assert!(plan(whole, AgentsRule::Included).unwrap().is_some(), "control");
        assert!(plan("", AgentsRule::None).unwrap().is_none(), "control");
        for (text, agents, words) in [
            ("port = 6514\n", AgentsRule::Included, "alerts.host"),
            (
                "server_name = \"logs.example\"\n",
                AgentsRule::Included,
                "alerts.host",
            ),
            (
                "host = \"logs.example\"\n",
                AgentsRule::Included,
                "alerts.authorities",
            ),
            (whole, AgentsRule::None, "without agents"),
        ] {
            let refused = plan(text, agents).unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
