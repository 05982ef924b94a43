//! Where everything goes, decided before the first byte is written.

use super::{ImageOptions, WriteError, dirents, xattrs};
use crate::ondisk::{BLOCK_SIZE, INODE_COMPACT_LEN, INODE_EXTENDED_LEN, INODE_SLOT, NO_BLOCK};
use crate::tree::{Kind, Node, NodeId, Timestamp, Tree};

/// Byte offset of the first inode, the root: block 1, so that the checksum of block 0 covers the
/// superblock alone. Its number must not be 0 (readdir takes that for "deleted") and must fit 16 bits.
const FIRST_INODE: u64 = BLOCK_SIZE;
/// Marks a node no directory leads to.
const UNREACHABLE: u32 = u32::MAX;

/// An inode and its place.
#[derive(Debug)]
pub(super) struct PlannedInode<'t> {
    pub(super) node: &'t Node,
    /// Index of the directory it is in; of a hard-linked file, the first one. The root is in itself.
    pub(super) parent: u32,
    pub(super) nlink: u32,
    pub(super) extended: bool,
    pub(super) xattrs: Vec<u8>,
    /// Length of the data in bytes.
    pub(super) size: u64,
    /// How many bytes of it follow the inode; the rest is in blocks.
    pub(super) tail: u64,
    /// Byte offset of the inode in the image.
    pub(super) offset: u64,
    /// First data block, [`NO_BLOCK`] without one.
    pub(super) start_block: u32,
}

impl PlannedInode<'_> {
    pub(super) fn nid(&self) -> u64 {
        self.offset / INODE_SLOT
    }

    /// Bytes of inode and xattrs.
    fn head_len(&self) -> u64 {
        let base = if self.extended {
            INODE_EXTENDED_LEN
        } else {
            INODE_COMPACT_LEN
        };
        (base + self.xattrs.len()) as u64
    }

    /// Data blocks, the last one perhaps not full.
    fn blocks(&self) -> u64 {
        (self.size - self.tail).div_ceil(BLOCK_SIZE)
    }
}

/// The whole image.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    /// In path order.
    pub(super) inodes: Vec<PlannedInode<'t>>,
    /// Index into `inodes` by node id.
    index: Vec<u32>,
    /// Byte offset where blocks of regular files begin.
    pub(super) data_start: u64,
    pub(super) blocks: u32,
}

impl<'t> Plan<'t> {
    pub(super) fn new(tree: &'t Tree, options: &ImageOptions) -> Result<Self, WriteError> {
        let mut plan = Self {
            inodes: Vec::new(),
            index: vec![UNREACHABLE; tree.arena_len()],
            data_start: 0,
            blocks: 0,
        };
        plan.collect(tree);
        let mut offset = FIRST_INODE;
        for inode in &mut plan.inodes {
            shape(inode, options);
            place(inode, &mut offset);
        }
        let mut next = offset.div_ceil(BLOCK_SIZE);
        plan.allocate(&mut next, |kind| !matches!(kind, Kind::Regular(_)));
        plan.data_start = next * BLOCK_SIZE;
        plan.allocate(&mut next, |kind| matches!(kind, Kind::Regular(_)));
        let limit = options
            .size_limit_bytes
            .unwrap_or(u64::MAX)
            .min(u64::from(u32::MAX) * BLOCK_SIZE);
        let needed = next.saturating_mul(BLOCK_SIZE);
        if needed > limit {
            return Err(WriteError::ImageTooLarge { needed, limit });
        }
        // Bounded by the comparison above.
        plan.blocks = next as u32;
        Ok(plan)
    }

    /// The inode of a node some directory leads to.
    pub(super) fn inode_of(&self, id: NodeId) -> &PlannedInode<'t> {
        &self.inodes[self.index[id.index()] as usize]
    }

    /// Finds all nodes in path order and counts their links.
    fn collect(&mut self, tree: &'t Tree) {
        let mut stack = vec![(tree.root(), 0)];
        while let Some((id, parent)) = stack.pop() {
            let known = self.index[id.index()];
            if known != UNREACHABLE {
                self.inodes[known as usize].nlink += 1;
                continue;
            }
            let own = self.inodes.len() as u32;
            self.index[id.index()] = own;
            let node = tree.node(id);
            let mut nlink = 1;
            if let Kind::Directory(directory) = &node.kind {
                // Its name and its `.`; each directory in it adds the `..` there.
                nlink = 2;
                stack.extend(
                    directory
                        .iter()
                        .map(|(_, child)| (child, own))
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev(),
                );
                if own != parent {
                    self.inodes[parent as usize].nlink += 1;
                }
            }
            self.inodes.push(PlannedInode {
                node,
                parent,
                nlink,
                extended: false,
                xattrs: xattrs::encode(&node.metadata.xattrs),
                size: 0,
                tail: 0,
                offset: 0,
                start_block: NO_BLOCK,
            });
        }
    }

    /// Gives blocks to the inodes whose kind is `wanted`.
    fn allocate(&mut self, next: &mut u64, wanted: impl Fn(&Kind) -> bool) {
        for inode in self.inodes.iter_mut().filter(|inode| wanted(&inode.node.kind)) {
            let blocks = inode.blocks();
            if blocks > 0 {
                // What does not fit 32 bits is refused when all are counted.
                inode.start_block = u32::try_from(*next).unwrap_or(NO_BLOCK);
                *next = next.saturating_add(blocks);
            }
        }
    }
}

/// Size, form of the inode, and how much data follows it.
fn shape(inode: &mut PlannedInode<'_>, options: &ImageOptions) {
    let (size, tail_max) = match &inode.node.kind {
        Kind::Directory(directory) => (
            dirents::size(&dirents::blocks(&dirents::entries(directory))),
            BLOCK_SIZE,
        ),
        Kind::Regular(content) => (content.len(), u64::from(options.inline_tail_max_bytes)),
        Kind::Symlink(target) => (target.len() as u64, BLOCK_SIZE),
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => (0, 0),
    };
    let metadata = &inode.node.metadata;
    let built = i64::try_from(options.build_time_s)
        .ok()
        .map(Timestamp::from_seconds);
    inode.size = size;
    inode.extended = u16::try_from(metadata.uid).is_err()
        || u16::try_from(metadata.gid).is_err()
        || u16::try_from(inode.nlink).is_err()
        || u32::try_from(size).is_err()
        || Some(metadata.mtime) != built;
    let tail = size % BLOCK_SIZE;
    // Inline data must not cross a block boundary (Linux `erofs_map_blocks`, "inline data cross block
    // boundary"), and the fast path for symlinks wants the inode in the same block.
    if tail <= tail_max && inode.head_len() + tail <= BLOCK_SIZE {
        inode.tail = tail;
    }
}

/// Puts an inode behind the one before it, in a block that holds it with its tail; xattrs that are
/// larger than a block run on.
fn place(inode: &mut PlannedInode<'_>, next: &mut u64) {
    let len = inode.head_len() + inode.tail;
    let left = BLOCK_SIZE - *next % BLOCK_SIZE;
    if len > left {
        *next += left;
    }
    inode.offset = *next;
    *next = (*next + len).next_multiple_of(INODE_SLOT);
}
