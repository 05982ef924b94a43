//! The software TPM: a state folder that lives as long as the machine, and one `swtpm` process a power-on.
//!
//! swtpm writes NV changes to the folder as they happen and forgets PCRs when it ends, as a TPM does that
//! loses power. Copying the stopped folder back is a rollback attack that swtpm does not notice.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::Guarded;
use crate::rigs;
use crate::tool::{self, command_line};
use crate::trouble::MachineTrouble;

/// swtpm needs some 50 ms on a quiet host.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// After QEMU's end swtpm stores its state and goes.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A PCR bank that the TPM is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcrBank {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl PcrBank {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// `TPM_ALG_ID` (TPM 2.0 Library, Part 2, 6.3).
    pub(crate) fn algorithm_id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000B,
            Self::Sha384 => 0x000C,
            Self::Sha512 => 0x000D,
        }
    }
}

/// Makes a new TPM with these active banks in `folder`, which must not exist.
///
/// # Errors
/// [`tool::ToolError`] with what `swtpm_setup` said.
pub(crate) fn manufacture(folder: &Path, banks: &[PcrBank]) -> anyhow::Result<()> {
    fs::create_dir(folder).with_context(|| format!("make TPM state folder {}", folder.display()))?;
    let banks = banks.iter().map(|bank| bank.name()).collect::<Vec<_>>().join(",");
    let args: [OsString; 5] = [
        "--tpm2".into(),
        "--tpmstate".into(),
        folder.into(),
        "--pcr-banks".into(),
        banks.into(),
    ];
    tool::run("swtpm_setup", &args, &[]).context("make a TPM")?;
    Ok(())
}

/// A running swtpm that waits for QEMU on its socket and ends with it.
#[derive(Debug)]
pub(crate) struct Swtpm {
    process: Guarded,
}

impl Swtpm {
    /// Starts swtpm over `state`; its socket goes to `sockets` (a short path), its log to `folder`.
    pub(crate) fn start(state: &Path, sockets: &Path, folder: &Path) -> anyhow::Result<Self> {
        let socket = sockets.join(rigs::sockets::TPM);
        let of = |prefix: &str, path: &Path| {
            let mut text = OsString::from(prefix);
            text.push(path);
            text
        };
        let mut log = of("file=", &folder.join("swtpm.log"));
        log.push(",level=1");
        let args = [
            "socket".into(),
            "--tpm2".into(),
            "--terminate".into(),
            "--tpmstate".into(),
            of("dir=", state),
            "--ctrl".into(),
            of("type=unixio,path=", &socket),
            "--log".into(),
            log,
        ];
        let mut process = Guarded::spawn("swtpm", &args, folder.join("swtpm.stderr"))?;
        let deadline = Instant::now() + READY_WITHIN;
        while !socket.exists() {
            let status = process
                .wait_until(Instant::now() + Duration::from_millis(5))
                .context("watch swtpm")?;
            let found = match status {
                Some(status) => format!("it ended with {status}"),
                None if Instant::now() >= deadline => format!("no control socket within {READY_WITHIN:?}"),
                None => continue,
            };
            let found = format!("{found}: {} (`{}`)", process.said(), command_line("swtpm", &args));
            return Err(MachineTrouble::SwtpmDidNotStart { found }.into());
        }
        Ok(Self { process })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// After QEMU's end: lets it store its state and go; kills it if it stays.
    pub(crate) fn finish(&mut self) -> std::io::Result<()> {
        if self.process.wait_until(Instant::now() + GONE_WITHIN)?.is_none() {
            self.process.kill()?;
        }
        Ok(())
    }
}
