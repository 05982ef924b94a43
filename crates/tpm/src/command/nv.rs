//! NV indices: TPM2_NV_DefineSpace (Part 3, 31.3), UndefineSpace (31.4), ReadPublic (31.6), Write (31.7),
//! Read (31.13).
//!
//! An index is known by its Name, the hash over handle, attributes, policy and size (Part 2, 13.5). Whoever
//! relies on its contents compares the whole [`NvPublic`] with the expected one first: an index that was
//! undefined and defined anew with other attributes has another Name (and lost its `WRITTEN` bit).

use zeroize::Zeroizing;

use crate::client::{Call, Client, Handle};
use crate::code::{alg, cc, rh};
use crate::error::TpmError;
use crate::public::Name;
use crate::session::{Auth, Encrypted};
use crate::transport::Transport;
use crate::wire::{Reader, WireError, Writer};

/// Largest read or write in one command. Every TPM takes 512 bytes (PC Client Platform TPM Profile).
const NV_CHUNK: u16 = 512;

/// TPMA_NV (Part 2, 13.4). Ordinary indices only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvAttributes(pub u32);

impl NvAttributes {
    /// The owner may write.
    pub const OWNERWRITE: Self = Self(1 << 1);
    /// The index's authValue may write.
    pub const AUTHWRITE: Self = Self(1 << 2);
    /// The index's policy may write.
    pub const POLICYWRITE: Self = Self(1 << 3);
    /// The owner may read.
    pub const OWNERREAD: Self = Self(1 << 17);
    /// The index's authValue may read.
    pub const AUTHREAD: Self = Self(1 << 18);
    /// The index's policy may read.
    pub const POLICYREAD: Self = Self(1 << 19);
    /// Authorisation failures are not counted.
    pub const NO_DA: Self = Self(1 << 25);
    /// Was written at least once; set by the TPM.
    pub const WRITTEN: Self = Self(1 << 29);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// An index's public area (TPMS_NV_PUBLIC); name algorithm SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvPublic {
    /// Handle, `0x01000000` to `0x01FFFFFF`.
    pub index: u32,
    /// What is allowed to whom.
    pub attributes: NvAttributes,
    /// Policy for POLICYREAD and POLICYWRITE; `None` when it has none.
    pub auth_policy: Option<[u8; 32]>,
    /// Size of the contents in bytes.
    pub size: u16,
}

impl NvPublic {
    /// The Name, as PolicyNV binds it.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::of_public_area(&self.encode())
    }

    /// The same index after its first write.
    #[must_use]
    pub const fn written(mut self) -> Self {
        self.attributes = self.attributes.with(NvAttributes::WRITTEN);
        self
    }

    /// TPMS_NV_PUBLIC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut area = Vec::with_capacity(46);
        area.extend_from_slice(&self.index.to_be_bytes());
        area.extend_from_slice(&alg::SHA256.to_be_bytes());
        area.extend_from_slice(&self.attributes.0.to_be_bytes());
        match &self.auth_policy {
            None => area.extend_from_slice(&[0, 0]),
            Some(policy) => {
                area.extend_from_slice(&32u16.to_be_bytes());
                area.extend_from_slice(policy);
            }
        }
        area.extend_from_slice(&self.size.to_be_bytes());
        area
    }

    fn decode(area: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(area);
        let index = reader.u32("nv index")?;
        reader.expect_u16(alg::SHA256, "nv name algorithm")?;
        let attributes = NvAttributes(reader.u32("nv attributes")?);
        let policy = reader.sized_max(32, "nv policy")?;
        let auth_policy = match (policy, <[u8; 32]>::try_from(policy)) {
            ([], _) => None,
            (_, Ok(policy)) => Some(policy),
            (_, Err(_)) => {
                return Err(WireError::Truncated {
                    field: "nv policy",
                    expected: 32,
                    found: policy.len(),
                });
            }
        };
        let size = reader.u16("nv size")?;
        reader.end("nv public area")?;
        Ok(Self {
            index,
            attributes,
            auth_policy,
            size,
        })
    }
}

/// Who reads or writes an index.
pub enum NvAuth<'a> {
    /// The index itself: its authValue or its policy.
    Index(Auth<'a>),
    /// The owner.
    Owner(Auth<'a>),
}

impl<'a> NvAuth<'a> {
    fn split(self, nv: &NvPublic) -> (Handle, Auth<'a>) {
        match self {
            Self::Index(auth) => (Handle::named(nv.index, &nv.name()), auth),
            Self::Owner(auth) => (Handle::plain(rh::OWNER), auth),
        }
    }
}

impl<T: Transport> Client<T> {
    /// Defines an index with an empty authValue.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::NV_DEFINED`] when there is one.
    pub fn nv_define(&mut self, owner: Auth<'_>, nv: &NvPublic) -> Result<(), TpmError> {
        let handles = [Handle::plain(rh::OWNER)];
        let parameters = Writer::new().sized(&[]).sized(&nv.encode());
        let call = Call::new("TPM2_NV_DefineSpace", cc::NV_DEFINE_SPACE, &handles, parameters)
            .auth(owner, Encrypted::COMMAND);
        self.run(call)?.nothing()
    }

    /// Removes an index.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn nv_undefine(&mut self, owner: Auth<'_>, nv: &NvPublic) -> Result<(), TpmError> {
        let handles = [Handle::plain(rh::OWNER), Handle::named(nv.index, &nv.name())];
        let call = Call::new(
            "TPM2_NV_UndefineSpace",
            cc::NV_UNDEFINE_SPACE,
            &handles,
            Writer::new(),
        )
        .auth(owner, Encrypted::NONE);
        self.run(call)?.nothing()
    }

    /// An index's public area. Compare all of it with the expected one before relying on the index.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::HANDLE`] when there is no such index.
    pub fn nv_read_public(&mut self, index: u32) -> Result<NvPublic, TpmError> {
        const NAME: &str = "TPM2_NV_ReadPublic";
        let handles = [Handle::plain(index)];
        let call = Call::new(NAME, cc::NV_READ_PUBLIC, &handles, Writer::new());
        let (nv, found) = self.run(call)?.decode(|reader| {
            let nv = NvPublic::decode(reader.sized("nv public area")?)?;
            Ok((nv, Name::decode(reader.sized("nv name")?)?))
        })?;
        let expected = nv.name();
        if found == expected && nv.index == index {
            Ok(nv)
        } else {
            Err(TpmError::NameDiffers {
                command: NAME,
                expected,
                found,
            })
        }
    }

    /// Reads `size` bytes (at most 512) from the beginning of an index.
    ///
    /// # Errors
    ///
    /// [`TpmError`]; [`crate::ResponseCode::NV_UNINITIALIZED`] when it was never written.
    pub fn nv_read(
        &mut self,
        nv: &NvPublic,
        auth: NvAuth<'_>,
        size: u16,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let (authorized, auth) = auth.split(nv);
        let handles = [authorized, Handle::named(nv.index, &nv.name())];
        let parameters = Writer::new().u16(size.min(NV_CHUNK)).u16(0);
        let call =
            Call::new("TPM2_NV_Read", cc::NV_READ, &handles, parameters).auth(auth, Encrypted::RESPONSE);
        self.run(call)?.decode(|reader| {
            Ok(Zeroizing::new(
                reader.sized_max(NV_CHUNK.into(), "nv data")?.to_vec(),
            ))
        })
    }

    /// Writes `data` (at most 512 bytes) to the beginning of an index.
    ///
    /// # Errors
    ///
    /// [`TpmError`].
    pub fn nv_write(&mut self, nv: &NvPublic, auth: NvAuth<'_>, data: &[u8]) -> Result<(), TpmError> {
        let (authorized, auth) = auth.split(nv);
        let handles = [authorized, Handle::named(nv.index, &nv.name())];
        let parameters = Writer::new().sized(data).u16(0);
        let call =
            Call::new("TPM2_NV_Write", cc::NV_WRITE, &handles, parameters).auth(auth, Encrypted::COMMAND);
        self.run(call)?.nothing()
    }
}
