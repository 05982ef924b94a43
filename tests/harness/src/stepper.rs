//! An account of steps for people: what was to be seen, and whether and when it was.

use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// Steps announced beforehand, ticked off as they are observed.
///
/// ```
/// use bennu_harness::stepper::Account;
///
/// let mut account = Account::new(std::io::stdout(), "Two steps", &["the lamp is lit", "the door opens"])?;
/// account.observe("the lamp is lit", || Ok("bright"))?;
/// account.observe("the door opens", || Ok("wide"))?;
/// account.finish()?;
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an account that is not finished proves nothing"]
pub struct Account<W: Write> {
    out: W,
    started: Instant,
    steps: Vec<(String, bool)>,
}

impl<W: Write> Account<W> {
    /// Prints the title and announces the steps, each once and in order.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn new(mut out: W, title: &str, steps: &[&str]) -> anyhow::Result<Self> {
        writeln!(out, "{title}").context("write the account")?;
        let steps = steps.iter().map(|step| ((*step).to_owned(), false)).collect();
        Ok(Self {
            out,
            started: Instant::now(),
            steps,
        })
    }

    /// Runs `see`, prints ✓ or ✗ with the time since the account began, and returns what was seen.
    ///
    /// # Errors
    /// What `see` fails with; or the step was not announced, was observed before, or comes too early.
    pub fn observe<T: Display>(
        &mut self,
        step: &str,
        see: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let next = self.steps.iter_mut().find(|(_, observed)| !observed);
        let Some((announced, observed)) = next else {
            bail!("observe step {step:?}: all announced steps have been observed");
        };
        if announced != step {
            bail!("observe step {step:?}: expected {announced:?} next");
        }
        let result = see();
        *observed = result.is_ok();
        let (mark, detail) = match &result {
            Ok(seen) => ('✓', seen.to_string()),
            Err(error) => ('✗', format!("{error:#}")),
        };
        let seconds = self.started.elapsed().as_secs_f64();
        let between = if detail.is_empty() { "" } else { ": " };
        writeln!(self.out, "  {mark} {seconds:6.1} s  {step}{between}{detail}")
            .context("write the account")?;
        result.with_context(|| format!("step {step:?}"))
    }

    /// Prints ✗ for each step that was not observed.
    ///
    /// # Errors
    /// At least one step was not observed.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let missing: Vec<String> = self
            .steps
            .iter()
            .filter(|(_, observed)| !observed)
            .map(|(step, _)| step.clone())
            .collect();
        for step in &missing {
            writeln!(self.out, "  ✗           {step}: not observed").context("write the account")?;
        }
        if !missing.is_empty() {
            bail!(
                "{} of {} steps were not observed, the first: {:?}",
                missing.len(),
                self.steps.len(),
                missing[0]
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn observed_steps_are_ticked_with_their_times() {
        let mut out = Vec::new();
        let mut account = Account::new(&mut out, "title", &["one", "two"]).unwrap();
        account.observe("one", || Ok("seen")).unwrap();
        account.observe("two", || Ok("")).unwrap();
        account.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "title\n  ✓    0.0 s  one: seen\n  ✓    0.0 s  two\n");
    }

    #[test]
    fn a_step_that_is_not_observed_fails_the_account() {
        let mut out = Vec::new();
        let mut account = Account::new(&mut out, "title", &["one", "two"]).unwrap();
        account.observe("one", || Ok("seen")).unwrap();
        let error = account.finish().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"1 of 2 steps were not observed, the first: "two""#
        );
        assert!(
            String::from_utf8(out)
                .unwrap()
                .ends_with("  ✗           two: not observed\n")
        );
    }

    #[test]
    fn a_failed_step_shows_its_reason_and_stays_unobserved() {
        let mut out = Vec::new();
        let mut account = Account::new(&mut out, "title", &["one"]).unwrap();
        let error = account
            .observe("one", || Err::<String, _>(anyhow::anyhow!("dark")))
            .unwrap_err();
        assert_eq!(format!("{error:#}"), r#"step "one": dark"#);
        assert!(account.finish().is_err());
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains("✗    0.0 s  one: dark\n")
        );
    }

    #[test]
    fn steps_out_of_order_and_unannounced_ones_are_refused() {
        let mut account = Account::new(Vec::new(), "title", &["one", "two"]).unwrap();
        assert!(
            account
                .observe("two", || Ok(""))
                .unwrap_err()
                .to_string()
                .contains(r#"expected "one" next"#)
        );
        account.observe("one", || Ok("")).unwrap();
        account.observe("two", || Ok("")).unwrap();
        assert!(account.observe("three", || Ok("")).is_err());
    }
}
