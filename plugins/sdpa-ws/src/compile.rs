//! From the device code to machine code and its figures. Needs no device.

use evo_cuda::{CompileRequest, Header, KernelFigures, NvrtcError, occupancy};
use evo_plugin::{Artifact, Direction, Error, Metric, Params, Value};

use crate::task::{Task, Tiling};

/// The headers of the portable kernels in `kernels/sdpa`.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("ptx.cuh", include_str!("../../../kernels/sdpa/ptx.cuh")),
    (
        "problem.cuh",
        include_str!("../../../kernels/sdpa/problem.cuh"),
    ),
    ("tile.cuh", include_str!("../../../kernels/sdpa/tile.cuh")),
    (
        "softmax.cuh",
        include_str!("../../../kernels/sdpa/softmax.cuh"),
    ),
];

/// A source of `kernels/sdpa`.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    /// Names, as they are included, and texts.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Source {
    /// The version of a kernel: that of this crate, and a hash (FNV-1a) of the device code's text.
    pub(crate) fn version(&self) -> String {
        let texts = self
            .headers
            .iter()
            .map(|(_, text)| *text)
            .chain([self.text]);
        let hash = texts
            .flat_map(str::bytes)
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{}+{hash:016x}", env!("CARGO_PKG_VERSION"))
    }
}

/// Machine code with what is known of its kernels.
pub(crate) struct Built {
    pub(crate) cubin: Vec<u8>,
    pub(crate) log: String,
    kernels: Vec<KernelFigures>,
}

/// Compiles a source for a task.
///
/// # Errors
/// `BuildFailed`, with the compiler's text and the options in force.
pub(crate) fn compile(source: &Source, task: &Task, macros: Vec<String>) -> Result<Built, Error> {
    let mut options = vec!["--std=c++17".to_owned(), "-default-device".to_owned()];
    options.extend(task.macros());
    options.extend(macros);
    let command = format!(
        "nvrtc --gpu-architecture={} {} {}",
        task.arch,
        options.join(" "),
        source.name
    );
    let headers = source.headers.iter().map(|(name, text)| Header {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    });
    let request = CompileRequest {
        name: source.name.to_owned(),
        source: source.text.to_owned(),
        headers: headers.collect(),
        arch: task.arch.clone(),
        options,
        name_expressions: Vec::new(),
    };
    let failed = |message: String, log: &str| Error::BuildFailed {
        message,
        log: format!("{command}\n{log}"),
    };
    let compiled = evo_cuda::compile(&request).map_err(|error| match &error {
        NvrtcError::Compile { message, log } => failed(message.clone(), log),
        other => failed(other.to_string(), ""),
    })?;
    let kernels = compiled
        .kernels()
        .map_err(|error| failed(error.to_string(), &compiled.log))?;
    Ok(Built {
        cubin: compiled.cubin,
        log: format!("{command}\n{}", compiled.log),
        kernels,
    })
}

impl Built {
    /// The figures of a kernel.
    ///
    /// # Errors
    /// `BuildFailed` where there is none of that name.
    pub(crate) fn kernel(&self, name: &str) -> Result<&KernelFigures, Error> {
        let found = self.kernels.iter().find(|kernel| kernel.name == name);
        found.ok_or_else(|| Error::BuildFailed {
            message: format!("the machine code has no kernel `{name}`"),
            log: self.log.clone(),
        })
    }

    /// The artifact of a kernel whose blocks take tiles of rows, with how full a multiprocessor can be.
    /// `dynamic` is the shared memory that a launch asks for, in bytes; `shared_bytes` among the
    /// figures is the static part, which the compiler tells.
    ///
    /// # Errors
    /// `Rejected` where not one block fits.
    pub(crate) fn tiled(
        self,
        entry: &str,
        task: &Task,
        threads: u32,
        dynamic: u32,
        tiling: Tiling,
    ) -> Result<Artifact, Error> {
        let kernel = self.kernel(entry)?;
        let all = f64::from(kernel.shared_bytes) + f64::from(dynamic);
        let mut resources = vec![figure("block_shared_bytes", "B", all)];
        if let Some(found) = predicted(task, threads, kernel, dynamic) {
            if found.blocks == 0 {
                return Err(Error::Rejected(format!(
                    "no block fits: {threads} threads of {} registers and {dynamic} bytes of shared \
                     memory",
                    kernel.registers
                )));
            }
            resources.push(figure("blocks_per_sm", "count", f64::from(found.blocks)));
            resources.push(figure("occupancy", "%", 100.0 * found.fraction));
        }
        let [grid_x, grid_y] = task.grid(tiling)?;
        let launch = Params::from([
            extent("grid_x", grid_x),
            extent("grid_y", grid_y),
            extent("block_x", threads),
            extent("shared_bytes", dynamic),
        ]);
        Ok(self.artifact(&[entry], resources, launch))
    }

    /// The artifact, with the figures of some of its kernels, those that the launch's geometry is of:
    /// the greatest of each, and of the code the sum.
    pub(crate) fn artifact(
        self,
        of: &[&str],
        mut resources: Vec<Metric>,
        launch: Params,
    ) -> Artifact {
        let counts = |kernel: &&KernelFigures| of.contains(&kernel.name.as_str());
        for kernel in self.kernels.iter().filter(counts) {
            for metric in kernel.metrics() {
                match resources.iter_mut().find(|known| known.name == metric.name) {
                    None => resources.push(metric),
                    Some(known) if metric.name == "code_bytes" => known.value += metric.value,
                    Some(known) => known.value = known.value.max(metric.value),
                }
            }
        }
        Artifact {
            bytes: self.cubin,
            log: self.log,
            resources,
            launch,
        }
    }
}

/// How full a multiprocessor can be: blocks, and the share of its warps.
fn predicted(
    task: &Task,
    threads: u32,
    kernel: &KernelFigures,
    dynamic_bytes: u32,
) -> Option<evo_cuda::Occupancy> {
    let shared = kernel.shared_bytes.saturating_add(dynamic_bytes);
    let limits = task.limits.as_ref()?;
    Some(occupancy(limits, threads, kernel.registers, shared))
}

/// A figure that informs.
fn figure(name: &str, unit: &str, value: f64) -> Metric {
    Metric::new(name, unit, Direction::Info, value)
}

/// An extent as part of the launch.
pub(crate) fn extent(name: &str, value: u32) -> (String, Value) {
    (name.to_owned(), Value::Int(i64::from(value)))
}
