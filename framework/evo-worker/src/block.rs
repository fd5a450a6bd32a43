//! One buffer between two guard bands.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

use evo_cuda::{DeviceBuffer, PinnedBuffer};
use evo_plugin::Error;
use evo_process::{SharedDeviceMemory, SharedMemory};

use crate::gpu::{Gpu, Mirrored, error_of};
use crate::memory::{OutOfMemory, check_available, megabytes};
use crate::site::Site;

/// Bytes of guard on each side of a buffer, at least.
pub(crate) const GUARD: usize = 16 << 10;
/// Blocks from this size on are aligned to it and asked to be backed by huge pages, so that the
/// luck of page placement is not part of a measurement.
const HUGE_PAGE: usize = 2 << 20;
/// Alignment of every other block.
const PAGE: usize = 4096;

/// A byte outside a buffer that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    /// This many bytes before the first byte of the buffer.
    Before(usize),
    /// This many bytes after the last byte of the buffer.
    After(usize),
}

/// The guard's byte at a position: not constant, so that a copied block does not look untouched.
pub(crate) fn guard_byte(position: usize) -> u8 {
    (position.wrapping_mul(0x9e37_79b9) >> 11) as u8 ^ 0xa5
}

/// One buffer between two guard bands, in memory that this process can read and write. For a
/// kernel on a GPU it is the mirror of a twin in the device's memory, guards included.
#[derive(Debug)]
pub(crate) struct Block {
    base: NonNull<u8>,
    /// Bytes of buffer and guards together.
    total: usize,
    start: usize,
    length: usize,
    owner: Owner,
    /// Held while another process may be told of the twin; dropped before it.
    shared: Option<SharedDeviceMemory>,
    /// What a kernel on a GPU sees.
    twin: Option<DeviceBuffer>,
}

/// Who the memory of a block is given back to.
#[derive(Debug)]
enum Owner {
    Heap(Layout),
    /// With the twin, to the device that they may be used on again.
    Pinned(Arc<Gpu>, Option<PinnedBuffer>),
    /// By dropping it.
    Shared(#[expect(dead_code, reason = "held until the block is dropped")] SharedMemory),
}

// SAFETY: a block owns its memory, like a boxed slice.
unsafe impl Send for Block {}

impl Block {
    /// A buffer of `length` bytes, `skew` bytes off the usual alignment of a page, where kernels of
    /// a site can have it.
    pub(crate) fn new(site: &Site, length: usize, skew: usize, what: &str) -> Result<Self, Error> {
        Self::guarded(site, length, GUARD, skew, what)
    }

    /// A buffer with no guard bands: tools that watch memory take what is outside it for what it is.
    pub(crate) fn bare(site: &Site, length: usize, what: &str) -> Result<Self, Error> {
        Self::guarded(site, length, 0, 0, what)
    }

    /// A buffer between guard bands of so many bytes.
    pub(crate) fn guarded(
        site: &Site,
        length: usize,
        guard: usize,
        skew: usize,
        what: &str,
    ) -> Result<Self, Error> {
        let start = guard + skew;
        // There is no allocation of nothing.
        let total = length.checked_add(start + guard).map(|total| total.max(1));
        let too_large = || OutOfMemory(format!("{what} needs {length} bytes, which is no size"));
        let align = if length >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
        let layout = total
            .and_then(|total| Layout::from_size_align(total, align).ok())
            .ok_or_else(too_large)?;
        check_available(layout.size(), what)?;
        if let Some(gpu) = site.gpu() {
            let pair = gpu.mirrored(layout.size(), what)?;
            let shared = match site {
                Site::CudaProcess(..) => Some(gpu.share(&pair.twin)?),
                _ => None,
            };
            let mut block = Self {
                base: pair.mirror.pointer(),
                total: layout.size(),
                start,
                length,
                owner: Owner::Pinned(Arc::clone(gpu), Some(pair.mirror)),
                shared,
                twin: Some(pair.twin),
            };
            block.reset_guards();
            return Ok(block);
        }
        let (base, total, owner) = match site {
            Site::Process(_) => {
                let memory = SharedMemory::new(layout.size())
                    .map_err(|error| OutOfMemory(format!("{what}: {error}")))?;
                let base = NonNull::new(memory.pointer()).ok_or_else(too_large)?;
                (base, memory.bytes(), Owner::Shared(memory))
            }
            _ => (heap(layout, what)?, layout.size(), Owner::Heap(layout)),
        };
        let mut block = Self {
            base,
            total,
            start,
            length,
            owner,
            shared: None,
            twin: None,
        };
        // SAFETY: `base` points to `total` bytes that this block owns.
        unsafe { base.as_ptr().write_bytes(0, total) };
        block.reset_guards();
        Ok(block)
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        // SAFETY: `start` lies inside the allocation.
        unsafe { self.base.as_ptr().add(self.start) }
    }

    /// Bytes of the buffer.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The address that the kernel is given.
    pub(crate) fn address(&self) -> *mut u8 {
        match &self.twin {
            Some(twin) => (twin.address() as usize + self.start) as *mut u8,
            None => self.pointer(),
        }
    }

    /// Brings buffer and guards to the twin, where there is one.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn push(&mut self) -> Result<(), Error> {
        let Some(mut twin) = self.twin.take() else {
            return Ok(());
        };
        let pushed = twin.upload(0, self.whole()).map_err(error_of);
        self.twin = Some(twin);
        pushed
    }

    /// Brings buffer and guards here from the twin, where there is one.
    ///
    /// # Errors
    /// Where the device fails; also what a kernel ended with.
    pub(crate) fn pull(&mut self) -> Result<(), Error> {
        let Some(twin) = &self.twin else {
            return Ok(());
        };
        // SAFETY: the whole allocation, initialised in `new`; the borrow of the block is exclusive,
        // and the twin is other memory.
        let whole = unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.total) };
        twin.download(0, whole).map_err(error_of)
    }

    /// The content.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer lies inside the allocation and was initialised.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.length) }
    }

    /// The content, for writing.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the borrow of the block is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), self.length) }
    }

    fn whole(&self) -> &[u8] {
        // SAFETY: the whole allocation, initialised in `new`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.total) }
    }

    /// Writes the guard pattern anew.
    pub(crate) fn reset_guards(&mut self) {
        let end = self.start + self.length;
        // SAFETY: the whole allocation, and the borrow of the block is exclusive.
        let whole = unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.total) };
        for (position, byte) in whole.iter_mut().enumerate().take(self.start) {
            *byte = guard_byte(position);
        }
        for (position, byte) in whole.iter_mut().enumerate().skip(end) {
            *byte = guard_byte(position);
        }
    }

    /// The written guard byte that is nearest to the buffer.
    pub(crate) fn stray(&self) -> Option<Stray> {
        let whole = self.whole();
        let end = self.start + self.length;
        let written = |position: &usize| whole.get(*position) != Some(&guard_byte(*position));
        let before = (0..self.start).rev().find(written);
        let after = (end..whole.len()).find(written);
        after
            .map(|position| Stray::After(position - end + 1))
            .or(before.map(|position| Stray::Before(self.start - position)))
    }
}

/// Memory of this process alone; large blocks are backed by huge pages where the system has them.
fn heap(layout: Layout, what: &str) -> Result<NonNull<u8>, OutOfMemory> {
    // SAFETY: the layout has a size above zero.
    let base = NonNull::new(unsafe { alloc(layout) }).ok_or_else(|| {
        OutOfMemory(format!(
            "{what} needs {}, which the system did not grant",
            megabytes(layout.size() as u64)
        ))
    })?;
    if layout.align() == HUGE_PAGE {
        // SAFETY: the range is the allocation just made; the advice changes no content. Refusal is
        // no fault: the pages are then ordinary ones.
        let _ = unsafe {
            rustix::mm::madvise(
                base.as_ptr().cast(),
                layout.size(),
                rustix::mm::Advice::LinuxHugepage,
            )
        };
    }
    Ok(base)
}

impl Drop for Block {
    fn drop(&mut self) {
        match &mut self.owner {
            Owner::Heap(layout) => {
                // SAFETY: allocated in `heap` with this layout.
                unsafe { dealloc(self.base.as_ptr(), *layout) };
            }
            Owner::Pinned(gpu, mirror) => {
                // No other process may still have it open when it is used again.
                self.shared = None;
                if let (Some(mirror), Some(twin)) = (mirror.take(), self.twin.take()) {
                    gpu.give_back(Mirrored { mirror, twin });
                }
            }
            Owner::Shared(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_is_aligned_and_its_guards_are_whole() {
        let sizes = [(0, 0), (1, 64), (4096, 0), (HUGE_PAGE, 64)];
        let sites = [Site::Host, Site::Process(1)];
        for (site, (length, skew)) in sites.iter().flat_map(|site| sizes.map(|size| (site, size))) {
            let mut block = Block::new(site, length, skew, "x").unwrap();
            assert_eq!(block.pointer() as usize % PAGE, skew);
            assert_eq!(block.stray(), None);
            block.bytes_mut().fill(7);
            assert_eq!(block.stray(), None);
        }
    }

    #[test]
    fn a_bare_block_is_no_larger_than_its_buffer() {
        for (site, length) in [(Site::Host, 0), (Site::Host, 13), (Site::Process(1), 13)] {
            let mut block = Block::bare(&site, length, "x").unwrap();
            assert_eq!(block.pointer(), block.base.as_ptr());
            block.bytes_mut().fill(7);
            assert_eq!(block.bytes(), vec![7; length]);
            if matches!(site, Site::Host) {
                assert_eq!(block.total, length.max(1));
                assert!(length == 0 || block.stray().is_none());
            }
        }
    }

    proptest! {
        #[test]
        fn any_changed_guard_byte_is_found(
            length in 0usize..300,
            odd in any::<bool>(),
            shared in any::<bool>(),
            distance in 1usize..=GUARD,
            after in any::<bool>(),
            flip in 1u8..=255,
        ) {
            let site = if shared { Site::Process(1) } else { Site::Host };
            let block = Block::new(&site, length, if odd { 64 } else { 0 }, "x").unwrap();
            let (offset, expected) = if after {
                (block.start + length + distance - 1, Stray::After(distance))
            } else {
                (block.start - distance, Stray::Before(distance))
            };
            // SAFETY: the offset lies in a guard of the block.
            unsafe { *block.base.as_ptr().add(offset) ^= flip };
            prop_assert_eq!(block.stray(), Some(expected));
        }
    }

    #[test]
    fn a_twin_on_a_gpu_holds_what_was_pushed() {
        let gpu = match Gpu::open(0) {
            Ok(gpu) => Arc::new(gpu),
            Err(error) => return println!("skipped: {error}"),
        };
        let mut block = Block::new(&Site::Cuda(gpu), 1000, 64, "x").unwrap();
        assert_eq!(block.address() as usize % 128, 64);
        assert_ne!(block.address(), block.pointer());
        block.bytes_mut().fill(7);
        block.push().unwrap();
        block.bytes_mut().fill(8);
        block.pull().unwrap();
        assert!(block.bytes().iter().all(|byte| *byte == 7));
        assert_eq!(block.stray(), None);
        // As a kernel would that leaves the buffer.
        let twin = block.twin.as_mut().unwrap();
        twin.upload(block.start + block.length + 4, &[0]).unwrap();
        block.pull().unwrap();
        assert_eq!(block.stray(), Some(Stray::After(5)));
    }

    #[test]
    fn absurd_sizes_are_refused_without_an_allocation() {
        for size in [usize::MAX, isize::MAX as usize, 1 << 50] {
            let error = Block::new(&Site::Host, size, 0, "the workspace").unwrap_err();
            let Error::OutOfMemory(text) = error else {
                panic!("{error}");
            };
            assert!(text.starts_with("the workspace needs"), "{text}");
        }
    }
}
