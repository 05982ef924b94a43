//! The identity's part of `bennuctl status`: names, what of `/etc` lasts, and which releases can read what is kept.

use bennu_formats::handover::{IdentityReport, MachineIdSource, StateVolume};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Longest host name that the kernel holds, in bytes (`__NEW_UTS_LEN`).
const MAX_HOSTNAME_BYTES: usize = 64;
/// How many refused files the text names; JSON has all that the hand-over record has.
const MAX_SHOWN: usize = 4;

/// Who the machine says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The kernel's host name now; none where it cannot be read.
    pub hostname: Option<String>,
    /// What `bennu-init` made of `/etc`; none where the image keeps nothing of it.
    pub etc: Option<IdentityReport>,
}

impl Identity {
    /// Reads the host name from `hostname`, `/proc/sys/kernel/hostname` on a machine.
    pub fn gather(hostname: &Path, etc: Option<IdentityReport>) -> Self {
        let hostname = std::fs::read(hostname).ok().and_then(|mut bytes| {
            bytes.truncate(MAX_HOSTNAME_BYTES);
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            (!text.is_empty()).then_some(text)
        });
        Self { hostname, etc }
    }

    /// Labels and texts.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            (
                "host name",
                self.hostname.clone().unwrap_or_else(|| "unknown".to_owned()),
            ),
            ("machine id", machine_id(self.etc.as_ref()).to_owned()),
        ];
        let Some(etc) = &self.etc else {
            lines.push((
                "/etc keeps",
                "nothing: it is the image's at each start".to_owned(),
            ));
            return lines;
        };
        lines.push(("/etc keeps", keeps(etc)));
        for reason in etc.refused.iter().take(MAX_SHOWN) {
            lines.push(("REFUSED", reason.clone()));
        }
        if etc.refused.len() > MAX_SHOWN {
            lines.push(("", format!("and {} more", etc.refused.len() - MAX_SHOWN)));
        }
        if let Some(digest) = &etc.first_boot {
            lines.push((
                "first boot",
                format!("configuration {digest} applied at this start"),
            ));
        }
        lines
    }
}

fn machine_id(etc: Option<&IdentityReport>) -> &'static str {
    match etc.map_or(MachineIdSource::NotKept, |etc| etc.machine_id) {
        MachineIdSource::NotKept => "not kept: the image's, or made by systemd at each start",
        MachineIdSource::Kept => "kept since an earlier start",
        MachineIdSource::Made => "made at this start, kept from now on",
        MachineIdSource::FirstBootConfiguration => "from the first-boot configuration, kept from now on",
        MachineIdSource::LeftToSystemd => "left to systemd's first boot, kept from the next start on",
    }
}

fn keeps(etc: &IdentityReport) -> String {
    let classes = etc.list.classes.iter().map(ToString::to_string);
    let paths = etc.list.paths.iter().map(ToString::to_string);
    let list: Vec<String> = classes.chain(paths).collect();
    let files = match etc.kept {
        1 => "1 file".to_owned(),
        kept => format!("{kept} files"),
    };
    let list = if list.is_empty() {
        "nothing".to_owned()
    } else {
        list.join(", ")
    };
    format!("{list}; {files} of the start before")
}

/// The state volume, or that there is none.
pub fn state(volume: Option<&StateVolume>) -> Vec<(&'static str, String)> {
    let Some(volume) = volume else {
        return vec![("state", "volatile".to_owned())];
    };
    let schema = &volume.schema;
    vec![
        (
            "state",
            format!(
                "encrypted volume {}, generation {}, at {}",
                volume.uuid, volume.generation, volume.mounted
            ),
        ),
        (
            "state schema",
            format!(
                "{} (this release's {}); releases from {} on can read it",
                schema.written, schema.of_release, schema.readable_from
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::identity::{IdentityClass, IdentityRule};

    fn report(refused: usize) -> IdentityReport {
        IdentityReport {
            kept: 1,
            refused: (0..refused).map(|n| format!("/etc/{n}: refused")).collect(),
            machine_id: MachineIdSource::Kept,
            list: IdentityRule {
                classes: vec![IdentityClass::MachineId, IdentityClass::TimeZone],
                paths: vec!["/etc/chrony/chrony.keys".parse().unwrap()],
            },
            ..IdentityReport::default()
        }
    }

    #[test]
    fn the_list_is_shown_as_the_image_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hostname");
        std::fs::write(&path, "kiosk-7\n").unwrap();
        let lines = Identity::gather(&path, Some(report(0))).lines();
        assert_eq!(
            lines,
            [
                ("host name", "kiosk-7".to_owned()),
                ("machine id", "kept since an earlier start".to_owned()),
                (
                    "/etc keeps",
                    "machine-id, time-zone, /etc/chrony/chrony.keys; 1 file of the start before".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn many_refusals_take_few_lines() {
        let lines = Identity::gather(Path::new("/nonexistent"), Some(report(9))).lines();
        assert_eq!(lines[0].1, "unknown");
        let refused = lines.iter().filter(|(label, _)| *label == "REFUSED").count();
        assert_eq!((refused, lines[lines.len() - 1].1.as_str()), (4, "and 5 more"));
    }

    #[test]
    fn an_image_that_keeps_nothing_says_so() {
        let lines = Identity::gather(Path::new("/nonexistent"), None).lines();
        assert!(lines[1].1.starts_with("not kept"), "{lines:?}");
        assert!(lines[2].1.starts_with("nothing"), "{lines:?}");
        assert_eq!(state(None), [("state", "volatile".to_owned())]);
    }
}
