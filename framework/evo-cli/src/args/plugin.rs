//! The commands about plugins.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand, ValueEnum};

use super::Plugins;

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// List the plugins on the search path.
    List(PluginList),
    /// Say what is in a plugin: problems, kernels, objectives, profilers, parameters.
    Describe(PluginDescribe),
    /// Try whether a plugin keeps the rules, and say how to mend what it breaks.
    Check(PluginCheck),
    /// Make a folder with a new plugin that builds, passes its check and runs a search.
    New(PluginNew),
}

#[derive(Debug, Arguments)]
pub(crate) struct PluginList {
    #[command(flatten)]
    pub(crate) plugins: Plugins,
    /// Print a JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct PluginDescribe {
    /// The name or path of a plugin.
    pub(crate) plugin: String,
    #[command(flatten)]
    pub(crate) plugins: Plugins,
    /// Print a JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

const CHECK_CODES: &str = "Exit codes: 0 every rule that could be tried is kept; 4 a rule is \
                           broken; 2 there is no such plugin or part; 1 the check could not be \
                           done.";

#[derive(Debug, Arguments)]
#[command(after_help = CHECK_CODES)]
pub(crate) struct PluginCheck {
    /// The plugin: a name on the search path, `built-in`, or a path to a library, a
    /// .kernel.ron or a .process.ron.
    pub(crate) plugin: String,
    /// Check only this kernel, problem, objective or profiler.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// A field of the problem or a setting of the objective; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// A spec file (RON) for the fields of the problem and the settings of the objective.
    #[arg(long, value_name = "SPEC")]
    pub(crate) spec: Option<PathBuf>,
    /// A search space (RON) in the place of the plugin's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) space: Option<PathBuf>,
    /// The device: cpu, cuda:0, or a profile (sm_80, sm_89, sm_90a, a RON file) to build for
    /// without launching; what the kernel runs on, if left out.
    #[arg(long, value_name = "DEVICE|PROFILE")]
    pub(crate) device: Option<String>,
    /// How many configurations of a search space are tried.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) configs: u16,
    /// Seconds that the whole check may take; rules that are not reached are skipped.
    #[arg(long, value_name = "SECONDS", default_value_t = 240.0)]
    pub(crate) seconds: f64,
    /// Seconds that one build, or one check of a result, may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    pub(crate) step_seconds: f64,
    /// The seed of inputs and of the choice of configurations.
    #[arg(long, default_value_t = 17)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) plugins: Plugins,
    /// Print broken rules only.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Print a JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A Rust library.
    Rust,
    /// A C library.
    C,
    /// CUDA source with a description.
    Cuda,
    /// C source with a description.
    Source,
    /// A Python process.
    Python,
}

#[derive(Debug, Arguments)]
pub(crate) struct PluginNew {
    /// The plugin's name, which is the new folder's too.
    pub(crate) name: String,
    /// What it is written in.
    #[arg(long, value_enum)]
    pub(crate) lang: Language,
    /// The folder to make it in.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The repository with the `evo-plugin` crate, for a Rust plugin; the one that this program was
    /// built in, if left out.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) framework: Option<PathBuf>,
}
