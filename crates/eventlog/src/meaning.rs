//! What an event was, from its type and its bytes. What cannot be understood is [`Meaning::Other`]: an event of an
//! unknown kind still extends, and the replay counts it.

use crate::firmware::Reader;
use std::fmt;

/// Most characters of a name or of words that are kept of one event.
pub const MAX_WORDS: usize = 96;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: the event informs only.
    NoAction,
    /// Nothing: where TPM2_Startup was called from.
    StartupLocality(u8),
    /// The end of the firmware's own measurements of a PCR; `true` when it ended in an error.
    Separator(bool),
    /// Code or data of the firmware; what it is called.
    Firmware(String),
    /// An EFI variable that decides what is trusted: `SecureBoot`, `PK`, `KEK`, `db`, `dbx`, `MokList`.
    TrustVariable(String),
    /// The entry of such a variable that a program was accepted by.
    Authority(String),
    /// An EFI variable of the boot order.
    BootVariable(String),
    /// A boot program or driver; its path on its medium where the firmware knew one.
    Program(Option<String>),
    /// The partition table of the boot disk.
    PartitionTable,
    /// An act of the firmware.
    Action(String),
    /// A section of the UKI, its name or its content: systemd-stub, PCR 11.
    Section(String),
    /// Something that systemd-stub took from the ESP beside the UKI.
    Companion(Companion),
    /// A command line: systemd-boot 252's of the UKI itself; else an add-on's or one that was typed.
    CommandLine(String),
    /// What the kernel's EFI stub measures of its own: its options, its initrd.
    Kernel(String),
    /// A record of user space: its kind and its words.
    Record {
        /// `eventType`, or the content type where there is none.
        kind: String,
        /// Words.
        words: String,
    },
    /// Anything else: the type of the event.
    Other(u32),
}

/// What systemd-stub takes from the ESP beside the UKI (systemd-stub(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Companion {
    /// `*.cred` in the UKI's own folder.
    Credentials,
    /// `*.cred` in `/loader/credentials`: for every UKI.
    GlobalCredentials,
    /// `*.raw` in the UKI's own folder: PCR 13.
    SystemExtension,
    /// `*.confext.raw` in the UKI's own folder.
    ConfigurationExtension,
    /// A device tree out of an add-on; its name.
    DeviceTree(String),
    /// An initrd out of an add-on; its name.
    Initrd(String),
    /// Microcode out of an add-on; its name.
    Microcode(String),
}

/// Event types (profile, table 27).
mod kind {
    pub const POST_CODE: u32 = 0x01;
    pub const NO_ACTION: u32 = 0x03;
    pub const SEPARATOR: u32 = 0x04;
    pub const ACTION: u32 = 0x05;
    pub const EVENT_TAG: u32 = 0x06;
    pub const CRTM_CONTENTS: u32 = 0x07;
    pub const CRTM_VERSION: u32 = 0x08;
    pub const IPL: u32 = 0x0d;
    pub const POST_CODE2: u32 = 0x13;
    pub const VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
    pub const VARIABLE_BOOT: u32 = 0x8000_0002;
    pub const BOOT_APPLICATION: u32 = 0x8000_0003;
    pub const BOOT_DRIVER: u32 = 0x8000_0004;
    pub const RUNTIME_DRIVER: u32 = 0x8000_0005;
    pub const GPT: u32 = 0x8000_0006;
    pub const EFI_ACTION: u32 = 0x8000_0007;
    pub const FIRMWARE_BLOB: u32 = 0x8000_0008;
    pub const HANDOFF_TABLES: u32 = 0x8000_0009;
    pub const FIRMWARE_BLOB2: u32 = 0x8000_000a;
    pub const HANDOFF_TABLES2: u32 = 0x8000_000b;
    pub const VARIABLE_BOOT2: u32 = 0x8000_000c;
    pub const GPT2: u32 = 0x8000_000d;
    pub const VARIABLE_AUTHORITY: u32 = 0x8000_00e0;
}

/// Ids of tagged events by systemd-stub and systemd-boot (systemd 257, `src/fundamental/tpm2-pcr.h`), and by the
/// kernel's EFI stub (Linux 6.12, `include/linux/efi.h` and `efi-stub-helper.c`).
mod tag {
    pub const LOADER_CONF: u32 = 0xf5bc_582a;
    pub const DEVICETREE_ADDON: u32 = 0x6c46_f751;
    pub const INITRD_ADDON: u32 = 0x49df_fe0f;
    pub const UCODE_ADDON: u32 = 0xdac0_8e1a;
    pub const KERNEL_INITRD: u32 = 0x8f3b_22ec;
    pub const KERNEL_OPTIONS: u32 = 0x8f3b_22ed;
}

impl Meaning {
    /// The meaning of an event of the firmware's log.
    pub(crate) fn of_firmware_event(pcr: u32, kind: u32, body: &[u8]) -> Self {
        match kind {
            kind::NO_ACTION => startup_locality(body).map_or(Self::NoAction, Self::StartupLocality),
            kind::SEPARATOR => Self::Separator(body == [1, 0, 0, 0]),
            kind::CRTM_VERSION => Self::Firmware("version".to_owned()),
            kind::CRTM_CONTENTS | kind::FIRMWARE_BLOB => Self::Firmware("code".to_owned()),
            kind::POST_CODE | kind::POST_CODE2 => Self::Firmware(ascii(body)),
            kind::FIRMWARE_BLOB2 | kind::HANDOFF_TABLES2 => Self::Firmware(described(body)),
            kind::HANDOFF_TABLES => Self::Firmware("tables".to_owned()),
            kind::VARIABLE_DRIVER_CONFIG => variable(body).map_or(Self::Other(kind), Self::TrustVariable),
            kind::VARIABLE_AUTHORITY => variable(body).map_or(Self::Other(kind), Self::Authority),
            kind::VARIABLE_BOOT | kind::VARIABLE_BOOT2 => {
                variable(body).map_or(Self::Other(kind), Self::BootVariable)
            }
            kind::BOOT_APPLICATION | kind::BOOT_DRIVER | kind::RUNTIME_DRIVER => {
                Self::Program(program_path(body))
            }
            kind::GPT | kind::GPT2 => Self::PartitionTable,
            kind::ACTION | kind::EFI_ACTION => Self::Action(ascii(body)),
            kind::IPL => ipl(pcr, body),
            kind::EVENT_TAG => tagged(body).unwrap_or(Self::Other(kind)),
            other => Self::Other(other),
        }
    }
}

/// "StartupLocality\0" and the locality (profile, 10.4.5.3).
fn startup_locality(body: &[u8]) -> Option<u8> {
    match body.strip_prefix(b"StartupLocality\0")? {
        [locality] => Some(*locality),
        _ => None,
    }
}

/// systemd's events of type EV_IPL: UTF-16 with terminator.
fn ipl(pcr: u32, body: &[u8]) -> Meaning {
    let words = utf16(body);
    match (pcr, words.as_str()) {
        (11, _) => Meaning::Section(words),
        (12, "Credentials initrd") => Meaning::Companion(Companion::Credentials),
        (12, "Global credentials initrd") => Meaning::Companion(Companion::GlobalCredentials),
        (13, "System extension initrd") => Meaning::Companion(Companion::SystemExtension),
        (12, "Configuration extension initrd") => Meaning::Companion(Companion::ConfigurationExtension),
        (12, _) => Meaning::CommandLine(words),
        _ => Meaning::Action(words),
    }
}

/// Id, size, bytes (TCG_PCClientTaggedEvent).
fn tagged(body: &[u8]) -> Option<Meaning> {
    let mut reader = Reader { bytes: body, at: 0 };
    let id = reader.u32("tag").ok()?;
    let _size = reader.u32("tagged size").ok()?;
    let name = || utf16(reader.rest());
    Some(match id {
        tag::LOADER_CONF => Meaning::Action("loader.conf".to_owned()),
        tag::DEVICETREE_ADDON => Meaning::Companion(Companion::DeviceTree(name())),
        tag::INITRD_ADDON => Meaning::Companion(Companion::Initrd(name())),
        tag::UCODE_ADDON => Meaning::Companion(Companion::Microcode(name())),
        tag::KERNEL_INITRD => Meaning::Kernel("initrd".to_owned()),
        tag::KERNEL_OPTIONS => Meaning::Kernel("options".to_owned()),
        _ => return None,
    })
}

/// UEFI_VARIABLE_DATA: GUID, length of the name in characters, length of the data, name, data.
fn variable(body: &[u8]) -> Option<String> {
    let mut reader = Reader { bytes: body, at: 0 };
    reader.take(16, "variable's vendor").ok()?;
    let units = usize::try_from(reader.u64("length of the name").ok()?).ok()?;
    reader.u64("length of the data").ok()?;
    let name = reader.take(units.checked_mul(2)?, "variable's name").ok()?;
    Some(utf16(name))
}

/// UEFI_PLATFORM_FIRMWARE_BLOB2, UEFI_HANDOFF_TABLE_POINTERS2: length of the description, description.
fn described(body: &[u8]) -> String {
    let mut reader = Reader { bytes: body, at: 0 };
    let words = reader
        .u8("length of the description")
        .and_then(|length| reader.take(length.into(), "description"));
    words.map_or_else(|_| "code".to_owned(), ascii)
}

/// UEFI_IMAGE_LOAD_EVENT: address, length, link-time address, length of the device path, device path (UEFI 2.10,
/// section 10.3). The file's path is in the nodes of type 4, subtype 4.
fn program_path(body: &[u8]) -> Option<String> {
    let mut reader = Reader { bytes: body, at: 0 };
    reader.take(24, "image's place").ok()?;
    let length = usize::try_from(reader.u64("length of the device path").ok()?).ok()?;
    let mut nodes = Reader {
        bytes: reader.take(length, "device path").ok()?,
        at: 0,
    };
    let mut path = String::new();
    while let (Ok(kind), Ok(subtype), Ok(length)) =
        (nodes.u8("type"), nodes.u8("subtype"), nodes.u16("length"))
    {
        // A node without its own four bytes would never end.
        let Ok(node) = nodes.take(usize::from(length).checked_sub(4)?, "node") else {
            break;
        };
        if (kind, subtype) == (4, 4) {
            path.push_str(&utf16(node));
        }
    }
    (!path.is_empty()).then(|| words(path.chars()))
}

/// UTF-16 up to its terminator, as words.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    words(char::decode_utf16(units.take_while(|unit| *unit != 0)).map(|c| c.unwrap_or('?')))
}

/// ASCII up to its terminator, as words.
fn ascii(bytes: &[u8]) -> String {
    words(bytes.iter().take_while(|b| **b != 0).map(|b| char::from(*b)))
}

/// At most [`MAX_WORDS`] printable ASCII characters: the words go to consoles, and whoever wrote the event chose them.
pub(crate) fn words(chars: impl Iterator<Item = char>) -> String {
    let mut words: String = chars
        .take(MAX_WORDS + 1)
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect();
    if words.len() > MAX_WORDS {
        words.truncate(MAX_WORDS - 3);
        words.push_str("...");
    }
    words
}

impl fmt::Display for Companion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials => f.write_str("credentials beside the UKI"),
            Self::GlobalCredentials => f.write_str("credentials for every UKI (/loader/credentials)"),
            Self::SystemExtension => f.write_str("a system extension beside the UKI"),
            Self::ConfigurationExtension => f.write_str("a configuration extension beside the UKI"),
            Self::DeviceTree(name) => write!(f, "a device tree of add-on {name}"),
            Self::Initrd(name) => write!(f, "an initrd of add-on {name}"),
            Self::Microcode(name) => write!(f, "microcode of add-on {name}"),
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAction => f.write_str("no action"),
            Self::StartupLocality(locality) => write!(f, "startup from locality {locality}"),
            Self::Separator(false) => f.write_str("separator"),
            Self::Separator(true) => f.write_str("separator after an error"),
            Self::Firmware(name) => write!(f, "firmware {name}"),
            Self::TrustVariable(name) => write!(f, "variable {name}"),
            Self::Authority(name) => write!(f, "authority of {name}"),
            Self::BootVariable(name) => write!(f, "boot variable {name}"),
            Self::Program(Some(path)) => write!(f, "program {path}"),
            Self::Program(None) => f.write_str("program without a path"),
            Self::PartitionTable => f.write_str("partition table"),
            Self::Action(text) => f.write_str(text),
            Self::Section(name) => write!(f, "section {name}"),
            Self::Companion(companion) => companion.fmt(f),
            Self::CommandLine(words) => write!(f, "command line `{words}`"),
            Self::Kernel(what) => write!(f, "kernel's {what}"),
            Self::Record { kind, words } => write!(f, "{kind} {words}"),
            Self::Other(kind) => write!(f, "event of type {kind:#x}"),
        }
    }
}
