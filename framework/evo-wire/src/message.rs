//! The messages.

use std::path::PathBuf;

use evo_types::{
    BuildRequest, ContentHash, DeviceFacts, Metric, Outcome, Params, Phase, PluginInfo, PluginKind,
    ProblemSpec,
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
    /// Stop when the 95 % confidence interval of the median is narrower than this fraction of it.
    pub precision: f64,
    /// Stop early when the lower bound is this many times above the incumbent's upper bound.
    pub race_factor: f64,
    /// Whether large problems are checked on every row instead of a sample of rows.
    pub check_all_rows: bool,
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
