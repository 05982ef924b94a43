//! The storage root key and what provisioning does to hierarchies: TPM2_CreatePrimary (Part 3, 24.1),
//! TPM2_EvictControl (28.5), TPM2_HierarchyChangeAuth (24.8), TPM2_Clear (24.6).

use super::object::{creation, creation_data};
use crate::client::{Call, Client, Handle, Reply};
use crate::code::{ResponseCode, cc, rh};
use crate::error::TpmError;
use crate::public::{Name, SrkPublic, srk_template};
use crate::session::{Auth, Encrypted, Session};
use crate::transport::Transport;
use crate::wire::Writer;

/// Where the storage root key is kept (TPM 2.0 Provisioning Guidance).
pub const SRK_HANDLE: u32 = 0x8100_0001;

/// The storage root key, persistent or just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageKey {
    handle: u32,
    public: SrkPublic,
}

impl StorageKey {
    /// Handle within the TPM.
    #[must_use]
    pub const fn handle(&self) -> u32 {
        self.handle
    }

    /// Name, which is the same on each start of the same TPM until its owner seed is cleared.
    #[must_use]
    pub const fn name(&self) -> Name {
        self.public.name
    }

    /// Whether it survives a restart and must not be flushed.
    #[must_use]
    pub const fn is_persistent(&self) -> bool {
        self.handle == SRK_HANDLE
    }

    pub(crate) const fn public(&self) -> &SrkPublic {
        &self.public
    }

    pub(crate) fn as_handle(&self) -> Handle {
        Handle::named(self.handle, &self.public.name)
    }
}

/// A hierarchy whose authValue provisioning sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// Owner: persistent objects and NV.
    Owner,
    /// Lockout: clears the TPM and resets the dictionary attack counter.
    Lockout,
}

impl Hierarchy {
    const fn handle(self) -> u32 {
        match self {
            Self::Owner => rh::OWNER,
            Self::Lockout => rh::LOCKOUT,
        }
    }
}

impl<T: Transport> Client<T> {
    /// Name of the storage key, by which a blob says whose it is.
    ///
    /// # Errors
    ///
    /// As [`Self::storage_key`].
    pub fn storage_key_name(&mut self) -> Result<Name, TpmError> {
        let key = self.storage_key()?;
        self.release_storage_key(&key, Ok(key.name()))
    }

    /// The persistent storage key if it is there and of our template, else a transient one, which takes an
    /// empty owner authValue.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn storage_key(&mut self) -> Result<StorageKey, TpmError> {
        match self.persistent_srk()? {
            Some(key) => Ok(key),
            None => self.create_srk(&[]),
        }
    }

    /// Makes the storage key persistent at [`SRK_HANDLE`], where the initrd finds it even when the owner
    /// hierarchy has an authValue that the initrd does not know. Call before setting that.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`ResponseCode::NV_DEFINED`] when a foreign key has the handle.
    pub fn persist_storage_key(&mut self, owner_auth: &[u8]) -> Result<StorageKey, TpmError> {
        if let Some(key) = self.persistent_srk()? {
            return Ok(key);
        }
        let transient = self.create_srk(owner_auth)?;
        let handles = [Handle::plain(rh::OWNER), transient.as_handle()];
        let call = Call::new(
            "TPM2_EvictControl",
            cc::EVICT_CONTROL,
            &handles,
            Writer::new().u32(SRK_HANDLE),
        )
        .auth(Auth::Password(owner_auth), Encrypted::NONE);
        let evicted = self.run(call).and_then(|reply| reply.nothing());
        self.flush_after(transient.handle, evicted)?;
        Ok(StorageKey {
            handle: SRK_HANDLE,
            public: transient.public,
        })
    }

    /// Sets a hierarchy's authValue. `session` encrypts the new one and proves the old one.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn change_hierarchy_auth(
        &mut self,
        hierarchy: Hierarchy,
        session: &mut Session,
        old_auth: &[u8],
        new_auth: &[u8],
    ) -> Result<(), TpmError> {
        let handles = [Handle::plain(hierarchy.handle())];
        let parameters = Writer::new().sized(new_auth);
        let auth = Auth::Session {
            session,
            auth_value: old_auth,
        };
        let call = Call::new(
            "TPM2_HierarchyChangeAuth",
            cc::HIERARCHY_CHANGE_AUTH,
            &handles,
            parameters,
        )
        .auth(auth, Encrypted::COMMAND)
        .new_auth_value(new_auth);
        self.run(call)?.nothing()
    }

    /// Clears the TPM: a new storage seed, so that nothing sealed before is ever loaded again; no persistent objects
    /// and NV indices of the owner; no authorisations. `session` proves `lockout_auth` and is used up.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`ResponseCode::BAD_AUTH`] or [`ResponseCode::AUTH_FAIL`] for another authorisation.
    pub fn clear(&mut self, session: &mut Session, lockout_auth: &[u8]) -> Result<(), TpmError> {
        let handles = [Handle::plain(rh::LOCKOUT)];
        let auth = Auth::Session {
            session,
            auth_value: lockout_auth,
        };
        // The response is made with the authorisation as it is then: empty.
        let call = Call::new("TPM2_Clear", cc::CLEAR, &handles, Writer::new())
            .auth(auth, Encrypted::NONE)
            .new_auth_value(&[]);
        self.run(call)?.nothing()
    }

    /// Drops a transient storage key after an act under it; leaves a persistent one.
    pub(crate) fn release_storage_key<R, E: From<TpmError>>(
        &mut self,
        key: &StorageKey,
        act: Result<R, E>,
    ) -> Result<R, E> {
        if key.is_persistent() {
            act
        } else {
            self.flush_after(key.handle, act)
        }
    }

    fn persistent_srk(&mut self) -> Result<Option<StorageKey>, TpmError> {
        let (area, name) = match self.read_public(SRK_HANDLE) {
            Ok(answer) => answer,
            Err(error) if error.base_code() == Some(ResponseCode::HANDLE) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Somebody else's key (RSA, say) at the usual handle is no error; ours is derived next to it.
        let Ok(public) = SrkPublic::decode(&area) else {
            return Ok(None);
        };
        check_name("TPM2_ReadPublic", &public, &name)?;
        Ok(Some(StorageKey {
            handle: SRK_HANDLE,
            public,
        }))
    }

    fn create_srk(&mut self, owner_auth: &[u8]) -> Result<StorageKey, TpmError> {
        let reply = self.create_primary(rh::OWNER, owner_auth, srk_template())?;
        let decoded = reply.decode(|reader| {
            let public = SrkPublic::decode(reader.sized("public area")?)?;
            creation_data(reader)?;
            Ok((public, reader.sized("name")?.to_vec()))
        });
        let checked = decoded.and_then(|(public, name)| {
            check_name(CREATE_PRIMARY, &public, &name)?;
            Ok(StorageKey {
                handle: reply.handle,
                public,
            })
        });
        match checked {
            Ok(key) => Ok(key),
            Err(error) => self.flush_after(reply.handle, Err(error)),
        }
    }
}

/// Name of the command as in Part 3.
pub(super) const CREATE_PRIMARY: &str = "TPM2_CreatePrimary";

impl<T: Transport> Client<T> {
    /// Makes a primary key of a hierarchy from a template, without data of the caller's.
    pub(super) fn create_primary(
        &mut self,
        hierarchy: u32,
        auth: &[u8],
        template: Writer,
    ) -> Result<Reply, TpmError> {
        let sensitive = Writer::new()
            .sized(&[])
            .sized(&[])
            .finish()
            .map_err(TpmError::Encode)?;
        let template = template.finish().map_err(TpmError::Encode)?;
        let handles = [Handle::plain(hierarchy)];
        let parameters = creation(&sensitive, &template);
        let call = Call::new(CREATE_PRIMARY, cc::CREATE_PRIMARY, &handles, parameters)
            .auth(Auth::Password(auth), Encrypted::NONE)
            .returns_handle();
        self.run(call)
    }
}

fn check_name(command: &'static str, public: &SrkPublic, name: &[u8]) -> Result<(), TpmError> {
    let found = Name::decode(name).map_err(|source| TpmError::Malformed { command, source })?;
    if found == public.name {
        Ok(())
    } else {
        Err(TpmError::NameDiffers {
            command,
            expected: public.name,
            found,
        })
    }
}
