//! What is pinned of the gate that stands, by the kernel's ids, and what the gate itself says is its own.
//!
//! Read by `bennud`, which compares the one with the other: the ids of a gate that nobody touched stay. The gate's list is
//! its map `own`, which is frozen since before anything of the image's own ran.

use crate::interface::Own;
use crate::live::{failed, open};
use crate::{GateError, all_maps};
use aya::maps::{HashMap, Map, MapData, MapError};
use aya::programs::links::{FdLink, PinnedLink};
use std::collections::{BTreeMap, BTreeSet};
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

/// The gate's own list of its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed(BTreeSet<[u32; 2]>);

impl Listed {
    /// Of these objects, with the programs of links.
    pub fn of(objects: impl IntoIterator<Item = Object>) -> Self {
        let keys = objects.into_iter().flat_map(|object| match object {
            Object::Link { id, program } => vec![Own::Link.key(id), Own::Program.key(program)],
            Object::Map { id } => vec![Own::Map.key(id)],
            Object::Foreign => Vec::new(),
        });
        Self(keys.collect())
    }

    /// Whether it is one of them.
    pub fn has(&self, object: &Object) -> bool {
        match object {
            Object::Link { id, program } => {
                self.0.contains(&Own::Link.key(*id)) && self.0.contains(&Own::Program.key(*program))
            }
            Object::Map { id } => self.0.contains(&Own::Map.key(*id)),
            Object::Foreign => false,
        }
    }

    /// Its links and maps that are not among `pinned`, in words. Programs have no pins.
    pub fn missing(&self, pinned: &BTreeMap<String, Object>) -> Vec<String> {
        let pinned: BTreeSet<[u32; 2]> = Self::of(pinned.values().copied()).0;
        let kinds = [(Own::Map, "map"), (Own::Link, "link")];
        let missing = kinds.into_iter().flat_map(|(own, word)| {
            let all = self.0.iter().filter(move |key| **key == own.key(key[1]));
            all.map(move |key| (key, word))
        });
        missing
            .filter(|(key, _)| !pinned.contains(*key))
            .map(|(key, word)| format!("{word} {}", key[1]))
            .collect()
    }
}

/// What the gate says is its own; nothing where the pin holds no list of the gate's.
///
/// # Errors
/// [`GateError::Pins`] when the process has no means to ask.
pub fn listed(pins: &Path) -> Result<Option<Listed>, GateError> {
    match list_of(pins) {
        Ok(listed) => Ok(Some(listed)),
        Err(error) => passing(&error).map_or(Ok(None), |why| Err(GateError::Pins(why))),
    }
}

fn list_of(pins: &Path) -> Result<Listed, GateError> {
    let map = Map::HashMap(open(pins, "own")?);
    let own: HashMap<MapData, [u32; 2], u32> = HashMap::try_from(map).map_err(failed("own"))?;
    let keys: Result<_, MapError> = own.keys().collect();
    Ok(Listed(keys.map_err(failed("own"))?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_list_knows_its_own_objects_and_names_those_that_have_no_pin() {
        let link = Object::Link { id: 4, program: 5 };
        let map = Object::Map { id: 9 };
        let listed = Listed::of([link, map]);
        assert!(listed.has(&link) && listed.has(&map), "positive control");
        for other in [
            Object::Link { id: 9, program: 5 },
            Object::Link { id: 4, program: 6 },
            Object::Map { id: 4 },
            Object::Foreign,
        ] {
            assert!(!listed.has(&other), "{other}");
        }
        let pins = |all: &[Object]| -> BTreeMap<String, Object> {
            let named = all.iter().map(|object| (object.to_string(), *object));
            named.collect()
        };
        assert_eq!(listed.missing(&pins(&[link, map])), Vec::<String>::new());
        assert_eq!(listed.missing(&pins(&[map])), ["link 4"]);
        assert_eq!(listed.missing(&pins(&[])), ["map 9", "link 4"]);
    }

    #[test]
    fn where_nothing_is_pinned_there_is_no_list() {
        assert_eq!(listed(Path::new("/nonexistent/gate")).unwrap(), None);
    }
}
