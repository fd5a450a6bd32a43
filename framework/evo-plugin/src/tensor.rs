//! Tensors as a plugin sees them: typed views of buffers that the framework owns.

use std::marker::PhantomData;

use evo_types::Dtype;

use crate::Error;
use crate::abi::{DEVICE_CPU, RawIo, RawTensor};

/// An element type that a tensor can be viewed as.
///
/// # Safety
/// The type must have the size and layout of [`Self::DTYPE`], and every bit pattern must be valid.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The element type in tensors.
    const DTYPE: Dtype;
}

macro_rules! elements {
    ($($ty:ty => $dtype:ident),* $(,)?) => {$(
        // SAFETY: a plain number with the size that the name says; every bit pattern is valid.
        unsafe impl Element for $ty {
            const DTYPE: Dtype = Dtype::$dtype;
        }
    )*};
}

elements! {
    f64 => F64, f32 => F32, half::f16 => F16, half::bf16 => Bf16,
    crate::E4m3 => F8E4m3,
    i64 => I64, i32 => I32, i8 => I8, u8 => U8,
}

/// A tensor that may be read: dense, row-major; its elements can be viewed where it is on the host.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    raw: RawTensor,
    lifetime: PhantomData<&'a [u8]>,
}

/// A tensor that may be written: dense, row-major; its elements can be viewed where it is on the
/// host.
pub struct TensorMut<'a> {
    raw: RawTensor,
    lifetime: PhantomData<&'a mut [u8]>,
}

// SAFETY: a view of memory that nobody writes while it exists.
unsafe impl Send for Tensor<'_> {}
// SAFETY: as above; reading from several threads is no race.
unsafe impl Sync for Tensor<'_> {}
// SAFETY: an exclusive view of memory.
unsafe impl Send for TensorMut<'_> {}

fn typed<T: Element>(raw: &RawTensor) -> Result<usize, Error> {
    if raw.device_type != DEVICE_CPU {
        return Err(Error::Failed(
            "the elements of a tensor on a device were asked for on the host; use `pointer`"
                .to_owned(),
        ));
    }
    let dtype = raw.dtype()?;
    if dtype != T::DTYPE {
        return Err(Error::Failed(format!(
            "a tensor of {dtype:?} was asked for as {:?}",
            T::DTYPE
        )));
    }
    Ok(raw.elements())
}

impl<'a> Tensor<'a> {
    /// The address of the first element: on the host, or on the device that the kernel runs on.
    /// Using it is the caller's responsibility; the memory belongs to the framework.
    pub fn pointer(&self) -> *mut u8 {
        self.raw.pointer()
    }

    /// The tensor as the boundary has it.
    #[doc(hidden)]
    pub fn raw(&self) -> &RawTensor {
        &self.raw
    }

    /// Wraps a tensor of the boundary.
    ///
    /// # Safety
    /// The memory must be readable, on the host, and unchanged for `'a`.
    #[doc(hidden)]
    pub unsafe fn from_raw(raw: RawTensor) -> Self {
        Self {
            raw,
            lifetime: PhantomData,
        }
    }

    /// The extent of each dimension, slowest first.
    pub fn shape(&self) -> Vec<usize> {
        self.raw.shape()
    }

    /// The element type.
    ///
    /// # Errors
    /// Where the framework sent a type that this version of the crate does not know.
    pub fn dtype(&self) -> Result<Dtype, Error> {
        self.raw.dtype()
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// Where the tensor has another element type.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], Error> {
        let elements = typed::<T>(&self.raw)?;
        // SAFETY: `from_raw` promises readable memory of this shape and type for 'a.
        Ok(unsafe { std::slice::from_raw_parts(self.raw.pointer().cast::<T>(), elements) })
    }
}

impl<'a> TensorMut<'a> {
    /// The address of the first element: on the host, or on the device that the kernel runs on.
    /// Using it is the caller's responsibility; the memory belongs to the framework.
    pub fn pointer(&self) -> *mut u8 {
        self.raw.pointer()
    }

    /// The tensor as the boundary has it.
    #[doc(hidden)]
    pub fn raw(&self) -> &RawTensor {
        &self.raw
    }

    /// Wraps a tensor of the boundary.
    ///
    /// # Safety
    /// The memory must be writable, on the host, and used by nobody else for `'a`.
    #[doc(hidden)]
    pub unsafe fn from_raw(raw: RawTensor) -> Self {
        Self {
            raw,
            lifetime: PhantomData,
        }
    }

    /// The extent of each dimension, slowest first.
    pub fn shape(&self) -> Vec<usize> {
        self.raw.shape()
    }

    /// The element type.
    ///
    /// # Errors
    /// Where the framework sent a type that this version of the crate does not know.
    pub fn dtype(&self) -> Result<Dtype, Error> {
        self.raw.dtype()
    }

    /// The elements in row-major order, for writing.
    ///
    /// # Errors
    /// Where the tensor has another element type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], Error> {
        let elements = typed::<T>(&self.raw)?;
        // SAFETY: `from_raw` promises exclusive, writable memory of this shape and type for 'a.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.raw.pointer().cast::<T>(), elements) })
    }

    /// As [`as_mut_slice`](Self::as_mut_slice), but for as long as the tensor itself lives, so
    /// that several outputs can be written side by side.
    ///
    /// # Errors
    /// Where the tensor has another element type.
    pub fn into_mut_slice<T: Element>(self) -> Result<&'a mut [T], Error> {
        let elements = typed::<T>(&self.raw)?;
        // SAFETY: as above, and `self` is used up.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.raw.pointer().cast::<T>(), elements) })
    }
}

/// The buffers of one launch: the problem's inputs and outputs, each in the problem's order, and
/// the workspace that the instance asked for.
pub struct Io<'a> {
    raw: &'a RawIo,
}

impl<'a> Io<'a> {
    /// Wraps the buffers of the boundary.
    ///
    /// # Safety
    /// Every input must be readable and unchanged, every output and the workspace writable and
    /// used by nobody else, for `'a`.
    #[doc(hidden)]
    pub unsafe fn from_raw(raw: &'a RawIo) -> Self {
        Self { raw }
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.raw.inputs.len()
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.raw.outputs.len()
    }

    /// An input by position.
    ///
    /// # Errors
    /// Where the problem has fewer.
    pub fn input(&self, index: usize) -> Result<Tensor<'a>, Error> {
        let raw = self.raw.inputs.get(index).ok_or_else(|| {
            Error::Failed(format!(
                "input {index} of {} was asked for",
                self.raw.inputs.len()
            ))
        })?;
        // SAFETY: `from_raw` promises readable inputs for 'a.
        Ok(unsafe { Tensor::from_raw(*raw) })
    }

    /// An output by position. The borrow keeps two views of one output from existing at once;
    /// [`outputs_mut`](Self::outputs_mut) gives all of them together.
    ///
    /// # Errors
    /// Where the problem has fewer.
    pub fn output(&mut self, index: usize) -> Result<TensorMut<'_>, Error> {
        let raw = self.raw.outputs.get(index).ok_or_else(|| {
            Error::Failed(format!(
                "output {index} of {} was asked for",
                self.raw.outputs.len()
            ))
        })?;
        // SAFETY: `from_raw` promises exclusive outputs, and the borrow of self is exclusive.
        Ok(unsafe { TensorMut::from_raw(*raw) })
    }

    /// All outputs at once.
    pub fn outputs_mut(&mut self) -> Vec<TensorMut<'_>> {
        // SAFETY: as in `output`; the outputs do not overlap each other.
        self.raw
            .outputs
            .iter()
            .map(|raw| unsafe { TensorMut::from_raw(*raw) })
            .collect()
    }

    /// The buffers as the boundary has them.
    #[doc(hidden)]
    pub fn raw(&self) -> &'a RawIo {
        self.raw
    }

    /// The address and the bytes of the workspace: on the host, or on the device that the kernel
    /// runs on; null where the instance asked for none.
    pub fn workspace_pointer(&self) -> (*mut u8, usize) {
        (self.raw.workspace, self.raw.workspace_bytes)
    }

    /// The workspace, of the size that the instance asked for, 256-byte aligned. For kernels on
    /// the host; a kernel on a device uses [`workspace_pointer`](Self::workspace_pointer).
    pub fn workspace(&mut self) -> &mut [u8] {
        if self.raw.workspace.is_null() {
            return &mut [];
        }
        // SAFETY: `from_raw` promises exclusive memory of this size.
        unsafe { std::slice::from_raw_parts_mut(self.raw.workspace, self.raw.workspace_bytes) }
    }
}
