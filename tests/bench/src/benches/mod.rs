//! The benches: each gives its rows, or rows with the reason why there are no numbers.

mod boot;
mod dracut;
mod gate;
mod hash_tree;
mod image_verify;
mod initrd_size;
mod root_image;

use crate::machine::Machine;
use crate::report::Row;
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// What every bench is given.
#[derive(Debug)]
pub struct Session {
    /// Measured pairs.
    pub pairs: usize,
    /// Size of generated data in MiB.
    pub data_mib: u64,
    /// The machine's limits.
    pub machine: Machine,
    /// Directory for what lives no longer than a bench; on the disk that was measured.
    pub work: PathBuf,
}

impl Session {
    /// A directory that goes away with its owner.
    fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("work-")
            .tempdir_in(&self.work)
            .with_context(|| self.work.display().to_string())
    }
}

/// A bench.
pub struct Bench {
    /// For `--only`; its rows are called so, or begin with it.
    pub name: &'static str,
    /// For `--list`.
    pub about: &'static str,
    /// The peer, should it not come to rows.
    pub peer: &'static str,
    /// Measures. An error means that the bench itself went wrong.
    pub run: fn(&Session) -> Result<Vec<Row>>,
}

/// All benches, in the order in which they run.
pub const BENCHES: &[Bench] = &[
    Bench {
        name: "hash-tree",
        about: "hash tree over a file: time and peak memory",
        peer: hash_tree::PEER,
        run: hash_tree::rows,
    },
    Bench {
        name: "root-from-tar",
        about: "EROFS root from a Debian root's tar, and from its directory",
        peer: root_image::PEER,
        run: root_image::rows,
    },
    Bench {
        name: "image-verify",
        about: "everything `bennu verify` checks of a Debian root, UKI and tree",
        peer: image_verify::PEER,
        run: image_verify::rows,
    },
    Bench {
        name: "initrd-size",
        about: "compressed initrd, without and with an encrypted state volume",
        peer: dracut::PEER,
        run: initrd_size::rows,
    },
    Bench {
        name: "boot-to-switch-root",
        about: "kernel start to switch_root, and power-on to the root's init, in the same machine",
        peer: dracut::PEER,
        run: boot::root_rows,
    },
    Bench {
        name: "boot-to-switch-root-encrypted-state",
        about: "the same with an encrypted state volume",
        peer: dracut::PEER,
        run: boot::state_rows,
    },
    Bench {
        name: "gate",
        about: "guest instructions of fork+exec, open and connect behind the execution gate",
        peer: gate::PEER,
        run: gate::rows,
    },
    Bench {
        name: "gate-time",
        about: "how much longer they take by the clock, in two guests that take turns",
        peer: gate::time::PEER,
        run: gate::time::rows,
    },
    Bench {
        name: "gate-profile",
        about: "the same in a unit with a profile that allows it",
        peer: gate::PEER,
        run: gate::profiles::rows,
    },
    Bench {
        name: "trace",
        about: "the same with everything recorded",
        peer: gate::trace::PEER,
        run: gate::trace::rows,
    },
    Bench {
        name: "exec-burst",
        about: "100,000 programs: each is recorded or counted as lost",
        peer: "-",
        run: gate::burst::rows,
    },
    Bench {
        name: "bennud-idle",
        about: "processor and memory that bennud takes while nothing happens",
        peer: "-",
        run: gate::idle::rows,
    },
    Bench {
        name: "first-signal-to-purged",
        about: "first signal of drift to the end of State Purge",
        peer: "-",
        run: gate::purge::rows,
    },
    Bench {
        name: "reborn",
        about: "drift to multi-user in the other slot, by phase",
        peer: "-",
        run: gate::reborn::rows,
    },
];
