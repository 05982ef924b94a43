//! Bounded little-endian reads and writes. Every offset comes from untrusted bytes, hence `Option` throughout;
//! the caller turns `None` into its own error, which knows the name of the field.

/// `len` bytes at `offset`, or `None` if they are not all there.
pub(crate) fn slice(bytes: &[u8], offset: usize, len: usize) -> Option<&[u8]> {
    bytes.get(offset..offset.checked_add(len)?)
}

/// `N` bytes at `offset`.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    slice(bytes, offset, N)?.try_into().ok()
}

/// Little-endian 16 bits at `offset`.
pub(crate) fn u16_le(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

/// Little-endian 32 bits at `offset`.
pub(crate) fn u32_le(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_le_bytes)
}

/// Little-endian 64 bits at `offset`.
pub(crate) fn u64_le(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_le_bytes)
}

/// Overwrites bytes at `offset`; `None`, and nothing written, if they do not fit.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) -> Option<()> {
    let end = offset.checked_add(value.len())?;
    bytes.get_mut(offset..end)?.copy_from_slice(value);
    Some(())
}

/// Rounds up to a multiple of `alignment` (not zero); `None` on overflow.
pub(crate) fn align_up(value: u32, alignment: u32) -> Option<u32> {
    value.checked_next_multiple_of(alignment)
}
