//! Host programs, run to their end.
//!
//! Debian keeps `sfdisk` and `sgdisk` in `/usr/sbin`, which is not in a user's `PATH`, so the two `sbin`
//! folders are searched as well. A failure carries the command line, the status and what the tool said.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Folders searched after `PATH`.
const MORE_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Why a host program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program is in none of the searched folders.
    #[error("find host tool {name}: not in PATH, /usr/sbin or /sbin; install {package}")]
    Missing {
        /// Program name.
        name: &'static str,
        /// Debian package that holds it.
        package: &'static str,
    },
    /// The program was found and could not be started, or its pipes broke.
    #[error("run `{command}`: {source}")]
    Run {
        /// Command line as started.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The program ended with another status than 0.
    #[error("run `{command}`: expected exit status 0, found {status}: {stderr}")]
    Failed {
        /// Command line as started.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its standard error, trimmed.
        stderr: String,
    },
}

/// Debian package of each tool that the harness runs.
fn package_of(name: &str) -> &'static str {
    match name {
        "qemu-system-x86_64" => "qemu-system-x86",
        "swtpm" => "swtpm",
        "swtpm_setup" => "swtpm-tools",
        "setpriv" => "util-linux",
        "sfdisk" => "fdisk",
        "sgdisk" => "gdisk",
        "cp" => "coreutils",
        "cryptsetup" | "veritysetup" => "cryptsetup-bin",
        "objcopy" => "binutils",
        "cpio" => "cpio",
        "tar" => "tar",
        "xz" => "xz-utils",
        _ if name.starts_with("tpm2_") => "tpm2-tools",
        _ => "mtools",
    }
}

/// Full path of a host tool.
///
/// # Errors
/// [`ToolError::Missing`] names the Debian package to install.
pub fn find(name: &'static str) -> Result<PathBuf, ToolError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or(ToolError::Missing {
            name,
            package: package_of(name),
        })
}

/// Runs a tool with `input` on its standard input and returns its standard output.
///
/// Locale and mtools configuration are pinned, so that output can be parsed anywhere.
///
/// # Errors
/// See [`ToolError`]; any status but 0 is an error.
pub fn run<A: AsRef<OsStr>>(name: &'static str, args: &[A], input: &[u8]) -> Result<Vec<u8>, ToolError> {
    let mut command = Command::new(find(name)?);
    command
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("MTOOLSRC", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let shown = command_line(name, args);
    let failed = |source| ToolError::Run {
        command: shown.clone(),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    // A thread feeds the tool, for a tool that writes before it has read everything would block both sides.
    let output = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || stdin.map_or(Ok(()), |mut pipe| pipe.write_all(input)));
        let output = child.wait_with_output();
        // A tool that stops reading early says why in its status; a broken pipe adds nothing to that.
        match feeder.join() {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => output,
        }
    })
    .map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ToolError::Failed {
        command: shown,
        status: output.status,
        stderr,
    })
}

/// Copies a file and keeps holes as holes; shares blocks where the file system can.
///
/// # Errors
/// See [`ToolError`].
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), ToolError> {
    let args = [
        "--sparse=always".as_ref(),
        "--reflink=auto".as_ref(),
        "--".as_ref(),
        from.as_os_str(),
        to.as_os_str(),
    ];
    run("cp", &args, &[]).map(drop)
}

/// The command as a person would type it, for error texts.
pub(crate) fn command_line<A: AsRef<OsStr>>(name: &str, args: &[A]) -> String {
    let mut text = name.to_owned();
    for arg in args {
        text.push(' ');
        text.push_str(&arg.as_ref().to_string_lossy());
    }
    text
}
