//! What can be seen, by whom, and what it says.

use super::Action;

/// A mechanism that measures. Two signals are independent when they come from different sources: no single
/// mechanism that lies or fails gives both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The hooks of the execution gate.
    Gate,
    /// The kernel's measurement log, as it stands.
    Ima,
    /// The TPM: PCRs, counters. A log that does not replay belongs here: a TPM that was reset gives that, too.
    Tpm,
    /// The boot disk: dm-verity of both slots, ESP, partition table. A failing medium gives all of them.
    Disk,
    /// EFI variables.
    Firmware,
    /// The kernel's lists of modules, mounts and BPF objects.
    Kernel,
    /// Comparison of clocks.
    Clock,
    /// Counters of lost events.
    Stream,
    /// The watchdog over `bennud`.
    Agent,
    /// The chain of the record log.
    Records,
}

impl Source {
    /// Its name; stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Ima => "ima",
            Self::Tpm => "tpm",
            Self::Disk => "disk",
            Self::Firmware => "firmware",
            Self::Kernel => "kernel",
            Self::Clock => "clock",
            Self::Stream => "stream",
            Self::Agent => "agent",
            Self::Records => "records",
        }
    }
}

/// What a signal says of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// An innocent cause is known.
    Weak,
    /// On a sound machine it does not come.
    Strong,
}

impl Weight {
    /// Its name; stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Strong => "strong",
        }
    }
}

/// Everything about one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name; stable, for logs and certificates.
    pub name: &'static str,
    /// Who measures it.
    pub source: Source,
    /// What it says.
    pub weight: Weight,
    /// What is done each time that it comes, whatever else was seen.
    pub actions: &'static [Action],
    /// An innocent cause, or what a strong one means.
    pub meaning: &'static str,
}

macro_rules! signals {
    ($($name:ident = $text:literal $source:ident $weight:ident [$($action:ident)*] $meaning:literal;)*) => {
        /// A sign that the running system is not what was verified.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Signal { $(#[doc = $meaning] $name,)* }

        impl Signal {
            /// Every signal.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// By the name in its [row](Self::row).
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|signal| signal.row().name == name)
            }

            /// Its row of the table.
            pub fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        name: $text,
                        source: Source::$source,
                        weight: Weight::$weight,
                        actions: &[Action::Record, $(Action::$action,)*],
                        meaning: $meaning,
                    },)*
                }
            }
        }
    };
}

signals! {
    GateDenial = "gate-denial" Gate Weak [Alert]
        "a program was not allowed to execute: also a script that tries what a Debian system allows";
    GateTampering = "gate-tampering" Gate Strong [Alert Kill]
        "somebody tried to change the gate, its maps, a protected program's memory or a slot's partition";
    ImaDigestUnknown = "ima-digest-unknown" Ima Strong [Alert Kill]
        "something was executed that the golden-file index does not have";
    ImaViolation = "ima-violation" Ima Weak []
        "a file was written while it was measured: also an editor on a file that is read";
    ImaLogMismatch = "ima-log-mismatch" Tpm Strong [Alert]
        "the measurement log does not give the TPM's PCR 10";
    PcrChanged = "pcr-changed" Tpm Strong [Alert]
        "a PCR that nothing extends after the boot has another value";
    TpmReset = "tpm-reset" Tpm Strong [Alert]
        "the TPM's reset count rose without a restart of the machine";
    TpmRestarted = "tpm-restarted" Tpm Weak [Alert]
        "the TPM's restart count rose: also after the machine slept";
    TpmSilent = "tpm-silent" Tpm Weak [Alert]
        "the TPM does not answer: also one that is busy";
    VerityCorruptActive = "verity-corrupt-active" Disk Strong [Alert FailSafe]
        "a block of the running root does not match its hash tree";
    ActiveUnreadable = "active-unreadable" Disk Weak [Alert]
        "a block of the running root cannot be read: a medium that fails";
    VerityCorruptInactive = "verity-corrupt-inactive" Disk Weak [Alert RepairInactiveSlot]
        "a block of the other slot does not match or cannot be read: also a medium that ages";
    EspChanged = "esp-changed" Disk Weak []
        "a file of the ESP changed that we did not change: also the firmware's own capsule or log";
    GptChanged = "gpt-changed" Disk Weak [Alert]
        "the partition table changed: also a tool that moves the backup to the disk's end";
    EfiVariableChanged = "efi-variable-changed" Firmware Weak []
        "a variable of the boot changed: also by the firmware's setup or a dbx update";
    ModuleUnknown = "module-unknown" Kernel Strong [Alert]
        "the kernel has a module that the image does not have";
    MountChanged = "mount-changed" Kernel Weak []
        "something is mounted over a verified path: also a service's own name space";
    BpfObjectChanged = "bpf-object-changed" Kernel Strong [Alert FailSafe]
        "a program, map or link of the gate is gone or another one";
    ClockJumped = "clock-jumped" Clock Weak []
        "the wall clock moved against the clock since the start: also the first answer of a time server";
    EventsLost = "events-lost" Stream Weak [Alert]
        "events were lost: also under load";
    AgentHung = "agent-hung" Agent Weak [Alert FailSafe]
        "bennud did not answer its watchdog: also on a machine that is out of memory";
    AgentKilled = "agent-killed" Agent Weak [Alert]
        "bennud was ended by a signal: also by the kernel when memory is short";
    LogBroken = "log-broken" Records Strong [Alert]
        "a line of the record log, the trace or bennud's memory of this start is not there as it was written";
}
