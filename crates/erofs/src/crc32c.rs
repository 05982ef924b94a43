//! CRC-32C (Castagnoli), the checksum of the superblock's block.
//!
//! At most 3072 bytes are summed, once an image, so a table or a hardware instruction would not pay.

/// Reflected Castagnoli polynomial (RFC 3720, appendix B.4).
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// CRC of `bytes` as the kernel's `crc32c(~0, …)`: initial value all ones, **no** final inversion.
/// This is what EROFS stores.
pub(crate) fn crc32c_raw(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c_raw;

    #[test]
    fn the_check_value_of_the_crc_catalogue_comes_out() {
        assert_eq!(!crc32c_raw(b"123456789"), 0xe306_9283);
    }
}
