//! The marks of `bennud`'s memory: the layout of `src/bpf/intf.h` that belongs to `memory`.

/// Length of a digest: `DIGEST_BYTES`.
pub const DIGEST_BYTES: usize = 32;
/// Length of `struct memory_marks`.
pub const MARKS_BYTES: usize = 2 * DIGEST_BYTES;

/// SHA-256 of a file.
pub type Digest = [u8; DIGEST_BYTES];

/// The one value of `memory`. Both, because a file and a map are not written in one step: whatever ends `bennud` between the
/// two, the file is one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Of the file as it was last known to lie there; none where there was none.
    pub settled: Option<Digest>,
    /// Of the file that is about to take its place.
    pub begun: Option<Digest>,
}

impl Marks {
    /// `struct memory_marks`
    pub fn encode(&self) -> [u8; MARKS_BYTES] {
        let mut bytes = [0; MARKS_BYTES];
        let (settled, begun) = bytes.split_at_mut(DIGEST_BYTES);
        settled.copy_from_slice(&self.settled.unwrap_or_default());
        begun.copy_from_slice(&self.begun.unwrap_or_default());
        bytes
    }

    /// Reads a `struct memory_marks`. Zeros, which no file has for its digest, are none.
    pub fn decode(bytes: &[u8; MARKS_BYTES]) -> Self {
        let (settled, begun) = bytes.split_at(DIGEST_BYTES);
        let digest = |part: &[u8]| {
            Digest::try_from(part)
                .ok()
                .filter(|part| *part != Digest::default())
        };
        Self {
            settled: digest(settled),
            begun: digest(begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_zeros_are_none() {
        let (one, two) = (Some([1; 32]), Some([2; 32]));
        for (settled, begun) in [(None, None), (None, two), (one, None), (one, two)] {
            let marks = Marks { settled, begun };
            assert_eq!(Marks::decode(&marks.encode()), marks);
        }
        let bytes = Marks {
            settled: one,
            begun: two,
        }
        .encode();
        assert_eq!((bytes[31], bytes[32], bytes.len()), (1, 2, 64));
        assert_eq!(Marks::decode(&[0; MARKS_BYTES]), Marks::default());
    }
}
