//! The command line.

mod plugin;
mod replay;
mod study;

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand};
use evo_core::engine::Preset;

pub(crate) use plugin::{Language, Plugin, PluginCheck, PluginDescribe, PluginList, PluginNew};
pub(crate) use replay::Replay;
pub(crate) use study::Study;

/// Evolutionary search for fast kernels, with plugins.
#[derive(Debug, Parser)]
#[command(name = "evo", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the machine did not allow it; 2 bad input; \
                          3 the search ended without one correct candidate; 4 a plugin breaks a \
                          rule, an audit with --deny-dead found a dead parameter, or a replayed \
                          candidate did not pass; 129, 130 and 143 interrupted and saved.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Search: from a spec file, or with a plugin's own default spec.
    Run(Run),
    /// Go on with a run that was interrupted or killed.
    Resume(Resume),
    /// Write the reports of a run again and print its table.
    Report(Report),
    /// What limits the best of a run, and what its search believes: diagnoses, levers, insights
    Explain(Explain),
    /// Write the trials of runs as recorded tuning data, to search and study them again.
    Export(Export),
    /// Execute candidates of a run again, untimed: bit by bit, or for sanitizers and profilers.
    Replay(Replay),
    /// Look at search spaces.
    #[command(subcommand)]
    Space(Space),
    /// Look at plugins, check them, and begin a new one.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Compare search strategies on recorded tuning data.
    Study(Study),
    /// Say what this machine has and what follows from it.
    Doctor(Doctor),
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder.
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

/// How much to print.
#[derive(Debug, Clone, Copy, Default, Arguments)]
pub(crate) struct Output {
    /// Print errors only.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Print the result as one JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where plugins are looked for.
#[derive(Debug, Clone, Default, Arguments)]
pub(crate) struct Plugins {
    /// A folder to look for plugins in, before all others; may be repeated.
    #[arg(long = "plugin-path", value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Run {
    /// A spec file (RON), or the name or path of a plugin. Without it: the CPU attention plugin.
    #[arg(value_name = "SPEC|PLUGIN", conflicts_with_all = ["plugin", "from"])]
    pub(crate) what: Option<String>,
    /// The name or path of a plugin, to run with its own default spec.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub(crate) plugin: Option<String>,
    /// Extend a finished run: --budget is its new total.
    #[arg(long, value_name = "RUN")]
    pub(crate) from: Option<PathBuf>,
    /// Trials: distinct configurations to evaluate.
    #[arg(long, value_name = "N")]
    pub(crate) budget: Option<u64>,
    /// Seconds of search.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wall: Option<f64>,
    /// The seed of the search and of the checks.
    #[arg(long, conflicts_with = "from")]
    pub(crate) seed: Option<u64>,
    /// The engine's preset: full, insight, free or random, or a classical strategy: quasi_random,
    /// local_search, differential_evolution, simulated_annealing, surrogate or portfolio.
    #[arg(long, conflicts_with = "from")]
    pub(crate) preset: Option<Preset>,
    /// A field of the problem or a setting of the objective; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "from")]
    pub(crate) set: Vec<String>,
    /// A target such as "15x over A".
    #[arg(long, conflicts_with = "from")]
    pub(crate) target: Option<String>,
    /// A profiler to run, in passes of its own: over the baselines and finalists at the end, and over the
    /// best of each candidate now and then during the search; may be repeated.
    #[arg(long = "profiler", value_name = "NAME", conflicts_with = "from")]
    pub(crate) profilers: Vec<String>,
    /// Take no profiles, whatever the spec says.
    #[arg(long, conflicts_with_all = ["from", "profilers"])]
    pub(crate) no_profilers: bool,
    /// The device: cpu, cuda, or cuda:1 for the second GPU; what the kernels run on, if left out.
    #[arg(long, conflicts_with = "from")]
    pub(crate) device: Option<String>,
    /// A run, of another shape, say, whose best configuration of each kernel is tried right after
    /// the default; may be repeated.
    #[arg(long, value_name = "RUN", conflicts_with = "from")]
    pub(crate) start_from: Vec<PathBuf>,
    /// The run folder; a new one under `runs/`, if left out.
    #[arg(long, value_name = "FOLDER", conflicts_with = "from")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) plugins: Plugins,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Arguments)]
pub(crate) struct Resume {
    /// The run folder.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Arguments)]
pub(crate) struct Report {
    /// The run folder.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Arguments)]
pub(crate) struct Explain {
    /// The run folder; the run may be under way.
    pub(crate) run: PathBuf,
    /// The candidate, where only one of several is wanted.
    #[arg(long, value_name = "NAME")]
    pub(crate) candidate: Option<String>,
    /// Print what the next proposal is told, word for word.
    #[arg(long)]
    pub(crate) proposal_context: bool,
    /// Print one JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Arguments)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct Export {
    /// The run folders: of one problem, on devices of one name. Files that an earlier export wrote may
    /// stand beside them: their trials are put to those of the runs.
    #[arg(required = true, value_name = "RUN|FILE")]
    pub(crate) runs: Vec<PathBuf>,
    /// The file to write; compressed if its name ends in `.xz`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The candidate whose trials are wanted, where a run has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) candidate: Option<String>,
    /// Figures of trials that were made outside of the run, such as by a profiler over `evo replay`:
    /// {"source": "profiler-ncu/ncu", "run": NAME, "rules": RON, "trials": {"17": {NAME: NUMBER}}}; or
    /// with "configurations": [{"params": {NAME: VALUE}, "figures": {NAME: NUMBER}}], whichever trial
    /// measured them; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) figures: Vec<PathBuf>,
    /// Print errors only.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

const EXPORT_HELP: &str = "\
A configuration that several trials have measured has the mean of their medians (what an earlier export \
says of one counts as one trial). Parameters have the \
values that occur; one that a configuration does not have counts as at its first value.

  evo run spec.ron --preset random --budget 2000 --out runs/a
  evo export runs/a runs/b --out attention.json.xz
  evo export runs/c attention.json.xz --out more.json.xz
  evo study attention.json.xz
  evo run --plugin recorded --set file=attention.json.xz";

#[derive(Debug, Subcommand)]
pub(crate) enum Space {
    /// Print a space: parameters, sizes, and what each constraint removes.
    Show(SpaceShow),
    /// Find out what each parameter does to what is executed: dead ones, and what the builds say.
    Audit(SpaceAudit),
}

#[derive(Debug, Arguments)]
pub(crate) struct SpaceAudit {
    /// A spec file (RON), or the name or path of a plugin.
    #[arg(value_name = "SPEC|PLUGIN")]
    pub(crate) what: String,
    /// Configurations drawn from the space; around each of them, and around the default, every
    /// searched parameter takes its other values. With 16, a parameter that never acted acts, with
    /// 95 % confidence, in at most 17 % of the configurations; with 59, in at most 5 %.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) samples: u16,
    /// The seed of the drawing.
    #[arg(long, default_value_t = 17)]
    pub(crate) seed: u64,
    /// A parameter to vary, where not all of them are to be; may be repeated.
    #[arg(long = "param", value_name = "NAME")]
    pub(crate) params: Vec<String>,
    /// Time so many pairs for each parameter that changes the execution, interleaved.
    #[arg(long, value_name = "PAIRS", default_value_t = 0)]
    pub(crate) measure: u16,
    /// Exit with code 4 if a parameter is dead. With --measure also if one that acts at run time
    /// has no effect on time that can be told from noise.
    #[arg(long)]
    pub(crate) deny_dead: bool,
    /// A field of the problem; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Build for a device that is not here: a shipped profile (sm_80, sm_89, sm_90a) or a RON
    /// file. Without it: the device of the spec.
    #[arg(long, value_name = "PROFILE|FILE", conflicts_with = "measure")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) plugins: Plugins,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Arguments)]
pub(crate) struct SpaceShow {
    /// A space file (RON), or the name of a plugin.
    #[arg(value_name = "FILE|PLUGIN")]
    pub(crate) what: String,
    /// A constant of the problem, such as S=512; may be repeated. With a plugin: a problem field.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// The device whose facts constraints may name: a shipped profile (sm_80, sm_89, sm_90a) or a
    /// RON file. Without it: this machine's CPU.
    #[arg(long, value_name = "PROFILE|FILE")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) plugins: Plugins,
}

#[derive(Debug, Arguments)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) plugins: Plugins,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
