//! What the QR code of the recovery screen says: which release stopped on which machine with which code, and
//! the digest of the log. Normative text: `docs/spec/recovery-qr.md`.
//!
//! Written by `bennu-init` when it halts, read by a person's telephone; no program of ours reads it, so there
//! is no decoder. It is a claim of an unauthenticated screen: it helps to find the log and proves nothing.

use crate::codes::Code;
use crate::digest::Sha256Digest;
use crate::names::ReleaseName;
use std::fmt;

/// Most bytes of a code's name; a test holds every code to it.
pub const MAX_CODE_BYTES: usize = 24;
/// Most bytes of the text: prefix 8, code 24, image id 16, version 17, machine 8, digest 64, four colons.
/// Within the 154 bytes of a QR code of version 7 at level L (ISO/IEC 18004, table 7).
pub const MAX_BYTES: usize = 8 + MAX_CODE_BYTES + 16 + 17 + 8 + 64 + 4;

/// What stands where something is not known. No image id and no version begins with it.
const UNKNOWN: &str = "-";

/// Tells machines of one image apart without naming them: the first four bytes of the SHA-256 of the
/// firmware's system UUID (SMBIOS type 1) in lower-case text. Vendors' UUIDs often share their beginning,
/// so the digest is cut, not the UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineHint([u8; 4]);

impl MachineHint {
    /// The hint of a UUID as in `/sys/class/dmi/id/product_uuid`; `None` for what is no UUID, and for the
    /// values that say "not set" (SMBIOS 3.7, 7.2.1: all bits zero or all bits one).
    pub fn of_system_uuid(text: &str) -> Option<Self> {
        let uuid = text.trim().to_ascii_lowercase();
        let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
        let digits: Vec<u8> = uuid.bytes().filter(|b| *b != b'-').collect();
        let shape = groups == [8, 4, 4, 4, 12] && digits.iter().all(u8::is_ascii_hexdigit);
        let unset = [b'0', b'f'].iter().any(|d| digits.iter().all(|b| b == d));
        if !shape || unset {
            return None;
        }
        let digest = Sha256Digest::of(uuid.as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        Some(Self([a, b, c, d]))
    }
}

impl fmt::Display for MachineHint {
    /// Eight hex digits, lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The text: `bennu:1:<code>:<image id>:<version>:<machine>:<sha256 of the log>`, at most [`MAX_BYTES`] of
/// ASCII. No part can hold a colon. What is not known is `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrContent {
    /// Why the machine stopped.
    pub code: Code,
    /// Which release; `None` when the initrd could not read its own trust configuration.
    pub release: Option<ReleaseName>,
    /// Which machine; `None` where the firmware does not say.
    pub machine: Option<MachineHint>,
    /// SHA-256 of the failure log ([`crate::failure_log`]).
    pub log: Sha256Digest,
}

impl fmt::Display for QrContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = self.release.as_ref();
        let id = release.map_or(UNKNOWN, |r| r.image_id.as_str());
        let version = release.map_or(UNKNOWN, |r| r.version.as_str());
        let machine = self.machine.map_or_else(|| UNKNOWN.to_owned(), |m| m.to_string());
        write!(f, "bennu:1:{}:{id}:{version}:{machine}:{}", self.code, self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure_log::FailureLog;
    use proptest::prelude::*;

    /// The test vector of `docs/spec/recovery-qr.md`.
    fn vector() -> QrContent {
        QrContent {
            code: Code::VerityCorrupt,
            release: Some(ReleaseName {
                image_id: "demo".parse().unwrap(),
                version: "2".parse().unwrap(),
            }),
            machine: MachineHint::of_system_uuid("4C4C4544-0042-3510-8054-B4C04F4D3333\n"),
            log: Sha256Digest::of(&FailureLog::default().encode(None, &[])),
        }
    }

    #[test]
    fn the_text_is_the_one_of_the_specification() {
        let page = include_str!("../../../docs/spec/recovery-qr.md");
        let text = vector().to_string();
        assert!(page.contains(&text), "not in the page: {text}");
    }

    #[test]
    fn the_machine_hint_is_what_sha256sum_calculates_of_the_lower_case_uuid() {
        // printf %s 4c4c4544-0042-3510-8054-b4c04f4d3333 | sha256sum | cut -c1-8
        assert_eq!(vector().machine.unwrap().to_string(), "3fe84600");
    }

    #[test]
    fn a_machine_without_a_system_uuid_has_no_hint() {
        for text in [
            "",
            "Not Settable",
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "4c4c4544-0042-3510-8054-b4c04f4d333g",
            "4c4c4544004235108054b4c04f4d3333",
        ] {
            assert_eq!(MachineHint::of_system_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let content = QrContent {
            release: None,
            machine: None,
            code: Code::Trust,
            ..vector()
        };
        assert!(
            content.to_string().starts_with("bennu:1:TRUST:-:-:-:"),
            "{content}"
        );
    }

    #[test]
    fn every_code_fits_its_place_and_is_of_letters_and_dashes() {
        for code in Code::ALL {
            let text = code.as_str();
            assert!(text.len() <= MAX_CODE_BYTES, "{code}");
            assert!(
                text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'),
                "{code}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_text_has_seven_parts_within_the_bound(id in "[a-z][a-z0-9.-]{0,15}", v in "[A-Za-z0-9][A-Za-z0-9.~^-]{0,16}",
                                                     code in 0..Code::ALL.len(), uuid in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}") {
            let content = QrContent {
                code: Code::ALL[code],
                release: Some(ReleaseName { image_id: id.parse().unwrap(), version: v.parse().unwrap() }),
                machine: MachineHint::of_system_uuid(&uuid),
                log: Sha256Digest([0xff; 32]),
            };
            let text = content.to_string();
            prop_assert!(text.is_ascii() && text.len() <= MAX_BYTES);
            let parts: Vec<&str> = text.split(':').collect();
            prop_assert_eq!(parts.len(), 7);
            prop_assert_eq!(parts[3], id);
            prop_assert_eq!(parts[4], v);
        }

        #[test]
        fn no_text_makes_the_hint_panic(text in "\\PC{0,60}") {
            let _ = MachineHint::of_system_uuid(&text);
        }
    }
}
