//! What `bennud` does about signs that the running system is not what was verified.
//!
//! One pure function, [`decide`], from what was seen to what is done. A signal is weak (it may come from an
//! innocent cause) or strong (on a sound machine it does not come). What can be undone is done on one source's
//! word. What cannot be undone, State Purge and the flip of the slot, takes strong signals of two different
//! [`Source`]s; each action has a budget for one boot; and the other slot has to be present, to verify, not to be
//! marked bad and not to be below the floor. What was done and can be undone is undone when [`reverts`] says so. The table is printed in `docs/explanation/drift-ladder.md`.
//!
//! `tests/drift` checks all of it for every set of up to three signals, and with rules taken away.

mod action;
mod concerned;
mod revert;
mod signal;
mod window;

pub use action::{Action, ActionSet, BUDGET, Because, Spent, Step, Why, Withheld};
pub use concerned::{Concerned, concerned};
pub use revert::{Hold, hold, reverts};
pub use signal::{Row, Signal, Source, Weight};
pub use window::{STRONG_MS, WEAK_MS, Windows};

use std::collections::BTreeSet;

/// Flips in a row after which a person has to come: without a slot in between that was marked good and started again
/// without having drifted (`drift_flips` of the boot record).
pub const FLIP_LIMIT: u32 = 2;

/// A signal and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub signal: Signal,
    /// Milliseconds since the machine started (a clock that nobody sets).
    pub at_ms: u64,
    /// Whether an earlier decision has already answered it. It still counts, but is not answered again.
    pub answered: bool,
}

impl Seen {
    /// Whether it still counts at `now_ms`. One from the future counts: its clock cannot be believed, it can.
    pub fn counts(&self, now_ms: u64, windows: &Windows) -> bool {
        now_ms.saturating_sub(self.at_ms) < windows.of(self.signal.row().weight)
    }
}

/// What is known of the slot that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherSlot {
    /// It has a release and a boot entry.
    pub present: bool,
    /// Manifest, tree and root were verified after the first signal that counts.
    pub verifies: bool,
    /// The boot record has marked it bad.
    pub marked_bad: bool,
    /// `security_version` of its manifest.
    pub security_version: u64,
    /// The machine's floor.
    pub floor: u64,
}

impl OtherSlot {
    /// Whether the machine may be started from it.
    pub fn may_start(&self) -> bool {
        self.present && self.verifies && !self.marked_bad && self.security_version >= self.floor
    }
}

/// All that a decision depends on.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// What was seen, in any order. The caller may forget what no longer [counts](Seen::counts).
    pub signals: &'a [Seen],
    /// Now, by the clock of [`Seen::at_ms`].
    pub now_ms: u64,
    /// How long signals count.
    pub windows: Windows,
    /// Actions that the image enforces; the others are reported as they would be done (dry run).
    pub enforced: ActionSet,
    /// Actions done since the machine started.
    pub spent: Spent,
    /// Lasting actions that are done already and still hold.
    pub in_force: ActionSet,
    /// The other slot.
    pub other: OtherSlot,
    /// Flips in a row, as [`FLIP_LIMIT`] has them.
    pub flips_in_a_row: u32,
}

impl Facts<'_> {
    /// Signals that count now.
    fn counting(&self) -> impl Iterator<Item = &Seen> {
        self.signals
            .iter()
            .filter(|seen| seen.counts(self.now_ms, &self.windows))
    }
}

/// How bad it is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No signal counts.
    Calm,
    /// Weak signals of one source.
    Noted,
    /// Weak signals of several sources.
    Suspicious,
    /// Strong signals of one source.
    Serious,
    /// Strong signals of one source, and weak ones of another.
    Contained,
    /// Strong signals of two sources.
    Lost,
}

impl Severity {
    /// Every severity, in order.
    pub const ALL: [Self; 6] = [
        Self::Calm,
        Self::Noted,
        Self::Suspicious,
        Self::Serious,
        Self::Contained,
        Self::Lost,
    ];

    /// The rule by which a decision comes to it; stable, for logs and certificates.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Calm => "drift.calm",
            Self::Noted => "drift.one-weak",
            Self::Suspicious => "drift.two-weak",
            Self::Serious => "drift.one-strong",
            Self::Contained => "drift.strong-and-weak",
            Self::Lost => "drift.two-strong",
        }
    }

    /// What is done once for the severity itself, beside what each signal asks for.
    pub fn actions(self) -> &'static [Action] {
        match self {
            Self::Calm | Self::Noted => &[],
            Self::Suspicious => &[Action::Alert],
            Self::Serious => &[Action::Alert, Action::Deny],
            Self::Contained => &[
                Action::Alert,
                Action::Deny,
                Action::FreezeCgroup,
                Action::CutNetwork,
            ],
            Self::Lost => &[
                Action::Alert,
                Action::Deny,
                Action::FreezeCgroup,
                Action::CutNetwork,
                Action::StatePurge,
                Action::FlipSlot,
            ],
        }
    }
}

/// What is done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How bad it is.
    pub severity: Severity,
    /// Actions to take, in this order.
    pub plan: Vec<Step>,
    /// Actions that are called for and not taken.
    pub withheld: Vec<Withheld>,
    /// One sentence for people.
    pub reason: String,
}

/// Decides. The same facts give the same decision.
pub fn decide(facts: &Facts<'_>) -> Decision {
    let counting: Vec<&Seen> = facts.counting().collect();
    let sources = |weight| -> BTreeSet<Source> {
        counting
            .iter()
            .map(|seen| seen.signal.row())
            .filter(|row| row.weight == weight)
            .map(|row| row.source)
            .collect()
    };
    let strong = sources(Weight::Strong);
    let weak: BTreeSet<Source> = sources(Weight::Weak).difference(&strong).copied().collect();
    let severity = severity(strong.len(), weak.len());
    let mut plan = Planning::new(facts);
    for seen in counting.iter().filter(|seen| !seen.answered) {
        for action in seen.signal.row().actions {
            plan.want(*action, Why::Signal(seen.signal));
        }
    }
    // What was told need not be told again; what should hold and does not is asked for again.
    let news = counting.iter().any(|seen| !seen.answered);
    for action in severity.actions().iter().filter(|a| news || !a.is_report()) {
        plan.want(*action, Why::Severity(severity));
    }
    plan.tell(Why::Severity(severity));
    let (plan, withheld) = plan.finish();
    Decision {
        severity,
        reason: reason(severity, &counting, &withheld),
        plan,
        withheld,
    }
}

fn severity(strong: usize, weak: usize) -> Severity {
    match (strong, weak) {
        (0, 0) => Severity::Calm,
        (0, 1) => Severity::Noted,
        (0, _) => Severity::Suspicious,
        (1, 0) => Severity::Serious,
        (1, _) => Severity::Contained,
        _ => Severity::Lost,
    }
}

/// Collects what is called for and holds it to budgets, dry run and the state of the other slot.
struct Planning<'a> {
    facts: &'a Facts<'a>,
    spent: Spent,
    plan: Vec<Step>,
    withheld: Vec<Withheld>,
    lasting: ActionSet,
}

impl<'a> Planning<'a> {
    fn new(facts: &'a Facts<'a>) -> Self {
        Self {
            facts,
            spent: facts.spent,
            plan: Vec::new(),
            withheld: Vec::new(),
            lasting: facts.in_force,
        }
    }

    fn want(&mut self, action: Action, why: Why) {
        if self.lasting.has(action) || self.asked(action) {
            return;
        }
        if let Some(because) = self.refusal(action) {
            self.withheld.push(Withheld { action, because });
            // A flip that may not be is no reason to go on as if nothing were wrong: a person has to come.
            let called_for_a_person = action == Action::FlipSlot && because.is_lasting();
            if called_for_a_person {
                self.want(Action::Recovery, why);
            }
            return;
        }
        self.spent.count(action);
        if action.lasts() {
            self.lasting = self.lasting.with(action);
        }
        self.plan.push(Step { action, why });
    }

    /// Nothing is done without being told, even if what it is for was told before.
    fn tell(&mut self, why: Why) {
        if self.plan.iter().any(|step| !step.action.is_report()) {
            self.want(Action::Alert, why);
        }
    }

    /// Whether nothing is gained by asking once more: what is done is done about all signals (each is recorded), and an
    /// answer that was withheld once is withheld again.
    fn asked(&self, action: Action) -> bool {
        let planned = action != Action::Record && self.plan.iter().any(|step| step.action == action);
        planned || self.withheld.iter().any(|withheld| withheld.action == action)
    }

    fn refusal(&self, action: Action) -> Option<Because> {
        if !self.facts.enforced.has(action) && !action.is_report() {
            return Some(Because::DryRun);
        }
        if action == Action::FlipSlot
            && let Some(because) = flip_refusal(&self.facts.other, self.facts.flips_in_a_row)
        {
            return Some(because);
        }
        (!self.spent.allows(action)).then_some(Because::BudgetSpent)
    }

    /// In the order in which they are taken; what a flip does anyway is left out beside it.
    fn finish(mut self) -> (Vec<Step>, Vec<Withheld>) {
        if self.plan.iter().any(|step| step.action == Action::FlipSlot) {
            self.plan.retain(|step| step.action != Action::FailSafe);
        }
        self.plan.sort_by_key(|step| step.action);
        self.withheld.sort_by_key(|withheld| withheld.action);
        (self.plan, self.withheld)
    }
}

/// Why the other slot may not be taken; `None` when it may.
fn flip_refusal(other: &OtherSlot, flips_in_a_row: u32) -> Option<Because> {
    match other {
        _ if flips_in_a_row >= FLIP_LIMIT => Some(Because::FlipLimit),
        OtherSlot { present: false, .. } => Some(Because::NoOtherSlot),
        OtherSlot { marked_bad: true, .. } => Some(Because::OtherMarkedBad),
        OtherSlot {
            security_version,
            floor,
            ..
        } if security_version < floor => Some(Because::OtherBelowFloor),
        OtherSlot { verifies: false, .. } => Some(Because::OtherDoesNotVerify),
        _ => None,
    }
}

/// One sentence: what was seen by whom, what that is, what was not done.
fn reason(severity: Severity, counting: &[&Seen], withheld: &[Withheld]) -> String {
    let names: BTreeSet<String> = counting
        .iter()
        .map(|seen| {
            let row = seen.signal.row();
            format!("{} ({}, {})", row.name, row.source.name(), row.weight.name())
        })
        .collect();
    if names.is_empty() {
        return "no signal counts".to_owned();
    }
    let seen = names.into_iter().collect::<Vec<_>>().join("; ");
    let mut text = format!("{}: {seen}", severity.rule());
    for Withheld { action, because } in withheld {
        text.push_str(&format!("; not done: {}: {}", action.name(), because.words()));
    }
    text
}
