//! Times the kernels directly, without the framework.
//!
//! ```text
//! bench time   B,H,S,D f32|bf16|f16 full|causal CANDIDATE...   medians, taken in turns
//! bench search B,H,S,D f32|bf16|f16 full|causal TRIALS SEED    random, then local, search of `tiled`
//! bench serve                                                  a co-process for compare_torch.py
//! ```
//! A candidate is `math`, `flash`, `tiled`, or a kernel with parameters: `tiled:VECS=2,EXP=poly5`.

use std::io::{BufRead, Write};
use std::time::Instant;

use evo_plugin::{Params, Value};
use evo_plugin_sdpa_cpu::direct::{Loaded, Stored};
use evo_plugin_sdpa_cpu::{Shape, Storage};
use half::{bf16, f16};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["time", shape, dtype, mask, candidates @ ..] => {
            time(read_shape(shape, dtype, mask)?, candidates)
        }
        ["search", shape, dtype, mask, trials, seed] => search(
            read_shape(shape, dtype, mask)?,
            trials.parse()?,
            seed.parse()?,
        ),
        ["serve"] => serve(),
        _ => Err("usage: bench time|search B,H,S,D DTYPE MASK ... | bench serve".into()),
    }
}

fn read_shape(extents: &str, dtype: &str, mask: &str) -> Result<Shape, Failure> {
    let extents: Vec<usize> = extents
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let extents: [usize; 4] = extents.try_into().map_err(|_| "a shape is B,H,S,D")?;
    let storage = match dtype {
        "f32" => Storage::F32,
        "f16" => Storage::F16,
        "bf16" => Storage::Bf16,
        _ => return Err(format!("no element type is called {dtype}").into()),
    };
    Ok(Shape::new(extents, mask == "causal", storage)?)
}

fn read_candidate(text: &str) -> (String, Params) {
    let (kernel, rest) = text.split_once(':').unwrap_or((text, ""));
    let params = rest
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let value = value
                .parse::<i64>()
                .map_or_else(|_| Value::from(value), Value::from);
            (name.to_owned(), value)
        });
    (kernel.to_owned(), params.collect())
}

/// A loaded candidate with tensors of its storage type.
enum Bench {
    F32(Loaded, Vec<Vec<f32>>),
    F16(Loaded, Vec<Vec<f16>>),
    Bf16(Loaded, Vec<Vec<bf16>>),
}

fn tensors<T: Copy>(shape: &Shape, convert: impl Fn(f32) -> T) -> Vec<Vec<T>> {
    let mut state = 17u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 3.4
    };
    (0..4)
        .map(|_| (0..shape.elements()).map(|_| convert(next())).collect())
        .collect()
}

fn seconds<T: Stored>(loaded: &mut Loaded, tensors: &mut [Vec<T>]) -> Result<f64, Failure> {
    let [q, k, v, o] = tensors else {
        return Err("four tensors".into());
    };
    let start = Instant::now();
    loaded.launch([q, k, v], o)?;
    Ok(start.elapsed().as_secs_f64())
}

impl Bench {
    fn new(candidate: &str, shape: Shape) -> Result<Self, Failure> {
        let (kernel, params) = read_candidate(candidate);
        let loaded = Loaded::new(&kernel, &params, shape)?;
        Ok(match shape.storage {
            Storage::F32 => Self::F32(loaded, tensors(&shape, |x| x)),
            Storage::F16 => Self::F16(loaded, tensors(&shape, f16::from_f32)),
            Storage::Bf16 => Self::Bf16(loaded, tensors(&shape, bf16::from_f32)),
        })
    }

    fn run(&mut self) -> Result<f64, Failure> {
        match self {
            Self::F32(loaded, tensors) => seconds(loaded, tensors),
            Self::F16(loaded, tensors) => seconds(loaded, tensors),
            Self::Bf16(loaded, tensors) => seconds(loaded, tensors),
        }
    }

    fn output(&self) -> Vec<f32> {
        match self {
            Self::F32(_, tensors) => tensors[3].clone(),
            Self::F16(_, tensors) => tensors[3].iter().map(|x| x.to_f32()).collect(),
            Self::Bf16(_, tensors) => tensors[3].iter().map(|x| x.to_f32()).collect(),
        }
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn gflops(shape: &Shape, seconds: f64) -> f64 {
    4.0 * shape.heads as f64 * shape.pairs() * shape.d as f64 / seconds * 1e-9
}

fn time(shape: Shape, candidates: &[&str]) -> Result<(), Failure> {
    let mut benches = candidates
        .iter()
        .map(|text| Bench::new(text, shape))
        .collect::<Result<Vec<_>, _>>()?;
    let mut samples = vec![Vec::new(); benches.len()];
    for round in 0..18 {
        for (bench, samples) in benches.iter_mut().zip(&mut samples) {
            let seconds = bench.run()?;
            if round >= 3 {
                samples.push(seconds);
            }
        }
    }
    let first = benches.first().map(Bench::output).unwrap_or_default();
    for ((text, bench), samples) in candidates.iter().zip(&benches).zip(&mut samples) {
        let middle = median(samples);
        let (mut difference, mut norm) = (0.0, 0.0);
        for (x, y) in bench.output().iter().zip(&first) {
            difference += f64::from(x - y).powi(2);
            norm += f64::from(*y).powi(2);
        }
        println!(
            "{:8.3} ms  min {:8.3} ms  {:7.1} GFLOP/s  differs {:.1e}  {text}",
            middle * 1e3,
            samples[0] * 1e3,
            gflops(&shape, middle),
            (difference / norm).sqrt()
        );
    }
    Ok(())
}

/// The values that the search tries; the search space's file says more.
const SPACE: [(&str, &[&str]); 16] = [
    (
        "BLOCK_M",
        &["16", "32", "48", "64", "96", "128", "192", "256", "512"],
    ),
    (
        "BLOCK_N",
        &[
            "16", "32", "48", "64", "96", "128", "192", "256", "512", "1024", "2048",
        ],
    ),
    ("VECS", &["1", "2", "3", "4"]),
    ("QK_ROWS", &["4", "6", "8", "12", "16", "24"]),
    ("PV_ROWS", &["4", "6", "8", "12", "16", "24"]),
    ("THREADS", &["2"]),
    (
        "SPLIT",
        &["heads", "contiguous", "strided", "dynamic", "heavy_first"],
    ),
    ("PIN", &["none", "cores"]),
    ("PACK_K", &["none", "block", "head", "shared"]),
    ("PACK_V", &["none", "block", "head", "shared"]),
    ("EXP", &["exact", "poly5", "poly4", "poly3"]),
    ("RESCALE", &["always", "grown", "lazy"]),
    ("PREFETCH", &["0", "1", "2"]),
    ("KV_ORDER", &["forward", "serpentine"]),
    ("ISA", &["auto", "avx2"]),
    ("BF16", &["convert", "dot"]),
];

fn search(shape: Shape, trials: usize, seed: u64) -> Result<(), Failure> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % below
    };
    let text = |choice: &[usize]| {
        let pairs: Vec<String> = SPACE
            .iter()
            .zip(choice)
            .map(|((name, values), at)| format!("{name}={}", values[*at]))
            .collect();
        format!("tiled:{}", pairs.join(","))
    };
    let mut best: Option<(f64, Vec<usize>)> = None;
    let mut tried = std::collections::HashSet::new();
    let mut done = 0;
    for _ in 0..trials * 200 {
        if done == trials {
            break;
        }
        let choice: Vec<usize> = match &best {
            Some((_, best)) if done > trials / 3 => {
                let mut choice = best.clone();
                for _ in 0..1 + random(3) {
                    let at = random(SPACE.len());
                    choice[at] = random(SPACE[at].1.len());
                }
                choice
            }
            _ => SPACE
                .iter()
                .map(|(_, values)| random(values.len()))
                .collect(),
        };
        let exp_fits = shape.storage != Storage::F32 || SPACE[10].1[choice[10]] != "poly3";
        if !exp_fits || !tried.insert(choice.clone()) {
            continue;
        }
        let candidate = text(&choice);
        let Ok(mut bench) = Bench::new(&candidate, shape) else {
            continue;
        };
        bench.run()?;
        let mut samples = Vec::new();
        for _ in 0..5 {
            samples.push(bench.run()?);
        }
        done += 1;
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        if best.as_ref().is_none_or(|(seconds, _)| least < *seconds) {
            println!(
                "{done:5} {:8.3} ms {:7.1} GFLOP/s {candidate}",
                least * 1e3,
                gflops(&shape, least)
            );
            best = Some((least, choice));
        }
    }
    Ok(())
}

/// Reads `load NAME B,H,S,D DTYPE MASK CANDIDATE` and `run NAME COUNT`; answers each with one
/// line, the latter with the seconds of each launch.
fn serve() -> Result<(), Failure> {
    let mut benches = std::collections::HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["load", name, shape, dtype, mask, candidate] => {
                let bench = Bench::new(candidate, read_shape(shape, dtype, mask)?)?;
                benches.insert((*name).to_owned(), bench);
                "loaded".to_owned()
            }
            ["run", name, count] => {
                let bench = benches
                    .get_mut(*name)
                    .ok_or_else(|| format!("{name} is not loaded"))?;
                let samples = (0..count.parse()?)
                    .map(|_| bench.run().map(|seconds| seconds.to_string()))
                    .collect::<Result<Vec<_>, _>>()?;
                samples.join(" ")
            }
            ["clear"] => {
                benches.clear();
                "cleared".to_owned()
            }
            _ => return Err(format!("not understood: {line}").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
