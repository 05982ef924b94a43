//! The peer's UKI: ours with dracut's initrd, and with what systemd in that initrd wants on the command line.

use crate::benches::dracut::Abilities;
use crate::{host, product, run};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// UUID of the peer's LUKS volume.
pub const VOLUME_UUID: &str = "6a1d8f0e-4a60-4b6b-9d0f-3c2f64d1b2a7";
/// Where systemd finds the root (systemd-veritysetup-generator(8): `/dev/mapper/root`, from `roothash=`), and that the
/// words of PID 1 go to the kernel's log.
const FOR_ROOT: &str = "root=/dev/mapper/root rootfstype=erofs ro systemd.log_target=kmsg";
/// systemd-cryptsetup-generator(8), crypttab(5).
const FOR_STATE: &str = "rd.luks.options=tpm2-device=auto,tpm2-measure-pcr=yes,headless=true";
/// Sections that are replaced, and those that sign measurements of our initrd.
const REMOVED: [&str; 4] = [".cmdline", ".initrd", ".pcrsig", ".pcrpkey"];
/// Room for the command line before the initrd.
const CMDLINE_ROOM: u64 = 0x1_0000;

/// The kernel in a UKI (systemd-stub(7), `.uname`).
///
/// # Errors
/// There is no such section, or objcopy fails.
pub fn kernel(uki: &Path, scratch: &Path) -> Result<String> {
    text_section(uki, ".uname", scratch)
}

fn text_section(uki: &Path, name: &str, scratch: &Path) -> Result<String> {
    let bytes = product::section(uki, name, scratch)?;
    let text = String::from_utf8(bytes).with_context(|| format!("section {name}"))?;
    Ok(text.trim_end_matches('\0').trim().to_owned())
}

/// Makes it, signed by the same db key; gives its path.
///
/// # Errors
/// A tool fails.
pub fn uki(ours: &Path, initrd: &Path, abilities: Abilities, scratch: &Path) -> Result<PathBuf> {
    let words = cmdline(&text_section(ours, ".cmdline", scratch)?, abilities);
    let (bare, joined) = (scratch.join("peer.bare.efi"), scratch.join("peer.efi"));
    let words_file = scratch.join("peer.cmdline");
    std::fs::write(&words_file, words + "\0")?;
    std::fs::copy(ours, &bare)?;
    let mut unsign = host::tool("sbattach").context("sbattach is not installed")?;
    run::run(unsign.arg("--remove").arg(&bare))?;
    let at = end_of_image(&std::fs::read(&bare)?)?;
    let mut objcopy = host::tool("objcopy").context("objcopy is not installed")?;
    for section in REMOVED {
        objcopy.args(["--remove-section", section]);
    }
    let added = [
        (".cmdline", words_file.as_path(), at),
        (".initrd", initrd, at + CMDLINE_ROOM),
    ];
    for (name, file, address) in added {
        objcopy.args(["--add-section", &format!("{name}={}", file.display())]);
        objcopy.args(["--change-section-vma", &format!("{name}={address:#x}")]);
        objcopy.args(["--set-section-flags", &format!("{name}=data,readonly,alloc,load")]);
    }
    run::run(objcopy.arg(&bare).arg(&joined))?;
    sign(&joined, &scratch.join("peer.signed.efi"))
}

/// Has the kernel refuse a hash tree without a signature of its root hash (kernel-parameters, dm-verity): ours brings
/// one, the peer's `roothash=` does not.
const SIGNATURES: &str = "dm_verity.require_signatures=";

/// Our command line without what the peer cannot do, and what it needs besides.
fn cmdline(ours: &str, abilities: Abilities) -> String {
    let words = ours.split(' ').filter(|word| !word.starts_with(SIGNATURES));
    let ours = words.collect::<Vec<_>>().join(" ");
    match abilities {
        Abilities::VerifiedRoot => format!("{ours} {FOR_ROOT}"),
        Abilities::VerifiedRootAndEncryptedState => {
            format!("{ours} {FOR_ROOT} rd.luks.name={VOLUME_UUID}=state {FOR_STATE}")
        }
    }
}

fn sign(program: &Path, signed: &Path) -> Result<PathBuf> {
    let keys = product::keys()?;
    let mut sbsign = host::tool("sbsign").context("sbsign is not installed")?;
    sbsign.arg("--key").arg(keys.join("db.key"));
    sbsign.arg("--cert").arg(keys.join("db.crt"));
    run::run(sbsign.arg("--output").arg(signed).arg(program))?;
    Ok(signed.to_owned())
}

/// Address behind a PE32+ program's last section (PE/COFF, optional header: ImageBase, SizeOfImage).
fn end_of_image(program: &[u8]) -> Result<u64> {
    let word = |at: usize| -> Result<u64> {
        let bytes = program.get(at..at + 4).context("a short PE header")?;
        Ok(u64::from(u32::from_le_bytes(bytes.try_into()?)))
    };
    let optional_header = usize::try_from(word(0x3C)?)? + 24;
    let base = word(optional_header + 24)? | word(optional_header + 28)? << 32;
    Ok(base + word(optional_header + 56)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_command_line_begins_with_ours_but_demands_no_signature() {
        for abilities in [Abilities::VerifiedRoot, Abilities::VerifiedRootAndEncryptedState] {
            let line = cmdline("roothash=ab dm_verity.require_signatures=1 quiet", abilities);
            assert!(
                line.starts_with("roothash=ab quiet root=/dev/mapper/root "),
                "{line}"
            );
        }
    }

    #[test]
    fn a_program_too_short_for_its_header_is_refused() {
        assert!(end_of_image(&[0; 16]).is_err());
        assert!(end_of_image(&[0; 512]).is_ok());
    }
}
