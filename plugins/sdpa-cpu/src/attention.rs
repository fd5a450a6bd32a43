//! What every implementation of attention here has in common.

use std::any::TypeId;

use evo_plugin::Error;

use crate::Shape;
use crate::simd::Elem;

/// The tensors of one launch.
#[derive(Clone, Copy)]
pub(crate) struct Pointers<T> {
    pub(crate) q: *const T,
    pub(crate) k: *const T,
    pub(crate) v: *const T,
    pub(crate) o: *mut T,
}

// SAFETY: the inputs are only read, and every implementation gives each part of the output to one
// thread.
unsafe impl<T: Send> Send for Pointers<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pointers<T> {}

/// A loaded implementation for one shape and storage type.
pub(crate) trait Attention<T>: Send {
    /// Computes the output from the inputs.
    ///
    /// # Safety
    /// Each pointer is valid for the elements of the shape, the output for writing and used by
    /// nobody else.
    unsafe fn launch(&mut self, io: Pointers<T>);
}

/// Launches on slices, after checking their lengths.
///
/// # Errors
/// Where a slice does not have the shape's number of elements.
pub(crate) fn launch<T: Elem>(
    attention: &mut dyn Attention<T>,
    shape: &Shape,
    [q, k, v]: [&[T]; 3],
    o: &mut [T],
) -> Result<(), Error> {
    let elements = shape.elements();
    if [q.len(), k.len(), v.len(), o.len()]
        .iter()
        .any(|length| *length != elements)
    {
        return Err(Error::Failed(format!(
            "every tensor must have {elements} elements, not q {} k {} v {} o {}",
            q.len(),
            k.len(),
            v.len(),
            o.len()
        )));
    }
    let io = Pointers {
        q: q.as_ptr(),
        k: k.as_ptr(),
        v: v.as_ptr(),
        o: o.as_mut_ptr(),
    };
    // SAFETY: the slices have the shape's number of elements, and `o` is borrowed exclusively.
    unsafe { attention.launch(io) };
    Ok(())
}

/// Whether a storage type is `f32`, so that tensors can be used where they lie.
pub(crate) fn is_f32<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<f32>()
}
