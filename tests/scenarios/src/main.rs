//! Runs the stories: `scenarios [--tier-file FILE ci|all] [--repeat N] [arguments of bennu_harness::options]`.
//!
//! The tier file names every story once; one that is missing there, or a name without a story, is an error, so
//! that no story is forgotten.

use anyhow::{Context as _, Result, ensure};
use bennu_harness::artefacts::Artefacts;
use bennu_harness::options::Options;
use bennu_harness::runner::Runner;
use bennu_harness::story::Story;
use bennu_scenarios::{inputs, stories};
use std::collections::BTreeMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("scenarios: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs what was asked for; gives the number of stories that failed.
fn run() -> Result<usize> {
    let mut rest = Vec::new();
    let mut selected = stories::all();
    let mut repeat = 1;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tier-file" => {
                let file = arguments
                    .next()
                    .context("--tier-file: expected a file and a tier")?;
                let tier = arguments
                    .next()
                    .context("--tier-file: expected a tier after the file")?;
                selected = of_tier(selected, &file, &tier)?;
            }
            "--repeat" => {
                let text = arguments.next().context("--repeat: expected a number")?;
                repeat = text
                    .parse()
                    .with_context(|| format!("--repeat: expected a number, found {text}"))?;
            }
            _ => rest.push(argument),
        }
    }
    let options = Options::parse(rest, std::env::var("BENNU_VM_JOBS").ok())?;
    let mut failed = 0;
    for round in 1..=repeat {
        let runner = Runner {
            stories: &selected,
            inputs: inputs::inputs()?,
            artefacts: Artefacts::in_target(),
            round,
        };
        if repeat > 1 {
            println!("round {round} of {repeat}");
        }
        failed += runner.run(&options, &mut std::io::stdout())?.failed;
    }
    Ok(failed)
}

fn of_tier(stories: Vec<Story>, file: &str, tier: &str) -> Result<Vec<Story>> {
    ensure!(
        ["ci", "all"].contains(&tier),
        "tier: expected ci or all, found {tier}"
    );
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let mut tiers = BTreeMap::new();
    for line in text
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with('#'))
    {
        let (tier, name) = line
            .split_once(char::is_whitespace)
            .with_context(|| format!("{file}: {line}"))?;
        ensure!(
            tiers.insert(name.trim().to_owned(), tier.to_owned()).is_none(),
            "{file}: {name} stands twice"
        );
    }
    let unlisted: Vec<&str> = (stories.iter().map(|s| s.name))
        .filter(|name| !tiers.contains_key(*name))
        .collect();
    ensure!(
        unlisted.is_empty(),
        "{file}: expected every story there; not listed: {}",
        unlisted.join(", ")
    );
    let unknown: Vec<&str> = (tiers.keys().map(String::as_str))
        .filter(|name| !stories.iter().any(|s| s.name == *name))
        .collect();
    ensure!(
        unknown.is_empty(),
        "{file}: there are no stories {}",
        unknown.join(", ")
    );
    Ok(stories
        .into_iter()
        .filter(|s| tier == "all" || tiers.get(s.name).is_some_and(|t| t == "ci"))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // tests

    use super::*;

    const TIERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tiers");

    #[test]
    fn the_tier_file_and_the_stories_name_each_other() {
        let all = of_tier(stories::all(), TIERS, "all").unwrap();
        assert_eq!(all.len(), stories::all().len());
        let ci = of_tier(stories::all(), TIERS, "ci").unwrap();
        assert!((1..all.len()).contains(&ci.len()));
    }

    #[test]
    fn a_story_that_is_not_listed_is_refused_and_so_is_a_name_without_one() {
        let fewer = stories::all().split_off(1);
        let error = of_tier(fewer, TIERS, "ci").unwrap_err().to_string();
        assert!(error.contains("there are no stories"), "{error}");

        let short = tempfile::NamedTempFile::new().unwrap();
        let text = std::fs::read_to_string(TIERS).unwrap();
        let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
        std::fs::write(short.path(), rest).unwrap();
        let name = last.split_whitespace().nth(1).unwrap();
        let error = of_tier(stories::all(), short.path().to_str().unwrap(), "ci");
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("not listed: {name}")), "{error}");
    }
}
