//! The module list's decoder: what it takes, what it refuses and why.

#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::path::Path;

use bennu_linux::modules::{ListError, ModuleList, ModuleName};
use proptest::prelude::*;

/// Pinned: a list as the image builder writes it.
const GOLDEN: &str = include_str!("golden/modules.list");

fn parse(lines: &str) -> Result<ModuleList, ListError> {
    ModuleList::parse(format!("bennu-modules-v1\n{lines}").as_bytes())
}

fn name(text: &str) -> ModuleName {
    ModuleName::new(text).unwrap()
}

#[test]
fn the_pinned_list_decodes_to_what_it_says() {
    let list = ModuleList::parse(GOLDEN.as_bytes()).unwrap();
    assert_eq!(list.len(), 5);
    let order: Vec<_> = list
        .load_order(&name("dm-verity"))
        .unwrap()
        .iter()
        .map(|n| n.as_str())
        .collect();
    assert_eq!(order, ["dm_mod", "dm_bufio", "dm_verity"]);
    let verity = list.module(&name("dm_verity")).unwrap();
    assert_eq!(verity.path, Path::new("/lib/modules/dm-verity.ko"));
    let found = list.for_modalias("pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00");
    assert_eq!(found, [&name("virtio_pci")]);
    assert!(
        list.for_modalias("pci:v00008086d00001042sv0sd0bc01sc00i00")
            .is_empty()
    );
}

#[test]
fn a_list_of_another_version_is_refused_before_anything_else_is_read() {
    for bad in ["", "bennu-modules-v2\n", "bennu-modules-v1", "\n", "x\t/x.ko\t\n"] {
        assert!(
            matches!(ModuleList::parse(bad.as_bytes()), Err(ListError::Header)),
            "{bad:?}"
        );
    }
    assert!(ModuleList::parse(b"bennu-modules-v1\n").unwrap().is_empty());
}

#[test]
fn each_malformed_line_is_refused_with_its_number_and_reason() {
    assert!(parse("a\t/a.ko\t\nb\t/b.ko\ta\n").is_ok());
    assert!(matches!(
        parse("a\t/a.ko\t\nb\t/b.ko\n"),
        Err(ListError::Fields { line: 3 })
    ));
    assert!(matches!(
        parse("a\t/a.ko\t\t\n"),
        Err(ListError::Fields { line: 2 })
    ));
    assert!(matches!(parse("\n"), Err(ListError::Fields { line: 2 })));
    assert!(matches!(parse("a\t/a.ko\t"), Err(ListError::Unfinished)));
    assert!(matches!(
        parse("a/b\t/a.ko\t\n"),
        Err(ListError::BadName { line: 2 })
    ));
    assert!(matches!(
        parse("a\t/a.ko\tb,,c\n"),
        Err(ListError::BadName { line: 2 })
    ));
    for path in ["a.ko", "/x/../a.ko", "/a.ko.xz", "/", ""] {
        let refused = parse(&format!("a\t{path}\t\n"));
        assert!(matches!(refused, Err(ListError::BadPath { line: 2 })), "{path:?}");
    }
    assert!(matches!(
        parse("alias\t\ta\n"),
        Err(ListError::BadPattern { line: 2 })
    ));
    let long = format!("a\t/{}.ko\t\n", "p".repeat(2048));
    assert!(matches!(parse(&long), Err(ListError::LineTooLong { line: 2 })));
    assert!(matches!(
        ModuleList::parse(b"bennu-modules-v1\n\xff\n"),
        Err(ListError::NotText)
    ));
}

#[test]
fn doubled_unknown_and_circular_names_are_refused() {
    let doubled = parse("a-b\t/1.ko\t\na_b\t/2.ko\t\n");
    assert!(matches!(doubled, Err(ListError::Duplicate { line: 3, .. })));
    let unknown = parse("a\t/a.ko\tb\n");
    assert!(matches!(unknown, Err(ListError::Unknown { line: 2, name }) if name.as_str() == "b"));
    let unknown = parse("a\t/a.ko\t\nalias\tx*\tb\n");
    assert!(matches!(unknown, Err(ListError::Unknown { line: 3, .. })));
    assert!(matches!(parse("a\t/a.ko\ta\n"), Err(ListError::Cycle { .. })));
    assert!(matches!(
        parse("a\t/a.ko\tb\nb\t/b.ko\tc\nc\t/c.ko\ta\n"),
        Err(ListError::Cycle { .. })
    ));
}

#[test]
fn a_list_over_four_mebibytes_is_refused_unread() {
    let bytes = vec![b'\n'; 4 * 1024 * 1024 + 1];
    assert!(matches!(
        ModuleList::parse(&bytes),
        Err(ListError::TooLong { found: 4_194_305 })
    ));
}

#[test]
fn the_longest_chain_of_needs_is_sorted_without_running_out_of_stack() {
    let line = |n: usize| {
        format!(
            "m{n}\t/m{n}.ko\t{}\n",
            if n == 0 {
                String::new()
            } else {
                format!("m{}", n - 1)
            }
        )
    };
    let lines: String = (0..4096).rev().map(line).collect();
    let list = parse(&lines).unwrap();
    let order = list.load_order(&name("m4095")).unwrap();
    assert_eq!((order.len(), order[0].as_str()), (4096, "m0"));
    assert!(matches!(
        parse(&(lines + "more\t/m.ko\t\n")),
        Err(ListError::TooManyModules { line: 4098 })
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = ModuleList::parse(&bytes);
        let _ = ModuleList::parse(&[b"bennu-modules-v1\n".as_slice(), &bytes].concat());
    }

    #[test]
    fn no_list_of_plausible_lines_makes_it_panic_and_every_order_is_complete(
        lines in proptest::collection::vec("(alias\t[a-d*]{0,3}\t[a-d]|[a-d]\t/[a-d].ko\t([a-d](,[a-d]){0,2})?)\n", 0..8)
    ) {
        if let Ok(list) = parse(&lines.concat()) {
            for module in ["a", "b", "c", "d"].map(name).iter().filter(|n| list.module(n).is_some()) {
                let order = list.load_order(module).unwrap();
                for (index, loaded) in order.iter().enumerate() {
                    for need in &list.module(loaded).unwrap().needs {
                        prop_assert!(order[..index].contains(&need));
                    }
                }
            }
        }
    }
}
