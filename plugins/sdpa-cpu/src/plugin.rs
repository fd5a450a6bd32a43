//! The plugin: the problem and the three kernels as the framework sees them.

use evo_plugin::{
    Artifact, BuildRequest, Direction, Error, Instance, Io, Kernel, KernelInfo, Metric, ParamInfo,
    Plugin, Stream, Value,
};
use evo_problems::sdpa;
use half::{bf16, f16};

use crate::Storage;
use crate::direct::{AnyPlan, Loaded, Stored};
use crate::machine::Machine;
use crate::tiled::Config;

/// The search space of `tiled`.
const SPACE: &str = include_str!("../../../search-spaces/sdpa_cpu_tiled.ron");
/// What `evo run sdpa-cpu` does.
const DEFAULT_SPEC: &str = include_str!("../default.run.ron");
/// Raised with every change of what the kernels execute: older artifacts are then other artifacts.
const REVISION: &str = "1";

/// Makes the plugin.
pub(crate) fn plugin() -> Plugin {
    Plugin::new(
        "sdpa-cpu",
        env!("CARGO_PKG_VERSION"),
        "Scaled-dot-product attention on the CPU: two baselines and a tunable kernel",
    )
    .default_spec(DEFAULT_SPEC)
    .kernel(Attention {
        name: "math",
        doc: "Unfused: all scores of a head, then their softmax, then the product with V",
    })
    .kernel(Attention {
        name: "flash",
        doc: "Fused, with fixed, sensible choices",
    })
    .kernel(Attention {
        name: "tiled",
        doc: "Fused, with queries along the vector lanes; tunable",
    })
}

/// One of the kernels.
struct Attention {
    name: &'static str,
    doc: &'static str,
}

impl Attention {
    fn resolve(&self, request: &BuildRequest) -> Result<AnyPlan, Error> {
        if request.problem.problem != sdpa::NAME {
            return Err(Error::Rejected(format!(
                "`{}` solves `{}`, not `{}`",
                self.name,
                sdpa::NAME,
                request.problem.problem
            )));
        }
        let shape = sdpa::shape_of(&request.problem.fields)?;
        AnyPlan::resolve(
            self.name,
            &request.config,
            shape,
            &Machine::of(&request.device)?,
        )
    }
}

impl Kernel for Attention {
    fn info(&self) -> KernelInfo {
        let tunable = self.name == "tiled";
        let threads = ParamInfo {
            name: "THREADS".to_owned(),
            doc: "Threads; 0 for one on each core".to_owned(),
            default: Value::from(0),
            runtime: true,
        };
        KernelInfo {
            name: self.name.to_owned(),
            version: format!("{}+{REVISION}", env!("CARGO_PKG_VERSION")),
            doc: self.doc.to_owned(),
            problems: vec![sdpa::NAME.to_owned()],
            devices: vec!["cpu".to_owned()],
            params: if tunable {
                Config::params()
            } else {
                vec![threads]
            },
            space: tunable.then(|| SPACE.to_owned()),
            deterministic: true,
            prepares: false,
        }
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        self.resolve(request).map(drop)
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let plan = self.resolve(request)?;
        let (bytes, launch) = plan.to_parts()?;
        Ok(Artifact {
            log: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            resources: vec![Metric::new(
                "scratch",
                "bytes",
                Direction::Info,
                plan.scratch_bytes() as f64,
            )],
            launch,
        })
    }

    fn load(&self, artifact: &Artifact, _: &BuildRequest) -> Result<Box<dyn Instance>, Error> {
        let plan = AnyPlan::from_parts(&artifact.bytes, &artifact.launch)?;
        let storage = plan.shape().storage;
        Ok(Box::new(Loadable {
            storage,
            loaded: Loaded::from_plan(plan)?,
        }))
    }
}

/// A loaded kernel.
struct Loadable {
    storage: Storage,
    loaded: Loaded,
}

impl Loadable {
    fn launch_as<T: Stored>(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        let inputs = [
            io.input(0)?.as_slice::<T>()?,
            io.input(1)?.as_slice::<T>()?,
            io.input(2)?.as_slice::<T>()?,
        ];
        self.loaded
            .launch(inputs, io.output(0)?.as_mut_slice::<T>()?)
    }
}

impl Instance for Loadable {
    fn launch(&mut self, io: &mut Io<'_>, _: Stream) -> Result<(), Error> {
        match self.storage {
            Storage::F32 => self.launch_as::<f32>(io),
            Storage::F16 => self.launch_as::<f16>(io),
            Storage::Bf16 => self.launch_as::<bf16>(io),
        }
    }
}
