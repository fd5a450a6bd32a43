//! The command that studies strategies.

use std::path::PathBuf;

use clap::Args as Arguments;
use evo_core::engine::Preset;

use super::Output;

const STUDY_HELP: &str = "\
One evaluation is one distinct recorded configuration, failed ones included. The log has one \
line of JSON for each search, compressed with xz; what is in it is not run again, so a study may be \
broken off with Ctrl-C and taken up by the same command.

Example: evo study recordings/ --seeds 100 --strategy full --strategy random --with peers.jsonl.xz";

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
    /// Run nothing: report what the log has.
    #[arg(long)]
    pub(crate) report_only: bool,
    /// Print a table for each recording too.
    #[arg(long)]
    pub(crate) by_space: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
