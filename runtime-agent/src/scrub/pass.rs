//! One pass over one slot, from where the last one stopped.

use super::Scrubber;
use super::pace::{Pace, Taken};
use super::report::{BadKind, Pass};
use crate::slots::{Slot, Which};
use bennu_linux::kmsg::Level;
use bennu_linux::time;
use bennu_verity::ReadAt;
use bennu_verity::scrub::{Checked, Scrub};
use std::time::Duration;

/// How often the report is written while nothing is found.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Bad blocks that are told one by one in a pass.
const MOST_TOLD: u64 = 16;

/// What a pass needs of the world.
pub trait Outside {
    /// Lets time pass.
    fn rest(&mut self, time: Duration);
    /// Tells people.
    fn say(&mut self, level: Level, words: &str);
    /// Keeps the report for a later `bennud`.
    fn save(&mut self);
}

/// Reads one slot.
pub struct Reader<'a, D: ?Sized, H: ?Sized> {
    /// What is known.
    pub scrubber: &'a Scrubber,
    /// The slot.
    pub slot: &'a Slot,
    /// Its root.
    pub data: &'a D,
    /// Its hash tree with the superblock.
    pub hash: &'a H,
    /// At most.
    pub pace: Pace,
}

/// What a pass counts.
struct Counts {
    began: Duration,
    bytes: u64,
    told: u64,
    saved: Duration,
}

impl<D: ReadAt + ?Sized, H: ReadAt + ?Sized> Reader<'_, D, H> {
    /// Reads what is left of the slot, or all of it where nothing is.
    pub fn pass(&self, outside: &mut impl Outside) {
        let root_hash = &self.slot.manifest.verity.root_hash;
        let mut counts = Counts {
            began: time::monotonic(),
            bytes: 0,
            told: 0,
            saved: time::monotonic(),
        };
        self.begin();
        let mut writes = self.scrubber.writes();
        let mut scrub = self.scrub();
        loop {
            let next = self
                .scrubber
                .slot(root_hash, |slot| (slot.next_group, slot.groups));
            let Some((group, _)) = next.filter(|(next, groups)| next < groups) else {
                break;
            };
            let (before, processor) = (time::monotonic(), time::of_thread());
            let checked = {
                let _alone = self.scrubber.hold_disk();
                // What was held in memory before a repair wrote is old.
                if self.scrubber.writes() != writes {
                    writes = self.scrubber.writes();
                    scrub.forget();
                }
                scrub.group(group)
            };
            self.note(group, &checked, &mut counts, outside);
            outside.rest(self.pace.rest(Taken {
                bytes: checked.bytes,
                time: time::monotonic().saturating_sub(before),
                processor: time::of_thread().saturating_sub(processor),
            }));
        }
        self.end(&counts, outside);
    }

    fn scrub(&self) -> Scrub<'_, D, H> {
        let slot = self.slot;
        Scrub::new(self.data, self.hash, &slot.params, slot.root_hash())
    }

    /// A whole pass is begun anew; one that was cut short goes on. What was bad is looked at again first.
    fn begin(&self) {
        let root_hash = &self.slot.manifest.verity.root_hash;
        let known = self.scrubber.slot(root_hash, |slot| {
            if slot.next_group >= slot.groups {
                slot.next_group = 0;
                slot.unjudged = 0;
                slot.more_bad = 0;
            }
            slot.bad.clone()
        });
        let mut scrub = self.scrub();
        let _alone = self.scrubber.hold_disk();
        let still: Vec<_> = known
            .unwrap_or_default()
            .into_iter()
            .filter(|bad| scrub.is_bad(bad.finding().place))
            .collect();
        let any = !still.is_empty();
        self.scrubber.slot(root_hash, |slot| {
            slot.unrepairable &= any;
            slot.bad = still;
        });
        if any {
            self.scrubber.tell(root_hash);
        }
    }

    fn note(&self, group: u64, checked: &Checked, counts: &mut Counts, outside: &mut impl Outside) {
        let root_hash = &self.slot.manifest.verity.root_hash;
        counts.bytes = counts.bytes.saturating_add(checked.bytes);
        let words = self.scrubber.slot(root_hash, |slot| {
            slot.next_group = group + 1;
            slot.unjudged = slot.unjudged.saturating_add(checked.unjudged);
            let new: Vec<String> = checked
                .findings
                .iter()
                .filter_map(|finding| slot.add(self.slot, finding))
                .collect();
            let wrong = slot.bad.iter().filter(|bad| bad.kind == BadKind::Wrong).count();
            (new, wrong)
        });
        let (words, wrong) = words.unwrap_or_default();
        // What the machine runs on is told with its first block, and with all of them in the end.
        if !words.is_empty() && wrong > 0 && wrong <= words.len() && self.slot.which == Which::Running {
            self.scrubber.tell(root_hash);
        }
        let now = time::monotonic();
        let found = !words.is_empty();
        for words in words {
            counts.told += 1;
            if counts.told <= MOST_TOLD {
                outside.say(Level::Warning, &format!("scrub: {words}"));
            }
        }
        if found || now.saturating_sub(counts.saved) >= SAVE_EVERY {
            counts.saved = now;
            outside.save();
        }
    }

    fn end(&self, counts: &Counts, outside: &mut impl Outside) {
        let root_hash = &self.slot.manifest.verity.root_hash;
        let took = time::monotonic().saturating_sub(counts.began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bad = self.scrubber.slot(root_hash, |slot| {
            slot.passes = slot.passes.saturating_add(1);
            slot.last_pass = Some(Pass {
                ended_ms: time::since_boot_ms(),
                took_ms,
                bytes: counts.bytes,
            });
            slot.bad.len() as u64 + slot.more_bad
        });
        self.scrubber.tell(root_hash);
        let words = format!(
            "scrub: slot {} ({}): {} blocks of 4096 bytes read in {took_ms} ms, {} bad",
            self.slot.manifest.version,
            self.slot.which.words(),
            counts.bytes / 4096,
            bad.unwrap_or(0),
        );
        outside.say(Level::Notice, &words);
        outside.save();
    }
}
