//! A QR code as text: one module is one column wide and half a row high. Pure.
//!
//! Light modules are drawn, dark ones are left out: on a console with light letters on a dark ground, which is
//! what Linux and serial terminals have, that is a code in its usual colours.

use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

/// The largest version that is used: 45 modules a side.
const LARGEST_VERSION: u8 = 7;
/// Modules of light ground on each side (ISO/IEC 18004, 6.3.8).
const QUIET_ZONE: i32 = 4;
/// Rows of the largest code: 45 modules and two quiet zones at half a row each, rounded up.
pub const LARGEST_ROWS: usize = 27;
/// Columns of the largest code.
pub const LARGEST_COLUMNS: usize = 53;

/// The rows of the code of `text`; `None` for a text that no code of version 7 holds (154 bytes).
///
/// Level M where it fits (122 bytes), and better where that costs nothing; L for the longest texts: a screen gets
/// no scratches.
pub fn rows(text: &str) -> Option<Vec<String>> {
    let code = [QrCodeEcc::Medium, QrCodeEcc::Low]
        .into_iter()
        .find_map(|level| encode(text, level))?;
    let end = code.size() + QUIET_ZONE;
    let row = |y: i32| (-QUIET_ZONE..end).map(|x| half_blocks(&code, x, y)).collect();
    Some((-QUIET_ZONE..end).step_by(2).map(row).collect())
}

fn encode(text: &str, level: QrCodeEcc) -> Option<QrCode> {
    let segments = [QrSegment::make_bytes(text.as_bytes())];
    let largest = Version::new(LARGEST_VERSION);
    QrCode::encode_segments_advanced(&segments, level, Version::MIN, largest, None, true).ok()
}

/// The module at `x`, `y` and the one below it. Outside of the code everything is light.
fn half_blocks(code: &QrCode, x: i32, y: i32) -> char {
    match (code.get_module(x, y), code.get_module(x, y + 1)) {
        (false, false) => '\u{2588}',
        (false, true) => '\u{2580}',
        (true, false) => '\u{2584}',
        (true, true) => ' ',
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bennu_formats::recovery_qr::MAX_BYTES;

    /// Pixels of a module's side in the picture that the judge sees.
    const PIXELS: usize = 4;

    /// What the outside decoder says.
    #[derive(Debug, PartialEq, Eq)]
    pub enum Judgement {
        /// Not exactly one code in the picture.
        Codes(usize),
        /// A code that is not readable: the name of the decoder's error.
        Unreadable(String),
        /// The text.
        Read(String),
    }

    /// Draws rows of half blocks on a dark ground and lets the outside decoder read the picture.
    pub fn judge<S: AsRef<str>>(rows: &[S]) -> Judgement {
        let columns = rows.iter().map(|r| r.as_ref().chars().count()).max().unwrap_or(0);
        let (width, height) = (columns * PIXELS, rows.len() * 2 * PIXELS);
        let mut picture = vec![0_u8; width * height];
        for (row, text) in rows.iter().enumerate() {
            for (column, block) in text.as_ref().chars().enumerate() {
                let light = match block {
                    '\u{2588}' => [true, true],
                    '\u{2580}' => [true, false],
                    '\u{2584}' => [false, true],
                    _ => [false, false],
                };
                for (half, _) in light.iter().enumerate().filter(|(_, light)| **light) {
                    let top = (row * 2 + half) * PIXELS;
                    for y in top..top + PIXELS {
                        let start = y * width + column * PIXELS;
                        picture[start..start + PIXELS].fill(255);
                    }
                }
            }
        }
        let mut decoder = quircs::Quirc::default();
        let codes: Vec<_> = decoder.identify(width, height, &picture).flatten().collect();
        let [code] = codes.as_slice() else {
            return Judgement::Codes(codes.len());
        };
        match code.decode() {
            Ok(data) => Judgement::Read(String::from_utf8(data.payload).unwrap()),
            Err(error) => Judgement::Unreadable(format!("{error:?}")),
        }
    }

    #[test]
    fn an_outside_decoder_reads_texts_of_every_length_up_to_the_bound() {
        for length in [1, 20, 90, 122, 123, MAX_BYTES] {
            let text: String = "bennu:1:VERITY-CORRUPT:".chars().cycle().take(length).collect();
            let rows = rows(&text).unwrap();
            assert_eq!(judge(&rows), Judgement::Read(text), "{length} bytes");
            assert!(rows.len() <= LARGEST_ROWS && rows[0].chars().count() <= LARGEST_COLUMNS);
        }
    }

    #[test]
    fn the_longest_text_has_the_largest_code_and_one_over_154_bytes_has_none() {
        let largest = rows(&"x".repeat(MAX_BYTES)).unwrap();
        assert_eq!(largest.len(), LARGEST_ROWS);
        assert_eq!(largest[0].chars().count(), LARGEST_COLUMNS);
        assert!(rows(&"x".repeat(154)).is_some());
        assert_eq!(rows(&"x".repeat(155)), None);
    }

    #[test]
    fn a_small_blot_is_corrected_a_large_one_makes_the_code_unreadable_and_none_has_no_code() {
        let text = "bennu:1:ESP:demo:2:-:".to_owned() + &"5a".repeat(32);
        let whole = rows(&text).unwrap();
        let blotted = |rows_hit: usize| -> Vec<String> {
            let blot = |(at, row): (usize, &String)| {
                let hit = (10..10 + rows_hit).contains(&at);
                row.chars()
                    .enumerate()
                    .map(|(x, c)| if hit && (18..34).contains(&x) { ' ' } else { c })
                    .collect()
            };
            whole.iter().enumerate().map(blot).collect()
        };
        assert_eq!(judge(&whole), Judgement::Read(text.clone()), "positive control");
        assert_eq!(judge(&blotted(1)), Judgement::Read(text));
        assert_eq!(judge(&blotted(8)), Judgement::Unreadable("DataEcc".into()));
        assert_eq!(judge(&vec!["\u{2588}".repeat(49); 25]), Judgement::Codes(0));
    }
}
