//! Each reference against its definition, written down once more as plainly as it can be.

use evo_plugin::{ProblemSpec, Rows};
use evo_problems::{Conv2d, Gemm, Reduction, Sdpa, Stencil};
use proptest::prelude::*;

use crate::support::{fields, fill, reference, relative, resolve};

fn int(spec: &ProblemSpec, name: &str) -> usize {
    let field = spec.fields.get(name).or(spec.constants.get(name)).unwrap();
    usize::try_from(field.as_int().unwrap()).unwrap()
}

fn is(spec: &ProblemSpec, name: &str, value: &str) -> bool {
    spec.fields[name].to_string() == value
}

fn gemm(spec: &ProblemSpec, a: &[f64], b: &[f64]) -> Vec<f64> {
    let [m, n, k] = ["M", "N", "K"].map(|name| int(spec, name));
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            for t in 0..k {
                let a = if is(spec, "TRANS_A", "true") {
                    a[t * m + i]
                } else {
                    a[i * k + t]
                };
                let b = if is(spec, "TRANS_B", "true") {
                    b[j * k + t]
                } else {
                    b[t * n + j]
                };
                c[i * n + j] += a * b;
            }
        }
    }
    c
}

fn conv2d(spec: &ProblemSpec, x: &[f64], w: &[f64]) -> Vec<f64> {
    let [n, c, h, width, k, r, s] = ["N", "C", "H", "W", "K", "R", "S"].map(|name| int(spec, name));
    let [p, q, stride, pad] = ["P", "Q", "STRIDE", "PAD"].map(|name| int(spec, name));
    let nhwc = is(spec, "layout", "nhwc");
    let at = |[a, b, c, d]: [usize; 4], [_, eb, ec, ed]: [usize; 4]| {
        // Index (image, channel, row, column) into either layout.
        if nhwc {
            ((a * ec + c) * ed + d) * eb + b
        } else {
            ((a * eb + b) * ec + c) * ed + d
        }
    };
    let mut y = vec![0.0; n * k * p * q];
    for image in 0..n {
        for filter in 0..k {
            for row in 0..p {
                for column in 0..q {
                    let mut sum = 0.0;
                    for channel in 0..c {
                        for i in 0..r {
                            for j in 0..s {
                                let (above, left) = (row * stride + i, column * stride + j);
                                if above < pad
                                    || left < pad
                                    || above - pad >= h
                                    || left - pad >= width
                                {
                                    continue;
                                }
                                sum += x[at(
                                    [image, channel, above - pad, left - pad],
                                    [n, c, h, width],
                                )] * w[at([filter, channel, i, j], [k, c, r, s])];
                            }
                        }
                    }
                    y[at([image, filter, row, column], [n, k, p, q])] = sum;
                }
            }
        }
    }
    y
}

fn reduction(spec: &ProblemSpec, x: &[f64]) -> Vec<f64> {
    let [m, n] = ["M", "N"].map(|name| int(spec, name));
    let groups: Vec<Vec<f64>> = match spec.fields["axis"].as_name().unwrap() {
        "last" => x.chunks(n).map(<[f64]>::to_vec).collect(),
        "first" => (0..n)
            .map(|j| (0..m).map(|i| x[i * n + j]).collect())
            .collect(),
        _ => vec![x.to_vec()],
    };
    let of = |group: &Vec<f64>| -> f64 {
        let sum: f64 = group.iter().sum();
        match spec.fields["op"].as_name().unwrap() {
            "sum" => sum,
            "mean" => sum / group.len() as f64,
            "max" => group.iter().copied().fold(f64::MIN, f64::max),
            "min" => group.iter().copied().fold(f64::MAX, f64::min),
            _ => group.iter().map(|x| x * x).sum::<f64>().sqrt(),
        }
    };
    groups.iter().map(of).collect()
}

fn stencil(spec: &ProblemSpec, x: &[f64], c: &[f64]) -> Vec<f64> {
    let extents = ["Z", "Y", "X"].map(|name| int(spec, name) as i64);
    let (dims, radius) = (int(spec, "DIMS"), int(spec, "RADIUS") as i64);
    let axes = &[0, 1, 2][3 - dims..];
    let at = |[z, y, column]: [i64; 3]| x[((z * extents[1] + y) * extents[2] + column) as usize];
    let uniform = 1.0 / (2 * dims as i64 * radius + 1) as f64;
    let factor = |distance: i64| c.get(distance as usize).copied().unwrap_or(uniform);
    let mut result = Vec::new();
    for z in 0..extents[0] {
        for y in 0..extents[1] {
            for column in 0..extents[2] {
                let place = [z, y, column];
                let near =
                    |&axis: &usize| place[axis] < radius || place[axis] + radius >= extents[axis];
                if is(spec, "boundary", "copy") && axes.iter().any(near) {
                    result.push(at(place));
                    continue;
                }
                let mut sum = factor(0) * at(place);
                for &axis in axes {
                    for offset in (-radius..=radius).filter(|offset| *offset != 0) {
                        let mut other = place;
                        other[axis] += offset;
                        if (0..extents[axis]).contains(&other[axis]) {
                            sum += factor(offset.abs()) * at(other);
                        }
                    }
                }
                result.push(sum);
            }
        }
    }
    result
}

/// Small numbers of any type agree to the last bits: every input is exact in float64.
const EXACT: f64 = 1e-14;

/// Attention with scales and epilogue; inputs by name.
fn sdpa(spec: &ProblemSpec, inputs: &[Vec<f64>]) -> Vec<f64> {
    let named = |name: &str| {
        let place = spec.inputs().position(|tensor| tensor.name == name);
        place.map(|place| &inputs[place])
    };
    let [b, h, s, d] = ["B", "H", "S", "D"].map(|name| int(spec, name));
    let at = |name: &str, head: usize, row: usize, column: usize| {
        let scales = named(&format!("{name}_scale"));
        let scale = scales.map_or(1.0, |scales| {
            scales[if scales.len() == 1 { 0 } else { head }]
        });
        scale * named(name).unwrap()[(head * s + row) * d + column]
    };
    let mut o = Vec::new();
    for head in 0..b * h {
        for i in 0..s {
            let seen = if is(spec, "mask", "causal") { i + 1 } else { s };
            let score = |j: usize| -> f64 {
                let dot: f64 = (0..d)
                    .map(|c| at("q", head, i, c) * at("k", head, j, c))
                    .sum();
                dot / (d as f64).sqrt()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|x| (x - most).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for c in 0..d {
                let terms = weights.iter().enumerate();
                let total: f64 = terms.map(|(j, w)| w * at("v", head, j, c)).sum();
                let alpha = spec.fields.get("alpha").and_then(|value| value.as_float());
                let bias = named("bias").map_or(0.0, |bias| bias[head % h * d + c]);
                o.push(alpha.unwrap_or(1.0) * total / sum + bias);
            }
        }
    }
    o
}

fn dtype() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["f32", "f16", "bf16", "f64"])
}

fn distribution() -> impl Strategy<Value = usize> {
    0usize..3
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gemm_is_a_product(
        [m, n, k] in [1usize..40, 1usize..80, 1usize..30],
        (a, b) in any::<(bool, bool)>(),
        dtype in dtype(),
        which in distribution(),
    ) {
        let words = format!("M={m} N={n} K={k} TRANS_A={a} TRANS_B={b} dtype={dtype}");
        let spec = resolve(&Gemm, &words);
        let inputs = fill(&Gemm, &spec, 3, &spec.distributions[which]);
        let wanted = gemm(&spec, &inputs[0].values(), &inputs[1].values());
        let got = reference(&Gemm, &spec, &inputs, Rows::All);
        prop_assert!(relative(&got, &wanted) < EXACT);
    }

    #[test]
    fn sdpa_is_attention_with_what_follows(
        b in 1usize..3, h in 1usize..4, s in 1usize..40, d in 1usize..20,
        mask in prop::sample::select(vec!["full", "causal"]),
        storage in prop::sample::select(vec![
            "f32", "f16", "bf16", "f8_e4m3", "f8_e4m3 scales=per_head", "f8_e4m3 output=f16",
        ]),
        epilogue in prop::sample::select(vec!["none", "scale", "scale_bias alpha=-1.25"]),
        distribution in distribution(),
    ) {
        let words = format!("B={b} H={h} S={s} D={d} mask={mask} dtype={storage} epilogue={epilogue}");
        let spec = resolve(&Sdpa, &words);
        let inputs = fill(&Sdpa, &spec, 3, &spec.distributions[distribution]);
        let values: Vec<Vec<f64>> = inputs.iter().map(|input| input.values()).collect();
        let error = relative(&reference(&Sdpa, &spec, &inputs, Rows::All), &sdpa(&spec, &values));
        prop_assert!(error < 1e-12, "{error}");
    }

    #[test]
    fn conv2d_is_a_convolution(
        [n, c, k] in [1usize..3, 1usize..6, 1usize..40],
        [r, s] in [1usize..5, 1usize..5],
        [h, w] in [0usize..9, 0usize..9],
        (stride, pad) in (1usize..4, 0usize..4),
        nhwc in any::<bool>(),
        dtype in dtype(),
    ) {
        let pad = pad.min(r.max(s) - 1);
        let layout = if nhwc { "nhwc" } else { "nchw" };
        let words = format!(
            "N={n} C={c} K={k} R={r} S={s} H={} W={} STRIDE={stride} PAD={pad} layout={layout} \
             dtype={dtype}",
            h + r, w + s
        );
        let spec = resolve(&Conv2d, &words);
        let inputs = fill(&Conv2d, &spec, 3, "outliers");
        let wanted = conv2d(&spec, &inputs[0].values(), &inputs[1].values());
        let got = reference(&Conv2d, &spec, &inputs, Rows::All);
        prop_assert!(relative(&got, &wanted) < EXACT, "{words}");
    }

    #[test]
    fn reduction_reduces(
        (m, n) in (1usize..60, 1usize..60),
        op in prop::sample::select(vec!["sum", "mean", "max", "min", "l2"]),
        axis in prop::sample::select(vec!["last", "first", "all"]),
        dtype in dtype(),
        which in distribution(),
    ) {
        let words = format!("M={m} N={n} op={op} axis={axis} dtype={dtype}");
        let spec = resolve(&Reduction, &words);
        let inputs = fill(&Reduction, &spec, 3, &spec.distributions[which]);
        let wanted = reduction(&spec, &inputs[0].values());
        let got = reference(&Reduction, &spec, &inputs, Rows::All);
        prop_assert!(relative(&got, &wanted) < EXACT, "{words}");
    }

    #[test]
    fn stencil_is_a_star(
        [x, y, z] in [1usize..20, 1usize..14, 1usize..9],
        (dims, radius) in (2usize..4, 1usize..5),
        (given, copies) in any::<(bool, bool)>(),
        dtype in dtype(),
    ) {
        let z = if dims == 3 { z } else { 1 };
        let coefficients = if given { "input" } else { "uniform" };
        let boundary = if copies { "copy" } else { "zero" };
        let words = format!(
            "X={x} Y={y} Z={z} DIMS={dims} RADIUS={radius} coefficients={coefficients} \
             boundary={boundary} dtype={dtype}"
        );
        let spec = resolve(&Stencil, &words);
        let inputs = fill(&Stencil, &spec, 3, "normal");
        let coefficients = inputs.get(1).map_or(Vec::new(), |c| c.values());
        let wanted = stencil(&spec, &inputs[0].values(), &coefficients);
        let got = reference(&Stencil, &spec, &inputs, Rows::All);
        prop_assert!(relative(&got, &wanted) < EXACT, "{words}");
    }
}

#[test]
fn reductions_longer_than_a_chunk_reduce_everything() {
    for axis in ["last", "first", "all"] {
        for (m, n) in [(3, 70_001), (70_001, 3)] {
            let spec = resolve(&Reduction, &format!("M={m} N={n} axis={axis} op=sum"));
            let inputs = fill(&Reduction, &spec, 3, "normal");
            let wanted = reduction(&spec, &inputs[0].values());
            let got = reference(&Reduction, &spec, &inputs, Rows::All);
            assert!(relative(&got, &wanted) < 1e-13, "{axis} {m} {n}");
        }
    }
}

#[test]
fn flops_count_the_taps_and_neighbours_that_exist() {
    // A 3x3 image under a 3x3 filter with one zero around it: 4 + 6 + 4, 6 + 9 + 6, 4 + 6 + 4 taps.
    let spec = resolve(&Conv2d, "N=1 C=1 K=1 H=3 W=3 R=3 S=3 PAD=1");
    assert_eq!(spec.flops, 2.0 * 49.0);
    let spec = resolve(&Conv2d, "N=2 C=3 K=5 H=9 W=8 R=3 S=2 PAD=0 STRIDE=2");
    let outputs = (2 * 5 * 4 * 4) as f64;
    assert_eq!(spec.flops, 2.0 * outputs * (3 * 3 * 2) as f64);
    // A 3x3 grid: the middle has four neighbours, edges three, corners two.
    let spec = resolve(&Stencil, "X=3 Y=3");
    assert_eq!(spec.flops, (4 + 4 * 3 + 4 * 2) as f64 + 9.0);
    let spec = resolve(&Stencil, "X=3 Y=3 boundary=copy");
    assert_eq!(spec.flops, 4.0);
}

#[test]
fn quantised_attention_is_that_of_the_same_numbers_but_for_their_rounding() {
    for scales in ["per_tensor", "per_head"] {
        let words = format!("B=2 H=2 S=70 D=16 dtype=f8_e4m3 epilogue=scale scales={scales}");
        let spec = resolve(&Sdpa, &words);
        let mut before = spec.fields.clone();
        before.extend(spec.unquantised.clone());
        let before = evo_plugin::Problem::resolve(&Sdpa, &before).unwrap();
        // The outliers of single precision are others.
        for (distribution, most) in [("normal", 0.06), ("equal_rows", 0.06), ("one_hot", 0.06)] {
            let of = |spec: &ProblemSpec| {
                reference(&Sdpa, spec, &fill(&Sdpa, spec, 9, distribution), Rows::All)
            };
            let error = relative(&of(&spec), &of(&before));
            assert!(
                error > 1e-3 && error < most,
                "{distribution} {scales}: {error}"
            );
        }
    }
}

#[test]
fn a_problem_of_before_the_epilogue_is_what_it_was() {
    let old = |words: &str| {
        let mut fields = fields(&Sdpa, words);
        for name in ["epilogue", "alpha", "scales", "output", "same_d"] {
            fields.remove(name);
        }
        fields
    };
    for words in ["", "S=40 dtype=bf16 mask=causal"] {
        let of = |fields| evo_plugin::Problem::resolve(&Sdpa, fields).unwrap();
        let (before, now) = (of(&old(words)), resolve(&Sdpa, words));
        assert_eq!(before, now);
        assert_eq!(now.fields, old(words));
        assert!(now.unquantised.is_empty() && now.tensors.len() == 4);
    }
}
