//! What an intruder with root changes around the verified root, and the watch has to tell: the ESP, EFI variables, the
//! partition table, mounts, and a program while it is measured. Each is said before it is done. He also mounts over files of
//! the kernel's that the watch reads, which must not deceive it.

use crate::say;
use rustix::fs::IFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The argument that this program is started with to be measured, and to end at once.
pub const VISITOR: &str = "as-a-visitor";
const VISITOR_FOLDER: &str = "/tmp/visitor";
/// As the product mounts it: the kernel has one instance of a file system.
const VFAT: &std::ffi::CStr = c"umask=0077,codepage=437,iocharset=ascii,shortname=mixed,errors=remount-ro";
/// `EFI_GLOBAL_VARIABLE` (UEFI 2.10, 3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const VARIABLES: &str = "/tmp/efivars";
/// What he mounts over files of the kernel's.
const OVER: &str = "/tmp/over";
/// A line of proc_modules(5): no image has a module of that name.
const PLANTED: &str = "planted 16384 0 - Live 0x0000000000000000\n";
/// A PCR that nothing extends after the boot.
const PCR: &str = "/sys/class/tpm/tpm0/pcr-sha256/12";
/// Name of the first entry of the first copy of the table (UEFI 2.10, 5.3.3).
const FIRST_NAME: u64 = 2 * 512 + 56;

/// The words of this file; whether `word` is one of them.
pub fn perform(word: &str) -> bool {
    let change: fn() -> io::Result<()> = match word {
        "intrude-esp" => esp,
        "intrude-variables" => variables,
        "intrude-gpt" => table,
        "intrude-mount" => bind,
        "intrude-violation" => violation,
        "intrude-over-modules" => || over("/proc/modules", PLANTED),
        "intrude-tracing" => || fs::write("/proc/sys/kernel/ftrace_enabled", "0"),
        "intrude-over-pcr" => || over(PCR, ""),
        _ => return false,
    };
    say(&format!("PROBE INTRUDER begins {word}"));
    match change() {
        Ok(()) => say(&format!("PROBE INTRUDER ends {word}")),
        Err(error) => say(&format!("PROBE INTRUDER cannot {word}: {error}")),
    }
    true
}

/// The path of a device of the hand-over.
fn device(member: &str) -> io::Result<String> {
    let record = fs::read_to_string("/run/bennu/boot.json")?;
    let found = record.split_once(&format!("\"{member}\": {{"));
    let path = found.and_then(|(_, rest)| rest.split("\"path\": \"").nth(1)?.split('"').next());
    path.map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("the hand-over has no {member}")))
}

/// A file that no image put there.
fn esp() -> io::Result<()> {
    on_esp(|folder| fs::write(folder.join("EFI/planted.efi"), b"planted"))
}

/// Mounts the ESP for `act`. While `bennud` reads it nobody else may mount it.
pub fn on_esp<T>(act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (device, folder) = (device("esp")?, "/tmp/esp");
    fs::create_dir_all(folder)?;
    let mut tries = 100;
    loop {
        match mount(device.as_str(), folder, "vfat", MountFlags::NODEV, VFAT) {
            Err(Errno::BUSY) if tries > 0 => tries -= 1,
            mounted => break mounted?,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let done = act(Path::new(folder));
    unmount(folder, UnmountFlags::empty())?;
    done
}

/// What starts next: one variable that was not there, and the body of the first entry in the order.
fn variables() -> io::Result<()> {
    fs::create_dir_all(VARIABLES)?;
    mount("efivarfs", VARIABLES, "efivarfs", MountFlags::NODEV, None)?;
    let file = |name: &str| Path::new(VARIABLES).join(format!("{name}-{GLOBAL}"));
    write_variable(&file("BootNext"), &[7, 0, 0, 0, 0, 0])?;
    let order = fs::read(file("BootOrder"))?;
    let Some([low, high]) = order.get(4..6) else {
        return Err(io::Error::other("BootOrder is empty"));
    };
    let name = format!("Boot{:04X}", u16::from_le_bytes([*low, *high]));
    let mut body = fs::read(file(&name))?;
    body.push(0);
    write_variable(&file(&name), &body)
}

/// Attributes and value in one write; the kernel keeps most files of efivarfs from being written by mistake.
fn write_variable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Ok(there) = File::open(path) {
        let flags = rustix::fs::ioctl_getflags(&there)?;
        if flags.contains(IFlags::IMMUTABLE) {
            rustix::fs::ioctl_setflags(&there, flags - IFlags::IMMUTABLE)?;
        }
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all(bytes)
}

/// Another first letter; the checksums stay as they were.
fn table() -> io::Result<()> {
    let disk = OpenOptions::new().write(true).open(device("disk")?)?;
    disk.write_all_at(b"X", FIRST_NAME)?;
    disk.sync_all()
}

fn bind() -> io::Result<()> {
    Ok(mount_bind("/usr/lib", "/usr/lib")?)
}

/// Mounts a copy of a file of the kernel's over it, with a line more: what everybody reads there from now on.
fn over(path: &str, more: &str) -> io::Result<()> {
    fs::create_dir_all(OVER)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let copy = Path::new(OVER).join(name);
    fs::write(&copy, fs::read_to_string(path)? + more)?;
    Ok(mount_bind(&copy, path)?)
}

/// A program that the image has, and that is written while somebody reads it, after the kernel has measured it: IMA's
/// `ToMToU`.
fn violation() -> io::Result<()> {
    fs::create_dir_all(VISITOR_FOLDER)?;
    mount("tmpfs", VISITOR_FOLDER, "tmpfs", MountFlags::NODEV, None)?;
    let path = Path::new(VISITOR_FOLDER).join("visitor");
    fs::write(&path, fs::read("/proc/self/exe")?)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Command::new(&path).arg(VISITOR).status()?;
    let _reader = File::open(&path)?;
    let _writer = OpenOptions::new().write(true).open(&path)?;
    Ok(())
}
