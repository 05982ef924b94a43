//! Requests to device-mapper and the kernel's answers, as bytes: `struct dm_ioctl` and what follows it, linux/dm-ioctl.h,
//! interface version 4. Integers in the machine's order.
//!
//! One request is one ioctl on `/dev/mapper/control`. Nothing waits for udev. An answer is untrusted enough to be
//! checked: every length is compared with the buffer before use. The buffer is wiped when dropped, since a table may
//! name a key.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use zeroize::Zeroize as _;

use super::table::{NAME_LIMIT, TARGET_LIMIT, UUID_LIMIT};

/// Bytes of `struct dm_ioctl`.
const HEADER: usize = 312;
/// Bytes of `struct dm_target_spec`: start, length, status, next, type.
const SPEC: usize = 40;
/// Bytes of a request with room for its answer: a table of ours takes under 1 KiB, a list of 400 devices 64 KiB.
const ROOM: usize = 64 * 1024;
/// Interface version that is asked for; the kernel takes any minor number up to its own.
const VERSION: [u32; 3] = [4, 0, 0];

// Places within `struct dm_ioctl`.
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const OPEN_COUNT: usize = 24;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const UUID: usize = 176;

/// Commands: the last byte of the ioctl's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    ListDevices = 2,
    Create = 3,
    Remove = 4,
    /// Suspends, or resumes without [`flag::SUSPEND`].
    Suspend = 6,
    DeviceStatus = 7,
    LoadTable = 9,
    TableStatus = 12,
    Message = 14,
}

impl Command {
    /// `_IOWR(0xfd, command, struct dm_ioctl)`.
    const fn number(self) -> u64 {
        3 << 30 | (HEADER as u64) << 16 | 0xfd << 8 | self as u64
    }
}

/// `DM_*_FLAG`.
pub(super) mod flag {
    pub(crate) const READONLY: u32 = 1 << 0;
    pub(crate) const SUSPEND: u32 = 1 << 1;
    pub(crate) const STATUS_TABLE: u32 = 1 << 4;
    pub(crate) const ACTIVE_PRESENT: u32 = 1 << 5;
    pub(crate) const INACTIVE_PRESENT: u32 = 1 << 6;
    pub(crate) const BUFFER_FULL: u32 = 1 << 8;
    pub(crate) const SKIP_LOCKFS: u32 = 1 << 10;
    pub(crate) const NOFLUSH: u32 = 1 << 11;
    /// The kernel wipes its copy of the request.
    pub(crate) const SECURE_DATA: u32 = 1 << 15;
}

#[repr(C, align(8))]
struct Buffer([u8; ROOM]);

impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// One line of a table or of its status, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) start_sectors512: u64,
    pub(super) length_sectors512: u64,
    pub(super) target: String,
    pub(super) text: String,
}

/// A request, and after [`Self::send`] the answer, which the kernel writes in its place.
pub(super) struct Request(Box<Buffer>);

impl Request {
    /// A request for the device of that name; none for the list.
    pub(super) fn new(name: Option<&str>, flags: u32) -> Self {
        let mut request = Self(Box::new(Buffer([0; ROOM])));
        for (at, number) in VERSION.into_iter().enumerate() {
            request.put(at * 4, &number.to_ne_bytes());
        }
        request.put(DATA_SIZE, &(ROOM as u32).to_ne_bytes());
        request.put(DATA_START, &(HEADER as u32).to_ne_bytes());
        request.put(FLAGS, &flags.to_ne_bytes());
        request.put_text(NAME, name.unwrap_or_default(), NAME_LIMIT);
        request
    }

    /// With the UUID that a new device gets.
    pub(super) fn uuid(mut self, uuid: &str) -> Self {
        self.put_text(UUID, uuid, UUID_LIMIT);
        self
    }

    /// With a table of one line from sector 0.
    pub(super) fn table(mut self, length_sectors512: u64, target: &str, parameters: &str) -> Self {
        self.put(TARGET_COUNT, &1u32.to_ne_bytes());
        self.put(HEADER + 8, &length_sectors512.to_ne_bytes());
        let next = (SPEC + parameters.len() + 1).next_multiple_of(8);
        self.put(HEADER + 20, &(next as u32).to_ne_bytes());
        self.put_text(HEADER + 24, target, TARGET_LIMIT);
        self.put_text(HEADER + SPEC, parameters, ROOM - HEADER - SPEC - 8);
        self
    }

    /// With a message to the target at sector 0.
    pub(super) fn message(mut self, text: &str) -> Self {
        self.put_text(HEADER + 8, text, ROOM - HEADER - 16);
        self
    }

    /// Texts and numbers were checked by their types; what would not fit is left out, and the kernel refuses the rest.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn put_text(&mut self, at: usize, text: &str, limit: usize) {
        if text.len() <= limit {
            self.put(at, text.as_bytes());
        }
    }

    /// Asks the kernel.
    pub(super) fn send(mut self, control: &File, command: Command) -> io::Result<Answer> {
        loop {
            match self.ioctl(control, command) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        let answer = Answer(self.0);
        if answer.flags() & flag::BUFFER_FULL != 0 {
            return Err(io::Error::other("the kernel's answer is longer than 64 KiB"));
        }
        Ok(answer)
    }

    #[allow(unsafe_code)]
    fn ioctl(&mut self, control: &File, command: Command) -> io::Result<()> {
        // SAFETY: the kernel reads and writes at most `data_size` bytes of the buffer, which `new` set to its length,
        // and the buffer outlives the call; on a file that is not device-mapper's the call answers ENOTTY.
        let done = unsafe { libc::ioctl(control.as_raw_fd(), command.number() as _, self.0.0.as_mut_ptr()) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// What the kernel answered.
pub(super) struct Answer(Box<Buffer>);

impl Answer {
    pub(super) fn flags(&self) -> u32 {
        self.u32(FLAGS)
    }

    pub(super) fn open_count(&self) -> u32 {
        self.u32(OPEN_COUNT)
    }

    /// Major and minor number.
    pub(super) fn device(&self) -> (u32, u32) {
        device(self.u64(DEVICE))
    }

    pub(super) fn uuid(&self) -> Option<String> {
        Some(text(&self.0.0, UUID)).filter(|uuid| !uuid.is_empty())
    }

    /// The lines of a table or of its status (`struct dm_target_spec` and a text each). `next` counts from the first.
    pub(super) fn lines(&self) -> io::Result<Vec<Line>> {
        let data = self.data()?;
        let mut lines = Vec::new();
        let mut at = 0;
        for _ in 0..self.u32(TARGET_COUNT) {
            let spec = data.get(at..at + SPEC).ok_or_else(cut_short)?;
            lines.push(Line {
                start_sectors512: u64_at(spec, 0),
                length_sectors512: u64_at(spec, 8),
                target: text(spec, 24),
                text: text(data, at + SPEC),
            });
            at = u32_at(spec, 20) as usize;
        }
        Ok(lines)
    }

    /// Names and numbers of all devices (`struct dm_name_list`: number, next, name). `next` counts from each entry.
    pub(super) fn names(&self) -> io::Result<Vec<(String, (u32, u32))>> {
        let data = self.data()?;
        let mut names = Vec::new();
        let mut at = 0;
        loop {
            let entry = data.get(at..at + 12).ok_or_else(cut_short)?;
            let number = u64_at(entry, 0);
            // A list without devices is one entry of number 0.
            if number == 0 {
                return Ok(names);
            }
            names.push((text(data, at + 12), device(number)));
            match u32_at(entry, 8) as usize {
                0 => return Ok(names),
                next => at += next,
            }
        }
    }

    fn data(&self) -> io::Result<&[u8]> {
        let (from, to) = (self.u32(DATA_START) as usize, self.u32(DATA_SIZE) as usize);
        self.0.0.get(from..to).ok_or_else(cut_short)
    }

    fn u32(&self, at: usize) -> u32 {
        u32_at(&self.0.0, at)
    }

    fn u64(&self, at: usize) -> u64 {
        u64_at(&self.0.0, at)
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "device-mapper's answer ends early")
}

/// `new_decode_dev` of linux/kdev_t.h.
fn device(number: u64) -> (u32, u32) {
    let number = number as u32;
    ((number & 0xfff00) >> 8, number & 0xff | number >> 12 & 0xfff00)
}

/// A text that ends with a NUL; empty where none ends.
fn text(bytes: &[u8], at: usize) -> String {
    let found = bytes.get(at..).map(CStr::from_bytes_until_nul);
    match found {
        Some(Ok(text)) => text.to_string_lossy().into_owned(),
        _ => String::new(),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    found.map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    found.map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(fill: impl FnOnce(&mut Request)) -> Answer {
        let mut request = Request::new(None, 0);
        fill(&mut request);
        Answer(request.0)
    }

    #[test]
    fn the_numbers_are_those_of_linux_dm_ioctl_h() {
        assert_eq!(Command::ListDevices.number(), 0xc138_fd02);
        assert_eq!(Command::LoadTable.number(), 0xc138_fd09);
        assert_eq!(Command::Message.number(), 0xc138_fd0e);
    }

    #[test]
    fn a_table_has_the_bytes_that_the_kernel_reads() {
        let request =
            Request::new(Some("root"), flag::READONLY | flag::SECURE_DATA).table(8, "verity", "1 254:2");
        let bytes = &request.0.0;
        let words: Vec<u32> = (0..8).map(|word| u32_at(bytes, word * 4)).collect();
        assert_eq!(words, [4, 0, 0, ROOM as u32, 312, 1, 0, 0x8001]);
        assert_eq!(text(bytes, NAME), "root");
        let line = &bytes[HEADER..HEADER + SPEC + 8];
        assert_eq!(
            (
                u64_at(line, 0),
                u64_at(line, 8),
                u32_at(line, 16),
                u32_at(line, 20)
            ),
            (0, 8, 0, 48)
        );
        assert_eq!(&line[24..], b"verity\0\0\0\0\0\0\0\0\0\x001 254:2\0");
    }

    #[test]
    fn a_status_of_two_lines_and_a_list_of_two_devices_are_read() {
        let status = answer(|r| {
            r.put(TARGET_COUNT, &2u32.to_ne_bytes());
            for (at, start, next, target, words) in
                [(0, 0u64, 48u32, "linear", "254:1 0"), (48, 8, 96, "verity", "V")]
            {
                let at = HEADER + at;
                r.put(at, &start.to_ne_bytes());
                r.put(at + 8, &8u64.to_ne_bytes());
                r.put(at + 20, &next.to_ne_bytes());
                r.put_text(at + 24, target, TARGET_LIMIT);
                r.put_text(at + SPEC, words, 16);
            }
        });
        let lines = status.lines().unwrap();
        let told: Vec<_> = lines
            .iter()
            .map(|l| (l.start_sectors512, l.target.as_str(), l.text.as_str()))
            .collect();
        assert_eq!(told, [(0, "linear", "254:1 0"), (8, "verity", "V")]);

        let list = answer(|r| {
            r.put(HEADER, &0xfe01u64.to_ne_bytes());
            r.put(HEADER + 8, &24u32.to_ne_bytes());
            r.put_text(HEADER + 12, "a", 8);
            r.put(HEADER + 24, &0x0010_fe02u64.to_ne_bytes());
            r.put_text(HEADER + 36, "b", 8);
        });
        let expected = [("a".to_owned(), (254, 1)), ("b".to_owned(), (254, 0x102))];
        assert_eq!(list.names().unwrap(), expected);
        assert_eq!(answer(|_| ()).names().unwrap(), []);
    }

    #[test]
    fn asking_what_is_not_device_mapper_is_an_error() {
        let refused = Request::new(None, 0).send(&File::open("/dev/null").unwrap(), Command::ListDevices);
        assert!(refused.is_err_and(|error| error.raw_os_error() == Some(libc::ENOTTY)));
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048), head: [u32; 8]) {
            let told = answer(|r| {
                for (at, word) in head.into_iter().enumerate() {
                    r.put(at * 4, &(word % 70_000).to_ne_bytes());
                }
                r.put(HEADER, &bytes);
            });
            let _ = told.lines();
            let _ = told.names();
            let _ = (told.uuid(), told.device());
        }
    }
}
