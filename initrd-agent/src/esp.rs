//! The ESP during the boot: mounted, the past digested, the start counted; later the verdict.

use crate::error::InitError;
use crate::journal::Journal;
use crate::past;
use bennu_esp::{Esp, FoundRecord};
use bennu_formats::ImageVersion;
use bennu_formats::boot_record::{BootRecord, Failure};
use bennu_formats::handover::FellBack;
use bennu_formats::names::UkiFileName;
use bennu_formats::state_schema::StateSchema;
use bennu_formats::trust::TrustConfig;
use bennu_linux::block::{BlockDevice, ensure_node};
use bennu_linux::mount::{self, DATA_ONLY, MountSpec, Unmount};
use bennu_policy::boot::{self, BootAction, Entry, FailureFacts, Past, StartDecision, StartFacts};
use std::path::Path;

const MOUNT_POINT: &str = "/run/bennu/esp";

/// The mounted ESP with the boot record in memory.
pub struct Mounted {
    esp: Esp,
    trust: TrustConfig,
    record: BootRecord,
    /// Name of this start's entry, while a person is asked.
    counted: Option<UkiFileName>,
}

/// What the boot record keeps of the state volume.
#[derive(Debug, Clone, Copy)]
pub struct KeptState {
    /// The release's own `state_schema`.
    pub own: u32,
    /// What the volume says.
    pub schema: StateSchema,
}

/// What this start knows of itself.
pub struct Start {
    /// Name of the boot entry.
    pub entry: String,
    /// Starts since the last healthy one.
    pub attempts: u32,
    /// This slot was marked good at its last start: the record's word, which anybody with the disk can write.
    pub was_healthy: bool,
    /// The newer slot that was passed over.
    pub fell_back: Option<FellBack>,
}

impl Mounted {
    /// Mounts the ESP: data only, nobody but root reads it.
    pub fn mount(device: &BlockDevice, trust: &TrustConfig) -> Result<Self, InitError> {
        let target = Path::new(MOUNT_POINT);
        mount::make_mount_point(Path::new("/run/bennu"), 0o755).map_err(InitError::EspMount)?;
        mount::make_mount_point(target, 0o700).map_err(InitError::EspMount)?;
        let source = ensure_node(&device.name, device.number)?;
        let options = bennu_esp::VFAT_OPTIONS
            .map(|(key, value)| format!("{key}={value}"))
            .join(",");
        mount::mount(&MountSpec {
            source: &source,
            target,
            file_system: "vfat",
            restrictions: DATA_ONLY,
            options: &options,
        })
        .map_err(InitError::EspMount)?;
        Ok(Self {
            esp: Esp::at(target),
            trust: trust.clone(),
            record: BootRecord::default(),
            counted: None,
        })
    }

    /// Mounts it once more behind the verdict, with the record as it was written; nothing is counted.
    pub fn mount_again(device: &BlockDevice, trust: &TrustConfig) -> Result<Self, InitError> {
        let mut this = Self::mount(device, trust)?;
        if let FoundRecord::Whole(record) | FoundRecord::OneCopy { record, .. } = this.esp.boot_record()? {
            this.record = record;
        }
        Ok(this)
    }

    /// The files.
    pub fn files(&self) -> &Esp {
        &self.esp
    }

    /// The boot record as it stands: of every slot, how often it started and why it failed.
    pub fn record(&self) -> &BootRecord {
        &self.record
    }

    /// Digests the past, counts this start and writes that down before anything else happens.
    pub fn begin(&mut self, trust: &TrustConfig, journal: &mut Journal) -> Result<Start, InitError> {
        match self.esp.boot_record()? {
            FoundRecord::Whole(record) => self.record = record,
            FoundRecord::OneCopy {
                record,
                other,
                trouble,
            } => {
                journal.warn(&format!("boot record: /{other} {trouble}; the other copy counts"));
                self.record = record;
            }
            FoundRecord::None => journal.say("no boot record: this is the first start on this disk"),
            FoundRecord::Damaged(why) => journal.warn(&format!("{why}; a new one is begun")),
        }
        let was_healthy = boot::was_healthy(&self.record, &trust.version);
        let old_note_remains = !self.digest_panic(journal)?;
        let names = self.esp.entries(&trust.image_id)?;
        let decision = boot::on_start(
            &mut self.record,
            &StartFacts {
                this: &trust.version,
                entries: &entries(&names),
                max_attempts: trust.max_attempts,
                old_note_remains,
            },
        );
        self.esp.write_boot_record(&self.record)?;
        past::forget_starts(journal);
        let Past {
            fell_back,
            last_failure,
        } = match decision {
            StartDecision::Go(past) => past,
            StartDecision::GiveUp(failure) => return Err(InitError::GivenUp(failure)),
        };
        let attempts = self.record.slot_mut(&trust.version).attempts;
        let entry = names
            .iter()
            .find(|n| n.version == trust.version)
            .map(ToString::to_string)
            .unwrap_or_default();
        journal.say(&format!(
            "{} {}: attempt {attempts} of {}",
            trust.image_id, trust.version, trust.max_attempts
        ));
        if let Some(failure) = &last_failure {
            journal.say(&format!(
                "an earlier start of this slot failed: {}: {}",
                failure.code, failure.reason
            ));
        }
        if let Some(FellBack {
            from_version,
            failure,
        }) = &fell_back
        {
            journal.say(&format!(
                "fell back from {from_version}: {}: {}",
                failure.code, failure.reason
            ));
        }
        Ok(Start {
            entry,
            attempts,
            was_healthy,
            fell_back,
        })
    }

    /// Puts the last panic on the record, and removes it from persistent storage once it is written there: a
    /// power cut between the two leaves a note that belongs to nobody. Whether none remains.
    fn digest_panic(&mut self, journal: &mut Journal) -> Result<bool, InitError> {
        if let Some(panic) = past::last_panic(journal) {
            boot::on_panic(&mut self.record, &panic);
            self.esp.write_boot_record(&self.record)?;
        }
        Ok(past::forget(journal))
    }

    /// A person is about to be asked: until they have answered the start does not count, or a machine that is switched off
    /// at the prompt would lose its slots.
    pub fn waiting_begins(&mut self) -> Result<(), InitError> {
        boot::on_waiting(&mut self.record, &self.trust.version);
        self.esp.write_boot_record(&self.record)?;
        let mut counted = None;
        self.rename_own(|entry| {
            counted = Some(entry.clone());
            boot::entry_while_waiting(entry)
        })?;
        self.counted = counted;
        Ok(())
    }

    /// They have answered: it counts again.
    pub fn waiting_ends(&mut self) -> Result<(), InitError> {
        boot::on_answered(&mut self.record, &self.trust.version);
        self.esp.write_boot_record(&self.record)?;
        match self.counted.take() {
            Some(counted) => self.rename_own(|_| counted),
            None => Ok(()),
        }
    }

    fn rename_own(&self, change: impl FnOnce(&UkiFileName) -> UkiFileName) -> Result<(), InitError> {
        let trust = &self.trust;
        self.esp.rename_entry(&trust.image_id, &trust.version, change)?;
        Ok(())
    }

    /// The root's init is about to start, with a state volume of `state` or none.
    pub fn reached_root(&mut self, trust: &TrustConfig, state: Option<KeptState>) -> Result<(), InitError> {
        boot::on_pivot(&mut self.record, &trust.version);
        if let Some(KeptState { own, schema }) = state {
            boot::on_state(&mut self.record, &trust.version, own, schema.readable_from);
        }
        Ok(self.esp.write_boot_record(&self.record)?)
    }

    /// Another TPM has the machine now: this slot is not to blame for the starts that failed before.
    pub fn taken_over(&mut self, trust: &TrustConfig) -> Result<(), InitError> {
        boot::on_recovered(&mut self.record, &trust.version);
        self.esp.write_boot_record(&self.record)?;
        self.esp.rename_entry(&trust.image_id, &trust.version, |entry| {
            entry.armed(trust.max_attempts)
        })?;
        Ok(())
    }

    /// Decides what the failure leads to, and writes the verdict to the record and into the entry's name.
    pub fn fail(&mut self, failure: &Failure) -> Result<BootAction, InitError> {
        let this: ImageVersion = self.trust.version.clone();
        let names = self.esp.entries(&self.trust.image_id)?;
        let entries = entries(&names);
        let facts = FailureFacts {
            this: Some(&this),
            entries: Some(&entries),
        };
        let action = boot::on_failure(&mut self.record, failure, &facts);
        self.esp.write_boot_record(&self.record)?;
        for entry in &names {
            self.esp
                .rename_entry(&self.trust.image_id, &entry.version, |entry| {
                    boot::entry_after_failure(&self.record, action, &this, entry, self.trust.max_attempts)
                })?;
        }
        Ok(action)
    }

    /// Unmounts.
    pub fn unmount(self) -> Result<(), InitError> {
        self.let_go()
    }

    /// Unmounts before a restart; no file can be used any more.
    pub fn let_go(&self) -> Result<(), InitError> {
        mount::unmount(Path::new(MOUNT_POINT), Unmount::Now).map_err(InitError::EspMount)
    }
}

fn entries(names: &[UkiFileName]) -> Vec<Entry> {
    names.iter().map(Entry::from).collect()
}
