//! The messages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use evo_types::{
    BuildRequest, ContentHash, DeviceFacts, Direction, Metric, Outcome, Params, Phase, PluginInfo,
    PluginKind, ProblemSpec,
};
use serde::{Deserialize, Serialize};

use crate::{ConformJob, ConformReport, ReplayJob, ReplayReport};

/// A message with the number of the request that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// The number of the request; replies repeat it, so that a late one is recognised.
    pub id: u64,
    /// The message.
    pub body: T,
}

/// A component of a plugin: the plugin file by content, the component by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ComponentRef {
    /// The SHA-256 of the plugin file. The worker finds it in its store.
    pub plugin: ContentHash,
    /// The kernel's, problem's, objective's or profiler's name in the plugin.
    pub name: String,
}

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "one request is under way at a time"
)]
pub enum Request {
    /// The first message: protocol version, where content-addressed files are, the device, and the
    /// CPUs that the worker is confined to (all, if empty).
    Hello {
        /// The host's protocol version.
        protocol: u32,
        /// The folder with `<sha256>.so` files.
        store: PathBuf,
        /// The device to serve: `cpu`, or `cuda:0` by number.
        device: String,
        /// Indices of the CPUs to run on; empty for no restriction.
        cpus: Vec<usize>,
    },
    /// Which tools and GPUs a worker finds on this machine.
    Tools,
    /// Load a plugin from the store and describe it.
    LoadPlugin {
        /// The file's content hash.
        plugin: ContentHash,
        /// Where the file came from, for error messages.
        origin: String,
    },
    /// Whether a profiler can work on this machine.
    Probe {
        /// The profiler.
        profiler: ComponentRef,
    },
    /// Fix a problem's fields.
    ResolveProblem {
        /// The problem.
        problem: ComponentRef,
        /// Every field with its value.
        fields: Params,
    },
    /// Open an objective and say which space it has.
    OpenObjective {
        /// The objective.
        objective: ComponentRef,
        /// Every setting with its value.
        settings: Params,
    },
    /// Static check and build.
    Build {
        /// The kernel.
        kernel: ComponentRef,
        /// Problem, configuration and device.
        request: BuildRequest,
    },
    /// Verify, measure and verify again.
    Measure(Box<MeasureJob>),
    /// Verify several candidates and measure them interleaved.
    Compare(Box<CompareJob>),
    /// Evaluate an objective.
    Evaluate {
        /// The objective.
        objective: ComponentRef,
        /// Every setting with its value.
        settings: Params,
        /// The configuration.
        config: Params,
    },
    /// Run a profiler over a candidate.
    Profile(Box<ProfileJob>),
    /// Execute a candidate again, without timing it.
    Replay(Box<ReplayJob>),
    /// Try whether a plugin keeps a rule.
    Conform(Box<ConformJob>),
}

/// How a candidate is verified and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureSettings {
    /// Seeds of the ordinary distribution checked before the timing, at least 1. The adversarial
    /// distributions, the extra shapes and the check after the timing come on top.
    pub verify_seeds: u32,
    /// Fewest timed samples.
    pub min_samples: usize,
    /// Most timed samples.
    pub max_samples: usize,
    /// Most seconds of timed launches.
    pub max_seconds: f64,
    /// Fewest seconds that one sample lasts; a sample is a batch of launches.
    pub min_sample_seconds: f64,
    /// Most seconds of warm-up.
    pub warmup_seconds: f64,
    /// Fewest seconds of warm-up; these go before the most.
    #[serde(default)]
    pub least_warmup_seconds: f64,
    /// Stop when the 95 % confidence interval of the median is narrower than this fraction of it.
    pub precision: f64,
    /// Stop early when the lower bound is this many times above the incumbent's upper bound.
    pub race_factor: f64,
    /// Whether large problems are checked on every row instead of a sample of rows.
    pub check_all_rows: bool,
    /// Seconds of launches over which the energy of one is measured; 0: it is not.
    #[serde(default)]
    pub energy_seconds: f64,
    /// The weights of metrics in a score; empty where none is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
}

/// The name of what several metrics are combined to.
pub const SCORE: &str = "score";

impl MeasureSettings {
    /// Seconds that a warm-up may take.
    pub fn warmup(&self) -> f64 {
        self.warmup_seconds.max(self.least_warmup_seconds)
    }

    /// What the weights make of metrics: the weighted geometric mean, in which half of one metric
    /// makes up for twice of another of the same weight, whatever their units are. Of metrics of
    /// which more is better, the inverse counts. `None` without weights.
    ///
    /// # Errors
    /// A metric that is not there, that only informs, or that is not positive.
    pub fn score(&self, metrics: &[Metric]) -> Result<Option<Metric>, String> {
        if self.weights.is_empty() {
            return Ok(None);
        }
        let (mut sum, mut all) = (0.0, 0.0);
        for (name, weight) in &self.weights {
            let metric = metrics.iter().find(|metric| metric.name == *name);
            let metric = metric.ok_or_else(|| {
                let ranked = metrics.iter().filter(|it| it.direction != Direction::Info);
                let names: Vec<&str> = ranked.map(|it| it.name.as_str()).collect();
                format!(
                    "no metric `{name}` was measured; there is {}",
                    names.join(", ")
                )
            })?;
            let sign = match metric.direction {
                Direction::Lower => 1.0,
                Direction::Higher => -1.0,
                Direction::Info => {
                    return Err(format!(
                        "the metric `{name}` says neither that less is better nor more"
                    ));
                }
            };
            if metric.value <= 0.0 {
                return Err(format!(
                    "the metric `{name}` is {}: only positive ones can be combined",
                    metric.value
                ));
            }
            sum += sign * weight * metric.value.ln();
            all += weight;
        }
        Ok(Some(Metric::new(
            SCORE,
            "",
            Direction::Lower,
            (sum / all).exp(),
        )))
    }
}

/// One candidate to verify and measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureJob {
    /// The problem.
    pub problem: ComponentRef,
    /// The kernel.
    pub kernel: ComponentRef,
    /// Problem, configuration and device.
    pub request: BuildRequest,
    /// The seed of the checks before the timing.
    pub seed: u64,
    /// How to measure.
    pub settings: MeasureSettings,
    /// The upper end of the incumbent's confidence interval, in the unit of `kernel_time`
    /// (microseconds); absent where nothing races.
    pub incumbent: Option<f64>,
}

/// Several candidates to verify and measure interleaved, round by round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareJob {
    /// The problem.
    pub problem: ComponentRef,
    /// The candidates; the order of the samples within a round is shuffled per round.
    pub items: Vec<CompareItem>,
    /// The seed of the checks and of the shuffling.
    pub seed: u64,
    /// How to measure; samples are counted in rounds.
    pub settings: MeasureSettings,
}

/// One candidate of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareItem {
    /// What reports call it.
    pub label: String,
    /// The kernel.
    pub kernel: ComponentRef,
    /// Problem, configuration and device.
    pub request: BuildRequest,
}

/// What became of one candidate of a comparison. Sample `i` of every measured item was taken in
/// round `i`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedItem {
    /// As in [`CompareItem::label`].
    pub label: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// A profiling pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileJob {
    /// The profiler.
    pub profiler: ComponentRef,
    /// The problem.
    pub problem: ComponentRef,
    /// The kernel.
    pub kernel: ComponentRef,
    /// Problem, configuration and device.
    pub request: BuildRequest,
    /// The seed of the inputs.
    pub seed: u64,
    /// A folder for files of the profiler, which the host keeps; absent where it keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// What was measured of the candidate before, without a profiler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Metric>,
}

/// Something that some plugins need of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// What it is, in a few words.
    pub name: String,
    /// What was found, or why there is none and what to do.
    pub found: Result<String, String>,
}

/// What the worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello {
        /// The worker's protocol version.
        protocol: u32,
        /// The device that it serves.
        device: DeviceFacts,
    },
    /// To `Tools`.
    Tools {
        /// What was looked for.
        tools: Vec<Tool>,
    },
    /// To `Probe`.
    Probed {
        /// Why it cannot, and what to do; `None` where it can.
        absent: Option<String>,
    },
    /// To `LoadPlugin`.
    Plugin {
        /// The way in which it is brought.
        kind: PluginKind,
        /// What the plugin says of itself.
        info: Box<PluginInfo>,
    },
    /// To `ResolveProblem`.
    Problem {
        /// The fixed problem.
        spec: Box<ProblemSpec>,
    },
    /// To `OpenObjective`.
    Objective {
        /// The space where it depends on the settings.
        space: Option<String>,
    },
    /// To `Build`, when it succeeded.
    Built {
        /// Identity of what will be executed: of the kernel and of the three parts below.
        execution: ContentHash,
        /// Identity of the machine code.
        code: ContentHash,
        /// The launch geometry.
        launch: Params,
        /// The parameters that act at launch only.
        runtime: Params,
        /// Resource figures.
        resources: Vec<Metric>,
        /// What the build tool printed.
        log: String,
        /// Seconds that the build took.
        seconds: f64,
    },
    /// To `Measure` and `Evaluate`, and to `Build` when it failed.
    Outcome {
        /// What became of the candidate.
        outcome: Box<Outcome>,
        /// Seconds that the device was busy with it, or that a recorded objective charges.
        device_seconds: f64,
        /// Whether an objective has charged these seconds: it replays, and nothing else took time.
        charged: bool,
        /// Whether the worker should be replaced: candidates have left it too little memory of its
        /// device for the next one to be judged by.
        spent: bool,
    },
    /// To `Compare`.
    Compared {
        /// The candidates in the order of the job.
        items: Vec<ComparedItem>,
    },
    /// To `Profile`.
    Profiled {
        /// What the profiler saw.
        metrics: Vec<Metric>,
    },
    /// To `Profile`, where the profiler does not work here at all.
    NoProfiler {
        /// Why, and what to do about it.
        reason: String,
    },
    /// To `Replay`, where the candidate ran to its end.
    Replayed {
        /// What was seen.
        report: Box<ReplayReport>,
    },
    /// To `Conform`.
    Conformed {
        /// What was found.
        report: ConformReport,
    },
    /// Before the final reply: a step begins.
    Progress {
        /// The step.
        phase: Phase,
        /// The position in a comparison.
        item: Option<usize>,
    },
    /// The worker could not do what was asked, for a reason that is no candidate's fault or that
    /// concerns a whole plugin.
    Failed {
        /// Which kind of failure.
        kind: FailureKind,
        /// What happened and what to do.
        message: String,
    },
}

/// Kinds of failure that are no outcome of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The plugin file cannot be loaded, or is of another interface version.
    Plugin,
    /// The problem, objective or profiler refused what the user asked for.
    Refused,
    /// Host and worker do not understand each other.
    Protocol,
    /// Anything else in the worker.
    Internal,
}

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn score(weights: &[(&str, f64)], metrics: &[Metric]) -> Result<Option<Metric>, String> {
        let settings: MeasureSettings = serde_json::from_value(serde_json::json!({
            "verify_seeds": 1, "min_samples": 1, "max_samples": 1, "max_seconds": 1.0,
            "min_sample_seconds": 0.1, "warmup_seconds": 0.1, "precision": 0.1,
            "race_factor": 1.5, "check_all_rows": false,
            "weights": weights.iter().copied().collect::<BTreeMap<_, _>>(),
        }))
        .unwrap();
        settings.score(metrics)
    }

    fn metric(name: &str, direction: Direction, value: f64) -> Metric {
        Metric::new(name, "", direction, value)
    }

    #[test]
    fn a_score_is_the_weighted_geometric_mean() {
        let metrics = [
            metric("time", Direction::Lower, 8.0),
            metric("energy", Direction::Lower, 2.0),
            metric("throughput", Direction::Higher, 4.0),
            metric("clock", Direction::Info, 3.0),
        ];
        let value = |weights: &[(&str, f64)]| score(weights, &metrics).unwrap().map(|it| it.value);
        assert_eq!(value(&[]), None);
        assert!((value(&[("time", 5.0), ("energy", 5.0)]).unwrap() - 4.0).abs() < 1e-12);
        let weighted = value(&[("time", 3.0), ("energy", 1.0)]).unwrap();
        assert!((weighted - 1024.0f64.powf(0.25)).abs() < 1e-12);
        // More throughput is better.
        let inverse = value(&[("time", 1.0), ("throughput", 1.0)]).unwrap();
        assert!((inverse - 2.0f64.sqrt()).abs() < 1e-12);
        let error = score(&[("timer", 1.0)], &metrics).unwrap_err();
        assert_eq!(
            error,
            "no metric `timer` was measured; there is time, energy, throughput"
        );
        assert!(
            score(&[("clock", 1.0)], &metrics)
                .unwrap_err()
                .contains("neither")
        );
        let zero = [metric("time", Direction::Lower, 0.0)];
        assert!(score(&[("time", 1.0)], &zero).unwrap_err().contains("is 0"));
    }
}
