//! Kernel modules of the initrd: the fixed list, with everything they need, unpacked.
//!
//! Out of `modules.dep` and `modules.alias` of the boot tree comes the list that `bennu-init` reads
//! (`/lib/modules/list`, format in `bennu_linux::modules`).

use bennu_erofs::{Tree, TreeError};
use bennu_formats::initrd_modules::{FASTER_HASH, REQUIRED};
use std::collections::{BTreeMap, BTreeSet};

/// Drivers that are loaded when the hardware asks for them.
const DRIVERS: [&str; 18] = [
    "virtio_blk",
    "virtio_scsi",
    "virtio_pci",
    "nvme",
    "ahci",
    "ata_piix",
    "sd_mod",
    "usb_storage",
    "uas",
    "xhci_pci",
    "ehci_pci",
    "mmc_block",
    "sdhci_pci",
    "sdhci_acpi",
    "tpm_tis",
    "tpm_crb",
    "hv_storvsc",
    "vmw_pvscsi",
];
/// Largest module, packed or unpacked, in bytes.
const MAX_MODULE_BYTES: u64 = 64 << 20;
/// Largest of the text files, in bytes.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Why the modules cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The boot tree could not be read.
    #[error("kernel modules: {0}")]
    Tree(#[from] TreeError),
    /// A module that must be there.
    #[error(
        "kernel modules: `{name}` is neither in modules.dep nor built in for kernel {release}; the boot source needs it"
    )]
    Missing {
        /// Module.
        name: String,
        /// Kernel release.
        release: String,
    },
    /// Unpacking failed.
    #[error("kernel modules: {path}: cannot be unpacked: {detail}")]
    Unpack {
        /// Path in the boot tree.
        path: String,
        /// The decompressor's words.
        detail: String,
    },
}

/// The modules of an initrd.
pub struct ModuleSet {
    /// The list file's text.
    pub list: String,
    /// Path in the initrd and bytes of each module, in the order of the list.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Collects the modules for kernel `release`: those of every initrd, `extra`, and of `if_there` what the kernel has.
///
/// # Errors
/// A required or an extra one is missing, or one cannot be read or unpacked.
pub fn collect(
    boot: &Tree,
    release: &str,
    extra: &[String],
    if_there: &[&str],
) -> Result<ModuleSet, ModuleError> {
    let base = format!("/usr/lib/modules/{release}");
    let text = |name: &str| -> Result<String, ModuleError> {
        let bytes = boot.read_file(format!("{base}/{name}"), MAX_TEXT_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let index = Index::new(
        &text("modules.dep")?,
        &text("modules.builtin")?,
        &text("modules.softdep")?,
        &text("modules.alias")?,
    );
    let mut wanted = BTreeSet::new();
    for name in REQUIRED
        .iter()
        .map(|n| (*n).to_owned())
        .chain(extra.iter().map(|n| n.replace('-', "_")))
    {
        if !index.add(&name, &mut wanted) {
            return Err(ModuleError::Missing {
                name,
                release: release.to_owned(),
            });
        }
    }
    for name in DRIVERS.iter().chain(&FASTER_HASH).chain(if_there) {
        // Absent or built in: then there is nothing to load.
        let _known = index.add(name, &mut wanted);
    }
    let mut list = String::from("bennu-modules-v1\n");
    let mut files = Vec::new();
    for name in &wanted {
        let Some((path, needs)) = index.modules.get(name) else {
            continue;
        };
        let target = format!("/lib/modules/{name}.ko");
        list.push_str(&format!("{name}\t{target}\t{}\n", needs.join(",")));
        let packed = boot.read_file(format!("{base}/{path}"), MAX_MODULE_BYTES)?;
        files.push((target, unpack(path, packed)?));
    }
    for line in text("modules.alias")?.lines() {
        let mut words = line.split_ascii_whitespace();
        if let (Some("alias"), Some(pattern), Some(name), None) =
            (words.next(), words.next(), words.next(), words.next())
            && wanted.contains(&name.replace('-', "_"))
        {
            list.push_str(&format!("alias\t{pattern}\t{}\n", name.replace('-', "_")));
        }
    }
    Ok(ModuleSet { list, files })
}

/// modules.dep, modules.builtin and modules.softdep, by normalised name.
struct Index {
    modules: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Index {
    fn new(dep: &str, builtin: &str, softdep: &str, alias: &str) -> Self {
        let mut modules: BTreeMap<String, (String, Vec<String>)> = dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| {
                let needs = needs.split_ascii_whitespace().map(module_name).collect();
                (module_name(path), (path.to_owned(), needs))
            })
            .collect();
        let builtin: BTreeSet<String> = builtin.lines().map(module_name).collect();
        for (name, wanted) in soft_needs(softdep) {
            // Without a modprobe in the initrd a soft dependency is a dependency: the kernel's own request for
            // it would fail, and with it the module.
            let Some(found) = provider(&wanted, alias, &modules, &builtin) else {
                continue;
            };
            if let Some((_, needs)) = modules.get_mut(&name)
                && !needs.contains(&found)
                && found != name
            {
                needs.push(found);
            }
        }
        for (_, needs) in modules.values_mut() {
            needs.retain(|need| !builtin.contains(need));
        }
        Self { modules, builtin }
    }

    /// Adds `name` and all it needs; false where it is unknown.
    fn add(&self, name: &str, wanted: &mut BTreeSet<String>) -> bool {
        if self.builtin.contains(name) || wanted.contains(name) {
            return true;
        }
        let Some((_, needs)) = self.modules.get(name) else {
            return false;
        };
        wanted.insert(name.to_owned());
        needs.iter().all(|need| self.add(need, wanted))
    }
}

/// `softdep NAME pre: A B post: C` → (NAME, A), (NAME, B). What comes after is not needed to load NAME.
fn soft_needs(softdep: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in softdep.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some("softdep"), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let mut before = false;
        for word in words {
            match word {
                "pre:" => before = true,
                "post:" => before = false,
                wanted if before => found.push((module_name(name), wanted.to_owned())),
                _ => {}
            }
        }
    }
    found
}

/// The module for a soft dependency, which names a module or an alias. Of several the generic one is taken: the
/// others want special hardware.
fn provider(
    wanted: &str,
    alias: &str,
    modules: &BTreeMap<String, (String, Vec<String>)>,
    builtin: &BTreeSet<String>,
) -> Option<String> {
    let plain = wanted.replace('-', "_");
    if modules.contains_key(&plain) || builtin.contains(&plain) {
        return Some(plain);
    }
    let line = format!("alias {wanted} ");
    let mut found: Vec<String> = alias
        .lines()
        .filter_map(|l| l.strip_prefix(&line))
        .map(|n| n.trim().replace('-', "_"))
        .collect();
    found.sort_by_key(|name| !name.ends_with("_generic"));
    found.into_iter().next()
}

/// `kernel/drivers/md/dm-verity.ko.xz` → `dm_verity`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn unpack(path: &str, packed: Vec<u8>) -> Result<Vec<u8>, ModuleError> {
    let failed = |detail: String| ModuleError::Unpack {
        path: path.to_owned(),
        detail,
    };
    if path.ends_with(".xz") {
        let mut out = Vec::new();
        lzma_rs::xz_decompress(&mut packed.as_slice(), &mut out).map_err(|e| failed(format!("{e:?}")))?;
        Ok(out)
    } else if path.ends_with(".zst") {
        zstd::bulk::decompress(&packed, MAX_MODULE_BYTES as usize).map_err(|e| failed(e.to_string()))
    } else {
        Ok(packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_along_and_built_in_ones_do_not() {
        let index = Index::new(
            "kernel/md/dm-verity.ko.xz: kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko.xz\nkernel/md/dm-bufio.ko.xz:\nkernel/md/dm-mod.ko.xz:\n",
            "kernel/drivers/virtio/virtio_pci.ko\n",
            "",
            "",
        );
        let mut wanted = BTreeSet::new();
        assert!(index.add("dm_verity", &mut wanted));
        assert!(index.add("virtio_pci", &mut wanted));
        assert!(!index.add("nothing", &mut wanted));
        assert_eq!(
            wanted.into_iter().collect::<Vec<_>>(),
            ["dm_bufio", "dm_mod", "dm_verity"]
        );
    }

    #[test]
    fn a_soft_dependency_is_resolved_through_its_alias_to_the_generic_module() {
        let index = Index::new(
            "kernel/lib/libcrc32c.ko.xz:\nkernel/arch/crc32c-intel.ko.xz:\nkernel/crypto/crc32c_generic.ko.xz:\n",
            "",
            "softdep libcrc32c pre: crc32c post: other\n",
            "alias crc32c crc32c_intel\nalias crc32c crc32c_generic\n",
        );
        let mut wanted = BTreeSet::new();
        assert!(index.add("libcrc32c", &mut wanted));
        assert_eq!(
            wanted.into_iter().collect::<Vec<_>>(),
            ["crc32c_generic", "libcrc32c"]
        );
    }
}
