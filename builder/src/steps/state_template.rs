//! The empty file system of the state volume: made once at build time by `mke2fs`, put down and grown by `bennu-init`
//! on a machine's first start, because there is no mkfs in the initrd.
//!
//! The same bytes at every build: features, UUID, hash seed and times are given, not taken from the host.

use bennu_formats::state::{FILE_SYSTEM_BYTES, VolumeTemplate};
use std::io;
use std::process::Command;

/// Features that kernels 6.1 and 6.12 mount and grow; everything that the host's configuration would add is left out.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// UUID and hash seed: constants. The volume is told from others by its LUKS2 header.
const UUID: &str = "5c1d8e5a-93a4-4f39-8a0f-2b0d6c6e7a01";
const HASH_SEED: &str = "0f5ce4a2-6f0b-49ab-93f2-7f2f8f9b9c02";

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The scratch file.
    #[error("state volume template: {0}")]
    Scratch(#[from] io::Error),
    /// mke2fs is not there.
    #[error(
        "state volume template: mke2fs cannot be started: {0}; install it with `apt-get install e2fsprogs`"
    )]
    Start(io::Error),
    /// mke2fs failed.
    #[error("state volume template: mke2fs ended with {status}; its words:\n{words}")]
    Failed {
        /// Exit status.
        status: std::process::ExitStatus,
        /// Standard error.
        words: String,
    },
    /// More than a template can hold.
    #[error("state volume template: {0}")]
    Encode(#[from] bennu_formats::DecodeError),
}

/// Makes the template; `epoch` is the time in its inodes and superblock.
///
/// # Errors
/// mke2fs is missing or failed.
pub fn make(epoch: u64) -> Result<Vec<u8>, TemplateError> {
    let scratch = tempfile::NamedTempFile::new()?;
    scratch.as_file().set_len(FILE_SYSTEM_BYTES)?;
    let output = Command::new("mke2fs")
        .args([
            "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-J", "size=8",
        ])
        .args(["-m", "1", "-O", FEATURES, "-U", UUID, "-L", "bennu-state"])
        .arg("-E")
        .arg(format!(
            "hash_seed={HASH_SEED},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        ))
        .arg(scratch.path())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("E2FSPROGS_FAKE_TIME", epoch.to_string())
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .output()
        .map_err(TemplateError::Start)?;
    if !output.status.success() {
        return Err(TemplateError::Failed {
            status: output.status,
            words: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(VolumeTemplate::of(&std::fs::read(scratch.path())?).encode()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bennu_formats::state::BLOCK_BYTES;
    use std::io::{Seek as _, SeekFrom, Write as _};

    #[test]
    fn it_is_the_same_each_time_and_e2fsck_finds_nothing_to_mend() {
        let template = make(1_767_225_600).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(make(1_767_225_600).unwrap(), template);
        assert_ne!(make(1_767_225_601).unwrap(), template, "the time is in it");

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(FILE_SYSTEM_BYTES).unwrap();
        for (number, content) in VolumeTemplate::decode(&template).unwrap().blocks {
            file.seek(SeekFrom::Start(number * BLOCK_BYTES as u64)).unwrap();
            file.write_all(&content).unwrap();
        }
        let judge = Command::new("e2fsck")
            .args(["-f", "-n"])
            .arg(file.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .expect("e2fsck must be installed");
        assert!(
            judge.status.success(),
            "{}",
            String::from_utf8_lossy(&judge.stdout)
        );
    }
}
