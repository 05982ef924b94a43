//! What the person at the command line wants of the runner.

use crate::story::{Story, Tier};

/// Shown for arguments that are not understood.
pub const USAGE: &str = "usage: [NAME-PART]... [--tier fast|full] [--jobs N] [--fresh] [--list]
A story runs if its name holds one of the parts, or if none is given.
--fresh runs stories that passed with the same programs, images and source as well.
BENNU_VM_JOBS sets the number of machines at a time (1), BENNU_VM_ACCEL=tcg|kvm the accelerator.";

/// Why the arguments make no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An option that does not exist.
    #[error("read arguments: unknown option {found:?}\n{USAGE}")]
    Unknown {
        /// The option.
        found: String,
    },
    /// An option's value is missing or of another kind.
    #[error("read {option}: expected {expected}, found {found:?}\n{USAGE}")]
    Value {
        /// Option or variable.
        option: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: Option<String>,
    },
}

/// Which stories run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Parts of names; empty means all.
    pub parts: Vec<String>,
    /// Only this tier.
    pub tier: Option<Tier>,
    /// Stories, hence machines, at a time; at least 1.
    pub jobs: usize,
    /// Earlier passes do not count.
    pub fresh: bool,
    /// Names only.
    pub list: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            tier: None,
            jobs: 1,
            fresh: false,
            list: false,
        }
    }
}

impl Options {
    /// Reads the arguments without the program's name, and the value of `BENNU_VM_JOBS` if it is set.
    ///
    /// `--nocapture` and `--quiet`, which cargo's callers pass to every test program, mean nothing here.
    ///
    /// # Errors
    /// [`OptionsError`] with the usage.
    pub fn parse(args: impl IntoIterator<Item = String>, jobs: Option<String>) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        if let Some(jobs) = jobs {
            options.jobs = jobs_of("BENNU_VM_JOBS", Some(jobs))?;
        }
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--tier" => options.tier = Some(tier_of(args.next())?),
                "--jobs" => options.jobs = jobs_of("--jobs", args.next())?,
                "--fresh" => options.fresh = true,
                "--list" => options.list = true,
                "--nocapture" | "--quiet" | "-q" => {}
                other if other.starts_with('-') => return Err(OptionsError::Unknown { found: arg }),
                _ => options.parts.push(arg),
            }
        }
        Ok(options)
    }

    /// Whether `story` is to run.
    #[must_use]
    pub fn selects(&self, story: &Story) -> bool {
        let named = self.parts.is_empty() || self.parts.iter().any(|part| story.name.contains(part.as_str()));
        named && self.tier.is_none_or(|tier| tier == story.tier)
    }
}

fn tier_of(value: Option<String>) -> Result<Tier, OptionsError> {
    match value.as_deref() {
        Some("fast") => Ok(Tier::Fast),
        Some("full") => Ok(Tier::Full),
        _ => Err(OptionsError::Value {
            option: "--tier",
            expected: "fast or full",
            found: value,
        }),
    }
}

fn jobs_of(option: &'static str, value: Option<String>) -> Result<usize, OptionsError> {
    match value.as_deref().map(str::parse) {
        Some(Ok(jobs @ 1..)) => Ok(jobs),
        _ => Err(OptionsError::Value {
            option,
            expected: "a number from 1",
            found: value,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, OptionsError> {
        Options::parse(args.iter().map(ToString::to_string), None)
    }

    #[test]
    fn options_and_name_parts_mix_in_any_order() {
        let expected = Options {
            parts: vec!["roll".into(), "cut".into()],
            tier: Some(Tier::Full),
            jobs: 3,
            fresh: true,
            list: false,
        };
        assert_eq!(
            parse(&["roll", "--tier", "full", "--jobs", "3", "cut", "--fresh"]),
            Ok(expected)
        );
        assert_eq!(
            Options::parse([], Some("2".into())).map(|options| options.jobs),
            Ok(2)
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(
            parse(&["--fast"]),
            Err(OptionsError::Unknown {
                found: "--fast".into()
            })
        );
        assert!(matches!(
            parse(&["--tier"]),
            Err(OptionsError::Value {
                option: "--tier",
                found: None,
                ..
            })
        ));
        assert!(matches!(
            parse(&["--jobs", "0"]),
            Err(OptionsError::Value { option: "--jobs", .. })
        ));
        let jobs = Options::parse([], Some("many".into()));
        assert!(matches!(
            jobs,
            Err(OptionsError::Value {
                option: "BENNU_VM_JOBS",
                ..
            })
        ));
    }
}
