//! Everything about a unified kernel image (UKI) as bytes: building it, signing it, predicting what the
//! firmware and the stub measure when it boots, and enrolling the keys that the firmware checks it with.
//!
//! The builder writes with this crate; the builder, the updater and the tests read with it. Nothing here does
//! I/O, reads a clock or talks to a TPM: bytes go in, bytes come out, and the same bytes always come out
//! except from [`keys::SigningKey::generate`].
//!
//! | module | writes and reads | authority |
//! |---|---|---|
//! | [`pe`] | PE32+ images, UKI assembly | Microsoft PE format; UAPI.5 UKI |
//! | [`authenticode`] | PE signatures | Windows Authenticode PE Signature Format 1.0; UEFI 2.10 §32.2 |
//! | [`keys`] | RSA-2048 keys, X.509 certificates | RFC 5958, RFC 5280 |
//! | [`measure`] | PCR 11 and PCR 12 values | systemd-stub of each version |
//! | [`pcrsig`] | the `.pcrsig` JSON | systemd-measure(1) |
//! | [`tpm_policy`] | policy digests, Names, approvals | TCG TPM 2.0 Library, Parts 1–3 |
//! | [`efivars`] | signature lists, `PK.auth`, `KEK.auth`, `db.auth` | UEFI 2.10 §8.2, §32.4 |
//! | [`ovmf`] | enrolled variable stores for virtual machines | edk2 `VariableFormat.h` |
//!
//! Failure is always a typed error; no input makes a decoder panic.

pub mod authenticode;
pub mod efivars;
pub mod keys;
pub mod measure;
pub mod ovmf;
pub mod pcrsig;
pub mod pe;
pub mod root_hash;
pub mod tpm_policy;

mod bytes;
mod pkcs7;
