//! os-release: `IMAGE_ID` and `IMAGE_VERSION` are put in, everything else stays.

use bennu_formats::{ImageId, ImageVersion};

/// What a root without os-release gets.
const MINIMAL: &str = "ID=linux\nNAME=Linux\nPRETTY_NAME=\"Linux\"\n";
/// Longest os-release in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;

/// The text with our keys. `PRETTY_NAME` gets the image's version, so that two slots look different in the
/// loader's menu (UAPI.1).
pub fn with_identity(
    original: Option<&str>,
    id: &ImageId,
    version: &ImageVersion,
    title: Option<&str>,
) -> String {
    let original = original.unwrap_or(MINIMAL);
    let mut text = String::new();
    let mut name = String::from("Linux");
    for line in original.lines() {
        if line.starts_with("IMAGE_ID=") || line.starts_with("IMAGE_VERSION=") {
            continue;
        }
        if let Some(value) = line.strip_prefix("PRETTY_NAME=") {
            name = value.trim_matches('"').to_owned();
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    let title = title.unwrap_or(&name);
    text.push_str(&format!(
        "PRETTY_NAME=\"{title} ({id} {version})\"\nIMAGE_ID={id}\nIMAGE_VERSION={version}\n"
    ));
    text
}

/// The one value of `key`, as written; `None` when there is no such line or several.
pub fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut found = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    match (found.next(), found.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_replaces_what_was_there() {
        let id = "demo".parse().unwrap();
        let version = "2".parse().unwrap();
        let found = with_identity(
            Some("ID=debian\nPRETTY_NAME=\"Debian 13\"\nIMAGE_ID=x\nIMAGE_VERSION=y\n"),
            &id,
            &version,
            None,
        );
        assert_eq!(
            found,
            "ID=debian\nPRETTY_NAME=\"Debian 13 (demo 2)\"\nIMAGE_ID=demo\nIMAGE_VERSION=2\n"
        );
    }

    #[test]
    fn a_key_that_is_there_twice_has_no_value() {
        assert_eq!(value("IMAGE_ID=demo\nIMAGE_IDX=x\n", "IMAGE_ID"), Some("demo"));
        assert_eq!(value("IMAGE_ID=demo\nIMAGE_ID=demo\n", "IMAGE_ID"), None);
        assert_eq!(value("# IMAGE_ID=demo\n", "IMAGE_ID"), None);
    }
}
