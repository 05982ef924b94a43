//! GUIDs of partition types and EFI variable vendors, in the byte order of their text form.

/// Parses a GUID constant at compile time from its 32 hex digits.
const fn guid(hex: &str) -> [u8; 16] {
    const fn digit(b: u8) -> u8 {
        match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => 0xff,
        }
    }
    let bytes = hex.as_bytes();
    let mut out = [0u8; 16];
    let mut i = 0;
    let mut n = 0;
    while i < bytes.len() {
        if bytes[i] == b'-' {
            i += 1;
            continue;
        }
        out[n] = digit(bytes[i]) * 16 + digit(bytes[i + 1]);
        n += 1;
        i += 2;
    }
    out
}

/// EFI System Partition (UEFI 2.10 §13.3).
pub const TYPE_ESP: [u8; 16] = guid("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Root, x86-64 (UAPI.2).
pub const TYPE_ROOT_X86_64: [u8; 16] = guid("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Root verity, x86-64 (UAPI.2).
pub const TYPE_ROOT_VERITY_X86_64: [u8; 16] = guid("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
/// Root verity signature, x86-64 (UAPI.2).
pub const TYPE_ROOT_VERITY_SIG_X86_64: [u8; 16] = guid("41092b05-9fc8-4523-994f-2def0408b176");
/// Linux generic data (UAPI.2): the state partition before it is formatted, and neutral entries.
pub const TYPE_LINUX_GENERIC: [u8; 16] = guid("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// EFI global variables (UEFI 2.10 §3.3): `SecureBoot`, `SetupMode`, `Boot####`.
pub const EFI_GLOBAL: [u8; 16] = guid("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// systemd-boot's and systemd-stub's variables (Boot Loader Interface).
pub const EFI_LOADER: [u8; 16] = guid("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f");

/// GPT attribute bit 60: read-only (UAPI.2).
pub const ATTRIBUTE_READ_ONLY: u64 = 1 << 60;
/// GPT attribute bit 63: no automatic mount (UAPI.2).
pub const ATTRIBUTE_NO_AUTO: u64 = 1 << 63;
/// GPT attribute bit 59: grow the file system on first mount (UAPI.2).
pub const ATTRIBUTE_GROW_FS: u64 = 1 << 59;
