//! What a UKI says about itself and what it will make of the PCRs.

use crate::steps::{os_release, uki};
use bennu_formats::cmdline::{self, CmdlineError};
use bennu_formats::digest::{RootHash, Sha256Digest};
use bennu_formats::manifest::PredictedPcrs;
use bennu_formats::{ImageId, ImageVersion};
use bennu_uki::measure::MeasureError;
use bennu_uki::pe::{PeError, PeImage};

/// Longest command line or os-release that is shown or searched, in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// A UKI taken apart.
#[derive(Debug)]
pub struct UkiFacts {
    /// SHA-256 of the file.
    pub sha256: Sha256Digest,
    /// Length in bytes.
    pub bytes: u64,
    /// Sections with their sizes in memory, in the file's order.
    pub sections: Vec<(String, u32)>,
    /// `.cmdline`.
    pub cmdline: Option<String>,
    /// The root hash in it.
    pub root_hash: Result<RootHash, CmdlineError>,
    /// `.osrel`.
    pub os_release: String,
    /// `.uname`.
    pub uname: Option<String>,
    /// Version in `.sdmagic`.
    pub stub_version: String,
    /// Predicted PCRs.
    pub pcrs: Result<PredictedPcrs, MeasureError>,
    /// `.pcrsig`.
    pub pcrsig: Option<Vec<u8>>,
    /// `.pcrpkey`.
    pub pcrpkey: Option<Vec<u8>>,
}

impl UkiFacts {
    /// Takes `image` apart.
    ///
    /// # Errors
    /// It is no PE32+ image.
    pub fn of(image: &[u8]) -> Result<Self, PeError> {
        let pe = PeImage::parse(image)?;
        let owned = |name: &str| pe.section_data(name).map(<[u8]>::to_vec);
        let text = |name: &str| pe.section_data(name).map(text);
        Ok(Self {
            sha256: Sha256Digest::of(image),
            bytes: image.len() as u64,
            sections: pe
                .sections()
                .iter()
                .map(|s| (s.name.to_string(), s.virtual_size))
                .collect(),
            cmdline: text(".cmdline"),
            root_hash: cmdline::root_hash(pe.section_data(".cmdline").unwrap_or_default()),
            os_release: text(".osrel").unwrap_or_default(),
            uname: text(".uname"),
            stub_version: uki::stub_version(&pe),
            pcrs: uki::predict(image),
            pcrsig: owned(".pcrsig"),
            pcrpkey: owned(".pcrpkey"),
        })
    }

    /// `IMAGE_ID` and `IMAGE_VERSION` of `.osrel`; `None` where one is missing, there twice or malformed.
    pub fn identity(&self) -> Option<(ImageId, ImageVersion)> {
        let value = |key| os_release::value(&self.os_release, key);
        Some((
            value("IMAGE_ID")?.parse().ok()?,
            value("IMAGE_VERSION")?.parse().ok()?,
        ))
    }
}

/// A section's text up to its first NUL, at most [`MAX_TEXT_BYTES`] of it.
fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(bytes.len())
        .min(MAX_TEXT_BYTES);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
