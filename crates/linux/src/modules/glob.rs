//! Alias patterns as modprobe matches them: `fnmatch(3)` without flags, so `*`, `?`, `[…]` with ranges
//! and `!` or `^` in front, and `\` before a character taken as it is; `*` matches `/` as well. As in
//! modprobe `-` and `_` are the same outside brackets.

/// Whether `text` matches `pattern` as a whole.
///
/// Never panics and takes O(pattern × text) steps, whatever the bytes: only the last `*` is tried
/// again.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(_), Some(&byte)) => {
                if let Some(length) = match_one(&pattern[p..], byte) {
                    p += length;
                    t += 1;
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches the pattern's first element against one byte; gives the element's length if it fits.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => match bracket(rest, byte) {
            Some((length, true)) => Some(length + 1),
            Some((_, false)) => None,
            // No closing bracket: an ordinary '['.
            None => (byte == b'[').then_some(1),
        },
        [b'\\', literal, ..] => same(*literal, byte).then_some(2),
        [literal, ..] => same(*literal, byte).then_some(1),
        [] => None,
    }
}

fn same(a: u8, b: u8) -> bool {
    let fold = |byte| if byte == b'-' { b'_' } else { byte };
    fold(a) == fold(b)
}

/// Reads a bracket expression after its `[`: its length with the `]`, and whether `byte` is in it.
fn bracket(rest: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    let first = usize::from(negated);
    let (mut at, mut found) = (first, false);
    loop {
        let low = *rest.get(at)?;
        // A ']' that comes first stands for itself.
        if low == b']' && at > first {
            return Some((at + 1, found != negated));
        }
        match (rest.get(at + 1), rest.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::CString;

    fn text_matches(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn real_aliases_match_the_devices_that_they_are_for() {
        let virtio_pci = "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00";
        assert!(text_matches("pci:v00001AF4d*sv*sd*bc*sc*i*", virtio_pci));
        assert!(!text_matches("pci:v00008086d*sv*sd*bc*sc*i*", virtio_pci));
        assert!(text_matches("virtio:d00000002v*", "virtio:d00000002v00001AF4"));
        assert!(text_matches(
            "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
            "usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00"
        ));
        assert!(text_matches(
            "cpu:type:x86,ven*fam*mod*:feature:*0099*",
            "cpu:type:x86,ven0000fam0006mod0055:feature:,0000,0099,"
        ));
        assert!(text_matches("fs-erofs", "fs_erofs"));
        assert!(text_matches("acpi*:MSFT0101:*", "acpi:MSFT0101:"));
    }

    #[test]
    fn brackets_take_ranges_negation_and_a_leading_closing_bracket() {
        assert!(text_matches("a[0-9A-F]c", "aEc") && !text_matches("a[0-9A-F]c", "aGc"));
        assert!(text_matches("[!a]", "b") && !text_matches("[^a]", "a"));
        assert!(text_matches("[]a]", "]") && text_matches("[a-]", "-"));
        assert!(text_matches("[abc", "[abc") && !text_matches("[abc", "a"));
    }

    #[test]
    fn a_pattern_full_of_stars_against_a_long_text_ends_quickly() {
        let pattern = "*a".repeat(200);
        assert!(!text_matches(&pattern, &"a".repeat(199)));
        assert!(text_matches(&pattern, &"a".repeat(4000)));
    }

    /// The C library's own answer.
    #[allow(unsafe_code)]
    fn fnmatch(pattern: &[u8], text: &[u8]) -> bool {
        let (pattern, text) = (CString::new(pattern).unwrap(), CString::new(text).unwrap());
        // SAFETY: both are NUL-terminated strings that outlive the call; fnmatch only reads them.
        unsafe { libc::fnmatch(pattern.as_ptr(), text.as_ptr(), 0) == 0 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_bytes_make_it_panic(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }

        // Brackets in patterns of depmod are complete; what C libraries make of others differs.
        #[test]
        fn it_agrees_with_fnmatch(
            pattern in r"([abc]|\?|\*|\[[a-c]{1,3}\]|\[[!^][abc]\]|\[a-b\]){0,12}",
            text in "[abc]{0,16}",
        ) {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fnmatch(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
