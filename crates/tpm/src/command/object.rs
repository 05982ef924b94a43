//! Sealed objects and public keys: TPM2_Create (Part 3, 12.1), TPM2_Load (12.2), TPM2_LoadExternal (12.3),
//! TPM2_Unseal (12.7), TPM2_ReadPublic (12.4).

use zeroize::Zeroizing;

use super::storage::StorageKey;
use crate::client::{Call, Client, Handle};
use crate::code::{cc, rh};
use crate::error::TpmError;
use crate::local::{AuthRule, LocalAuth};
use crate::public::{Name, RsaPublic, SealedPublic, sealed_template};
use crate::session::{Auth, Encrypted, Session};
use crate::transport::Transport;
use crate::wire::{Reader, WireError, Writer};

/// TPM2B_PRIVATE of a sealed object of at most 128 bytes is below 256 bytes; 1024 leaves room for vendors.
pub(crate) const PRIVATE_MAX: usize = 1024;

/// A loaded transient object. Stays in the TPM until flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Handle within the TPM.
    pub handle: u32,
    /// Its Name.
    pub name: Name,
}

impl<T: Transport> Client<T> {
    /// Public area and Name of an object as the TPM tells them, not compared with anything.
    pub(crate) fn read_public(&mut self, handle: u32) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let handles = [Handle::plain(handle)];
        let call = Call::new("TPM2_ReadPublic", cc::READ_PUBLIC, &handles, Writer::new());
        self.run(call)?.decode(|reader| {
            let area = reader.sized("public area")?.to_vec();
            let name = reader.sized("name")?.to_vec();
            reader.sized("qualified name")?;
            Ok((area, name))
        })
    }

    /// Seals `secret` (at most 128 bytes) under the storage key. `session` encrypts it on its way in, and the authValue
    /// with it. Gives the public area and TPM2B_PRIVATE's contents.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn create_sealed(
        &mut self,
        srk: &StorageKey,
        session: &mut Session,
        secret: &[u8],
        auth_policy: &[u8; 32],
        local: Option<&LocalAuth>,
    ) -> Result<(SealedPublic, Vec<u8>), TpmError> {
        const NAME: &str = "TPM2_Create";
        let lockout = local.map_or(AuthRule::None, LocalAuth::rule).lockout();
        let sensitive = Writer::new()
            .sized(local.map_or(&[], LocalAuth::value))
            .sized(secret)
            .finish()
            .map_err(TpmError::Encode)?;
        let parameters = creation(&sensitive, &sealed_template(auth_policy, lockout));
        let handles = [srk.as_handle()];
        let call =
            Call::new(NAME, cc::CREATE, &handles, parameters).auth(Auth::session(session), Encrypted::BOTH);
        let (public, private) = self.run(call)?.decode(|reader| {
            let private = reader.sized_max(PRIVATE_MAX, "private area")?.to_vec();
            let public = SealedPublic::decode(reader.sized("public area")?)?;
            creation_data(reader)?;
            Ok((public, private))
        })?;
        if public.auth_policy == *auth_policy && public.lockout == lockout {
            Ok((public, private))
        } else {
            Err(TpmError::ResponseForged { command: NAME })
        }
    }

    /// Loads a sealed object under the storage key.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::INTEGRITY`] when the object belongs to another TPM.
    pub fn load(
        &mut self,
        srk: &StorageKey,
        public: &SealedPublic,
        private: &[u8],
    ) -> Result<Loaded, TpmError> {
        let area = public.encode();
        let handles = [srk.as_handle()];
        let parameters = Writer::new().sized(private).sized(&area);
        let call =
            Call::new("TPM2_Load", cc::LOAD, &handles, parameters).auth(Auth::Password(&[]), Encrypted::NONE);
        self.run_load(call, &area)
    }

    /// Loads the policy key's public part, in the owner hierarchy so that tickets made with it are valid.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn load_policy_key(&mut self, key: &RsaPublic) -> Result<Loaded, TpmError> {
        let area = key.public_area();
        let parameters = Writer::new().sized(&[]).sized(&area).u32(rh::OWNER);
        self.run_load(
            Call::new("TPM2_LoadExternal", cc::LOAD_EXTERNAL, &[], parameters),
            &area,
        )
    }

    fn run_load(&mut self, call: Call<'_>, area: &[u8]) -> Result<Loaded, TpmError> {
        let command = call.name;
        let reply = self.run(call.returns_handle())?;
        let found = reply.decode(|reader| Name::decode(reader.sized("name")?));
        let expected = Name::of_public_area(area);
        match found {
            Ok(name) if name == expected => Ok(Loaded {
                handle: reply.handle,
                name,
            }),
            Ok(found) => self.flush_after(
                reply.handle,
                Err(TpmError::NameDiffers {
                    command,
                    expected,
                    found,
                }),
            ),
            Err(error) => self.flush_after(reply.handle, Err(error)),
        }
    }

    /// Unseals with a policy session, which also encrypts the answer, and proves the authValue without sending
    /// it.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::POLICY_FAIL`] when the session's policy is not the object's,
    /// [`crate::ResponseCode::PCR_CHANGED`] when a PCR was extended since PolicyPCR,
    /// [`crate::ResponseCode::AUTH_FAIL`] for another PIN,
    /// [`crate::ResponseCode::BAD_AUTH`] for another authValue that is not counted.
    pub fn unseal_object(
        &mut self,
        object: &Loaded,
        session: &mut Session,
        local: Option<&LocalAuth>,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let handles = [Handle::named(object.handle, &object.name)];
        let auth = Auth::Session {
            session,
            auth_value: local.map_or(&[], LocalAuth::value),
        };
        let call =
            Call::new("TPM2_Unseal", cc::UNSEAL, &handles, Writer::new()).auth(auth, Encrypted::RESPONSE);
        self.run(call)?
            .decode(|reader| Ok(Zeroizing::new(reader.sized_max(128, "sealed data")?.to_vec())))
    }
}

/// Parameters shared by TPM2_Create and TPM2_CreatePrimary: no outside data, no creation PCRs.
pub(crate) fn creation(sensitive: &[u8], template: &[u8]) -> Writer {
    Writer::new().sized(sensitive).sized(template).sized(&[]).u32(0)
}

/// Passes over creation data, creation hash and creation ticket.
pub(crate) fn creation_data(reader: &mut Reader<'_>) -> Result<(), WireError> {
    reader.sized("creation data")?;
    reader.sized("creation hash")?;
    reader.u16("creation ticket tag")?;
    reader.u32("creation ticket hierarchy")?;
    reader.sized("creation ticket digest")?;
    Ok(())
}
