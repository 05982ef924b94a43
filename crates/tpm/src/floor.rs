//! The anti-rollback floor: an 8-byte guarded NV index that the signed policies of all releases compare with.
//!
//! Begun at zero, or at a release's number where a machine comes to another TPM. A release below it fulfils no policy,
//! its own included, so it neither unseals nor lowers it.

use crate::client::Client;
use crate::guarded::{GuardedError, GuardedIndex, GuardedState, IndexPlace};
use crate::policy::{NvCompare, NvCondition};
use crate::public::Name;
use crate::seal::SrkTrust;
use crate::transport::Transport;
use crate::unseal::ReleasePolicy;

/// The floor of one policy key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor(GuardedIndex);

/// What the TPM holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloorState {
    /// No index.
    Absent,
    /// Defined and never written: the power was cut in between.
    Unwritten,
    /// The floor.
    At(u64),
}

impl Floor {
    /// The floor at `place` (8 bytes) that `key` guards with signatures for `policy_ref`.
    #[must_use]
    pub fn new(place: IndexPlace, key: &Name, policy_ref: &[u8]) -> Self {
        Self(GuardedIndex::new(place, key, policy_ref))
    }

    /// The Name as policies bind it: of the written index.
    #[must_use]
    pub fn name(&self) -> Name {
        self.0.written().name()
    }

    /// floor ≤ `security_version`, as a release's policy has it.
    #[must_use]
    pub fn at_most(&self, security_version: u64) -> NvCondition {
        NvCondition {
            nv: self.0.written(),
            compare: NvCompare::AtMost,
            operand: security_version.to_be_bytes().to_vec(),
            offset: 0,
        }
    }
}

impl<T: Transport> Client<T> {
    /// Reads the floor through a session salted to the storage key that `trust` allows. What enforces it is the
    /// TPM's own comparison.
    ///
    /// # Errors
    ///
    /// [`GuardedError::Foreign`], [`GuardedError::SrkDiffers`], or that of an exchange.
    pub fn floor(&mut self, floor: &Floor, trust: SrkTrust) -> Result<FloorState, GuardedError> {
        Ok(match self.guarded_under(&floor.0, trust)? {
            GuardedState::Absent => FloorState::Absent,
            GuardedState::Unwritten => FloorState::Unwritten,
            GuardedState::Holds(bytes) => {
                let number = bytes
                    .iter()
                    .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
                FloorState::At(number)
            }
        })
    }

    /// Begins the floor at zero on a TPM without an owner.
    ///
    /// # Errors
    ///
    /// As [`Client::begin_guarded`].
    pub fn begin_floor(&mut self, floor: &Floor) -> Result<(), GuardedError> {
        self.begin_floor_at(floor, 0)
    }

    /// Begins the floor at `value`: for a machine that has had one, in another TPM or in this one before it was
    /// cleared.
    ///
    /// # Errors
    ///
    /// As [`Client::begin_guarded`].
    pub fn begin_floor_at(&mut self, floor: &Floor, value: u64) -> Result<(), GuardedError> {
        self.begin_guarded(&floor.0, &[], &value.to_be_bytes())
    }

    /// Raises the floor to `value`.
    ///
    /// # Errors
    ///
    /// As [`Client::write_guarded`].
    pub fn raise_floor(
        &mut self,
        floor: &Floor,
        policy: &ReleasePolicy,
        value: u64,
    ) -> Result<(), GuardedError> {
        self.write_guarded(&floor.0, policy, &value.to_be_bytes())
    }
}
