//! Kernel modules: those that every boot needs by name, the others as the hardware asks for them.

use crate::error::InitError;
use crate::journal::Journal;
use bennu_formats::initrd_modules::{FOR_STATE, REQUIRED};
use bennu_formats::paths;
use bennu_linux::modules::{Loader, ModuleList, modaliases};
use std::path::Path;

/// Faster hashing and encryption, loaded before dm-verity and dm-crypt look for an implementation.
const FASTER: [&str; 2] = ["sha256_ssse3", "aesni_intel"];
/// Not needed for a boot that goes well.
const DISPENSABLE: [&str; 3] = ["sha256_ssse3", "aesni_intel", "efi_pstore"];

/// Reads the list that the builder made.
pub fn read_list() -> Result<ModuleList, InitError> {
    ModuleList::read(Path::new(paths::INITRD_MODULE_LIST)).map_err(InitError::ModuleList)
}

/// Loads the modules by name, then those for the hardware that is there.
pub fn load(list: &ModuleList, journal: &mut Journal) -> Result<(), InitError> {
    let mut loader = Loader::new(list);
    // One that is not in the list is built in: the builder checked that.
    for name in FASTER.into_iter().chain(REQUIRED).chain(FOR_STATE) {
        let listed = bennu_linux::modules::ModuleName::new(name).is_some_and(|n| list.module(&n).is_some());
        if !listed {
            continue;
        }
        match loader.load(name, "") {
            Ok(_) => {}
            // A CPU without the instructions, a firmware without the variable: slower or less to tell.
            Err(error) if DISPENSABLE.contains(&name) => journal.warn(&error.to_string()),
            Err(error) => return Err(InitError::ModuleLoad(error)),
        }
    }
    load_for_hardware(list)
}

/// Loads what the hardware asks for. Called again while waiting for disks: a bus driver brings new devices. A
/// driver that does not load is not an error here; a disk that is missed because of it is one later.
pub fn load_for_hardware(list: &ModuleList) -> Result<(), InitError> {
    let mut loader = Loader::new(list);
    for modalias in modaliases(Path::new("/sys/devices")).map_err(InitError::Modaliases)? {
        for name in list.for_modalias(&modalias) {
            let _missed = loader.load(name.as_str(), "");
        }
    }
    Ok(())
}
