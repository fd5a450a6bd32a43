//! A kernel with planted parameters, compiled from C for each configuration:
//!
//! | parameter | what it does |
//! |---|---|
//! | `UNROLL` | changes the code; 3 and 4 give the same |
//! | `GRID` | changes the launch geometry only |
//! | `SPIN` | acts at run time and is declared so: more is slower |
//! | `PAD` | is dead: it reaches the compiler, and even a name, but nothing that is executed |

mod build;
mod outside;
mod problem;

use std::path::Path;

use evo_plugin::{
    Artifact, BuildRequest, Error, Instance, Io, Kernel, KernelInfo, ParamInfo, Plugin, Stream,
    Value,
};
use libloading::Library;

use problem::{Filter, Shape};

const SPACE: &str = r#"(
    name: "knobs",
    doc: "Planted parameters.",
    params: [
        (name: "UNROLL", values: [1, 2, 3, 4], doc: "steps at once"),
        (name: "GRID", values: [1, 2, 4], doc: "blocks of rows"),
        (name: "SPIN", values: [0, 2, 4], doc: "passes more than needed"),
        (name: "PAD", values: [0, 8, 16], doc: "does nothing"),
    ],
)"#;

const DEFAULT_SPEC: &str = r#"(
    tune: [(kernel: "knobs")],
    budget: (trials: 24),
    top_k: 1,
    measure: (confirm_processes: 1, confirm_rounds: 8, confirm_seconds: 0.5, max_seconds: 0.05),
)"#;

struct Knobs;

impl Kernel for Knobs {
    fn info(&self) -> KernelInfo {
        let param = |name: &str, doc: &str, default, runtime| ParamInfo {
            name: name.into(),
            doc: doc.into(),
            default: Value::Int(default),
            runtime,
        };
        KernelInfo {
            name: "knobs".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            doc: "Filters rows, with planted parameters".into(),
            problems: vec!["rows".into()],
            devices: vec!["cpu".into()],
            params: vec![
                param("UNROLL", "steps at once; 3 and 4 are the same", 1, false),
                param("GRID", "blocks of rows", 1, false),
                param("SPIN", "passes more than needed", 0, true),
                param("PAD", "does nothing", 0, false),
            ],
            space: Some(SPACE.into()),
            deterministic: true,
            prepares: false,
        }
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let value = |name| evo_plugin::int(&request.config, name);
        let bytes = build::compile(&[
            format!("-DUNROLL={}", value("UNROLL")?),
            format!("-DPAD={}", value("PAD")?),
        ])?;
        Ok(Artifact {
            bytes,
            launch: [("GRID".to_owned(), Value::Int(value("GRID")?))].into(),
            ..Artifact::default()
        })
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let folder = build::folder()?;
        let path = folder.path().join("kernel.so");
        std::fs::write(&path, &artifact.bytes).map_err(build::failed)?;
        Ok(Box::new(Loaded {
            function: open(&path)?,
            shape: Shape::of(&request.problem)?,
            grid: evo_plugin::int(&artifact.launch, "GRID")?,
            spin: evo_plugin::int(&request.config, "SPIN")?,
        }))
    }
}

/// `filter` of `kernel.c`.
type Function = unsafe extern "C" fn(*mut f32, *const f32, *const f32, i64, i64, i64, i64, i64);

fn open(path: &Path) -> Result<Function, Error> {
    // SAFETY: the library was compiled from `kernel.c`, which runs nothing when it is loaded.
    let library = unsafe { Library::new(path) };
    // The code stays for the life of the worker.
    let library = Box::leak(Box::new(library.map_err(build::failed)?));
    // SAFETY: the function has this type in `kernel.c`.
    let function = unsafe { library.get::<Function>(b"filter\0") };
    Ok(*function.map_err(build::failed)?)
}

struct Loaded {
    function: Function,
    shape: Shape,
    grid: i64,
    spin: i64,
}

impl Instance for Loaded {
    fn launch(&mut self, io: &mut Io<'_>, _stream: Stream) -> Result<(), Error> {
        let [rows, columns, taps] = self.shape.extents();
        let x = io.input(0)?.as_slice::<f32>()?.as_ptr();
        let w = io.input(1)?.as_slice::<f32>()?.as_ptr();
        let mut output = io.output(0)?;
        let y = output.as_mut_slice::<f32>()?.as_mut_ptr();
        // SAFETY: the tensors have the extents that the problem gives them.
        unsafe { (self.function)(y, x, w, rows, columns, taps, self.grid, self.spin) };
        Ok(())
    }
}

fn plugin() -> Plugin {
    Plugin::new(
        "knobs",
        env!("CARGO_PKG_VERSION"),
        "A kernel with planted parameters, for tests",
    )
    .problem(Filter)
    .kernel(Knobs)
    .profiler(outside::Outside)
    .default_spec(DEFAULT_SPEC)
}

evo_plugin::export!(plugin);
