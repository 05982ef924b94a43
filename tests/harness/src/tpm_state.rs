//! The state of a machine's TPM between power-ons: set aside, put back, replaced by a new TPM's.
//!
//! Putting an older state back is the rollback attack on a TPM that can be copied: NV counters, NV indices and
//! dictionary-attack counts go back with it, and swtpm does not notice.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::machine::Machine;
use crate::tool;
use crate::tpm::{self, PcrBank};

/// A TPM's state at one moment, in a folder of the machine's.
#[derive(Debug, Clone)]
pub struct TpmSnapshot {
    folder: PathBuf,
}

impl TpmSnapshot {
    /// Where the state lies.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.folder
    }
}

impl Machine {
    /// Copies the TPM's state aside, to `tpm-snapshot-<n>`.
    ///
    /// # Errors
    /// The machine has no TPM, or its folder cannot be copied.
    pub fn tpm_snapshot(&mut self) -> anyhow::Result<TpmSnapshot> {
        self.banks()?;
        self.snapshots += 1;
        let folder = self.folder.join(format!("tpm-snapshot-{}", self.snapshots));
        copy_state(&self.tpm_path(), &folder)?;
        Ok(TpmSnapshot { folder })
    }

    /// Puts a state back, this machine's or another's; the snapshot stays.
    ///
    /// # Errors
    /// The machine has no TPM, or the folder cannot be replaced.
    pub fn tpm_restore(&mut self, snapshot: &TpmSnapshot) -> anyhow::Result<()> {
        self.banks()?;
        self.remove_tpm()?;
        copy_state(&snapshot.folder, &self.tpm_path())
    }

    /// Puts a new TPM in: other seeds, nothing in its NV. `None`: with the banks of the old one.
    ///
    /// # Errors
    /// The machine has no TPM, or `swtpm_setup` failed.
    pub fn replace_tpm(&mut self, banks: Option<Vec<PcrBank>>) -> anyhow::Result<()> {
        let banks = match banks {
            Some(banks) => banks,
            None => self.banks()?.to_vec(),
        };
        self.remove_tpm()?;
        tpm::manufacture(&self.tpm_path(), &banks)?;
        self.spec.tpm = Some(banks);
        Ok(())
    }

    /// Puts the disk into a new machine of the same kind: a new TPM, and the variable store as it was at first.
    ///
    /// # Errors
    /// As [`Self::replace_tpm`], or the variable store cannot be copied.
    pub fn replace_board(&mut self) -> anyhow::Result<()> {
        self.replace_tpm(None)?;
        let vars = &self.spec.firmware.vars;
        fs::copy(vars, self.vars_path())
            .with_context(|| format!("copy variable store {}", vars.display()))?;
        Ok(())
    }

    fn banks(&self) -> anyhow::Result<&[PcrBank]> {
        self.spec
            .tpm
            .as_deref()
            .context("find the machine's TPM: it was made without one")
    }

    fn remove_tpm(&self) -> anyhow::Result<()> {
        let folder = self.tpm_path();
        fs::remove_dir_all(&folder).with_context(|| format!("remove TPM state folder {}", folder.display()))
    }
}

/// Copies a folder of plain files.
fn copy_state(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    let args = [
        "--archive".as_ref(),
        "--no-target-directory".as_ref(),
        "--".as_ref(),
        from.as_os_str(),
        to.as_os_str(),
    ];
    tool::run("cp", &args, &[]).context("copy the TPM's state")?;
    Ok(())
}
