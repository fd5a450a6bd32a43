//! Passes over whole buffers. A problem may have hundreds of megabytes, and every check goes over
//! them several times: all cores share that, beyond a size at which it pays.

use rayon::prelude::*;

/// Bytes that one task takes: a multiple of the size of every element.
pub(crate) const PIECE: usize = 1 << 18;

/// A copy.
pub(crate) fn copy_of(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= PIECE {
        return bytes.to_vec();
    }
    // Zeroed memory comes from the system as it is first touched, which is the slow part.
    let mut copy = vec![0; bytes.len()];
    copy_into(bytes, &mut copy);
    copy
}

/// Copies between buffers of the same length.
pub(crate) fn copy_into(from: &[u8], to: &mut [u8]) {
    to.par_chunks_mut(PIECE)
        .zip(from.par_chunks(PIECE))
        .for_each(|(to, from)| to.copy_from_slice(from));
}

/// Whether two buffers are byte for byte the same.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let pieces = || a.par_chunks(PIECE).zip(b.par_chunks(PIECE));
    a.len() == b.len() && pieces().all(|(a, b)| a == b)
}

/// Whether something holds for every piece.
pub(crate) fn all(bytes: &[u8], holds: impl Fn(&[u8]) -> bool + Sync) -> bool {
    bytes.par_chunks(PIECE).all(&holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_small_buffers_are_copied_and_compared_alike() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17] {
            let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let mut copy = copy_of(&bytes);
            assert!(copy == bytes && equal(&bytes, &copy));
            assert!(!equal(&bytes, &bytes[..length.saturating_sub(1)]) || length == 0);
            if let Some(last) = copy.last_mut() {
                *last ^= 1;
                assert!(!equal(&bytes, &copy));
            }
            assert_eq!(all(&bytes, |piece| !piece.contains(&250)), length <= 250);
        }
    }
}
