//! Planted damage: what the scrub names, what is mended from where, and what a cut in the middle leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests

mod planted;

use bennu_verity::BLOCK_BYTES;
use bennu_verity::mend::{BlockSource, Left, Origin, mend};
use bennu_verity::scrub::{Digest, Fault, Finding, Place, groups};
use planted::{BLOCKS, Slot, Writer, other, slot, slot_of};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn data(block: u64) -> Place {
    Place::Data { block }
}

fn leaf(index: u64) -> Place {
    Place::Tree { level: 0, index }
}

fn wrong(place: Place) -> Finding {
    Finding {
        place,
        fault: Fault::Wrong,
    }
}

#[test]
fn a_sound_device_has_nothing_to_find_and_is_read_once() {
    let slot = slot();
    let mut scrub = slot.scrub();
    let found: Vec<_> = (0..groups(&slot.params))
        .map(|group| scrub.group(group))
        .collect();
    assert!(
        found
            .iter()
            .all(|checked| checked.findings.is_empty() && checked.unjudged == 0)
    );
    let bytes: u64 = found.iter().map(|checked| checked.bytes).sum();
    assert_eq!(bytes, (BLOCKS + 4) * 4096);
    assert_eq!(scrub.group(3), Default::default(), "there is no such group");
}

#[test]
fn each_bad_block_is_named_once_with_its_fault() {
    let slot = slot();
    slot.data.flip(7, 100);
    slot.data.flip(299, 0);
    slot.data.unreadable.lock().unwrap().insert(130);
    let (findings, unjudged) = slot.all();
    let unreadable = Finding {
        place: data(130),
        fault: Fault::Unreadable(Some(5)),
    };
    assert_eq!(findings, [wrong(data(7)), unreadable, wrong(data(299))]);
    assert_eq!(unjudged, 0);
    assert_eq!(data(7).offset(&slot.params), 7 * 4096);
}

#[test]
fn below_a_bad_tree_block_nothing_is_judged() {
    let slot = slot();
    slot.hash.flip(slot.tree(0, 1), 40);
    slot.data.flip(130, 0);
    slot.data.flip(5, 0);
    assert_eq!(slot.all(), (vec![wrong(data(5)), wrong(leaf(1))], 128));
    slot.hash.flip(slot.tree(1, 0), 0);
    let top = Place::Tree { level: 1, index: 0 };
    assert_eq!(slot.all(), (vec![wrong(top)], BLOCKS));
}

#[test]
fn a_block_that_is_wrong_once_and_not_again_is_not_named() {
    let slot = slot();
    slot.data.lies_once.lock().unwrap().insert(0);
    slot.hash.lies_once.lock().unwrap().insert(slot.tree(0, 0));
    assert_eq!(slot.all(), (vec![], 0));
    assert!(slot.data.lies_once.lock().unwrap().is_empty(), "control: it lied");
}

#[test]
fn a_device_of_one_block_is_judged_by_the_root_hash_itself() {
    let slot = slot_of(0..1, b"");
    assert_eq!(slot.all(), (vec![], 0));
    slot.data.flip(0, 9);
    assert_eq!(slot.all(), (vec![wrong(data(0))], 0));
}

#[test]
fn a_data_block_comes_back_from_another_slot_that_has_its_content_elsewhere() {
    let (slot, other) = (slot(), other());
    slot.data.flip(7, 100);
    slot.data.unreadable.lock().unwrap().insert(130);
    let mut source = other.source(&slot).unwrap();
    let (outcome, written) = slot.mend(&mut [&mut source], 9);
    let from = Origin::Source("other".into());
    let mut mended = outcome.mended;
    mended.sort_by_key(|(place, _)| *place);
    assert_eq!(mended, [(data(7), from.clone()), (data(130), from)]);
    assert_eq!(outcome.left, []);
    assert_eq!(written.len(), 2);
    assert!(slot.is_sound());
}

#[test]
fn a_bad_block_below_a_good_leaf_of_a_bad_top_is_mended_in_the_same_pass() {
    let (slot, other) = (slot(), other());
    slot.hash.flip(slot.tree(1, 0), 2048);
    slot.data.flip(0, 0);
    let mut source = other.source(&slot).unwrap();
    let (outcome, _) = slot.mend(&mut [&mut source], 9);
    let places: Vec<Place> = outcome.mended.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [Place::Tree { level: 1, index: 0 }, data(0)]);
    assert!(slot.is_sound());
}

#[test]
fn a_tree_block_is_recomputed_from_what_it_covers() {
    let slot = slot();
    for (level, index) in [(0, 0), (0, 2), (1, 0)] {
        slot.hash.flip(slot.tree(level, index), 3);
    }
    let (outcome, _) = slot.mend(&mut [], 9);
    let places: Vec<Place> = outcome.mended.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [Place::Tree { level: 1, index: 0 }, leaf(0), leaf(2)]);
    assert!(
        outcome
            .mended
            .iter()
            .all(|(_, origin)| *origin == Origin::Children)
    );
    assert_eq!(outcome.left, []);
    assert!(slot.is_sound());
}

#[test]
fn a_leaf_and_a_data_block_below_it_are_both_mended() {
    let (slot, other) = (slot(), other());
    slot.hash.flip(slot.tree(0, 1), 32 * 9);
    slot.data.flip(128 + 50, 0);
    slot.data.unreadable.lock().unwrap().insert(128 + 60);
    assert_eq!(slot.all().0, [wrong(leaf(1))]);
    let mut source = other.source(&slot).unwrap();
    let (outcome, _) = slot.mend(&mut [&mut source], 9);
    assert_eq!(outcome.left, []);
    assert_eq!(outcome.mended.len(), 3);
    assert!(slot.is_sound());
}

#[test]
fn without_a_source_nothing_is_written_and_each_block_is_named() {
    let slot = slot();
    slot.data.flip(7, 0);
    slot.data.flip(8, 0);
    let before = slot.data.whole();
    // Another release without these blocks.
    let other = slot_of(1000..1200, b"salt");
    let mut source = other.source(&slot).unwrap();
    let (outcome, written) = slot.mend(&mut [&mut source], 9);
    let mut left = outcome.left;
    left.sort_by_key(|(place, _)| *place);
    assert_eq!(left, [(data(7), Left::NoSource), (data(8), Left::NoSource)]);
    assert_eq!((outcome.mended, written), (vec![], vec![]));
    assert_eq!(slot.data.whole(), before);
}

#[test]
fn below_a_tree_block_that_cannot_be_mended_nothing_is_touched() {
    let slot = slot();
    slot.hash.unreadable.lock().unwrap().insert(slot.tree(0, 1));
    slot.data.flip(128 + 50, 0);
    let findings = [wrong(leaf(1)), wrong(data(178))];
    let mut writer = Writer {
        slot: &slot,
        cut_after: 9,
        written: vec![],
    };
    let outcome = mend(&mut slot.scrub(), &findings, &mut [], &mut writer, &mut || {});
    assert_eq!(
        outcome.left,
        [(leaf(1), Left::NoSource), (data(178), Left::BelowBad)]
    );
    assert_eq!(writer.written, []);
}

#[test]
fn a_slot_with_another_salt_is_no_source() {
    let (slot, salted) = (slot(), slot_of(0..BLOCKS, b"pepper"));
    assert!(other().source(&slot).is_some(), "control");
    assert!(salted.source(&slot).is_none());
}

/// Gives whatever it is asked for, wrong.
struct Liar;

impl BlockSource for Liar {
    fn name(&self) -> String {
        "liar".into()
    }

    fn find(&mut self, wanted: &BTreeSet<Digest>, _: &mut dyn FnMut()) -> BTreeMap<Digest, Vec<u8>> {
        let blocks = [vec![], vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES + 1]];
        wanted.iter().copied().zip(blocks.into_iter().cycle()).collect()
    }
}

#[test]
fn what_a_source_gives_is_not_believed() {
    let (slot, other) = (slot(), other());
    (7..10).for_each(|block| slot.data.flip(block, 0));
    let (outcome, written) = slot.mend(&mut [&mut Liar], 9);
    assert_eq!((outcome.left.len(), written), (3, vec![]));
    // The next source is still asked.
    let mut good = other.source(&slot).unwrap();
    let (outcome, _) = slot.mend(&mut [&mut Liar, &mut good], 9);
    assert_eq!(outcome.mended.len(), 3);
    assert!(slot.is_sound());
}

#[test]
fn a_finding_that_is_good_by_now_and_one_that_does_not_exist_are_not_written() {
    let slot = slot();
    let findings = [data(3), leaf(0), data(BLOCKS), leaf(3)].map(wrong);
    let mut writer = Writer {
        slot: &slot,
        cut_after: 9,
        written: vec![],
    };
    let outcome = mend(&mut slot.scrub(), &findings, &mut [], &mut writer, &mut || {});
    assert_eq!(writer.written, []);
    assert_eq!(outcome.mended, []);
    assert_eq!(
        outcome.left,
        [(leaf(3), Left::BelowBad), (data(BLOCKS), Left::BelowBad)]
    );
}

/// Damage: which blocks of data and of the tree (block numbers on their device), at which byte.
fn damage() -> impl Strategy<Value = (BTreeMap<u64, usize>, BTreeMap<u64, usize>)> {
    let data = proptest::collection::btree_map(0..BLOCKS, 0..BLOCK_BYTES, 0..6);
    let tree = proptest::collection::btree_map(1..5_u64, prop_oneof![0..96_usize, 0..BLOCK_BYTES], 0..5);
    (data, tree)
}

fn plant(slot: &Slot, (data, tree): &(BTreeMap<u64, usize>, BTreeMap<u64, usize>)) {
    data.iter()
        .for_each(|(block, byte)| slot.data.flip(*block, *byte));
    tree.iter()
        .for_each(|(block, byte)| slot.hash.flip(*block, *byte));
}

/// Blocks of a device that are not as they were.
fn differing(now: &[u8], sound: &[u8]) -> BTreeSet<u64> {
    let blocks = now.chunks(4096).zip(sound.chunks(4096)).zip(0..);
    blocks
        .filter(|((a, b), _)| a != b)
        .map(|(_, index)| index)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With everything at hand a device is as it was; wherever the power goes, no block is bad that was good.
    #[test]
    fn mending_makes_whole_and_a_cut_makes_nothing_worse(damage in damage(), cut in 0..10_usize) {
        let (slot, other) = (slot(), other());
        plant(&slot, &damage);
        let mut source = other.source(&slot).unwrap();
        let (_, written) = slot.mend(&mut [&mut source], cut);
        let bad = (differing(&slot.data.whole(), &slot.sound.0), differing(&slot.hash.whole(), &slot.sound.1));
        prop_assert!(bad.0.iter().all(|block| damage.0.contains_key(block)));
        prop_assert!(bad.1.iter().all(|block| damage.1.contains_key(block)));
        for place in written {
            let block = place.offset(&slot.params) / 4096;
            let planted = match place {
                Place::Data { .. } => &damage.0,
                Place::Tree { .. } => &damage.1,
            };
            prop_assert!(planted.contains_key(&block), "a good block was written: {place:?}");
        }
        // The power is back.
        let mut source = other.source(&slot).unwrap();
        let (outcome, _) = slot.mend(&mut [&mut source], 99);
        prop_assert_eq!(outcome.left.is_empty(), slot.is_sound());
        // Only where a digest, the block that it is of and what makes that block are bad all three, nobody knows it.
        if damage.0.is_empty() || damage.1.is_empty() {
            prop_assert!(slot.is_sound());
        }
    }

    /// From any group on everything that lies there is found, and nothing that is sound.
    #[test]
    fn a_pass_from_the_middle_finds_what_lies_from_there(blocks in proptest::collection::btree_set(0..BLOCKS, 0..6), from in 0..3_u64) {
        let slot = slot();
        blocks.iter().for_each(|block| slot.data.flip(*block, 1));
        let mut scrub = slot.scrub();
        let found: Vec<Finding> = (from..3).flat_map(|group| scrub.group(group).findings).collect();
        let expected: Vec<Finding> = blocks.iter().filter(|block| **block >= from * 128).map(|block| wrong(data(*block))).collect();
        prop_assert_eq!(found, expected);
    }
}
