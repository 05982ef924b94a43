//! The alerts' part of `bennuctl status`: how much of the record log no server has confirmed yet.

use crate::records;
use bennu_alert::{Queue, Selection};
use bennu_formats::handover::Handover;
use bennu_formats::paths;
use std::path::{Path, PathBuf};

/// Where the log waits.
#[derive(Debug, Clone)]
pub struct Places {
    /// What the image asks for; without the file nothing is sent.
    pub config: PathBuf,
    /// How far it has been sent.
    pub cursor: PathBuf,
    /// The log; none: where this start has it.
    pub log: Option<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            config: PathBuf::from(paths::ROOT_ALERTS),
            cursor: PathBuf::from(paths::STATE_ALERT_CURSOR),
            log: None,
        }
    }
}

impl Places {
    /// None where nothing is sent.
    ///
    /// # Errors
    /// In words; for who may not read the log, too.
    pub fn unsent_bytes(&self, handover: &Handover) -> Result<Option<u64>, String> {
        let log = self.log.as_deref();
        self.behind_the_cursor(log.unwrap_or_else(|| records::place(handover)))
    }

    fn behind_the_cursor(&self, log: &Path) -> Result<Option<u64>, String> {
        let wanted = self.config.try_exists();
        if !wanted.map_err(|error| format!("{}: {error}", self.config.display()))? {
            return Ok(None);
        }
        let waiting = Queue::open(log, &self.cursor, Selection::Everything, "")
            .and_then(|queue| queue.waiting())
            .map_err(|error| error.to_string())?;
        Ok(Some(waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cursor_has_passed_is_sent_and_without_a_server_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (number, bytes) in [(1, 100), (2, 50), (3, 7)] {
            let name = format!("records-{number:020}.jsonl");
            std::fs::write(at(&name), vec![b'x'; bytes]).unwrap();
        }
        let places = Places {
            config: at("alerts.json"),
            cursor: at("cursor.json"),
            log: None,
        };
        let waits = || places.behind_the_cursor(dir.path()).unwrap();
        assert_eq!(waits(), None);
        std::fs::write(&places.config, "").unwrap();
        assert_eq!(waits(), Some(157));
        let cursor = r#"{"v":1,"file":2,"offset":20,"number":9}"#;
        std::fs::write(&places.cursor, cursor).unwrap();
        assert_eq!(waits(), Some(37));
        std::fs::write(&places.cursor, "{").unwrap();
        let told = places.behind_the_cursor(dir.path()).unwrap_err();
        assert!(told.contains("expected a cursor of version 1"), "{told}");
        std::fs::remove_file(&places.cursor).unwrap();
        let told = places.behind_the_cursor(&places.config).unwrap_err();
        assert!(told.contains("record log cannot be read"), "{told}");
    }
}
