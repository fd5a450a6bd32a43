//! CPU time of a proposal, asking and telling included: `cargo bench -p evo-core --bench proposal`.
//!
//! Each preset searches a space of 10^11 points with constraints and a condition like those of
//! real kernels, whose objective has interactions and configurations that fail. Printed are the
//! microseconds of CPU for each proposal, on average over the search so far, and the exponent with
//! which the total grows from 1,024 evaluations on: 1 is linear. An argument is the largest number
//! of evaluations; names of presets may follow it.
//!
//! Engine 2, 2026-11-23, two shared cores under load:
//!
//! ```text
//! microseconds a proposal       256     1024     4096    10000   growth
//! random                       19.5     14.6     14.0     14.9   n^1.00
//! free                         32.0     62.6     58.4     82.9   n^1.11
//! insight                 1019.9   1256.9   1109.4   1094.7   n^0.94
//! full                    1409.6   1260.5   1202.3   1226.0   n^0.99
//! quasi_random                 15.4     14.6     14.7     15.5   n^1.02
//! local_search                 32.7     39.1     39.4     40.7   n^1.02
//! differential_evolution       21.8     46.8    145.8    199.3   n^1.65
//! simulated_annealing          18.2     18.0     19.6     20.8   n^1.06
//! surrogate               1128.3   1071.2    945.8   1038.5   n^0.98
//! portfolio                   420.4    303.6    254.1    386.7   n^1.09
//! ```
//!
//! Half an hour later, at a load of 0.7, `full` took 1857.6, 1558.9 and 1511.0: the speed of this
//! machine varies.
//!
//! Differential evolution grows until its population has converged and each proposal takes the
//! most mutants that it may, which is 32.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "a benchmark prints and has no user to be polite to"
)]

use std::sync::Arc;

use evo_core::engine::{Ask, Budget, Campaign, Cost, EngineSettings, Preset, Proposal, Ranking};
use evo_core::space::{Env, Space};
use evo_types::{Direction, Measurement, Metric, Outcome, Params, Value};

/// Where the CPU time is read off.
const MARKS: [u64; 4] = [256, 1024, 4096, 10_000];

/// The first mark of the growth.
const GROWTH_FROM: u64 = 1024;

fn space() -> Arc<Space> {
    let text = r#"(name: "tiles", params: [
        (name: "BLOCK_M", range: (from: 16, to: 256, step: 16)),
        (name: "BLOCK_N", range: (from: 16, to: 256, step: 16)),
        (name: "BLOCK_K", range: (from: 16, to: 128, step: 16)),
        (name: "WARPS_M", values: [1, 2, 4, 8]),
        (name: "WARPS_N", values: [1, 2, 4, 8]),
        (name: "STAGES", range: (from: 1, to: 8)),
        (name: "UNROLL", values: [1, 2, 4, 8, 16]),
        (name: "VECTOR", values: [1, 2, 4, 8]),
        (name: "SPLIT", range: (from: 1, to: 32)),
        (name: "PREFETCH", range: (from: 0, to: 7), when: "STAGES > 1"),
        (name: "SWIZZLE", range: (from: 0, to: 7)),
        (name: "LAYOUT", values: ["row", "column", "interleaved"]),
        (name: "CACHED", values: [false, true]),
        (name: "FAST_EXP", values: [false, true]),
    ], constraints: [
        (expr: "(BLOCK_M + BLOCK_N) * BLOCK_K * 2 * STAGES <= 232448", reason: "shared memory"),
        (expr: "BLOCK_M % (8 * WARPS_M) == 0", reason: "whole tiles"),
        (expr: "BLOCK_N % (8 * WARPS_N) == 0", reason: "whole tiles"),
        (expr: "2 <= WARPS_M * WARPS_N and WARPS_M * WARPS_N <= 16", reason: "threads"),
        (expr: "BLOCK_K % (VECTOR * 2) == 0", reason: "whole vectors"),
        (expr: "SPLIT * BLOCK_M <= 4096", reason: "there is that much to split"),
    ])"#;
    Arc::new(Space::parse(text, "tiles", &Env::default()).unwrap())
}

/// A time with interactions of tiles, warps and stages; a tenth of the configurations fails.
fn evaluate(proposal: &Proposal) -> Outcome {
    let params = &proposal.params;
    let (m, n, k) = (
        number(params, "BLOCK_M"),
        number(params, "BLOCK_N"),
        number(params, "BLOCK_K"),
    );
    let warps = number(params, "WARPS_M") * number(params, "WARPS_N");
    let (stages, split) = (number(params, "STAGES"), number(params, "SPLIT"));
    let registers = m * n / (warps * 32.0) + 4.0 * number(params, "UNROLL");
    if registers > 220.0 {
        return Outcome::BuildFailed {
            message: "too many registers".to_owned(),
            log: String::new(),
        };
    }
    let off = |x: f64, best: f64| (x / best).log2() * (x / best).log2();
    let waves = (4096.0 / m * split / 132.0).ceil() / (4096.0 / m * split / 132.0);
    let loads = 1.0 + 48.0 / m + 48.0 / n + 0.05 * off(k, 64.0);
    let latency = 1.0 + 0.3 / (stages * warps).sqrt() + 0.01 * number(params, "PREFETCH");
    let banks = 1.0 + 0.02 * (number(params, "SWIZZLE") - (k / 16.0) % 8.0).abs();
    let time = waves * loads * latency * banks * (1.0 + 0.03 * off(registers, 96.0));
    Outcome::Measured(Measurement {
        metrics: vec![Metric::new("time", "ms", Direction::Lower, time)],
        error: None,
        execution: None,
        recheck_seed: None,
        raced_out: false,
        converged: true,
    })
}

/// A parameter's number; 0 where it is inactive.
fn number(params: &Params, name: &str) -> f64 {
    params.get(name).and_then(Value::as_float).unwrap_or(0.0)
}

/// Seconds of CPU that this thread has used.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The CPU seconds after each mark up to `most` evaluations.
fn search(space: &Arc<Space>, preset: Preset, most: u64) -> Vec<(u64, f64)> {
    let budget = Budget::trials(most);
    let settings = EngineSettings::new(preset, Ranking::lower("time"), budget);
    let mut campaign = Campaign::single("tiles", Arc::clone(space), settings, 1);
    let mut marks = Vec::new();
    let (mut used, mut done) = (0.0, 0);
    loop {
        let begin = cpu_seconds();
        let Ask::Propose(proposal) = campaign.ask() else {
            return marks;
        };
        let asked = cpu_seconds();
        let outcome = evaluate(&proposal);
        let evaluated = cpu_seconds();
        campaign
            .tell(proposal.trial, &outcome, Cost::default())
            .unwrap();
        used += (asked - begin) + (cpu_seconds() - evaluated);
        done += 1;
        if MARKS.contains(&done) {
            marks.push((done, used));
        }
    }
}

/// The slope of the least squares line through the logarithms.
fn exponent(marks: &[(u64, f64)]) -> Option<f64> {
    let late = marks.iter().filter(|(done, _)| *done >= GROWTH_FROM);
    let points: Vec<(f64, f64)> = late
        .map(|(done, used)| ((*done as f64).ln(), used.ln()))
        .collect();
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let cross: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (points.len() > 1).then(|| cross / squares)
}

fn main() {
    let mut most = MARKS[MARKS.len() - 1];
    let mut wanted: Vec<Preset> = Vec::new();
    // Cargo passes `--bench`.
    for argument in std::env::args().skip(1).filter(|word| word != "--bench") {
        match argument.parse() {
            Ok(number) => most = number,
            Err(_) => wanted.push(argument.parse().unwrap()),
        }
    }
    if wanted.is_empty() {
        wanted = Preset::ALL.to_vec();
    }
    let space = space();
    print!("microseconds a proposal ");
    MARKS.iter().for_each(|mark| print!("{mark:>9}"));
    println!("   growth");
    for preset in wanted {
        let marks = search(&space, preset, most);
        print!("{:<24}", preset.name());
        for (done, used) in &marks {
            print!("{:>9.1}", used / *done as f64 * 1e6);
        }
        match exponent(&marks) {
            Some(exponent) => println!("   n^{exponent:.2}"),
            None => println!(),
        }
    }
}
