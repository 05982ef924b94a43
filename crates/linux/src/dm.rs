//! Device-mapper: create, load, resume, read back, suspend, remove.
//!
//! Written by: `bennu-init` (verity and crypt devices) and `bennud` (suspends and removes). Read by:
//! both, through [`DeviceMapper::table`], which asks the kernel for the live table. On failure the
//! error names the act and the device; [`DeviceMapper::activate`] removes what it half made.
//!
//! A device is addressed by name. It always has exactly one table line that starts at sector 0: a
//! live table of any other shape is an error, so that what was verified is all there is. Node names
//! come from devtmpfs (`/dev/dm-N`, present as soon as a table is loaded) and are checked against the
//! device number; udev is never waited for.
//!
//! Key material never belongs into table parameters: pass `:<size>:logon:<description>` and add the
//! key with [`crate::keyring`].

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::block::DeviceNumber;
use ioctl::{Answer, Command, Line, Request, flag};

mod activate;
mod error;
mod ioctl;
mod table;
mod wipe;

pub use error::DmError;
pub use table::{NAME_LIMIT, Name, PARAMS_LIMIT, TARGET_LIMIT, TableLine, UUID_LIMIT, Uuid};

/// The control device, there once dm_mod is loaded.
const CONTROL: &str = "/dev/mapper/control";
/// How often a busy device is tried to be removed.
const REMOVE_TRIES: u32 = 5;
/// Between two tries.
const REMOVE_PAUSE: Duration = Duration::from_millis(200);

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
pub struct DeviceMapper(File);

impl DeviceMapper {
    /// Opens the control device.
    ///
    /// # Errors
    /// [`DmError::OpenControl`].
    pub fn open() -> Result<Self, DmError> {
        let opened = File::options().read(true).write(true).open(CONTROL);
        opened.map(Self).map_err(DmError::OpenControl)
    }

    /// Makes a device without a table.
    ///
    /// # Errors
    /// [`DmError::Create`], also if the name or the UUID is taken.
    pub fn create(&self, name: &Name, uuid: &Uuid, access: Access) -> Result<DeviceNumber, DmError> {
        let request = Request::new(Some(name.as_str()), read_only(access)).uuid(uuid.as_str());
        let made = self.ask(request, Command::Create);
        made.map(|answer| number(answer.device()))
            .map_err(|source| DmError::Create {
                name: name.clone(),
                source,
            })
    }

    /// Loads a table line; it becomes live at the next [`Self::resume`]. The kernel wipes its copy of
    /// the request (`DM_SECURE_DATA`).
    ///
    /// # Errors
    /// [`DmError::Load`].
    pub fn load(&self, name: &Name, line: &TableLine, access: Access) -> Result<(), DmError> {
        let flags = read_only(access) | flag::SECURE_DATA;
        let request = Request::new(Some(name.as_str()), flags).table(
            line.length_sectors512(),
            line.target(),
            line.params(),
        );
        self.ask(request, Command::LoadTable)
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
        self.ask(Request::new(Some(name.as_str()), 0), Command::Suspend)
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
            SuspendMode::FreezeAndFlush => flag::SUSPEND,
            SuspendMode::Immediately => flag::SUSPEND | flag::NOFLUSH | flag::SKIP_LOCKFS,
        };
        self.ask(Request::new(Some(name.as_str()), flags), Command::Suspend)
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
        let lines = self.lines(name, flag::STATUS_TABLE | flag::NOFLUSH);
        let lines = lines.map_err(|source| DmError::ReadTable {
            name: name.clone(),
            source,
        })?;
        single_line(name, lines)
    }

    /// Reads the target's status; for verity `V` (valid) or `C` (corruption seen).
    ///
    /// # Errors
    /// [`DmError::ReadStatus`], or [`DmError::Shape`] unless the table is one line from sector 0.
    pub fn status(&self, name: &Name) -> Result<TableLine, DmError> {
        let lines = self.lines(name, flag::NOFLUSH);
        let lines = lines.map_err(|source| DmError::ReadStatus {
            name: name.clone(),
            source,
        })?;
        single_line(name, lines)
    }

    fn lines(&self, name: &Name, flags: u32) -> io::Result<Vec<Line>> {
        self.ask(Request::new(Some(name.as_str()), flags), Command::TableStatus)?
            .lines()
    }

    /// Asks for the device's number and state.
    ///
    /// # Errors
    /// [`DmError::Query`], also if there is no such device.
    pub fn state(&self, name: &Name) -> Result<State, DmError> {
        let answer = self.ask(Request::new(Some(name.as_str()), 0), Command::DeviceStatus);
        let answer = answer.map_err(|source| DmError::Query {
            name: name.clone(),
            source,
        })?;
        let is = |flag| answer.flags() & flag != 0;
        Ok(State {
            number: number(answer.device()),
            uuid: answer.uuid(),
            open_count: answer.open_count(),
            suspended: is(flag::SUSPEND),
            read_only: is(flag::READONLY),
            live_table: is(flag::ACTIVE_PRESENT),
            inactive_table: is(flag::INACTIVE_PRESENT),
        })
    }

    /// Lists the names and numbers of all devices.
    ///
    /// # Errors
    /// [`DmError::List`].
    pub fn devices(&self) -> Result<Vec<(String, DeviceNumber)>, DmError> {
        let found = self.ask(Request::new(None, 0), Command::ListDevices);
        let found = found.and_then(|answer| answer.names()).map_err(DmError::List)?;
        Ok(found
            .into_iter()
            .map(|(name, device)| (name, number(device)))
            .collect())
    }

    /// Sends a message to the target, such as `key wipe` to a suspended crypt device.
    ///
    /// # Errors
    /// [`DmError::Message`].
    pub fn message(&self, name: &Name, text: &str) -> Result<(), DmError> {
        let request = Request::new(Some(name.as_str()), 0).message(text);
        self.ask(request, Command::Message)
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
        let mut tries = REMOVE_TRIES;
        loop {
            let removed = self.ask(Request::new(Some(name.as_str()), 0), Command::Remove);
            tries -= 1;
            match removed {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && tries > 0 => {
                    std::thread::sleep(REMOVE_PAUSE);
                }
                removed => {
                    return removed.map(drop).map_err(|source| DmError::Remove {
                        name: name.clone(),
                        source,
                    });
                }
            }
        }
    }

    fn ask(&self, request: Request, command: Command) -> io::Result<Answer> {
        request.send(&self.0, command)
    }
}

fn read_only(access: Access) -> u32 {
    match access {
        Access::ReadOnly => flag::READONLY,
        Access::ReadWrite => 0,
    }
}

fn number((major, minor): (u32, u32)) -> DeviceNumber {
    DeviceNumber { major, minor }
}

fn single_line(name: &Name, lines: Vec<Line>) -> Result<TableLine, DmError> {
    let count = lines.len();
    match <[_; 1]>::try_from(lines) {
        Ok(
            [
                Line {
                    start_sectors512: 0,
                    length_sectors512,
                    target,
                    text,
                },
            ],
        ) => TableLine::new(length_sectors512, &target, &text),
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
        let line = |start_sectors512| Line {
            start_sectors512,
            length_sectors512: 8,
            target: "zero".to_owned(),
            text: String::new(),
        };
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
