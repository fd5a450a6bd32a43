//! A kernel that misbehaves in the way its parameter `MODE` says, over an ordinary small problem.
//! With `MODE=good` it is an honest kernel.

#![allow(clippy::panic, reason = "misbehaving is the purpose")]

mod faults;
mod problem;
mod profiler;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use evo_plugin::{
    Artifact, BuildRequest, Error, Instance, Io, Kernel, KernelInfo, Metric, ParamInfo, Plugin,
    Stream,
};
use evo_plugin::{Direction, Value};

use problem::{Filter, Shape};

/// Every mode, the honest one first.
const MODES: [&str; 31] = [
    "good",
    "abort",
    "build_fails",
    "build_panic",
    "cached_by_content",
    "cached_by_pointer",
    "closes_fds",
    "computes_in_bind",
    "exit0",
    "hang",
    "inaccurate",
    "late_write",
    "launch_error",
    "lazy_after_many",
    "leaks_child",
    "load_panic",
    "mutates_input",
    "nan",
    "oom",
    "out_of_bounds_after",
    "out_of_bounds_before",
    "panic",
    "prints",
    "race",
    "rejects",
    "segfault",
    "skips_seen_buffers",
    "stack_overflow",
    "unwritten_tail",
    "wrong_on_ragged",
    "zeros",
];

/// The greatest `SPEED`: the work is done once.
const TOP_SPEED: usize = 8;

fn space() -> String {
    let modes = MODES.map(|mode| format!("\"{mode}\"")).join(", ");
    format!(
        r#"(
    name: "misbehave",
    doc: "How to misbehave, and how fast.",
    params: [
        (name: "MODE", values: [{modes}], doc: "what the kernel does wrong"),
        (name: "SPEED", range: (from: 1, to: {TOP_SPEED}), default: 1, doc: "higher is faster"),
    ],
)"#
    )
}

struct Misbehave;

impl Kernel for Misbehave {
    fn info(&self) -> KernelInfo {
        let param = |name: &str, doc: &str, default| ParamInfo {
            name: name.into(),
            doc: doc.into(),
            default,
            runtime: false,
        };
        KernelInfo {
            name: "misbehave".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            doc: "Does what MODE says".into(),
            problems: vec!["filter".into()],
            devices: vec!["cpu".into()],
            params: vec![
                param("MODE", "what the kernel does wrong", Value::from("good")),
                param("SPEED", "higher is faster, 1 to 8", Value::Int(1)),
            ],
            space: Some(space()),
            deterministic: true,
            prepares: false,
        }
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let mode = evo_plugin::choice(&request.config, "MODE")?;
        if !MODES.contains(&mode) {
            return Err(Error::Rejected(format!("there is no mode `{mode}`")));
        }
        let speed = evo_plugin::size(&request.config, "SPEED")?;
        if !(1..=TOP_SPEED).contains(&speed) {
            return Err(Error::Rejected(format!(
                "SPEED={speed} is not within 1 to 8"
            )));
        }
        if mode == "rejects" {
            return Err(Error::Rejected("planned: refused".into()));
        }
        Ok(())
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let mode = evo_plugin::choice(&request.config, "MODE")?;
        match mode {
            "build_panic" => panic!("planned: the build panics"),
            "build_fails" => {
                return Err(Error::BuildFailed {
                    message: "planned: does not build".into(),
                    log: "planned.c:1: error: planned\n".into(),
                });
            }
            _ => {}
        }
        let speed = evo_plugin::size(&request.config, "SPEED")?;
        Ok(Artifact {
            bytes: format!("{mode} {speed}").into_bytes(),
            log: "built\n".into(),
            resources: vec![Metric::new(
                "passes",
                "count",
                Direction::Info,
                passes(speed) as f64,
            )],
            launch: [("PASSES".to_owned(), Value::Int(passes(speed) as i64))].into(),
        })
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let text = String::from_utf8_lossy(&artifact.bytes).into_owned();
        let (mode, speed) = text.split_once(' ').ok_or("the artifact is damaged")?;
        let speed: usize = speed.parse().map_err(|_| "the artifact is damaged")?;
        match mode {
            "load_panic" => panic!("planned: loading panics"),
            "prints" => faults::print_a_megabyte(),
            _ => {}
        }
        Ok(Box::new(Misbehaving {
            mode: mode.to_owned(),
            shape: Shape::of(&request.problem)?,
            passes: passes(speed),
            launches: 0,
            by_pointer: HashMap::new(),
            by_content: HashMap::new(),
            from_bind: Vec::new(),
        }))
    }
}

/// How often the work is repeated.
fn passes(speed: usize) -> usize {
    1 + TOP_SPEED.saturating_sub(speed)
}

/// Launches of one instance after which `lazy_after_many` stops working: more than verification
/// makes.
const LAZY_AFTER: u64 = 12;

/// Launches of any instance, for the mode whose result moves.
static LAUNCHES: AtomicU64 = AtomicU64::new(0);

struct Misbehaving {
    mode: String,
    shape: Shape,
    passes: usize,
    launches: u64,
    by_pointer: HashMap<usize, Vec<f32>>,
    by_content: HashMap<Vec<u32>, Vec<f32>>,
    from_bind: Vec<f32>,
}

impl Misbehaving {
    fn honest(&self, io: &Io<'_>) -> Result<Vec<f32>, Error> {
        let x = io.input(0)?.as_slice::<f32>()?;
        let w = io.input(1)?.as_slice::<f32>()?;
        let mut y = Vec::new();
        for _ in 0..self.passes {
            y = std::hint::black_box(self.shape.filter(std::hint::black_box(x), w));
        }
        Ok(y)
    }

    /// What the mode makes of the result, for modes that return one.
    fn result(&mut self, io: &mut Io<'_>) -> Result<Vec<f32>, Error> {
        let x = io.input(0)?.as_slice::<f32>()?;
        match self.mode.as_str() {
            "cached_by_pointer" => {
                let key = x.as_ptr() as usize;
                if let Some(old) = self.by_pointer.get(&key) {
                    return Ok(old.clone());
                }
                let y = self.honest(io)?;
                self.by_pointer.insert(key, y.clone());
                return Ok(y);
            }
            "cached_by_content" => {
                let key: Vec<u32> = x.iter().take(64).map(|value| value.to_bits()).collect();
                if let Some(old) = self.by_content.get(&key) {
                    return Ok(old.clone());
                }
                let y = self.honest(io)?;
                self.by_content.insert(key, y.clone());
                return Ok(y);
            }
            "computes_in_bind" => return Ok(self.from_bind.clone()),
            "zeros" => return Ok(vec![0.0; self.shape.elements()]),
            _ => {}
        }
        let mut y = self.honest(io)?;
        let last = y.len().saturating_sub(1);
        match self.mode.as_str() {
            "inaccurate" => y.iter_mut().for_each(|value| *value *= 1.001),
            "nan" => y[last / 2] = f32::NAN,
            "race" => {
                let launch = LAUNCHES.fetch_add(1, Ordering::Relaxed);
                y[last / 3] += (launch % 7) as f32 * 1e-3;
            }
            "wrong_on_ragged" if !self.shape.columns.is_multiple_of(16) => y[last] += 1.0,
            _ => {}
        }
        Ok(y)
    }
}

impl Instance for Misbehaving {
    fn workspace_size(&self) -> usize {
        if self.mode == "oom" { 1 << 46 } else { 0 }
    }

    fn bind(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        if self.mode == "computes_in_bind" {
            self.from_bind = self.honest(io)?;
        }
        Ok(())
    }

    fn launch(&mut self, io: &mut Io<'_>, _stream: Stream) -> Result<(), Error> {
        self.launches += 1;
        faults::before(&self.mode)?;
        if self.mode == "lazy_after_many" && self.launches > LAZY_AFTER {
            return Ok(());
        }
        if self.mode == "skips_seen_buffers" {
            let key = io.input(0)?.as_slice::<f32>()?.as_ptr() as usize;
            if self.by_pointer.insert(key, Vec::new()).is_some() {
                return Ok(());
            }
        }
        let result = self.result(io)?;
        if self.mode == "late_write" {
            faults::write_later(io, result)?;
            return Ok(());
        }
        let mut output = io.output(0)?;
        let y = output.as_mut_slice::<f32>()?;
        let written = match self.mode.as_str() {
            "unwritten_tail" => y.len() - y.len() / 8 - 1,
            _ => y.len(),
        };
        y[..written].copy_from_slice(&result[..written]);
        faults::after(&self.mode, io)
    }
}

fn plugin() -> Plugin {
    Plugin::new(
        "misbehave",
        env!("CARGO_PKG_VERSION"),
        "A kernel that misbehaves as it is told, for tests",
    )
    .problem(Filter)
    .kernel(Misbehave)
    .profiler(profiler::Counter)
}

evo_plugin::export!(plugin);
