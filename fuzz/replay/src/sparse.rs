//! Large, mostly empty images as short inputs: a length and the sectors that are not zero.
//!
//! Layout: sectors in all (u32, little-endian, at most [`MAX_SECTORS`]), then any number of records of a
//! sector's number (u32) and its 512 bytes. A record cut short or beyond the end is left out.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// 256 MiB: room for any volume that a seed describes.
pub const MAX_SECTORS: u32 = 512 * 1024;
const RECORD: usize = 4 + SECTOR;

/// An image in memory that keeps only what was written.
#[derive(Debug, Clone)]
pub struct Sparse {
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    /// Length in bytes.
    length: u64,
    position: u64,
}

impl Sparse {
    /// An image of zeros.
    #[must_use]
    pub fn of_sectors(sectors: u32) -> Self {
        Self {
            sectors: BTreeMap::new(),
            length: u64::from(sectors.min(MAX_SECTORS)) * SECTOR as u64,
            position: 0,
        }
    }

    /// Unpacks an input; any bytes make an image.
    #[must_use]
    pub fn decode(input: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        let (head, records) = input.split_at(input.len().min(4));
        let mut image = Self::of_sectors(number(head));
        for record in records.chunks_exact(RECORD) {
            let (at, bytes) = record.split_at(4);
            let at = u64::from(number(at));
            if at * (SECTOR as u64) < image.length {
                let mut sector = [0; SECTOR];
                sector.copy_from_slice(bytes);
                image.sectors.insert(at, sector);
            }
        }
        image
    }

    /// The input that gives this image.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ((self.length / SECTOR as u64) as u32).to_le_bytes().to_vec();
        for (at, sector) in self
            .sectors
            .iter()
            .filter(|(_, sector)| sector.iter().any(|b| *b != 0))
        {
            out.extend((*at as u32).to_le_bytes());
            out.extend(sector);
        }
        out
    }

    /// Length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes from `at` on, as far as the image goes.
    #[must_use]
    pub fn peek(&mut self, at: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.position = at;
        let got = self.read_some(&mut out);
        out.truncate(got);
        out
    }

    /// Puts bytes at `at`; what lies beyond the end is dropped.
    pub fn poke(&mut self, at: u64, bytes: &[u8]) {
        self.position = at;
        self.write_some(bytes);
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let mut done = 0;
        while done < wanted {
            let (sector, from) = self.place();
            let count = (SECTOR - from).min(wanted - done);
            match self.sectors.get(&sector) {
                Some(bytes) => buffer[done..done + count].copy_from_slice(&bytes[from..from + count]),
                None => buffer[done..done + count].fill(0),
            }
            (done, self.position) = (done + count, self.position + count as u64);
        }
        done
    }

    fn write_some(&mut self, bytes: &[u8]) -> usize {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(bytes.len());
        let mut done = 0;
        while done < wanted {
            let (sector, from) = self.place();
            let count = (SECTOR - from).min(wanted - done);
            let here = &bytes[done..done + count];
            if here.iter().any(|b| *b != 0) || self.sectors.contains_key(&sector) {
                self.sectors.entry(sector).or_insert([0; SECTOR])[from..from + count].copy_from_slice(here);
            }
            (done, self.position) = (done + count, self.position + count as u64);
        }
        done
    }

    fn place(&self) -> (u64, usize) {
        (
            self.position / SECTOR as u64,
            (self.position % SECTOR as u64) as usize,
        )
    }
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_some(buffer))
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.write_some(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl bennu_disk::Durable for Sparse {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_survives_a_round_trip() {
        let mut image = Sparse::of_sectors(1000);
        image.poke(700, &[7; 900]);
        let again = &mut Sparse::decode(&image.encode());
        assert_eq!(again.peek(699, 902), [&[0][..], &[7; 900], &[0]].concat());
        assert_eq!(image.encode().len(), 4 + 3 * RECORD);
    }

    #[test]
    fn any_bytes_make_an_image_within_the_limit() {
        for input in [&[][..], &[1], &[0xff; 2000]] {
            assert!(Sparse::decode(input).length() <= u64::from(MAX_SECTORS) * SECTOR as u64);
        }
    }
}
