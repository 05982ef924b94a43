//! The map that tells `bennud` after its own end whether its memory is the one that it wrote.
//!
//! The programs let nobody but `bennud` open it. It begins empty with each start of the machine, as the memory does.

use crate::GateError;
use crate::interface::memory::{MARKS_BYTES, Marks};
use crate::live::{failed, open};
use aya::maps::{Array, Map, MapData};
use std::path::Path;

/// The map.
pub struct Keeper {
    marks: Array<MapData, [u8; MARKS_BYTES]>,
}

impl Keeper {
    /// Of the gate that stands.
    ///
    /// # Errors
    /// [`GateError::Map`], also where there is no gate.
    pub fn open(pins: &Path) -> Result<Self, GateError> {
        let marks = Map::Array(open(pins, "memory")?);
        Ok(Self {
            marks: Array::try_from(marks).map_err(failed("memory"))?,
        })
    }

    /// What was marked last in this start of the machine.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn get(&self) -> Result<Marks, GateError> {
        let bytes = self.marks.get(&0, 0).map_err(failed("memory"))?;
        Ok(Marks::decode(&bytes))
    }

    /// Marks anew, whole or not at all: the kernel has copied the value before it changes the map.
    ///
    /// # Errors
    /// [`GateError::Map`].
    pub fn set(&mut self, marks: &Marks) -> Result<(), GateError> {
        self.marks.set(0, marks.encode(), 0).map_err(failed("memory"))
    }
}
