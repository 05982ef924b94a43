//! Passes over a slot in memory: what is found, told, remembered, and where a pass goes on.

use super::report::{BadKind, MOST_BAD};
use super::*;
use crate::slots::{Place, Slot, Slots};
use bennu_formats::decode::Document as _;
use bennu_formats::manifest::SlotManifest;
use bennu_verity::scrub::{Fault, Finding};
use bennu_verity::{BLOCK_BYTES, ReadAt, Salt, VerityParams, build};
use proptest::prelude::*;
use std::io::{self, Cursor};
use std::num::NonZeroUsize;

/// Three groups.
const BLOCKS: usize = 300;

struct Disk {
    data: Mutex<Vec<u8>>,
    hash: Vec<u8>,
    slot: Slot,
    unreadable: Option<u64>,
}

struct Data<'a>(&'a Disk);

impl ReadAt for Data<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        let bad = self.0.unreadable.map(|block| block * 4096);
        if bad.is_some_and(|bad| (offset..end).contains(&bad)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.data.lock().unwrap().read_exact_at(buf, offset)
    }
}

fn place(number: u32, bytes: usize) -> Place {
    Place {
        number,
        start: 0,
        bytes: bytes as u64,
    }
}

fn disk(which: Which) -> Disk {
    let mut data = vec![0; BLOCKS * BLOCK_BYTES];
    for (index, block) in data.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        block[..8].copy_from_slice(&(index as u64).to_le_bytes());
    }
    let params = VerityParams::new(BLOCKS as u64, Salt::new([7; 32]).unwrap(), [0; 16]).unwrap();
    let mut hash = Cursor::new(Vec::new());
    let root_hash = build(&data, &params, &mut hash, &mut |_| {}, NonZeroUsize::MIN).unwrap();
    let golden = include_bytes!("../../../crates/formats/tests/golden/slot-manifest.json");
    let mut manifest = SlotManifest::decode(golden).unwrap();
    manifest.version = "2".parse().unwrap();
    manifest.verity.root_hash = root_hash.to_string().parse().unwrap();
    let hash = hash.into_inner();
    let slot = Slot {
        which,
        manifest,
        params,
        root: place(2, data.len()),
        tree: place(3, hash.len()),
    };
    Disk {
        data: Mutex::new(data),
        hash,
        slot,
        unreadable: None,
    }
}

impl Disk {
    fn flip(&self, block: usize) {
        self.data.lock().unwrap()[block * BLOCK_BYTES + 9] ^= 1;
    }

    fn root_hash(&self) -> &RootHash {
        &self.slot.manifest.verity.root_hash
    }

    fn scrubber(&self, report: ScrubReport) -> Scrubber {
        let scrubber = Scrubber::default();
        scrubber.with(|state| state.report = Some(report));
        self.enter(&scrubber);
        scrubber
    }

    fn enter(&self, scrubber: &Scrubber) {
        let slots = Slots {
            verified: vec![self.slot.clone()],
            unjudged: vec![],
        };
        scrubber.with(|state| state.enter(&slots));
    }

    fn pass(&self, scrubber: &Scrubber, outside: &mut World) {
        let data = Data(self);
        let reader = Reader {
            scrubber,
            slot: &self.slot,
            data: &data,
            hash: &self.hash,
            pace: Pace {
                mib_per_s: 1,
                processor_permille: 1000,
            },
        };
        reader.pass(outside);
    }

    fn report(&self, scrubber: &Scrubber) -> report::SlotReport {
        scrubber.slot(self.root_hash(), |slot| slot.clone()).unwrap()
    }
}

#[derive(Default)]
struct World {
    rested: Duration,
    rests: u32,
    said: Vec<String>,
    saved: u32,
}

impl Outside for World {
    fn rest(&mut self, time: Duration) {
        self.rested += time;
        self.rests += 1;
    }

    fn say(&mut self, _: Level, words: &str) {
        self.said.push(words.to_owned());
    }

    fn save(&mut self) {
        self.saved += 1;
    }
}

fn details(scrubber: &Scrubber) -> Vec<(Signal, String)> {
    let seen = scrubber.sightings();
    seen.into_iter().map(|seen| (seen.signal, seen.detail)).collect()
}

#[test]
fn a_sound_slot_is_read_once_at_the_pace_and_nothing_is_told() {
    let disk = disk(Which::Other);
    let scrubber = disk.scrubber(ScrubReport::new(1));
    let mut world = World::default();
    disk.pass(&scrubber, &mut world);
    let report = disk.report(&scrubber);
    let bytes = (BLOCKS as u64 + 4) * 4096;
    assert_eq!(report.last_pass.unwrap().bytes, bytes);
    assert_eq!((report.passes, report.next_group, report.groups), (1, 3, 3));
    assert_eq!(details(&scrubber), []);
    assert_eq!(world.rests, 3);
    // 1.2 MiB at 1 MiB/s, less what reading took.
    let due = Duration::from_millis((bytes * 1000) >> 20);
    assert!(
        world.rested <= due && world.rested > due / 2,
        "{:?}",
        world.rested
    );
    assert!(world.said[0].starts_with("scrub: slot 2 (does not run): 304 blocks of 4096 bytes read in "));
    assert!(world.said[0].ends_with(" ms, 0 bad"), "{:?}", world.said);
}

#[test]
fn bad_blocks_of_the_other_slot_are_one_signal_with_place_and_fault() {
    let mut disk = disk(Which::Other);
    disk.unreadable = Some(200);
    disk.flip(7);
    disk.flip(299);
    let scrubber = disk.scrubber(ScrubReport::new(1));
    let mut world = World::default();
    disk.pass(&scrubber, &mut world);
    let of = |words: &str| format!("scrub: slot 2 (does not run): {words}");
    assert_eq!(
        world.said[..3],
        [
            of("root block 7 (byte 28672 of partition 2): wrong bytes"),
            of("root block 200 (byte 819200 of partition 2): cannot be read (EIO)"),
            of("root block 299 (byte 1224704 of partition 2): wrong bytes"),
        ]
    );
    let words = "slot 2 (does not run): root block 7 (byte 28672 of partition 2): wrong bytes; 2 more";
    assert_eq!(
        details(&scrubber),
        [(Signal::VerityCorruptInactive, words.to_owned())]
    );
    let kinds: Vec<BadKind> = disk.report(&scrubber).bad.iter().map(|bad| bad.kind).collect();
    assert_eq!(kinds, [BadKind::Wrong, BadKind::Unreadable, BadKind::Wrong]);
    // The same again is no news.
    let mut again = World::default();
    disk.pass(&scrubber, &mut again);
    assert_eq!(again.said.len(), 1, "{:?}", again.said);
    assert_eq!(
        details(&scrubber),
        [(Signal::VerityCorruptInactive, words.to_owned())]
    );
    // Good again: nothing is told any more.
    disk.unreadable = None;
    disk.flip(7);
    disk.flip(299);
    disk.pass(&scrubber, &mut World::default());
    assert_eq!((details(&scrubber), disk.report(&scrubber).bad), (vec![], vec![]));
}

#[test]
fn of_the_running_slot_wrong_bytes_are_strong_and_unreadable_ones_are_a_signal_of_their_own() {
    let mut disk = disk(Which::Running);
    disk.unreadable = Some(200);
    let scrubber = disk.scrubber(ScrubReport::new(1));
    disk.pass(&scrubber, &mut World::default());
    let signals = |scrubber: &Scrubber| {
        details(scrubber)
            .into_iter()
            .map(|(signal, _)| signal)
            .collect::<Vec<_>>()
    };
    assert_eq!(signals(&scrubber), [Signal::ActiveUnreadable]);
    disk.flip(7);
    disk.pass(&scrubber, &mut World::default());
    assert_eq!(
        signals(&scrubber),
        [Signal::VerityCorruptActive, Signal::ActiveUnreadable]
    );
}

#[test]
fn a_pass_goes_on_where_the_last_bennud_was_and_looks_at_bad_blocks_again() {
    let disk = disk(Which::Other);
    [7, 20, 299].into_iter().for_each(|block| disk.flip(block));
    let scrubber = disk.scrubber(ScrubReport::new(1));
    disk.pass(&scrubber, &mut World::default());
    let mut report = scrubber.with(|state| state.report.clone()).unwrap();
    // Killed after the first group; one block was mended meanwhile.
    report.slots[0].next_group = 1;
    report.slots[0].bad.pop();
    disk.flip(7);
    let bytes = serde_json::to_vec(&report).unwrap();
    let later = disk.scrubber(ScrubReport::decode(&bytes).unwrap());
    let mut world = World::default();
    disk.pass(&later, &mut world);
    assert_eq!(world.rests, 2, "two groups are left");
    let bad: Vec<u64> = disk.report(&later).bad.iter().map(|bad| bad.block).collect();
    assert_eq!(bad, [20, 299]);
    assert_eq!(disk.report(&later).passes, 2);
}

#[test]
fn a_report_about_another_slot_or_a_place_that_is_not_there_begins_anew() {
    let disk = disk(Which::Other);
    let fresh = disk.scrubber(ScrubReport::new(1));
    let mut report = fresh.with(|state| state.report.clone()).unwrap();
    report.slots[0].next_group = 4;
    assert_eq!(disk.report(&disk.scrubber(report.clone())).next_group, 0);
    report.slots[0].next_group = 2;
    assert_eq!(
        disk.report(&disk.scrubber(report.clone())).next_group,
        2,
        "control"
    );
    report.slots[0].root_hash = "11".repeat(32).parse().unwrap();
    assert_eq!(disk.report(&disk.scrubber(report)).next_group, 0);
}

#[test]
fn many_bad_blocks_are_counted_and_the_report_stays_readable() {
    let disk = disk(Which::Other);
    (0..BLOCKS).for_each(|block| disk.flip(block));
    let scrubber = disk.scrubber(ScrubReport::new(1));
    let mut world = World::default();
    disk.pass(&scrubber, &mut world);
    let report = disk.report(&scrubber);
    assert_eq!(
        (report.bad.len(), report.more_bad),
        (MOST_BAD, (BLOCKS - MOST_BAD) as u64)
    );
    assert_eq!(world.said.len(), 17, "{:?}", world.said.len());
    let whole = scrubber.with(|state| state.report.clone()).unwrap();
    let bytes = serde_json::to_vec_pretty(&whole).unwrap();
    assert!(bytes.len() < ScrubReport::MAX_BYTES, "{}", bytes.len());
    assert_eq!(ScrubReport::decode(&bytes).unwrap(), whole);
    let mut more = whole;
    let bad = more.slots[0].bad[0].clone();
    more.slots[0].bad.push(bad);
    let refused = ScrubReport::decode(&serde_json::to_vec(&more).unwrap());
    assert!(
        matches!(
            refused,
            Err(bennu_formats::decode::DecodeError::BadValue { member: "slots", .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn a_finding_survives_the_report() {
    let disk = disk(Which::Other);
    let places = [
        bennu_verity::scrub::Place::Data { block: 3 },
        bennu_verity::scrub::Place::Tree { level: 1, index: 0 },
    ];
    for place in places {
        for fault in [Fault::Wrong, Fault::Unreadable(Some(5)), Fault::Unreadable(None)] {
            let finding = Finding { place, fault };
            assert_eq!(report::BadBlock::of(&disk.slot, &finding).finding(), finding);
        }
    }
}

#[test]
fn a_slot_whose_manifest_does_not_verify_is_a_signal_by_whether_it_runs() {
    let scrubber = Scrubber::default();
    let unjudged = |which| crate::slots::Unjudged {
        which,
        words: "manifest in partition 4: no".to_owned(),
    };
    let slots = Slots {
        verified: vec![],
        unjudged: vec![unjudged(Which::Other), unjudged(Which::Running)],
    };
    scrubber.with(|state| state.enter(&slots));
    assert_eq!(
        details(&scrubber),
        [
            (
                Signal::VerityCorruptInactive,
                "a slot that does not run: manifest in partition 4: no".to_owned()
            ),
            (
                Signal::VerityCorruptActive,
                "a slot that runs: manifest in partition 4: no".to_owned()
            ),
        ]
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reports_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..3000_usize) {
        let _ = ScrubReport::decode(&bytes);
        let golden = include_bytes!("../../tests/golden/scrub.json");
        let mut changed = golden.to_vec();
        changed.truncate(cut);
        let _ = ScrubReport::decode(&changed);
        let at = cut % golden.len();
        let mut changed = golden.to_vec();
        changed[at] = bytes.first().copied().unwrap_or(b'9');
        // What decodes is shown without a panic as well.
        if let Ok(report) = ScrubReport::decode(&changed) {
            let _ = words::lines(&report);
            let _: Vec<_> = report.slots.iter().flat_map(words::sightings).collect();
            let _: Vec<_> = report.slots.iter().flat_map(|slot| &slot.bad).map(report::BadBlock::finding).collect();
        }
    }
}

#[test]
fn a_wish_ends_the_rest_and_is_refused_where_nothing_rests() {
    let scrubber = Scrubber::default();
    assert_eq!(scrubber.wish(), Wish::Off, "not started");
    let (resting, hour) = (scrubber.clone(), Duration::from_secs(3600));
    let rest = std::thread::spawn(move || resting.rest(hour));
    while scrubber.wish() == Wish::Off {
        std::thread::yield_now();
    }
    rest.join().unwrap();
    assert_eq!(scrubber.wish(), Wish::Runs);
    // One wish, one round.
    let begun = std::time::Instant::now();
    scrubber.rest(Duration::from_millis(30));
    assert!(begun.elapsed() >= Duration::from_millis(30));
}
