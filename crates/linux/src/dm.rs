//! Device-mapper: create, load, resume, read back, suspend, remove.
//!
//! Written by: `bennu-init` (verity and crypt devices) and `bennud` (suspends and removes). Read by:
//! both, through [`DeviceMapper::table`], which asks the kernel for the live table. On failure the
//! error names the act and the device; [`DeviceMapper::activate`] removes what it half made.
//!
//! A device is addressed by name. It always has exactly one table line that starts at sector 0: a
//! live table of any other shape is an error, so that what was verified is all there is. Node names
//! come from devtmpfs (`/dev/dm-N`, present as soon as a table is loaded) and are checked against the
//! device number; udev is never waited for in the initrd, where it does not run. The `devicemapper`
//! crate does wait for udev's cookie on resume and remove when `/run/udev/control` exists.
//!
//! Key material never belongs into table parameters: pass `:<size>:logon:<description>` and add the
//! key with [`crate::keyring`].

use std::path::PathBuf;

use devicemapper::{DM, DevId, DmFlags, DmOptions};

use crate::block::{self, DeviceNumber};

mod error;
mod table;

pub use error::DmError;
pub use table::{NAME_LIMIT, Name, PARAMS_LIMIT, TARGET_LIMIT, TableLine, UUID_LIMIT, Uuid};

/// Whether the device may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `DM_READONLY_FLAG`; what a verity device must have.
    ReadOnly,
    /// The device takes writes.
    ReadWrite,
}

/// What to do with requests under way when suspending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspendMode {
    /// Freeze the file system on the device and wait for its requests.
    FreezeAndFlush,
    /// Freeze nothing and wait for nothing (`DM_SKIP_LOCKFS`, `DM_NOFLUSH`): for a purge, where the
    /// file system's writers are hostile or stuck.
    Immediately,
}

/// What the kernel says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Device number.
    pub number: DeviceNumber,
    /// The UUID it was created with, if any.
    pub uuid: Option<String>,
    /// Number of openers, mounts included.
    pub open_count: u32,
    /// Suspended.
    pub suspended: bool,
    /// Read-only.
    pub read_only: bool,
    /// A live table is present.
    pub live_table: bool,
    /// A table is loaded that becomes live at the next resume.
    pub inactive_table: bool,
}

/// A live device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: Name,
    /// Its number.
    pub number: DeviceNumber,
    /// Its node, `/dev/dm-N`, checked to be this block device.
    pub node: PathBuf,
}

/// The open control device, `/dev/mapper/control`.
pub struct DeviceMapper(DM);

fn id(name: &Name) -> Result<DevId<'_>, devicemapper::DmError> {
    devicemapper::DmName::new(name.as_str()).map(DevId::Name)
}

impl DeviceMapper {
    /// Opens the control device.
    ///
    /// # Errors
    /// [`DmError::OpenControl`].
    pub fn open() -> Result<Self, DmError> {
        DM::new().map(Self).map_err(DmError::OpenControl)
    }

    /// Makes a device without a table.
    ///
    /// # Errors
    /// [`DmError::Create`], also if the name or the UUID is taken.
    pub fn create(&self, name: &Name, uuid: &Uuid, access: Access) -> Result<DeviceNumber, DmError> {
        let act = || {
            let dm_name = devicemapper::DmName::new(name.as_str())?;
            let dm_uuid = devicemapper::DmUuid::new(uuid.as_str())?;
            self.0.device_create(dm_name, Some(dm_uuid), options(access))
        };
        let info = act().map_err(|source| DmError::Create {
            name: name.clone(),
            source,
        })?;
        Ok(number(info.device()))
    }

    /// Loads a table line; it becomes live at the next [`Self::resume`]. The kernel wipes its copy of
    /// the request (`DM_SECURE_DATA`).
    ///
    /// # Errors
    /// [`DmError::Load`].
    pub fn load(&self, name: &Name, line: &TableLine, access: Access) -> Result<(), DmError> {
        let mut flags = options(access).flags();
        flags.insert(DmFlags::DM_SECURE_DATA);
        let table = [(
            0,
            line.length_sectors512(),
            line.target().to_owned(),
            line.params().to_owned(),
        )];
        id(name)
            .and_then(|id| {
                self.0
                    .table_load(&id, &table, DmOptions::default().set_flags(flags))
            })
            .map(drop)
            .map_err(|source| DmError::Load {
                name: name.clone(),
                target: line.target().to_owned(),
                source,
            })
    }

    /// Makes the loaded table live, or lets a suspended device go on.
    ///
    /// # Errors
    /// [`DmError::Resume`].
    pub fn resume(&self, name: &Name) -> Result<(), DmError> {
        id(name)
            .and_then(|id| self.0.device_suspend(&id, DmOptions::default()))
            .map(drop)
            .map_err(|source| DmError::Resume {
                name: name.clone(),
                source,
            })
    }

    /// Holds back further requests.
    ///
    /// # Errors
    /// [`DmError::Suspend`].
    pub fn suspend(&self, name: &Name, mode: SuspendMode) -> Result<(), DmError> {
        let flags = match mode {
            SuspendMode::FreezeAndFlush => DmFlags::DM_SUSPEND,
            SuspendMode::Immediately => DmFlags::DM_SUSPEND | DmFlags::DM_NOFLUSH | DmFlags::DM_SKIP_LOCKFS,
        };
        id(name)
            .and_then(|id| self.0.device_suspend(&id, DmOptions::default().set_flags(flags)))
            .map(drop)
            .map_err(|source| DmError::Suspend {
                name: name.clone(),
                source,
            })
    }

    /// Reads the live table back (`DM_STATUS_TABLE_FLAG`).
    ///
    /// # Errors
    /// [`DmError::ReadTable`], or [`DmError::Shape`] unless it is one line from sector 0.
    pub fn table(&self, name: &Name) -> Result<TableLine, DmError> {
        let flags = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH);
        let lines = id(name)
            .and_then(|id| self.0.table_status(&id, flags))
            .map_err(|source| DmError::ReadTable {
                name: name.clone(),
                source,
            })?;
        single_line(name, lines.1)
    }

    /// Reads the target's status; for verity `V` (valid) or `C` (corruption seen).
    ///
    /// # Errors
    /// [`DmError::ReadStatus`], or [`DmError::Shape`] unless the table is one line from sector 0.
    pub fn status(&self, name: &Name) -> Result<TableLine, DmError> {
        let flags = DmOptions::default().set_flags(DmFlags::DM_NOFLUSH);
        let lines = id(name)
            .and_then(|id| self.0.table_status(&id, flags))
            .map_err(|source| DmError::ReadStatus {
                name: name.clone(),
                source,
            })?;
        single_line(name, lines.1)
    }

    /// Asks for the device's number and state.
    ///
    /// # Errors
    /// [`DmError::Query`], also if there is no such device.
    pub fn state(&self, name: &Name) -> Result<State, DmError> {
        let info = id(name)
            .and_then(|id| self.0.device_info(&id))
            .map_err(|source| DmError::Query {
                name: name.clone(),
                source,
            })?;
        let flags = info.flags();
        Ok(State {
            number: number(info.device()),
            uuid: info.uuid().map(ToString::to_string),
            open_count: u32::try_from(info.open_count()).unwrap_or(u32::MAX),
            suspended: flags.contains(DmFlags::DM_SUSPEND),
            read_only: flags.contains(DmFlags::DM_READONLY),
            live_table: flags.contains(DmFlags::DM_ACTIVE_PRESENT),
            inactive_table: flags.contains(DmFlags::DM_INACTIVE_PRESENT),
        })
    }

    /// Lists the names and numbers of all devices.
    ///
    /// # Errors
    /// [`DmError::List`].
    pub fn devices(&self) -> Result<Vec<(String, DeviceNumber)>, DmError> {
        let found = self.0.list_devices().map_err(DmError::List)?;
        Ok(found
            .into_iter()
            .map(|(name, device, _)| (name.to_string(), number(device)))
            .collect())
    }

    /// Sends a message to the target, such as `key wipe` to a suspended crypt device.
    ///
    /// # Errors
    /// [`DmError::Message`].
    pub fn message(&self, name: &Name, text: &str) -> Result<(), DmError> {
        id(name)
            .and_then(|id| self.0.target_msg(&id, None, text))
            .map(drop)
            .map_err(|source| DmError::Message {
                name: name.clone(),
                source,
            })
    }

    /// Removes a device. A device that is busy is tried five times within 0.8 s.
    ///
    /// # Errors
    /// [`DmError::Remove`].
    pub fn remove(&self, name: &Name) -> Result<(), DmError> {
        id(name)
            .and_then(|id| self.0.device_remove(&id, DmOptions::default()))
            .map(drop)
            .map_err(|source| DmError::Remove {
                name: name.clone(),
                source,
            })
    }

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

fn options(access: Access) -> DmOptions {
    match access {
        Access::ReadOnly => DmOptions::default().set_flags(DmFlags::DM_READONLY),
        Access::ReadWrite => DmOptions::default(),
    }
}

fn number(device: devicemapper::Device) -> DeviceNumber {
    DeviceNumber {
        major: device.major,
        minor: device.minor,
    }
}

fn single_line(name: &Name, lines: Vec<(u64, u64, String, String)>) -> Result<TableLine, DmError> {
    let count = lines.len();
    match <[_; 1]>::try_from(lines) {
        Ok([(0, length, target, params)]) => TableLine::new(length, &target, &params),
        _ => Err(DmError::Shape {
            name: name.clone(),
            lines: count,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_table_must_be_one_line_from_sector_zero() {
        let name = Name::new("x").unwrap();
        let line = |start| (start, 8, "zero".to_owned(), String::new());
        assert_eq!(
            single_line(&name, vec![line(0)]).unwrap(),
            TableLine::new(8, "zero", "").unwrap()
        );
        for (lines, count) in [(vec![], 0), (vec![line(8)], 1), (vec![line(0), line(8)], 2)] {
            let refused = single_line(&name, lines);
            assert!(matches!(refused, Err(DmError::Shape { lines, .. }) if lines == count));
        }
    }

    /// Hosts of tests seldom have device-mapper; where one does, there is nothing to say.
    #[test]
    fn opening_says_which_module_to_load_when_it_fails() {
        if let Err(error) = DeviceMapper::open() {
            assert!(matches!(error, DmError::OpenControl(_)) && error.to_string().contains("dm_mod"));
        }
    }
}
