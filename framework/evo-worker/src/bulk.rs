//! Passes over whole buffers, and memory for copies of them. A problem may have hundreds of megabytes,
//! and every check goes over them several times: all cores share that, beyond a size at which it pays,
//! and memory that one check is done with serves the next, since pages that the system has to find
//! first cost several times as much as what is done with them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

/// Bytes that one task takes: a multiple of the size of every element.
pub(crate) const PIECE: usize = 1 << 18;
/// Most bytes that are kept for later, of one type of elements: the host takes a worker that has grown
/// by two gigabytes for one that leaks.
const MOST_KEPT: usize = 384 << 20;

/// Memory that nobody uses, by its length.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    free: BTreeMap<usize, Vec<Vec<T>>>,
    bytes: usize,
}

impl<T: Shelved> Shelf<T> {
    const fn new() -> Self {
        Self {
            free: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<T>> {
        let memory = self.free.get_mut(&length)?.pop()?;
        self.bytes -= size_of_val(memory.as_slice());
        Some(memory)
    }

    fn put(&mut self, memory: Vec<T>) {
        let bytes = size_of_val(memory.as_slice());
        // What is small comes from the allocator's own stock.
        if bytes <= PIECE || bytes > MOST_KEPT {
            return;
        }
        if self.bytes + bytes > MOST_KEPT {
            // Of another problem, most likely.
            self.bytes = 0;
            self.free.clear();
        }
        self.bytes += bytes;
        self.free.entry(memory.len()).or_default().push(memory);
    }
}

/// Elements of which memory is kept.
pub(crate) trait Shelved: Copy + Default + Send + Sync + 'static {
    /// Where it is kept.
    fn shelf() -> &'static Mutex<Shelf<Self>>;
}

impl Shelved for u8 {
    fn shelf() -> &'static Mutex<Shelf<Self>> {
        static SHELF: Mutex<Shelf<u8>> = Mutex::new(Shelf::new());
        &SHELF
    }
}

impl Shelved for f64 {
    fn shelf() -> &'static Mutex<Shelf<Self>> {
        static SHELF: Mutex<Shelf<f64>> = Mutex::new(Shelf::new());
        &SHELF
    }
}

fn shelf<T: Shelved>() -> MutexGuard<'static, Shelf<T>> {
    T::shelf().lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice whose memory is used again by others once it is dropped.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Reused<T: Shelved>(Vec<T>);

impl<T: Shelved> Reused<T> {
    /// So many elements, of whatever values.
    pub(crate) fn of_length(length: usize) -> Self {
        let kept = shelf().take(length);
        Self(kept.unwrap_or_else(|| vec![T::default(); length]))
    }

    /// A copy.
    pub(crate) fn copy_of(from: &[T]) -> Self {
        let mut copy = Self::of_length(from.len());
        copy_into(from, &mut copy);
        copy
    }
}

impl<T: Shelved> From<Vec<T>> for Reused<T> {
    fn from(memory: Vec<T>) -> Self {
        Self(memory)
    }
}

impl<T: Shelved> Clone for Reused<T> {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl<T: Shelved> Drop for Reused<T> {
    fn drop(&mut self) {
        shelf().put(std::mem::take(&mut self.0));
    }
}

impl<T: Shelved> Deref for Reused<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Shelved> DerefMut for Reused<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// The bytes of a tensor.
pub(crate) type Bytes = Reused<u8>;
/// The reference of a tensor.
pub(crate) type Doubles = Reused<f64>;

/// Copies between buffers of the same length.
pub(crate) fn copy_into<T: Shelved>(from: &[T], to: &mut [T]) {
    let piece = PIECE / size_of::<T>();
    to.par_chunks_mut(piece)
        .zip(from.par_chunks(piece))
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
            for _ in 0..2 {
                // The second time in memory that has other content.
                let mut copy = Bytes::copy_of(&bytes);
                assert!(*copy == bytes && equal(&bytes, &copy) && copy.clone() == copy);
                assert!(!equal(&bytes, &bytes[..length.saturating_sub(1)]) || length == 0);
                if let Some(last) = copy.last_mut() {
                    *last ^= 1;
                    assert!(!equal(&bytes, &copy));
                }
            }
            assert_eq!(all(&bytes, |piece| !piece.contains(&250)), length <= 250);
        }
    }

    #[test]
    fn memory_is_kept_by_its_length_and_within_a_bound() {
        let mut shelf = Shelf::<f64>::new();
        let (small, large) = (PIECE / 8, MOST_KEPT / 8);
        shelf.put(vec![1.0; small]);
        assert!(shelf.take(small).is_none());
        shelf.put(vec![2.0; small + 1]);
        shelf.put(vec![3.0; small + 2]);
        assert_eq!(shelf.take(small + 1).unwrap()[0], 2.0);
        assert!(shelf.take(small + 1).is_none());
        assert_eq!(shelf.bytes, 8 * (small + 2));
        shelf.put(vec![4.0; large - small]);
        assert!(
            shelf.take(small + 2).is_none(),
            "the bound counts all of it"
        );
        assert_eq!(shelf.bytes, 8 * (large - small));
        shelf.put(vec![5.0; large + 1]);
        assert!(shelf.take(large + 1).is_none());
        assert!(shelf.take(large - small).is_some() && shelf.bytes == 0);
    }
}
