//! The command that studies strategies.

use std::path::PathBuf;

use clap::Args as Arguments;
use evo_core::engine::Preset;
use evo_study::Variation;

use super::Output;

const STUDY_HELP: &str = "\
One evaluation is one distinct recorded configuration, failed ones included. The log has one \
line of JSON for each search, compressed with xz; what is in it is not run again, so a study may be \
broken off with Ctrl-C and taken up by the same command.

A log never mixes engines: searches of another version or tuning are not continued, and are \
strategies of their own in a report. Nor does it mix recordings of one name: where a file has \
changed, name another log.

Examples:
  evo study recordings/ --seeds 100 --strategy full --strategy random --with peers.jsonl.xz
  evo study recordings/ --strategy full --vary pool=24,96 --leave-one-kernel-out
  evo study recordings/ --strategy full --noise 0,1";

#[derive(Debug, Arguments)]
#[command(after_help = STUDY_HELP)]
pub(crate) struct Study {
    /// Recordings (recorded-space/1, Kernel Tuner cache files, T4 or KTT results; plain or .xz), and
    /// folders of them.
    #[arg(value_name = "FILE|FOLDER", required = true)]
    pub(crate) spaces: Vec<PathBuf>,
    /// A strategy, as `preset` in a spec; may be repeated. All of them, if left out.
    #[arg(long = "strategy", value_name = "NAME")]
    pub(crate) strategies: Vec<Preset>,
    /// Leave a recording out, by its name; may be repeated.
    #[arg(long, value_name = "RECORDING")]
    pub(crate) leave_out: Vec<String>,
    /// Make variants of each strategy with other figures of the engine's tuning: every combination,
    /// beside the shipped tuning; may be repeated. Without --strategy, of `full`.
    #[arg(long, value_name = "FIELD=A,B,...")]
    pub(crate) vary: Vec<Variation>,
    /// Scales of the noise: 1 draws times from the recorded spread, 0 is the recorded mean. Under
    /// noise the answer is scored by its recorded mean, with and without a confirmation.
    #[arg(long, value_name = "SCALE,...", value_delimiter = ',', default_value = "0", allow_negative_numbers = true, value_parser = scale)]
    pub(crate) noise: Vec<f64>,
    /// Searches of each strategy on each recording.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1 << 40))]
    pub(crate) first_seed: u64,
    /// The evaluations after which searches are looked at; the largest is what they run for.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "32,64,128,256", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) budgets: Vec<u64>,
    /// Searches at a time; one on each CPU, if left out.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// The log of run records.
    #[arg(long, value_name = "FILE", default_value = "study.jsonl.xz")]
    pub(crate) log: PathBuf,
    /// Further logs for the report, such as those of other tuners; may be repeated.
    #[arg(long = "with", value_name = "FILE")]
    pub(crate) others: Vec<PathBuf>,
    /// The strategy that the report compares with the best of the other programs' for each figure, as
    /// in the table (`full@noise=1+confirm`); `full`, if left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) regret_of: Option<String>,
    /// Choose among the variants on all kernels but one, and score the choice on that one: for each
    /// kernel in turn.
    #[arg(long)]
    pub(crate) leave_one_kernel_out: bool,
    /// The kernel of a recording, where that is not what stands before the first `-` or `_` of its
    /// name; may be repeated.
    #[arg(long = "kernel", value_name = "RECORDING=KERNEL", value_parser = kernel, requires = "leave_one_kernel_out")]
    pub(crate) kernels: Vec<(String, String)>,
    /// Run nothing: report what the log has.
    #[arg(long)]
    pub(crate) report_only: bool,
    /// Print a table for each recording too.
    #[arg(long)]
    pub(crate) by_space: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    if (0.0..=100.0).contains(&scale) {
        // A zero with a sign is the same scale.
        Ok(scale.abs())
    } else {
        Err("a scale is between 0 and 100".to_owned())
    }
}

fn kernel(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let parts = parts.filter(|(space, kernel)| !space.is_empty() && !kernel.is_empty());
    let (space, kernel) = parts.ok_or("write RECORDING=KERNEL")?;
    Ok((space.to_owned(), kernel.to_owned()))
}
