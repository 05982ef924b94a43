//! One side's machine, from boot to boot.

use crate::guest;
use anyhow::{Context as _, Result, bail};
use bennu_harness::machine::{Machine, MachineSpec};
use bennu_harness::marker::Marker;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For one boot; a busy machine takes minutes where a quiet one takes half of one.
const WITHIN: Duration = Duration::from_secs(900);
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// dracut's systemd starts its services side by side: one processor would be unfair to it.
const PROCESSORS: u32 = 2;
const MEMORY_MIB: u32 = 1024;
/// Version in the boot entry's name.
const ENTRY: &str = "bench_2";
/// Ends a boot that will come to nothing.
const HOPELESS: [&str; 6] = [
    "bennu-init: FAILED",
    "bennu-init: HALTED",
    "emergency mode",
    "Kernel panic",
    "Failed to start systemd-veritysetup",
    "Failed to start systemd-cryptsetup",
];
/// In front of a record of the kernel's log that the root's init shows.
const RECORD: &str = "PROBE KERNEL-LOG ";

/// What a boot took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boot {
    /// Kernel's clock when the initrd was left, in seconds.
    pub switch_s: f64,
    /// From power-on to the first line of the root's init, by the host's clock, in seconds.
    pub init_s: f64,
}

/// A machine that boots one kind of initrd.
pub struct Side {
    machine: Machine,
    /// What the initrd says last.
    last_words: &'static str,
    must_show: Vec<&'static str>,
    /// It has booted before: what a first boot makes is there.
    provisioned: bool,
}

impl Side {
    /// A machine in the new directory `folder`, with a copy of `disk` and a TPM of its own.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(folder: &Path, disk: &Path, last_words: &'static str) -> Result<Self> {
        std::fs::create_dir(folder).with_context(|| folder.display().to_string())?;
        let spec = MachineSpec {
            memory_mib: MEMORY_MIB,
            vcpus: PROCESSORS,
            ..guest::spec(folder, disk)?
        };
        Ok(Self {
            machine: Machine::create(folder, spec)?,
            last_words,
            must_show: Vec::new(),
            provisioned: false,
        })
    }

    /// Each boot but the first must print these: who does less is not measured.
    pub fn must_show(&mut self, words: &[&'static str]) {
        self.must_show.extend(words);
    }

    /// The TPM's state folder, to be used while the power is off.
    pub fn tpm_path(&self) -> PathBuf {
        self.machine.tpm_path()
    }

    /// Puts `uki` in the place of the disk's.
    ///
    /// # Errors
    /// There is none, or no room.
    pub fn put_uki(&self, uki: &Path) -> Result<()> {
        let entry = self.entry()?;
        let bytes = std::fs::read(uki).with_context(|| uki.display().to_string())?;
        Ok(self.machine.disk()?.esp()?.put(&entry, &bytes)?)
    }

    /// Puts the bytes of `volume` on the state partition.
    ///
    /// # Errors
    /// It is larger than that.
    pub fn put_state(&self, volume: &[u8]) -> Result<()> {
        Ok(self.machine.disk()?.write("state", 0, volume)?)
    }

    fn entry(&self) -> Result<String> {
        let names = self.machine.disk()?.esp()?.list("/EFI/Linux")?;
        let mut names = names.into_iter().map(|entry| entry.name);
        let name = names.find(|name| name.starts_with(ENTRY));
        Ok(format!(
            "/EFI/Linux/{}",
            name.context("no boot entry on the ESP")?
        ))
    }

    /// A slot that was marked good, as in a machine that works: all tries, no attempts on record.
    fn mark_good(&self) -> Result<()> {
        let (entry, good) = (self.entry()?, format!("{ENTRY}+3-0.efi"));
        let esp = self.machine.disk()?.esp()?;
        if !entry.ends_with(&good) {
            esp.rename(&entry, &good)?;
        }
        let folders = esp.list("/")?;
        if folders.iter().any(|folder| folder.name == "bennu") {
            for file in esp.list("/bennu")? {
                if file.name.starts_with("boot-record") {
                    esp.delete(&format!("/bennu/{}", file.name))?;
                }
            }
        }
        Ok(())
    }

    /// Boots until the root's init has said everything.
    ///
    /// # Errors
    /// It does not come to that, or does less than it should; the console is kept and named.
    pub fn boot(&mut self) -> Result<Boot> {
        self.mark_good()?;
        let mut on = self.machine.power_on()?;
        let ended = on
            .wait_for_without("PROBE END", &HOPELESS.map(Marker::from), WITHIN)
            .and_then(|_| on.wait_exit(GONE_WITHIN));
        let lines: Vec<(u64, String)> = on.lines().into_iter().map(|line| (line.ms, line.text)).collect();
        drop(on);
        let figures = ended
            .map_err(anyhow::Error::from)
            .and_then(|_| self.shows_all(&lines))
            .and_then(|()| boot(&lines, self.last_words));
        self.provisioned = true;
        figures.map_err(|error| guest::keep_console(&lines, error))
    }

    fn shows_all(&self, lines: &[(u64, String)]) -> Result<()> {
        let missing = |words: &&&str| !lines.iter().any(|(_, line)| line.contains(**words));
        match self.must_show.iter().find(missing) {
            Some(words) if self.provisioned => bail!("expected `{words}` on the console"),
            _ => Ok(()),
        }
    }
}

/// The two figures in a console's lines, each with its milliseconds since power-on.
fn boot(lines: &[(u64, String)], last_words: &str) -> Result<Boot> {
    let record = lines
        .iter()
        .filter_map(|(_, line)| line.split_once(RECORD))
        .find(|(_, record)| record.contains(last_words))
        .with_context(|| format!("`{last_words}` is not in the kernel's log"))?;
    let microseconds = record.1.split(' ').next().unwrap_or_default();
    let microseconds: f64 = microseconds
        .parse()
        .with_context(|| format!("time of a record of the kernel's log: {microseconds:?}"))?;
    let init = lines.iter().find(|(_, line)| line.contains("PROBE BEGIN"));
    let (init_ms, _) = init.context("the root's init did not begin")?;
    Ok(Boot {
        switch_s: microseconds / 1e6,
        init_s: *init_ms as f64 / 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<(u64, String)> {
        (1..)
            .zip(texts)
            .map(|(n, text)| (n * 1000, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn both_figures_are_read_from_the_console() {
        let lines = lines(&[
            "PROBE BEGIN",
            "PROBE KERNEL-LOG 1000 bennu-init: starting the engines",
            "PROBE KERNEL-LOG 2500000 bennu-init: starting /sbin/init",
        ]);
        let found = boot(&lines, "starting /sbin/init").unwrap();
        assert_eq!((found.switch_s, found.init_s), (2.5, 1.0));
    }

    #[test]
    fn a_boot_without_its_last_words_or_a_number_is_no_figure() {
        let shown = lines(&["PROBE BEGIN", "PROBE KERNEL-LOG x Switching root."]);
        assert!(boot(&shown, "Switching root.").is_err());
        assert!(boot(&shown, "starting /sbin/init").is_err());
        assert!(boot(&lines(&["PROBE KERNEL-LOG 1 Switching root."]), "Switching root.").is_err());
    }
}
