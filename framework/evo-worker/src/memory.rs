//! The buffers that kernels work on: owned by the framework, aligned, with guard bands.

use evo_plugin::Error;
use evo_plugin::abi::{DEVICE_CUDA, RawIo, RawTensor};
use evo_types::{Dtype, ProblemSpec, Role, TensorSpec};

use crate::block::{Block, GUARD, Stray};
use crate::bulk::{self, Bytes, Doubles};
use crate::device;
use crate::element::{self, Poison};
use crate::site::Site;
use crate::workspace::Workspace;

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

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Where the buffers of a set lie in their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Between guard bands, aligned to a page.
    Page,
    /// Between guard bands, off that alignment, so that a kernel which counts on more than the
    /// promised alignment is found out.
    Odd,
    /// With nothing around them that is anybody's, for tools that watch memory.
    Bare,
}

impl Placement {
    /// A buffer; `skew` is how far an odd one is off.
    fn block(self, site: &Site, bytes: usize, skew: usize, what: &str) -> Result<Block, Error> {
        match self {
            Self::Page => Block::new(site, bytes, 0, what),
            Self::Odd => Block::new(site, bytes, skew, what),
            Self::Bare => Block::bare(site, bytes, what),
        }
    }

    fn workspace(self, site: &Site, bytes: usize) -> Result<Workspace, Error> {
        match self {
            Self::Page => Workspace::new(site, bytes, GUARD, 0),
            Self::Odd => Workspace::new(site, bytes, GUARD, WORKSPACE_ALIGN),
            Self::Bare => Workspace::new(site, bytes, 0, 0),
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
    workspace: Option<Workspace>,
    tensors: Vec<TensorSpec>,
    /// Extents of each tensor, behind pointers in `io` and `host_inputs`.
    _shapes: Vec<Box<[i64]>>,
    /// As the kernel sees them.
    io: RawIo,
    /// As a problem sees them.
    host_inputs: Vec<RawTensor>,
}

impl BufferSet {
    /// Buffers for a problem and a workspace.
    pub(crate) fn new(
        site: &Site,
        spec: &ProblemSpec,
        workspace_bytes: usize,
        placement: Placement,
    ) -> Result<Self, Error> {
        // A workspace on a GPU takes nothing of the host's memory.
        let workspace_here = site.gpu().map_or(workspace_bytes, |_| 0);
        check_available(set_bytes(spec, workspace_here)?, "the candidate")?;
        set_bytes(spec, workspace_bytes)?;
        let mut shapes = Vec::new();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let (mut raw_inputs, mut raw_outputs) = (Vec::new(), Vec::new());
        let mut host_inputs = Vec::new();
        for tensor in &spec.tensors {
            let bytes = tensor.bytes().ok_or_else(|| overflow(tensor))?;
            let what = format!("the tensor `{}`", tensor.name);
            let block = placement.block(site, bytes, 64, &what)?;
            let shape: Box<[i64]> = tensor.shape.iter().map(|extent| *extent as i64).collect();
            // SAFETY: block and shape live as long as this set, whose `io` holds the tensor.
            let host = unsafe { RawTensor::host(block.pointer(), tensor.dtype, &shape) };
            let raw = seen(site, &block, host);
            shapes.push(shape);
            match tensor.role {
                Role::Input => {
                    inputs.push(block);
                    host_inputs.push(host);
                    raw_inputs.push(raw);
                }
                Role::Output => {
                    outputs.push(block);
                    raw_outputs.push(raw);
                }
            }
        }
        let workspace = match workspace_bytes {
            0 => None,
            bytes => Some(placement.workspace(site, bytes)?),
        };
        let io = RawIo {
            inputs: raw_inputs.into(),
            outputs: raw_outputs.into(),
            workspace: workspace
                .as_ref()
                .map_or(std::ptr::null_mut(), Workspace::address),
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
            host_inputs,
        })
    }

    /// Where the kernel works.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// The buffers as the kernel sees them.
    pub(crate) fn io(&self) -> &RawIo {
        &self.io
    }

    /// The inputs as a problem sees them: on the host.
    pub(crate) fn raw_inputs(&self) -> &[RawTensor] {
        &self.host_inputs
    }

    /// The inputs as the host has them.
    pub(crate) fn input_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.inputs.iter().map(Block::bytes)
    }

    pub(crate) fn inputs(&self) -> Vec<Bytes> {
        let inputs = self.inputs.iter();
        inputs.map(|block| Bytes::copy_of(block.bytes())).collect()
    }

    pub(crate) fn outputs(&self) -> Vec<Bytes> {
        let outputs = self.outputs.iter();
        outputs.map(|block| Bytes::copy_of(block.bytes())).collect()
    }

    /// Brings what is here to where the kernel sees it: called after this process wrote, before the
    /// kernel reads.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn push(&mut self) -> Result<(), Error> {
        self.tensors_mut().try_for_each(Block::push)?;
        self.workspace.iter_mut().try_for_each(Workspace::push)
    }

    /// Brings what the kernel sees here, guard bands included: called after the kernel wrote,
    /// before this process looks.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn pull(&mut self) -> Result<(), Error> {
        self.tensors_mut().try_for_each(Block::pull)?;
        self.workspace.iter_mut().try_for_each(Workspace::pull)
    }

    /// As [`push`](Self::push), where only outputs and workspace were written.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn push_outputs(&mut self) -> Result<(), Error> {
        self.outputs.iter_mut().try_for_each(Block::push)?;
        self.workspace.iter_mut().try_for_each(Workspace::push)
    }

    /// As [`pull`](Self::pull), where only the outputs are looked at.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn pull_outputs(&mut self) -> Result<(), Error> {
        self.outputs.iter_mut().try_for_each(Block::pull)
    }

    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        self.inputs.iter_mut().chain(&mut self.outputs)
    }

    /// Tensors, and the workspace where it is on the host.
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let workspace = self.workspace.iter().filter_map(Workspace::block);
        self.inputs.iter().chain(&self.outputs).chain(workspace)
    }

    /// Overwrites the inputs in place.
    pub(crate) fn set_inputs(&mut self, content: &[Bytes]) {
        for (block, bytes) in self.inputs.iter_mut().zip(content) {
            bulk::copy_into(bytes, block.bytes_mut());
        }
    }

    /// Poisons the outputs and the workspace.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn poison(&mut self, poison: Poison) -> Result<(), Error> {
        let dtypes = specs(&self.tensors, Role::Output).map(|tensor| tensor.dtype);
        for (block, dtype) in self.outputs.iter_mut().zip(dtypes) {
            element::fill(block.bytes_mut(), dtype, poison);
        }
        let mut workspace = self.workspace.iter_mut();
        workspace.try_for_each(|workspace| workspace.poison(poison))
    }

    /// Whether the outputs are byte for byte what they were.
    pub(crate) fn outputs_equal(&self, before: &[Bytes]) -> bool {
        self.outputs
            .iter()
            .zip(before)
            .all(|(block, bytes)| bulk::equal(block.bytes(), bytes))
    }

    /// The first input byte that is not what it was: the tensor's name and the position.
    pub(crate) fn changed_input(&self, before: &[Bytes]) -> Option<(String, usize)> {
        let tensors = specs(&self.tensors, Role::Input);
        for ((block, tensor), bytes) in self.inputs.iter().zip(tensors).zip(before) {
            if !bulk::equal(block.bytes(), bytes) {
                let pairs = block.bytes().iter().zip(bytes.iter());
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
        let tensors = outputs.chain(inputs).map(|(it, name)| (it.stray(), name));
        let workspace = self.workspace.iter();
        let workspace = workspace.map(|it| (it.stray(), "workspace".to_owned()));
        let mut strays = tensors.chain(workspace);
        strays.find_map(|(stray, buffer)| {
            Some(StrayWrite {
                buffer,
                stray: stray?,
            })
        })
    }

    /// Whether the description of the buffers still says what the framework wrote into it.
    pub(crate) fn description_intact(&self) -> bool {
        let same = |raw: &[RawTensor], blocks: &[Block]| {
            raw.len() == blocks.len()
                && raw
                    .iter()
                    .zip(blocks)
                    .all(|(raw, block)| raw.data == block.address() && raw.byte_offset == 0)
        };
        let workspace = self
            .workspace
            .as_ref()
            .map_or(std::ptr::null_mut(), Workspace::address);
        same(self.io.inputs.as_slice(), &self.inputs)
            && same(self.io.outputs.as_slice(), &self.outputs)
            && self.io.workspace == workspace
    }

    /// Bytes that the caches would have to hold for all of it.
    pub(crate) fn footprint(&self) -> usize {
        let tensors = self.inputs.iter().chain(&self.outputs).map(Block::length);
        tensors
            .chain(self.workspace.iter().map(Workspace::length))
            .sum()
    }

    /// Pushes all buffers out of the caches; on a GPU, before what is launched next.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        if let Some(gpu) = self.site.gpu() {
            return gpu.flush();
        }
        self.blocks().for_each(flush);
        Ok(())
    }
}

/// A tensor as the kernel of a site sees it.
fn seen(site: &Site, block: &Block, host: RawTensor) -> RawTensor {
    match site.gpu() {
        None => host,
        Some(gpu) => RawTensor {
            data: block.address(),
            device_type: DEVICE_CUDA,
            device_id: gpu.index(),
            ..host
        },
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

    pub(crate) fn into_values(self) -> Doubles {
        self.values.into()
    }
}
