//! What the last start left in persistent storage (pstore): the end of the kernel log of a panic.
//!
//! The records are EFI variables, which anybody with the firmware's variable services can write: they explain,
//! and may cost a slot its turn, but open nothing.

use crate::journal::Journal;
use bennu_formats::boot_record::STARTS_VARIABLE;
use bennu_linux::efivars::{BENNU, EfiVars};
use bennu_linux::pstore::Pstore;
use bennu_policy::boot::PanicNote;

/// Most bytes of one record.
const MAX_RECORD_BYTES: usize = 64 * 1024;

/// The panic of the last start, if there was one.
pub fn last_panic(journal: &mut Journal) -> Option<PanicNote> {
    let store = Pstore::default();
    let names = match store.records() {
        Ok(names) => names,
        Err(error) => {
            journal.warn(&error.to_string());
            return None;
        }
    };
    let mut text = String::new();
    for name in names.iter().filter(|n| n.as_str().starts_with("dmesg-")) {
        match store.read(name, MAX_RECORD_BYTES) {
            Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Err(error) => journal.warn(&error.to_string()),
        }
    }
    find_panic(&text)
}

/// Removes what was read, so that it is not told twice. Whether nothing remains.
pub fn forget(journal: &mut Journal) -> bool {
    let store = Pstore::default();
    let names = match store.records() {
        Ok(names) => names,
        Err(error) => {
            journal.warn(&error.to_string());
            return false;
        }
    };
    let mut gone = true;
    for name in names {
        if let Err(error) = store.delete(&name) {
            journal.warn(&error.to_string());
            gone = false;
        }
    }
    gone
}

/// This start is counted on the disk, or has stopped by itself: bootfallback's count starts anew. Nothing is written
/// where there is none. A count that stays ends at bootfallback's screen, and does not end this start.
pub fn forget_starts(journal: &mut Journal) {
    if let Err(error) = EfiVars::default().delete(BENNU, STARTS_VARIABLE) {
        journal.warn(&format!("bootfallback's count of starts stays: {error}"));
    }
}

/// dm-verity's words come first (`drivers/md/dm-verity-target.c`: "… block N is corrupted"), the panic's second:
/// "dm-verity device corrupted" for a block that does not match, "dm-verity device has I/O error" for one that
/// cannot be read.
fn find_panic(text: &str) -> Option<PanicNote> {
    let words = |line: &str| {
        line.split_once("] ")
            .map_or(line, |(_, words)| words)
            .trim()
            .to_owned()
    };
    let panic = text.lines().find(|l| l.contains("Kernel panic - not syncing"))?;
    let verity = text
        .lines()
        .find(|l| l.contains("device-mapper: verity:") && l.contains("is corrupted"));
    Some(match verity {
        Some(line) => PanicNote::VerityCorruption(words(line)),
        None if panic.contains("dm-verity device has I/O error") => PanicNote::RootIo(words(panic)),
        None if panic.contains("dm-verity device") => PanicNote::VerityCorruption(words(panic)),
        None => PanicNote::Other(words(panic)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verity_panic_is_told_with_the_block() {
        let text = "Panic#1 Part1\n<3>[   20.1] device-mapper: verity: 254:3: data block 77 is corrupted\n\
                    <0>[   20.2] Kernel panic - not syncing: dm-verity device corrupted\n";
        assert_eq!(
            find_panic(text),
            Some(PanicNote::VerityCorruption(
                "device-mapper: verity: 254:3: data block 77 is corrupted".into()
            ))
        );
    }

    #[test]
    fn a_block_that_cannot_be_read_is_told_apart_from_one_that_does_not_match() {
        let said = |words: &str| find_panic(&format!("<0>[   20.2] Kernel panic - not syncing: {words}\n"));
        assert_eq!(
            said("dm-verity device has I/O error"),
            Some(PanicNote::RootIo(
                "Kernel panic - not syncing: dm-verity device has I/O error".into()
            ))
        );
        assert_eq!(
            said("dm-verity device corrupted"),
            Some(PanicNote::VerityCorruption(
                "Kernel panic - not syncing: dm-verity device corrupted".into()
            ))
        );
    }

    #[test]
    fn another_panic_is_another_panic_and_an_oops_is_none() {
        let text = "<0>[   20.2] Kernel panic - not syncing: Attempted to kill init!\n";
        assert_eq!(
            find_panic(text),
            Some(PanicNote::Other(
                "Kernel panic - not syncing: Attempted to kill init!".into()
            ))
        );
        assert_eq!(find_panic("Oops#1 Part1\n"), None);
    }
}
