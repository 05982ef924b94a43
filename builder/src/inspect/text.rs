//! An inspection as lines for people.

use super::{EntryView, Inspection, PartitionView, RootView, SlotView, UkiView};
use crate::image::printable;
use bennu_formats::manifest::SlotManifest;
use bennu_formats::units::Bytes;
use std::fmt::Write as _;

/// Characters of the size bar, frame not counted.
const BAR: usize = 76;
/// Longest text from an image that is shown, in characters.
const MAX_TEXT: usize = 300;

/// Lines; every text out of the image is made printable on the way in.
struct Lines(String);

impl Lines {
    fn add(&mut self, text: impl AsRef<str>) {
        // Writing to a string does not fail.
        let _infallible = writeln!(self.0, "{}", printable(text.as_ref()).trim_end());
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        let value: String = value.to_string().chars().take(MAX_TEXT).collect();
        self.add(format!("  {name:17} {value}"));
    }
}

impl Inspection {
    /// Lines for people.
    pub fn to_text(&self) -> String {
        let mut out = Lines(String::new());
        out.add(format!(
            "{}: {}, disk {}",
            self.image,
            Bytes(self.bytes),
            self.disk_guid
        ));
        out.add("NOT VERIFIED: this is what the image says of itself; `bennu verify` checks it.");
        out.add("");
        self.partitions(&mut out);
        self.esp(&mut out);
        for slot in &self.slots {
            out.add("");
            slot.show(&mut out);
        }
        out.0
    }

    fn partitions(&self, out: &mut Lines) {
        out.add(bar(&self.partitions));
        for p in &self.partitions {
            let flags = match (p.read_only, p.no_auto) {
                (true, true) => "read-only, no-auto",
                (true, false) => "read-only",
                (false, true) => "no-auto",
                (false, false) => "",
            };
            let size = Bytes(p.bytes).to_string();
            out.add(format!(
                "{:3} {:20} {:16} {size:>11}  {}  {flags}",
                p.number, p.label, p.kind, p.guid
            ));
        }
        out.add(format!("    partition table: {}", self.table_copies));
    }

    fn esp(&self, out: &mut Lines) {
        out.add("");
        out.add("EFI system partition");
        if let Some(error) = &self.esp.error {
            out.field("unreadable", error);
        }
        for file in &self.esp.files {
            out.add(format!(
                "  {:>11}  {}",
                Bytes(file.bytes.into()).to_string(),
                file.path
            ));
        }
        for entry in &self.esp.entries {
            out.add("");
            entry.show(out);
        }
    }
}

/// The partitions side by side, each as wide as its share, with its number and as much of its label as fits.
fn bar(partitions: &[PartitionView]) -> String {
    let mut in_place: Vec<&PartitionView> = partitions.iter().collect();
    in_place.sort_by_key(|p| p.offset);
    let total: u64 = in_place.iter().map(|p| p.bytes).sum::<u64>().max(1);
    let mut line = String::from("|");
    for partition in in_place {
        let share = (u128::from(partition.bytes) * BAR as u128 / u128::from(total)) as usize;
        let text = format!("{} {}", partition.number, partition.label);
        let width = share.max(1);
        let shown: String = text.chars().take(width).collect();
        line.push_str(&format!("{shown:width$}|"));
    }
    line
}

impl EntryView {
    fn show(&self, out: &mut Lines) {
        let tries = match (self.tries_left, self.tries_done) {
            (Some(0), Some(done)) => format!("no tries left, {done} done: taken last"),
            (Some(left), Some(done)) => format!("{left} tries left, {done} done"),
            _ => "no counter".to_owned(),
        };
        out.add(format!("Boot entry {}: {tries}", self.path));
        if let Some(error) = &self.error {
            out.field("unreadable", error);
        }
        if let Some(uki) = &self.uki {
            uki.show(out);
        }
    }
}

impl UkiView {
    fn show(&self, out: &mut Lines) {
        if let Some(title) = &self.title {
            out.field("title", title);
        }
        out.field("kernel", self.kernel.as_deref().unwrap_or("unknown"));
        out.field("systemd-stub", &self.stub_version);
        out.field("command line", self.cmdline.as_deref().unwrap_or("none"));
        out.field("SHA-256", self.sha256);
        let sections: Vec<String> = self
            .sections
            .iter()
            .map(|s| format!("{} {}", s.name, Bytes(s.bytes.into())))
            .collect();
        for (i, line) in sections.chunks(4).enumerate() {
            out.field(if i == 0 { "sections" } else { "" }, line.join(", "));
        }
        if let Some(error) = &self.pcrs_error {
            out.field("PCRs", error);
        }
        if let Some(pcrs) = &self.pcrs {
            out.field("PCR 11 in initrd", pcrs.pcr11_enter_initrd);
            out.field("PCR 11 when up", pcrs.pcr11_ready);
            out.field("PCR 12", pcrs.pcr12);
        }
    }
}

impl SlotView {
    fn show(&self, out: &mut Lines) {
        if self.empty {
            out.add(format!("Slot {}: empty", self.slot));
            return;
        }
        out.add(format!("Slot {}: {} (UNVERIFIED)", self.slot, self.label));
        if let Some(error) = &self.manifest_error {
            out.field("manifest", error);
        }
        if let Some(manifest) = &self.manifest {
            show_manifest(manifest, out);
        }
        for key in &self.claimed_signers {
            out.field("claimed signer", key);
        }
        if let Some(error) = &self.root_error {
            out.field("root", error);
        }
        if let Some(root) = &self.root {
            root.show(out);
        }
    }
}

fn show_manifest(manifest: &SlotManifest, out: &mut Lines) {
    out.field("image", format!("{} {}", manifest.image_id, manifest.version));
    out.field("security version", manifest.security_version);
    out.field("architecture", manifest.architecture);
    let built = manifest.build.source_date_epoch;
    out.field(
        "built",
        format!("by {} for SOURCE_DATE_EPOCH {built}", manifest.build.builder),
    );
    let (root, tree) = (manifest.root.bytes, manifest.verity.tree_bytes);
    out.field(
        "root",
        format!("{root} {}, hash tree {tree}", manifest.root.filesystem),
    );
    out.field("root hash", manifest.verity.root_hash);
    out.field("UKI", manifest.uki.sha256);
    out.field("TPM policy", manifest.tpm_policy.approved_policy);
    out.field("PCR 11 in initrd", manifest.pcrs.pcr11_enter_initrd);
    out.field("state schema", manifest.state_schema);
    if let Some(index) = &manifest.golden_index {
        out.field("golden index", index.sha256);
    }
}

impl RootView {
    fn show(&self, out: &mut Lines) {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        out.field("os-release", or_none(&self.title));
        out.field(
            "",
            format!(
                "IMAGE_ID={} IMAGE_VERSION={}",
                or_none(&self.image_id),
                or_none(&self.image_version)
            ),
        );
        let Self {
            files,
            directories,
            symlinks,
            others,
            ..
        } = self;
        let size = Bytes(self.file_bytes);
        out.field(
            "content",
            format!("{files} files of {size}, {directories} directories, {symlinks} links, {others} others"),
        );
        for directory in &self.largest_directories {
            let size = Bytes(directory.bytes).to_string();
            out.field("", format!("{size:>11}  {}", directory.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32, bytes: u64) -> PartitionView {
        PartitionView {
            number,
            label: format!("label-{number}"),
            kind: "other",
            guid: String::new(),
            type_guid: String::new(),
            offset: u64::from(number),
            bytes,
            read_only: false,
            no_auto: false,
        }
    }

    #[test]
    fn the_bar_shows_shares_and_every_partition() {
        let found = bar(&[partition(2, 75), partition(1, 25), partition(3, 0)]);
        assert_eq!(found, format!("|{:19}|{:57}|3|", "1 label-1", "2 label-2"));
    }

    #[test]
    fn sizes_beyond_all_disks_make_no_panic() {
        assert_eq!(bar(&[partition(1, u64::MAX)]).chars().count(), BAR + 2);
        assert_eq!(bar(&[]), "|");
    }
}
