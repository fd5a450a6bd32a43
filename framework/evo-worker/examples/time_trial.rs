//! How long the worker takes for a trial of one kernel, by phase.
//!
//! `cargo run --release -p evo-worker --example time_trial -- LIBRARY KERNEL [NAME=VALUE ...]`
//!
//! LIBRARY is a built plugin. Problem fields and parameters have their defaults, and the values
//! that are given.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use evo_types::{BuildRequest, ContentHash, Params, Phase, Value};
use evo_wire::{
    ComponentRef, Envelope, MeasureJob, MeasureSettings, PROTOCOL, Reply, Request, read_frame,
    write_frame,
};

/// The host's end of a channel to a worker in a thread.
struct Host {
    channel: UnixStream,
    id: u64,
}

/// The final reply, and when each phase began, in seconds since the request.
type Answer = (Vec<(Phase, f64)>, f64, Reply);

impl Host {
    fn ask(&mut self, body: Request) -> Result<Answer, Box<dyn Error>> {
        self.id += 1;
        let start = Instant::now();
        write_frame(&mut self.channel, &Envelope { id: self.id, body })?;
        let mut phases = Vec::new();
        loop {
            let envelope: Envelope<Reply> = read_frame(&mut self.channel)?;
            let seconds = start.elapsed().as_secs_f64();
            match envelope.body {
                Reply::Progress { phase, .. } => phases.push((phase, seconds)),
                reply => return Ok((phases, seconds, reply)),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(library), Some(kernel)) = (args.next(), args.next()) else {
        return Err("name a plugin library and one of its kernels".into());
    };
    let changes = args
        .map(|arg| change(&arg))
        .collect::<Result<Params, _>>()?;
    let bytes = std::fs::read(&library)?;
    let plugin = ContentHash::of_bytes(&bytes);
    let store = std::env::temp_dir().join("evo-time-trial");
    std::fs::create_dir_all(&store)?;
    let path = store.join(format!("{plugin}.so"));
    // A file that is there may be mapped by another process.
    if !path.exists() {
        std::fs::write(path, bytes)?;
    }

    let (channel, theirs) = UnixStream::pair()?;
    std::thread::spawn(move || evo_worker::run(theirs));
    let mut host = Host { channel, id: 0 };
    let device = match host.ask(Request::Hello {
        protocol: PROTOCOL,
        device: "cpu".to_owned(),
        store,
        cpus: vec![],
    })? {
        (_, _, Reply::Hello { device, .. }) => device,
        (_, _, other) => return Err(format!("{other:?}").into()),
    };
    let load = Request::LoadPlugin {
        plugin: plugin.clone(),
        origin: library,
    };
    let info = match host.ask(load)? {
        (_, _, Reply::Plugin { info, .. }) => *info,
        (_, _, other) => return Err(format!("{other:?}").into()),
    };
    let component = |name: &str| ComponentRef {
        plugin: plugin.clone(),
        name: name.to_owned(),
    };
    let kernel = info.kernels.iter().find(|info| info.name == kernel);
    let kernel = kernel.ok_or("the plugin has no such kernel")?;
    let problem = kernel
        .problems
        .first()
        .ok_or("the kernel solves no problem")?;
    let problem = info.problems.iter().find(|info| info.name == *problem);
    let problem = problem.ok_or("the plugin has no such problem")?;
    let pick = |name: &str, default: &Value| {
        (
            name.to_owned(),
            changes.get(name).unwrap_or(default).clone(),
        )
    };
    let fields = problem
        .fields
        .iter()
        .map(|field| pick(&field.name, &field.default));
    let spec = match host.ask(Request::ResolveProblem {
        problem: component(&problem.name),
        fields: fields.collect(),
    })? {
        (_, _, Reply::Problem { spec }) => *spec,
        (_, _, other) => return Err(format!("{other:?}").into()),
    };
    let config = kernel
        .params
        .iter()
        .map(|param| pick(&param.name, &param.default));
    let request = BuildRequest {
        problem: spec,
        config: config.collect(),
        device,
    };
    for trial in 0..5 {
        let job = MeasureJob {
            problem: component(&problem.name),
            kernel: component(&kernel.name),
            request: request.clone(),
            seed: trial,
            settings: settings(),
            incumbent: None,
        };
        let (phases, seconds, reply) = host.ask(Request::Measure(Box::new(job)))?;
        print_trial(&phases, seconds, &reply);
    }
    Ok(())
}

/// Reads `NAME=VALUE`.
fn change(text: &str) -> Result<(String, Value), Box<dyn Error>> {
    let (name, value) = text.split_once('=').ok_or("write changes as NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn settings() -> MeasureSettings {
    MeasureSettings {
        verify_seeds: 3,
        min_samples: 20,
        max_samples: 200,
        max_seconds: 1.0,
        min_sample_seconds: 1e-3,
        warmup_seconds: 0.2,
        least_warmup_seconds: 0.0,
        precision: 0.02,
        race_factor: 2.0,
        check_all_rows: false,
        energy_seconds: 0.0,
        weights: BTreeMap::new(),
    }
}

fn print_trial(phases: &[(Phase, f64)], seconds: f64, reply: &Reply) {
    let Reply::Outcome { outcome, .. } = reply else {
        println!("{reply:?}");
        return;
    };
    let ends = phases
        .iter()
        .skip(1)
        .map(|(_, begin)| *begin)
        .chain([seconds]);
    let words: Vec<String> = phases
        .iter()
        .zip(ends)
        .map(|((phase, begin), end)| format!("{phase} {:.1} ms", (end - begin) * 1e3))
        .collect();
    let Some(measurement) = outcome.measurement() else {
        println!("{}", outcome.summary());
        return;
    };
    let samples = measurement
        .metrics
        .first()
        .map_or(0, |metric| metric.samples.len());
    println!(
        "{:.1} ms: {} | {}, {samples} samples, converged {}",
        seconds * 1e3,
        words.join(", "),
        outcome.summary(),
        measurement.converged
    );
    for name in [
        "end_to_end_time",
        "buffer_sets",
        "disturbed_samples",
        "launches_per_sample",
    ] {
        if let Some(metric) = measurement.metric(name) {
            print!("  {name} {:.1}", metric.value);
        }
    }
    println!();
}
