//! Others who decide about execution beside Bennu's gate: the kernel's IPE with a signed policy, and BPF programs such as
//! systemd's, which process 1 loads and keeps.

use crate::say;
use aya::maps::HashMap;
use aya::programs::{Lsm, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Documentation/admin-guide/LSM/ipe.rst
const IPE: &str = "/sys/kernel/security/ipe";
/// Programs with their hooks; the first four are guarded.
const PROGRAMS: [(&str, &str); 5] = [
    ("restrict_fsaccess_bprm_check", "bprm_check_security"),
    ("restrict_fsaccess_mmap_file", "mmap_file"),
    ("restrict_fsaccess_ptrace_guard", "ptrace_access_check"),
    ("restrict_fsaccess_bpf_prog_guard", "bpf_prog"),
    ("restrict_filesystems", "file_open"),
];
const GUARDED: usize = 4;

/// The words of this file; whether `word` is one of them.
pub fn perform(word: &str, argument: &str) -> bool {
    let done = match word {
        "ipe" => ipe(argument),
        "ipe-enforces" => fs::write(Path::new(IPE).join("enforce"), argument).map_err(Into::into),
        "foreign-gate" => foreign_gate(),
        _ => return false,
    };
    match done {
        Ok(()) => say(&format!("PROBE NEIGHBOUR {word} {argument}")),
        Err(error) => say(&format!("PROBE NEIGHBOUR cannot {word} {argument}: {error}")),
    }
    true
}

/// Loads the signed policy in the file and makes it active: `NAME FILE`.
fn ipe(argument: &str) -> Result<()> {
    let (name, file) = argument.split_once(' ').ok_or("expected a name and a file")?;
    fs::write(Path::new(IPE).join("new_policy"), fs::read(file)?)?;
    fs::write(Path::new(IPE).join("policies").join(name).join("active"), "1")?;
    Ok(())
}

/// What systemd does when it starts, and keeps for as long as it runs.
fn foreign_gate() -> Result<()> {
    let root = fs::metadata("/")?.dev();
    let root = rustix::fs::major(root) << 20 | rustix::fs::minor(root);
    let types = Btf::from_sys_fs()?;
    let mut object = EbpfLoader::new()
        .btf(Some(&types))
        .override_global("root_dev", &root, true)
        .load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/foreign.bpf.o")))?;
    let mut ids = Vec::new();
    for (name, hook) in PROGRAMS {
        ids.push(attach(&mut object, name, hook, &types)?);
    }
    let mut guarded: HashMap<_, u32, u32> = object.map_mut("guarded").ok_or("no map")?.try_into()?;
    for id in ids.into_iter().take(GUARDED) {
        guarded.insert(id, 1, 0)?;
    }
    // Links and programs live as long as their descriptors, which are this process's.
    std::mem::forget(object);
    Ok(())
}

fn attach(object: &mut Ebpf, name: &str, hook: &str, types: &Btf) -> Result<u32> {
    let program: &mut Lsm = object
        .program_mut(name)
        .ok_or_else(|| format!("no program {name}"))?
        .try_into()?;
    program.load(hook, types)?;
    program.attach()?;
    let info: std::result::Result<_, ProgramError> = program.info();
    Ok(info?.id())
}
