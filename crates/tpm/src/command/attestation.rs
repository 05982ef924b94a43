//! TPM2_CreatePrimary of the attestation key (Part 3, 24.1), TPM2_Quote (18.4), TPM2_ReadClock (29.1).

use super::object::creation_data;
use super::storage::CREATE_PRIMARY;
use crate::attestation::{AttestationPublic, ClockInfo, MAX_QUALIFYING, Quote, decode_signature, template};
use crate::client::{Call, Client, Handle};
use crate::code::{alg, cc, rh};
use crate::error::TpmError;
use crate::hash::HashAlg;
use crate::pcr::PcrMask;
use crate::public::Name;
use crate::session::{Auth, Encrypted};
use crate::transport::Transport;
use crate::wire::{WireError, Writer};

/// The attestation key, loaded. Flush it when done ([`Client::flush`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttestationKey {
    handle: u32,
    /// Its public part.
    pub public: AttestationPublic,
}

impl AttestationKey {
    /// Handle within the TPM.
    #[must_use]
    pub const fn handle(&self) -> u32 {
        self.handle
    }
}

impl<T: Transport> Client<T> {
    /// Makes the attestation key; the same TPM makes the same one each time.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::BAD_AUTH`] where the endorsement hierarchy has an authValue.
    pub fn attestation_key(&mut self) -> Result<AttestationKey, TpmError> {
        let reply = self.create_primary(rh::ENDORSEMENT, &[], template())?;
        let decoded = reply.decode(|reader| {
            let public = AttestationPublic::decode(reader.sized("public area")?)?;
            creation_data(reader)?;
            Ok((public, Name::decode(reader.sized("name")?)?))
        });
        let checked = decoded.and_then(|(public, found)| match found == public.name {
            true => Ok(AttestationKey {
                handle: reply.handle,
                public,
            }),
            false => Err(TpmError::NameDiffers {
                command: CREATE_PRIMARY,
                expected: public.name,
                found,
            }),
        });
        match checked {
            Ok(key) => Ok(key),
            Err(error) => self.flush_after(reply.handle, Err(error)),
        }
    }

    /// Has the TPM state PCRs of the SHA-256 bank, with at most [`MAX_QUALIFYING`] bytes of the caller's signed along.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn quote(
        &mut self,
        key: &AttestationKey,
        pcrs: PcrMask,
        qualifying: &[u8],
    ) -> Result<Quote, TpmError> {
        const NAME: &str = "TPM2_Quote";
        if qualifying.len() > MAX_QUALIFYING {
            return Err(TpmError::Encode(WireError::TooLong {
                field: "qualifying data",
                limit: MAX_QUALIFYING,
                found: qualifying.len(),
            }));
        }
        let parameters = Writer::new()
            .sized(qualifying)
            .u16(alg::NULL)
            .raw(&pcrs.selection(HashAlg::Sha256));
        let handles = [Handle::named(key.handle, &key.public.name)];
        let call =
            Call::new(NAME, cc::QUOTE, &handles, parameters).auth(Auth::Password(&[]), Encrypted::NONE);
        self.run(call)?.decode(|reader| {
            let statement = reader.sized_max(512, "statement")?.to_vec();
            let signature = decode_signature(reader)?;
            Ok(Quote { statement, signature })
        })
    }

    /// The TPM's clock with true reset and restart counts: another reset count than at the last look, on a machine
    /// that did not restart, means that somebody reset the TPM alone.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn read_clock(&mut self) -> Result<ClockInfo, TpmError> {
        let call = Call::new("TPM2_ReadClock", cc::READ_CLOCK, &[], Writer::new());
        self.run(call)?.decode(|reader| {
            reader.take(8, "time")?;
            ClockInfo::decode(reader)
        })
    }
}
