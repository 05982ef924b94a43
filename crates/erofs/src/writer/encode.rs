//! Makes the bytes of a planned image, from the first to the last.

use super::output::{Sink, SinkError};
use super::plan::{Plan, PlannedInode};
use super::{ImageOptions, WriteError, dirents, xattrs};
use crate::crc32c::crc32c_raw;
use crate::ondisk::{
    BLOCK_BITS, BLOCK_SIZE, COMPAT_CHECKSUM, COMPAT_MTIME, FileType, Layout, MAGIC, RawInode, RawSuperblock,
    SUPERBLOCK_LEN, SUPERBLOCK_OFFSET, encode_device,
};
use crate::tree::Kind;

/// Makes the image. `Ok` also when the other end of `sink` is gone: it knows why.
pub(super) fn encode(plan: &Plan<'_>, options: &ImageOptions, sink: Sink) -> Result<(), WriteError> {
    match encode_all(plan, options, sink) {
        Ok(()) | Err(SinkError::Stopped) => Ok(()),
        Err(SinkError::Failed(error)) => Err(error),
    }
}

fn encode_all(plan: &Plan<'_>, options: &ImageOptions, mut sink: Sink) -> Result<(), SinkError> {
    sink.write(&first_block(plan, options))?;
    for (number, inode) in plan.inodes.iter().enumerate() {
        sink.pad_to(inode.offset)?;
        sink.write(&inode_bytes(inode, number, options))?;
        sink.write(&inode.xattrs)?;
        data(plan, inode, &mut sink, Part::Tail)?;
    }
    for regular in [false, true] {
        for inode in plan.inodes.iter().filter(|inode| inode.size > inode.tail) {
            if matches!(inode.node.kind, Kind::Regular(_)) == regular {
                sink.pad_to(u64::from(inode.start_block) * BLOCK_SIZE)?;
                data(plan, inode, &mut sink, Part::Blocks)?;
            }
        }
    }
    sink.pad_to(u64::from(plan.blocks) * BLOCK_SIZE)?;
    sink.finish()
}

/// Block 0 with the superblock and its checksum, which covers all from the superblock to the block's end.
fn first_block(plan: &Plan<'_>, options: &ImageOptions) -> Vec<u8> {
    let mut superblock = RawSuperblock {
        magic: MAGIC,
        checksum: 0,
        feature_compat: COMPAT_CHECKSUM | COMPAT_MTIME,
        block_bits: BLOCK_BITS,
        extension_slots: 0,
        // The root is the first inode of block 1.
        root_nid: plan.inodes.first().map_or(0, |root| root.nid() as u16),
        inodes: plan.inodes.len() as u64,
        build_time_s: options.build_time_s,
        build_time_ns: 0,
        blocks: plan.blocks,
        meta_block: 0,
        xattr_block: 0,
        uuid: options.uuid,
        volume_name: options.volume_name.0,
        feature_incompat: 0,
        extra_devices: 0,
        dir_block_bits: 0,
    };
    let start = SUPERBLOCK_OFFSET as usize;
    let mut block = vec![0; BLOCK_SIZE as usize];
    block[start..start + SUPERBLOCK_LEN].copy_from_slice(&superblock.encode());
    superblock.checksum = crc32c_raw(&block[start..]);
    block[start..start + SUPERBLOCK_LEN].copy_from_slice(&superblock.encode());
    block
}

fn inode_bytes(inode: &PlannedInode<'_>, number: usize, options: &ImageOptions) -> Vec<u8> {
    let metadata = &inode.node.metadata;
    let layout = if inode.tail > 0 {
        Layout::FlatInline
    } else {
        Layout::FlatPlain
    };
    let union = match &inode.node.kind {
        Kind::CharDevice(device) | Kind::BlockDevice(device) => encode_device(device.major(), device.minor()),
        Kind::Fifo | Kind::Socket => 0,
        Kind::Regular(_) if inode.size == 0 => 0,
        Kind::Directory(_) | Kind::Regular(_) | Kind::Symlink(_) => inode.start_block,
    };
    let mtime = &metadata.mtime;
    debug_assert!(inode.extended || u64::try_from(mtime.seconds) == Ok(options.build_time_s));
    let mut bytes = Vec::with_capacity(64);
    RawInode {
        format: RawInode::format_of(inode.extended, layout),
        xattr_count: xattrs::count(inode.xattrs.len()),
        mode: inode.node.kind.file_type().mode_bits() | metadata.mode.bits(),
        nlink: inode.nlink,
        size: inode.size,
        union,
        // Only for 32-bit stat; unique, counted from 1 as mkfs.erofs does.
        ino: number as u32 + 1,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: inode
            .extended
            .then_some((mtime.seconds as u64, mtime.nanoseconds)),
    }
    .encode(&mut bytes);
    bytes
}

/// Which part of an inode's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What is in blocks.
    Blocks,
    /// What follows the inode.
    Tail,
}

fn data(plan: &Plan<'_>, inode: &PlannedInode<'_>, sink: &mut Sink, part: Part) -> Result<(), SinkError> {
    let split = inode.size - inode.tail;
    let (offset, len) = match part {
        Part::Blocks => (0, split),
        Part::Tail => (split, inode.tail),
    };
    if len == 0 {
        return Ok(());
    }
    match &inode.node.kind {
        Kind::Regular(content) => sink.copy(&content.open()?, offset, len),
        Kind::Symlink(target) => sink.write(target),
        Kind::Directory(directory) => {
            let entries = dirents::entries(directory);
            let resolve = |target| match target {
                dirents::Target::Itself => (inode.nid(), FileType::Directory),
                dirents::Target::Parent => (plan.inodes[inode.parent as usize].nid(), FileType::Directory),
                dirents::Target::Child(id) => {
                    let child = plan.inode_of(id);
                    (child.nid(), child.node.kind.file_type())
                }
            };
            directory_blocks(&entries, split, sink, part, resolve)
        }
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => Ok(()),
    }
}

/// The blocks of a directory that end at or before `split`, or the last one, which begins there.
fn directory_blocks(
    entries: &[(&[u8], dirents::Target)],
    split: u64,
    sink: &mut Sink,
    part: Part,
    resolve: impl Fn(dirents::Target) -> (u64, FileType),
) -> Result<(), SinkError> {
    let mut rest = entries;
    let mut start = 0;
    for (count, _) in dirents::blocks(entries) {
        let (here, behind) = rest.split_at(count);
        rest = behind;
        let wanted = if start < split { Part::Blocks } else { Part::Tail };
        if wanted == part {
            if part == Part::Blocks && start > 0 {
                sink.pad_to(sink.position().next_multiple_of(BLOCK_SIZE))?;
            }
            sink.write(&dirents::encode(here, &resolve))?;
        }
        start += BLOCK_SIZE;
    }
    Ok(())
}
