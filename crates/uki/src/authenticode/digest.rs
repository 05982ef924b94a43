//! The Authenticode digest: the whole file but the checksum, the certificate table and the pointer to it.

use super::AuthenticodeError;
use crate::pe::{PeImage, optional};
use sha2::{Digest, Sha256};

/// SHA-256 of a PE image as Authenticode defines it, whether the image is signed or not.
///
/// An unsigned image whose length is no multiple of eight is digested as if padded with zeros, since that is
/// what signing makes of it.
///
/// # Errors
/// [`AuthenticodeError`] if the bytes are no PE image, have gaps between sections, or a misplaced
/// certificate table.
pub fn image_digest(image: &[u8]) -> Result<[u8; 32], AuthenticodeError> {
    digest_of(&PeImage::parse(image)?)
}

/// The digest in the order of the Authenticode paper, "Calculating the PE Image Hash". OFF-SPEC: gaps between
/// sections are refused (the paper leaves them out of the hash, so anybody could change them).
pub(super) fn digest_of(pe: &PeImage<'_>) -> Result<[u8; 32], AuthenticodeError> {
    check_no_gaps(pe)?;
    let image = pe.bytes();
    let end = signed_end(pe)?;
    let checksum = pe.optional_offset() + optional::CHECKSUM;
    let directory = pe.optional_offset() + optional::CERTIFICATE_DIRECTORY;
    let mut hash = Sha256::new();
    // Steps 3 to 7: headers without the checksum and without the certificate table's directory entry.
    hash.update(&image[..checksum]);
    hash.update(&image[checksum + 4..directory]);
    // Steps 8 to 13: the rest of the headers, the sections in file order (contiguous, as checked above), and
    // what follows them up to the certificate table.
    hash.update(&image[directory + 8..end]);
    hash.update(&[0u8; 8][..padding(end)]);
    Ok(hash.finalize().into())
}

/// Zeros needed to reach a multiple of eight bytes.
pub(super) fn padding(len: usize) -> usize {
    len.next_multiple_of(super::TABLE_ALIGNMENT) - len
}

/// Where the digested bytes end: at the certificate table if there is one, else at the end of the file.
pub(super) fn signed_end(pe: &PeImage<'_>) -> Result<usize, AuthenticodeError> {
    let len = pe.bytes().len();
    match pe.certificate_table() {
        (0, 0) => Ok(len),
        (start, size) => {
            let at_end = (start as usize).checked_add(size as usize) == Some(len);
            let aligned = (start as usize).is_multiple_of(super::TABLE_ALIGNMENT);
            if size == 0 || !at_end || !aligned || start < pe.end_of_sections() {
                return Err(AuthenticodeError::BadCertificateTable { start, size, len });
            }
            Ok(start as usize)
        }
    }
}

fn check_no_gaps(pe: &PeImage<'_>) -> Result<(), AuthenticodeError> {
    let mut expected = pe.size_of_headers();
    for section in pe.sections_by_offset() {
        if section.raw_pointer != expected {
            let found = section.raw_pointer;
            return Err(AuthenticodeError::Gap {
                name: section.name,
                expected,
                found,
            });
        }
        expected = section.raw_pointer.saturating_add(section.raw_size);
    }
    Ok(())
}
