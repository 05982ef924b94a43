//! The form of `tests/tiers`; that the names are stories is tested beside the scenario runner.

#![allow(clippy::unwrap_used)] // tests

use bennu_structure_tests::files;
use std::collections::BTreeMap;

/// 25 fast and 8 full ones (issue 2, point 5).
const MOST_IN_CI: usize = 33;

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut stories = BTreeMap::new();
    for line in text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (tier, name) = match words.as_slice() {
            [] => continue,
            [tier @ ("ci" | "all"), name] => (*tier, *name),
            _ => return Err(format!("expected `ci NAME` or `all NAME`, found {line:?}")),
        };
        if !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(format!("{name}: expected a-z 0-9 - only"));
        }
        if stories.insert(name.to_owned(), tier.to_owned()).is_some() {
            return Err(format!("{name}: listed twice"));
        }
    }
    Ok(stories)
}

#[test]
fn every_story_stands_once_in_the_list_with_its_tier() {
    let text = std::fs::read_to_string(files::root().join("tests/tiers")).unwrap();
    let stories = parse(&text).unwrap();
    let in_ci = stories.values().filter(|tier| *tier == "ci").count();
    assert!(
        (1..=MOST_IN_CI).contains(&in_ci),
        "{in_ci} stories in CI; at most {MOST_IN_CI}"
    );
}

#[test]
fn a_list_that_is_not_clear_is_refused() {
    assert!(
        parse("# words\n\nci a-1 # more\nall b\n").is_ok(),
        "positive control"
    );
    for text in ["ci a\nall a\n", "ci\n", "slow a\n", "ci a b\n", "ci A\n"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}
