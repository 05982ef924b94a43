//! What was checked and what came of it: as lines for people, as JSON for programs.

use super::Refusal;
use crate::image::printable;
use bennu_formats::Code;
use serde::Serialize;
use std::fmt::Write as _;

/// Result of one check.
#[derive(Debug)]
pub enum Finding {
    /// It holds; what was seen.
    Good(String),
    /// It holds, and something is worth knowing.
    Remark(String),
    /// It does not hold.
    Refused(Refusal),
    /// It could not be checked because of an earlier refusal.
    NotChecked(&'static str),
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// What came of it.
    pub finding: Finding,
}

/// The checks of the disk or of one slot.
#[derive(Debug)]
pub struct Section {
    /// Slot; `None` for the disk.
    pub slot: Option<String>,
    /// What to call it.
    pub title: String,
    /// In the order in which they were done.
    pub checks: Vec<Check>,
}

impl Section {
    /// A section without checks.
    pub fn new(slot: Option<String>, title: String) -> Self {
        Self {
            slot,
            title,
            checks: Vec::new(),
        }
    }

    /// Records a finding.
    pub fn add(&mut self, name: &'static str, finding: Finding) {
        self.checks.push(Check { name, finding });
    }

    /// Records a result.
    pub fn record(&mut self, name: &'static str, result: Result<String, Refusal>) {
        self.add(name, result.map_or_else(Finding::Refused, Finding::Good));
    }

    /// Records each refusal, or that all is good.
    pub fn record_all(&mut self, name: &'static str, good: impl Into<String>, refusals: Vec<Refusal>) {
        if refusals.is_empty() {
            self.add(name, Finding::Good(good.into()));
        }
        for refusal in refusals {
            self.add(name, Finding::Refused(refusal));
        }
    }
}

/// The whole verdict.
#[derive(Debug, Default)]
pub struct Report {
    /// The disk, then the slots.
    pub sections: Vec<Section>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    image: &'a str,
    verdict: &'static str,
    refusals: Vec<RefusalDocument<'a>>,
    checks: Vec<CheckDocument<'a>>,
}

#[derive(Serialize)]
struct RefusalDocument<'a> {
    code: Code,
    slot: Option<&'a str>,
    check: &'a str,
    text: String,
    meaning: &'static str,
    advice: &'static str,
}

#[derive(Serialize)]
struct CheckDocument<'a> {
    slot: Option<&'a str>,
    check: &'a str,
    status: &'static str,
    code: Option<Code>,
    text: String,
}

impl Report {
    fn all(&self) -> impl Iterator<Item = (Option<&str>, &Check)> {
        self.sections
            .iter()
            .flat_map(|s| s.checks.iter().map(|c| (s.slot.as_deref(), c)))
    }

    fn refusals(&self) -> impl Iterator<Item = (Option<&str>, &'static str, &Refusal)> {
        self.all().filter_map(|(slot, check)| match &check.finding {
            Finding::Refused(refusal) => Some((slot, check.name, refusal)),
            _ => None,
        })
    }

    /// Whether nothing was refused. A check that was left out always comes with a refusal.
    pub fn is_good(&self) -> bool {
        self.refusals().next().is_none()
    }

    /// The codes of the refusals, each once, in order.
    fn codes(&self) -> Vec<&'static str> {
        let mut codes = Vec::new();
        for (_, _, refusal) in self.refusals() {
            let code = refusal.code().as_str();
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// Lines for people.
    pub fn to_text(&self, image: &str) -> String {
        let mut out = String::new();
        for section in &self.sections {
            line(&mut out, format_args!("{}", printable(&section.title)));
            for check in &section.checks {
                self::check(&mut out, check);
            }
        }
        if self.is_good() {
            line(&mut out, format_args!("{image}: good"));
        } else {
            line(
                &mut out,
                format_args!("{image}: REFUSED: {}", self.codes().join(", ")),
            );
        }
        out
    }

    /// JSON, one object.
    ///
    /// # Errors
    /// Never in practice; the JSON encoder's words.
    pub fn to_json(&self, image: &str) -> serde_json::Result<String> {
        let refusals = self.refusals().map(|(slot, check, refusal)| RefusalDocument {
            code: refusal.code(),
            slot,
            check,
            text: printable(&refusal.to_string()),
            meaning: refusal.code().meaning(),
            advice: refusal.code().advice(),
        });
        let checks = self.all().map(|(slot, check)| {
            let (status, code, text) = match &check.finding {
                Finding::Good(text) => ("good", None, text.clone()),
                Finding::Remark(text) => ("remark", None, text.clone()),
                Finding::Refused(refusal) => ("refused", Some(refusal.code()), refusal.to_string()),
                Finding::NotChecked(why) => ("not-checked", None, (*why).to_owned()),
            };
            CheckDocument {
                slot,
                check: check.name,
                status,
                code,
                text: printable(&text),
            }
        });
        serde_json::to_string_pretty(&Document {
            schema: 1,
            image,
            verdict: if self.is_good() { "good" } else { "refused" },
            refusals: refusals.collect(),
            checks: checks.collect(),
        })
    }
}

fn check(out: &mut String, check: &Check) {
    let name = check.name;
    match &check.finding {
        Finding::Good(text) => line(out, format_args!("  ok       {name:18} {}", printable(text))),
        Finding::Remark(text) => line(out, format_args!("  note     {name:18} {}", printable(text))),
        Finding::NotChecked(why) => line(out, format_args!("  -        {name:18} not checked: {why}")),
        Finding::Refused(refusal) => {
            let code = refusal.code();
            line(
                out,
                format_args!("  REFUSED  {name:18} {code}: {}", printable(&refusal.to_string())),
            );
            line(
                out,
                format_args!("  {:27} {}; {}", "", code.meaning(), code.advice()),
            );
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _infallible = writeln!(out, "{text}");
}
