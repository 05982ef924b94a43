//! Directory blocks: as many entries as fit, then their names, in ascending bytewise order.
//!
//! The kernel finds a name by halving, first over blocks, then inside one, so order is not a matter of
//! taste. The first entry's name offset tells the number of entries; names have no terminator, but a
//! block that is not full ends in zeros.

use crate::ondisk::{BLOCK_SIZE, DIRENT_LEN, FileType};
use crate::tree::{Directory, NodeId};

/// What a name in a directory leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Itself,
    Parent,
    Child(NodeId),
}

/// All names of a directory with `.` and `..` in their place.
pub(super) fn entries(directory: &Directory) -> Vec<(&[u8], Target)> {
    let mut all: Vec<(&[u8], Target)> = directory
        .iter()
        .map(|(name, id)| (name, Target::Child(id)))
        .collect();
    for special in [
        (b".".as_slice(), Target::Itself),
        (b"..".as_slice(), Target::Parent),
    ] {
        let place = all.partition_point(|(name, _)| *name < special.0);
        all.insert(place, special);
    }
    all
}

/// Splits entries into blocks; each item is the number of entries and the bytes used.
pub(super) fn blocks(entries: &[(&[u8], Target)]) -> Vec<(usize, usize)> {
    let mut blocks = vec![(0, 0)];
    for (name, _) in entries {
        let needed = DIRENT_LEN + name.len();
        match blocks.last_mut() {
            Some((count, used)) if *used + needed <= BLOCK_SIZE as usize => {
                *count += 1;
                *used += needed;
            }
            _ => blocks.push((1, needed)),
        }
    }
    blocks
}

/// Length of a directory in bytes: whole blocks and what the last one uses.
pub(super) fn size(blocks: &[(usize, usize)]) -> u64 {
    let last = blocks.last().map_or(0, |(_, used)| *used as u64);
    (blocks.len() as u64 - 1) * BLOCK_SIZE + last
}

/// One block without the zeros behind it. `resolve` gives inode number and type.
pub(super) fn encode(entries: &[(&[u8], Target)], resolve: impl Fn(Target) -> (u64, FileType)) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK_SIZE as usize);
    let mut name_offset = entries.len() * DIRENT_LEN;
    for (name, target) in entries {
        let (nid, file_type) = resolve(*target);
        block.extend(nid.to_le_bytes());
        block.extend((name_offset as u16).to_le_bytes());
        block.extend([file_type as u8, 0]);
        name_offset += name.len();
    }
    for (name, _) in entries {
        block.extend_from_slice(name);
    }
    block
}
