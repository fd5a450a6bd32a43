//! Scratch memory, aligned to cache lines and allocated fallibly.

use evo_plugin::Error;

/// A cache line of floats.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Zeroed `f32` scratch whose start is aligned to a cache line.
pub(crate) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// Room for `floats` elements and one vector more, so that a store of a whole vector at the
    /// last element stays inside.
    pub(crate) fn new(floats: usize) -> Result<Self, Error> {
        let count = floats / 16 + 2;
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| {
            Error::OutOfMemory(format!(
                "{} bytes of scratch memory",
                count.saturating_mul(64)
            ))
        })?;
        lines.resize(count, Line([0.0; 16]));
        Ok(Self { lines })
    }

    /// The start of the memory.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }
}

/// A pointer that several threads use for parts that do not overlap.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: whoever uses the pointer takes care that threads write disjoint parts, and read only
// what no other thread writes at that time.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
