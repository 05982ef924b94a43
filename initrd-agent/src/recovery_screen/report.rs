//! The words of the recovery screen. Pure.

use bennu_formats::boot_record::{BootRecord, Failure, SlotRecord};
use bennu_formats::recovery_qr::{MachineHint, QrContent};
use bennu_formats::{ImageVersion, ReleaseName, Sha256Digest, paths};

/// Columns that are used: one less than a screen has, since some terminals wrap after the last.
pub const COLUMNS: usize = 79;
/// Columns of the label in front of the words.
const LABEL: usize = 9;
/// Rows of each slot of the history: this one, and the newest of the others.
const SLOT_ROWS: [usize; 2] = [1, 2];

/// All that the screen says.
#[derive(Debug, Clone)]
pub struct Report {
    /// Why this start failed.
    pub failure: Failure,
    /// The release that failed; `None` when the initrd could not read its own trust configuration.
    pub release: Option<ReleaseName>,
    /// What is known of every slot; `None` when the ESP was not read.
    pub record: Option<BootRecord>,
    /// Which machine.
    pub machine: Option<MachineHint>,
    /// SHA-256 of the failure log.
    pub log: Sha256Digest,
    /// Where the log is.
    pub kept: Kept,
    /// Milliseconds from the start of the kernel to the halt.
    pub stopped_ms: u64,
    /// Whether a factory reset is offered.
    pub reset: ResetRow,
}

/// Whether the screen reads anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetRow {
    /// The words of a factory reset.
    Offered,
    /// No key.
    None,
}

/// Where the failure log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// On the ESP, [`paths::ESP_FAILURE_LOG`].
    OnEsp,
    /// Nowhere; why.
    Nowhere(String),
}

impl Report {
    /// What the QR code says.
    pub fn qr_content(&self) -> QrContent {
        QrContent {
            code: self.failure.code,
            release: self.release.clone(),
            machine: self.machine,
            log: self.log,
        }
    }

    /// The words: at most [`super::screen::TEXT_ROWS`] rows of at most [`COLUMNS`] ASCII characters.
    pub fn rows(&self) -> Vec<String> {
        let code = self.failure.code;
        let seconds = self.stopped_ms / 1000;
        let tenths = self.stopped_ms % 1000 / 100;
        let release = self
            .release
            .as_ref()
            .map_or_else(|| "unknown release".to_owned(), ToString::to_string);
        let title = format!("{release}: stopped {seconds}.{tenths} s after its start");
        let rule = "-".repeat(COLUMNS);

        let mut rows = vec![rule.clone()];
        rows.extend(labelled("bennu", &title, 1));
        rows.extend(labelled("code", code.as_str(), 1));
        rows.extend(labelled("what", code.meaning(), 2));
        rows.extend(labelled("found", &self.failure.reason, 4));
        rows.extend(labelled("do", code.advice(), 3));
        rows.extend(self.slots());
        let machine = self
            .machine
            .map_or_else(|| "not known".to_owned(), |m| m.to_string());
        rows.extend(labelled("machine", &machine, 1));
        let kept = match &self.kept {
            Kept::OnEsp => format!("kept on the ESP: /{}", paths::ESP_FAILURE_LOG),
            Kept::Nowhere(why) => format!("not kept: {why}"),
        };
        rows.extend(labelled("log", &kept, 1));
        rows.extend(labelled("sha256", &self.log.to_string(), 1));
        rows.extend(labelled(
            "now",
            match self.reset {
                ResetRow::None => "nothing restarts by itself and no key is read: use the power switch",
                ResetRow::Offered => "nothing restarts by itself: use the power switch, or the prompt below",
            },
            1,
        ));
        rows.push(rule);
        rows
    }

    fn slots(&self) -> Vec<String> {
        let Some(record) = &self.record else {
            return labelled("slots", "not known: the ESP was not read", 1);
        };
        if record.slots.is_empty() {
            return labelled("slots", "none is recorded", 1);
        }
        let mut slots: Vec<_> = record.slots.iter().rev().collect();
        // Stable: this slot, whose failure stands above; then the others, newest first.
        slots.sort_by_key(|(version, _)| !self.is_this(version));
        let rows = slots
            .into_iter()
            .zip(SLOT_ROWS)
            .enumerate()
            .map(|(at, ((version, slot), most))| {
                let label = if at == 0 { "slots" } else { "" };
                labelled(label, &self.slot(version, slot), most)
            });
        rows.flatten().collect()
    }

    fn is_this(&self, version: &ImageVersion) -> bool {
        self.release.as_ref().is_some_and(|r| r.version == *version)
    }

    /// One slot: version, verdict, starts, last failure.
    fn slot(&self, version: &ImageVersion, slot: &SlotRecord) -> String {
        let this = if self.is_this(version) { " (this)" } else { "" };
        let verdict = if slot.bad.is_some() { "bad" } else { "not bad" };
        let why = match slot.bad.as_ref().or(slot.last_failure.as_ref()) {
            Some(failure) if *failure == self.failure => format!("{}, as above", failure.code),
            Some(failure) => format!("{}: {}", failure.code, failure.reason),
            None => "no failure recorded".to_owned(),
        };
        format!("{version}{this}: {verdict}, attempts {}; {why}", slot.attempts)
    }
}

/// `text` behind `label`, wrapped at words into at most `most` rows; what does not fit ends in `...`.
fn labelled(label: &str, text: &str, most: usize) -> Vec<String> {
    let width = COLUMNS - LABEL;
    let mut lines = wrapped(&printable(text), width);
    if lines.len() > most {
        // The last row is filled to its end: a long word would leave it nearly empty.
        let mut last = lines.split_off(most.saturating_sub(1)).join(" ");
        last.truncate(width - 3);
        lines.push(last + "...");
    }
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            let label = if at == 0 { label } else { "" };
            format!("{label:LABEL$}{line}").trim_end().to_owned()
        })
        .collect()
}

/// ASCII only: a console's font may have nothing else, and one character must be one column.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect()
}

/// Lines of at most `width` columns, broken at spaces, and inside words that are longer than a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let mut rest = word;
        while let Some(line) = lines.last_mut() {
            let space = usize::from(!line.is_empty());
            if line.len() + space + rest.len() <= width {
                line.push_str(&" "[..space]);
                line.push_str(rest);
                break;
            }
            if line.is_empty() {
                let (head, tail) = rest.split_at(width);
                line.push_str(head);
                rest = tail;
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
pub mod tests {
    use super::super::screen::TEXT_ROWS;
    use super::*;
    use bennu_formats::Code;
    use bennu_formats::failure_log::FailureLog;
    use proptest::prelude::*;

    /// The machine of the golden screen: both slots of `demo` are bad.
    pub fn example() -> Report {
        let release = ReleaseName {
            image_id: "demo".parse().unwrap(),
            version: "2".parse().unwrap(),
        };
        let failure = Failure::new(
            Code::VerityCorrupt,
            "dm-verity: /usr/lib/systemd/systemd does not match the root hash or cannot be read: \
             Input/output error (os error 5)",
        );
        let mut record = BootRecord::default();
        let this = record.slot_mut(&release.version);
        this.attempts = 1;
        this.bad = Some(failure.clone());
        record.slot_mut(&"1".parse().unwrap()).bad = Some(Failure::new(
            Code::UkiNotStarted,
            "expected the UKI to start within 3 tries, found that it never did",
        ));
        Report {
            failure,
            release: Some(release),
            record: Some(record),
            machine: MachineHint::of_system_uuid("4c4c4544-0042-3510-8054-b4c04f4d3333"),
            log: Sha256Digest::of(&FailureLog::default().encode(None, &[])),
            kept: Kept::OnEsp,
            stopped_ms: 12_345,
            reset: ResetRow::None,
        }
    }

    #[test]
    fn meaning_and_advice_of_every_code_are_shown_whole() {
        for code in Code::ALL {
            let report = Report {
                failure: Failure::new(*code, "x"),
                ..example()
            };
            let rows = report.rows();
            let words: Vec<&str> = rows.iter().flat_map(|r| r.split_whitespace()).collect();
            let words = words.join(" ");
            for sentence in [code.as_str(), code.meaning(), code.advice()] {
                assert!(words.contains(sentence), "{code}: {sentence}: {rows:#?}");
            }
        }
    }

    #[test]
    fn code_digest_and_machine_of_the_qr_code_stand_among_the_words_in_one_piece() {
        let report = example();
        let rows = report.rows();
        for row in [
            "code     VERITY-CORRUPT".to_owned(),
            format!("sha256   {}", report.log),
            format!("machine  {}", report.machine.unwrap()),
        ] {
            assert!(rows.contains(&row), "{row}: {rows:#?}");
        }
    }

    #[test]
    fn the_history_is_this_slot_and_the_newest_other_with_its_own_reason() {
        let mut report = example();
        let mut record = report.record.take().unwrap();
        record.slot_mut(&"0.9".parse().unwrap()).attempts = 7;
        let slots = |report: &Report| {
            let rows = report.rows();
            let from = rows.iter().position(|r| r.starts_with("slots")).unwrap();
            let to = rows.iter().position(|r| r.starts_with("machine")).unwrap();
            rows[from..to].to_vec()
        };
        report.record = Some(record.clone());
        assert_eq!(
            slots(&report),
            [
                "slots    2 (this): bad, attempts 1; VERITY-CORRUPT, as above",
                "         1: bad, attempts 0; UKI-NOT-STARTED: expected the UKI to start within",
                "         3 tries, found that it never did",
            ]
        );
        record.slot_mut(&"3".parse().unwrap()).attempts = 2;
        report.record = Some(record);
        assert_eq!(
            slots(&report)[1..],
            ["         3: not bad, attempts 2; no failure recorded"]
        );
    }

    #[test]
    fn what_is_not_known_is_said_so() {
        let report = Report {
            release: None,
            record: None,
            machine: None,
            kept: Kept::Nowhere("no ESP was mounted".into()),
            ..example()
        };
        let rows = report.rows().join("\n");
        let offered = Report {
            reset: ResetRow::Offered,
            ..example()
        };
        assert!(offered.rows().join("\n").contains("or the prompt below"));
        for words in [
            "bennu    unknown release: stopped",
            "slots    not known: the ESP was not read",
            "machine  not known",
            "log      not kept: no ESP was mounted",
        ] {
            assert!(rows.contains(words), "{words}: {rows}");
        }
    }

    #[test]
    fn a_sentence_too_long_for_its_rows_ends_in_dots_and_a_word_too_long_is_broken() {
        let long = "x".repeat(100) + " y";
        let rows = labelled("found", &long, 4);
        assert_eq!(
            rows,
            [
                format!("found    {}", "x".repeat(70)),
                format!("         {} y", "x".repeat(30))
            ]
        );
        let cut = labelled("found", &format!("a {long}"), 1);
        assert_eq!(cut, [format!("found    a {}...", "x".repeat(65))]);
    }

    proptest! {
        #[test]
        fn no_report_is_larger_than_its_place_or_leaves_ascii(
            reason in "\\PC{0,500}|[a-z ]{0,500}", why in "(.|\n){0,300}", code in 0..Code::ALL.len(), slots in 0u32..9,
            attempts in any::<u32>(), stopped_ms in any::<u64>(),
        ) {
            let mut report = example();
            report.failure = Failure::new(Code::ALL[code], &reason);
            report.kept = Kept::Nowhere(why);
            report.stopped_ms = stopped_ms;
            let mut record = BootRecord::default();
            for n in 0..slots {
                let slot = record.slot_mut(&format!("{n}.123456789012345").parse().unwrap());
                slot.attempts = attempts;
                slot.bad = Some(report.failure.clone());
            }
            report.record = Some(record);
            let rows = report.rows();
            prop_assert!(rows.len() <= TEXT_ROWS, "{} rows", rows.len());
            for row in rows {
                prop_assert!(row.len() <= COLUMNS && row.bytes().all(|b| matches!(b, b' '..=b'~')), "{}", row);
            }
        }
    }
}
