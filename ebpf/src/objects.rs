//! What is pinned of the gate that stands, by the kernel's ids.
//!
//! Read by `bennud`, which compares with what it saw first: the ids of a gate that nobody touched stay.

use crate::live::failed;
use crate::{GateError, all_maps};
use aya::maps::MapData;
use aya::programs::links::{FdLink, PinnedLink};
use std::collections::BTreeMap;
use std::fmt;
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
/// [`GateError::Pins`] when the directory cannot be read, [`GateError::Map`] for a map that cannot be asked. A pin that is
/// gone between two calls counts as gone.
pub fn pinned(pins: &Path) -> Result<BTreeMap<String, Object>, GateError> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(pins).map_err(GateError::Pins)? {
        let name = entry.map_err(GateError::Pins)?.file_name();
        let name = name.to_string_lossy().into_owned();
        let map = all_maps().find(|map| *map == name);
        let object = match map {
            Some(map) => map_of(pins, map)?,
            None => link_of(&pins.join(&name)).unwrap_or(Object::Foreign),
        };
        found.insert(name, object);
    }
    Ok(found)
}

fn map_of(pins: &Path, name: &'static str) -> Result<Object, GateError> {
    let map = MapData::from_pin(pins.join(name)).map_err(failed(name))?;
    let id = map.info().map_err(failed(name))?.id();
    Ok(Object::Map { id })
}

fn link_of(pin: &Path) -> Option<Object> {
    let link = FdLink::from(PinnedLink::from_pin(pin).ok()?);
    let info = link.info().ok()?;
    Some(Object::Link {
        id: info.id(),
        program: info.program_id(),
    })
}
