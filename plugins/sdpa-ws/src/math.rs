//! Unfused attention: the candidate `math`, which fusing is compared with.

use evo_cuda::LaunchConfig;
use evo_plugin::{Artifact, BuildRequest, Error, Instance, Kernel, KernelInfo, Params};
use evo_problems::sdpa;

use crate::compile::{HEADERS, Source, compile, extent};
use crate::instance::{Loaded, Step, number};
use crate::task::Task;

const SOURCE: Source = Source {
    name: "unfused.cu",
    text: include_str!("../../../kernels/sdpa/unfused.cu"),
    headers: HEADERS,
};
/// The kernels in the order of their launches.
const ENTRIES: [&str; 3] = ["sdpa_scores", "sdpa_softmax", "sdpa_values"];
/// Threads of a block of each of them.
const THREADS: u32 = 128;
/// Rows of a tile, and keys of one.
const TILE: u32 = 64;
/// Rows of a block of the softmax: one for each warp.
const SOFTMAX_ROWS: u64 = 4;
/// The largest extent of a grid in y and z.
const LARGEST_YZ: u32 = 65_535;

/// Attention in three kernels, by way of scores in memory.
#[derive(Debug, Clone, Copy)]
pub struct Math;

/// The grids of the three launches.
fn grids(task: &Task) -> Result<[[u32; 3]; 3], Error> {
    let (heads, tiles) = (task.heads(), task.seq().div_ceil(TILE));
    if heads > LARGEST_YZ || tiles > LARGEST_YZ {
        return Err(Error::Rejected(format!(
            "{heads} heads of S={}: `math` takes at most {LARGEST_YZ} heads and as many tiles of \
             {TILE} rows",
            task.seq()
        )));
    }
    let rows = u64::from(heads) * u64::from(task.seq());
    let softmax = u32::try_from(rows.div_ceil(SOFTMAX_ROWS))
        .map_err(|_| Error::Rejected(format!("{rows} rows: `math` has no grid for so many")))?;
    Ok([[tiles, tiles, heads], [softmax, 1, 1], [tiles, heads, 1]])
}

/// Bytes of scratch memory: scores in single precision, weights of 16 bits, sums of rows.
fn workspace(task: &Task) -> Result<usize, Error> {
    let rows = u64::from(task.heads()) * u64::from(task.seq());
    let pitch = u64::from(task.seq()).next_multiple_of(8);
    let bytes = rows
        .checked_mul(pitch)
        .and_then(|scores| scores.checked_mul(6))
        .and_then(|bytes| bytes.checked_add(4 * rows))
        .and_then(|bytes| usize::try_from(bytes).ok());
    bytes
        .ok_or_else(|| Error::Rejected("the scores have more bytes than can be counted".to_owned()))
}

impl Kernel for Math {
    fn info(&self) -> KernelInfo {
        KernelInfo {
            name: "math".to_owned(),
            version: SOURCE.version(),
            doc: "Unfused attention: two matrix products and a softmax".to_owned(),
            problems: vec![sdpa::NAME.to_owned()],
            devices: vec!["cuda".to_owned()],
            params: Vec::new(),
            space: None,
            deterministic: true,
            prepares: false,
        }
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let task = Task::of(request)?;
        grids(&task)?;
        workspace(&task).map(drop)
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let task = Task::of(request)?;
        let built = compile(&SOURCE, &task, Vec::new())?;
        let mut launch = Params::new();
        for (name, [x, y, z]) in ENTRIES.iter().zip(grids(&task)?) {
            built.kernel(name)?;
            launch.extend([
                extent(&format!("{name}_x"), x),
                extent(&format!("{name}_y"), y),
                extent(&format!("{name}_z"), z),
            ]);
        }
        launch.extend([extent("block_x", THREADS)]);
        Ok(built.artifact(&ENTRIES, Vec::new(), launch))
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let task = Task::of(request)?;
        let mut steps = Vec::new();
        for name in ENTRIES {
            let extent = |axis: &str| number(&artifact.launch, &format!("{name}_{axis}"));
            let config = LaunchConfig {
                grid: [extent("x")?, extent("y")?, extent("z")?],
                block: [number(&artifact.launch, "block_x")?, 1, 1],
                shared_bytes: 0,
                cluster: None,
                early: false,
            };
            steps.push(Step::plain(name, config));
        }
        let bytes = workspace(&task)?;
        Ok(Box::new(Loaded::new(
            artifact, request, task, steps, bytes,
        )?))
    }
}
