//! What `bennud` has the gate do about drift, and undo: units that start no more programs, and a network that is cut.
//!
//! The programs let nobody but `bennud` open these maps. What is set holds without it.

use crate::GateError;
use crate::interface::respond::{FEATURE_NETWORK, GROUP_BYTES, Mark, RESPONSE_BYTES, Responses, group_key};
use crate::interface::{CONFIG_BYTES, features_of};
use crate::live::{failed, open};
use aya::maps::{Array, HashMap, Map, MapData};
use std::path::Path;

/// Both maps.
pub struct Responder {
    state: Array<MapData, [u8; RESPONSE_BYTES]>,
    groups: HashMap<MapData, [u8; GROUP_BYTES], u32>,
    network: bool,
}

impl Responder {
    /// Of the gate that stands.
    ///
    /// # Errors
    /// [`GateError::Map`], also where there is no gate.
    pub fn open(pins: &Path) -> Result<Self, GateError> {
        let config = Array::<_, [u8; CONFIG_BYTES]>::try_from(Map::Array(open(pins, "config")?))
            .map_err(failed("config"))?;
        let config = config.get(&0, 0).map_err(failed("config"))?;
        Ok(Self {
            state: Array::try_from(Map::Array(open(pins, "responses")?)).map_err(failed("responses"))?,
            groups: HashMap::try_from(Map::HashMap(open(pins, "groups")?)).map_err(failed("groups"))?,
            network: features_of(&config) & FEATURE_NETWORK != 0,
        })
    }

    /// Whether the programs that cut the network are attached.
    pub fn can_cut(&self) -> bool {
        self.network
    }

    /// What is done now; nothing where the value is none that `bennud` wrote.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn now(&self) -> Result<Responses, GateError> {
        let bytes = self.state.get(&0, 0).map_err(failed("responses"))?;
        Ok(Responses::decode(&bytes).unwrap_or_default())
    }

    /// Does this from now on.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn set(&mut self, to: &Responses) -> Result<(), GateError> {
        self.state.set(0, to.encode(), 0).map_err(failed("responses"))
    }

    /// Marks the control group `name` in the one whose directory has the inode `parent`.
    ///
    /// # Errors
    /// [`GateError::Map`], also when all 64 places are taken.
    pub fn mark(&mut self, parent: u64, name: &str, mark: Mark) -> Result<(), GateError> {
        let key = group_key(parent, name);
        self.groups
            .insert(key, mark.number(), 0)
            .map_err(failed("groups"))
    }

    /// Takes all marks away.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn unmark_all(&mut self) -> Result<(), GateError> {
        let keys: Vec<_> = self
            .groups
            .keys()
            .collect::<Result<_, _>>()
            .map_err(failed("groups"))?;
        keys.iter()
            .try_for_each(|key| self.groups.remove(key))
            .map_err(failed("groups"))
    }
}
