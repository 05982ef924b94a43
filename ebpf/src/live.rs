//! What `bennud` reads and raises while the gate stands: stages of profiles, directories of interpreters, the trace.
//!
//! The programs let nobody but `bennud` open these maps.

use crate::GateError;
use crate::interface::trace::Trace;
use crate::interface::units::{DATA_BYTES, Data, Stages};
use crate::interface::{self, COUNTERS_BYTES};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Opens a pinned map.
pub(crate) fn open(pins: &Path, name: &'static str) -> Result<MapData, GateError> {
    MapData::from_pin(pins.join(name)).map_err(failed(name))
}

pub(crate) fn failed(map: &'static str) -> impl Fn(MapError) -> GateError {
    move |source| GateError::Map { map, source }
}

/// What can be raised and added; nothing can be lowered or taken away through it.
pub struct Adjustments {
    stages: Array<MapData, Stages>,
    data: HashMap<MapData, [u8; DATA_BYTES], u32>,
}

impl Adjustments {
    /// Of the gate that stands.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn open(pins: &Path) -> Result<Self, GateError> {
        Ok(Self {
            stages: Array::try_from(Map::Array(open(pins, "stages")?)).map_err(failed("stages"))?,
            data: HashMap::try_from(Map::HashMap(open(pins, "data")?)).map_err(failed("data"))?,
        })
    }

    /// What holds for a profile, the first of which is 1.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn stages(&self, profile: u32) -> Result<Stages, GateError> {
        self.stages.get(&profile, 0).map_err(failed("stages"))
    }

    /// Raises stages; one that holds more strictly stays.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn raise(&mut self, profile: u32, to: Stages) -> Result<(), GateError> {
        let mut stages = self.stages(profile)?;
        for (held, to) in stages.iter_mut().zip(to) {
            *held = (*held).max(to);
        }
        self.stages.set(profile, stages, 0).map_err(failed("stages"))
    }

    /// Lets an interpreter read the files of a directory.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn add(&mut self, data: &Data) -> Result<(), GateError> {
        self.data.insert(data.key(), 1_u32, 0).map_err(failed("data"))
    }
}

/// The trace's ring and its counters.
pub struct Traces {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, [u8; COUNTERS_BYTES]>,
}

impl Traces {
    /// Of the gate that stands.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn open(pins: &Path) -> Result<Self, GateError> {
        let counters = Map::PerCpuArray(open(pins, "trace_counters")?);
        Ok(Self {
            ring: RingBuf::try_from(Map::RingBuf(open(pins, "traces")?)).map_err(failed("traces"))?,
            counters: PerCpuArray::try_from(counters).map_err(failed("trace_counters"))?,
        })
    }

    /// The next record, if there is one.
    pub fn next_trace(&mut self) -> Option<Trace> {
        while let Some(record) = self.ring.next() {
            if let Some(trace) = Trace::decode(&record) {
                return Some(trace);
            }
        }
        None
    }

    /// Of each CPU, from 0: the number of its last record, and how many of them the ring had no room for.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn counted(&self) -> Result<Vec<(u64, u64)>, GateError> {
        let each = self.counters.get(&0, 0).map_err(failed("trace_counters"))?;
        Ok(each.iter().map(interface::counters).collect())
    }

    /// Readable when there are records.
    pub fn ring(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
