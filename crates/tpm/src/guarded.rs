//! NV indices that only a fulfilled release policy writes: the anti-rollback floor, and what else the initrd pins.
//!
//! The Name of such an index binds handle, attributes and write policy, so whoever knows the Name knows who can have
//! written the content: one that was removed and defined anew otherwise has another Name. It is written once freely,
//! right after it was defined; from then on only by a release whose own policy is fulfilled. Removing it takes the
//! owner's authorisation, which provisioning makes random.
//!
//! Write policy = PolicyOR(PolicyAuthorize(key, policyRef), PolicyNvWritten(NO)). Normative: `docs/spec/floor.md`.

use zeroize::Zeroizing;

use crate::client::Client;
use crate::code::ResponseCode;
use crate::command::{NvAttributes, NvAuth, NvPublic, StorageKey};
use crate::error::TpmError;
use crate::policy::{EMPTY, NvWritten, policy_authorize_digest, policy_nv_written_digest, policy_or_digest};
use crate::public::Name;
use crate::seal::SrkTrust;
use crate::session::{Auth, Session, SessionKind};
use crate::transport::Transport;
use crate::unseal::{ReleasePolicy, UnsealError, pause};

/// Policy sessions tried while PCRs change under us.
const WRITE_ATTEMPTS: u32 = 12;

/// Where an index lies and what is allowed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexPlace {
    /// Handle of the index.
    pub index: u32,
    /// Attributes without `WRITTEN`: policy-write, auth-read, not under the lockout.
    pub attributes: NvAttributes,
    /// Bytes of its content, at most 512.
    pub size: u16,
}

/// An index that the holder of a policy key guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardedIndex {
    public: NvPublic,
    branches: [[u8; 32]; 2],
}

/// What the TPM holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardedState {
    /// No index.
    Absent,
    /// Defined and never written: the power was cut in between.
    Unwritten,
    /// Its content.
    Holds(Vec<u8>),
}

/// A guarded index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GuardedError {
    /// The index is there with other attributes, policy or size.
    #[error("nv index {index:#x}: expected name {expected}, found {found}; it is not ours, clear the tpm")]
    Foreign {
        /// Handle.
        index: u32,
        /// Name that releases know.
        expected: Name,
        /// Name found.
        found: Name,
    },
    /// The TPM shows another storage key than the one that secrets were sealed under.
    #[error(
        "nv index: expected storage key {expected}, found {found}; something between us and the tpm answers for it"
    )]
    SrkDiffers {
        /// Pinned Name.
        expected: Name,
        /// Name the TPM shows.
        found: Name,
    },
    /// The owner hierarchy has an authorisation that we do not know.
    #[error("nv index {index:#x}: the tpm has an owner already; clear it in the firmware's setup")]
    Owned {
        /// Handle.
        index: u32,
    },
    /// The release's policy is not fulfilled.
    #[error("nv index: {0}")]
    Policy(#[source] UnsealError),
    /// Another failure of an exchange.
    #[error("nv index: {0}")]
    Tpm(#[from] TpmError),
}

impl GuardedIndex {
    /// The index at `place` that `key` guards with signatures for `policy_ref`.
    #[must_use]
    pub fn new(place: IndexPlace, key: &Name, policy_ref: &[u8]) -> Self {
        let branches = [
            policy_authorize_digest(key, policy_ref),
            policy_nv_written_digest(&EMPTY, NvWritten::No),
        ];
        let public = NvPublic {
            index: place.index,
            attributes: place.attributes,
            auth_policy: Some(policy_or_digest(&branches)),
            size: place.size,
        };
        Self { public, branches }
    }

    /// The index after its first write, whose Name policies bind.
    #[must_use]
    pub fn written(&self) -> NvPublic {
        self.public.written()
    }
}

impl<T: Transport> Client<T> {
    /// Reads an index through a salted session.
    ///
    /// # Errors
    ///
    /// [`GuardedError::Foreign`], or that of an exchange.
    pub fn guarded(&mut self, guarded: &GuardedIndex) -> Result<GuardedState, GuardedError> {
        self.guarded_under(guarded, SrkTrust::FirstUse)
    }

    /// The same through a session salted to the storage key that `trust` allows.
    pub(crate) fn guarded_under(
        &mut self,
        guarded: &GuardedIndex,
        trust: SrkTrust,
    ) -> Result<GuardedState, GuardedError> {
        let index = guarded.public.index;
        let found = match self.nv_read_public(index) {
            Ok(found) => found,
            Err(error) if error.base_code() == Some(ResponseCode::HANDLE) => return Ok(GuardedState::Absent),
            Err(error) => return Err(error.into()),
        };
        if found == guarded.public {
            return Ok(GuardedState::Unwritten);
        }
        let written = guarded.written();
        if found != written {
            let (expected, found) = (written.name(), found.name());
            return Err(GuardedError::Foreign {
                index,
                expected,
                found,
            });
        }
        let srk = self.storage_key()?;
        let act = match trust {
            // Before anything is salted to it: a stranger's key protects nothing.
            SrkTrust::Pinned(expected) if expected != srk.name() => {
                let found = srk.name();
                Err(GuardedError::SrkDiffers { expected, found })
            }
            SrkTrust::Pinned(_) | SrkTrust::FirstUse => {
                self.read_guarded(&srk, &written).map_err(GuardedError::from)
            }
        };
        let content = self.release_storage_key(&srk, act)?;
        Ok(GuardedState::Holds(content.to_vec()))
    }

    fn read_guarded(&mut self, srk: &StorageKey, nv: &NvPublic) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let mut session = self.start_session(srk, SessionKind::Hmac)?;
        let auth = NvAuth::Index(Auth::session(&mut session));
        let act = self.nv_read(nv, auth, nv.size);
        let content = self.flush_after(session.handle(), act)?;
        if content.len() == usize::from(nv.size) {
            return Ok(content);
        }
        Err(TpmError::Malformed {
            command: "TPM2_NV_Read",
            source: crate::WireError::Truncated {
                field: "nv data",
                expected: nv.size.into(),
                found: content.len(),
            },
        })
    }

    /// Defines an index if it is absent and writes `content` to it, where it was never written. The owner's
    /// authorisation is `owner`; empty on a TPM without one.
    ///
    /// # Errors
    ///
    /// [`GuardedError::Owned`], or that of an exchange.
    pub fn begin_guarded(
        &mut self,
        guarded: &GuardedIndex,
        owner: &[u8],
        content: &[u8],
    ) -> Result<(), GuardedError> {
        let srk = self.storage_key()?;
        let act = self.begin_under(&srk, guarded, owner, content);
        self.release_storage_key(&srk, act)
    }

    fn begin_under(
        &mut self,
        srk: &StorageKey,
        guarded: &GuardedIndex,
        owner: &[u8],
        content: &[u8],
    ) -> Result<(), GuardedError> {
        let mut session = self.start_session(srk, SessionKind::Hmac)?;
        let auth = Auth::Session {
            session: &mut session,
            auth_value: owner,
        };
        let defined = self.nv_define(auth, &guarded.public);
        match self.flush_after(session.handle(), defined) {
            Err(error) if error.base_code() == Some(ResponseCode::BAD_AUTH) => {
                let index = guarded.public.index;
                return Err(GuardedError::Owned { index });
            }
            Err(error) if error.base_code() == Some(ResponseCode::NV_DEFINED) => {}
            defined => defined?,
        }
        let mut session = self.start_session(srk, SessionKind::Policy)?;
        let act = self
            .policy_nv_written(&session, NvWritten::No)
            .and_then(|()| self.write_with(&mut session, guarded, &guarded.public, content));
        Ok(self.flush_after(session.handle(), act)?)
    }

    fn write_with(
        &mut self,
        session: &mut Session,
        guarded: &GuardedIndex,
        now: &NvPublic,
        content: &[u8],
    ) -> Result<(), TpmError> {
        self.policy_or(session, &guarded.branches)?;
        self.nv_write(now, NvAuth::Index(Auth::session(session)), content)
    }

    /// Replaces the content. The TPM lets only a release do so that fulfils its own signed policy.
    ///
    /// # Errors
    ///
    /// [`GuardedError::Policy`], or that of an exchange.
    pub fn write_guarded(
        &mut self,
        guarded: &GuardedIndex,
        policy: &ReleasePolicy,
        content: &[u8],
    ) -> Result<(), GuardedError> {
        let srk = self.storage_key()?;
        let act = self.write_under(&srk, guarded, policy, content);
        self.release_storage_key(&srk, act)
    }

    fn write_under(
        &mut self,
        srk: &StorageKey,
        guarded: &GuardedIndex,
        policy: &ReleasePolicy,
        content: &[u8],
    ) -> Result<(), GuardedError> {
        let written = guarded.written();
        for attempt in 1..=WRITE_ATTEMPTS {
            let mut session = self.release_session(srk, policy).map_err(GuardedError::Policy)?;
            let act = self.write_with(&mut session, guarded, &written, content);
            match self.flush_after(session.handle(), act) {
                Err(error) if error.base_code() == Some(ResponseCode::PCR_CHANGED) => pause(attempt)?,
                result => return Ok(result?),
            }
        }
        Err(GuardedError::Policy(UnsealError::PcrsKeepChanging {
            attempts: WRITE_ATTEMPTS,
        }))
    }
}
