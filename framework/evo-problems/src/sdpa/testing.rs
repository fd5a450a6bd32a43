//! What the tests share: shapes and inputs.

use evo_plugin::{Dtype, Rows};

use super::{Shape, Storage, fill_slices, rows_of};
use crate::Real;

pub(crate) fn shape<T: Real>(extents: [usize; 4], causal: bool) -> Shape {
    let storage = match T::DTYPE {
        Dtype::F16 => Storage::F16,
        Dtype::Bf16 => Storage::Bf16,
        _ => Storage::F32,
    };
    Shape::new(extents, causal, storage).unwrap()
}

/// Inputs of one problem.
pub(crate) struct Inputs<T> {
    pub(crate) shape: Shape,
    tensors: [Vec<T>; 3],
}

impl<T: Real> Inputs<T> {
    pub(crate) fn new(shape: Shape, seed: u64, distribution: &str) -> Self {
        let mut tensors = [(); 3].map(|()| vec![T::from_f64(f64::NAN); shape.elements()]);
        let slices = tensors.each_mut().map(Vec::as_mut_slice);
        fill_slices(&shape, seed, distribution, slices);
        Self { shape, tensors }
    }

    pub(crate) fn slices(&self) -> [&[T]; 3] {
        self.tensors.each_ref().map(Vec::as_slice)
    }

    pub(crate) fn reference(&self) -> Vec<f64> {
        let mut o = vec![f64::NAN; self.shape.elements()];
        rows_of(&self.shape, self.slices(), Rows::All, &mut o).unwrap();
        o
    }
}
