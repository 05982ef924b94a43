//! Table lines: pinned, read back, compared.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bennu_verity::{
    DeviceNumber, HashArea, KeyDescription, LayoutError, ParamsError, RootHash, RootHashParseError, Salt,
    TableError, TableMismatch, VerityOption, VerityParams, VerityTable, table,
};
use proptest::prelude::*;

const DATA: DeviceNumber = DeviceNumber { major: 254, minor: 2 };
const HASH: DeviceNumber = DeviceNumber { major: 254, minor: 3 };
const LINE: &str = "0 131080 verity 1 254:2 254:3 4096 4096 16385 1 sha256 \
    0707070707070707070707070707070707070707070707070707070707070707 0a0b 4 \
    panic_on_corruption panic_on_error root_hash_sig_key_desc bennu:root";

fn params(salt: &[u8]) -> VerityParams {
    VerityParams::new(16385, Salt::new(salt).unwrap(), [0; 16]).unwrap()
}

fn options() -> Vec<VerityOption> {
    let key = KeyDescription::new("bennu:root").unwrap();
    vec![
        VerityOption::RootHashSigKeyDesc(key),
        VerityOption::PanicOnError,
        VerityOption::PanicOnCorruption,
    ]
}

fn ours() -> VerityTable {
    VerityTable::new(&params(&[10, 11]), DATA, HASH, RootHash([7; 32]), &options()).unwrap()
}

fn parse_with(from: &str, to: &str) -> Result<VerityTable, TableError> {
    assert!(LINE.contains(from));
    VerityTable::parse(&LINE.replacen(from, to, 1))
}

#[test]
fn the_line_is_pinned_and_has_the_order_of_the_kernel() {
    assert_eq!(
        table(&params(&[10, 11]), DATA, HASH, RootHash([7; 32]), &options()).unwrap(),
        LINE
    );
    assert_eq!(ours().sectors(), 131_080);
    assert!(LINE.ends_with(&ours().params()));
}

#[test]
fn without_salt_superblock_and_options_the_line_is_short() {
    let params = params(&[]).with_hash_area(HashArea::TreeOnly);
    let line = table(&params, DATA, HASH, RootHash([0; 32]), &[]).unwrap();
    let zeros = "00".repeat(32);
    assert_eq!(
        line,
        format!("0 131080 verity 1 254:2 254:3 4096 4096 16385 0 sha256 {zeros} -")
    );
    // Spaces and a line feed at the end are no part of the table.
    assert_eq!(
        VerityTable::parse(&format!("{line} \n")).unwrap().to_string(),
        line
    );
}

#[test]
fn what_the_kernel_prints_back_is_what_we_loaded() {
    let found = VerityTable::parse(LINE).unwrap();
    ours().expect(&found).unwrap();
    let found = VerityTable::parse_params(131_080, &ours().params()).unwrap();
    ours().expect(&found).unwrap();
}

#[test]
fn each_difference_has_its_own_name() {
    let found = |from, to| ours().expect(&parse_with(from, to).unwrap()).unwrap_err();
    let other = DeviceNumber { major: 254, minor: 9 };
    assert_eq!(
        found("254:2", "254:9"),
        TableMismatch::DataDevice {
            expected: DATA,
            found: other
        }
    );
    assert_eq!(
        found("254:3", "254:9"),
        TableMismatch::HashDevice {
            expected: HASH,
            found: other
        }
    );
    assert_eq!(
        found("16385 1", "16385 0"),
        TableMismatch::HashStartBlock {
            expected: 1,
            found: 0
        }
    );
    let mut hash = RootHash([7; 32]);
    assert!(
        matches!(found("sha256 07", "sha256 08"), TableMismatch::RootHash { expected, .. } if expected == hash)
    );
    hash.0[0] = 8;
    assert!(
        matches!(found("sha256 07", "sha256 08"), TableMismatch::RootHash { found, .. } if found == hash)
    );
    assert!(matches!(found("0a0b", "-"), TableMismatch::Salt { found, .. } if found == Salt::default()));
    assert!(matches!(
        found("panic_on_corruption", "restart_on_corruption"),
        TableMismatch::Options { found, .. } if found[0] == VerityOption::RestartOnCorruption
    ));
    assert!(matches!(
        found("bennu:root", "other:key"),
        TableMismatch::Options { .. }
    ));
    let fewer = VerityTable::parse(&LINE.replace("131080", "131072").replace("16385", "16384")).unwrap();
    let expected = TableMismatch::DataBlocks {
        expected: 16385,
        found: 16384,
    };
    assert_eq!(ours().expect(&fewer), Err(expected));
}

#[test]
fn lines_that_are_not_ours_are_refused_for_their_own_reason() {
    assert!(VerityTable::parse(LINE).is_ok());
    let unsupported = |field, found: &str, expected| {
        Err(TableError::Unsupported {
            field,
            found: found.to_owned(),
            expected,
        })
    };
    assert_eq!(
        parse_with("0 131080", "8 131080"),
        unsupported("start sector", "8", "0")
    );
    assert_eq!(
        parse_with("verity", "linear"),
        unsupported("target", "linear", "verity")
    );
    assert_eq!(
        parse_with("verity 1", "verity 0"),
        unsupported("version", "0", "1")
    );
    assert_eq!(
        parse_with("4096 4096", "512 4096"),
        unsupported("data block size", "512", "4096")
    );
    assert_eq!(
        parse_with("4096 4096", "4096 512"),
        unsupported("hash block size", "512", "4096")
    );
    assert_eq!(
        parse_with("sha256", "sha1"),
        unsupported("algorithm", "sha1", "sha256")
    );
    let found = "/dev/vda".to_owned();
    assert_eq!(parse_with("254:2", "/dev/vda"), Err(TableError::Device { found }));
    let found = "254:+2".to_owned();
    assert_eq!(parse_with("254:2", "254:+2"), Err(TableError::Device { found }));
    let number = TableError::Number {
        field: "number of data blocks",
        found: "x".to_owned(),
    };
    assert_eq!(parse_with("16385", "x"), Err(number));
    let sectors = TableError::Sectors {
        sectors: 131_081,
        expected: 131_080,
    };
    assert_eq!(parse_with("131080", "131081"), Err(sectors));
    let layout = ParamsError::Layout(LayoutError::NoData);
    assert_eq!(parse_with("16385", "0"), Err(TableError::Params(layout)));
    let long = ParamsError::SaltTooLong { found: 257 };
    assert_eq!(
        parse_with("0a0b", &"00".repeat(257)),
        Err(TableError::Params(long))
    );
    assert!(matches!(parse_with("0a0b", "0a0"), Err(TableError::Salt(_))));
    let short = RootHashParseError::Length { found: 62 };
    assert_eq!(parse_with("0707", "07"), Err(TableError::RootHash(short)));
    let unknown = TableError::UnknownOption {
        found: "check_at_most_once".to_owned(),
    };
    assert_eq!(parse_with("panic_on_error", "check_at_most_once"), Err(unknown));
    assert_eq!(
        parse_with(" 4 panic", " 3 panic"),
        Err(TableError::OptionCount { count: 3, found: 4 })
    );
    assert_eq!(
        parse_with(" bennu:root", ""),
        Err(TableError::OptionCount { count: 4, found: 3 })
    );
    assert_eq!(
        VerityTable::parse("0 8 verity"),
        Err(TableError::Missing { field: "version" })
    );
    assert_eq!(
        VerityTable::parse(&format!("{LINE}\n{LINE}")),
        Err(TableError::Line)
    );
    assert_eq!(VerityTable::parse(&" ".repeat(4097)), Err(TableError::Line));
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let both = [
        VerityOption::PanicOnCorruption,
        VerityOption::DangerouslyIgnoreCorruption,
    ];
    let refused = VerityTable::new(&params(&[]), DATA, HASH, RootHash([0; 32]), &both);
    let conflict = TableError::Conflict {
        first: "ignore_corruption",
        second: "panic_on_corruption",
    };
    assert_eq!(refused, Err(conflict));
}

#[test]
fn a_key_description_is_one_word() {
    assert!(KeyDescription::new("a").is_ok());
    for bad in ["", "a b", "a\n", "a\\", "ä", &"x".repeat(256)] {
        assert_eq!(
            KeyDescription::new(bad),
            Err(TableError::KeyDescription),
            "{bad:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", at in 0..LINE.len(), byte in 0u8..128) {
        let _ = VerityTable::parse(&text);
        let mut line = LINE.to_owned().into_bytes();
        line[at] = byte;
        if let Ok(table) = VerityTable::parse(std::str::from_utf8(&line).unwrap()) {
            prop_assert_eq!(VerityTable::parse(&table.to_string()).unwrap(), table);
        }
    }
}
