//! Version order of UAPI.10 (Version Format Specification), step by step.

use std::cmp::Ordering;

/// Compares two version strings as UAPI.10 says. Characters other than ASCII letters, digits and `-.~^` are
/// skipped; `~` sorts below everything including the end, `-` and `^` and `.` follow in that order, digits
/// compare as numbers of any length, letters by ASCII with upper case first.
pub fn compare(a: &str, b: &str) -> Ordering {
    let mut a = a.as_bytes();
    let mut b = b.as_bytes();
    loop {
        // Step 1: skip what takes no part.
        a = skip_ignored(a);
        b = skip_ignored(b);
        // Step 2: `~` is lower than anything, the end included.
        match both(&mut a, &mut b, b'~') {
            Some(Ordering::Equal) => continue,
            Some(unequal) => return unequal.reverse(),
            None => {}
        }
        // Step 3: the string that ends first is lower.
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        // Steps 4 to 6: separators.
        match both(&mut a, &mut b, b'-') {
            Some(Ordering::Equal) => continue,
            Some(unequal) => return unequal.reverse(),
            None => {}
        }
        match both(&mut a, &mut b, b'^') {
            Some(Ordering::Equal) => continue,
            Some(unequal) => return unequal.reverse(),
            None => {}
        }
        match both(&mut a, &mut b, b'.') {
            Some(Ordering::Equal) => continue,
            Some(unequal) => return unequal.reverse(),
            None => {}
        }
        // Step 7: a number is higher than letters; numbers compare by value.
        let order = if a[0].is_ascii_digit() || b[0].is_ascii_digit() {
            compare_numbers(take(&mut a, u8::is_ascii_digit), take(&mut b, u8::is_ascii_digit))
        } else {
            // Step 8: letters, one run at a time.
            compare_letters(
                take(&mut a, u8::is_ascii_alphabetic),
                take(&mut b, u8::is_ascii_alphabetic),
            )
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Whether `a`, `b` or both start with `byte`: `Greater` when only `a` does. Consumes it where both do.
fn both(a: &mut &[u8], b: &mut &[u8], byte: u8) -> Option<Ordering> {
    match (a.first() == Some(&byte), b.first() == Some(&byte)) {
        (true, true) => {
            *a = &a[1..];
            *b = &b[1..];
            Some(Ordering::Equal)
        }
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (false, false) => None,
    }
}

fn skip_ignored(mut text: &[u8]) -> &[u8] {
    while let Some(first) = text.first() {
        if first.is_ascii_alphanumeric() || matches!(first, b'-' | b'.' | b'~' | b'^') {
            break;
        }
        text = &text[1..];
    }
    text
}

fn take<'a>(text: &mut &'a [u8], wanted: fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|b| !wanted(b)).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let a = strip_zeros(a);
    let b = strip_zeros(b);
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
    }
}

/// `None` where there is no number at all, otherwise the digits without leading zeros.
fn strip_zeros(digits: &[u8]) -> Option<&[u8]> {
    if digits.is_empty() {
        return None;
    }
    let start = digits.iter().position(|&d| d != b'0').unwrap_or(digits.len());
    Some(&digits[start..])
}

fn compare_letters(a: &[u8], b: &[u8]) -> Ordering {
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_uapi_10_hold() {
        let ordered = ["~", "", "11", "systemd-123"];
        assert_eq!(compare("~", ""), Ordering::Less);
        assert_eq!(ordered.len(), 4);
        for (low, high) in [
            ("122.1", "123"),
            ("123~rc1-1", "123"),
            ("123", "123-a"),
            ("123-a", "123-a.1"),
            ("123-a.1", "123-1"),
            ("123-1", "123-1.1"),
            ("123-1.1", "123^post1"),
            ("123^post1", "123.a-1"),
            ("123.a-1", "123.1-1"),
            ("123.1-1", "123a-1"),
            ("123a-1", "124-1"),
            ("A", "a"),
            ("9", "10"),
            ("1_", "1.0"),
        ] {
            assert_eq!(compare(low, high), Ordering::Less, "{low} < {high}");
            assert_eq!(compare(high, low), Ordering::Greater, "{high} > {low}");
        }
        assert_eq!(compare("1_2_3", "1+2!3"), Ordering::Equal);
        assert_eq!(compare("007", "7"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn the_order_is_antisymmetric(a in "[a-zA-Z0-9.~^_-]{0,12}", b in "[a-zA-Z0-9.~^_-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }

        #[test]
        fn the_order_is_transitive(a in "[ab01.~^-]{0,6}", b in "[ab01.~^-]{0,6}", c in "[ab01.~^-]{0,6}") {
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
