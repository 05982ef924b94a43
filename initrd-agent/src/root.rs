//! The verified root becomes `/`: read-only, with layers over `/etc` and `/var` that execute nothing.

use crate::error::InitError;
use crate::failure::Known;
use crate::handover;
use crate::identity::Prepared;
use crate::journal::Journal;
use crate::secrets::Secret;
use crate::state::StateVolume;
use crate::verity::{INIT_PROGRAMS, Opened, mount_root};
use bennu_formats::handover::IdentityReport;
use bennu_formats::paths;
use bennu_linux::mount::{self, DATA_ONLY, MountSpec};
use bennu_linux::switch_root::NewRoot;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

const NEW_ROOT: &str = "/sysroot";
const VOLATILE: &str = "/run/bennu/volatile";
/// Where systemd looks for credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIAL_STORE: &str = "/run/credstore";

/// Mounts the root with its layers. Gives what is to be told of `/etc`.
///
/// `etc` makes the layer of `/etc`, given the verified root's own. `/var` lies on the state volume where there is one: a
/// layer over the image's own, so that a new release brings its directories.
pub fn mount(
    device: &Opened,
    state: Option<&StateVolume>,
    etc: impl FnOnce(&Path) -> Result<Prepared, InitError>,
) -> Result<Option<IdentityReport>, InitError> {
    mount_root(&device.path, Path::new(NEW_ROOT))?;
    let etc = etc(&Path::new(NEW_ROOT).join("etc"))?;
    let volatile = Path::new(VOLATILE);
    tmpfs(volatile, "mode=0700,size=50%")?;
    overlay("etc", etc.layers.as_deref().unwrap_or(volatile))?;
    overlay("var", state.map_or(volatile, |state| state.mounted.as_path()))?;
    tmpfs(&Path::new(NEW_ROOT).join("tmp"), "mode=1777,size=50%")?;
    Ok(etc.report)
}

fn tmpfs(target: &Path, options: &str) -> Result<(), InitError> {
    mount::make_mount_point(target, 0o755).map_err(InitError::RootMount)?;
    mount::mount(&MountSpec {
        source: Path::new("tmpfs"),
        target,
        file_system: "tmpfs",
        restrictions: DATA_ONLY,
        options,
    })
    .map_err(InitError::RootMount)
}

/// Lays a layer over `directory` of the root; what is written there goes to `layers`.
fn overlay(directory: &str, layers: &Path) -> Result<(), InitError> {
    let lower = Path::new(NEW_ROOT).join(directory);
    let upper = layers.join(directory).join("upper");
    let work = layers.join(directory).join("work");
    for path in [&upper, &work] {
        mount::make_mount_point(path, 0o755).map_err(InitError::RootMount)?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    mount::mount(&MountSpec {
        source: Path::new("overlay"),
        target: &lower,
        file_system: "overlay",
        restrictions: DATA_ONLY,
        options: &options,
    })
    .map_err(InitError::RootMount)
}

/// Puts the secrets where only root reads them and no swap or disk ever holds them, and hands out their names.
pub fn put_secrets(secrets: Vec<Secret>) -> Result<Vec<String>, InitError> {
    mount::mount_secret_ramfs(Path::new(paths::RUN_SECRETS)).map_err(InitError::RootMount)?;
    mount::make_mount_point(Path::new(CREDENTIAL_STORE), 0o700).map_err(InitError::RootMount)?;
    let mut names = Vec::new();
    for secret in secrets {
        let path = Path::new(paths::RUN_SECRETS).join(&secret.name);
        let failed = |source| InitError::Write {
            path: path.display().to_string(),
            source,
        };
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&path)
            .map_err(failed)?;
        file.write_all(&secret.value).map_err(failed)?;
        symlink(&path, Path::new(CREDENTIAL_STORE).join(&secret.name)).map_err(failed)?;
        names.push(secret.name);
    }
    Ok(names)
}

/// Leaves the initrd for the root's init. Returns only on failure.
pub fn switch(journal: &mut Journal, known: &mut Known) -> Result<Infallible, InitError> {
    let root = NewRoot::check(Path::new(NEW_ROOT))?;
    let program = find_init()?;
    // From here on nothing may fail that the ESP would have to be told of: it is let go last.
    if let Some(esp) = known.esp.take() {
        esp.unmount()?;
    }
    // A report that lacks its last step is no reason not to start.
    if let Err(error) = handover::complete_steps(journal) {
        journal.warn(&error.to_string());
    }
    journal.say(&format!("starting {}", program.display()));
    // The root's init finds its terminals as the kernel made them.
    drop(known.consoles.take());
    let carried = ["/dev", "/proc", "/sys", "/run"].map(Path::new);
    let entered = root.enter(&carried)?;
    let _left = entered.clear_old_root()?;
    let environment = [(OsStr::new("TERM"), OsStr::new("linux"))];
    Ok(entered.exec(&program, &[program.as_os_str()], &environment)?)
}

/// The first init program that is there, as a file or a link; it is resolved inside the new root by exec.
fn find_init() -> Result<PathBuf, InitError> {
    let there =
        |p: &&&str| std::fs::symlink_metadata(Path::new(NEW_ROOT).join(p.trim_start_matches('/'))).is_ok();
    INIT_PROGRAMS
        .iter()
        .find(there)
        .map(PathBuf::from)
        .ok_or(InitError::NoInit)
}
