//! The execution gate: BPF LSM programs (`src/bpf`) that let nothing execute but what lies on the verified root, and
//! their loader. Used by `bennud`; decisions about what to trust are the caller's (`bennu_policy::gate`).
//!
//! [`Gate::set_up`] loads, attaches, pins and configures the programs, once in a boot. From then on they need nobody:
//! the links are held by pins on a file system whose mount and files the programs themselves guard, the configuration
//! is frozen, and the death of `bennud` changes nothing. [`Gate::adopt`] opens the maps again. What may still change,
//! and only become stricter, is in [`live`]; what is done about drift, and undone, in [`respond`]; what tells `bennud` that
//! its memory is the one that it wrote, in [`memory`].
//!
//! On failure: before the configuration is written nothing is denied, and dropping what was made undoes it. After it
//! the gate stands, and an error says what is missing.

mod fill;
pub mod interface;
pub mod live;
pub mod memory;
pub mod objects;
pub mod others;
pub mod programs;
pub mod respond;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::pin::PinError;
use aya::programs::links::{FdLink, LinkError};
use aya::programs::{Program, ProgramError};
use aya::{Btf, BtfError, Ebpf, EbpfError, EbpfLoader};
use bennu_formats::gate::GateMode;
use fill::Maps;
use interface::{CONFIG_BYTES, COUNTERS_BYTES, Event, Own, Settings};
use live::{failed, open};
use programs::{Packets, Place};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Maps that user space cannot write once the gate stands. Not the rings: their readers write how far they have come.
const FROZEN: [&str; 15] = [
    "config",
    "programs",
    "devices",
    "own",
    "trusted",
    "state",
    "counters",
    "interpreters",
    "units",
    "executables",
    "addresses",
    "peers",
    "known_units",
    "known_peers",
    "trace_counters",
];
/// The others: what `bennud` raises and adds to, what it does about drift, the marks of its memory, and the rings.
const OPEN: [&str; 7] = ["stages", "data", "traces", "responses", "groups", "memory", RING];
const RING: &str = "events";

fn all_maps() -> impl Iterator<Item = &'static str> {
    FROZEN.into_iter().chain(OPEN)
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// No BTF of the running kernel.
    #[error("kernel types (/sys/kernel/btf/vmlinux): {0}")]
    Types(#[source] BtfError),
    /// The kernel lacks a hook.
    #[error("hook {hook}: expected it in the kernel (Linux 6.12 or later), found none: {source}")]
    NoHook {
        /// The hook or function.
        hook: &'static str,
        /// Why.
        source: BtfError,
    },
    /// The object or its maps.
    #[error("gate programs: {}", chain(.0))]
    Object(#[source] EbpfError),
    /// A program that the object should have.
    #[error("gate programs: expected {0} in the object, found none")]
    NoProgram(&'static str),
    /// A map that the object should have.
    #[error("gate programs: expected map {0} in the object, found none")]
    NoMap(&'static str),
    /// The verifier or the kernel refused a program.
    #[error("gate program {program} at {place}: {}", chain(.source))]
    Program {
        /// Name.
        program: &'static str,
        /// Hook or function.
        place: &'static str,
        /// Why.
        source: ProgramError,
    },
    /// A link.
    #[error("gate program {program}: link: {source}")]
    Link {
        /// Name.
        program: &'static str,
        /// Why.
        source: LinkError,
    },
    /// A map could not be used.
    #[error("gate map {map}: {}", chain(.source))]
    Map {
        /// Name.
        map: &'static str,
        /// Why.
        source: MapError,
    },
    /// A map could not be frozen.
    #[error("gate map {map}: cannot be frozen: {source}")]
    Freeze {
        /// Name.
        map: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program at the root of the control groups.
    #[error("gate program {program}: cannot be attached to the root of the control groups: {source}")]
    Groups {
        /// Name.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Pinning.
    #[error("gate pin {name}: {}", chain(.source))]
    Pin {
        /// Name of the pin.
        name: &'static str,
        /// Why.
        source: PinError,
    },
    /// The directory of the pins could not be opened.
    #[error("gate pins: cannot be opened: {0}")]
    Pins(#[source] io::Error),
    /// What is pinned is not ours.
    #[error("gate map config: expected dry-run or enforce, found neither")]
    NotConfigured,
}

/// An error with its causes: the verifier's words are in the last one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

/// What the caller does for the gate, because it takes calls that no library has.
pub trait Kernel {
    /// Takes a map's writability from user space.
    ///
    /// # Errors
    /// The kernel's.
    fn freeze(&self, map: BorrowedFd<'_>) -> io::Result<()>;

    /// Attaches a program to the root of the control groups, beside others and without a link: nobody can take it off
    /// who has no descriptor of the program.
    ///
    /// # Errors
    /// The kernel's.
    fn attach_to_groups(&self, program: BorrowedFd<'_>, packets: Packets) -> io::Result<()>;
}

/// The gate that stands, as `bennud` sees it.
pub struct Gate {
    mode: GateMode,
    root_dev: u32,
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, [u8; COUNTERS_BYTES]>,
}

impl Gate {
    /// Sets up the gate, its pins in the empty bpffs at `pins`.
    ///
    /// # Errors
    /// See [`GateError`].
    pub fn set_up(settings: &Settings, pins: &Path, kernel: &impl Kernel) -> Result<Self, GateError> {
        let types = Btf::from_sys_fs().map_err(GateError::Types)?;
        let mut object = EbpfLoader::new()
            .btf(Some(&types))
            .load(programs::object())
            .map_err(GateError::Object)?;
        let links = attach_all(&mut object, &types, settings)?;
        if settings.network {
            attach_network(&mut object, kernel)?;
        }
        let mut maps = Maps { object, kernel };
        maps.fill(settings)?;
        for (name, link) in links {
            maps.remember(
                Own::Link,
                link.info()
                    .map_err(|source| GateError::Link {
                        program: name,
                        source,
                    })?
                    .id(),
            )?;
            link.pin(pins.join(name))
                .map_err(|source| GateError::Pin { name, source })?;
        }
        for name in all_maps() {
            let map = maps.data(name)?;
            map.pin(pins.join(name))
                .map_err(|source| GateError::Pin { name, source })?;
        }
        maps.configure(settings)?;
        // From here on the gate decides. Opening the directory tells it which mount to guard.
        std::fs::File::open(pins).map_err(GateError::Pins)?;
        maps.freeze_all()?;
        drop(maps);
        Self::adopt(pins)
    }

    /// Opens the gate that stands, by its pins.
    ///
    /// # Errors
    /// See [`GateError`]; [`GateError::Map`] where there is none.
    pub fn adopt(pins: &Path) -> Result<Self, GateError> {
        let config = Array::<_, [u8; CONFIG_BYTES]>::try_from(Map::Array(open(pins, "config")?))
            .map_err(failed("config"))?;
        let config = config.get(&0, 0).map_err(failed("config"))?;
        let counters =
            PerCpuArray::try_from(Map::PerCpuArray(open(pins, "counters")?)).map_err(failed("counters"))?;
        Ok(Self {
            mode: interface::mode_of(&config).ok_or(GateError::NotConfigured)?,
            root_dev: interface::root_of(&config).ok_or(GateError::NotConfigured)?,
            ring: RingBuf::try_from(Map::RingBuf(open(pins, RING)?)).map_err(failed(RING))?,
            counters,
        })
    }

    /// What it does.
    pub fn mode(&self) -> GateMode {
        self.mode
    }

    /// The root's device, `major << 20 | minor`.
    pub fn root_dev(&self) -> u32 {
        self.root_dev
    }

    /// Events so far and those that were lost, over all CPUs.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn counted(&self) -> Result<(u64, u64), GateError> {
        let each = self.counters.get(&0, 0).map_err(failed("counters"))?;
        Ok(interface::sum(each.iter()))
    }

    /// The next event, if there is one. A record that no program of ours writes is passed over.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(record) = self.ring.next() {
            if let Some(event) = Event::decode(&record) {
                return Some(event);
            }
        }
        None
    }

    /// Readable when there are events.
    pub fn ring(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

fn attach_all(
    object: &mut Ebpf,
    types: &Btf,
    settings: &Settings,
) -> Result<Vec<(&'static str, FdLink)>, GateError> {
    programs::wanted(settings)
        .map(|(name, place)| Ok((name, attach(object, types, name, place)?)))
        .collect()
}

fn attach_network(object: &mut Ebpf, kernel: &impl Kernel) -> Result<(), GateError> {
    for (name, packets) in programs::NETWORK {
        let Some(Program::CgroupSkb(program)) = object.program_mut(name) else {
            return Err(GateError::NoProgram(name));
        };
        let failed = |source| GateError::Program {
            program: name,
            place: "cgroup_skb",
            source,
        };
        program.load().map_err(failed)?;
        let descriptor = program.fd().map_err(failed)?.as_fd();
        let attached = kernel.attach_to_groups(descriptor, packets);
        attached.map_err(|source| GateError::Groups {
            program: name,
            source,
        })?;
    }
    Ok(())
}

fn attach(object: &mut Ebpf, types: &Btf, program: &'static str, place: Place) -> Result<FdLink, GateError> {
    let (Place::Hook(place_name) | Place::Function(place_name)) = place;
    let failed = |source| match source {
        ProgramError::Btf(source) => GateError::NoHook {
            hook: place_name,
            source,
        },
        source => GateError::Program {
            program,
            place: place_name,
            source,
        },
    };
    match object.program_mut(program) {
        Some(Program::Lsm(lsm)) => {
            lsm.load(place_name, types).map_err(failed)?;
            let id = lsm.attach().map_err(failed)?;
            Ok(lsm.take_link(id).map_err(failed)?.into())
        }
        Some(Program::FEntry(entry)) => {
            entry.load(place_name, types).map_err(failed)?;
            let id = entry.attach().map_err(failed)?;
            Ok(entry.take_link(id).map_err(failed)?.into())
        }
        _ => Err(GateError::NoProgram(program)),
    }
}
