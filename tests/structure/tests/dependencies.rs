//! Who may depend on whom: HOUSE_STYLE, section Tree, as a table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

use bennu_structure_tests::members::{self, Member};

/// Each member with everything of ours that it may use. A member that is not listed may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    // The programs.
    (
        "bennu",
        &[
            "bennu-policy",
            "bennu-formats",
            "bennu-disk",
            "bennu-erofs",
            "bennu-verity",
            "bennu-uki",
            "bennu-golden",
        ],
    ),
    (
        "bennu-init",
        &[
            "bennu-policy",
            "bennu-tpm",
            "bennu-linux",
            "bennu-disk",
            "bennu-verity",
            "bennu-formats",
            "bennu-esp",
            "bennu-luks",
            "bennu-eventlog",
            "bennu-age",
        ],
    ),
    (
        "bennu-runtime",
        &[
            "bennu-policy",
            "bennu-tpm",
            "bennu-linux",
            "bennu-disk",
            "bennu-verity",
            "bennu-formats",
            "bennu-esp",
            "bennu-ebpf",
            "bennu-uki",
            "bennu-records",
            "bennu-golden",
            "bennu-eventlog",
            "bennu-alert",
        ],
    ),
    // The contract, and what decides or speaks in its terms.
    ("bennu-formats", &[]),
    ("bennu-policy", &["bennu-formats"]),
    ("bennu-tpm", &["bennu-formats"]),
    ("bennu-ebpf", &["bennu-formats"]),
    ("bennu-records", &["bennu-formats"]),
    ("bennu-esp", &["bennu-formats"]),
    ("bennu-golden", &["bennu-formats"]),
    // Digests and banks are the TPM client's.
    ("bennu-eventlog", &["bennu-formats", "bennu-tpm"]),
    // Reads the record log.
    ("bennu-alert", &["bennu-formats", "bennu-records"]),
    // Libraries that are useful alone.
    ("bennu-disk", &[]),
    ("bennu-verity", &[]),
    ("bennu-uki", &[]),
    ("bennu-erofs", &[]),
    ("bennu-luks", &[]),
    ("bennu-age", &[]),
    ("bennu-linux", &[]),
    // The tests: black boxes, but for the replay, which feeds decoders.
    ("bennu-harness", &["bennu-formats"]),
    ("bennu-scenarios", &["bennu-harness", "bennu-formats"]),
    // Measures pieces that have no subcommand of their own, in child processes, as their peers are measured;
    // everything else it runs as a black box, in the harness's machines.
    ("bennu-bench", &["bennu-verity", "bennu-erofs", "bennu-harness"]),
    ("bennu-probe", &[]),
    ("bennu-structure-tests", &[]),
    (
        "bennu-fuzz-replay",
        &[
            "bennu-formats",
            "bennu-policy",
            "bennu-disk",
            "bennu-verity",
            "bennu-uki",
            "bennu-erofs",
            "bennu-tpm",
            "bennu-linux",
            "bennu-esp",
            "bennu-luks",
            "bennu-golden",
            "bennu-records",
            "bennu-alert",
            "bennu-eventlog",
        ],
    ),
];
/// Tests of programs: no product crate may use one of these.
const TESTS: [&str; 6] = [
    "bennu-harness",
    "bennu-scenarios",
    "bennu-bench",
    "bennu-probe",
    "bennu-structure-tests",
    "bennu-fuzz-replay",
];
const PROGRAMS: [&str; 3] = ["bennu", "bennu-init", "bennu-runtime"];

fn offences(members: &[Member]) -> Vec<String> {
    let mut offences = Vec::new();
    for member in members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == member.name) else {
            offences.push(format!(
                "{}: not in the table of tests/structure: say what it may use",
                member.name
            ));
            continue;
        };
        for used in member
            .depends_on
            .iter()
            .filter(|used| !allowed.contains(&used.as_str()))
        {
            offences.push(format!(
                "{} uses {used}: not allowed by HOUSE_STYLE, section Tree",
                member.name
            ));
        }
    }
    offences
}

#[test]
fn every_member_uses_only_what_the_house_style_allows() {
    let members = members::all().unwrap();
    assert!(members.len() >= 14, "positive control: {} members", members.len());
    assert_eq!(offences(&members), Vec::<String>::new());
}

#[test]
fn a_forbidden_use_would_be_found() {
    let mut members = members::all().unwrap();
    for (name, used) in [
        ("bennu", "bennu-init"),
        ("bennu-init", "bennu-runtime"),
        ("bennu-linux", "bennu-formats"),
    ] {
        let member = members.iter_mut().find(|m| m.name == name).unwrap();
        member.depends_on.insert(used.into());
    }
    members[0].name = "bennu-unheard-of".into();
    assert_eq!(
        offences(&members).len(),
        3,
        "one of the three is hidden by the new name: {:?}",
        offences(&members)
    );
}

#[test]
fn the_table_itself_lets_no_program_use_a_program_and_no_product_a_test() {
    for (name, allowed) in ALLOWED {
        let product = !TESTS.contains(name);
        for used in *allowed {
            assert!(!PROGRAMS.contains(used), "{name} → {used}");
            assert!(!(product && TESTS.contains(used)), "{name} → {used}");
            assert!(
                ALLOWED.iter().any(|(known, _)| known == used),
                "{name} → {used}: unknown"
            );
        }
    }
    let esp_users: Vec<_> = ALLOWED
        .iter()
        .filter(|(_, a)| a.contains(&"bennu-esp"))
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(esp_users, ["bennu-init", "bennu-runtime", "bennu-fuzz-replay"]);
}

#[test]
fn the_contract_and_the_decisions_use_no_crate_that_could_do_input_or_output() {
    // Clocks, files and processes of std are looked for in the source; see `source.rs`.
    let pure = [
        "base64",
        "bennu-formats",
        "ed25519-dalek",
        "hex",
        "hmac",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
        "uuid",
    ];
    for member in members::all().unwrap() {
        if ["bennu-formats", "bennu-policy"].contains(&member.name.as_str()) {
            for used in &member.built_from {
                assert!(pure.contains(&used.as_str()), "{} uses {used}", member.name);
            }
        }
    }
}

#[test]
fn every_member_says_what_it_is() {
    for member in members::all().unwrap() {
        let words = member.description.unwrap_or_default();
        assert!(
            words.len() >= 15 || words.split(' ').count() >= 3,
            "{}: description {words:?}",
            member.name
        );
    }
}
