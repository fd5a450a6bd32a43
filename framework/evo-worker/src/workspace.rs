//! The scratch memory of a kernel between two guard bands. What is in it concerns nobody, so that on
//! a GPU it has no mirror on the host: it may be many times as large as all tensors.

use evo_cuda::DeviceBuffer;
use evo_plugin::Error;
use evo_process::SharedDeviceMemory;
use evo_types::Dtype;

use crate::block::{Block, Stray, guard_byte};
use crate::element::{self, Poison};
use crate::gpu::error_of;
use crate::site::Site;

const WHAT: &str = "the workspace of the kernel";

/// A workspace, where kernels of a site can have it.
#[derive(Debug)]
pub(crate) enum Workspace {
    OnHost(Block),
    OnDevice(Scratch),
}

/// Memory on a GPU of which the host has the guards alone.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Held while another process may be told of the memory; dropped before it.
    _shared: Option<SharedDeviceMemory>,
    memory: DeviceBuffer,
    start: usize,
    length: usize,
    /// The bytes before and after, as they were read last.
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Workspace {
    /// So many bytes between guards of `guard` bytes, `skew` bytes off the alignment of a page.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub(crate) fn new(
        site: &Site,
        length: usize,
        guard: usize,
        skew: usize,
    ) -> Result<Self, Error> {
        let Some(gpu) = site.gpu() else {
            return Block::guarded(site, length, guard, skew, WHAT).map(Self::OnHost);
        };
        let start = guard + skew;
        let total = length.checked_add(start + guard).ok_or_else(|| {
            Error::OutOfMemory(format!("{WHAT} needs {length} bytes, which is no size"))
        })?;
        let memory = gpu.buffer(total, WHAT)?;
        let shared = match site {
            Site::CudaProcess(..) => Some(gpu.share(&memory)?),
            _ => None,
        };
        let whole = |from: usize, count: usize| (from..from + count).map(guard_byte).collect();
        Ok(Self::OnDevice(Scratch {
            _shared: shared,
            memory,
            start,
            length,
            before: whole(0, start),
            after: whole(start + length, guard),
        }))
    }

    /// The address that the kernel is given.
    pub(crate) fn address(&self) -> *mut u8 {
        match self {
            Self::OnHost(block) => block.address(),
            Self::OnDevice(scratch) => {
                (scratch.memory.address() as usize + scratch.start) as *mut u8
            }
        }
    }

    /// Its bytes, without the guards.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::OnHost(block) => block.length(),
            Self::OnDevice(scratch) => scratch.length,
        }
    }

    /// The host's memory behind it, where there is some.
    pub(crate) fn block(&self) -> Option<&Block> {
        match self {
            Self::OnHost(block) => Some(block),
            Self::OnDevice(_) => None,
        }
    }

    /// Poisons it, and makes the guards whole again; done when it returns, but for what waits for
    /// `push` on the host.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn poison(&mut self, poison: Poison) -> Result<(), Error> {
        match self {
            Self::OnHost(block) => {
                let whole = block.length() / 4 * 4;
                element::fill(&mut block.bytes_mut()[..whole], Dtype::F32, poison);
                Ok(())
            }
            Self::OnDevice(scratch) => {
                let word = element::pattern_f32(poison);
                let words = scratch.length / 4;
                let filled = scratch.memory.fill_words(scratch.start, words, word);
                filled.map_err(error_of)
            }
        }
    }

    /// Brings to the device what is here: the guards.
    ///
    /// # Errors
    /// Where the device fails.
    pub(crate) fn push(&mut self) -> Result<(), Error> {
        match self {
            Self::OnHost(block) => block.push(),
            Self::OnDevice(scratch) => scratch.push().map_err(error_of),
        }
    }

    /// Brings the guards here.
    ///
    /// # Errors
    /// Where the device fails; also what a kernel ended with.
    pub(crate) fn pull(&mut self) -> Result<(), Error> {
        match self {
            Self::OnHost(block) => block.pull(),
            Self::OnDevice(scratch) => scratch.pull().map_err(error_of),
        }
    }

    /// The written guard byte that is nearest to it.
    pub(crate) fn stray(&self) -> Option<Stray> {
        match self {
            Self::OnHost(block) => block.stray(),
            Self::OnDevice(scratch) => scratch.stray(),
        }
    }
}

impl Scratch {
    fn push(&mut self) -> Result<(), evo_cuda::CudaError> {
        self.memory.upload(0, &self.before)?;
        self.memory.upload(self.start + self.length, &self.after)
    }

    fn pull(&mut self) -> Result<(), evo_cuda::CudaError> {
        self.memory.download(0, &mut self.before)?;
        self.memory
            .download(self.start + self.length, &mut self.after)
    }

    fn stray(&self) -> Option<Stray> {
        let end = self.start + self.length;
        let written = |(place, byte): (usize, &u8)| *byte != guard_byte(place);
        let mut before = self.before.iter().enumerate().rev();
        let mut after = (end..).zip(&self.after);
        let after = after.find(|(place, byte)| written((*place, byte)));
        let before = before.find(|(place, byte)| written((*place, byte)));
        after
            .map(|(place, _)| Stray::After(place - end + 1))
            .or(before.map(|(place, _)| Stray::Before(self.start - place)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gpu::Gpu;

    #[test]
    fn on_a_gpu_only_its_guards_are_looked_at() {
        let gpu = match Gpu::open(0) {
            Ok(gpu) => Arc::new(gpu),
            Err(error) => return println!("skipped: {error}"),
        };
        let mut workspace = Workspace::new(&Site::Cuda(gpu), 1000, 4096, 256).unwrap();
        assert_eq!((workspace.length(), workspace.stray()), (1000, None));
        workspace.poison(Poison::First).unwrap();
        workspace.push().unwrap();
        workspace.pull().unwrap();
        assert_eq!(workspace.stray(), None);
        let Workspace::OnDevice(scratch) = &mut workspace else {
            panic!("it is on the host");
        };
        let mut word = [0; 4];
        scratch
            .memory
            .download(scratch.start + 996, &mut word)
            .unwrap();
        assert_eq!(
            u32::from_ne_bytes(word),
            element::pattern_f32(Poison::First)
        );
        scratch.memory.upload(scratch.start + 1003, &[0]).unwrap();
        workspace.pull().unwrap();
        assert_eq!(workspace.stray(), Some(Stray::After(4)));
    }
}
