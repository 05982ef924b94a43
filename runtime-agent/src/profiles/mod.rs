//! Profiles of units and confined interpreters, from the signed image into the execution gate.
//!
//! Read: `/usr/lib/bennu/profiles.json`, the programs of the root that it and `gate.json` name, and the day that is kept
//! ([`day`]). Given to
//! `bennu_ebpf` by inode, before the gate decides anything. On failure there is no gate: a program that the root does not
//! have is refused by its path.

pub mod day;
pub mod keep;

use crate::documents::{self, DocumentError};
use crate::gate::NoGate;
use crate::gate::facts;
use bennu_ebpf::interface::units::{Data, Unit, program};
use bennu_formats::gate::GateConfig;
use bennu_formats::paths;
use bennu_formats::profile::{Profile, ProfileSet};
use bennu_policy::gate::Device;
use bennu_policy::profile;
use std::collections::BTreeMap;
use std::path::Path;

/// Shells that are known without being named; those that the root has.
const SHELLS: [&str; 12] = [
    "/bin/sh",
    "/bin/dash",
    "/bin/bash",
    "/bin/rbash",
    "/bin/zsh",
    "/bin/ksh",
    "/bin/mksh",
    "/bin/csh",
    "/bin/tcsh",
    "/bin/fish",
    "/bin/busybox",
    "/bin/ash",
];
/// systemd starts it in a unit's cgroup, where it prepares the process and then starts the unit's program.
const EXECUTOR: &str = "/usr/lib/systemd/systemd-executor";

/// The image's profiles; a root without the document has none.
///
/// # Errors
/// The document is there and cannot be used.
pub fn read() -> Result<Option<ProfileSet>, DocumentError> {
    documents::read_if_there(Path::new(paths::ROOT_PROFILES))
}

/// Profiles with their programs' inodes and the stages of today.
///
/// # Errors
/// [`NoGate::File`], [`NoGate::ForeignProgram`].
pub fn units(set: &ProfileSet, root: Device) -> Result<Vec<Unit>, NoGate> {
    // What is wrong with the day that is kept is told by `keep`.
    let kept = day::kept(Path::new(paths::STATE_PROFILE_DAY)).unwrap_or_default();
    let day = day::counts(set, kept);
    let unit = |one: &Profile| {
        let (networks, sockets) = one
            .connect
            .clone()
            .map_or_else(Default::default, |connect| (connect.network, connect.socket));
        let executables = one.executables.iter().flat_map(|part| &part.allow);
        Ok(Unit {
            name: one.unit.clone(),
            stages: profile::tightened([0; 4], one.rules(), day),
            executables: executables
                .map(|path| facts::on_root(path, root))
                .collect::<Result<_, NoGate>>()?,
            anonymous_exec: one
                .anonymous_exec
                .iter()
                .map(|path| facts::on_root(path, root))
                .collect::<Result<_, NoGate>>()?,
            networks,
            sockets,
        })
    };
    set.profiles.iter().map(unit).collect()
}

/// What programs of the root are besides: shells, confined interpreters, systemd's executor; by inode.
///
/// # Errors
/// [`NoGate::File`], [`NoGate::ForeignProgram`] for one that the image names.
pub fn kinds(config: &GateConfig, root: Device) -> Result<Vec<(u64, u32)>, NoGate> {
    let mut kinds: BTreeMap<u64, u32> = BTreeMap::new();
    let known = SHELLS.map(|path| (path, program::SHELL));
    for (path, kind) in known.into_iter().chain([(EXECUTOR, program::EXECUTOR)]) {
        // What the root does not have is no shell of it.
        if let Ok(found) = facts::on_root(path, root) {
            *kinds.entry(found).or_default() |= kind;
        }
    }
    for interpreter in &config.interpreters {
        let found = facts::on_root(&interpreter.path, root)?;
        *kinds.entry(found).or_default() |= program::SHELL | program::CONFINED;
    }
    Ok(kinds.into_iter().collect())
}

/// The directories of interpreters that are there now. One that turns up later is added by [`keep`].
///
/// # Errors
/// [`NoGate::File`], [`NoGate::ForeignProgram`] for an interpreter.
pub fn data(config: &GateConfig, root: Device) -> Result<Vec<Data>, NoGate> {
    let mut all = Vec::new();
    for interpreter in &config.interpreters {
        let program_inode = facts::on_root(&interpreter.path, root)?;
        let there = interpreter
            .data
            .iter()
            .filter_map(|path| facts::look_at(path).ok());
        all.extend(there.map(|found| Data {
            program_inode,
            device: found.device.kernel_number(),
            inode: found.inode,
        }));
    }
    Ok(all)
}
