//! Whether a release may use a state volume that another release has written.

use bennu_formats::Code;
use bennu_formats::boot_record::Failure;
use bennu_formats::state_schema::StateSchema;

/// What a release says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Its `state_schema`.
    pub state_schema: u32,
    /// The lowest `state_schema` that reads what it writes.
    pub readable_from: u32,
}

/// The record that the volume is to have while `release` uses it. `found` is the record on it; none, on a volume that
/// was just made or was last used by a release that kept no record.
///
/// Both numbers only rise: an older release that can read a newer one's files does not undo them.
///
/// # Errors
/// `STATE-SCHEMA`: the release cannot read the volume.
pub fn decide(found: Option<StateSchema>, release: Release) -> Result<StateSchema, Failure> {
    let own = StateSchema::new(release.state_schema, release.readable_from);
    let Some(found) = found else { return Ok(own) };
    if release.state_schema < found.readable_from {
        return Err(Failure::new(
            Code::StateSchema,
            &format!(
                "state volume: expected one that a release of state schema {} can read, found one written with {}, \
                 readable from {} on",
                release.state_schema, found.written, found.readable_from
            ),
        ));
    }
    Ok(StateSchema::new(
        own.written.max(found.written),
        own.readable_from.max(found.readable_from),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn release(state_schema: u32, readable_from: u32) -> Release {
        Release {
            state_schema,
            readable_from,
        }
    }

    #[test]
    fn a_volume_without_a_record_takes_the_releases_own() {
        assert_eq!(decide(None, release(2, 1)), Ok(StateSchema::new(2, 1)));
    }

    #[test]
    fn a_newer_release_raises_the_record_and_an_older_one_that_can_read_it_does_not_lower_it() {
        let old = StateSchema::new(1, 1);
        let raised = decide(Some(old), release(2, 1)).unwrap();
        assert_eq!(raised, StateSchema::new(2, 1));
        assert_eq!(decide(Some(raised), release(1, 1)), Ok(raised));
        assert_eq!(decide(Some(raised), release(3, 3)), Ok(StateSchema::new(3, 3)));
    }

    #[test]
    fn an_older_release_that_cannot_read_it_is_refused_by_code() {
        let newer = StateSchema::new(3, 2);
        let refused = decide(Some(newer), release(1, 1)).unwrap_err();
        assert_eq!(refused.code, Code::StateSchema);
        assert_eq!(
            refused.reason,
            "state volume: expected one that a release of state schema 1 can read, found one written with 3, readable \
             from 2 on"
        );
        assert!(decide(Some(newer), release(2, 2)).is_ok(), "positive control");
    }
}
