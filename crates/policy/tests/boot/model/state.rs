//! What a machine is between two of its steps: what survives a power cut, and how far the start has got.
//!
//! Words, stages and numbers of starts are left out: they are shown and decide nothing
//! (`what_the_model_leaves_out_decides_nothing`).

use bennu_formats::Code;
use bennu_formats::boot_record::{BootRecord, Failure, SlotRecord};
use bennu_formats::names::{ImageVersion, UkiFileName};
use bennu_policy::boot::{BootAction, Entry, PanicNote};
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

/// Tries that an armed entry has, and starts that a slot may make without becoming healthy.
pub const TRIES: u32 = 3;

/// The older and the newer slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Older,
    Newer,
}

pub const SLOTS: [Slot; 2] = [Slot::Older, Slot::Newer];

impl Slot {
    pub fn other(self) -> Self {
        SLOTS[1 - self as usize]
    }

    pub fn version(self) -> ImageVersion {
        static VERSIONS: LazyLock<[ImageVersion; 2]> =
            LazyLock::new(|| ["1", "2"].map(|v| v.parse().unwrap()));
        VERSIONS[self as usize].clone()
    }

    /// What the slot's release writes, where the two differ.
    pub fn state_schema(self) -> u32 {
        self as u32 + 1
    }

    fn of(version: &ImageVersion) -> Self {
        SLOTS.into_iter().find(|s| s.version() == *version).unwrap()
    }
}

/// One slot of the boot record, codes without words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    pub attempts: u8,
    pub bad: Option<Code>,
    pub last_failure: Option<Code>,
    /// The slot has written down which state it reads.
    pub state_known: bool,
}

/// The boot record without what decides nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    pub slots: [Known; 2],
    pub last: Option<Slot>,
    /// It says that only the newer slot reads the state.
    pub state_raised: bool,
}

impl Record {
    pub fn of(record: &BootRecord) -> Self {
        let known = |slot: Slot| {
            let found = record.slots.get(&slot.version());
            found.map_or_else(Known::default, |found| Known {
                attempts: u8::try_from(found.attempts).unwrap(),
                bad: found.bad.as_ref().map(|f| f.code),
                last_failure: found.last_failure.as_ref().map(|f| f.code),
                state_known: found.state_schema.is_some(),
            })
        };
        Self {
            slots: SLOTS.map(known),
            last: record.last.as_ref().map(Slot::of),
            state_raised: record.state_readable_from == Some(Slot::Newer.state_schema()),
        }
    }

    /// The record that the shipped functions are called with.
    pub fn shipped(&self) -> BootRecord {
        let failure = |code: Option<Code>| {
            code.map(|code| Failure {
                code,
                reason: "words".to_owned(),
            })
        };
        BootRecord {
            slots: SLOTS
                .map(|slot| {
                    let known = self[slot];
                    let record = SlotRecord {
                        attempts: known.attempts.into(),
                        bad: failure(known.bad),
                        last_failure: failure(known.last_failure),
                        state_schema: known.state_known.then(|| slot.state_schema()),
                        ..SlotRecord::default()
                    };
                    (slot.version(), record)
                })
                .into(),
            last: self.last.map(Slot::version),
            state_readable_from: self.state_raised.then(|| Slot::Newer.state_schema()),
            ..BootRecord::default()
        }
    }
}

impl std::ops::Index<Slot> for Record {
    type Output = Known;
    fn index(&self, slot: Slot) -> &Known {
        &self.slots[slot as usize]
    }
}

/// What the kernel left in persistent storage; of several the gravest is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    Other,
    RootIo,
    Verity,
}

impl Note {
    pub fn shipped(self) -> PanicNote {
        let words = "words".to_owned();
        match self {
            Self::Other => PanicNote::Other(words),
            Self::RootIo => PanicNote::RootIo(words),
            Self::Verity => PanicNote::VerityCorruption(words),
        }
    }

    pub fn code(self) -> Code {
        match self {
            Self::Other => Code::SlotPanic,
            Self::RootIo => Code::RootIo,
            Self::Verity => Code::VerityCorrupt,
        }
    }
}

/// A note that is left, and whether it has been put on the record: the model's own memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub note: Note,
    pub on_record: bool,
}

/// What a start that went on said of the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    pub fell_back: Option<Code>,
    pub last_failure: Option<Code>,
}

/// How far the machine has got. Each variant stands after one write and before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Without power, or in the firmware.
    Off,
    /// bootfallback starts systemd-boot for this time.
    Loader(u8),
    /// systemd-boot has counted the try; the firmware is to load the UKI.
    Loaded(Slot, u8),
    /// The kernel runs; bennu-init has not found the ESP yet.
    Initrd(Slot),
    /// The panic is on the record; its note is to be removed.
    PanicOnRecord(Slot),
    /// This start is to be counted; whether a note could not be removed.
    Counting(Slot, bool),
    /// The start is counted and goes on, or ends; bootfallback's count is to be deleted.
    Counted(Slot, Result<Shown, Code>),
    /// The start goes on.
    Went(Slot, Shown),
    /// A step has failed; the record in memory is this.
    Failing(Slot, Code, Record),
    /// The verdict is on the record; this many entries have their new name.
    Verdict(Slot, BootAction, u8),
    /// The record says `pivoted`; the count of blind restarts is to be deleted.
    Pivoting(Slot, Shown),
    /// The root's init runs; bennud checks the health.
    Running(Slot, Shown),
    /// bennud has written to the record that the slot is not healthy.
    Unhealthy(Slot, BootAction, Shown),
    /// The system stays up unhealthy, because no other slot may start.
    StaysUp(Slot, Shown),
    /// The entry is armed again; the record is to be written.
    Marking(Slot, Shown),
    /// Marked good.
    Healthy(Slot),
    /// bennud has written to the record that the system drifted; the entry is to be renamed.
    Drifted(Slot),
    /// The recovery screen.
    Halted,
    /// bootfallback has stopped: no UKI was loaded, or this is a power-on too many.
    Prompt,
}

impl At {
    /// Which variant, its slot, and one member more: for the hash only, so the rest may be left out.
    fn numbers(self) -> (u64, Option<Slot>, u64) {
        match self {
            Self::Off => (0, None, 0),
            Self::Loader(starts) => (1, None, starts.into()),
            Self::Loaded(slot, starts) => (2, Some(slot), starts.into()),
            Self::Initrd(slot) => (3, Some(slot), 0),
            Self::PanicOnRecord(slot) => (4, Some(slot), 0),
            Self::Counting(slot, old_note) => (5, Some(slot), old_note.into()),
            Self::Went(slot, _) => (6, Some(slot), 0),
            Self::Failing(slot, code, _) => (7, Some(slot), code as u64),
            Self::Verdict(slot, _, renamed) => (8, Some(slot), renamed.into()),
            Self::Pivoting(slot, _) => (9, Some(slot), 0),
            Self::Running(slot, _) => (10, Some(slot), 0),
            Self::Unhealthy(slot, _, _) => (11, Some(slot), 0),
            Self::StaysUp(slot, _) => (12, Some(slot), 0),
            Self::Marking(slot, _) => (13, Some(slot), 0),
            Self::Healthy(slot) => (14, Some(slot), 0),
            Self::Halted => (15, None, 0),
            Self::Prompt => (16, None, 0),
            Self::Drifted(slot) => (17, Some(slot), 0),
            Self::Counted(slot, ends) => (18, Some(slot), ends.err().map_or(0, |code| code as u64)),
        }
    }
}

/// The names of each slot's entry: without a counter, then by tries left.
static NAMES: LazyLock<[Vec<UkiFileName>; 2]> = LazyLock::new(|| {
    SLOTS.map(|slot| {
        let counters = (0..=TRIES).map(|left| format!("+{left}-{}", TRIES - left));
        let counters = std::iter::once(String::new()).chain(counters);
        counters
            .map(|counter| format!("demo_{}{counter}.efi", slot.version()).parse().unwrap())
            .collect()
    })
});

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Tries left in the entries' names.
    pub tries: [Option<u8>; 2],
    pub record: Record,
    pub note: Option<Left>,
    /// The state volume is one that only the newer slot reads.
    pub raised: bool,
    /// The EFI variable `BennuBlindRestarts`.
    pub blind: u8,
    /// The EFI variable `BennuStarts`.
    pub starts: u8,
    /// Power cuts that may still come before the next healthy start; `None`: as many as they like.
    pub cuts: Option<u8>,
    pub at: At,
}

/// Most of the state in two words: hashing member by member takes half of the time in a debug build.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let code = |code: Option<Code>| code.map_or(0, |code| code as u64 + 1);
        let (way, slot, extra) = self.at.numbers();
        let mut record = 0;
        for known in &self.record.slots {
            record = record << 14
                | code(known.bad) << 8
                | code(known.last_failure) << 2
                | u64::from(known.attempts);
        }
        let mut rest = way << 8 | extra << 2 | slot.map_or(0, |slot| slot as u64 + 1);
        for tries in self.tries {
            rest = rest << 3 | tries.map_or(7, u64::from);
        }
        rest = rest << 2 | self.record.last.map_or(0, |last| last as u64 + 1);
        rest = rest << 3
            | self
                .note
                .map_or(0, |left| left.note as u64 * 2 + u64::from(left.on_record) + 1);
        hasher.write_u64(record);
        hasher.write_u64(
            rest << 12
                | u64::from(self.starts) << 8
                | u64::from(self.blind) << 3
                | self.cuts.map_or(7, u64::from),
        );
    }
}

impl State {
    /// A freshly flashed machine.
    pub fn flashed(cuts: Option<u8>) -> Self {
        Self {
            tries: [Some(TRIES as u8); 2],
            record: Record::default(),
            note: None,
            raised: false,
            blind: 0,
            starts: 0,
            cuts,
            at: At::Off,
        }
    }

    /// The entry's file name.
    pub fn name(&self, slot: Slot) -> &'static UkiFileName {
        let row = self.tries[slot as usize].map_or(0, |left| usize::from(left) + 1);
        &NAMES[slot as usize][row]
    }

    /// Gives the entry this name, through the text that stands on the ESP.
    pub fn rename(&mut self, slot: Slot, name: &UkiFileName) {
        if name == self.name(slot) {
            return;
        }
        let read: UkiFileName = name.to_string().parse().unwrap();
        assert_eq!(read.version, slot.version());
        self.tries[slot as usize] = read.counter.map(|c| u8::try_from(c.tries_left).unwrap());
    }

    /// The entries as bennu-init and bennud see them, newest first.
    pub fn entries(&self) -> [Entry; 2] {
        [Slot::Newer, Slot::Older].map(|slot| Entry::from(self.name(slot)))
    }

    /// Whether the loader prefers this slot to bad ones and its bennu-init would let it go on.
    pub fn may_start(&self, record: &Record, slot: Slot) -> bool {
        let reads = slot == Slot::Newer || !record.state_raised || !record[slot].state_known;
        self.tries[slot as usize] != Some(0) && record[slot].bad.is_none() && reads
    }

    /// systemd-boot's choice (Boot Loader Specification, "Sorting"): entries without tries left last, among the
    /// rest the newest.
    pub fn preferred(&self) -> Slot {
        let rank = |slot: &Slot| (self.tries[*slot as usize] != Some(0), *slot);
        SLOTS.into_iter().max_by_key(rank).unwrap()
    }
}
