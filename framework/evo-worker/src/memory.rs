//! The buffers that kernels work on: owned by the framework, aligned, with guard bands.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

use evo_plugin::Error;
use evo_plugin::abi::{RawIo, RawTensor};
use evo_process::SharedMemory;
use evo_types::{Dtype, ProblemSpec, Role, TensorSpec};

use crate::device;
use crate::element::{self, Poison};
use crate::site::Site;

/// Bytes of guard on each side of a buffer, at least.
pub(crate) const GUARD: usize = 16 << 10;
/// Blocks from this size on are aligned to it and asked to be backed by huge pages, so that the
/// luck of page placement is not part of a measurement.
const HUGE_PAGE: usize = 2 << 20;
/// Alignment of every other block.
const PAGE: usize = 4096;
/// Alignment of the workspace, as promised to plugins.
const WORKSPACE_ALIGN: usize = 256;
/// Below this many bytes memory is not asked about ahead of an allocation.
const SMALL: usize = 64 << 20;
/// The share of the available memory that one allocation may take.
const SHARE: f64 = 0.8;

/// Memory that could not be had: what was asked for, and what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutOfMemory(pub(crate) String);

/// Refuses what does not fit before it is asked of the system, which would grant it and end the
/// process later.
pub(crate) fn check_available(bytes: usize, what: &str) -> Result<(), OutOfMemory> {
    if bytes < SMALL {
        return Ok(());
    }
    let available = device::available_bytes();
    if bytes as f64 <= available as f64 * SHARE {
        return Ok(());
    }
    Err(OutOfMemory(format!(
        "{what} needs {}, and {} are available",
        megabytes(bytes as u64),
        megabytes(available)
    )))
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// A byte outside a buffer that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    /// This many bytes before the first byte of the buffer.
    Before(usize),
    /// This many bytes after the last byte of the buffer.
    After(usize),
}

/// The guard's byte at a position: not constant, so that a copied block does not look untouched.
fn guard_byte(position: usize) -> u8 {
    (position.wrapping_mul(0x9e37_79b9) >> 11) as u8 ^ 0xa5
}

/// One buffer between two guard bands, in memory that this process can read and write. For a
/// kernel that works elsewhere it is the mirror of what the kernel sees.
#[derive(Debug)]
pub(crate) struct Block {
    base: NonNull<u8>,
    /// Bytes of buffer and guards together.
    total: usize,
    start: usize,
    length: usize,
    owner: Owner,
}

/// Who the memory of a block is given back to.
#[derive(Debug)]
enum Owner {
    Heap(Layout),
    /// By dropping it.
    Shared(#[expect(dead_code, reason = "held until the block is dropped")] SharedMemory),
}

// SAFETY: a block owns its memory, like a boxed slice.
unsafe impl Send for Block {}

impl Block {
    /// A buffer of `length` bytes, `skew` bytes off the usual alignment of a page, where kernels of
    /// a site can have it.
    fn new(site: &Site, length: usize, skew: usize, what: &str) -> Result<Self, OutOfMemory> {
        let start = GUARD + skew;
        let total = length.checked_add(start + GUARD);
        let too_large = || OutOfMemory(format!("{what} needs {length} bytes, which is no size"));
        let align = if length >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
        let layout = total
            .and_then(|total| Layout::from_size_align(total, align).ok())
            .ok_or_else(too_large)?;
        check_available(layout.size(), what)?;
        let (base, total, owner) = match site {
            Site::Host => (heap(layout, what)?, layout.size(), Owner::Heap(layout)),
            Site::Process(_) => {
                let memory = SharedMemory::new(layout.size())
                    .map_err(|error| OutOfMemory(format!("{what}: {error}")))?;
                let base = NonNull::new(memory.pointer()).ok_or_else(too_large)?;
                (base, memory.bytes(), Owner::Shared(memory))
            }
        };
        let mut block = Self {
            base,
            total,
            start,
            length,
            owner,
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
    // SAFETY: the layout has a size above zero: that of two guards at least.
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
        if let Owner::Heap(layout) = self.owner {
            // SAFETY: allocated in `heap` with this layout.
            unsafe { dealloc(self.base.as_ptr(), layout) };
        }
    }
}

/// A stray write, with the name of the buffer that it was next to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StrayWrite {
    pub(crate) buffer: String,
    pub(crate) stray: Stray,
}

/// All buffers of one launch. The addresses never change while the set exists.
#[derive(Debug)]
pub(crate) struct BufferSet {
    site: Site,
    inputs: Vec<Block>,
    outputs: Vec<Block>,
    workspace: Option<Block>,
    tensors: Vec<TensorSpec>,
    /// Extents of each tensor, behind pointers in `io`.
    _shapes: Vec<Box<[i64]>>,
    io: RawIo,
}

impl BufferSet {
    /// Buffers for a problem and a workspace. `odd` shifts them off page alignment, so that a
    /// kernel which counts on more than the promised alignment is found out.
    pub(crate) fn new(
        site: &Site,
        spec: &ProblemSpec,
        workspace_bytes: usize,
        odd: bool,
    ) -> Result<Self, OutOfMemory> {
        let total = set_bytes(spec, workspace_bytes)?;
        check_available(total, "the candidate")?;
        let mut shapes = Vec::new();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let (mut raw_inputs, mut raw_outputs) = (Vec::new(), Vec::new());
        for tensor in &spec.tensors {
            let bytes = tensor.bytes().ok_or_else(|| overflow(tensor))?;
            let skew = if odd { 64 } else { 0 };
            let block = Block::new(site, bytes, skew, &format!("the tensor `{}`", tensor.name))?;
            let shape: Box<[i64]> = tensor.shape.iter().map(|extent| *extent as i64).collect();
            // SAFETY: block and shape live as long as this set, whose `io` holds the tensor.
            let raw = unsafe { RawTensor::host(block.pointer(), tensor.dtype, &shape) };
            shapes.push(shape);
            match tensor.role {
                Role::Input => {
                    inputs.push(block);
                    raw_inputs.push(raw);
                }
                Role::Output => {
                    outputs.push(block);
                    raw_outputs.push(raw);
                }
            }
        }
        let skew = if odd { WORKSPACE_ALIGN } else { 0 };
        let workspace = match workspace_bytes {
            0 => None,
            bytes => Some(Block::new(
                site,
                bytes,
                skew,
                "the workspace of the kernel",
            )?),
        };
        let io = RawIo {
            inputs: raw_inputs.into(),
            outputs: raw_outputs.into(),
            workspace: workspace
                .as_ref()
                .map_or(std::ptr::null_mut(), Block::pointer),
            workspace_bytes,
        };
        Ok(Self {
            site: site.clone(),
            inputs,
            outputs,
            workspace,
            tensors: spec.tensors.clone(),
            _shapes: shapes,
            io,
        })
    }

    /// The buffers as the kernel sees them.
    pub(crate) fn io(&self) -> &RawIo {
        &self.io
    }

    /// The inputs as a problem sees them: on the host.
    pub(crate) fn raw_inputs(&self) -> &[RawTensor] {
        self.io.inputs.as_slice()
    }

    pub(crate) fn inputs(&self) -> Vec<Vec<u8>> {
        self.inputs
            .iter()
            .map(|block| block.bytes().to_vec())
            .collect()
    }

    pub(crate) fn outputs(&self) -> Vec<Vec<u8>> {
        self.outputs
            .iter()
            .map(|block| block.bytes().to_vec())
            .collect()
    }

    /// Brings what is here to where the kernel sees it: called after this process wrote, before the
    /// kernel reads.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn push(&mut self) -> Result<(), Error> {
        match self.site {
            Site::Host | Site::Process(_) => Ok(()),
        }
    }

    /// Brings what the kernel sees here, guard bands included: called after the kernel wrote,
    /// before this process looks.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn pull(&mut self) -> Result<(), Error> {
        match self.site {
            Site::Host | Site::Process(_) => Ok(()),
        }
    }

    /// Overwrites the inputs in place.
    pub(crate) fn set_inputs(&mut self, content: &[Vec<u8>]) {
        for (block, bytes) in self.inputs.iter_mut().zip(content) {
            block.bytes_mut().copy_from_slice(bytes);
        }
    }

    /// Poisons the outputs and the workspace.
    pub(crate) fn poison(&mut self, poison: Poison) {
        let dtypes = specs(&self.tensors, Role::Output).map(|tensor| tensor.dtype);
        for (block, dtype) in self.outputs.iter_mut().zip(dtypes) {
            element::fill(block.bytes_mut(), dtype, poison);
        }
        if let Some(block) = &mut self.workspace {
            let whole = block.length / 4 * 4;
            element::fill(&mut block.bytes_mut()[..whole], Dtype::F32, poison);
        }
    }

    /// Whether the outputs are byte for byte what they were.
    pub(crate) fn outputs_equal(&self, before: &[Vec<u8>]) -> bool {
        self.outputs
            .iter()
            .zip(before)
            .all(|(block, bytes)| block.bytes() == bytes.as_slice())
    }

    /// The first input byte that is not what it was: the tensor's name and the position.
    pub(crate) fn changed_input(&self, before: &[Vec<u8>]) -> Option<(String, usize)> {
        let tensors = specs(&self.tensors, Role::Input);
        for ((block, tensor), bytes) in self.inputs.iter().zip(tensors).zip(before) {
            if block.bytes() != bytes.as_slice() {
                let pairs = block.bytes().iter().zip(bytes);
                let position = pairs.into_iter().position(|(now, then)| now != then);
                return Some((tensor.name.clone(), position.unwrap_or(0)));
            }
        }
        None
    }

    /// The first stray write around any buffer.
    pub(crate) fn stray(&self) -> Option<StrayWrite> {
        let names = |role| specs(&self.tensors, role).map(|tensor| tensor.name.clone());
        let outputs = self.outputs.iter().zip(names(Role::Output));
        let inputs = self.inputs.iter().zip(names(Role::Input));
        let workspace = self.workspace.iter().map(|it| (it, "workspace".to_owned()));
        outputs
            .chain(inputs)
            .chain(workspace)
            .find_map(|(block, buffer)| {
                let stray = block.stray()?;
                Some(StrayWrite { buffer, stray })
            })
    }

    /// Whether the description of the buffers still says what the framework wrote into it.
    pub(crate) fn description_intact(&self) -> bool {
        let same = |raw: &[RawTensor], blocks: &[Block]| {
            raw.len() == blocks.len()
                && raw
                    .iter()
                    .zip(blocks)
                    .all(|(raw, block)| raw.data == block.pointer() && raw.byte_offset == 0)
        };
        let workspace = self
            .workspace
            .as_ref()
            .map_or(std::ptr::null_mut(), Block::pointer);
        same(self.io.inputs.as_slice(), &self.inputs)
            && same(self.io.outputs.as_slice(), &self.outputs)
            && self.io.workspace == workspace
    }

    /// Bytes that the caches would have to hold for all of it.
    pub(crate) fn footprint(&self) -> usize {
        let blocks = self.inputs.iter().chain(&self.outputs);
        blocks
            .chain(&self.workspace)
            .map(|block| block.length)
            .sum()
    }

    /// Pushes all buffers out of the caches.
    pub(crate) fn flush(&self) {
        for block in self
            .inputs
            .iter()
            .chain(&self.outputs)
            .chain(&self.workspace)
        {
            flush(block);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn flush(block: &Block) {
    use std::arch::x86_64::{_mm_clflush, _mm_mfence};
    for line in block.bytes().chunks(64) {
        // SAFETY: the address is valid; the instruction changes no content.
        unsafe { _mm_clflush(line.as_ptr()) };
    }
    // SAFETY: a fence has no operands.
    unsafe { _mm_mfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn flush(_block: &Block) {
    // No portable instruction: reading twice the last cache's size pushes everything else out.
    let lines = device::caches().l3 as usize * 2 / 64;
    let ballast = vec![1u8; lines * 64];
    let sum = ballast
        .chunks(64)
        .fold(0u8, |sum, line| sum.wrapping_add(line[0]));
    std::hint::black_box(sum);
}

fn specs(tensors: &[TensorSpec], role: Role) -> impl Iterator<Item = &TensorSpec> {
    tensors.iter().filter(move |tensor| tensor.role == role)
}

fn overflow(tensor: &TensorSpec) -> OutOfMemory {
    OutOfMemory(format!(
        "the size of tensor `{}` with shape {:?} overflows",
        tensor.name, tensor.shape
    ))
}

/// Bytes of all buffers of one set, without the guards.
pub(crate) fn set_bytes(spec: &ProblemSpec, workspace: usize) -> Result<usize, OutOfMemory> {
    spec.tensors.iter().try_fold(workspace, |total, tensor| {
        tensor
            .bytes()
            .and_then(|bytes| total.checked_add(bytes))
            .filter(|total| isize::try_from(*total).is_ok())
            .ok_or_else(|| overflow(tensor))
    })
}

/// A tensor of doubles for a reference, and its description for the boundary.
pub(crate) struct Expected {
    values: Vec<f64>,
    shape: Box<[i64]>,
}

impl Expected {
    /// All NaN, so that what the reference leaves out is seen.
    pub(crate) fn new(tensor: &TensorSpec) -> Result<Self, OutOfMemory> {
        let elements = tensor.elements().ok_or_else(|| overflow(tensor))?;
        let what = format!("the reference of `{}`", tensor.name);
        check_available(elements.saturating_mul(8), &what)?;
        let mut values = Vec::new();
        values
            .try_reserve_exact(elements)
            .map_err(|error| OutOfMemory(format!("{what}: {error}")))?;
        values.resize(elements, f64::NAN);
        Ok(Self {
            values,
            shape: tensor.shape.iter().map(|extent| *extent as i64).collect(),
        })
    }

    pub(crate) fn raw(&mut self) -> RawTensor {
        // SAFETY: the caller uses the tensor while it holds this borrow's owner alive; both
        // vectors keep their addresses.
        unsafe { RawTensor::host(self.values.as_mut_ptr().cast(), Dtype::F64, &self.shape) }
    }

    pub(crate) fn into_values(self) -> Vec<f64> {
        self.values
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
    fn absurd_sizes_are_refused_without_an_allocation() {
        for size in [usize::MAX, isize::MAX as usize, 1 << 50] {
            let error = Block::new(&Site::Host, size, 0, "the workspace").unwrap_err();
            assert!(error.0.starts_with("the workspace needs"), "{}", error.0);
        }
    }
}
