//! The on-disk structures of EROFS, byte for byte (Linux `fs/erofs/erofs_fs.h`).
//!
//! The writer encodes with this module, the reader decodes with it; nothing else in the crate knows a
//! field's offset. All integers are little-endian. Decoding takes arrays of exactly the right length, so
//! it cannot fail; whether the values make sense is for [`crate::reader`] to say.

/// Bytes in a block. The only size written or read; every kernel with 4 KiB pages mounts it.
pub const BLOCK_SIZE: u64 = 4096;
/// log2 of [`BLOCK_SIZE`], superblock field `blkszbits`.
pub(crate) const BLOCK_BITS: u8 = 12;
/// Byte offset of the superblock (`EROFS_SUPER_OFFSET`).
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Bytes of the superblock without extension slots.
pub(crate) const SUPERBLOCK_LEN: usize = 128;
/// `EROFS_SUPER_MAGIC_V1`.
pub(crate) const MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM`: the checksum field is valid.
pub(crate) const COMPAT_CHECKSUM: u32 = 1;
/// `EROFS_FEATURE_COMPAT_MTIME`: times of extended inodes are mtime, not ctime.
pub(crate) const COMPAT_MTIME: u32 = 2;
/// `EROFS_FEATURE_INCOMPAT_ZERO_PADDING`: concerns LZ4 data only, so a reader of plain files may ignore it.
pub(crate) const INCOMPAT_ZERO_PADDING: u32 = 1;
/// Bytes of an inode slot; an inode's number is its byte offset in the metadata area over this.
pub(crate) const INODE_SLOT: u64 = 32;
/// Bytes of `struct erofs_inode_compact`.
pub(crate) const INODE_COMPACT_LEN: usize = 32;
/// Bytes of `struct erofs_inode_extended`.
pub(crate) const INODE_EXTENDED_LEN: usize = 64;
/// Bytes of `struct erofs_dirent`.
pub(crate) const DIRENT_LEN: usize = 12;
/// Bytes of `struct erofs_xattr_ibody_header`.
pub(crate) const XATTR_HEADER_LEN: usize = 12;
/// Bytes of `struct erofs_xattr_entry`, which is also the alignment of entries.
pub(crate) const XATTR_ENTRY_LEN: usize = 4;
/// Longest file name in bytes (`EROFS_NAME_LEN`).
pub(crate) const NAME_MAX: usize = 255;
/// Start block of an inode that has none (`EROFS_NULL_ADDR`).
pub(crate) const NO_BLOCK: u32 = u32::MAX;
/// File type bits of a mode (POSIX `S_IFMT`).
pub(crate) const MODE_TYPE_MASK: u16 = 0o170_000;

/// What an inode is. Numbers are those of a directory entry's `file_type` (`EROFS_FT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file.
    Regular = 1,
    /// Directory.
    Directory = 2,
    /// Character device.
    CharDevice = 3,
    /// Block device.
    BlockDevice = 4,
    /// Named pipe.
    Fifo = 5,
    /// Unix socket.
    Socket = 6,
    /// Symbolic link.
    Symlink = 7,
}

impl FileType {
    /// The `S_IFMT` bits of this type.
    pub(crate) const fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// The type in the `S_IFMT` bits of `mode`.
    pub(crate) fn from_mode(mode: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.mode_bits() == mode & MODE_TYPE_MASK)
    }

    /// The type a directory entry's byte names.
    pub(crate) fn from_dirent(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    const ALL: [Self; 7] = [
        Self::Regular,
        Self::Directory,
        Self::CharDevice,
        Self::BlockDevice,
        Self::Fifo,
        Self::Socket,
        Self::Symlink,
    ];
}

/// How the data of an inode lies (`EROFS_INODE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All data in consecutive blocks.
    FlatPlain = 0,
    /// Whole blocks apart, the last part right behind the inode and its xattrs.
    FlatInline = 2,
}

/// `struct erofs_super_block`: the fields this crate sets or looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawSuperblock {
    pub(crate) magic: u32,
    pub(crate) checksum: u32,
    pub(crate) feature_compat: u32,
    pub(crate) block_bits: u8,
    pub(crate) extension_slots: u8,
    pub(crate) root_nid: u16,
    pub(crate) inodes: u64,
    pub(crate) build_time_s: u64,
    pub(crate) build_time_ns: u32,
    pub(crate) blocks: u32,
    pub(crate) meta_block: u32,
    pub(crate) xattr_block: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; 16],
    pub(crate) feature_incompat: u32,
    pub(crate) extra_devices: u16,
    pub(crate) dir_block_bits: u8,
}

impl RawSuperblock {
    pub(crate) fn encode(&self) -> [u8; SUPERBLOCK_LEN] {
        let mut raw = [0; SUPERBLOCK_LEN];
        put(&mut raw, 0, &self.magic.to_le_bytes());
        put(&mut raw, 4, &self.checksum.to_le_bytes());
        put(&mut raw, 8, &self.feature_compat.to_le_bytes());
        raw[12] = self.block_bits;
        raw[13] = self.extension_slots;
        put(&mut raw, 14, &self.root_nid.to_le_bytes());
        put(&mut raw, 16, &self.inodes.to_le_bytes());
        put(&mut raw, 24, &self.build_time_s.to_le_bytes());
        put(&mut raw, 32, &self.build_time_ns.to_le_bytes());
        put(&mut raw, 36, &self.blocks.to_le_bytes());
        put(&mut raw, 40, &self.meta_block.to_le_bytes());
        put(&mut raw, 44, &self.xattr_block.to_le_bytes());
        put(&mut raw, 48, &self.uuid);
        put(&mut raw, 64, &self.volume_name);
        put(&mut raw, 80, &self.feature_incompat.to_le_bytes());
        put(&mut raw, 86, &self.extra_devices.to_le_bytes());
        raw[90] = self.dir_block_bits;
        raw
    }

    pub(crate) fn decode(raw: &[u8; SUPERBLOCK_LEN]) -> Self {
        Self {
            magic: u32_at(raw, 0),
            checksum: u32_at(raw, 4),
            feature_compat: u32_at(raw, 8),
            block_bits: raw[12],
            extension_slots: raw[13],
            root_nid: u16_at(raw, 14),
            inodes: u64_at(raw, 16),
            build_time_s: u64_at(raw, 24),
            build_time_ns: u32_at(raw, 32),
            blocks: u32_at(raw, 36),
            meta_block: u32_at(raw, 40),
            xattr_block: u32_at(raw, 44),
            uuid: array_at(raw, 48),
            volume_name: array_at(raw, 64),
            feature_incompat: u32_at(raw, 80),
            extra_devices: u16_at(raw, 86),
            dir_block_bits: raw[90],
        }
    }
}

/// The fields of both inode forms. The compact form has no time of its own: it stands for the
/// superblock's build time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawInode {
    /// `i_format`: bit 0 extended, bits 1–3 data layout.
    pub(crate) format: u16,
    pub(crate) xattr_count: u16,
    pub(crate) mode: u16,
    pub(crate) nlink: u32,
    pub(crate) size: u64,
    /// `i_u`: start block, or device number.
    pub(crate) union: u32,
    pub(crate) ino: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds, two's complement, and nanoseconds; only in the extended form.
    pub(crate) mtime: Option<(u64, u32)>,
}

impl RawInode {
    /// `i_format` of an inode.
    pub(crate) const fn format_of(extended: bool, layout: Layout) -> u16 {
        (extended as u16) | ((layout as u16) << 1)
    }

    /// 64 bytes with a time, 32 without; the caller has seen to it that the values of a compact inode
    /// fit its narrower fields.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.format.to_le_bytes());
        out.extend(self.xattr_count.to_le_bytes());
        out.extend(self.mode.to_le_bytes());
        match self.mtime {
            Some((seconds, nanoseconds)) => {
                out.extend([0; 2]);
                out.extend(self.size.to_le_bytes());
                out.extend(self.union.to_le_bytes());
                out.extend(self.ino.to_le_bytes());
                out.extend(self.uid.to_le_bytes());
                out.extend(self.gid.to_le_bytes());
                out.extend(seconds.to_le_bytes());
                out.extend(nanoseconds.to_le_bytes());
                out.extend(self.nlink.to_le_bytes());
                out.extend([0; 16]);
            }
            None => {
                out.extend((self.nlink as u16).to_le_bytes());
                out.extend((self.size as u32).to_le_bytes());
                out.extend([0; 4]);
                out.extend(self.union.to_le_bytes());
                out.extend(self.ino.to_le_bytes());
                out.extend((self.uid as u16).to_le_bytes());
                out.extend((self.gid as u16).to_le_bytes());
                out.extend([0; 4]);
            }
        }
    }

    pub(crate) fn decode_compact(raw: &[u8; INODE_COMPACT_LEN]) -> Self {
        Self {
            format: u16_at(raw, 0),
            xattr_count: u16_at(raw, 2),
            mode: u16_at(raw, 4),
            nlink: u16_at(raw, 6).into(),
            size: u32_at(raw, 8).into(),
            union: u32_at(raw, 16),
            ino: u32_at(raw, 20),
            uid: u16_at(raw, 24).into(),
            gid: u16_at(raw, 26).into(),
            mtime: None,
        }
    }

    pub(crate) fn decode_extended(raw: &[u8; INODE_EXTENDED_LEN]) -> Self {
        Self {
            format: u16_at(raw, 0),
            xattr_count: u16_at(raw, 2),
            mode: u16_at(raw, 4),
            nlink: u32_at(raw, 44),
            size: u64_at(raw, 8),
            union: u32_at(raw, 16),
            ino: u32_at(raw, 20),
            uid: u32_at(raw, 24),
            gid: u32_at(raw, 28),
            mtime: Some((u64_at(raw, 32), u32_at(raw, 40))),
        }
    }
}

/// Bytes of inline xattrs for `i_xattr_icount`.
pub(crate) fn xattr_body_len(count: u16) -> usize {
    match count {
        0 => 0,
        n => XATTR_HEADER_LEN + XATTR_ENTRY_LEN * (usize::from(n) - 1),
    }
}

/// Name indexes and the prefixes they stand for. The two ACL entries are whole names.
pub(crate) const XATTR_PREFIXES: [(u8, &[u8]); 5] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

/// Index and remaining name of an xattr, if EROFS can hold it (and Linux would list it).
pub(crate) fn split_xattr_name(name: &[u8]) -> Option<(u8, &[u8])> {
    XATTR_PREFIXES.into_iter().find_map(|(index, prefix)| {
        let rest = name.strip_prefix(prefix)?;
        // An ACL's name is the whole prefix; all others need something behind it.
        (rest.is_empty() == prefix.starts_with(b"system.") && rest.len() <= NAME_MAX && !rest.contains(&0))
            .then_some((index, rest))
    })
}

/// Device number as an inode stores it (Linux `new_encode_dev`).
pub(crate) const fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Major and minor number out of an inode (Linux `new_decode_dev`).
pub(crate) const fn decode_device(raw: u32) -> (u32, u32) {
    (
        (raw & 0x000f_ff00) >> 8,
        (raw & 0xff) | ((raw >> 12) & 0x000f_ff00),
    )
}

fn put(target: &mut [u8], offset: usize, bytes: &[u8]) {
    target[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn array_at<const N: usize>(raw: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&raw[offset..offset + N]);
    array
}

/// Two bytes at `offset`, which the caller knows to be inside.
pub(crate) fn u16_at(raw: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(raw, offset))
}

/// Four bytes at `offset`, which the caller knows to be inside.
pub(crate) fn u32_at(raw: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(raw, offset))
}

/// Eight bytes at `offset`, which the caller knows to be inside.
pub(crate) fn u64_at(raw: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(raw, offset))
}
