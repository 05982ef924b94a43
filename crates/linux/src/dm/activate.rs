//! A device made in one act, checked, and removed again where a step fails.

use super::{Access, Device, DeviceMapper, DmError, Name, TableLine, Uuid};
use crate::block::{self, DeviceNumber};

impl DeviceMapper {
    /// Creates, loads and resumes a device, then checks that it is live, has the access asked for, and
    /// that its node is this device. On failure the device is removed again.
    ///
    /// The live table is *not* compared with `line` here: targets rewrite their parameters (device
    /// paths become numbers). Callers compare [`Self::table`] with what they expect, or use
    /// [`Self::activate_exactly`].
    ///
    /// # Errors
    /// The failing act's variant; [`DmError::Cleanup`] if removing failed as well.
    pub fn activate(
        &self,
        name: &Name,
        uuid: &Uuid,
        line: &TableLine,
        access: Access,
    ) -> Result<Device, DmError> {
        let number = self.create(name, uuid, access)?;
        self.make_live(name, number, line, access)
            .map_err(|cause| self.clean_up(name, cause))
    }

    /// Like [`Self::activate`], and the live table must equal `line` to the byte: for parameters
    /// written the way the kernel reports them (`major:minor` for devices).
    ///
    /// # Errors
    /// As [`Self::activate`], and [`DmError::ReadBack`].
    pub fn activate_exactly(
        &self,
        name: &Name,
        uuid: &Uuid,
        line: &TableLine,
        access: Access,
    ) -> Result<Device, DmError> {
        let device = self.activate(name, uuid, line, access)?;
        match self.table(name) {
            Ok(found) if found == *line => Ok(device),
            Ok(found) => Err(self.clean_up(
                name,
                DmError::ReadBack {
                    name: name.clone(),
                    found,
                },
            )),
            Err(cause) => Err(self.clean_up(name, cause)),
        }
    }

    fn make_live(
        &self,
        name: &Name,
        number: DeviceNumber,
        line: &TableLine,
        access: Access,
    ) -> Result<Device, DmError> {
        self.load(name, line, access)?;
        self.resume(name)?;
        let state = self.state(name)?;
        let access_holds = state.read_only || access == Access::ReadWrite;
        if state.number != number || state.suspended || !state.live_table || !access_holds {
            return Err(DmError::State {
                name: name.clone(),
                state,
            });
        }
        let node =
            block::ensure_node(&format!("dm-{}", number.minor), number).map_err(|source| DmError::Node {
                name: name.clone(),
                source,
            })?;
        Ok(Device {
            name: name.clone(),
            number,
            node,
        })
    }

    fn clean_up(&self, name: &Name, cause: DmError) -> DmError {
        match self.remove(name) {
            Ok(()) => cause,
            Err(cleanup) => DmError::Cleanup {
                cause: Box::new(cause),
                cleanup: Box::new(cleanup),
            },
        }
    }
}
