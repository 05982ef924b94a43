//! PCRs that nothing extends after the boot, and the TPM's own counters.

use super::asking::{Answer, Asking, Tpm};
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

/// Why the logs cannot be read, and the PCRs without them.
type WithoutLogs = (String, BTreeMap<u8, Sha256Digest>);

/// Values of PCRs.
pub struct Pcrs {
    places: Places,
    values: Asking<Result<Facts, WithoutLogs>>,
    at_handover: BTreeMap<u32, Sha256Digest>,
    predicted: PredictedPcrs,
}

impl Pcrs {
    /// As they have to be in this start.
    pub fn of(handover: &Handover, kernel: Arc<KernelFiles>, tpm: Tpm) -> Self {
        Self {
            places: Places::of(kernel),
            values: Asking::of(tpm),
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
        let places = self.places.clone();
        let read = move || Facts::gather_settled(&places).map_err(|why| (why, without_logs(&places)));
        match self.values.ask(read) {
            Ok(Answer::InTime(Ok(facts)) | Answer::Late(Ok(facts))) => {
                Ok(self.judge(&facts.sha256(), facts.accounted(15)))
            }
            Ok(Answer::InTime(Err((why, values)))) => {
                let mut seen = self.judge(&values, true);
                seen.extend(silent(why));
                Ok(seen)
            }
            // Behind a question that the kernel has given up, what a TPM says may be the answer to that one.
            Ok(Answer::Late(Err((why, _)))) | Err(why) => Ok(silent(why)),
        }
    }
}

/// A log that somebody took away must not hide the PCRs: only 15 needs it.
fn without_logs(places: &Places) -> BTreeMap<u8, Sha256Digest> {
    let values = STILL.into_iter().chain([11]).filter_map(|pcr| {
        let value = pcrs::read_kernel(&places.kernel, pcr).ok()?;
        Some((u8::try_from(pcr).ok()?, value))
    });
    values.collect()
}

fn silent(why: String) -> Vec<Sighting> {
    vec![Sighting::new(Signal::TpmSilent, why)]
}

/// Reset and restart counts.
pub struct Counters {
    clock: Asking<Result<ClockInfo, String>>,
    first: Option<ClockInfo>,
}

impl Counters {
    /// Of this machine's TPM.
    pub fn of(tpm: Tpm) -> Self {
        Self {
            clock: Asking::of(tpm),
            first: None,
        }
    }

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
        let now = match self.clock.ask(read_clock).and_then(Answer::any) {
            Ok(now) => now,
            Err(why) => return Ok(silent(why)),
        };
        let first = *self.first.get_or_insert_with(|| remembered(&now));
        Ok(Self::judge(&first, &now))
    }
}

fn read_clock() -> Result<ClockInfo, String> {
    let device = Device::open(Path::new(DEVICE)).map_err(|error| error.to_string())?;
    let clock = Client::new(device).read_clock();
    clock.map_err(|error| error.to_string())
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
            values: Asking::of(Tpm::default()),
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
    fn a_tpm_that_says_nothing_is_told_in_the_same_words_until_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let bank = dir.path().join("sysfs/class/tpm/tpm0/pcr-sha256");
        std::fs::create_dir_all(&bank).unwrap();
        for (pcr, value) in values(&[]) {
            std::fs::write(bank.join(pcr.to_string()), format!("{value}\n")).unwrap();
        }
        // Whoever opens it waits.
        let (silent, answer) = (bank.join("0"), bank.join("answer"));
        std::fs::rename(&silent, &answer).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &silent, pipe, 0o600.into(), 0).unwrap();
        let mut pcrs = Pcrs {
            places: Places {
                kernel: Arc::new(KernelFiles::at(dir.path())),
                user_log: dir.path().join("nowhere"),
            },
            values: Asking::of(Tpm::within(std::time::Duration::from_millis(200))),
            ..pcrs()
        };
        let words = "the TPM does not answer in time";
        for _ in 0..2 {
            let seen = pcrs.look().unwrap();
            assert_eq!(seen, [Sighting::new(Signal::TpmSilent, words)]);
        }
        let mut waits = std::fs::OpenOptions::new().write(true).open(&silent).unwrap();
        std::fs::rename(&answer, &silent).unwrap();
        std::io::Write::write_all(&mut waits, format!("{}\n", digest(1)).as_bytes()).unwrap();
        drop(waits);
        let seen = loop {
            match pcrs.look().unwrap() {
                seen if seen[0].detail == words => {}
                seen => break seen,
            }
        };
        let signals: Vec<Signal> = seen.iter().map(|one| one.signal).collect();
        assert_eq!(
            signals,
            [Signal::TpmSilent],
            "the logs are still not there: {seen:?}"
        );
        assert!(seen[0].detail.contains("cannot open"), "{seen:?}");
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
