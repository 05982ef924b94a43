//! Inline xattrs: a header of 12 bytes, then entries, each on a 4-byte boundary.

use crate::ondisk::{XATTR_ENTRY_LEN, XATTR_HEADER_LEN, split_xattr_name};
use crate::tree::Xattrs;

/// The body as it stands behind the inode; empty without xattrs. Names and lengths were checked when the
/// metadata entered the tree.
pub(super) fn encode(xattrs: &Xattrs) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in xattrs {
        let Some((index, rest)) = split_xattr_name(name) else {
            continue;
        };
        if body.is_empty() {
            // No name filter, no shared xattrs.
            body.resize(XATTR_HEADER_LEN, 0);
        }
        body.extend([rest.len() as u8, index]);
        body.extend((value.len() as u16).to_le_bytes());
        body.extend_from_slice(rest);
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(XATTR_ENTRY_LEN), 0);
    }
    body
}

/// `i_xattr_icount` for a body of this length.
pub(super) fn count(body_len: usize) -> u16 {
    match body_len {
        0 => 0,
        len => ((len - XATTR_HEADER_LEN) / XATTR_ENTRY_LEN + 1) as u16,
    }
}
