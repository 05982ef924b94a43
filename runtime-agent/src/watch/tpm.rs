//! PCRs that nothing extends after the boot, and the TPM's own counters.

use super::{Look, Sighting, Subject};
use crate::kernel_files::KernelFiles;
use crate::records::{DEVICE, boot_id};
use crate::status::measured::{Facts, Places};
use crate::status::pcrs;
use bennu_formats::Sha256Digest;
use bennu_formats::handover::Handover;
use bennu_formats::manifest::PredictedPcrs;
use bennu_policy::drift::Signal;
use bennu_tpm::{Client, ClockInfo, Device};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// PCRs whose value is that of the hand-over for as long as the machine runs: what firmware, loaders, stub and the kernel's
/// own stub measure into before the kernel runs (0 to 9 and 12 to 14). Not here: 10, which IMA extends, 11 and 15, which
/// systemd 257 extends (`systemd-pcrextend`, `systemd-cryptsetup`; it extends no other), 16 and 23, which are for
/// applications, and 17 to 22, which are for a late launch.
const STILL: [u32; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14];

/// Values of PCRs.
pub struct Pcrs {
    places: Places,
    at_handover: BTreeMap<u32, Sha256Digest>,
    predicted: PredictedPcrs,
}

impl Pcrs {
    /// As they have to be in this start.
    pub fn of(handover: &Handover, kernel: Arc<KernelFiles>) -> Self {
        Self {
            places: Places::of(kernel),
            at_handover: handover.pcrs.clone(),
            predicted: handover.predicted_pcrs.clone(),
        }
    }

    /// What differs. PCR 11 has the value of one of the phases; PCR 15, into which systemd measures, is what the event
    /// log gives.
    fn judge(&self, values: &BTreeMap<u8, Sha256Digest>, accounted_15: bool) -> Vec<Sighting> {
        let changed = |pcr: u32, value: &Sha256Digest, expected: &str| {
            Sighting::new(
                Signal::PcrChanged,
                format!("PCR {pcr} is {value}, expected {expected}"),
            )
        };
        let value = |pcr: u32| u8::try_from(pcr).ok().and_then(|pcr| values.get(&pcr));
        let mut seen: Vec<Sighting> = STILL
            .into_iter()
            .filter_map(|pcr| Some((pcr, value(pcr)?, self.at_handover.get(&pcr)?)))
            .filter(|(_, now, then)| now != then)
            .map(|(pcr, now, then)| changed(pcr, now, &then.to_string()))
            .collect();
        let p = &self.predicted;
        let phases = [p.pcr11_leave_initrd, p.pcr11_sysinit, p.pcr11_ready];
        if let Some(now) = value(11).filter(|now| !phases.contains(now)) {
            seen.push(changed(11, now, "the value of a phase of this release"));
        }
        if let Some(now) = value(15).filter(|_| !accounted_15) {
            seen.push(changed(15, now, "what the event log gives"));
        }
        seen
    }
}

impl Subject for Pcrs {
    fn name(&self) -> &'static str {
        "PCRs"
    }

    fn look(&mut self) -> Look {
        match Facts::gather_settled(&self.places) {
            Ok(facts) => Ok(self.judge(&facts.sha256(), facts.accounted(15))),
            Err(why) => Ok(self.judge_without_logs(why)),
        }
    }
}

impl Pcrs {
    /// A log that somebody took away must not hide the PCRs: only 15 needs it.
    fn judge_without_logs(&self, why: String) -> Vec<Sighting> {
        let values = STILL.into_iter().chain([11]).filter_map(|pcr| {
            let value = pcrs::read_kernel(&self.places.kernel, pcr).ok()?;
            Some((u8::try_from(pcr).ok()?, value))
        });
        let mut seen = self.judge(&values.collect(), true);
        seen.push(Sighting::new(Signal::TpmSilent, why));
        seen
    }
}

/// Reset and restart counts.
#[derive(Default)]
pub struct Counters {
    first: Option<ClockInfo>,
}

impl Counters {
    fn judge(first: &ClockInfo, now: &ClockInfo) -> Vec<Sighting> {
        let mut seen = Vec::new();
        if now.reset_count != first.reset_count {
            let words = format!(
                "the TPM was reset while the machine ran: reset count {} at the first look, now {}",
                first.reset_count, now.reset_count
            );
            seen.push(Sighting::new(Signal::TpmReset, words));
        } else if now.restart_count != first.restart_count {
            let words = format!(
                "the TPM restarted: restart count {} at the first look, now {}",
                first.restart_count, now.restart_count
            );
            seen.push(Sighting::new(Signal::TpmRestarted, words));
        }
        seen
    }
}

impl Subject for Counters {
    fn name(&self) -> &'static str {
        "TPM counters"
    }

    fn look(&mut self) -> Look {
        let silent = |why: String| Ok(vec![Sighting::new(Signal::TpmSilent, why)]);
        let now = match Device::open(Path::new(DEVICE)).map(Client::new) {
            Err(error) => return silent(error.to_string()),
            Ok(mut tpm) => match tpm.read_clock() {
                Err(error) => return silent(error.to_string()),
                Ok(now) => now,
            },
        };
        let first = *self.first.get_or_insert_with(|| remembered(&now));
        Ok(Self::judge(&first, &now))
    }
}

/// The counters of the first look in this boot, also where `bennud` was started again since.
fn remembered(now: &ClockInfo) -> ClockInfo {
    let text = format!("{} {} {}\n", boot_id(), now.reset_count, now.restart_count);
    let kept = crate::documents::first_words(Path::new(COUNTERS), &text).unwrap_or(text);
    let mut words = kept.split_whitespace().skip(1).map(|word| word.parse::<u32>());
    match (words.next(), words.next()) {
        (Some(Ok(reset_count)), Some(Ok(restart_count))) => ClockInfo {
            reset_count,
            restart_count,
            ..*now
        },
        _ => *now,
    }
}

/// Ours alone.
const COUNTERS: &str = "/run/bennu/tpm-counters";

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Sha256Digest {
        Sha256Digest([byte; 32])
    }

    fn pcrs() -> Pcrs {
        Pcrs {
            places: Places::default(),
            at_handover: (0..16).map(|pcr| (pcr, digest(1))).collect(),
            predicted: PredictedPcrs {
                sections: BTreeMap::new(),
                pcr11_sections: digest(20),
                pcr11_enter_initrd: digest(21),
                pcr11_leave_initrd: digest(22),
                pcr11_sysinit: digest(23),
                pcr11_ready: digest(24),
                pcr12: digest(1),
                pcr13: digest(1),
            },
        }
    }

    fn values(changed: &[(u8, u8)]) -> BTreeMap<u8, Sha256Digest> {
        let mut values: BTreeMap<u8, Sha256Digest> = (0..24).map(|pcr| (pcr, digest(1))).collect();
        values.insert(11, digest(23));
        values.extend(changed.iter().map(|(pcr, byte)| (*pcr, digest(*byte))));
        values
    }

    #[test]
    fn each_pcr_that_nothing_extends_is_told_when_it_changes_and_ima_is_not() {
        let pcrs = pcrs();
        for phase in [22, 23, 24] {
            assert_eq!(pcrs.judge(&values(&[(11, phase), (10, 9)]), true), [], "control");
        }
        for pcr in 16..24 {
            assert_eq!(
                pcrs.judge(&values(&[(pcr, 9)]), true),
                [],
                "{pcr} is not of the boot"
            );
        }
        for pcr in (0..15).filter(|pcr| *pcr != 10) {
            let seen = pcrs.judge(&values(&[(pcr, 9)]), true);
            assert_eq!(seen.len(), 1, "{pcr}");
            assert_eq!(seen[0].signal, Signal::PcrChanged);
            assert!(seen[0].detail.starts_with(&format!("PCR {pcr} is 0909")));
        }
        // Before the latch, and one that no event accounts for.
        assert_eq!(pcrs.judge(&values(&[(11, 21)]), true).len(), 1);
        assert_eq!(pcrs.judge(&values(&[]), false).len(), 1);
    }

    #[test]
    fn without_the_event_logs_a_changed_pcr_is_told_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let bank = dir.path().join("sysfs/class/tpm/tpm0/pcr-sha256");
        std::fs::create_dir_all(&bank).unwrap();
        for (pcr, value) in values(&[(12, 9)]) {
            std::fs::write(bank.join(pcr.to_string()), format!("{value}\n")).unwrap();
        }
        let mut pcrs = Pcrs {
            places: Places {
                kernel: Arc::new(KernelFiles::at(dir.path())),
                user_log: dir.path().join("nowhere"),
            },
            ..pcrs()
        };
        let seen = pcrs.look().unwrap();
        let signals: Vec<Signal> = seen.iter().map(|one| one.signal).collect();
        assert_eq!(signals, [Signal::PcrChanged, Signal::TpmSilent]);
        assert!(seen[0].detail.starts_with("PCR 12 is 0909"), "{seen:?}");
    }

    #[test]
    fn a_reset_is_told_from_a_restart_and_both_from_nothing() {
        let clock = |reset_count, restart_count| ClockInfo {
            clock_ms: 1,
            reset_count,
            restart_count,
            safe: true,
        };
        let signals = |now| -> Vec<Signal> {
            Counters::judge(&clock(5, 1), &now)
                .into_iter()
                .map(|s| s.signal)
                .collect()
        };
        assert_eq!(signals(clock(5, 1)), []);
        assert_eq!(signals(clock(6, 0)), [Signal::TpmReset]);
        assert_eq!(signals(clock(5, 2)), [Signal::TpmRestarted]);
    }
}
