//! Kernel modules of an initrd: which every boot loads by name, and which wait until something needs them.
//!
//! `bennu build` refuses a boot source that has one of those loaded by name neither as a module nor built in;
//! `bennu-init` loads them. Names are normalised (`_` for `-`). A module of the list that stands in none of these
//! tables is loaded when a device asks for it.

/// File systems and targets that every boot uses, in the order in which they are loaded.
pub const REQUIRED: [&str; 9] = [
    "dm_mod",
    "dm_verity",
    "erofs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "efivarfs",
    "efi_pstore",
    "overlay",
];

/// Besides, where the image keeps its state on an encrypted volume: loaded when the volume is opened.
pub const FOR_STATE: [&str; 3] = ["dm_crypt", "xts", "ext4"];

/// Faster encryption, before [`FOR_STATE`]; slower without.
pub const FASTER_STATE: [&str; 1] = ["aesni_intel"];

/// Faster hashing, before everything else: the kernel checks each module's signature with it.
pub const FASTER_HASH: [&str; 1] = ["sha256_ssse3"];

/// Disk controllers and buses that are slow to look through. Loaded only if the boot disk has not appeared without
/// them.
pub const SLOW_STORAGE: [&str; 17] = [
    "ahci",
    "ata_piix",
    "ehci_pci",
    "hv_storvsc",
    "mmc_block",
    "sd_mod",
    "sdhci_acpi",
    "sdhci_pci",
    "uas",
    "usb_storage",
    "virtio_scsi",
    "vmw_pvscsi",
    "xhci_pci",
    "ohci_pci",
    "uhci_hcd",
    "sr_mod",
    "mpt3sas",
];

/// Keyboards on USB, with the buses of [`SLOW_STORAGE`] that lead there. Loaded only for a prompt.
pub const KEYBOARD: [&str; 2] = ["usbhid", "hid_generic"];
