//! Buffers as the other side is told of them.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use evo_plugin::{Dtype, Error, Tensor, TensorMut};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::shared::{Region, SharedMemory, locate};

/// The memories that a message mentions, collected while its buffers are described.
#[derive(Default)]
pub(crate) struct Mentioned {
    regions: BTreeMap<u64, Region>,
}

impl Mentioned {
    /// A buffer of bytes in shared memory.
    ///
    /// # Errors
    /// Where it is elsewhere: the framework keeps the buffers of such a kernel in memory that is
    /// shared.
    pub(crate) fn buffer(&mut self, pointer: *const u8, bytes: usize) -> Result<Value, Error> {
        let (region, offset) = locate(pointer, bytes).ok_or_else(|| {
            Error::Failed(format!(
                "a buffer of {bytes} bytes is not in memory that can be shared with the process"
            ))
        })?;
        let document = json!({ "memory": region.id, "offset": offset, "bytes": bytes });
        self.regions.insert(region.id, region);
        Ok(document)
    }

    /// A tensor in shared memory.
    ///
    /// # Errors
    /// As for [`buffer`](Self::buffer).
    pub(crate) fn tensor(&mut self, view: &View) -> Result<Value, Error> {
        let mut document = self.buffer(view.pointer, view.bytes)?;
        if let Some(object) = document.as_object_mut() {
            object.insert("dtype".to_owned(), json!(view.dtype));
            object.insert("shape".to_owned(), json!(view.shape));
        }
        Ok(document)
    }

    /// The memories that the other side has not been told of, for the field `memories`.
    pub(crate) fn memories(self, connection: &Arc<Connection>) -> Vec<Value> {
        let new = connection.new_memories(self.regions.values());
        self.regions
            .into_values()
            .filter(|region| new.contains(&region.id))
            .map(|region| region.document())
            .collect()
    }
}

/// Where a tensor is, and what.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pointer: *mut u8,
    bytes: usize,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl View {
    /// # Errors
    /// Where the element type is unknown or the size overflows.
    pub(crate) fn of(tensor: &Tensor<'_>) -> Result<Self, Error> {
        Self::new(tensor.pointer(), tensor.dtype()?, tensor.shape())
    }

    /// # Errors
    /// As for [`of`](Self::of).
    pub(crate) fn of_mut(tensor: &TensorMut<'_>) -> Result<Self, Error> {
        Self::new(tensor.pointer(), tensor.dtype()?, tensor.shape())
    }

    fn new(pointer: *mut u8, dtype: Dtype, shape: Vec<usize>) -> Result<Self, Error> {
        let bytes = shape
            .iter()
            .try_fold(dtype.size(), |bytes, extent| bytes.checked_mul(*extent))
            .ok_or_else(|| Error::Failed(format!("the size of a tensor of {shape:?} overflows")))?;
        Ok(Self {
            pointer,
            bytes,
            dtype,
            shape,
        })
    }
}

/// Tensors that may lie anywhere, lent to the other side for one question: those that are not in
/// shared memory are copied there, and back.
#[derive(Default)]
pub(crate) struct Staging<'t> {
    mentioned: Mentioned,
    copies: Vec<SharedMemory>,
    /// Which tensors are to be brought back from which copies.
    written: Vec<(View, usize)>,
    /// The borrows of the tensors.
    tensors: PhantomData<&'t mut u8>,
}

impl<'t> Staging<'t> {
    /// A tensor that the other side reads.
    ///
    /// # Errors
    /// Where there is no memory for a copy.
    pub(crate) fn read(&mut self, tensor: &'t Tensor<'_>) -> Result<Value, Error> {
        self.lend(&View::of(tensor)?, false)
    }

    /// A tensor that the other side writes, or leaves as it is in parts.
    ///
    /// # Errors
    /// Where there is no memory for a copy.
    pub(crate) fn write(&mut self, tensor: &'t mut TensorMut<'_>) -> Result<Value, Error> {
        self.lend(&View::of_mut(tensor)?, true)
    }

    fn lend(&mut self, view: &View, back: bool) -> Result<Value, Error> {
        if locate(view.pointer, view.bytes).is_some() {
            return self.mentioned.tensor(view);
        }
        let memory = SharedMemory::new(view.bytes).map_err(|error| {
            Error::OutOfMemory(format!(
                "{} bytes to share with the process: {error}",
                view.bytes
            ))
        })?;
        // SAFETY: the tensor may be read while it is borrowed; the memory is as long, and nobody
        // else knows of it yet.
        unsafe { ptr::copy_nonoverlapping(view.pointer, memory.pointer(), view.bytes) };
        let document = self.mentioned.tensor(&View {
            pointer: memory.pointer(),
            ..view.clone()
        });
        if back {
            self.written.push((view.clone(), self.copies.len()));
        }
        self.copies.push(memory);
        document
    }

    /// Asks a question about the tensors, and brings back what was written to them. `fields` is a
    /// JSON object.
    ///
    /// # Errors
    /// What the other side answered.
    pub(crate) fn ask<T: DeserializeOwned>(
        self,
        connection: &Arc<Connection>,
        question: &str,
        mut fields: Value,
    ) -> Result<T, Error> {
        if let Some(object) = fields.as_object_mut() {
            let memories = self.mentioned.memories(connection);
            object.insert("memories".to_owned(), memories.into());
        }
        let answer = connection.ask(question, fields)?;
        for (view, index) in &self.written {
            if let Some(memory) = self.copies.get(*index) {
                // SAFETY: the tensor is writable while it is borrowed, which this value's
                // lifetime ensures; the memory has as many bytes.
                unsafe {
                    ptr::copy_nonoverlapping(memory.pointer(), view.pointer, view.bytes);
                }
            }
        }
        Ok(answer)
    }
}
