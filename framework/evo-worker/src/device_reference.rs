//! The float64 reference of the built-in attention, computed on the GPU that candidates run on: there
//! every row of every check can be compared, where the host would take seconds for a sample of them.
//!
//! It is held against the host's own reference before it is believed. Without NVRTC it is not there,
//! and the host computes; the outcome is the same, and later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use evo_cuda::{Argument, CompileRequest, Function, LaunchConfig, Module, compile};
use evo_plugin::Error;
use evo_problems::sdpa::{Attention, Epilogue, REFERENCE, Scales};
use evo_types::{Dtype, ProblemSpec};
use rand::seq::index;

use crate::bulk::{self, Doubles};
use crate::gpu::{Gpu, error_of};
use crate::memory::BufferSet;

/// Below this many floating-point operations the host is done before a kernel could be compiled.
const LEAST_FLOPS: f64 = 5e7;
/// Beyond this many, a check that could do with some rows is not made to wait for all of them.
const FAST_FLOPS: f64 = 3e11;
/// Beyond this many, a device is busy for longer than a deadline allows.
const MOST_FLOPS: f64 = 2e13;
/// Most heads: the extent of a grid in y.
const MOST_HEADS: usize = 65_535;
/// Most bytes of doubles: they are kept on the host as well.
const MOST_BYTES: usize = 4 << 30;
/// Rows that are held against the host's reference.
const PROOF_ROWS: usize = 64;
/// By how much they may differ, as a relative Frobenius error: both are sums of doubles in another
/// order, and the tightest gate, that of single precision, is ten thousand times as wide.
const PROOF_ERROR: f64 = 1e-9;
/// Query rows of a block, as in the device code.
const ROWS: u32 = 64;
const THREADS: u32 = 256;
const ENTRY: &str = "sdpa_reference";

/// What was compiled, and for which problems it was proven.
#[derive(Debug, Default)]
pub(crate) struct DeviceReference {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By head dimension and element type.
    functions: BTreeMap<(usize, &'static str), Function>,
    proven: BTreeSet<String>,
    /// Why nothing can be compiled here.
    missing: Option<String>,
}

/// Whether a problem's reference can be computed on a GPU.
pub(crate) fn is_for(spec: &ProblemSpec) -> bool {
    let bytes = spec.outputs().next().and_then(|output| output.elements());
    let fits = bytes.is_some_and(|elements| elements <= MOST_BYTES / 8);
    spec.problem == evo_problems::sdpa::NAME
        && (LEAST_FLOPS..=MOST_FLOPS).contains(&spec.flops)
        && fits
        && Attention::of(&spec.fields)
            .is_ok_and(|attention| attention.shape.d <= 256 && attention.shape.heads <= MOST_HEADS)
}

/// Whether all rows take no longer there than some do on the host.
pub(crate) fn is_fast_for(spec: &ProblemSpec) -> bool {
    spec.flops <= FAST_FLOPS
}

impl DeviceReference {
    /// The reference of all rows for the inputs of a set, as the host has them; `None` where it cannot
    /// be compiled here, or the device has no memory left for it. `host` computes rows on the host: it is asked once for each problem.
    ///
    /// # Errors
    /// Where the device fails, or the two references disagree.
    pub(crate) fn compute(
        &self,
        gpu: &Gpu,
        spec: &ProblemSpec,
        set: &BufferSet,
        host: impl FnOnce(&[u64]) -> Result<Doubles, Error>,
    ) -> Result<Option<Doubles>, Error> {
        let attention = Attention::of(&spec.fields)?;
        let Some(function) = self.function(gpu, &attention) else {
            return Ok(None);
        };
        let values = match run(gpu, &function, &attention, set) {
            Ok(values) => values,
            Err(Error::OutOfMemory(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = format!("{:?}", spec.fields);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.proven.contains(&key) {
            prove(&attention, &values, host)?;
            state.proven.insert(key);
        }
        Ok(Some(values))
    }

    /// Whether it can be compiled here, as far as is known.
    pub(crate) fn is_available(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.missing.is_none()
    }

    fn function(&self, gpu: &Gpu, attention: &Attention) -> Option<Function> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.missing.is_some() {
            return None;
        }
        let key = (attention.shape.d, dtype_name(attention));
        if let Some(function) = state.functions.get(&key) {
            return Some(function.clone());
        }
        match compiled(gpu, key) {
            Ok(function) => {
                state.functions.insert(key, function.clone());
                Some(function)
            }
            Err(why) => {
                eprintln!("the reference is computed on the host, since {why}");
                state.missing = Some(why);
                None
            }
        }
    }
}

fn dtype_name(attention: &Attention) -> &'static str {
    match attention.input_dtype() {
        Dtype::F8E4m3 => "f8_e4m3",
        Dtype::F16 => "f16",
        Dtype::Bf16 => "bf16",
        _ => "f32",
    }
}

/// What the device code is compiled from.
fn request(arch: String, (d, dtype): (usize, &str)) -> CompileRequest {
    CompileRequest {
        name: "reference.cu".to_owned(),
        source: REFERENCE.to_owned(),
        headers: Vec::new(),
        arch,
        options: vec![
            "--std=c++17".to_owned(),
            format!("-DHEAD_DIM={d}"),
            format!("-DDTYPE={dtype}"),
        ],
        name_expressions: Vec::new(),
    }
}

fn compiled(gpu: &Gpu, key: (usize, &str)) -> Result<Function, String> {
    let compiled = compile(&request(gpu.arch(), key)).map_err(|error| error.to_string())?;
    let function = Module::load(gpu.device(), &compiled.cubin)
        .and_then(|module| module.function(ENTRY))
        .map_err(|error| error.to_string())?;
    Ok(function)
}

/// Computes all rows, from copies of the inputs: what a candidate may still be doing to its own buffers
/// has no part in what is right.
fn run(
    gpu: &Gpu,
    function: &Function,
    attention: &Attention,
    set: &BufferSet,
) -> Result<Doubles, Error> {
    let shape = &attention.shape;
    let mut output = gpu.mirrored(shape.elements() * 8, "the reference")?;
    let mut copies = Vec::new();
    for input in set.input_bytes() {
        let mut copy = gpu.buffer(input.len(), "an input of the reference")?;
        copy.upload(0, input).map_err(error_of)?;
        copies.push(copy);
    }
    let mut inputs = copies.iter();
    let mut next = |wanted: bool| match wanted {
        true => {
            let input = inputs
                .next()
                .map(|input| Argument::Address(input.address()));
            input.ok_or_else(|| Error::Failed("an input of the problem is missing".to_owned()))
        }
        false => Ok(Argument::Address(0)),
    };
    let quantised = attention.quantised.is_some();
    let qkv = [next(true)?, next(true)?, next(true)?];
    let scales = [next(quantised)?, next(quantised)?, next(quantised)?];
    let bias = next(attention.bias_elements() > 0)?;
    let alpha = match attention.epilogue {
        Epilogue::None => 1.0,
        Epilogue::Scale(alpha) | Epilogue::ScaleBias(alpha) => f64::from(alpha),
    };
    let integer = |value: usize| Argument::I32(i32::try_from(value).unwrap_or(i32::MAX));
    let mut arguments = Vec::from(qkv);
    arguments.push(Argument::Address(output.twin.address()));
    arguments.push(integer(shape.s));
    arguments.push(Argument::I32(i32::from(shape.causal)));
    arguments.extend(scales);
    arguments.push(Argument::I32(i32::from(
        attention.quantised == Some(Scales::PerHead),
    )));
    arguments.push(Argument::F64(alpha));
    arguments.push(bias);
    arguments.push(integer(attention.heads_per_batch));
    let extent = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let config = LaunchConfig {
        grid: [extent(shape.s).div_ceil(ROWS), extent(shape.heads), 1],
        block: [THREADS, 1, 1],
        shared_bytes: 0,
        cluster: None,
        early: false,
    };
    // SAFETY: the stream is this device's, and the buffers live until it has been waited for.
    unsafe { function.launch(&config, &arguments, gpu.stream()) }.map_err(error_of)?;
    gpu.wait()?;
    let mut values = Doubles::of_length(shape.elements());
    bulk::copy_into(output.pull_doubles()?, &mut values);
    gpu.give_back(output);
    Ok(values)
}

/// Holds some rows against the host's reference.
///
/// # Errors
/// Where they disagree, with the figures.
fn prove(
    attention: &Attention,
    values: &[f64],
    host: impl FnOnce(&[u64]) -> Result<Doubles, Error>,
) -> Result<(), Error> {
    let shape = &attention.shape;
    let count = shape.heads * shape.s;
    let mut rows = index::sample(&mut rand::rng(), count, PROOF_ROWS.min(count)).into_vec();
    rows.sort_unstable();
    let numbers: Vec<u64> = rows.iter().map(|row| *row as u64).collect();
    let expected = host(&numbers)?;
    // A row that nearly cancels is not held to its own norm, but to a share of that of a typical one.
    let squares: f64 = values.iter().map(|value| value * value).sum();
    let floor = 0.01 * (squares / count.max(1) as f64).sqrt();
    for row in rows {
        let row_of = |values: &[f64]| -> Vec<f64> {
            let place = row * shape.d..(row + 1) * shape.d;
            values.get(place).unwrap_or_default().to_vec()
        };
        let (here, there) = (row_of(&expected), row_of(values));
        let pairs = || here.iter().zip(&there);
        let error: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
        let norm: f64 = pairs().map(|(a, _)| a.powi(2)).sum();
        // Written so that NaN fails.
        let agrees = error.sqrt() <= PROOF_ERROR * norm.sqrt().max(floor).max(f64::MIN_POSITIVE);
        if !agrees {
            return Err(Error::Failed(format!(
                "the reference on the GPU is not the host's: row {row} differs by {:.3e} of {:.3e}; \
                 please report this with the run folder",
                error.sqrt(),
                norm.sqrt()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod emulated;
#[cfg(test)]
mod tests {
    use evo_types::{Params, Value};

    use super::*;
    use crate::component::Problem;
    use crate::loader::Loader;
    use crate::memory::Placement;
    use crate::site::Site;

    #[test]
    fn it_compiles_for_every_architecture_and_type() {
        let mut compiled = 0;
        for arch in ["sm_80", "sm_89", "sm_90a"] {
            for key in [(64, "f16"), (128, "bf16"), (40, "f32"), (256, "f8_e4m3")] {
                match compile(&request(arch.to_owned(), key)) {
                    Ok(_) => compiled += 1,
                    Err(evo_cuda::NvrtcError::Compile { message, log }) => {
                        panic!("{arch} {key:?}: {message}\n{log}")
                    }
                    Err(error) => return println!("skipped: {error}"),
                }
            }
        }
        assert_eq!(compiled, 12);
    }

    pub(super) fn problem() -> Problem {
        let mut loader = Loader::new(std::env::temp_dir());
        let plugin = loader.plugin(&evo_wire::built_in()).unwrap();
        Problem::find(&plugin, "sdpa").unwrap()
    }

    pub(super) fn fields(words: &str) -> Params {
        let mut fields = Params::new();
        for (name, value) in words
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            let value = match (value.parse::<i64>(), value.parse::<f64>()) {
                (Ok(integer), _) => Value::Int(integer),
                (_, Ok(float)) => Value::Float(float),
                _ => Value::Name(value.to_owned()),
            };
            fields.insert(name.to_owned(), value);
        }
        fields
    }

    #[test]
    fn it_agrees_with_the_host_on_every_kind_of_problem() {
        let gpu = match Gpu::open(0) {
            Ok(gpu) => std::sync::Arc::new(gpu),
            Err(error) => return println!("skipped: {error}"),
        };
        let problem = problem();
        let base = "B=2 H=3 S=300 D=64 dtype=f16 mask=full";
        for changes in [
            "",
            "mask=causal",
            "S=257 D=40 dtype=f32",
            "D=128 dtype=bf16 epilogue=scale_bias alpha=0.25",
            "D=200 S=129 mask=causal epilogue=scale",
            "dtype=f8_e4m3 scales=per_head S=100",
            "dtype=f8_e4m3 mask=causal D=128 S=33 epilogue=scale_bias",
        ] {
            let words = format!("{base} {changes}");
            let spec = problem.resolve(&fields(&words)).unwrap();
            let site = Site::Cuda(std::sync::Arc::clone(&gpu));
            let mut set = BufferSet::new(&site, &spec, 0, Placement::Page).unwrap();
            problem.fill(&spec, 7, "outliers", &mut set).unwrap();
            set.push().unwrap();
            let host =
                |rows: &[u64]| Ok(problem.host_reference(&spec, &set, Some(rows))?.remove(0));
            let computed = gpu.reference().compute(&gpu, &spec, &set, host).unwrap();
            let Some(computed) = computed else {
                return println!("skipped: no NVRTC");
            };
            let expected = problem.host_reference(&spec, &set, None).unwrap().remove(0);
            let error: f64 = computed
                .iter()
                .zip(expected.iter())
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            let norm: f64 = expected.iter().map(|a| a.powi(2)).sum();
            assert!(
                error.sqrt() <= 1e-12 * norm.sqrt(),
                "{words}: {error} {norm}"
            );
        }
    }
}
