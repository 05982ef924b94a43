//! What can be done about drift, how often, and why something is not done.

use super::{Severity, Signal};

/// An action, in the order in which those of one decision are taken: the record and the alert are out before
/// anything is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A line in the record log, with the action certificate where more follows.
    Record,
    /// To every alert sink.
    Alert,
    /// The unit concerned starts no more programs.
    Deny,
    /// Kill what the signal names.
    Kill,
    /// Freeze the unit's cgroup.
    FreezeCgroup,
    /// Drop all packets but those to the alert sinks.
    CutNetwork,
    /// Rewrite bad blocks of the slot that does not run, from the one that does or from the update source.
    RepairInactiveSlot,
    /// Destroy the secrets of the running system (`docs/explanation/drift-ladder.md`). Cannot be undone.
    StatePurge,
    /// Mark this slot bad and restart into the other one. Cannot be undone: the reason stays until somebody
    /// installs anew.
    FlipSlot,
    /// Restart at once: the boot decides anew. Nothing is frozen or cut before: nothing runs on. Where a block of the running
    /// root is bad this slot is marked bad first, or the machine stays up if no other one may start.
    FailSafe,
    /// Stay where nothing runs, say why, and wait for a person.
    Recovery,
}

impl Action {
    /// Every action, in order.
    pub const ALL: [Self; 11] = [
        Self::Record,
        Self::Alert,
        Self::Deny,
        Self::Kill,
        Self::FreezeCgroup,
        Self::CutNetwork,
        Self::RepairInactiveSlot,
        Self::StatePurge,
        Self::FlipSlot,
        Self::FailSafe,
        Self::Recovery,
    ];

    /// Its name; stable, for logs and certificates.
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Alert => "alert",
            Self::Deny => "deny",
            Self::Kill => "kill",
            Self::FreezeCgroup => "freeze-cgroup",
            Self::CutNetwork => "cut-network",
            Self::RepairInactiveSlot => "repair-inactive-slot",
            Self::StatePurge => "state-purge",
            Self::FlipSlot => "flip-slot",
            Self::FailSafe => "fail-safe",
            Self::Recovery => "recovery",
        }
    }

    /// Whether nothing brings back what it takes.
    pub fn cannot_be_undone(self) -> bool {
        matches!(self, Self::StatePurge | Self::FlipSlot)
    }

    /// Whether it only tells: never withheld in a dry run.
    pub fn is_report(self) -> bool {
        matches!(self, Self::Record | Self::Alert)
    }

    /// Whether it holds once it is done, so that doing it again adds nothing.
    pub fn lasts(self) -> bool {
        !matches!(
            self,
            Self::Record | Self::Alert | Self::Kill | Self::RepairInactiveSlot
        )
    }

    /// Whether `bennud` undoes it when nothing calls for it any more.
    pub fn ends_by_itself(self) -> bool {
        matches!(self, Self::Deny | Self::FreezeCgroup | Self::CutNetwork)
    }

    /// By its [`Self::name`].
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// How often in one boot; `None` without limit.
    pub fn budget(self) -> Option<u32> {
        BUDGET
            .iter()
            .find(|(action, _)| *action == self)
            .map(|(_, most)| *most)
    }
}

/// How often each action is taken in one boot. Records and alerts are bounded where they are stored and sent.
pub const BUDGET: [(Action, u32); 9] = [
    (Action::Deny, 16),
    (Action::Kill, 64),
    (Action::FreezeCgroup, 16),
    (Action::CutNetwork, 4),
    (Action::RepairInactiveSlot, 2),
    (Action::StatePurge, 1),
    (Action::FlipSlot, 1),
    (Action::FailSafe, 1),
    (Action::Recovery, 1),
];

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ActionSet(u16);

impl ActionSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self((1 << Action::ALL.len()) - 1);

    /// With one more.
    #[must_use]
    pub const fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u16)
    }

    /// Without one.
    #[must_use]
    pub const fn without(self, action: Action) -> Self {
        Self(self.0 & !(1 << action as u16))
    }

    /// Whether it is in the set.
    pub const fn has(self, action: Action) -> bool {
        self.0 & 1 << action as u16 != 0
    }
}

/// How often each action was taken since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Spent([u32; Action::ALL.len()]);

impl Spent {
    /// One more.
    pub fn count(&mut self, action: Action) {
        let times = &mut self.0[action as usize];
        *times = times.saturating_add(1);
    }

    /// How often.
    pub fn times(&self, action: Action) -> u32 {
        self.0[action as usize]
    }

    /// Whether the budget has room for one more.
    pub fn allows(&self, action: Action) -> bool {
        action.budget().is_none_or(|most| self.times(action) < most)
    }
}

/// What called for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// This signal's row.
    Signal(Signal),
    /// The severity.
    Severity(Severity),
}

impl Why {
    /// Name of the rule; stable, for logs and certificates.
    pub fn rule(self) -> String {
        match self {
            Self::Signal(signal) => format!("signal.{}", signal.row().name),
            Self::Severity(severity) => severity.rule().to_owned(),
        }
    }
}

/// An action to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why.
    pub why: Why,
}

/// An action that is called for and not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withheld {
    /// What.
    pub action: Action,
    /// Why not.
    pub because: Because,
}

/// Why an action is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Because {
    /// The image does not enforce it yet.
    DryRun,
    /// It was taken as often as one boot allows.
    BudgetSpent,
    /// There is no other slot.
    NoOtherSlot,
    /// The other slot is marked bad.
    OtherMarkedBad,
    /// The other slot is below the floor.
    OtherBelowFloor,
    /// The other slot does not verify.
    OtherDoesNotVerify,
    /// The machine flipped too often without becoming healthy.
    FlipLimit,
}

impl Because {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::DryRun => "dry run",
            Self::BudgetSpent => "done as often as one boot allows",
            Self::NoOtherSlot => "there is no other slot",
            Self::OtherMarkedBad => "the other slot is marked bad",
            Self::OtherBelowFloor => "the other slot is below the floor",
            Self::OtherDoesNotVerify => "the other slot does not verify",
            Self::FlipLimit => "the machine flipped too often without becoming healthy",
        }
    }

    /// Whether waiting changes nothing in this boot.
    pub(super) fn is_lasting(self) -> bool {
        self != Self::DryRun
    }
}
