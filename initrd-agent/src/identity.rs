//! What a machine keeps of `/etc`: carried from start to start by the signed list, everything else left behind.
//!
//! `/etc` is an overlay whose upper layer lies on the state volume, `identity/etc/upper`: what the running system writes
//! is as durable as on any file system, by rename or otherwise, without anybody copying it. It is volatile all the same:
//! before each start a fresh layer is made, with the files of the list that are what they should be, and takes the place
//! of the old one in one step. Root of an earlier start may have left anything in the old one; see [`collect`].
//!
//! A state volume without a layer is that of a first start: the first-boot configuration of the ESP is used then and
//! at no other start. On failure: what is refused among the kept files is said by `IDENTITY-REFUSED` and left out; a
//! first-boot configuration that is refused ends the start.

mod collect;
mod layer;
mod machine_id;
mod trash;

use crate::error::InitError;
use crate::esp::Mounted;
use crate::first_boot;
use crate::journal::Journal;
use crate::state::StateVolume;
use crate::tpm::Measured;
use bennu_formats::Code;
use bennu_formats::boot_record::Failure;
use bennu_formats::first_boot::FirstBoot;
use bennu_formats::handover::{IdentityReport, MachineIdSource};
use bennu_formats::trust::TrustConfig;
use bennu_formats::{identity as format, paths};
use bennu_linux::found;
use collect::Collected;
use std::io;
use std::path::{Path, PathBuf};

/// Most names that a line on the console has.
const MAX_TOLD: usize = 8;

/// Most refusals that the hand-over record has.
const MAX_REPORTED: usize = 32;

/// Something that comes into the fresh layer; the path is below `/etc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    path: String,
    content: Content,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File {
        bytes: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A symbolic link.
    Link(String),
}

impl Kept {
    /// A file of root's.
    fn text(path: &str, text: &str, mode: u32) -> Self {
        let bytes = text.as_bytes().to_vec();
        Self {
            path: path.to_owned(),
            content: Content::File {
                bytes,
                mode,
                uid: 0,
                gid: 0,
            },
        }
    }
}

/// The layers of `/etc`.
#[derive(Default)]
pub struct Prepared {
    /// Directory with `etc/upper` and `etc/work`; none where nothing is kept.
    pub layers: Option<PathBuf>,
    /// For the running system.
    pub report: Option<IdentityReport>,
}

/// Makes the fresh layer of this start, if the image keeps a state. `lower` is the verified root's `/etc`.
pub fn of_state(
    state: Option<&StateVolume>,
    lower: &Path,
    trust: &TrustConfig,
    esp: &Mounted,
    tpm: &mut Measured,
    journal: &mut Journal,
) -> Result<Prepared, InitError> {
    match state {
        Some(state) => prepare(&state.mounted, lower, trust, esp, tpm, journal),
        None => Ok(Prepared::default()),
    }
}

fn prepare(
    state: &Path,
    lower: &Path,
    trust: &TrustConfig,
    esp: &Mounted,
    tpm: &mut Measured,
    journal: &mut Journal,
) -> Result<Prepared, InitError> {
    let area = state.join(paths::STATE_IDENTITY);
    let begun = layer::open_area(&area).map_err(InitError::Identity)?;
    let upper = area.join(layer::CURRENT).join(layer::UPPER);
    let Collected {
        mut kept,
        mut refused,
        dropped,
    } = if begun {
        collect::collect(&upper, &trust.identity).map_err(InitError::Identity)?
    } else {
        Collected::default()
    };
    let mut report = IdentityReport {
        kept: u32::try_from(kept.len()).unwrap_or(u32::MAX),
        list: trust.identity.clone(),
        ..IdentityReport::default()
    };
    if !begun && let Some(config) = first_boot::read_and_verify(esp, trust)? {
        let digest = config.signed_bytes_sha256();
        first_boot::check_zone(config.get(), lower)?;
        tpm.first_boot(&digest)?;
        kept = of_first_boot(config.get());
        journal.say(&format!("applied the first-boot configuration {digest}"));
        report.first_boot = Some(digest);
    }
    let machine_id = machine_id::settle(&mut kept, &mut refused, &trust.identity, lower, journal)?;
    report.machine_id = match machine_id {
        MachineIdSource::Kept if report.first_boot.is_some() => MachineIdSource::FirstBootConfiguration,
        other => other,
    };
    refused.extend(layer::renew(&area, lower, &kept).map_err(InitError::Identity)?);
    tell(&refused, &dropped, journal);
    report.refused = refused
        .iter()
        .take(MAX_REPORTED)
        .map(|reason| Failure::new(Code::IdentityRefused, reason).reason)
        .collect();
    Ok(Prepared {
        layers: Some(area),
        report: Some(report),
    })
}

/// The files that a first-boot configuration stands for.
fn of_first_boot(config: &FirstBoot) -> Vec<Kept> {
    let mut kept = Vec::new();
    if let Some(name) = &config.hostname {
        kept.push(Kept::text(format::HOSTNAME, &format!("{name}\n"), 0o644));
    }
    if let Some(id) = &config.machine_id {
        kept.push(Kept::text(
            format::MACHINE_ID,
            &format!("{}\n", id.trim_end()),
            0o444,
        ));
    }
    if let Some(zone) = &config.time_zone {
        kept.push(Kept {
            path: format::LOCALTIME.to_owned(),
            content: Content::Link(format!("{}{zone}", format::ZONE_PREFIXES[0])),
        });
    }
    for file in &config.network {
        // Everybody reads them (systemd.network(5)): a configuration on the ESP has no secrets anyway.
        let path = format!("{}/{}", format::NETWORK_DIRECTORY, file.name);
        kept.push(Kept::text(&path, &file.content, 0o644));
    }
    for user in &config.authorized_keys {
        let path = format!("{}/{}", format::AUTHORIZED_KEYS_DIRECTORY, user.user);
        let lines: String = user.keys.iter().map(|key| format!("{key}\n")).collect();
        kept.push(Kept::text(&path, &lines, 0o644));
    }
    kept
}

fn tell(refused: &[String], dropped: &[String], journal: &mut Journal) {
    for reason in refused.iter().take(MAX_TOLD) {
        let failure = Failure::new(Code::IdentityRefused, reason);
        journal.warn(&format!("{}: {}", failure.code, failure.reason));
    }
    if refused.len() > MAX_TOLD {
        let code = Code::IdentityRefused;
        journal.warn(&format!("{code}: and {} more", refused.len() - MAX_TOLD));
    }
    if !dropped.is_empty() {
        let names = dropped[..dropped.len().min(MAX_TOLD)].join(", ");
        let more = if dropped.len() > MAX_TOLD { ", …" } else { "" };
        // Words from the volume: without control characters.
        let line = format!("left behind of /etc, not on the signed list: {names}{more}");
        journal.say(&Failure::new(Code::IdentityRefused, &line).reason);
    }
}

/// An error with the path it is about.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether something other than a directory stands at `path`.
fn is_directory(path: &Path) -> io::Result<Option<bool>> {
    if found::directory_owner(path)?.is_some() {
        return Ok(Some(true));
    }
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(Some(false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
