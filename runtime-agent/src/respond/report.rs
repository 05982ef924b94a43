//! Decisions and acts in the words of the log, of the console and of certificates.

use super::Acted;
use bennu_policy::drift::{Decision, Severity, Weight};
use bennu_records::certificate::Outcome;
use serde_json::{Value, json};

/// A severity as events carry it; whoever sends the log goes by it (`crates/alert`).
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Calm => "calm",
        Severity::Noted => "noted",
        Severity::Suspicious => "suspicious",
        Severity::Serious => "serious",
        Severity::Contained => "contained",
        Severity::Lost => "lost",
    }
}

/// A signal by itself is as severe as its weight.
pub fn severity_of(weight: Weight) -> &'static str {
    severity(match weight {
        Weight::Weak => Severity::Noted,
        Weight::Strong => Severity::Serious,
    })
}

/// The line of a decision.
pub fn body(decision: &Decision) -> Value {
    let plan: Vec<Value> = decision
        .plan
        .iter()
        .map(|step| json!({"action": step.action.name(), "rule": step.why.rule()}))
        .collect();
    let withheld: Vec<Value> = decision
        .withheld
        .iter()
        .map(|withheld| json!({"action": withheld.action.name(), "because": withheld.because.words()}))
        .collect();
    json!({
        "event": "decision",
        "severity": severity(decision.severity),
        "rule": decision.severity.rule(),
        "plan": plan,
        "withheld": withheld,
        "reason": decision.reason,
    })
}

/// The line of an act.
pub fn act_body(acted: &Acted) -> Value {
    json!({
        "event": "act",
        "severity": severity(Severity::Contained),
        "action": acted.action,
        "rule": acted.rule,
        "outcome": acted.outcome,
        "words": acted.words,
    })
}

/// For the console.
pub fn sentence(acted: &Acted) -> String {
    let word = match acted.outcome {
        Outcome::Planned => "planned",
        Outcome::Done => "done",
        Outcome::Failed => "FAILED",
        Outcome::Withheld => "withheld",
    };
    format!("{} {word}: {}", acted.action, acted.words)
}

/// What is to be done, before any of it is.
pub fn planned(decision: &Decision) -> Vec<Acted> {
    let steps = decision.plan.iter().map(|step| Acted {
        action: step.action.name().to_owned(),
        rule: step.why.rule(),
        outcome: Outcome::Planned,
        words: String::new(),
        up_ms: None,
    });
    steps.chain(withheld(decision)).collect()
}

/// What is called for and not done.
pub fn withheld(decision: &Decision) -> Vec<Acted> {
    let severity: Severity = decision.severity;
    let of = |withheld: &bennu_policy::drift::Withheld| Acted {
        action: withheld.action.name().to_owned(),
        rule: severity.rule().to_owned(),
        outcome: Outcome::Withheld,
        words: withheld.because.words().to_owned(),
        up_ms: None,
    };
    decision.withheld.iter().map(of).collect()
}

/// One that was taken.
pub fn acted(action: &str, rule: &str, done: Result<String, String>, up_ms: u64) -> Acted {
    let (outcome, words) = match done {
        Ok(words) => (Outcome::Done, words),
        Err(words) => (Outcome::Failed, words),
    };
    Acted {
        action: action.to_owned(),
        rule: rule.to_owned(),
        outcome,
        words,
        up_ms: Some(up_ms),
    }
}
