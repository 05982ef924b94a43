//! Sizes as people write them.

use bennu_formats::units::Bytes;

/// Reads a size: digits and a unit of `KiB`, `MiB`, `GiB`.
pub fn parse_size(text: &str) -> Option<Bytes> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("128MiB"), Some(Bytes(128 << 20)));
        assert_eq!(parse_size("128"), None);
        assert_eq!(parse_size("1TB"), None);
    }
}
