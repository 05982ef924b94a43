//! Which machine is explored: its decisions, and what may happen to it.

use super::state::{Note, State};
use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_formats::names::{ImageVersion, UkiFileName};
use bennu_policy::boot::{
    self, BootAction, Entry, FailureFacts, Floor, PanicNote, StartDecision, StartFacts,
};

type OnDrift = fn(&mut BootRecord, &ImageVersion, &str, &[Entry]) -> Option<Failure>;
type OnUnhealthy = fn(&mut BootRecord, &ImageVersion, &str, u32, &[Entry]) -> (Failure, BootAction);

/// The decisions; [`SHIPPED`] except in tests of the checker itself.
#[derive(Clone, Copy)]
pub struct Rules {
    pub on_start: fn(&mut BootRecord, &StartFacts<'_>) -> StartDecision,
    pub is_below: fn(Floor) -> bool,
    pub on_panic: fn(&mut BootRecord, &PanicNote),
    pub on_failure: fn(&mut BootRecord, &Failure, &FailureFacts<'_>) -> BootAction,
    pub on_blind_failure: fn(u8) -> BootAction,
    pub entry_after_failure: fn(&BootRecord, BootAction, &ImageVersion, &UkiFileName, u32) -> UkiFileName,
    pub on_healthy: fn(&mut BootRecord, &ImageVersion),
    pub on_unhealthy: OnUnhealthy,
    pub on_drift: OnDrift,
    pub armed: fn(&UkiFileName, u32) -> UkiFileName,
    /// Whether the note is removed after the record was written.
    pub record_before_note: bool,
    /// Whether bootfallback ever stops.
    pub loader_is_bounded: bool,
    /// Whether bootfallback counts power-ons.
    pub power_ons_are_counted: bool,
    /// What its count is when it has stopped for it.
    pub count_at_a_stop: u8,
}

/// Power-ons in a row that bootfallback allows without a count of bennu-init's (`MAX_POWER_ONS`).
pub const POWER_ONS: u8 = 8;

/// What the agents call.
pub const SHIPPED: Rules = Rules {
    on_start: boot::on_start,
    is_below: Floor::is_above,
    on_panic: boot::on_panic,
    on_failure: boot::on_failure,
    on_blind_failure: |restarts| boot::on_failure_without_record(Code::BootDisk, restarts),
    entry_after_failure: boot::entry_after_failure,
    on_healthy: boot::on_healthy,
    on_unhealthy: boot::on_unhealthy,
    on_drift: boot::on_drift,
    armed: UkiFileName::armed,
    record_before_note: true,
    loader_is_bounded: true,
    power_ons_are_counted: true,
    count_at_a_stop: POWER_ONS - 1,
};

/// What a start of a slot may run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The firmware refuses the UKI.
    Refused,
    /// The kernel panics before bennu-init has found the ESP.
    DiesEarly,
    /// bennu-init fails before it has found the ESP.
    BeforeEsp,
    /// A step of bennu-init fails with this code.
    Fails(Code),
    /// The kernel panics, in the initrd or later.
    Panics(Note),
    /// The machine restarts and leaves no trace: a watchdog, a panic without persistent storage.
    Silent,
    /// The health checks do not pass.
    Unhealthy,
    /// The running system drifts from what was verified, and bennud is asked to take the other slot.
    Drifts,
}

/// What somebody with the disk or the firmware's variables does while the machine is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// The boot record is deleted, damaged or emptied.
    ResetRecord,
    /// A note of a verity panic is forged.
    ForgeNote,
    /// All entries get their tries back.
    ArmEntries,
    /// bootfallback's count is at its end.
    FillStarts,
}

/// Which machine is explored.
#[derive(Clone, Copy)]
pub struct World {
    pub rules: Rules,
    /// What each slot's starts may run into; they may go well each time, too.
    pub faults: [&'static [Fault]; 2],
    /// Which slots are below the floor.
    pub below_floor: [bool; 2],
    /// The newer slot writes a state that the older one cannot read.
    pub newer_raises_state: bool,
    /// Power cuts between two healthy starts; `None`: any number.
    pub cuts: Option<u8>,
    /// Whether any write to the ESP may fail.
    pub esp_fails: bool,
    pub attacks: &'static [Attack],
    /// Whether bootfallback's count of power-ons is part of the machine. It makes nine times as many states of those
    /// before the ESP, so it is left out where no kernel dies early and nobody sets it.
    pub with_count: bool,
}

/// Whose doing a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The machine's own, without a restart.
    Itself,
    /// The machine restarts by itself.
    Restart,
    /// A write to the ESP fails.
    Medium,
    /// A power cut.
    Cut,
    /// An attacker.
    Attacker,
    /// Somebody switches a machine that has stopped, or runs well, off and on.
    Person,
}

pub type Steps = Vec<(By, State)>;
