//! Sessions and policies: TPM2_StartAuthSession (Part 3, 11.1), TPM2_PolicyPCR (23.7), TPM2_PolicyNV (23.9),
//! TPM2_PolicyAuthValue (23.17), TPM2_PolicyOR (23.6), TPM2_PolicyNvWritten (23.20), TPM2_VerifySignature (20.1), TPM2_PolicyAuthorize (23.16), TPM2_PolicyGetDigest (23.19).

use super::object::Loaded;
use super::storage::StorageKey;
use crate::client::{Call, Client, Handle};
use crate::code::{alg, cc, rh, st};
use crate::error::TpmError;
use crate::kdf::{fill_random, kdf_a, salt_for};
use crate::pcr::PcrMask;
use crate::policy::{NvCondition, NvWritten};
use crate::public::Name;
use crate::session::{Auth, Encrypted, Session, SessionKind};
use crate::transport::Transport;
use crate::wire::Writer;
use crate::{HashAlg, RsaPublic};
use zeroize::Zeroizing;

/// Proof made by one TPM for itself that it has verified a signature (TPMT_TK_VERIFIED).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTicket {
    hierarchy: u32,
    digest: Vec<u8>,
}

/// What both sides gave a new session.
struct Nonces<'a> {
    tpm: &'a [u8],
    caller: &'a [u8; 32],
}

impl<T: Transport> Client<T> {
    /// Starts a session salted to the storage key: SHA-256, AES-128-CFB, not bound. Flush it when done.
    ///
    /// The caller has compared the storage key's Name with the one it knows, if it knows one: a salt for a
    /// stranger's key protects nothing.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`TpmError::SrkNotOnCurve`] when the key is no point of P-256.
    pub fn start_session(&mut self, srk: &StorageKey, kind: SessionKind) -> Result<Session, TpmError> {
        let salt = salt_for(&srk.public().point)?;
        let encryption = |writer: Writer| writer.u16(alg::AES).u16(128).u16(alg::CFB);
        self.start(srk.as_handle(), &salt.encrypted, kind, encryption, |nonces| {
            kdf_a(salt.value.as_ref(), b"ATH", nonces.tpm, nonces.caller)
        })
    }

    /// Starts a policy session with no salt and no encryption, in which the TPM says whether it would fulfil a policy, and
    /// nothing else: it has none of the TPM's keys, so that no command is authorized by it. Flush it when done.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub(crate) fn start_questions(&mut self) -> Result<Session, TpmError> {
        let nobody = Handle::plain(rh::NULL);
        let no_encryption = |writer: Writer| writer.u16(alg::NULL);
        self.start(nobody, &[], SessionKind::Policy, no_encryption, |_| {
            Zeroizing::new([0; 32])
        })
    }

    fn start(
        &mut self,
        salted_to: Handle,
        salt: &[u8],
        kind: SessionKind,
        encryption: impl FnOnce(Writer) -> Writer,
        key: impl FnOnce(Nonces<'_>) -> Zeroizing<[u8; 32]>,
    ) -> Result<Session, TpmError> {
        let mut nonce_caller = [0; 32];
        fill_random(&mut nonce_caller)?;
        let parameters = Writer::new().sized(&nonce_caller).sized(salt).u8(kind.id());
        let parameters = encryption(parameters).u16(alg::SHA256);
        let handles = [salted_to, Handle::plain(rh::NULL)];
        let call = Call::new(
            "TPM2_StartAuthSession",
            cc::START_AUTH_SESSION,
            &handles,
            parameters,
        );
        let reply = self.run(call.returns_handle())?;
        let session = reply
            .decode(|reader| Ok(reader.sized_max(64, "session nonce")?.to_vec()))
            .map(|nonce_tpm| {
                let key = key(Nonces {
                    tpm: &nonce_tpm,
                    caller: &nonce_caller,
                });
                Session::new(reply.handle, kind, key, &nonce_tpm, nonce_caller)
            });
        match session {
            Ok(session) => Ok(session),
            Err(error) => self.flush_after(reply.handle, Err(error)),
        }
    }

    /// Adds PolicyPCR. `expected` is the combined digest of the values (see [`crate::PcrValues::combined`]).
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::VALUE`] when the PCRs have other values.
    pub fn policy_pcr(
        &mut self,
        session: &Session,
        alg: HashAlg,
        pcrs: PcrMask,
        expected: &[u8; 32],
    ) -> Result<(), TpmError> {
        let handles = [Handle::plain(session.handle())];
        let parameters = Writer::new().sized(expected).raw(&pcrs.selection(alg));
        self.run(Call::new("TPM2_PolicyPCR", cc::POLICY_PCR, &handles, parameters))?
            .nothing()
    }

    /// Adds PolicyNV. The index is read with its own, empty, authValue.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::POLICY`] when the comparison does not hold.
    pub fn policy_nv(&mut self, session: &Session, condition: &NvCondition) -> Result<(), TpmError> {
        let nv = Handle::named(condition.nv.index, &condition.nv.name());
        let handles = [
            Handle::plain(condition.nv.index),
            nv,
            Handle::plain(session.handle()),
        ];
        let parameters = Writer::new()
            .sized(&condition.operand)
            .u16(condition.offset)
            .u16(condition.compare.id());
        let call = Call::new("TPM2_PolicyNV", cc::POLICY_NV, &handles, parameters)
            .auth(Auth::Password(&[]), Encrypted::NONE);
        self.run(call)?.nothing()
    }

    /// Has the TPM verify an RSASSA-PKCS1-v1.5 signature over `digest` (SHA-256) with a loaded policy key.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::SIGNATURE`] when the signature is not the key's.
    pub fn verify_signature(
        &mut self,
        key: &Loaded,
        digest: &[u8; 32],
        signature: &[u8; RsaPublic::SIZE],
    ) -> Result<VerifiedTicket, TpmError> {
        let handles = [Handle::named(key.handle, &key.name)];
        let parameters = Writer::new()
            .sized(digest)
            .u16(alg::RSASSA)
            .u16(alg::SHA256)
            .sized(signature);
        let call = Call::new("TPM2_VerifySignature", cc::VERIFY_SIGNATURE, &handles, parameters);
        self.run(call)?.decode(|reader| {
            reader.expect_u16(st::VERIFIED, "ticket tag")?;
            let hierarchy = reader.u32("ticket hierarchy")?;
            let digest = reader.sized_max(64, "ticket digest")?.to_vec();
            Ok(VerifiedTicket { hierarchy, digest })
        })
    }

    /// Adds PolicyAuthorize: the policy so far must be `approved_policy`, and is replaced.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::VALUE`] when the session's policy is another.
    pub fn policy_authorize(
        &mut self,
        session: &Session,
        approved_policy: &[u8; 32],
        policy_ref: &[u8],
        key: &Name,
        ticket: &VerifiedTicket,
    ) -> Result<(), TpmError> {
        let handles = [Handle::plain(session.handle())];
        let parameters = Writer::new()
            .sized(approved_policy)
            .sized(policy_ref)
            .sized(key.as_bytes())
            .u16(st::VERIFIED)
            .u32(ticket.hierarchy)
            .sized(&ticket.digest);
        self.run(Call::new(
            "TPM2_PolicyAuthorize",
            cc::POLICY_AUTHORIZE,
            &handles,
            parameters,
        ))?
        .nothing()
    }

    /// Adds PolicyOR: the policy so far must be one of `branches`, and is replaced.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::VALUE`] when the session's policy is none of them.
    pub fn policy_or(&mut self, session: &Session, branches: &[[u8; 32]]) -> Result<(), TpmError> {
        let handles = [Handle::plain(session.handle())];
        let count = u32::try_from(branches.len()).unwrap_or(u32::MAX);
        let list = Writer::new().u32(count);
        let parameters = branches.iter().fold(list, |list, branch| list.sized(branch));
        self.run(Call::new("TPM2_PolicyOR", cc::POLICY_OR, &handles, parameters))?
            .nothing()
    }

    /// Adds PolicyNvWritten; checked when the session is used on an index.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn policy_nv_written(&mut self, session: &Session, written: NvWritten) -> Result<(), TpmError> {
        let handles = [Handle::plain(session.handle())];
        let parameters = Writer::new().u8(written as u8);
        let call = Call::new(
            "TPM2_PolicyNvWritten",
            cc::POLICY_NV_WRITTEN,
            &handles,
            parameters,
        );
        self.run(call)?.nothing()
    }

    /// Adds PolicyAuthValue: the session's use takes the authValue of what it authorizes, which is not sent.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn policy_auth_value(&mut self, session: &mut Session) -> Result<(), TpmError> {
        let handles = [Handle::plain(session.handle())];
        let call = Call::new(
            "TPM2_PolicyAuthValue",
            cc::POLICY_AUTH_VALUE,
            &handles,
            Writer::new(),
        );
        self.run(call)?.nothing()?;
        session.prove_auth_value();
        Ok(())
    }

    /// The policy digest the session has reached.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn policy_digest(&mut self, session: &Session) -> Result<[u8; 32], TpmError> {
        let handles = [Handle::plain(session.handle())];
        let call = Call::new(
            "TPM2_PolicyGetDigest",
            cc::POLICY_GET_DIGEST,
            &handles,
            Writer::new(),
        );
        self.run(call)?.decode(|reader| {
            reader.expect_u16(32, "policy digest size")?;
            reader.array("policy digest")
        })
    }
}
