//! Every kernel against float64.

use half::{bf16, f16};

use crate::direct::Loaded;
use crate::testing::{Inputs, Tested, assert_passes, params, shape};
use evo_problems::sdpa::DISTRIBUTIONS;

const SHAPES: [[usize; 4]; 9] = [
    [1, 3, 67, 40],
    [2, 1, 1, 16],
    [1, 1, 129, 64],
    [1, 1, 33, 7],
    [1, 2, 18, 1],
    [2, 2, 16, 32],
    [1, 1, 65, 128],
    [1, 1, 5, 513],
    [3, 1, 100, 24],
];

/// A few configurations of `tiled` that differ in structure.
const TILED: [&str; 5] = [
    "",
    "VECS=2 QK_ROWS=6 PV_ROWS=6 BLOCK_M=64 BLOCK_N=16 PACK_K=none PACK_V=head EXP=poly5 RESCALE=lazy \
     SPLIT=dynamic KV_ORDER=serpentine THREADS=3 PREFETCH=2",
    "BLOCK_N=48 PACK_K=shared PACK_V=shared EXP=poly5 RESCALE=grown SPLIT=heavy_first THREADS=2 \
     QK_ROWS=12 PV_ROWS=8 PREFETCH=1",
    "ISA=portable BLOCK_M=16 BLOCK_N=32 SPLIT=strided THREADS=2 EXP=poly5",
    "BLOCK_N=1024 PACK_K=head PACK_V=block SPLIT=heads THREADS=2",
];

fn all_pass<T: Tested>() {
    for (index, extents) in SHAPES.into_iter().enumerate() {
        for causal in [false, true] {
            let shape = shape::<T>(extents, causal);
            let distribution = DISTRIBUTIONS[index % DISTRIBUTIONS.len()];
            for distribution in ["normal", distribution] {
                let inputs = Inputs::<T>::new(shape, 7 + index as u64, distribution);
                let wanted = inputs.reference();
                for kernel in ["math", "flash"] {
                    let what = format!("{kernel} {shape:?} {distribution}");
                    let mut loaded = Loaded::new(kernel, &params("THREADS=2"), shape).unwrap();
                    assert_passes(shape.d, &inputs.launch(&mut loaded, &what), &wanted, &what);
                }
                for words in TILED {
                    let what = format!("tiled {words} {shape:?} {distribution}");
                    let mut loaded = Loaded::new("tiled", &params(words), shape).unwrap();
                    assert_passes(shape.d, &inputs.launch(&mut loaded, &what), &wanted, &what);
                }
            }
        }
    }
}

#[test]
fn f32_passes_the_gate() {
    all_pass::<f32>();
}

#[test]
fn f16_passes_the_gate() {
    all_pass::<f16>();
}

#[test]
fn bf16_passes_the_gate() {
    all_pass::<bf16>();
}

/// The mission's sequence length, with every distribution and several seeds.
#[test]
fn a_long_sequence_passes_the_gate() {
    for (seed, distribution) in (1..).zip(DISTRIBUTIONS) {
        for causal in [false, true] {
            let shape = shape::<f32>([1, 1, 512, 64], causal);
            let inputs = Inputs::<f32>::new(shape, seed, distribution);
            let wanted = inputs.reference();
            for (kernel, words) in [
                ("math", ""),
                ("flash", ""),
                ("tiled", ""),
                ("tiled", "EXP=poly4 RESCALE=lazy BLOCK_N=32"),
            ] {
                let what = format!("{kernel} {words} {distribution} causal {causal}");
                let mut loaded = Loaded::new(kernel, &params(words), shape).unwrap();
                assert_passes(64, &inputs.launch(&mut loaded, &what), &wanted, &what);
            }
        }
    }
}

/// The same bits every time, whichever thread computes which tile, and nothing of an earlier
/// launch in a later one.
#[test]
fn outputs_depend_on_the_inputs_alone() {
    let shape = shape::<f32>([1, 3, 130, 40], true);
    let one = Inputs::<f32>::new(shape, 1, "normal");
    let other = Inputs::<f32>::new(shape, 2, "normal");
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let mut seen: Option<Vec<u32>> = None;
    for split in ["contiguous", "heads", "strided", "dynamic", "heavy_first"] {
        for threads in [1, 2, 5] {
            for pack in ["none", "block", "head", "shared"] {
                let words = format!(
                    "SPLIT={split} THREADS={threads} PACK_K={pack} PACK_V={pack} BLOCK_N=32"
                );
                let mut loaded = Loaded::new("tiled", &params(&words), shape).unwrap();
                let first = bits(one.launch(&mut loaded, &words));
                other.launch(&mut loaded, &words);
                assert!(
                    first == bits(one.launch(&mut loaded, &words)),
                    "{words}: moves"
                );
                // Neither packing nor sharing out changes the order of any sum.
                let seen = seen.get_or_insert_with(|| first.clone());
                assert!(
                    *seen == first,
                    "{words}: other bits than the first configuration"
                );
            }
        }
    }
    for kernel in ["math", "flash"] {
        let mut loaded = Loaded::new(kernel, &params("THREADS=3"), shape).unwrap();
        let first = bits(one.launch(&mut loaded, kernel));
        other.launch(&mut loaded, kernel);
        assert!(
            first == bits(one.launch(&mut loaded, kernel)),
            "{kernel}: moves"
        );
    }
}

/// A launch on tensors of another length or type is refused.
#[test]
fn wrong_tensors_are_refused() {
    let shape = shape::<f32>([1, 1, 4, 4], false);
    let mut loaded = Loaded::new("tiled", &params(""), shape).unwrap();
    let (long, short) = ([0.0f32; 16], [0.0f32; 15]);
    let error = loaded
        .launch([&long, &short, &long], &mut [0.0; 16])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "every tensor must have 16 elements, not q 16 k 15 v 16 o 16"
    );
    let half = [f16::ZERO; 16];
    let error = loaded
        .launch([&half, &half, &half], &mut [f16::ZERO; 16])
        .unwrap_err();
    assert_eq!(error.to_string(), "loaded for F32, launched on f16");
}
