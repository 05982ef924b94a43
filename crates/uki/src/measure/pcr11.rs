//! PCR 11: for each measured section the name with its terminating NUL, then the content; then the phases.

use super::{Bank, MeasureError, PcrValue, Phase, StubVersion};
use crate::pe::{PeImage, SectionHeader};

/// PCR 11 of a UKI, before and after each phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcr11Prediction {
    /// When the stub has measured its sections and starts the kernel.
    pub after_sections: PcrValue,
    /// After each phase, in [`Phase::ALL`]'s order.
    pub by_phase: [(Phase, PcrValue); 4],
}

impl Pcr11Prediction {
    /// The value after this phase.
    pub fn after(&self, phase: Phase) -> &PcrValue {
        &self.by_phase[phase as usize].1
    }

    fn from_sections(after_sections: PcrValue) -> Self {
        let mut value = after_sections.clone();
        let by_phase = Phase::ALL.map(|phase| {
            value = value.measure(phase.word().as_bytes());
            (phase, value.clone())
        });
        Self {
            after_sections,
            by_phase,
        }
    }
}

/// Predicts PCR 11 of a UKI, signed or not, as the stub inside it measures.
///
/// # Errors
/// [`MeasureError`] if the image is no UKI with a known stub, or its sections cannot be predicted.
pub fn predict_pcr11(uki: &[u8], bank: Bank) -> Result<Pcr11Prediction, MeasureError> {
    let image = PeImage::parse(uki)?;
    let version = StubVersion::of(&image)?;
    Ok(predict_pcr11_of(version, &measured_sections(&image)?, bank))
}

/// The sections that the stub in a UKI measures, in its order: name and content.
///
/// # Errors
/// As [`predict_pcr11`].
pub fn measured_sections<'a>(image: &PeImage<'a>) -> Result<Vec<(&'static str, &'a [u8])>, MeasureError> {
    let version = StubVersion::of(image)?;
    check_names(image, version)?;
    if image
        .section(".linux")
        .is_none_or(|kernel| kernel.virtual_size == 0)
    {
        return Err(MeasureError::NoKernel);
    }
    let mut sections = Vec::new();
    for &name in version.measured_sections() {
        let Some(section) = image.section(name).filter(|s| s.virtual_size > 0) else {
            continue;
        };
        let SectionHeader {
            name: header_name,
            virtual_size,
            raw_size,
            ..
        } = *section;
        if virtual_size > raw_size {
            return Err(MeasureError::SectionNotInFile {
                name: header_name,
                virtual_size,
                raw_size,
            });
        }
        sections.push((name, image.data(section)));
    }
    Ok(sections)
}

/// Predicts PCR 11 of the given section contents, for when there is no UKI yet. Their order does not matter;
/// sections that `version` does not measure, and empty ones, are ignored.
pub fn predict_pcr11_of(version: StubVersion, sections: &[(&str, &[u8])], bank: Bank) -> Pcr11Prediction {
    let mut value = PcrValue::zero(bank);
    for &name in version.measured_sections() {
        let content = sections
            .iter()
            .find(|(other, data)| *other == name && !data.is_empty());
        if let Some((_, data)) = content {
            value = value.measure(&[name.as_bytes(), b"\0"].concat()).measure(data);
        }
    }
    Pcr11Prediction::from_sections(value)
}

/// Refuses what the stub and we could read differently. Stub 252 compares only as many characters as its own
/// name has (`.dtbauto` counts as `.dtb`) and takes the last match; stub 257 compares whole names and takes
/// the first.
fn check_names(image: &PeImage<'_>, version: StubVersion) -> Result<(), MeasureError> {
    for (i, section) in image.sections().iter().enumerate() {
        let name = section.name;
        if version
            .unpredictable_sections()
            .iter()
            .any(|other| name == **other)
        {
            return Err(MeasureError::Unpredictable { name });
        }
        let twice = image.sections()[..i].iter().any(|other| other.name == name);
        let measured = version.measured_sections().iter().any(|m| match version {
            StubVersion::V252 => name.as_bytes().starts_with(m.as_bytes()),
            StubVersion::V257 => name == **m,
        });
        let exact = version.measured_sections().iter().any(|m| name == **m);
        if measured && (twice || !exact) {
            return Err(MeasureError::AmbiguousSection { name });
        }
    }
    Ok(())
}
