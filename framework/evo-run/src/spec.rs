//! The run spec: what was typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use evo_core::engine::{Preset, Tuning, Turns};
use evo_journal::Target;
use evo_types::{KernelInfo, Params, Value};
use serde::{Deserialize, Serialize};

use crate::RunError;

/// A run spec, as a RON file holds it. Every field has a default; what is left out comes from the
/// plugin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSpec {
    /// The plugin: a name on the search path, or a path to a library or description, which starts
    /// from the spec's folder. The first of `plugins`, for short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Further plugins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<String>,
    /// The problem that kernels solve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemSpecChoice>,
    /// The candidates to tune.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tune: Vec<TuneSpec>,
    /// The candidates to compare against.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<BaselineSpec>,
    /// The objective, for a run without kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<ObjectiveSpec>,
    /// The metric that ranks; `kernel_time`, or the objective's own, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Several metrics that rank together, in the place of `metric`: each with its weight in a geometric
    /// mean, the `score`. `{"kernel_time": 1, "energy": 1}` is the energy-delay product, but for a root.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Several metrics of which none goes before another: the search looks for the trade-offs that nothing
    /// beats in all of them, the Pareto front, and the reports list it. They rank by the first one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pareto: Vec<String>,
    /// Whether more of the ranked metric is better; what is known of the metric, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub higher_is_better: Option<bool>,
    /// The engine's preset: `full` (the default), `insight`, `free`, `random`, or one of the
    /// classical strategies, such as `differential_evolution` (see `Preset`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The seed of the search and of the checks; 17 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// When the search ends.
    pub budget: BudgetSpec,
    /// The number of elites that the preset `full` keeps; 6 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elites: Option<usize>,
    /// How several tuned kernels take turns: `by_result` (the default, except for the preset
    /// `random`), so that those that are far behind get fewer trials, or `even`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<Turns>,
    /// Figures of the engine, for those who study it: what is left out is as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// How many of the best are measured again at the end; 3 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Folders of other runs, such as those of other shapes: the best configuration of each kernel
    /// there is tried right after the default. Relative ones start from the spec's folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub start_from: Vec<PathBuf>,
    /// A target such as `15x over A`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Profilers to run over the best solutions during the search, and over the baselines and the
    /// finalists at its end, as `name` or `plugin/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profilers: Vec<String>,
    /// Trials between two rounds of profiles during the search, whose diagnoses then guide it; 32 if left
    /// out, 0 for profiles at the end only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_every: Option<u64>,
    /// How many elites of each candidate such a round looks at, the best first; 3 if left out. Each is
    /// profiled once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_elites: Option<usize>,
    /// How candidates are verified and measured.
    pub measure: MeasureSpec,
    /// Deadlines and limits.
    pub limits: LimitsSpec,
    /// The device: `cpu`, `cuda`, or `cuda:1` for the second GPU; what the tuned kernels run on, if
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Further GPUs of the same model, on which trials are measured side by side: `["cuda:1"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// How many proposals are under way at once: those that are measured, and those that are built
    /// ahead of their turn. More keep a device busy whose builds take long; each one is proposed
    /// without the outcomes of those before it. 1 on a CPU, where a build would disturb a
    /// measurement, and on GPUs 7 more than there are devices, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<usize>,
    /// The CPUs that the worker is confined to; all, if left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<usize>,
}

/// The problem and its fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProblemSpecChoice {
    /// The problem's name; may be left out where the plugin defines one problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Fields that differ from their defaults.
    pub fields: Params,
}

/// A candidate to tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneSpec {
    /// The kernel's name.
    pub kernel: String,
    /// The plugin that brings it, where several plugins are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// What reports call it; the kernel's name, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A space file, relative to the spec; the kernel's own space, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<PathBuf>,
    /// Parameters that are fixed and not searched.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub pinned: Params,
    /// Configurations to try right after the default, by the values that differ from it: what is
    /// known to be good for another shape, say. Those that a constraint excludes here are left out,
    /// and the run says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<Params>,
}

impl TuneSpec {
    /// A kernel with its own space and nothing pinned.
    pub(crate) fn of(kernel: &KernelInfo) -> Self {
        Self {
            kernel: kernel.name.clone(),
            plugin: None,
            label: None,
            space: None,
            pinned: Params::new(),
            start: Vec::new(),
        }
    }
}

/// A candidate to compare against.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineSpec {
    /// What reports call it; `A`, `B`, ... in order, or the kernel's name in a group, if left out.
    /// Several may have one label, if all but the last are optional: the first that can be had
    /// takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The kernel's name.
    pub kernel: String,
    /// The plugin that brings it: the name of one that the spec loads anyway, where it loads
    /// several, or a name on the search path or a path, which is then loaded for this baseline
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Its parameters; the kernel's defaults, if left out.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    /// Whether the run goes on without it where its plugin or kernel cannot be had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// A group of baselines, of which the best in a comparison stands for all: `B`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether it is checked on the ranked shape alone: for libraries that do not take every shape
    /// that a kernel has to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ranked_shape_only: bool,
}

/// An objective and its settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveSpec {
    /// The objective's name; may be left out where the plugin brings one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Settings that differ from their defaults.
    pub settings: Params,
    /// A space file, relative to the spec; the objective's own space, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<PathBuf>,
    /// Points to ask for right after the default, by the values that differ from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<Params>,
}

/// When the search ends: the first limit that is reached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSpec {
    /// Distinct evaluated configurations; 128 if no limit at all is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<u64>,
    /// Seconds of search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_s: Option<f64>,
    /// Seconds for which the device is busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_s: Option<f64>,
    /// Trials in a row without a new best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stagnation: Option<u64>,
    /// End as soon as the target is reached by the search's own measurement.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stop_at_target: bool,
}

/// Changes to how candidates are verified and measured. See the worker's settings for what each
/// one means.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureSpec {
    /// Seeds of the ordinary distribution that are checked before the timing; 3 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_seeds: Option<u32>,
    /// Fewest timed samples of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_samples: Option<usize>,
    /// Most timed samples of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<usize>,
    /// Most seconds of timed launches of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Fewest seconds of launches before the timed ones, of a trial and of each candidate of a comparison; 0
    /// if left out: a warm-up ends when the times agree, after 0.15 s at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_seconds: Option<f64>,
    /// The width of the confidence interval, as a fraction, at which a trial's sampling stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Seconds of launches, besides the timed ones, over which the energy of a launch is measured: the
    /// metric `energy`, in mJ, by NVML on a GPU and by RAPL on a CPU. 0.5 where the spec ranks by
    /// energy, and else 0, for none, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_seconds: Option<f64>,
    /// Fresh processes in which the confirmation is made, one after the other; 3 if left out. Two
    /// processes with the same code differ by more than the samples of one of them show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_processes: Option<usize>,
    /// Most rounds of the confirmation, over all its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_rounds: Option<usize>,
    /// Most seconds of timed launches of each candidate in the confirmation, over all its
    /// processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_seconds: Option<f64>,
}

/// Deadlines and limits of a trial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSpec {
    /// Most seconds of a build; 120 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_s: Option<f64>,
    /// Most seconds of a verification; 120 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_s: Option<f64>,
    /// Most seconds of a measurement or an evaluation; 60 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure_s: Option<f64>,
    /// Most bytes of a worker's resident memory; three quarters of the machine's, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Trials in a row that may kill their worker before the run stops; 25 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crashes_in_a_row: Option<u32>,
    /// Most bytes of registers that each thread of a GPU kernel may spill to memory before it is
    /// rejected without a run; 1020, which is all registers of a thread, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spill_bytes: Option<u64>,
}

/// What the command line changes in a spec.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--budget`: trials.
    pub trials: Option<u64>,
    /// `--wall`: seconds of search.
    pub wall_s: Option<f64>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--preset`.
    pub preset: Option<Preset>,
    /// `--target`.
    pub target: Option<String>,
    /// `--profiler`.
    pub profilers: Vec<String>,
    /// `--no-profilers`.
    pub no_profilers: bool,
    /// `--device`.
    pub device: Option<String>,
    /// `--set NAME=VALUE`: problem fields or objective settings.
    pub set: Vec<String>,
    /// `--start-from`: folders of runs.
    pub start_from: Vec<PathBuf>,
}

impl RunSpec {
    /// Applies what the command line says.
    ///
    /// # Errors
    /// A `--set` that is not `NAME=VALUE`, or a limit that is no positive number.
    pub fn apply(&mut self, overrides: &Overrides) -> Result<(), RunError> {
        if overrides.trials.is_some() {
            self.budget.trials = overrides.trials;
        }
        if let Some(wall_s) = overrides.wall_s {
            self.budget.wall_s = Some(wall_s);
        }
        self.seed = overrides.seed.or(self.seed);
        self.preset = overrides.preset.or(self.preset);
        if overrides.target.is_some() {
            self.target.clone_from(&overrides.target);
        }
        if overrides.no_profilers {
            self.profilers.clear();
            self.profile_every = None;
            self.profile_elites = None;
        }
        for profiler in &overrides.profilers {
            if !self.profilers.contains(profiler) {
                self.profilers.push(profiler.clone());
            }
        }
        if overrides.device.is_some() {
            self.device.clone_from(&overrides.device);
        }
        // Said on the command line, a relative path starts where the command was given.
        let given = overrides.start_from.iter();
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        self.start_from.extend(given.map(absolute));
        for setting in &overrides.set {
            let (name, value) = read_setting(setting)?;
            let target = match &mut self.objective {
                Some(objective) => &mut objective.settings,
                None => &mut self.problem.get_or_insert_default().fields,
            };
            target.insert(name, value);
        }
        Ok(())
    }

    /// The plugins' names or paths, the main one first.
    pub fn plugin_names(&self) -> Vec<&str> {
        self.plugin
            .iter()
            .chain(&self.plugins)
            .map(String::as_str)
            .collect()
    }

    /// The spec as RON.
    ///
    /// # Errors
    /// Where a value cannot be written as RON.
    pub fn to_ron(&self) -> Result<String, RunError> {
        let pretty = ron::ser::PrettyConfig::new()
            .struct_names(false)
            .extensions(ron::extensions::Extensions::IMPLICIT_SOME);
        ron::ser::to_string_pretty(self, pretty)
            .map_err(|error| RunError::internal(format!("the spec cannot be written: {error}")))
    }
}

/// Reads a value as the command line has it: an integer, a float, `true`, `false`, or a name.
pub fn read_value(text: &str) -> Value {
    if let Ok(value) = text.parse::<i64>() {
        return Value::Int(value);
    }
    // Names such as `inf` and `nan` parse as floats and are names here.
    if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && let Ok(value) = text.parse::<f64>()
        && value.is_finite()
    {
        return Value::Float(value);
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::Name(text.to_owned()),
    }
}

/// Reads the argument of a `--set`: `S=2048`.
pub(crate) fn read_setting(text: &str) -> Result<(String, Value), RunError> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        RunError::input(format!("--set {text}: this is not NAME=VALUE"))
            .hint("for instance --set S=2048 or --set mask=causal")
    })?;
    Ok((name.trim().to_owned(), read_value(value.trim())))
}

/// Reads a target, `15x over A`, over one of the labels and groups of the baselines.
pub(crate) fn read_target(text: &str, baselines: &[String]) -> Result<Target, RunError> {
    let wrong = |what: &str| {
        RunError::input(format!("the target `{text}` {what}"))
            .hint("write it as `15x over A`: a factor, and the label of a baseline or a group")
    };
    let mut words = text.split_whitespace();
    let (Some(factor), Some("over"), Some(over), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong("cannot be read"));
    };
    let speedup: f64 = factor
        .strip_suffix(['x', 'X'])
        .and_then(|number| number.parse().ok())
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or_else(|| wrong("has no positive factor"))?;
    if !baselines.iter().any(|label| label == over) {
        return Err(wrong(&format!(
            "names `{over}`, which is no baseline of this run ({})",
            if baselines.is_empty() {
                "it has none".to_owned()
            } else {
                baselines.join(", ")
            }
        )));
    }
    Ok(Target {
        speedup,
        over: over.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse_ron;

    #[test]
    fn a_spec_survives_ron() {
        let text = r#"(
            plugin: "sdpa-cpu",
            problem: (fields: {"S": 2048, "mask": "causal", "x": 0.5, "y": true}),
            tune: [(kernel: "tiled", pinned: {"THREADS": 2})],
            baselines: [(kernel: "math"), (label: "B", kernel: "flash")],
            preset: full, seed: 17, budget: (trials: 64, wall_s: 120.0),
            target: "15x over A",
        )"#;
        let spec: RunSpec = parse_ron(text, "x.ron").unwrap();
        assert_eq!(spec.plugin.as_deref(), Some("sdpa-cpu"));
        assert_eq!(spec.tune[0].pinned["THREADS"], Value::Int(2));
        let again: RunSpec = parse_ron(&spec.to_ron().unwrap(), "y.ron").unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn the_command_line_wins() {
        let mut spec: RunSpec = parse_ron("(budget: (trials: 5), seed: 1)", "x.ron").unwrap();
        let overrides = Overrides {
            trials: Some(9),
            seed: Some(2),
            set: vec!["B=4".into(), "mask=causal".into()],
            ..Overrides::default()
        };
        spec.apply(&overrides).unwrap();
        assert_eq!((spec.budget.trials, spec.seed), (Some(9), Some(2)));
        let fields = spec.problem.unwrap().fields;
        assert_eq!(fields["B"], Value::Int(4));
        assert_eq!(fields["mask"], Value::Name("causal".into()));
    }

    #[test]
    fn targets_are_checked() {
        let labels = vec!["A".to_owned(), "B".to_owned()];
        let target = read_target("1.5x over B", &labels).unwrap();
        assert_eq!((target.speedup, target.over.as_str()), (1.5, "B"));
        for (text, expected) in [
            ("fast", "cannot be read"),
            ("x over A", "no positive factor"),
            ("-3x over A", "no positive factor"),
            ("2x over C", "no baseline of this run (A, B)"),
        ] {
            let error = read_target(text, &labels).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn values_are_read_as_what_they_look_like() {
        assert_eq!(read_value("64"), Value::Int(64));
        assert_eq!(read_value("-0.5"), Value::Float(-0.5));
        assert_eq!(read_value("true"), Value::Bool(true));
        assert_eq!(read_value("inf"), Value::Name("inf".into()));
        assert_eq!(read_value("f32"), Value::Name("f32".into()));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = parse_ron::<RunSpec>(&text, "x.ron");
            let _ = read_target(&text, &[]);
            let _ = read_value(&text);
        }
    }
}
