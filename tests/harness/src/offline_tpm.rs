//! A machine's TPM served to host tools while the machine's power is off: for what somebody does to a TPM that is not
//! in its machine, or from another system on the same machine.
//!
//! The TPM starts anew for each [`OfflineTpm`]: PCRs of zero, an empty platform authorisation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::machine::Machine;
use crate::process::Guarded;
use crate::tool::{self, ToolError};
use crate::trouble::MachineTrouble;

/// swtpm needs some 50 ms on a quiet host.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Name of the command socket in its folder; the TSS looks for the control socket under the same name and `.ctrl`.
const SOCKET: &str = "tpm";

/// A running swtpm that speaks to tools; ended on drop. It writes its NV as it changes.
#[derive(Debug)]
pub struct OfflineTpm {
    _process: Guarded,
    socket: PathBuf,
}

impl OfflineTpm {
    /// Serves the state in `state`; the sockets go to the folder `sockets`, whose path must be short.
    ///
    /// # Errors
    /// swtpm is missing, or does not come up.
    pub fn start(state: &Path, sockets: &Path) -> anyhow::Result<Self> {
        let socket = sockets.join(SOCKET);
        let control = sockets.join(format!("{SOCKET}.ctrl"));
        let unix = |path: &Path| {
            let mut text = OsString::from("type=unixio,path=");
            text.push(path);
            text
        };
        let mut folder = OsString::from("dir=");
        folder.push(state);
        let args = [
            "socket".into(),
            "--tpm2".into(),
            "--flags".into(),
            "not-need-init,startup-clear".into(),
            "--tpmstate".into(),
            folder,
            "--server".into(),
            unix(&socket),
            "--ctrl".into(),
            unix(&control),
        ];
        let mut process = Guarded::spawn("swtpm", &args, sockets.join("swtpm.stderr"))?;
        let deadline = Instant::now() + READY_WITHIN;
        while !(socket.exists() && control.exists()) {
            let ended = process
                .wait_until(Instant::now() + Duration::from_millis(5))
                .context("watch swtpm")?;
            let found = match ended {
                Some(status) => format!("it ended with {status}: {}", process.said()),
                None if Instant::now() >= deadline => format!("no socket within {READY_WITHIN:?}"),
                None => continue,
            };
            return Err(MachineTrouble::SwtpmDidNotStart { found }.into());
        }
        Ok(Self {
            _process: process,
            socket,
        })
    }

    /// The command socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs a tool of tpm2-tools on it; gives its standard output.
    ///
    /// # Errors
    /// [`ToolError`] with what it said: the TPM refused, or the tool is missing.
    pub fn run(&self, name: &'static str, args: &[&str]) -> Result<Vec<u8>, ToolError> {
        let tcti = format!("swtpm:path={}", self.socket.display());
        let args = [&["-T", &tcti], args].concat();
        tool::run(name, &args, &[])
    }
}

impl Machine {
    /// Runs a tool of tpm2-tools on this machine's TPM, which has just been started for it.
    ///
    /// # Errors
    /// As [`OfflineTpm::start`] and [`OfflineTpm::run`].
    pub fn tpm_tool(&self, name: &'static str, args: &[&str]) -> anyhow::Result<Vec<u8>> {
        let sockets = tempfile::Builder::new()
            .prefix("bennu-tpm-")
            .tempdir()
            .context("make the sockets' folder")?;
        let tpm = OfflineTpm::start(&self.tpm_path(), sockets.path())?;
        Ok(tpm.run(name, args)?)
    }
}
