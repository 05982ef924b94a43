//! What is read from the ESP is what the documentation names as untrusted input.

#![allow(clippy::unwrap_used)] // tests

use bennu_structure_tests::files;
use std::collections::BTreeSet;

const PAGE: &str = "docs/reference/untrusted-input.md";
/// Files of the code that only tell people where a file lies.
const TOLD: [&str; 2] = [
    "initrd-agent/src/recovery_screen/report.rs",
    "initrd-agent/src/state/recovery_key.rs",
];
const PATHS: &str = "crates/formats/src/paths.rs";

fn read(path: &str) -> String {
    std::fs::read_to_string(files::root().join(path)).unwrap()
}

/// Name and value of each constant of a path on the ESP.
fn constants(source: &str) -> BTreeSet<(String, String)> {
    let lines = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ESP_"));
    lines
        .map(|line| {
            let name = line.split(':').next().unwrap();
            let value = line.split('"').nth(1).unwrap();
            (format!("ESP_{name}"), value.to_owned())
        })
        .collect()
}

/// The first two cells of each row that begins with such a constant.
fn rows(page: &str) -> BTreeSet<(String, String)> {
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    page.lines()
        .filter(|line| line.starts_with("| `ESP_"))
        .map(|line| {
            let mut cells = line.split('|').skip(1);
            (cell(cells.next().unwrap()), cell(cells.next().unwrap()))
        })
        .collect()
}

#[test]
fn the_page_names_every_path_on_the_esp_and_no_other() {
    let expected = constants(&read(PATHS));
    assert!(expected.len() >= 5, "positive control: {expected:?}");
    assert_eq!(rows(&read(PAGE)), expected);
}

/// The mount point and the crate that knows the paths: whoever opens something else on the ESP needs one of them.
#[test]
fn the_esp_is_read_through_one_crate_only() {
    let mut seen = 0;
    for folder in [
        "initrd-agent/src",
        "runtime-agent/src",
        "crates/policy/src",
        "crates/linux/src",
    ] {
        let mut pending = vec![files::root().join(folder)];
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(
                    std::fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            seen += 1;
            let told = TOLD.iter().any(|name| path.ends_with(name));
            assert!(
                told || !text.contains("paths::ESP_"),
                "{}: reads a file of the ESP past crates/esp",
                path.display()
            );
            let mounts = text.contains("/run/bennu/esp");
            assert!(
                !mounts || path.ends_with("initrd-agent/src/esp.rs"),
                "{}: names the ESP's mount point",
                path.display()
            );
        }
    }
    assert!(seen > 40, "positive control: {seen} files");
}

#[test]
fn a_page_that_lacks_a_path_or_names_a_wrong_one_is_noticed() {
    let source = "pub const ESP_A: &str = \"a/b\";\npub const OTHER: &str = \"c\";\n";
    let expected = constants(source);
    assert_eq!(rows("| `ESP_A` | `a/b` | 1 |\n"), expected, "positive control");
    assert_ne!(rows("| `ESP_A` | `a/c` | 1 |\n"), expected);
    assert_ne!(rows("words\n"), expected);
}
