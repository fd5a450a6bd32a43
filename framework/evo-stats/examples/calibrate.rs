//! How often does a comparison lie on this machine?
//!
//! Measures pairs of candidates whose truth is known, each pair in fresh processes: half of them
//! the same work twice (a verdict is false), half of them with more work planted in the candidate
//! (no verdict is a miss). Prints both rates with their 95 % binomial intervals.
//!
//! ```text
//! cargo run --release -p evo-stats --example calibrate -- measure --pairs 100 --cpu 1 --append pairs.jsonl
//! cargo run --release -p evo-stats --example calibrate -- analyse pairs.jsonl
//! ```
//!
//! `measure` can be repeated: each call appends its pairs, so that a long calibration can be cut
//! into short pieces on a shared machine.
#![allow(
    clippy::disallowed_methods,
    reason = "an example may use the clock, files and processes"
)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use evo_stats::{Comparison, ComparisonOptions, Rounds, Verdict};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Calibrates comparisons on this machine.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures pairs and appends them to a file.
    Measure(Measure),
    /// Compares the pairs of a file and prints how often the verdict was false or missing.
    Analyse(Analyse),
    /// Times the workload once for each byte on the standard input. Started by `measure`.
    #[command(hide = true)]
    Child {
        /// Units of work in a sample.
        units: u32,
    },
}

#[derive(Args)]
struct Measure {
    /// Pairs of each kind: this many with the same work, this many with more work planted.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Fresh process pairs for each pair.
    #[arg(long, default_value_t = 5)]
    groups: usize,
    /// Interleaved rounds in each process pair.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Rounds that are thrown away first.
    #[arg(long, default_value_t = 4)]
    warm_up: usize,
    /// Units of work in a sample of the baseline; a unit is 16 rows of a 64 x 64 matrix product.
    #[arg(long, default_value_t = 100)]
    units: u32,
    /// Units more in the candidate of a planted pair.
    #[arg(long, default_value_t = 3)]
    planted: u32,
    /// Keeps this program and the processes that it starts on one CPU, so that the CPU never goes
    /// idle between samples. Without it, processes sit on CPUs that are not equally busy and
    /// wake up from sleep before each sample; `CALIBRATION.md` says what that does.
    #[arg(long)]
    cpu: Option<usize>,
    /// The file to append to.
    #[arg(long)]
    append: PathBuf,
}

#[derive(Args)]
struct Analyse {
    /// The file that `measure` wrote.
    file: PathBuf,
    /// Use only the first process pairs of each pair; all of them by default.
    #[arg(long)]
    groups: Option<usize>,
    /// The smallest effect of interest.
    #[arg(long, default_value_t = ComparisonOptions::default().margin)]
    margin: f64,
    /// The standard deviation assumed between processes.
    #[arg(long, default_value_t = ComparisonOptions::default().process_sd)]
    process_sd: f64,
    /// The degrees of freedom of that assumption.
    #[arg(long, default_value_t = ComparisonOptions::default().process_df)]
    process_df: f64,
}

/// A pair whose truth is known.
#[derive(Serialize, Deserialize)]
struct Pair {
    /// Whether the candidate does more work than the baseline.
    planted: bool,
    /// One group for each process pair.
    groups: Vec<Group>,
}

/// The rounds of a process pair, in nanoseconds.
#[derive(Serialize, Deserialize, Default)]
struct Group {
    candidate: Vec<f64>,
    baseline: Vec<f64>,
}

fn main() -> Outcome<()> {
    match Cli::parse().task {
        Task::Measure(options) => measure(&options),
        Task::Analyse(options) => analyse(&options),
        Task::Child { units } => child(units),
    }
}

// ---- the child: a fixed workload and a clock -------------------------------------------------

const SIDE: usize = 64;
const ROWS: usize = 16;

/// One unit of work: some rows of a matrix product.
fn unit(left: &[f32], right: &[f32], product: &mut [f32]) {
    for (row, out) in left.chunks_exact(SIDE).zip(product.chunks_exact_mut(SIDE)) {
        out.fill(0.0);
        for (factor, other) in row.iter().zip(right.chunks_exact(SIDE)) {
            for (sum, value) in out.iter_mut().zip(other) {
                *sum += factor * value;
            }
        }
    }
}

fn child(units: u32) -> Outcome<()> {
    let left = vec![1.25_f32; ROWS * SIDE];
    let right = vec![0.75_f32; SIDE * SIDE];
    let mut product = vec![0.0_f32; ROWS * SIDE];
    let mut work = |count: u32| {
        for _ in 0..count {
            unit(black_box(&left), black_box(&right), black_box(&mut product));
        }
    };
    let (mut asked, mut answer) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut byte = [0];
    while asked.read(&mut byte)? == 1 {
        // The caches hold the other process's data.
        work(units / 10);
        let start = Instant::now();
        work(units);
        let nanoseconds = u64::try_from(start.elapsed().as_nanos())?;
        answer.write_all(&nanoseconds.to_le_bytes())?;
        answer.flush()?;
    }
    Ok(())
}

// ---- measuring -------------------------------------------------------------------------------

/// A running child and the two pipes to it.
struct Subject {
    process: Child,
    ask: Option<ChildStdin>,
    answer: ChildStdout,
}

impl Subject {
    fn start(units: u32) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["child", &units.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = process.stdin.take();
        let answer = process
            .stdout
            .take()
            .ok_or("the child has no standard output")?;
        Ok(Self {
            process,
            ask,
            answer,
        })
    }

    /// One sample in nanoseconds.
    fn sample(&mut self) -> Outcome<f64> {
        let ask = self.ask.as_mut().ok_or("the child has no standard input")?;
        ask.write_all(&[1])?;
        ask.flush()?;
        let mut bytes = [0; 8];
        self.answer.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes) as f64)
    }

    fn end(mut self) -> Outcome<()> {
        drop(self.ask.take());
        self.process.wait()?;
        Ok(())
    }
}

fn measure(options: &Measure) -> Outcome<()> {
    let start = Instant::now();
    if let Some(cpu) = options.cpu {
        let mut only = CpuSet::new();
        only.set(cpu);
        // The children inherit it.
        sched_setaffinity(None, &only)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&options.append)?;
    let mut file = BufWriter::new(file);
    for _ in 0..options.pairs {
        for planted in [false, true] {
            let groups = (0..options.groups)
                .map(|index| measure_group(options, planted, index))
                .collect::<Outcome<_>>()?;
            serde_json::to_writer(&mut file, &Pair { planted, groups })?;
            file.write_all(b"\n")?;
        }
    }
    file.flush()?;
    println!(
        "{} pairs of each kind in {:.1} s, appended to {}",
        options.pairs,
        start.elapsed().as_secs_f64(),
        options.append.display()
    );
    Ok(())
}

fn measure_group(options: &Measure, planted: bool, index: usize) -> Outcome<Group> {
    let more = if planted { options.planted } else { 0 };
    let (mut candidate, mut baseline);
    // Neither side is always the first to start.
    if index.is_multiple_of(2) {
        candidate = Subject::start(options.units + more)?;
        baseline = Subject::start(options.units)?;
    } else {
        baseline = Subject::start(options.units)?;
        candidate = Subject::start(options.units + more)?;
    }
    let mut group = Group::default();
    for round in 0..options.warm_up + options.rounds {
        let (left, right);
        // A B B A: neither side is always the first of a round.
        if round.is_multiple_of(2) {
            left = candidate.sample()?;
            right = baseline.sample()?;
        } else {
            right = baseline.sample()?;
            left = candidate.sample()?;
        }
        if round >= options.warm_up {
            group.candidate.push(left);
            group.baseline.push(right);
        }
    }
    candidate.end()?;
    baseline.end()?;
    Ok(group)
}

// ---- analysis --------------------------------------------------------------------------------

fn read(file: &Path) -> Outcome<Vec<Pair>> {
    BufReader::new(File::open(file)?)
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect()
}

fn analyse(options: &Analyse) -> Outcome<()> {
    let pairs = read(&options.file)?;
    let comparison = ComparisonOptions {
        margin: options.margin,
        process_sd: options.process_sd,
        process_df: options.process_df,
    };
    for planted in [false, true] {
        let mut verdicts = Vec::new();
        let mut widths = Vec::new();
        for pair in pairs.iter().filter(|pair| pair.planted == planted) {
            let groups: Vec<Rounds<'_>> = pair
                .groups
                .iter()
                .take(options.groups.unwrap_or(usize::MAX))
                .map(|group| Rounds {
                    candidate: &group.candidate,
                    baseline: &group.baseline,
                })
                .collect();
            let result = Comparison::of(&groups, &comparison)?;
            widths.push(result.ratio.high.ln() - result.ratio.low.ln());
            verdicts.push(result.verdict);
        }
        print_rates(planted, &verdicts, &widths)?;
    }
    Ok(())
}

fn print_rates(planted: bool, verdicts: &[Verdict], widths: &[f64]) -> Outcome<()> {
    let count = |wanted| {
        verdicts
            .iter()
            .filter(|verdict| **verdict == wanted)
            .count()
    };
    let (faster, slower) = (count(Verdict::Faster), count(Verdict::Slower));
    let (what, hits) = if planted {
        ("planted slowdown found", slower)
    } else {
        ("false verdicts", faster + slower)
    };
    let (low, high) = binomial_interval(hits, verdicts.len())?;
    println!(
        "{what}: {hits} of {} = {:.2} % (95 % interval {:.2} % to {:.2} %); faster {faster}, \
         slower {slower}; median half width of the ratio's interval {:.2} %",
        verdicts.len(),
        100.0 * hits as f64 / verdicts.len() as f64,
        100.0 * low,
        100.0 * high,
        50.0 * evo_stats::median(widths).unwrap_or(f64::NAN),
    );
    Ok(())
}

/// The interval of C. J. Clopper and E. S. Pearson (1934) for `hits` of `n`.
fn binomial_interval(hits: usize, n: usize) -> Outcome<(f64, f64)> {
    let (hits, n) = (hits as f64, n as f64);
    let low = if hits == 0.0 {
        0.0
    } else {
        Beta::new(hits, n - hits + 1.0)?.inverse_cdf(0.025)
    };
    let high = if hits == n {
        1.0
    } else {
        Beta::new(hits + 1.0, n - hits)?.inverse_cdf(0.975)
    };
    Ok((low, high))
}
