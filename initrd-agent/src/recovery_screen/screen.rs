//! Words, QR code and its text, put together for a console's size. Pure.

use super::qr;
use super::report::{COLUMNS, Report};
use bennu_linux::console::WindowSize;

/// Most rows of words: with the largest code and its text the screen has 49 of 50 rows.
pub const TEXT_ROWS: usize = 20;
/// Columns in front of the code, as in front of the words.
const INDENT: &str = "         ";

// The largest screen, its text of two rows included, fits 80 columns and 50 rows with one for the cursor.
const _: () = assert!(TEXT_ROWS + qr::LARGEST_ROWS + 2 < 50 && INDENT.len() + qr::LARGEST_COLUMNS < 80);

/// A screen that can be drawn on consoles of several sizes.
#[derive(Debug, Clone)]
pub struct Screen {
    words: Vec<String>,
    code: Option<Vec<String>>,
    content: String,
}

impl Screen {
    /// The screen of a report.
    pub fn of(report: &Report) -> Self {
        let content = report.qr_content().to_string();
        Self {
            words: report.rows(),
            code: qr::rows(&content),
            content,
        }
    }

    /// The text for a console. The code is left out where it would push the words off the screen; a console that
    /// does not know its size is a line to a terminal that can scroll. The code's text is on every console, on one
    /// line so that it can be copied.
    pub fn render(&self, size: Option<WindowSize>) -> String {
        let content = format!("qr text  {}", self.content);
        let mut rows: Vec<String> = self.words.clone();
        match &self.code {
            Some(code) if self.fits(code.len(), content.len(), size) => {
                rows.extend(code.iter().map(|row| format!("{INDENT}{row}")));
            }
            Some(_) => rows.push("qr code  this console is too small for it; this is its text:".to_owned()),
            None => {}
        }
        rows.push(content);
        // The serial console may be raw, and somebody may have left half a line.
        rows.iter()
            .fold("\r\n".to_owned(), |text, row| text + row + "\r\n")
    }

    /// Whether words, code and text are all to be seen at once, with a row for the cursor.
    fn fits(&self, code_rows: usize, content_length: usize, size: Option<WindowSize>) -> bool {
        let Some(size) = size else { return true };
        let (columns, rows) = (usize::from(size.columns), usize::from(size.rows));
        let content_rows = content_length.div_ceil(columns.max(1));
        columns > COLUMNS && self.words.len() + code_rows + content_rows < rows
    }
}

/// One line for whoever connects to a serial console long after the screen was drawn.
pub fn reminder(report: &Report, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(report.stopped_ms) / 60_000;
    format!(
        "bennu-init: HALTED {} since {} h {:02} min; {}\r\n",
        report.failure.code,
        minutes / 60,
        minutes % 60,
        report.qr_content()
    )
}

#[cfg(test)]
mod tests {
    use super::super::qr::tests::{Judgement, judge};
    use super::super::report::tests::example;
    use super::*;
    use bennu_formats::boot_record::Failure;
    use bennu_formats::{Code, ReleaseName};

    /// What an outside decoder reads from the rows of a screen that belong to a code.
    fn judge_screen(text: &str) -> Judgement {
        let code: Vec<&str> = text
            .split("\r\n")
            .filter(|row| row.starts_with(&format!("{INDENT}\u{2588}")))
            .collect();
        judge(&code)
    }

    /// Rows and columns that a text takes on a screen of 80 columns.
    fn extent(text: &str) -> (usize, usize) {
        let rows: Vec<usize> = text
            .trim_matches(['\r', '\n'])
            .split("\r\n")
            .map(|r| r.chars().count())
            .collect();
        let height = rows.iter().map(|columns| columns.div_ceil(80).max(1)).sum();
        (height, rows.into_iter().max().unwrap_or(0).min(80))
    }

    /// A report that needs all the room there is.
    fn largest() -> Report {
        let mut report = example();
        report.failure = Failure::new(Code::ManifestArchitecture, &"expected and found ".repeat(30));
        report.release = Some(ReleaseName {
            image_id: "abcdefghijklmnop".parse().unwrap(),
            version: "1.2.3.4.5.6.7.8.9".parse().unwrap(),
        });
        let mut record = report.record.take().unwrap();
        for version in ["3", "4"] {
            record.slot_mut(&version.parse().unwrap()).bad = Some(report.failure.clone());
        }
        report.record = Some(record);
        report
    }

    #[test]
    fn the_screen_is_the_pinned_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/recovery-screen.txt");
        let text = Screen::of(&example()).render(None).replace("\r\n", "\n");
        if std::env::var_os("BENNU_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }

    #[test]
    fn an_outside_decoder_reads_from_the_screen_what_stands_below_it() {
        for report in [example(), largest()] {
            let text = Screen::of(&report).render(None);
            let content = report.qr_content().to_string();
            assert!(text.ends_with(&format!("\r\nqr text  {content}\r\n")), "{text}");
            assert_eq!(judge_screen(&text), Judgement::Read(content));
        }
    }

    #[test]
    fn the_largest_screen_fits_80_by_50_and_without_the_code_80_by_24() {
        let screen = Screen::of(&largest());
        let big = WindowSize {
            columns: 80,
            rows: 50,
        };
        let text = screen.render(Some(big));
        let (rows, columns) = extent(&text);
        assert!(rows < 50 && columns <= 80, "{rows} rows, {columns} columns");
        assert!(matches!(judge_screen(&text), Judgement::Read(_)));

        let small = WindowSize {
            columns: 80,
            rows: 24,
        };
        let text = screen.render(Some(small));
        let (rows, columns) = extent(&text);
        assert!(rows < 24 && columns <= 80, "{rows} rows, {columns} columns");
        assert!(text.contains("this console is too small") && !text.contains('\u{2588}'));
        assert!(text.contains(&format!("qr text  {}", largest().qr_content())));
    }

    #[test]
    fn a_console_one_row_too_low_or_one_column_too_narrow_gets_no_code() {
        let screen = Screen::of(&example());
        let (rows, _) = extent(&screen.render(None));
        let rows = u16::try_from(rows).unwrap() + 1;
        let has_code = |columns, rows| {
            screen
                .render(Some(WindowSize { columns, rows }))
                .contains('\u{2588}')
        };
        assert!(has_code(80, rows), "positive control");
        assert!(!has_code(80, rows - 1));
        assert!(!has_code(79, rows));
        assert!(!has_code(1, 1));
    }

    #[test]
    fn the_reminder_is_one_line_with_code_time_and_text_of_the_qr_code() {
        let report = example();
        let line = reminder(&report, report.stopped_ms + 81 * 60_000);
        assert_eq!(
            line,
            format!(
                "bennu-init: HALTED VERITY-CORRUPT since 1 h 21 min; {}\r\n",
                report.qr_content()
            )
        );
    }
}
