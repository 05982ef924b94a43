//! What is pinned of the gate that stands, by the kernel's ids.
//!
//! Read by `bennud`, which compares with what it saw first: the ids of a gate that nobody touched stay.

use crate::{GateError, all_maps};
use aya::maps::MapData;
use aya::programs::links::{FdLink, PinnedLink};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// One pinned object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A link, with the program that it holds.
    Link {
        /// Id of the link.
        id: u32,
        /// Id of the program.
        program: u32,
    },
    /// A map.
    Map {
        /// Id.
        id: u32,
    },
    /// Neither a link nor one of the gate's maps.
    Foreign,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { id, program } => write!(f, "link {id} with program {program}"),
            Self::Map { id } => write!(f, "map {id}"),
            Self::Foreign => f.write_str("something else"),
        }
    }
}

/// The objects that are pinned, by the names of their pins.
///
/// # Errors
/// [`GateError::Pins`] when the directory cannot be read, or the process has no means to ask. A pin that is gone between two
/// calls counts as gone; one that is no link or map is foreign.
pub fn pinned(pins: &Path) -> Result<BTreeMap<String, Object>, GateError> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(pins).map_err(GateError::Pins)? {
        let name = entry.map_err(GateError::Pins)?.file_name();
        let name = name.to_string_lossy().into_owned();
        let path = pins.join(&name);
        let object = match all_maps().find(|map| *map == name) {
            Some(_) => map_of(&path),
            None => link_of(&path),
        };
        let object = match object {
            Ok(object) => object,
            Err(error) if !path.exists() => {
                let _gone = error;
                continue;
            }
            // That the process has no descriptor left says nothing about the pin.
            Err(error) => passing(&*error).map_or(Ok(Object::Foreign), |why| Err(GateError::Pins(why)))?,
        };
        found.insert(name, object);
    }
    Ok(found)
}

type Asked = Result<Object, Box<dyn Error>>;

fn map_of(pin: &Path) -> Asked {
    let id = MapData::from_pin(pin)?.info()?.id();
    Ok(Object::Map { id })
}

fn link_of(pin: &Path) -> Asked {
    let info = FdLink::from(PinnedLink::from_pin(pin)?).info()?;
    Ok(Object::Link {
        id: info.id(),
        program: info.program_id(),
    })
}

/// The cause, if it is one that passes.
fn passing(error: &(dyn Error + 'static)) -> Option<io::Error> {
    // EINTR, EAGAIN, ENOMEM, ENFILE, EMFILE.
    const PASSING: [i32; 5] = [4, 11, 12, 23, 24];
    let mut cause = Some(error);
    while let Some(error) = cause {
        let number = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if let Some(number) = number.filter(|number| PASSING.contains(number)) {
            return Some(io::Error::from_raw_os_error(number));
        }
        cause = error.source();
    }
    None
}
