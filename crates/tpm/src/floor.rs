//! The anti-rollback floor: an 8-byte NV index that the signed policies of all releases compare with.
//!
//! Its Name binds handle, attributes and write policy, so a release signed at build time can only mean this very
//! index: one that was removed and defined anew otherwise has another Name, and PolicyNV fails. Written once with
//! zero, right after it was defined; from then on only by a release whose own policy is fulfilled, PolicyNV
//! included: a release below the floor cannot lower it. Removing it takes the owner's authorisation, which
//! provisioning makes random.
//!
//! Write policy = PolicyOR(PolicyAuthorize(key, policyRef), PolicyNvWritten(NO)).

use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::{NvAttributes, NvAuth, NvPublic, StorageKey};
use crate::error::TpmError;
use crate::policy::{
    EMPTY, NvCompare, NvCondition, NvWritten, policy_authorize_digest, policy_nv_written_digest,
    policy_or_digest,
};
use crate::public::Name;
use crate::seal::SrkTrust;
use crate::session::{Auth, Session, SessionKind};
use crate::transport::Transport;
use crate::unseal::{ReleasePolicy, UnsealError, pause};

/// Policy sessions tried while PCRs change under us.
const WRITE_ATTEMPTS: u32 = 12;
/// Bytes of the index: an unsigned number, big-endian.
const FLOOR_BYTES: u16 = 8;

/// Where the floor lies and what is allowed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloorIndex {
    /// Handle of the index.
    pub index: u32,
    /// Attributes without `WRITTEN`: policy-write, auth-read, not under the lockout.
    pub attributes: NvAttributes,
}

/// The floor of one policy key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    public: NvPublic,
    branches: [[u8; 32]; 2],
}

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

/// The floor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// The index is there with other attributes, policy or size.
    #[error(
        "floor: expected an nv index {index:#x} with name {expected}, found {found}; it is not ours, clear the tpm"
    )]
    Foreign {
        /// Handle.
        index: u32,
        /// Name that releases are signed for.
        expected: Name,
        /// Name found.
        found: Name,
    },
    /// The TPM shows another storage key than the one that secrets were sealed under.
    #[error(
        "floor: expected storage key {expected}, found {found}; something between us and the tpm answers for it"
    )]
    SrkDiffers {
        /// Pinned Name.
        expected: Name,
        /// Name the TPM shows.
        found: Name,
    },
    /// The owner hierarchy has an authorisation that we do not know.
    #[error("floor: the tpm has an owner already; clear it in the firmware's setup")]
    Owned,
    /// The release's policy is not fulfilled.
    #[error("floor: {0}")]
    Policy(#[source] UnsealError),
    /// Another failure of an exchange.
    #[error("floor: {0}")]
    Tpm(#[from] TpmError),
}

impl Floor {
    /// The floor that `key` guards with signatures for `policy_ref`.
    #[must_use]
    pub fn new(place: FloorIndex, key: &Name, policy_ref: &[u8]) -> Self {
        let branches = [
            policy_authorize_digest(key, policy_ref),
            policy_nv_written_digest(&EMPTY, NvWritten::No),
        ];
        let public = NvPublic {
            index: place.index,
            attributes: place.attributes,
            auth_policy: Some(policy_or_digest(&branches)),
            size: FLOOR_BYTES,
        };
        Self { public, branches }
    }

    /// The Name as policies bind it: of the written index.
    #[must_use]
    pub fn name(&self) -> Name {
        self.public.written().name()
    }

    /// floor ≤ `security_version`, as a release's policy has it.
    #[must_use]
    pub fn at_most(&self, security_version: u64) -> NvCondition {
        NvCondition {
            nv: self.public.written(),
            compare: NvCompare::AtMost,
            operand: security_version.to_be_bytes().to_vec(),
            offset: 0,
        }
    }
}

impl<T: Transport> Client<T> {
    /// Reads the floor. Its value comes through a session salted to the storage key that `trust` allows; what
    /// enforces it is the TPM's own comparison.
    ///
    /// # Errors
    ///
    /// [`FloorError::Foreign`], [`FloorError::SrkDiffers`], or that of an exchange.
    pub fn floor(&mut self, floor: &Floor, trust: SrkTrust) -> Result<FloorState, FloorError> {
        let index = floor.public.index;
        let found = match self.nv_read_public(index) {
            Ok(found) => found,
            Err(error) if error.base_code() == Some(ResponseCode::HANDLE) => return Ok(FloorState::Absent),
            Err(error) => return Err(error.into()),
        };
        if found == floor.public {
            return Ok(FloorState::Unwritten);
        }
        let written = floor.public.written();
        if found != written {
            let (expected, found) = (written.name(), found.name());
            return Err(FloorError::Foreign {
                index,
                expected,
                found,
            });
        }
        let srk = self.storage_key()?;
        let act = self.read_floor_under(&srk, &written, trust);
        Ok(FloorState::At(self.release_storage_key(&srk, act)?))
    }

    fn read_floor_under(
        &mut self,
        srk: &StorageKey,
        nv: &NvPublic,
        trust: SrkTrust,
    ) -> Result<u64, FloorError> {
        match trust {
            // Before anything is salted to it: a stranger's key protects nothing.
            SrkTrust::Pinned(expected) if expected != srk.name() => {
                let found = srk.name();
                Err(FloorError::SrkDiffers { expected, found })
            }
            SrkTrust::Pinned(_) | SrkTrust::FirstUse => Ok(self.read_floor(srk, nv)?),
        }
    }

    fn read_floor(&mut self, srk: &StorageKey, nv: &NvPublic) -> Result<u64, TpmError> {
        let mut session = self.start_session(srk, SessionKind::Hmac)?;
        let auth = NvAuth::Index(Auth::session(&mut session));
        let act = self.nv_read(nv, auth, FLOOR_BYTES);
        let bytes = self.flush_after(session.handle(), act)?;
        let found = bytes.len();
        let number = <[u8; 8]>::try_from(bytes.as_slice()).map_err(|_| TpmError::Malformed {
            command: "TPM2_NV_Read",
            source: crate::WireError::Truncated {
                field: "floor",
                expected: FLOOR_BYTES.into(),
                found,
            },
        })?;
        Ok(u64::from_be_bytes(number))
    }

    /// Defines the floor if it is absent and writes zero to it, where it was never written. The owner's
    /// authorisation is still empty at this moment.
    ///
    /// # Errors
    ///
    /// [`FloorError::Owned`], or that of an exchange.
    pub fn begin_floor(&mut self, floor: &Floor) -> Result<(), FloorError> {
        match self.nv_define(Auth::Password(&[]), &floor.public) {
            Err(error) if error.base_code() == Some(ResponseCode::BAD_AUTH) => return Err(FloorError::Owned),
            Err(error) if error.base_code() == Some(ResponseCode::NV_DEFINED) => {}
            defined => defined?,
        }
        let srk = self.storage_key()?;
        let act = self.write_first(&srk, floor);
        Ok(self.release_storage_key(&srk, act)?)
    }

    fn write_first(&mut self, srk: &StorageKey, floor: &Floor) -> Result<(), TpmError> {
        let mut session = self.start_session(srk, SessionKind::Policy)?;
        let act = self
            .policy_nv_written(&session, NvWritten::No)
            .and_then(|()| self.write_floor(&mut session, floor, &floor.public, 0));
        self.flush_after(session.handle(), act)
    }

    fn write_floor(
        &mut self,
        session: &mut Session,
        floor: &Floor,
        now: &NvPublic,
        value: u64,
    ) -> Result<(), TpmError> {
        self.policy_or(session, &floor.branches)?;
        self.nv_write(now, NvAuth::Index(Auth::session(session)), &value.to_be_bytes())
    }

    /// Raises the floor to `value`. The TPM lets only a release do so that fulfils its own signed policy.
    ///
    /// # Errors
    ///
    /// [`FloorError::Policy`], or that of an exchange.
    pub fn raise_floor(
        &mut self,
        floor: &Floor,
        policy: &ReleasePolicy,
        value: u64,
    ) -> Result<(), FloorError> {
        let srk = self.storage_key()?;
        let act = self.raise_under(&srk, floor, policy, value);
        self.release_storage_key(&srk, act)
    }

    fn raise_under(
        &mut self,
        srk: &StorageKey,
        floor: &Floor,
        policy: &ReleasePolicy,
        value: u64,
    ) -> Result<(), FloorError> {
        let written = floor.public.written();
        for attempt in 1..=WRITE_ATTEMPTS {
            let mut session = self.release_session(srk, policy).map_err(FloorError::Policy)?;
            let act = self.write_floor(&mut session, floor, &written, value);
            match self.flush_after(session.handle(), act) {
                Err(error) if error.base_code() == Some(ResponseCode::PCR_CHANGED) => pause(attempt)?,
                result => return Ok(result?),
            }
        }
        Err(FloorError::Policy(UnsealError::PcrsKeepChanging {
            attempts: WRITE_ATTEMPTS,
        }))
    }
}
