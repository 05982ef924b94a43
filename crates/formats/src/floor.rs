//! The anti-rollback floor in the TPM: which NV index it is. Normative text: `docs/spec/floor.md`.
//!
//! Read by `bennu build` and `bennu verify`, which compute the index's Name for a release's policy, and by
//! `bennu-init`, which makes the index and raises it.

/// Handle of the NV index, in the range that the TCG leaves to owners (Registry of Reserved TPM 2.0 Handles,
/// §2.2.2: 0x01800000 to 0x01BFFFFF).
pub const NV_INDEX: u32 = 0x0180_BE00;
/// TPMA_NV without WRITTEN: POLICYWRITE (bit 3), AUTHREAD (18), NO_DA (25); an ordinary index.
pub const NV_ATTRIBUTES: u32 = 1 << 3 | 1 << 18 | 1 << 25;
/// TPMA_NV_WRITTEN, set by the TPM with the first write; part of the Name that policies bind.
pub const NV_WRITTEN: u32 = 1 << 29;
/// Bytes of the index: an unsigned number, big-endian.
pub const NV_BYTES: u16 = 8;
