//! The initrd archive: cpio in "newc" format (kernel, `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Deterministic: entries in the order given, all owned by root, one time stamp, inode numbers counted from 1.

use std::io::{self, Write};

const MODE_DIRECTORY: u32 = 0o040_000;
const MODE_REGULAR: u32 = 0o100_000;
const MODE_DEVICE: u32 = 0o020_000;

/// Writes a cpio archive.
pub struct Cpio<W: Write> {
    out: W,
    written: u64,
    inode: u32,
    mtime: u32,
}

impl<W: Write> Cpio<W> {
    /// An archive whose entries all carry `mtime` (seconds since 1970; the format has 32 bits).
    pub fn new(out: W, mtime: u64) -> Self {
        Self {
            out,
            written: 0,
            inode: 0,
            mtime: u32::try_from(mtime).unwrap_or(u32::MAX),
        }
    }

    /// A directory.
    pub fn directory(&mut self, path: &str, permissions: u32) -> io::Result<()> {
        self.entry(path, MODE_DIRECTORY | permissions, (0, 0), b"")
    }

    /// A regular file.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, MODE_REGULAR | permissions, (0, 0), content)
    }

    /// A character device.
    pub fn character_device(
        &mut self,
        path: &str,
        permissions: u32,
        major: u32,
        minor: u32,
    ) -> io::Result<()> {
        self.entry(path, MODE_DEVICE | permissions, (major, minor), b"")
    }

    /// Writes the trailer and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = u32::MAX;
        self.entry("TRAILER!!!", 0, (0, 0), b"")?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "cpio: file of 4 GiB or more");
        let length = u32::try_from(content.len()).map_err(too_long)?;
        let name_length = u32::try_from(path.len() + 1).map_err(too_long)?;
        self.inode = self.inode.wrapping_add(1);
        let links = if mode & MODE_DIRECTORY != 0 { 2 } else { 1 };
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            self.mtime,
            length,
            0,
            0,
            device.0,
            device.1,
            name_length,
            0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.put(header.as_bytes())?;
        self.put(path.as_bytes())?;
        self.put(&[0])?;
        self.align()?;
        self.put(content)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn align(&mut self) -> io::Result<()> {
        let missing = (4 - self.written % 4) % 4;
        self.put(&[0; 3][..missing as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpio_lists_what_was_put_in() {
        let mut cpio = Cpio::new(Vec::new(), 7);
        cpio.directory("etc", 0o755).unwrap();
        cpio.file("etc/a", 0o600, b"hello").unwrap();
        cpio.character_device("console", 0o600, 5, 1).unwrap();
        let bytes = cpio.finish().unwrap();
        let mut child = std::process::Command::new("cpio")
            .args(["-itv", "--quiet"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(out.contains("drwxr-xr-x"), "{out}");
        assert!(
            out.contains("-rw-------") && out.contains(" 5 ") && out.contains("etc/a"),
            "{out}"
        );
        assert!(out.contains("crw-------"), "{out}");
    }
}
