//! A machine that is made up: a clock that only moves when somebody waits, an ESP in a directory, checks that
//! hold from a given second on.

// Each test binary uses its part.
#![allow(dead_code)]

use bennu_esp::{Esp, EspError};
use bennu_formats::boot_record::BootRecord;
use bennu_formats::handover::{
    BlockDevice, Handover, HardeningFact, IdentityReport, KeptSchema, KernelFacts, MachineIdSource,
    RootHashCheck, SecureBootState, StateVolume, StepTime,
};
use bennu_formats::hardening::HardeningState;
use bennu_formats::health::{HealthCheck, HealthConfig, HealthReport, ModulesRule};
use bennu_formats::identity::{IdentityClass, IdentityRule};
use bennu_formats::manifest::PredictedPcrs;
use bennu_formats::{ImageVersion, RootHash, Sha256Digest};
use bennu_linux::kmsg::Level;
use bennu_runtime::esp::EspAccessError;
use bennu_runtime::health::Unmet;
use bennu_runtime::surroundings::Surroundings;
use std::collections::BTreeMap;
use std::time::Duration;

/// The machine.
pub struct World {
    dir: tempfile::TempDir,
    pub clock: Duration,
    pub started: Duration,
    /// By path of a file check: the second from which on it holds.
    pub holds_from: BTreeMap<String, u64>,
    /// Seconds at which the ESP does not mount.
    pub esp_away_until: Duration,
    pub esp_tries_at: Vec<Duration>,
    pub said: Vec<(Level, String)>,
    pub published: Vec<HealthReport>,
    pub probes: usize,
    /// Slots whose firmware was to be remembered.
    pub remembered: Vec<ImageVersion>,
    /// Whether modules can still be loaded, and whether that can be changed.
    pub modules: Modules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modules {
    Loadable,
    Locked,
    Unlockable,
}

impl World {
    /// A machine whose kernel started seven seconds ago and whose ESP has `entries`.
    pub fn with_entries(entries: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("EFI/Linux")).unwrap();
        for entry in entries {
            std::fs::write(dir.path().join("EFI/Linux").join(entry), entry).unwrap();
        }
        let clock = Duration::from_secs(7);
        Self {
            dir,
            clock,
            started: clock,
            holds_from: BTreeMap::new(),
            esp_away_until: Duration::ZERO,
            esp_tries_at: Vec::new(),
            said: Vec::new(),
            published: Vec::new(),
            probes: 0,
            remembered: Vec::new(),
            modules: Modules::Loadable,
        }
    }

    pub fn esp(&self) -> Esp {
        Esp::at(self.dir.path())
    }

    /// What bennu-init leaves: a record with `attempts` for slot 2.
    pub fn record_attempts(&self, attempts: u32) {
        let mut record = BootRecord::default();
        record.slot_mut(&"2".parse().unwrap()).attempts = attempts;
        self.esp().write_boot_record(&record).unwrap();
    }

    pub fn entries(&self) -> Vec<String> {
        let entries = self.esp().entries(&"demo".parse().unwrap()).unwrap();
        entries.iter().map(ToString::to_string).collect()
    }

    pub fn has_said(&self, level: Level, text: &str) -> bool {
        self.said.iter().any(|(l, t)| *l == level && t.contains(text))
    }
}

impl Surroundings for World {
    fn now(&self) -> Duration {
        self.clock
    }

    fn pause(&mut self, time: Duration) {
        self.clock += time;
        assert!(
            self.clock < Duration::from_secs(100_000),
            "the agent waits for ever: {:?}",
            self.said
        );
    }

    fn probe(&mut self, check: &HealthCheck, _limit: Duration) -> Result<(), Unmet> {
        self.probes += 1;
        let HealthCheck::FileExists { path } = check else {
            panic!("only file checks here")
        };
        match self.holds_from.get(path) {
            Some(second) if self.clock >= self.started + Duration::from_secs(*second) => Ok(()),
            _ => Err(Unmet::NoFile { path: path.clone() }),
        }
    }

    fn on_esp<T>(&mut self, act: impl FnOnce(&Esp) -> Result<T, EspError>) -> Result<T, EspAccessError> {
        self.esp_tries_at.push(self.clock - self.started);
        if self.clock < self.esp_away_until {
            return Err(EspAccessError::Mount {
                device: "/dev/vda1".into(),
                act: "fsmount",
                source: std::io::ErrorKind::ResourceBusy.into(),
            });
        }
        Ok(act(&self.esp())?)
    }

    fn remember_firmware(&mut self, version: &ImageVersion) {
        self.remembered.push(version.clone());
    }

    fn say(&mut self, level: Level, text: &str) {
        self.said.push((level, text.to_owned()));
    }

    fn publish(&mut self, report: &HealthReport) {
        self.published.push(report.clone());
    }

    fn lock_modules(&mut self) -> std::io::Result<()> {
        if self.modules == Modules::Unlockable {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        self.modules = Modules::Locked;
        Ok(())
    }
}

pub fn hardening(option: &str, state: HardeningState) -> HardeningFact {
    let option = option.into();
    HardeningFact { option, state }
}

/// Slot 2 of `demo`, `attempts` starts since it was healthy.
pub fn handover(attempts: u32) -> Handover {
    let device = |path: &str, number: &str| BlockDevice {
        path: path.into(),
        number: number.into(),
    };
    let step = |step: &str, start_ms, took_ms| StepTime {
        step: step.into(),
        start_ms,
        took_ms,
    };
    Handover {
        schema: 1,
        image_id: "demo".parse().unwrap(),
        version: "2".parse().unwrap(),
        security_version: 1,
        floor: 1,
        root_hash: RootHash([0xaa; 32]),
        verified_by: vec![Sha256Digest([0xbb; 32]), Sha256Digest([0xbc; 32])],
        manifest_sha256: Sha256Digest([0xcc; 32]),
        disk: device("/dev/vda", "254:0"),
        esp: device("/dev/vda1", "254:1"),
        root: device("/dev/vda2", "254:2"),
        verity: device("/dev/vda3", "254:3"),
        verity_device: device("/dev/dm-0", "253:0"),
        verity_table: "0 8 verity 1".into(),
        secure_boot: SecureBootState::Enforced,
        kernel: KernelFacts {
            release: "6.12.1-amd64".into(),
            hardening: vec![
                hardening("lockdown=integrity", HardeningState::InForce),
                hardening("slab_nomerge", HardeningState::AskedFor),
            ],
            root_hash_check: RootHashCheck::ByKernel,
            ima_policy_sha256: Some(Sha256Digest([0xdd; 32])),
        },
        entry: "demo_2+2-1.efi".into(),
        attempts,
        predicted_pcrs: PredictedPcrs {
            sections: BTreeMap::new(),
            pcr11_sections: Sha256Digest([1; 32]),
            pcr11_enter_initrd: Sha256Digest([2; 32]),
            pcr11_leave_initrd: Sha256Digest([11; 32]),
            pcr11_sysinit: Sha256Digest([3; 32]),
            pcr11_ready: Sha256Digest([4; 32]),
            pcr12: Sha256Digest::ZERO,
            pcr13: Sha256Digest::ZERO,
        },
        pcrs: [
            (7, Sha256Digest([7; 32])),
            (11, Sha256Digest([11; 32])),
            (12, Sha256Digest([0; 32])),
        ]
        .into(),
        secrets: vec!["database".into(), "token".into()],
        state_volume: Some(StateVolume {
            uuid: "f04ff38b-846b-4a5b-84ef-be151c9665f5".into(),
            generation: 7,
            mounted: "/run/bennu/state".into(),
            schema: KeptSchema {
                of_release: 1,
                written: 2,
                readable_from: 1,
            },
        }),
        identity: Some(IdentityReport {
            kept: 3,
            machine_id: MachineIdSource::Kept,
            list: IdentityRule {
                classes: IdentityClass::DEFAULT.to_vec(),
                paths: Vec::new(),
            },
            ..IdentityReport::default()
        }),
        machine: None,
        debug: None,
        factory_reset: None,
        fell_back: None,
        steps: vec![
            step("api file systems", 400, 10),
            step("kernel modules", 410, 90),
            step("root", 500, 300),
        ],
    }
}

/// Files `/a` then `/b` within a minute, three tries, two attempts.
pub fn config() -> HealthConfig {
    let file = |path: &str| HealthCheck::FileExists { path: path.into() };
    HealthConfig {
        schema: 1,
        checks: vec![file("/a"), file("/b")],
        deadline_s: 60,
        tries: 3,
        max_attempts: 2,
        modules_after_start: ModulesRule::Allowed,
    }
}
