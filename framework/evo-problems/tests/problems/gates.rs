//! The gates: honest arithmetic passes them, cheaper arithmetic does not.

use evo_plugin::{Problem, ProblemSpec, Rows};
use evo_problems::{Gemm, Real, Reduction};
use half::{bf16, f16};

use crate::support::{fill, reference, relative, resolve};

/// A product whose sums are added up in `Sum`, one term after the other, and stored as `T`.
fn product<T: Real, Sum: Real>(spec: &ProblemSpec, a: &[f64], b: &[f64]) -> Vec<f64> {
    let extent = |name: &str| spec.fields[name].as_int().unwrap() as usize;
    let [m, n, k] = ["M", "N", "K"].map(extent);
    let dot = |i: usize, j: usize| {
        (0..k).fold(0.0, |sum, t| {
            Sum::from_f64(sum + Sum::from_f64(a[i * k + t] * b[t * n + j]).to_f64()).to_f64()
        })
    };
    let places = (0..m).flat_map(|i| (0..n).map(move |j| (i, j)));
    places
        .map(|(i, j)| T::from_f64(dot(i, j)).to_f64())
        .collect()
}

/// The greatest error over all distributions and two seeds, in units of the gate.
fn share(
    problem: &dyn Problem,
    words: &str,
    of: impl Fn(&ProblemSpec, &[Vec<f64>]) -> Vec<f64>,
) -> f64 {
    let spec = resolve(problem, words);
    let mut worst = 0.0f64;
    for distribution in &spec.distributions {
        for seed in [1, 2] {
            let inputs = fill(problem, &spec, seed, distribution);
            let wanted = reference(problem, &spec, &inputs, Rows::All);
            let values: Vec<Vec<f64>> = inputs.iter().map(|input| input.values()).collect();
            let error = relative(&of(&spec, &values), &wanted);
            worst = worst.max(error / spec.gates[0].relative_error);
        }
    }
    worst
}

fn gemm<T: Real, Sum: Real>(words: &str) -> f64 {
    share(&Gemm, words, |spec, inputs| {
        product::<T, Sum>(spec, &inputs[0], &inputs[1])
    })
}

#[test]
fn a_product_in_its_own_precision_passes_for_any_length() {
    for k in [1, 300, 40_000] {
        let words = |dtype: &str| format!("M=9 N=11 K={k} dtype={dtype}");
        for share in [
            gemm::<f32, f32>(&words("f32")),
            gemm::<f64, f64>(&words("f64")),
            gemm::<f16, f32>(&words("f16")),
            gemm::<bf16, f32>(&words("bf16")),
        ] {
            assert!(share < 0.8, "K={k}: {share} of the gate");
        }
    }
}

#[test]
fn sums_in_a_narrower_type_do_not_pass() {
    let words = |dtype: &str| format!("M=9 N=11 K=300 dtype={dtype}");
    for share in [
        gemm::<f32, bf16>(&words("f32")),
        gemm::<f32, f16>(&words("f32")),
        gemm::<f64, f32>(&words("f64")),
        gemm::<f16, f16>(&words("f16")),
        gemm::<bf16, bf16>(&words("bf16")),
    ] {
        assert!(share > 2.0, "{share} of the gate");
    }
}

fn sum<Sum: Real>(_: &ProblemSpec, inputs: &[Vec<f64>]) -> Vec<f64> {
    let add = |sum, x: &f64| Sum::from_f64(sum + x).to_f64();
    vec![inputs[0].iter().fold(0.0, add)]
}

#[test]
fn one_long_sum_passes_in_single_precision_and_not_in_half() {
    for n in [1, 1000, 1 << 20] {
        for dtype in ["f32", "f16", "bf16"] {
            let words = format!("M=1 N={n} axis=all op=sum dtype={dtype}");
            let share = share(&Reduction, &words, sum::<f32>);
            assert!(share < 0.9, "N={n} {dtype}: {share} of the gate");
        }
    }
    let words = "M=1 N=1000 axis=all op=sum dtype=bf16";
    assert!(share(&Reduction, words, sum::<bf16>) > 2.0);
}
