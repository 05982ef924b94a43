//! Kernel modules: those that every boot needs by name, the others as the hardware asks for them.
//!
//! Reads the list in the signed initrd and the modaliases of the devices. What may be loaded is fixed when the image
//! is built; the kernel checks each signature. In which order disk controllers are loaded is not a matter of trust:
//! everything that is used comes from the boot disk and is verified (ADR 0020).

use crate::error::InitError;
use crate::journal::Journal;
use bennu_formats::hardening::REQUIRE_SIGNATURES;
use bennu_formats::initrd_modules::{FASTER_HASH, FASTER_STATE, FOR_STATE, KEYBOARD, REQUIRED, SLOW_STORAGE};
use bennu_formats::paths;
use bennu_linux::modules::{LoadError, Loader, ModuleList, ModuleName, modaliases};
use std::collections::BTreeSet;
use std::path::Path;

/// Where the kernel lists what is on each bus.
const BUSES: &str = "/sys/bus";
/// Drivers that probe while the next module is loaded (`async_probe`, kernel parameter of every module): links that
/// have to be looked at one after the other would hold everything up.
const SLOW_TO_PROBE: [&str; 2] = ["ahci", "ata_piix"];

/// Reads the list that the builder made.
pub fn read_list() -> Result<ModuleList, InitError> {
    ModuleList::read(Path::new(paths::INITRD_MODULE_LIST)).map_err(InitError::ModuleList)
}

/// What is loaded, and what can be.
pub struct Hardware<'a> {
    list: &'a ModuleList,
    loader: Loader<'a>,
    /// Modaliases that were served already, and with what.
    served: BTreeSet<String>,
    storage: Storage,
    /// Whether a device asked for a driver that is there at once.
    asked: bool,
}

/// Which disk controllers get their drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Those that are there at once: virtio, NVMe, and what the image adds.
    Fast,
    /// All.
    All,
}

impl<'a> Hardware<'a> {
    /// Loads what every boot needs, dm-verity with the parameter that the command line asks for.
    pub fn start(list: &'a ModuleList, cmdline: &str, journal: &mut Journal) -> Result<Self, InitError> {
        let mut this = Self {
            list,
            loader: Loader::new(list),
            served: BTreeSet::new(),
            storage: Storage::Fast,
            asked: false,
        };
        this.try_each(&FASTER_HASH, journal);
        for name in REQUIRED {
            match this.load(name, parameters(name, cmdline)) {
                Ok(()) => {}
                // A firmware without the variable: less to tell after a panic.
                Err(error) if name == "efi_pstore" => journal.warn(&error.to_string()),
                Err(error) => return Err(InitError::ModuleLoad(error)),
            }
        }
        this.look()?;
        Ok(this)
    }

    /// Loads what the encrypted state volume needs.
    pub fn for_state(&mut self, journal: &mut Journal) -> Result<(), InitError> {
        self.try_each(&FASTER_STATE, journal);
        FOR_STATE
            .iter()
            .try_for_each(|name| self.load(name, ""))
            .map_err(InitError::ModuleLoad)
    }

    /// From now on every disk controller gets its driver.
    pub fn all_storage(&mut self) -> Result<(), InitError> {
        self.storage = Storage::All;
        self.served.clear();
        self.look()
    }

    /// Which disk controllers get their drivers now.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Whether some device got a driver, so that a disk may be on its way.
    pub fn may_bring_a_disk(&self) -> bool {
        self.asked
    }

    /// Loads what a prompt needs: keyboards on USB, and the buses that lead there. PS/2 is built in.
    pub fn for_prompt(&mut self, journal: &mut Journal) -> Result<(), InitError> {
        self.all_storage()?;
        self.try_each(&KEYBOARD, journal);
        self.look()
    }

    /// Loads what the hardware asks for. Called again while waiting for disks: a bus driver brings new devices. A
    /// driver that does not load is not an error here; a disk that is missed because of it is one later.
    pub fn look(&mut self) -> Result<(), InitError> {
        for modalias in modaliases(Path::new(BUSES)).map_err(InitError::Modaliases)? {
            if !self.served.insert(modalias.clone()) {
                continue;
            }
            for name in self.list.for_modalias(&modalias) {
                if self.wants(name.as_str()) {
                    let parameters = parameters(name.as_str(), "");
                    let _missed = self.loader.load(name.as_str(), parameters);
                    self.asked = true;
                }
            }
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        let slow = SLOW_STORAGE.contains(&name);
        !KEYBOARD.contains(&name) && (!slow || self.storage == Storage::All)
    }

    /// Loads those that something is only slower without.
    fn try_each(&mut self, names: &[&str], journal: &mut Journal) {
        for name in names {
            if let Err(error) = self.load(name, "") {
                journal.warn(&error.to_string());
            }
        }
    }

    /// One that is not in the list is built in: the builder checked that.
    fn load(&mut self, name: &str, parameters: &str) -> Result<(), LoadError> {
        let listed = ModuleName::new(name).is_some_and(|name| self.list.module(&name).is_some());
        if listed {
            self.loader.load(name, parameters)?;
        }
        Ok(())
    }
}

/// A module of an initrd sees nothing of the command line: what it needs from there is handed to it.
fn parameters(name: &str, cmdline: &str) -> &'static str {
    if name == "dm_verity" && asks_for_signatures(cmdline) {
        "require_signatures=1"
    } else if SLOW_TO_PROBE.contains(&name) {
        "async_probe"
    } else {
        ""
    }
}

/// Whether the signed command line wants the kernel to check the signature over the root hash.
pub fn asks_for_signatures(cmdline: &str) -> bool {
    let wanted = format!("{REQUIRE_SIGNATURES}=1");
    cmdline.split_ascii_whitespace().any(|word| word == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dm_verity_demands_signatures_exactly_where_the_command_line_does() {
        assert_eq!(
            parameters("dm_verity", "quiet dm_verity.require_signatures=1"),
            "require_signatures=1"
        );
        assert_eq!(parameters("dm_verity", "dm_verity.require_signatures=10"), "");
        assert_eq!(parameters("erofs", "dm_verity.require_signatures=1"), "");
    }
}
