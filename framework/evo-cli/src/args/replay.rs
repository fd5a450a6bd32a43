//! The arguments of `evo replay`.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args as Arguments;

use super::Output;

/// What `--help` says beyond the options.
const HELP: &str = "\
What a worker prints, and so what a tool over it prints, goes to standard error as it comes. The \
worker inherits the environment, and is given 60 s to end by itself, so that tools can write what \
they saw. The run folder is only read.

  evo replay runs/r --trial 117                            100 launches, bit by bit
  evo replay runs/r --baselines --repeats 1000 --seed 1 --seed 2
  compute-sanitizer --tool racecheck --target-processes all \\
      evo replay runs/r --top 1 --set S=256 --repeats 2
  compute-sanitizer --tool memcheck --padding 512 --target-processes all \\
      evo replay runs/r --top 1 --set S=256 --repeats 2 --no-guards
  ncu --target-processes all --profile-from-start off \\
      evo replay runs/r --trial 117 --launches 3
  evo replay runs/r --configurations attention.json.xz --rows 0..500
  valgrind --trace-children=yes evo replay runs/r --trial 3 --set S=65 --repeats 2 \\
      --no-guards
  perf record evo replay runs/r --trial 3 --launches 1000

Exit codes: 0 every candidate passed; 4 one did not, or a worker ended with an error after its \
work, by which tools tell that they found something; 1, 2, 129, 130 and 143 as for all commands.";

#[derive(Debug, Arguments)]
#[command(after_help = HELP)]
pub(crate) struct Replay {
    /// The run folder; the run may be under way.
    pub(crate) run: PathBuf,
    /// A trial by its number, also one that failed; may be repeated.
    #[arg(long = "trial", value_name = "N")]
    pub(crate) trials: Vec<u64>,
    /// The best K by the search's own measurement. Without this and --trial: the finalists of the
    /// confirmation, or the best 3 if there was none.
    #[arg(long, value_name = "K", conflicts_with = "trials", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: Option<u32>,
    /// In the place of trials, configurations that the run may never have tried: a JSON list of objects
    /// of parameters, of which what is left out has the space's default; or what `evo export` wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trials", "top"])]
    pub(crate) configurations: Option<PathBuf>,
    /// Of these those numbered from FIRST to before END; they are numbered from 0.
    #[arg(long, value_name = "FIRST..END", requires = "configurations", value_parser = rows)]
    pub(crate) rows: Option<Range<usize>>,
    /// The baselines as well.
    #[arg(long)]
    pub(crate) baselines: bool,
    /// A candidate by its label, may be repeated: of a baseline, which is added; or of a tuned
    /// candidate, so that only its trials are chosen by rank.
    #[arg(long = "candidate", value_name = "LABEL")]
    pub(crate) candidates: Vec<String>,
    /// Launches on the same inputs, each onto outputs that were poisoned anew. All must give the
    /// same bits, and what is within the gate of the reference.
    #[arg(long, value_name = "R", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeats: u32,
    /// Check nothing: one launch to warm up, then so many, and nothing else, for profilers. On a
    /// GPU these lie between cudaProfilerStart and cudaProfilerStop.
    #[arg(long, value_name = "N", conflicts_with = "repeats", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) launches: Option<u32>,
    /// Check nothing; what --launches implies, with one launch if that is left out.
    #[arg(long, conflicts_with = "repeats")]
    pub(crate) no_check: bool,
    /// A field of the problem to change, such as S=256 for a slow tool or a ragged shape; may be
    /// repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// A seed of inputs, such as the one that a wrong result names; may be repeated. That of the
    /// run, if left out.
    #[arg(long = "seed", value_name = "SEED")]
    pub(crate) seeds: Vec<u64>,
    /// The distribution of the inputs; the problem's ordinary one, if left out.
    #[arg(long = "inputs", value_name = "DISTRIBUTION")]
    pub(crate) inputs: Option<String>,
    /// Hold large problems against the reference on every row, not on some that are drawn.
    #[arg(long, conflicts_with_all = ["launches", "no_check"])]
    pub(crate) all_rows: bool,
    /// No guard bands around the buffers. These find what a kernel writes outside a buffer, and hide
    /// it, and what it reads there, from memcheck and valgrind. On a GPU buffers then lie next to each
    /// other: have memcheck keep them apart with --padding.
    #[arg(long)]
    pub(crate) no_guards: bool,
    /// The device: cpu, cuda, or cuda:1 for the second GPU; the run's own place, if left out.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Most seconds of each step: a build, one launch that is checked, all launches that are not.
    /// Tools make kernels 10 to 1000 times slower, so the limits of the run do not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600.0)]
    pub(crate) deadline: f64,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn rows(text: &str) -> Result<Range<usize>, String> {
    let numbers = text.split_once("..").and_then(|(first, end)| {
        let first = match first {
            "" => 0,
            first => first.parse().ok()?,
        };
        Some(first..end.parse().ok()?)
    });
    match numbers {
        Some(rows) if rows.start < rows.end => Ok(rows),
        _ => Err("give two numbers such as 0..500, the first one below the second".to_owned()),
    }
}
