//! The kernel command line, as far as it is ours.
//!
//! Written by `bennu build` into the UKI's `.cmdline`, read by `bennu-init` from `/proc/cmdline`. Under Secure
//! Boot the stub takes no other; PCR 12 shows if one was given all the same.

use crate::digest::RootHash;

/// Longest command line that is looked at, in bytes (x86 `COMMAND_LINE_SIZE`).
pub const MAX_CMDLINE_BYTES: usize = 2048;
/// The parameter that names the root hash (systemd-veritysetup-generator(8)).
pub const ROOT_HASH_PARAMETER: &str = "roothash=";

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// Longer than the kernel takes.
    #[error("kernel command line: expected at most 2048 bytes, found {0}")]
    TooLong(usize),
    /// No or several root hashes.
    #[error("kernel command line: expected exactly one `roothash=` parameter, found {0}")]
    RootHashCount(usize),
    /// Not a digest.
    #[error("kernel command line: roothash: {0}")]
    RootHash(#[from] crate::digest::DigestParseError),
}

/// Finds the one root hash.
///
/// # Errors
/// Too long, none, several, or not 64 hex digits.
pub fn root_hash(cmdline: &[u8]) -> Result<RootHash, CmdlineError> {
    if cmdline.len() > MAX_CMDLINE_BYTES {
        return Err(CmdlineError::TooLong(cmdline.len()));
    }
    let text = String::from_utf8_lossy(cmdline);
    // The kernel hands what follows ` -- ` to init; nothing of ours stands there.
    let ours = text.split(" -- ").next().unwrap_or_default();
    let values: Vec<&str> = ours
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(ROOT_HASH_PARAMETER))
        .collect();
    match values.as_slice() {
        [one] => Ok(one.parse()?),
        several => Err(CmdlineError::RootHashCount(several.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn the_root_hash_is_found_among_the_kernels_words() {
        let line = format!("quiet roothash={HASH} panic=10\n");
        assert_eq!(root_hash(line.as_bytes()).unwrap().to_string(), HASH);
    }

    #[test]
    fn none_two_or_a_crooked_root_hash_are_refused() {
        assert_eq!(root_hash(b"quiet"), Err(CmdlineError::RootHashCount(0)));
        let two = format!("roothash={HASH} roothash={HASH}");
        assert_eq!(root_hash(two.as_bytes()), Err(CmdlineError::RootHashCount(2)));
        assert!(matches!(
            root_hash(b"roothash=12"),
            Err(CmdlineError::RootHash(_))
        ));
        let behind = format!("quiet -- roothash={HASH}");
        assert_eq!(root_hash(behind.as_bytes()), Err(CmdlineError::RootHashCount(0)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = root_hash(&bytes);
        }
    }
}
