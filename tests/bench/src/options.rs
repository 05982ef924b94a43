//! The command line. Written by hand: four options do not earn a dependency.

use crate::benches::BENCHES;

/// Help.
pub const USAGE: &str = "\
usage: bench [--only NAME]... [--pairs N] [--data-mib N]
       bench --list
  --only NAME    this bench only; may be repeated
  --pairs N      measured pairs, after one that is not; default 5, odd numbers are best
  --data-mib N   size of the data that is hashed; default 1024
  --list         names of the benches";

/// Pairs unless said otherwise; fewer are for trying whether a bench works.
const PAIRS: usize = 5;
/// Data unless said otherwise.
const DATA_MIB: u64 = 1024;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Measure.
    Run(Options),
    /// Name the benches.
    List,
    /// Explain.
    Help,
}

/// How to measure.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Names of the benches; empty for all.
    pub only: Vec<String>,
    /// Measured pairs, at least 1.
    pub pairs: usize,
    /// Size of generated data in MiB, at least 1.
    pub data_mib: u64,
}

impl Options {
    /// Whether this bench was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Reads the arguments; the error is a sentence for people.
pub fn parse(arguments: &[String]) -> Result<Act, String> {
    let mut options = Options {
        only: Vec::new(),
        pairs: PAIRS,
        data_mib: DATA_MIB,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word}: expected a value"));
        match word.as_str() {
            "--list" => return Ok(Act::List),
            "--help" | "-h" => return Ok(Act::Help),
            "--only" => {
                let name = value()?;
                if !BENCHES.iter().any(|bench| bench.name == name) {
                    return Err(format!("--only {name}: no such bench; see --list"));
                }
                options.only.push(name.clone());
            }
            "--pairs" => options.pairs = at_least_one(word, value()?)?,
            "--data-mib" => options.data_mib = at_least_one(word, value()?)?,
            _ => return Err(format!("{word}: unknown")),
        }
    }
    Ok(Act::Run(options))
}

fn at_least_one<T: std::str::FromStr + PartialOrd + From<u8>>(option: &str, text: &str) -> Result<T, String> {
    text.parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| format!("{option}: expected a number of at least 1, found {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn without_options_every_bench_runs_in_five_pairs() {
        let Ok(Act::Run(options)) = parse(&[]) else {
            panic!("expected a run")
        };
        assert_eq!((options.pairs, options.data_mib), (5, 1024));
        assert!(BENCHES.iter().all(|bench| options.wants(bench.name)));
    }

    #[test]
    fn only_chooses_and_may_be_repeated() {
        let Ok(Act::Run(options)) = parse(&words("--only hash-tree --only initrd-size --pairs 7")) else {
            panic!("expected a run")
        };
        assert_eq!(options.pairs, 7);
        let chosen: Vec<_> = BENCHES
            .iter()
            .map(|b| b.name)
            .filter(|n| options.wants(n))
            .collect();
        assert_eq!(chosen, ["hash-tree", "initrd-size"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_word() {
        for (text, word) in [
            ("--pairs 0", "--pairs"),
            ("--pairs x", "--pairs"),
            ("--data-mib", "--data-mib"),
            ("--only nothing", "nothing"),
            ("--fast", "--fast"),
        ] {
            assert!(parse(&words(text)).unwrap_err().contains(word), "{text}");
        }
    }
}
