//! The maps of programs that are loaded and do not decide yet: filled, then configured, then frozen.

use crate::interface::units::{self, Unit};
use crate::interface::{CONFIG_BYTES, Own, Settings};
use crate::programs::{self, Place};
use crate::{FROZEN, GateError, Kernel, all_maps};
use aya::maps::{Array, HashMap, Map, MapData};
use aya::{Ebpf, Pod};
use std::os::fd::AsFd;

/// The maps of an object that is loaded.
pub(crate) struct Maps<'k, K> {
    pub(crate) object: Ebpf,
    pub(crate) kernel: &'k K,
}

impl<K: Kernel> Maps<'_, K> {
    pub(crate) fn data(&self, name: &'static str) -> Result<&MapData, GateError> {
        match self.object.map(name) {
            Some(
                Map::Array(data)
                | Map::HashMap(data)
                | Map::LruHashMap(data)
                | Map::PerCpuArray(data)
                | Map::RingBuf(data),
            ) => Ok(data),
            _ => Err(GateError::NoMap(name)),
        }
    }

    fn insert<T: Pod>(
        &mut self,
        name: &'static str,
        pairs: impl IntoIterator<Item = (T, u32)>,
    ) -> Result<(), GateError> {
        let failed = |source| GateError::Map { map: name, source };
        let map = self.object.map_mut(name).ok_or(GateError::NoMap(name))?;
        let mut map = HashMap::<_, T, u32>::try_from(map).map_err(failed)?;
        pairs
            .into_iter()
            .try_for_each(|(key, value)| map.insert(key, value, 0))
            .map_err(failed)
    }

    fn set<V: Pod>(&mut self, name: &'static str, index: u32, value: V) -> Result<(), GateError> {
        let failed = |source| GateError::Map { map: name, source };
        let map = self.object.map_mut(name).ok_or(GateError::NoMap(name))?;
        let mut map = Array::<_, V>::try_from(map).map_err(failed)?;
        map.set(index, value, 0).map_err(failed)
    }

    pub(crate) fn remember(&mut self, kind: Own, id: u32) -> Result<(), GateError> {
        self.insert("own", [(kind.key(id), 1)])
    }

    /// Everything but the configuration, which makes the programs decide.
    pub(crate) fn fill(&mut self, settings: &Settings) -> Result<(), GateError> {
        self.insert("programs", settings.programs.iter().copied())?;
        self.insert("devices", settings.guards())?;
        self.insert("interpreters", settings.interpreters.iter().copied())?;
        self.insert("data", settings.data.iter().map(|data| (data.key(), 1)))?;
        for (index, unit) in (1..).zip(&settings.units) {
            self.fill_unit(index, unit)?;
        }
        for name in all_maps() {
            let info = self.data(name)?.info();
            let id = info.map_err(|source| GateError::Map { map: name, source })?.id();
            self.remember(Own::Map, id)?;
        }
        let places = programs::wanted(settings)
            .map(|(name, Place::Hook(place) | Place::Function(place))| (name, place));
        let network = programs::NETWORK.map(|(name, _)| (name, "cgroup_skb"));
        let network = network.into_iter().filter(|_| settings.network);
        for (name, place) in places.chain(network) {
            let program = self.object.program(name).ok_or(GateError::NoProgram(name))?;
            let info = program.info().map_err(|source| GateError::Program {
                program: name,
                place,
                source,
            })?;
            self.remember(Own::Program, info.id())?;
        }
        Ok(())
    }

    fn fill_unit(&mut self, profile: u32, unit: &Unit) -> Result<(), GateError> {
        let executables = unit.allowed().into_iter();
        self.insert(
            "executables",
            executables.map(|(inode, bits)| (units::executable_key(profile, inode), bits)),
        )?;
        let sockets = unit.sockets.iter();
        self.insert(
            "peers",
            sockets.map(|socket| (units::peer_key(profile, socket), 1)),
        )?;
        self.set("addresses", profile, units::addresses(&unit.networks))?;
        self.set("stages", profile, unit.stages)?;
        // Last, because it makes the profile known.
        self.insert("units", [(units::unit_key(&unit.name), profile)])
    }

    pub(crate) fn configure(&mut self, settings: &Settings) -> Result<(), GateError> {
        self.set::<[u8; CONFIG_BYTES]>("config", 0, settings.config())
    }

    pub(crate) fn freeze_all(&self) -> Result<(), GateError> {
        FROZEN.into_iter().try_for_each(|map| {
            self.kernel
                .freeze(self.data(map)?.fd().as_fd())
                .map_err(|source| GateError::Freeze { map, source })
        })
    }
}
