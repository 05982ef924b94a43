//! How strictly a rule of a profile holds today.
//!
//! A rule only ever becomes stricter: by the days that the signed profile names, seen on a clock that root can set. So a
//! clock before the release's build is not believed, and a stage that was reached in this boot is kept whatever the clock
//! says later. A clock that is set back before a start gives the stage of that day, never a milder one than the profile
//! begins with.

use bennu_formats::debug_token::UtcDay;
use bennu_formats::profile::{Rule, Stage};

/// The day that counts: the latest of the clock's, the build's, and the one that made a rule stricter in an earlier start.
pub fn day(clock: Option<UtcDay>, built: UtcDay, kept: Option<UtcDay>) -> UtcDay {
    clock.into_iter().chain(kept).fold(built, UtcDay::max)
}

/// Whether one of these rules is stricter on the later day than on the earlier one.
pub fn is_stricter(
    rules: impl IntoIterator<Item = [Option<Rule>; 4]>,
    earlier: UtcDay,
    later: UtcDay,
) -> bool {
    rules
        .into_iter()
        .flatten()
        .flatten()
        .any(|rule| stage_on(&rule, later) > stage_on(&rule, earlier))
}

/// The stage of a rule on a day.
pub fn stage_on(rule: &Rule, day: UtcDay) -> Stage {
    let reached = |from: Option<UtcDay>| from.is_some_and(|from| from <= day);
    if reached(rule.deny_from) {
        Stage::Deny
    } else if reached(rule.warn_from) {
        rule.stage.max(Stage::Warn)
    } else {
        rule.stage
    }
}

/// What the gate is to be told: the stages as numbers, none of them below what it holds already.
pub fn tightened(held: [u32; 4], rules: [Option<Rule>; 4], day: UtcDay) -> [u32; 4] {
    let mut next = held;
    for (stage, rule) in next.iter_mut().zip(rules) {
        if let Some(rule) = rule {
            *stage = (*stage).max(stage_on(&rule, day).number());
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(text: &str) -> UtcDay {
        text.parse().unwrap()
    }

    fn rule(stage: Stage, warn: Option<&str>, deny: Option<&str>) -> Rule {
        Rule {
            stage,
            warn_from: warn.map(on),
            deny_from: deny.map(on),
        }
    }

    #[test]
    fn a_rule_holds_as_its_days_say() {
        let both = rule(Stage::DryRun, Some("2026-02-01"), Some("2026-03-01"));
        for (day, stage) in [
            ("2026-01-31", Stage::DryRun),
            ("2026-02-01", Stage::Warn),
            ("2026-02-28", Stage::Warn),
            ("2026-03-01", Stage::Deny),
            ("2030-01-01", Stage::Deny),
        ] {
            assert_eq!(stage_on(&both, on(day)), stage, "{day}");
        }
        let late = rule(Stage::Warn, None, Some("2026-03-01"));
        assert_eq!(stage_on(&late, on("2026-01-01")), Stage::Warn);
        assert_eq!(
            stage_on(&rule(Stage::Deny, None, None), on("1970-01-01")),
            Stage::Deny
        );
    }

    #[test]
    fn a_clock_before_the_build_is_not_believed() {
        let built = on("2026-05-05");
        assert_eq!(day(Some(on("1970-01-01")), built, None), built);
        assert_eq!(day(None, built, None), built);
        assert_eq!(day(Some(on("2026-05-06")), built, None), on("2026-05-06"));
    }

    #[test]
    fn neither_is_one_before_a_day_that_is_kept() {
        let (built, kept) = (on("2026-05-05"), on("2026-06-01"));
        assert_eq!(day(Some(on("2026-05-06")), built, Some(kept)), kept);
        assert_eq!(day(None, built, Some(kept)), kept);
        assert_eq!(day(Some(on("2026-06-02")), built, Some(kept)), on("2026-06-02"));
        assert_eq!(day(None, built, Some(on("2020-01-01"))), built);
    }

    #[test]
    fn a_stage_that_was_reached_is_kept_when_the_clock_goes_back() {
        let rules = [
            Some(rule(Stage::DryRun, None, Some("2026-03-01"))),
            None,
            None,
            None,
        ];
        let held = tightened([0; 4], rules, on("2026-03-01"));
        assert_eq!(held, [3, 0, 0, 0]);
        assert_eq!(tightened(held, rules, on("2026-01-01")), held);
        assert_eq!(tightened([0; 4], rules, on("2026-01-01")), [1, 0, 0, 0]);
    }
}
