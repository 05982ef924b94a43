//! Kernel modules that every initrd needs, in the order in which they are loaded.
//!
//! `bennu build` refuses a boot source that has one of them neither as a module nor built in; `bennu-init` loads
//! those that are modules by name.

/// Normalised names (`_` for `-`) of the file systems and targets that every boot uses.
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

/// Besides, where the image keeps its state on an encrypted volume.
pub const FOR_STATE: [&str; 3] = ["dm_crypt", "xts", "ext4"];
