//! Rules that hold for the text of the tree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_structure_tests::files::{self, SourceFile};
use bennu_structure_tests::source::{code_only, has_word};

/// Lines of a Rust file, tests included.
const MAX_LINES: usize = 400;
/// A file made by a program says so in its first line.
const GENERATED: &str = "@generated";

fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

fn rust() -> Vec<(SourceFile, String)> {
    let files = files::rust().unwrap();
    assert!(files.len() > 100, "positive control: {} files", files.len());
    files
        .into_iter()
        .map(|file| {
            let code = code_only(file.text().expect("Rust is UTF-8"));
            (file, code)
        })
        .collect()
}

#[test]
fn no_rust_file_is_longer_than_400_lines() {
    none(
        rust()
            .into_iter()
            .filter(|(file, _)| !file.bytes.starts_with(format!("// {GENERATED}").as_bytes()))
            .map(|(file, _)| (file.text().unwrap_or_default().lines().count(), file.path))
            .filter(|(lines, _)| *lines > MAX_LINES)
            .map(|(lines, path)| format!("{path}: {lines} lines; at most {MAX_LINES}"))
            .collect(),
    );
}

#[test]
fn hand_written_unsafe_stands_in_crates_linux_only() {
    let unsafe_files: Vec<String> = rust()
        .into_iter()
        .filter(|(_, code)| has_word(code, "unsafe"))
        .map(|(file, _)| file.path)
        .collect();
    let (allowed, others): (Vec<_>, Vec<_>) = unsafe_files
        .into_iter()
        .partition(|path| path.starts_with("crates/linux/src/"));
    assert!(
        !allowed.is_empty(),
        "positive control: the scan finds what is there"
    );
    none(others);
}

#[test]
fn the_lint_against_unsafe_is_lifted_in_crates_linux_only() {
    none(
        rust()
            .into_iter()
            .filter(|(file, code)| {
                has_word(code, "unsafe_code") && !file.path.starts_with("crates/linux/src/")
            })
            .map(|(file, _)| file.path)
            .collect(),
    );
}

#[test]
fn no_module_or_file_is_called_by_a_name_that_says_nothing() {
    let empty_names = [
        "util", "utils", "common", "manager", "managers", "helper", "helpers", "misc",
    ];
    let says_nothing = |name: &str| empty_names.contains(&name);
    let mut offences = Vec::new();
    for (file, code) in rust() {
        if file.path.trim_end_matches(".rs").split('/').any(says_nothing) {
            offences.push(format!("{}: the name says nothing", file.path));
        }
        let words: Vec<&str> = code.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "mod") {
            let name = pair[1].trim_end_matches([';', '{']);
            if says_nothing(name) {
                offences.push(format!("{}: mod {name} says nothing", file.path));
            }
        }
    }
    none(offences);
}

#[test]
fn the_contract_and_the_decisions_do_no_input_or_output_and_read_no_clock() {
    let acts = [
        "fs",
        "net",
        "process",
        "thread",
        "Instant",
        "SystemTime",
        "File",
        "println",
        "eprintln",
    ];
    let mut offences = Vec::new();
    for (file, code) in rust() {
        let pure = ["crates/formats/src/", "crates/policy/src/"];
        if !pure.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        // Addresses without sockets: the standard library keeps the acts in std::net.
        let product = code.split("#[cfg(test)]").next().unwrap_or_default();
        let product = product.replace("core::net::", "");
        offences.extend(
            acts.iter()
                .filter(|act| has_word(&product, act))
                .map(|act| format!("{}: {act}", file.path)),
        );
    }
    none(offences);
}

#[test]
fn no_file_names_the_host_of_a_registry_or_a_mirror() {
    // In pieces, so that this file is not its own offender.
    let hosts: Vec<String> = [
        &["crates", "io"][..],
        &["rust-lang", "org"],
        &["golang", "org"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["npmjs", "org"],
        &["debian", "org"],
        &["ubuntu", "com"],
        &["docker", "io"],
        &["ghcr", "io"],
        &["quay", "io"],
    ]
    .iter()
    .map(|pieces| pieces.join("."))
    .collect();
    let mut offences = Vec::new();
    // The lock file names the default registry by itself.
    for file in files::all()
        .unwrap()
        .iter()
        .filter(|file| file.path != "Cargo.lock" && !file.path.ends_with("/Cargo.lock"))
    {
        let Some(text) = file.text() else { continue };
        for (number, line) in text.lines().enumerate() {
            let found = hosts.iter().find(|host| line.contains(host.as_str()));
            offences.extend(found.map(|host| format!("{}:{}: {host}", file.path, number + 1)));
        }
    }
    none(offences);
}

#[test]
fn every_host_in_an_address_is_one_that_documents_something() {
    let documents = [
        "github.com",
        "uapi-group.org",
        "uefi.org",
        "kernel.org",
        "systemd.io",
        "freedesktop.org",
        "trustedcomputinggroup.org",
        "in-toto.io",
        "rfc-editor.org",
        "nist.gov",
        "microsoft.com",
        "tianocore.org",
        "spdx.org",
        "apache.org",
        "opensource.org",
        "keepachangelog.com",
        "semver.org",
        "example.com",
        "invalid",
    ];
    let mut offences = Vec::new();
    for file in files::all()
        .unwrap()
        .iter()
        .filter(|file| !file.path.ends_with("Cargo.lock"))
    {
        let Some(text) = file.text() else { continue };
        for scheme in [concat!("http", "://"), concat!("https", "://")] {
            for after in text.split(scheme).skip(1) {
                let host: &str = after
                    .split(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c)))
                    .next()
                    .unwrap_or_default();
                let known = documents
                    .iter()
                    .any(|d| host == *d || host.ends_with(&format!(".{d}")));
                if !known && host.contains('.') {
                    offences.push(format!(
                        "{}: {host}: if it documents something, list it in this test",
                        file.path
                    ));
                }
            }
        }
    }
    none(offences);
}
