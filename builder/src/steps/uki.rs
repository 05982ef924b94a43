//! The UKI: assembled from the target's stub and kernel, our initrd and text sections; PCRs predicted; signed.

use crate::cmdline::{self, KernelAbility};
use crate::plan::Plan;
use crate::steps::keys::KeySet;
use bennu_erofs::{Tree, TreeError};
use bennu_formats::RootHash;
use bennu_formats::digest::Sha256Digest;
use bennu_formats::manifest::PredictedPcrs;
use bennu_uki::measure::{self, Bank, Phase, StubVersion};
use bennu_uki::pe::{self, PeImage, Section};
use bennu_uki::{authenticode, pcrsig::PcrSignatures};

/// Where the target's packages keep stub and loader.
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
/// Largest kernel, stub or loader in bytes.
const MAX_PART_BYTES: u64 = 256 << 20;
/// Largest kernel configuration in bytes.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Why there is no UKI.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// A file of the boot source.
    #[error("uki: boot source: {0}; install the packages systemd-boot-efi and linux-image-amd64 there")]
    Tree(#[from] TreeError),
    /// No or several kernels.
    #[error("uki: boot source: expected one kernel in /usr/lib/modules, found {found}")]
    Kernels {
        /// Which.
        found: String,
    },
    /// No kernel image for the release.
    #[error(
        "uki: boot source: kernel {release}: expected /boot/vmlinuz-{release} or /usr/lib/modules/{release}/vmlinuz, found neither"
    )]
    NoKernelImage {
        /// Kernel release.
        release: String,
    },
    /// Assembly.
    #[error("uki: {0}")]
    Assemble(#[from] pe::AssembleError),
    /// The assembled image does not parse.
    #[error("uki: {0}")]
    Pe(#[from] pe::PeError),
    /// Prediction.
    #[error("uki: {0}")]
    Measure(#[from] measure::MeasureError),
    /// `.pcrsig`.
    #[error("uki: {0}")]
    PcrSig(#[from] bennu_uki::pcrsig::PcrSigError),
    /// Signing.
    #[error("uki: {0}")]
    Sign(#[from] authenticode::AuthenticodeError),
    /// Keys.
    #[error("uki: {0}")]
    Key(#[from] bennu_uki::keys::KeyError),
}

/// Kernel and stub out of the boot tree.
pub struct BootParts {
    /// Kernel release, as `6.12.1-amd64`.
    pub release: String,
    /// Kernel image.
    pub kernel: Vec<u8>,
    /// What it can do.
    pub ability: KernelAbility,
    /// systemd-stub.
    pub stub: Vec<u8>,
    /// systemd-boot, unsigned.
    pub loader: Vec<u8>,
}

impl BootParts {
    /// Finds them.
    ///
    /// # Errors
    /// See [`UkiError`].
    pub fn read(boot: &Tree) -> Result<Self, UkiError> {
        let mut releases = Vec::new();
        for (name, _) in boot.list("/usr/lib/modules")? {
            releases.push(String::from_utf8_lossy(name).into_owned());
        }
        let [release] = releases.as_slice() else {
            return Err(UkiError::Kernels {
                found: format!("{releases:?}"),
            });
        };
        let candidates = [
            format!("/boot/vmlinuz-{release}"),
            format!("/usr/lib/modules/{release}/vmlinuz"),
        ];
        let mut kernel = None;
        for path in &candidates {
            if boot.get_following(path)?.is_some() {
                kernel = Some(boot.read_file(path, MAX_PART_BYTES)?);
                break;
            }
        }
        let mut config = Vec::new();
        for path in [
            format!("/boot/config-{release}"),
            format!("/usr/lib/modules/{release}/config"),
        ] {
            if boot.get_following(&path)?.is_some() {
                config = boot.read_file(&path, MAX_CONFIG_BYTES)?;
                break;
            }
        }
        Ok(Self {
            ability: KernelAbility::of(release, &String::from_utf8_lossy(&config)),
            kernel: kernel.ok_or_else(|| UkiError::NoKernelImage {
                release: release.clone(),
            })?,
            stub: boot.read_file(STUB, MAX_PART_BYTES)?,
            loader: boot.read_file(LOADER, MAX_PART_BYTES)?,
            release: release.clone(),
        })
    }
}

/// A signed UKI with what it will measure.
pub struct Uki {
    /// The signed file.
    pub bytes: Vec<u8>,
    /// Predicted PCRs.
    pub pcrs: PredictedPcrs,
    /// Stub version, as `.sdmagic` spells it.
    pub stub_version: String,
}

/// Assembles, predicts and signs.
///
/// # Errors
/// See [`UkiError`].
pub fn build(
    plan: &Plan,
    parts: &BootParts,
    os_release: &str,
    root_hash: &RootHash,
    initrd: &[u8],
    keys: &KeySet,
) -> Result<Uki, UkiError> {
    let options = plan.hardening.options(parts.ability);
    let cmdline = cmdline::compose(root_hash, &options, &plan.cmdline);
    let pcrpkey = keys.policy_public.to_spki_pem()?;
    let mut sections = vec![
        Section {
            name: ".osrel",
            data: os_release.as_bytes(),
        },
        Section {
            name: ".cmdline",
            data: cmdline.as_bytes(),
        },
        Section {
            name: ".uname",
            data: parts.release.as_bytes(),
        },
        Section {
            name: ".pcrpkey",
            data: pcrpkey.as_bytes(),
        },
        Section {
            name: ".initrd",
            data: initrd,
        },
        Section {
            name: ".linux",
            data: &parts.kernel,
        },
    ];
    // `.pcrsig` is not measured, so the prediction of the image without it holds for the image with it.
    let unsigned = pe::assemble(&parts.stub, &sections)?;
    let prediction = measure::predict_pcr11(&unsigned, Bank::Sha256)?;
    let pcrsig = PcrSignatures::sign(&prediction, &keys.policy)?.to_json()?;
    sections.insert(
        4,
        Section {
            name: ".pcrsig",
            data: pcrsig.as_bytes(),
        },
    );
    let image = pe::assemble(&parts.stub, &sections)?;
    let pcrs = predict(&image)?;
    let stub_version = stub_version(&PeImage::parse(&image)?);
    let bytes = authenticode::sign(&image, &keys.db.key, &keys.db.certificate)?;
    Ok(Uki {
        bytes,
        pcrs,
        stub_version,
    })
}

/// What a UKI, signed or not, will make of the PCRs.
///
/// # Errors
/// It is no UKI with a stub whose measurements are known.
pub fn predict(image: &[u8]) -> Result<PredictedPcrs, measure::MeasureError> {
    let parsed = PeImage::parse(image)?;
    let version = StubVersion::of(&parsed)?;
    let prediction = measure::predict_pcr11(image, Bank::Sha256)?;
    let pcr12 = measure::predict_pcr12(version, parsed.section_data(".cmdline"), Bank::Sha256)?;
    let after = |phase| digest(prediction.after(phase));
    let measured = measure::measured_sections(&parsed)?;
    Ok(PredictedPcrs {
        sections: measured
            .into_iter()
            .map(|(name, content)| (name.to_owned(), Sha256Digest::of(content)))
            .collect(),
        pcr11_sections: digest(&prediction.after_sections),
        pcr11_enter_initrd: after(Phase::EnterInitrd),
        pcr11_leave_initrd: after(Phase::LeaveInitrd),
        pcr11_sysinit: after(Phase::Sysinit),
        pcr11_ready: after(Phase::Ready),
        pcr12: digest(&pcr12),
        pcr13: Sha256Digest::ZERO,
    })
}

/// A value of the SHA-256 bank.
pub fn digest(value: &measure::PcrValue) -> Sha256Digest {
    let mut bytes = [0; 32];
    let found = value.as_bytes();
    let length = found.len().min(32);
    bytes[..length].copy_from_slice(&found[..length]);
    Sha256Digest(bytes)
}

/// The version in `#### LoaderInfo: systemd-stub 257.13-1 ####`.
pub fn stub_version(image: &PeImage<'_>) -> String {
    let magic = image
        .section_data(".sdmagic")
        .map(|b| String::from_utf8_lossy(b).into_owned())
        .unwrap_or_default();
    magic
        .split("systemd-stub ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or("unknown")
        .to_owned()
}
