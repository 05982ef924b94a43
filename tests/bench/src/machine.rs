//! What this machine can do at best, measured in the same session as everything else.

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

/// Bytes in one hashed block, as in a hash tree of ours.
const BLOCK_BYTES: usize = 4096;
/// Bytes hashed for the measurement.
const HASHED_BYTES: u64 = 512 << 20;
/// Bytes in one write.
const WRITE_BYTES: usize = 1 << 20;
/// Each figure is the best of so many: other work on the machine can only make it worse.
const TRIES: usize = 3;

/// Limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Cores that a program may use.
    pub cores: usize,
    /// SHA-256 of 4 KiB blocks out of the processor's cache, in bytes a second, on one core.
    pub sha256_bytes_per_s: f64,
    /// Writing a new file without waiting for the disk, in bytes a second.
    pub write_bytes_per_s: f64,
    /// The same with fsync.
    pub write_fsync_bytes_per_s: f64,
}

impl Machine {
    /// Measures; writes `data_mib` MiB to a file in `directory` and removes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn measure(directory: &Path, data_mib: u64) -> Result<Self> {
        let mut found = Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            sha256_bytes_per_s: 0.0,
            write_bytes_per_s: 0.0,
            write_fsync_bytes_per_s: 0.0,
        };
        for _ in 0..TRIES {
            let (write, durable) = write_speed(directory, data_mib)?;
            found.sha256_bytes_per_s = found.sha256_bytes_per_s.max(sha256_speed());
            found.write_bytes_per_s = found.write_bytes_per_s.max(write);
            found.write_fsync_bytes_per_s = found.write_fsync_bytes_per_s.max(durable);
        }
        Ok(found)
    }

    /// Seconds that hashing takes at least, on all cores.
    pub fn hash_s(&self, bytes: u64) -> f64 {
        bytes as f64 / (self.sha256_bytes_per_s * self.cores as f64)
    }

    /// Seconds that writing takes at least, without waiting for the disk.
    pub fn write_s(&self, bytes: u64) -> f64 {
        bytes as f64 / self.write_bytes_per_s
    }

    /// For people.
    pub fn sentence(&self) -> String {
        let mib = f64::from(1u32 << 20);
        format!(
            "machine: {} cores; SHA-256 {:.0} MiB/s on one core; write {:.0} MiB/s, with fsync {:.0} MiB/s; load {:.1}",
            self.cores,
            self.sha256_bytes_per_s / mib,
            self.write_bytes_per_s / mib,
            self.write_fsync_bytes_per_s / mib,
            load()
        )
    }
}

fn sha256_speed() -> f64 {
    let mut block = vec![0x5a; BLOCK_BYTES];
    let blocks = HASHED_BYTES / BLOCK_BYTES as u64;
    let start = Instant::now();
    for _ in 0..blocks {
        // Each digest goes into the next block, so that none can be left out.
        let digest = Sha256::digest(&block);
        block[..digest.len()].copy_from_slice(&digest);
    }
    let seconds = start.elapsed().as_secs_f64();
    std::hint::black_box(&block);
    HASHED_BYTES as f64 / seconds
}

/// Bytes a second without and with fsync.
fn write_speed(directory: &Path, data_mib: u64) -> Result<(f64, f64)> {
    let mut file = tempfile::tempfile_in(directory).with_context(|| directory.display().to_string())?;
    let piece = vec![0x5a; WRITE_BYTES];
    let start = Instant::now();
    for _ in 0..data_mib {
        file.write_all(&piece).context("write to measure the disk")?;
    }
    let written = start.elapsed().as_secs_f64();
    File::sync_all(&file).context("fsync to measure the disk")?;
    let durable = start.elapsed().as_secs_f64();
    let bytes = (data_mib * WRITE_BYTES as u64) as f64;
    Ok((bytes / written, bytes / durable))
}

/// Load average of the last minute (proc(5), loadavg); 0 where it cannot be read, for it only explains.
pub fn load() -> f64 {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_from_the_speeds() {
        let machine = Machine {
            cores: 2,
            sha256_bytes_per_s: 100.0,
            write_bytes_per_s: 50.0,
            write_fsync_bytes_per_s: 10.0,
        };
        assert_eq!((machine.hash_s(1000), machine.write_s(1000)), (5.0, 20.0));
    }

    #[test]
    fn a_measured_machine_has_no_zero_and_fsync_makes_nothing_faster() {
        let directory = tempfile::tempdir().unwrap();
        let (write, durable) = write_speed(directory.path(), 1).unwrap();
        assert!(durable > 0.0 && write >= durable);
    }
}
