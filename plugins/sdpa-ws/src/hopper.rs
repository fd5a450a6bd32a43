//! Fused attention for Hopper: the candidate `hopper`.

use evo_cuda::{Argument, CudaError, LaunchConfig, Swizzle, TensorElement, TensorMap};
use evo_plugin::{Artifact, BuildRequest, Dtype, Error, Instance, Kernel, KernelInfo};
use evo_problems::sdpa;

use crate::HOPPER_SPACE;
use crate::compile::{Source, compile};
use crate::hopper_config::{self, HopperConfig};
use crate::instance::{Loaded, Step, tiled};
use crate::task::Task;

/// The device code, and that the host asks for as much shared memory as it lays out.
const SOURCE: Source = Source {
    name: "hopper.cu",
    text: concat!(
        include_str!("../../../kernels/sdpa/hopper.cu"),
        "static_assert(kSharedBytes == SHARED_BYTES, \"the host counts shared memory differently\");\n"
    ),
    headers: &[
        ("ptx.cuh", include_str!("../../../kernels/sdpa/ptx.cuh")),
        (
            "problem.cuh",
            include_str!("../../../kernels/sdpa/problem.cuh"),
        ),
        (
            "hopper_ptx.cuh",
            include_str!("../../../kernels/sdpa/hopper_ptx.cuh"),
        ),
        (
            "hopper_wgmma.cuh",
            include_str!("../../../kernels/sdpa/hopper_wgmma.cuh"),
        ),
        (
            "hopper_config.cuh",
            include_str!("../../../kernels/sdpa/hopper_config.cuh"),
        ),
        (
            "hopper_work.cuh",
            include_str!("../../../kernels/sdpa/hopper_work.cuh"),
        ),
        (
            "hopper_load.cuh",
            include_str!("../../../kernels/sdpa/hopper_load.cuh"),
        ),
        (
            "hopper_softmax.cuh",
            include_str!("../../../kernels/sdpa/hopper_softmax.cuh"),
        ),
        (
            "hopper_attend.cuh",
            include_str!("../../../kernels/sdpa/hopper_attend.cuh"),
        ),
        (
            "hopper_store.cuh",
            include_str!("../../../kernels/sdpa/hopper_store.cuh"),
        ),
        (
            "hopper_promote.cuh",
            include_str!("../../../kernels/sdpa/hopper_promote.cuh"),
        ),
        (
            "hopper_transpose.cuh",
            include_str!("../../../kernels/sdpa/hopper_transpose.cuh"),
        ),
    ],
};
const ENTRY: &str = "sdpa_hopper";
/// 8-bit values with their columns as rows, before the attention itself.
const TRANSPOSE: &str = "sdpa_hopper_transpose";
/// Threads of a block of it, and keys that one takes.
const TRANSPOSE_THREADS: u32 = 128;
const TRANSPOSE_KEYS: u32 = 64;
/// Keys in whose multiples a row of transposed values is.
const TRANSPOSED_UNIT: u32 = 16;
/// The largest extent of a grid in y.
const LARGEST_Y: u32 = 65_535;

/// Bytes of a row in shared memory that stay together; longer ones lie in several pieces.
const PIECE: usize = 128;
/// Columns and rows of a box of the output.
const OUTPUT_BOX: [u32; 3] = [64, 16, 1];
/// Keys of a box of transposed values.
const VALUE_BOX_KEYS: u32 = 64;

/// Attention with bulk copies and warpgroup products.
#[derive(Debug, Clone, Copy)]
pub struct Hopper;

/// Reads and checks a request.
fn resolve(request: &BuildRequest) -> Result<(Task, HopperConfig), Error> {
    let task = Task::of(request)?;
    if task.arch != "sm_90a" {
        return Err(Error::Rejected(format!(
            "`hopper` is made of instructions that only sm_90 has (bulk tensor copies, warpgroup \
             products), and this device is {}",
            task.arch
        )));
    }
    let config = HopperConfig::read(&request.config, &task)?;
    config.check(&task)?;
    if has_copy(&task, &config) && task.heads() > LARGEST_Y {
        return Err(Error::Rejected(format!(
            "{} heads of 8-bit values: at most {LARGEST_Y} are transposed",
            task.heads()
        )));
    }
    Ok((task, config))
}

fn is_f8(task: &Task) -> bool {
    task.attention.input_dtype() == Dtype::F8E4m3
}

/// Keys of a row of transposed values.
fn padded(task: &Task) -> u32 {
    task.seq().next_multiple_of(TRANSPOSED_UNIT)
}

/// Whether a kernel before the attention makes a transposed copy of the values.
fn has_copy(task: &Task, config: &HopperConfig) -> bool {
    is_f8(task) && !config.turns_values
}

/// Bytes of scratch memory: transposed values.
fn workspace(task: &Task, config: &HopperConfig) -> Result<usize, Error> {
    if !has_copy(task, config) {
        return Ok(0);
    }
    let bytes = u64::from(padded(task)) * u64::from(task.heads()) * task.d().unsigned_abs();
    usize::try_from(bytes).map_err(|_| Error::Rejected(format!("{bytes} bytes of scratch memory")))
}

/// What the bulk copies are told of Q, K, V and O.
struct Maps {
    element: TensorElement,
    output: TensorElement,
    d: usize,
    seq: u32,
    heads: u32,
    rows: u32,
    keys: u32,
    /// Keys of a row, where values are transposed.
    transposed: Option<u32>,
}

impl Maps {
    fn of(task: &Task, config: &HopperConfig) -> Self {
        let element = |dtype| match dtype {
            Dtype::Bf16 => TensorElement::Bf16,
            Dtype::F8E4m3 => TensorElement::U8,
            _ => TensorElement::F16,
        };
        let size = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            element: element(task.attention.input_dtype()),
            output: element(task.attention.output_dtype()),
            d: task.attention.shape.d,
            seq: task.seq(),
            heads: task.heads(),
            rows: size(config.rows()),
            keys: size(config.block_n),
            transposed: has_copy(task, config).then(|| padded(task)),
        }
    }

    /// Maps of these addresses, as the first arguments of the kernel.
    fn arguments(&self, [q, k, v, o]: [u64; 4]) -> Result<Vec<Argument>, CudaError> {
        let bytes = if self.element == TensorElement::U8 {
            1
        } else {
            2
        };
        let piece = PIECE.min(self.d * bytes);
        let rows = |address, rows| TensorMap {
            address,
            element: self.element,
            extents: vec![self.d as u64, self.seq.into(), self.heads.into()],
            box_extents: vec![(piece / bytes) as u32, rows, 1],
            swizzle: if piece == PIECE {
                Swizzle::Bytes128
            } else {
                Swizzle::Bytes64
            },
        };
        let values = match self.transposed {
            None => rows(v, self.keys),
            Some(keys) => TensorMap {
                extents: vec![keys.into(), self.d as u64, self.heads.into()],
                box_extents: vec![VALUE_BOX_KEYS, self.d as u32, 1],
                swizzle: Swizzle::Bytes64,
                ..rows(v, 1)
            },
        };
        let output = TensorMap {
            element: self.output,
            box_extents: OUTPUT_BOX.to_vec(),
            swizzle: Swizzle::Bytes128,
            ..rows(o, 1)
        };
        let maps = [rows(q, self.rows), rows(k, self.keys), values, output];
        maps.iter().map(TensorMap::argument).collect()
    }
}

/// An argument that is an address.
fn address_of(arguments: &[Argument], place: usize) -> u64 {
    match arguments.get(place) {
        Some(Argument::Address(address)) => *address,
        _ => 0,
    }
}

impl Kernel for Hopper {
    fn info(&self) -> KernelInfo {
        KernelInfo {
            name: "hopper".to_owned(),
            version: SOURCE.version(),
            doc: "Fused attention for Hopper: bulk tensor copies, warpgroup products".to_owned(),
            problems: vec![sdpa::NAME.to_owned()],
            devices: vec!["cuda".to_owned()],
            params: hopper_config::params(),
            space: Some(HOPPER_SPACE.to_owned()),
            deterministic: true,
            prepares: false,
        }
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let (task, config) = resolve(request)?;
        workspace(&task, &config).map(drop)
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let (task, config) = resolve(request)?;
        let shared = u32::try_from(config.shared_bytes(&task)).unwrap_or(u32::MAX);
        let mut macros = config.macros();
        macros.push(format!("-DSHARED_BYTES={shared}"));
        let built = compile(&SOURCE, &task, macros)?;
        // The other kernel, which 8-bit values have before this one, fits wherever this one does.
        built.tiled(ENTRY, &task, config.threads(), shared, config.tiling())
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let (task, config) = resolve(request)?;
        let attention = tiled(artifact, config.early)?;
        let transpose = LaunchConfig {
            grid: [task.seq().div_ceil(TRANSPOSE_KEYS), task.heads(), 1],
            block: [TRANSPOSE_THREADS, 1, 1],
            shared_bytes: 0,
            ..attention
        };
        let maps = Maps::of(&task, &config);
        let attend = move |arguments: &[Argument], workspace: u64| {
            let [q, k, v, o] = [0, 1, 2, 3].map(|place| address_of(arguments, place));
            let values = if maps.transposed.is_some() {
                workspace
            } else {
                v
            };
            let mut all = maps.arguments([q, k, values, o])?;
            all.extend_from_slice(arguments);
            Ok(all)
        };
        let (heads, seq) = (task.heads(), task.seq());
        let turn = move |arguments: &[Argument], workspace: u64| {
            Ok(vec![
                Argument::Address(address_of(arguments, 2)),
                Argument::Address(workspace),
                Argument::I32(heads.cast_signed()),
                Argument::I32(seq.cast_signed()),
            ])
        };
        let mut steps = Vec::new();
        if has_copy(&task, &config) {
            steps.push(Step::new(TRANSPOSE, transpose, turn));
        }
        steps.push(Step::new(ENTRY, attention, attend));
        let bytes = workspace(&task, &config)?;
        Ok(Box::new(Loaded::new(
            artifact, request, task, steps, bytes,
        )?))
    }
}
