use super::*;

fn set(profile: &str) -> Result<ProfileSet, DecodeError> {
    ProfileSet::decode(format!(r#"{{"schema":1,"built":"2026-01-01","profiles":[{profile}]}}"#).as_bytes())
}

fn refused(profile: &str, words: &str) {
    match set(profile) {
        Err(DecodeError::BadValue { expected, .. }) => assert!(expected.contains(words), "{expected}"),
        other => panic!("{profile}: {other:?}"),
    }
}

#[test]
fn a_profile_has_rules_that_become_stricter_with_the_days() {
    let found = set(
        r#"{"unit":"web.service","no_shells":{"stage":"dry-run","warn_from":"2026-02-01","deny_from":"2026-03-01"},
            "executables":{"rule":{"stage":"deny"},"allow":["/usr/sbin/web"]},
            "connect":{"rule":{"stage":"warn","deny_from":"2026-03-01"},
              "network":[{"to":"10.0.0.0/8","ports":[443,443],"protocol":"tcp"},{"to":"::1"}],
              "socket":[{"path":"/run/a"},{"abstract":"b"}]}}"#,
    )
    .unwrap();
    let stages = found.profiles[0].rules().map(|rule| rule.map(|rule| rule.stage));
    assert_eq!(
        stages,
        [Some(Stage::DryRun), Some(Stage::Deny), Some(Stage::Warn), None]
    );
    assert!(Stage::DryRun < Stage::Warn && Stage::Warn < Stage::Deny);
}

#[test]
fn days_that_loosen_or_change_nothing_are_refused() {
    for rule in [
        r#"{"stage":"deny","warn_from":"2026-02-01"}"#,
        r#"{"stage":"deny","deny_from":"2026-02-01"}"#,
        r#"{"stage":"warn","warn_from":"2026-02-01"}"#,
        r#"{"stage":"dry-run","warn_from":"2026-02-01","deny_from":"2026-01-01"}"#,
    ] {
        refused(
            &format!(r#"{{"unit":"a.service","no_tcp":{rule}}}"#),
            "make a rule stricter",
        );
    }
}

#[test]
fn a_network_is_an_address_and_its_leading_bits() {
    let mapped = |text: &str| text.parse::<Network>().unwrap().mapped();
    let (address, mask) = mapped("10.1.0.0/16");
    assert_eq!(address[8..], [0, 0, 0xff, 0xff, 10, 1, 0, 0]);
    assert_eq!(mask[8..], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    assert_eq!(mapped("0.0.0.0/0").1[12..], [0; 4]);
    assert_eq!(mapped("::/0").1, [0; 16]);
    assert_eq!(mapped("fd00::1").1, [0xff; 16]);
    for text in [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "::1/129",
        "host",
        "",
    ] {
        assert_eq!(text.parse::<Network>(), Err(NoNetwork(text.to_owned())), "{text}");
    }
}

#[test]
fn names_and_numbers_are_bounded() {
    let long = "x".repeat(MAX_SOCKET_BYTES + 1);
    refused(r#"{"unit":"a/b.service"}"#, "a unit's name");
    refused(&format!(r#"{{"unit":"{}"}}"#, "u".repeat(64)), "a unit's name");
    refused(r#"{"unit":"a.service"},{"unit":"a.service"}"#, "each unit once");
    let executables = |path: &str| {
        format!(r#"{{"unit":"a.service","executables":{{"rule":{{"stage":"deny"}},"allow":["{path}"]}}}}"#)
    };
    refused(&executables("sh"), "absolute paths");
    set(&executables("/bin/sh")).unwrap();
    let connect =
        |inside: &str| format!(r#"{{"unit":"a.service","connect":{{"rule":{{"stage":"deny"}},{inside}}}}}"#);
    refused(
        &connect(&format!(r#""socket":[{{"path":"{long}"}}]"#)),
        "names of sockets",
    );
    refused(&connect(r#""socket":[{"abstract":""}]"#), "names of sockets");
    refused(
        &connect(r#""network":[{"to":"::1","ports":[2,1]}]"#),
        "the lower port first",
    );
    let many = vec![r#"{"to":"::1"}"#; MAX_NETWORKS + 1].join(",");
    refused(&connect(&format!(r#""network":[{many}]"#)), "at most 16 networks");
}
