//! The peer's encrypted volume: LUKS2 with a key sealed to the machine's TPM, made by the peer's own tools in its own
//! root, which talk to the machine's TPM while its power is off.

use super::peer::VOLUME_UUID;
use crate::benches::{dracut, root_image};
use crate::{host, run};
use anyhow::{Context as _, Result};
use bennu_harness::offline_tpm::OfflineTpm;
use std::path::Path;

/// Header and keyslots as `cryptsetup luksFormat` lays them out; behind them lies data that nobody reads here.
const HEADER_BYTES: usize = 16 << 20;
/// In the peer's root: $1 root, $2 UUID, $3 TPM. PCR 15 is zero when the volume is opened, and is extended then.
const IN_ROOT: &str = "mount -t proc proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && exec chroot \"$1\" \
    sh -ec 'truncate -s 96M /volume; printf %s passphrase-of-the-bench > /key; \
    cryptsetup luksFormat --batch-mode --type luks2 --uuid \"$1\" --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
    /volume /key; \
    systemd-cryptenroll --unlock-key-file=/key --tpm2-device=\"$2\" --tpm2-pcrs=15:sha256 /volume' sh \"$2\" \"$3\"";

/// Why the volume cannot be made here.
pub fn cannot_run() -> Option<String> {
    if !host::is_root() {
        return Some("not root: systemd-cryptenroll runs in a chroot".to_owned());
    }
    host::missing(&[("unshare", "util-linux"), ("chroot", "coreutils"), ("tar", "tar")])
}

/// Header and keyslots of a volume whose key opens with the TPM whose state lies in `tpm`.
///
/// # Errors
/// A tool fails.
pub fn volume(scratch: &Path, tpm: &Path) -> Result<Vec<u8>> {
    let root = scratch.join("peer-root");
    root_image::unpack(&dracut::debian_root()?, &root)?;
    let swtpm = OfflineTpm::start(tpm, &root)?;
    let mut enrol = host::tool("unshare").context("unshare is not installed")?;
    enrol.args(["--mount", "--propagation=private", "sh", "-ec", IN_ROOT, "sh"]);
    enrol.arg(&root).arg(VOLUME_UUID);
    let socket = swtpm.socket().file_name().context("the TPM's socket")?;
    enrol.arg(format!("swtpm:path=/{}", socket.display()));
    run::run(&mut enrol)?;
    drop(swtpm);
    let mut bytes = std::fs::read(root.join("volume"))?;
    bytes.truncate(HEADER_BYTES);
    std::fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    Ok(bytes)
}
