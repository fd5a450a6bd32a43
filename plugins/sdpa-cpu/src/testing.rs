//! What the tests share: inputs and outputs between guards, launches, and error figures.

use evo_plugin::{Params, Rows, Value};
use evo_problems::Real;
use evo_problems::sdpa::{fill_slices, rows_of};
use half::{bf16, f16};

use crate::direct::{Loaded, Stored};
use crate::{Shape, Storage};

/// Elements before and after each tensor.
const GUARD: usize = 96;

/// An element type of the tests.
pub(crate) trait Tested: Stored + Real + PartialEq {
    const STORAGE: Storage;
    /// The gate of the problem.
    const GATE: f64;
    fn bits(self) -> u32;
}

impl Tested for f32 {
    const STORAGE: Storage = Storage::F32;
    const GATE: f64 = 1e-5;
    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Tested for f16 {
    const STORAGE: Storage = Storage::F16;
    const GATE: f64 = 6e-4;
    fn bits(self) -> u32 {
        u32::from(self.to_bits())
    }
}

impl Tested for bf16 {
    const STORAGE: Storage = Storage::Bf16;
    const GATE: f64 = 5e-3;
    fn bits(self) -> u32 {
        u32::from(self.to_bits())
    }
}

/// Parameters from `NAME=VALUE` words.
pub(crate) fn params(words: &str) -> Params {
    let pairs = words
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap());
    pairs
        .map(|(name, value)| {
            let value = value
                .parse::<i64>()
                .map_or_else(|_| Value::from(value), Value::from);
            (name.to_owned(), value)
        })
        .collect()
}

pub(crate) fn shape<T: Tested>(extents: [usize; 4], causal: bool) -> Shape {
    Shape::new(extents, causal, T::STORAGE).unwrap()
}

/// Inputs of one problem, each between guards of NaN: what reads beyond a tensor and uses it
/// spoils its result.
pub(crate) struct Inputs<T> {
    pub(crate) shape: Shape,
    tensors: [Vec<T>; 3],
}

impl<T: Tested> Inputs<T> {
    pub(crate) fn new(shape: Shape, seed: u64, distribution: &str) -> Self {
        let mut tensors =
            [(); 3].map(|()| vec![T::from_f64(f64::NAN); shape.elements() + 2 * GUARD]);
        let inside = GUARD..GUARD + shape.elements();
        let [q, k, v] = &mut tensors;
        let slices = [
            &mut q[inside.clone()],
            &mut k[inside.clone()],
            &mut v[inside],
        ];
        fill_slices(&shape, seed, distribution, slices);
        Self { shape, tensors }
    }

    pub(crate) fn slices(&self) -> [&[T]; 3] {
        let inside = GUARD..GUARD + self.shape.elements();
        self.tensors
            .each_ref()
            .map(|tensor| &tensor[inside.clone()])
    }

    pub(crate) fn reference(&self) -> Vec<f64> {
        let mut o = vec![f64::NAN; self.shape.elements()];
        rows_of(&self.shape, self.slices(), Rows::All, &mut o).unwrap();
        o
    }

    /// Launches into a poisoned output between guards; checks the guards, the inputs, and that
    /// everything was written.
    pub(crate) fn launch(&self, loaded: &mut Loaded, what: &str) -> Vec<T> {
        let before: Vec<u32> = self.tensors.iter().flatten().map(|x| x.bits()).collect();
        let poison = T::from_f64(f64::NAN);
        let mut o = vec![poison; self.shape.elements() + 2 * GUARD];
        let inside = GUARD..GUARD + self.shape.elements();
        loaded
            .launch(self.slices(), &mut o[inside.clone()])
            .unwrap();
        let after: Vec<u32> = self.tensors.iter().flatten().map(|x| x.bits()).collect();
        assert!(before == after, "{what}: an input was changed");
        for (index, value) in o.iter().enumerate() {
            if inside.contains(&index) {
                assert!(
                    value.to_f64().is_finite(),
                    "{what}: element {} is not finite",
                    index - GUARD
                );
            } else {
                assert!(
                    value.bits() == poison.bits(),
                    "{what}: wrote outside the output"
                );
            }
        }
        o[inside].to_vec()
    }
}

/// Relative Frobenius error over everything and over the worst row.
pub(crate) fn errors<T: Tested>(d: usize, got: &[T], wanted: &[f64]) -> (f64, f64) {
    let relative = |got: &[T], wanted: &[f64]| {
        let pairs = got.iter().map(|x| x.to_f64()).zip(wanted);
        let (difference, norm) = pairs.fold((0.0, 0.0), |(difference, norm), (x, y)| {
            (difference + (x - y).powi(2), norm + y * y)
        });
        (difference / norm).sqrt()
    };
    let worst = got
        .chunks(d)
        .zip(wanted.chunks(d))
        .map(|(got, wanted)| relative(got, wanted))
        .fold(0.0, f64::max);
    (relative(got, wanted), worst)
}

/// Asserts that an output passes the problem's gate, over everything and over each row.
pub(crate) fn assert_passes<T: Tested>(d: usize, got: &[T], wanted: &[f64], what: &str) {
    let (whole, worst) = errors(d, got, wanted);
    assert!(whole <= T::GATE, "{what}: relative error {whole:.1e}");
    // A row of one or two elements can be nearly zero by chance: no arithmetic is exact then.
    assert!(
        d < 3 || worst <= 2.0 * T::GATE,
        "{what}: relative error of a row {worst:.1e}"
    );
}
