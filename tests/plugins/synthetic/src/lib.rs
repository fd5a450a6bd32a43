//! An objective for tests: a smooth function with interactions over a space of eight parameters,
//! two of them conditional, under one constraint. The same configuration always gives the same
//! answer, and the same failure.

#![forbid(unsafe_code)]

use std::time::Duration;

use evo_plugin::{
    Direction, Error, Evaluation, FieldInfo, FieldKind, Metric, Objective, ObjectiveInfo,
    OpenObjective, Params, Plugin, Value,
};

/// The best configuration is TILE_M=64 TILE_N=32 UNROLL=4 THREADS=8 LAYOUT=blocked FUSE=true
/// STAGES=3 CHUNK=16, with a time of 100 us.
const SPACE: &str = r#"(
    name: "synthetic",
    doc: "Eight parameters with a known optimum.",
    params: [
        (name: "TILE_M", pow2: (from: 8, to: 256), default: 8, doc: "rows of a tile"),
        (name: "TILE_N", pow2: (from: 8, to: 256), default: 8, doc: "columns of a tile"),
        (name: "UNROLL", values: [1, 2, 4, 8], doc: "steps of the inner loop at once"),
        (name: "THREADS", range: (from: 1, to: 16), doc: "threads"),
        (name: "LAYOUT", values: ["row", "col", "blocked"], doc: "order of the elements"),
        (name: "FUSE", values: [false, true], doc: "whether the two loops are one"),
        (name: "STAGES", range: (from: 1, to: 4), when: "FUSE", doc: "buffers between the loops"),
        (name: "CHUNK", values: [4, 8, 16, 32], when: "LAYOUT == \"blocked\"", doc: "block size"),
    ],
    constraints: [
        (expr: "TILE_M * TILE_N <= 16384", reason: "a tile must fit in the cache"),
    ],
)"#;

struct Synthetic;

struct Open {
    sleep: Duration,
    fail_every: u64,
}

fn setting(name: &str, doc: &str, max: i64) -> FieldInfo {
    FieldInfo {
        name: name.into(),
        doc: doc.into(),
        kind: FieldKind::Int { min: 0, max },
        default: Value::Int(0),
    }
}

impl Objective for Synthetic {
    fn info(&self) -> ObjectiveInfo {
        ObjectiveInfo {
            name: "synthetic".into(),
            doc: "A function with a known optimum, in microseconds".into(),
            settings: vec![
                setting("sleep_ms", "Milliseconds that an evaluation takes", 60_000),
                setting(
                    "fail_every",
                    "One configuration in this many fails, always the same ones; 0 for none",
                    1_000_000,
                ),
            ],
            space: Some(SPACE.into()),
            metric: "time".into(),
            direction: Direction::Lower,
        }
    }

    fn open(&self, settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
        let setting = |name| evo_plugin::size(settings, name).map(|value| value as u64);
        Ok(Box::new(Open {
            sleep: Duration::from_millis(setting("sleep_ms")?),
            fail_every: setting("fail_every")?,
        }))
    }
}

impl OpenObjective for Open {
    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        std::thread::sleep(self.sleep);
        let time = time(config)?;
        if self.fail_every > 0 {
            let hash = hash(config);
            if hash.is_multiple_of(self.fail_every) {
                return Err(failure(hash / self.fail_every));
            }
        }
        Ok(Evaluation {
            metrics: vec![
                Metric::new("time", "us", Direction::Lower, time),
                Metric::new("throughput", "1/s", Direction::Higher, 1e6 / time),
            ],
            cost_s: Some(0.05 + time * 1e-3),
        })
    }
}

/// Each kind of failure that an objective can report, in turn.
fn failure(index: u64) -> Error {
    match index % 5 {
        0 => Error::Rejected("planned: refused".into()),
        1 => Error::BuildFailed {
            message: "planned: does not build".into(),
            log: "error: planned\n".into(),
        },
        2 => Error::WrongResult("planned: wrong".into()),
        3 => Error::TimedOut(10),
        _ => Error::OutOfMemory("planned: no memory".into()),
    }
}

/// FNV-1a over the configuration as text.
fn hash(config: &Params) -> u64 {
    let text = config
        .iter()
        .flat_map(|(name, value)| format!("{name}={value};").into_bytes());
    let hash = text.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV are weak.
    hash ^ (hash >> 29)
}

/// How far two sizes are apart, in doublings.
fn doublings(value: i64, best: f64) -> f64 {
    (value as f64 / best).log2().abs()
}

fn time(config: &Params) -> Result<f64, Error> {
    let (tile_m, tile_n) = (
        evo_plugin::int(config, "TILE_M")?,
        evo_plugin::int(config, "TILE_N")?,
    );
    let threads = evo_plugin::int(config, "THREADS")?;
    let unroll = evo_plugin::int(config, "UNROLL")?;
    let layout = evo_plugin::choice(config, "LAYOUT")?;
    let fuse = evo_plugin::flag(config, "FUSE")?;
    if tile_m < 1 || tile_n < 1 || threads < 1 || unroll < 1 {
        return Err(Error::Rejected(
            "sizes and counts must be at least 1".into(),
        ));
    }
    let mut time = 100.0;
    time *= 1.0 + 0.15 * doublings(tile_m, 64.0) + 0.1 * doublings(tile_n, 32.0);
    // Threads and tiles interact: small tiles with many threads are mostly overhead.
    time *= 1.0 + 0.08 * (threads - 8).abs() as f64;
    time *= 1.0 + 0.05 * doublings(tile_m.saturating_mul(threads), 512.0);
    time *= 1.0 + 0.12 * doublings(unroll, 4.0);
    time *= match layout {
        "blocked" => 1.0 + 0.07 * doublings(evo_plugin::int(config, "CHUNK")?.max(1), 16.0),
        "row" => 1.3,
        _ => 1.9,
    };
    time *= if fuse {
        1.0 + 0.1 * (evo_plugin::int(config, "STAGES")? - 3).abs() as f64
    } else {
        1.5
    };
    Ok(time)
}

fn plugin() -> Plugin {
    Plugin::new(
        "synthetic",
        env!("CARGO_PKG_VERSION"),
        "An objective for tests",
    )
    .objective(Synthetic)
}

evo_plugin::export!(plugin);
