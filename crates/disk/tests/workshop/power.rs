//! Power cuts during a change of a partition table.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use bennu_disk::Durable;
use bennu_disk::gpt::{Health, Table};

use super::table::open_bytes;

/// Records writes (as sectors) and syncs.
pub struct Recorder {
    disk: Cursor<Vec<u8>>,
    /// Sectors written since the sync before, per sync.
    pub epochs: Vec<Vec<(usize, Vec<u8>)>>,
}

impl Recorder {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            disk: Cursor::new(bytes),
            epochs: vec![Vec::new()],
        }
    }
}

impl Read for Recorder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.disk.read(buf)
    }
}

impl Seek for Recorder {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.disk.seek(to)
    }
}

impl Write for Recorder {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let at = self.disk.position() as usize;
        let sectors = buf
            .chunks(512)
            .enumerate()
            .map(|(n, sector)| (at + n * 512, sector.to_vec()));
        self.epochs.last_mut().unwrap().extend(sectors);
        self.disk.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for Recorder {
    fn sync(&mut self) -> io::Result<()> {
        self.epochs.push(Vec::new());
        Ok(())
    }
}

/// Whatever subset of the writes since the last flush reached the medium, the table is the old or the new one.
pub fn survives(start: Vec<u8>, change: impl FnOnce(&mut Recorder) -> Table) {
    let old = open_bytes(&start).unwrap().0;
    let mut recorder = Recorder::new(start.clone());
    let new = change(&mut recorder);
    assert_ne!(old, new);
    let mut medium = start;
    let mut seen_new = false;
    for epoch in &recorder.epochs {
        let mut rng: u64 = 0x9e37_79b9_7f4a_7c15;
        for attempt in 0..=epoch.len() + 64 {
            let mut cut = medium.clone();
            for (index, (at, sector)) in epoch.iter().enumerate() {
                rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let reached = if attempt <= epoch.len() {
                    index < attempt
                } else {
                    rng >> 63 == 0
                };
                if reached {
                    cut[*at..at + sector.len()].copy_from_slice(sector);
                }
            }
            let (found, _) = open_bytes(&cut).unwrap();
            assert!(found == old || found == new);
            seen_new |= found == new;
        }
        for (at, sector) in epoch {
            medium[*at..at + sector.len()].copy_from_slice(sector);
        }
    }
    assert!(seen_new);
    let (found, health) = open_bytes(&medium).unwrap();
    assert!(found == new && matches!(health, Health::Good));
}
