//! What the kernel says of the root's dm-verity device. Only root may ask.

use bennu_linux::dm::{DeviceMapper, DmError, Name};
use serde::{Deserialize, Serialize};

/// dm-verity's state (Documentation/admin-guide/device-mapper/verity.rst, "Status").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum VerityState {
    /// `V`: every block that was read was the right one.
    Verified,
    /// `C`: a block did not match.
    Corrupted,
    /// Not known.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Asks the kernel for the device `number` (`major:minor`).
pub fn ask(number: &str) -> VerityState {
    if !rustix::process::geteuid().is_root() {
        return VerityState::Unknown {
            why: "needs root".to_owned(),
        };
    }
    status_words(number).unwrap_or_else(|error| VerityState::Unknown {
        why: error.to_string(),
    })
}

fn status_words(number: &str) -> Result<VerityState, DmError> {
    let dm = DeviceMapper::open()?;
    let found = dm
        .devices()?
        .into_iter()
        .find(|(_, device)| device.to_string() == number);
    let Some((name, _)) = found else {
        let why = format!("expected a device-mapper device {number}, found none");
        return Ok(VerityState::Unknown { why });
    };
    let line = dm.status(&Name::new(&name)?)?;
    Ok(state(line.target(), line.params()))
}

/// `V` or `C` come first; kernels with error correction may add words.
fn state(target: &str, params: &str) -> VerityState {
    match (target, params.split(' ').next()) {
        ("verity", Some("V")) => VerityState::Verified,
        ("verity", Some("C")) => VerityState::Corrupted,
        _ => VerityState::Unknown {
            why: format!("expected verity V or C, found {target} {params}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_words_for_verity_count() {
        assert_eq!(state("verity", "V"), VerityState::Verified);
        assert_eq!(state("verity", "V 0"), VerityState::Verified);
        assert_eq!(state("verity", "C"), VerityState::Corrupted);
        for (target, params) in [("verity", ""), ("verity", "VX"), ("linear", "V")] {
            assert!(
                matches!(state(target, params), VerityState::Unknown { .. }),
                "{target} {params}"
            );
        }
    }
}
