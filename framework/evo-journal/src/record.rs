//! The records of a journal.

use std::collections::BTreeMap;

use evo_types::{ContentHash, Direction, Metric, Outcome, Params, Value};
use serde::{Deserialize, Serialize};

use crate::Plan;

/// One record. `at` fields are seconds since the Unix epoch, for people; nothing is computed from
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// The first record.
    Header(Header),
    /// What the run does; the second record.
    Started {
        /// When.
        at: f64,
        /// The spec as RON, with the overrides of the command line in it.
        spec: String,
        /// Everything resolved.
        plan: Box<Plan>,
        /// The machine.
        environment: Box<Environment>,
    },
    /// Candidates compared in interleaved rounds: the baselines at the start, the finalists at
    /// the end.
    Compared(Comparison),
    /// The engine proposed a genotype.
    Proposed(Proposed),
    /// A proposal was evaluated.
    Evaluated(Box<Evaluated>),
    /// A proposal's worker died or the run was cut off before it had an outcome; it is tried
    /// again with the next attempt number.
    Retried {
        /// The trial.
        trial: u64,
        /// The attempt that begins, from 2.
        attempt: u32,
        /// Whether the machine was started anew since the attempt before: then the candidate may
        /// have brought it down.
        #[serde(default)]
        rebooted: bool,
        /// Why.
        reason: String,
    },
    /// A profiler looked at a candidate.
    Profiled(Profiled),
    /// Rules were applied to what a build or a profiler says of a candidate.
    Diagnosed(Diagnosed),
    /// What the engine believes, for reports.
    Snapshot(Snapshot),
    /// Something that the user should know, such as a profiler that is missing.
    Warning {
        /// When.
        at: f64,
        /// The text.
        message: String,
    },
    /// The run was interrupted and saved.
    Interrupted {
        /// When.
        at: f64,
        /// By what, such as `SIGINT`.
        by: String,
    },
    /// The run goes on.
    Resumed {
        /// When.
        at: f64,
        /// The program's version.
        evo: String,
        /// The identity of the machine's present start, where the system tells.
        #[serde(default)]
        boot: String,
    },
    /// A finished run got a larger budget.
    Extended {
        /// When.
        at: f64,
        /// The new plan's budget document.
        budget: serde_json::Value,
    },
    /// The run ended by itself.
    Finished {
        /// When.
        at: f64,
        /// Why, for people: `the budget of 64 trials is used up`.
        reason: String,
        /// Seconds of run time, over all resumptions.
        elapsed_s: f64,
    },
}

/// What the journal was written by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the records.
    pub schema: u32,
    /// The version of the engine: under the same version, the same history gives the same
    /// proposals.
    pub engine: String,
    /// The program's version.
    pub evo: String,
    /// The run's name: the folder's name when it was made.
    pub run: String,
}

/// The machine and program that a run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The program's version.
    pub evo: String,
    /// The commit that the program was built from, where known.
    pub commit: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// The working folder.
    pub folder: String,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub os: String,
    /// The CPU's name.
    pub cpu: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The identity of the machine's present start, where the system tells.
    #[serde(default)]
    pub boot: String,
}

/// Candidates compared in interleaved rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// When.
    pub at: f64,
    /// At which point of the run.
    pub stage: Stage,
    /// The seed of its checks.
    pub seed: u64,
    /// The candidates.
    pub items: Vec<ComparedItem>,
    /// How many rounds were taken in each worker process, in order: samples of one process have
    /// more in common than the clock shows. Empty where nothing was timed in rounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<usize>,
    /// Seconds of run time so far, over all resumptions.
    pub elapsed_s: f64,
}

/// At which point of the run a comparison was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before the search: the baselines.
    Baselines,
    /// After the search: the top-K and the baselines, in fresh processes with fresh seeds.
    Confirmation,
}

/// One candidate of a comparison. Sample `i` of each measured item was taken in round `i`; rounds
/// are numbered on over the processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedItem {
    /// What reports call it.
    pub label: String,
    /// The trial, for one that the search found.
    pub trial: Option<u64>,
    /// The kernel.
    pub kernel: String,
    /// All its parameters.
    pub params: Params,
    /// What became of it.
    pub outcome: Outcome,
}

/// A proposal of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    /// The trial's number, from 0.
    pub trial: u64,
    /// The candidate's label.
    pub candidate: String,
    /// The active parameters, pinned ones included.
    pub params: Params,
    /// The genotype's identity.
    pub id: ContentHash,
    /// The operator that made it.
    pub operator: String,
    /// The trials that it was made from.
    pub parents: Vec<u64>,
    /// The statements that biased it.
    pub insights: Vec<String>,
    /// The engine's own document: a resumed run must propose the same.
    pub proposal: serde_json::Value,
}

/// The outcome of a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The trial's number.
    pub trial: u64,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Identity of what was executed, where it was built: a later trial with the same one is a
    /// duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ContentHash>,
    /// What the build was, where there was one; absent in journals of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildFacts>,
    /// Seconds from the proposal's turn to its outcome: what the budget's wall time is charged.
    pub wall_s: f64,
    /// Seconds that the device was busy, or that a recorded objective charges.
    pub device_s: f64,
    /// The device.
    pub device: String,
    /// Seconds of run time so far, over all resumptions.
    pub elapsed_s: f64,
    /// When.
    pub at: f64,
}

/// A build: the three parts of its execution's identity, and what it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildFacts {
    /// Identity of the machine code.
    pub code: ContentHash,
    /// The launch geometry.
    pub launch: Params,
    /// The parameters that act at launch only.
    pub runtime: Params,
    /// Resource figures: instructions, registers, shared memory and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Metric>,
}

impl BuildFacts {
    /// Figures of the launch of a GPU kernel: its sizes, `blocks` and `threads` (of a block) over all
    /// dimensions, and where the device's facts say how many blocks it holds, `waves` (how often the
    /// blocks fill it) and `last_wave` (the share of it that the last ones fill).
    pub fn geometry(&self, device: &Params) -> Vec<Metric> {
        let info = |name: &str, value: f64| Metric::new(name, "", Direction::Info, value);
        let sizes = self.launch.iter();
        let mut figures: Vec<Metric> = sizes
            .filter_map(|(name, value)| Some(info(name, value.as_float()?)))
            .collect();
        let over = |kind: &str| -> Option<f64> {
            let of_kind = |axis: &str| self.launch.get(&format!("{kind}_{axis}"))?.as_float();
            of_kind("x").map(|x| x * of_kind("y").unwrap_or(1.0) * of_kind("z").unwrap_or(1.0))
        };
        figures.extend(over("block").map(|threads| info("threads", threads)));
        let Some(blocks) = over("grid") else {
            return figures;
        };
        figures.push(info("blocks", blocks));
        let mut known = self.figures.iter();
        let resident = known.find(|figure| figure.name == "blocks_per_sm");
        let sms = device.get("SMS").and_then(Value::as_float);
        if let (Some(resident), Some(sms)) = (resident, sms) {
            let waves = blocks / (resident.value * sms);
            if waves.is_finite() {
                let whole = waves.ceil().max(1.0);
                figures.push(info("waves", waves));
                figures.push(info("last_wave", waves - (whole - 1.0)));
            }
        }
        figures
    }
}

/// What a profiler saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profiled {
    /// When.
    pub at: f64,
    /// The profiler.
    pub profiler: String,
    /// The candidate's label.
    pub label: String,
    /// The trial, for one that the search found.
    pub trial: Option<u64>,
    /// The metrics; empty where it failed.
    pub metrics: Vec<Metric>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// The folder of a profiler, as `plugin/name`, in a run folder: the name alone where the plugin is called
/// after it by custom (`profiler-ncu`), else both. It is none of the run's own.
pub fn profiler_folder(profiler: &str) -> String {
    let (plugin, name) = profiler.split_once('/').unwrap_or(("", profiler));
    let own = plugin.strip_prefix("profiler-") == Some(name);
    let reserved = ["", "bench", "lock", "reports"].contains(&name);
    let whole = if own && !reserved {
        name.to_owned()
    } else {
        format!("{plugin}-{name}")
    };
    // A plugin chooses its names.
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    whole.chars().map(plain).take(100).collect()
}

/// What rules made of the figures of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosed {
    /// When.
    pub at: f64,
    /// Whose figures: `build`, or a profiler as `plugin/name`.
    pub source: String,
    /// The candidate's label.
    pub label: String,
    /// The trial, for one that the search found.
    pub trial: Option<u64>,
    /// The rules that hold, the severest first.
    pub diagnoses: Vec<DiagnosisLine>,
    /// The rules that could not be judged, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unjudged: BTreeMap<String, String>,
    /// What the search was told, as the engine reads it; absent where it was told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<serde_json::Value>,
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisLine {
    /// The rule.
    pub rule: String,
    /// What it says, with its figures.
    pub statement: String,
    /// How much it matters, in 0 to 1.
    pub severity: f64,
    /// What to do about it that the candidate does not do yet, the surest first: `raise STAGES`.
    pub levers: Vec<String>,
}

/// What the engine believes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The candidate's label.
    pub candidate: String,
    /// The number of distinct valid configurations: exact, or an estimate in words.
    pub space_size: String,
    /// The insights, the strongest first.
    pub insights: Vec<InsightLine>,
    /// Those that proposals have followed and that nobody says any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<InsightLine>,
    /// What the operators did.
    pub operators: Vec<OperatorLine>,
}

/// An insight in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightLine {
    /// The statement.
    pub statement: String,
    /// From 0 to 1.
    pub strength: f64,
    /// How much following it paid.
    pub credit: f64,
    /// How many observations it rests on.
    pub evidence: u64,
    /// Where it came from: `history`, or a profiler.
    pub source: String,
    /// What it says to do, such as `set STAGES=2`; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lever: String,
    /// What that changes, as the logarithm of the ratio of the ranked metric, negative for better; 0
    /// where it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub effect: f64,
    /// Proposals that followed it.
    #[serde(default)]
    pub followed: u64,
    /// How many of these were better than the solution that they changed.
    #[serde(default)]
    pub better: u64,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// An operator in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatorLine {
    /// The operator's name.
    pub name: String,
    /// How many proposals it made.
    pub proposals: u64,
    /// How many of them were better than everything before.
    pub improvements: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry_of(launch: &[(&str, i64)], figures: &[(&str, f64)]) -> Vec<String> {
        let build = BuildFacts {
            code: ContentHash::of_bytes(b"code"),
            launch: launch
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::Int(*value)))
                .collect(),
            runtime: Params::new(),
            figures: figures
                .iter()
                .map(|(name, value)| Metric::new(name, "", Direction::Info, *value))
                .collect(),
        };
        let device = [("SMS".to_owned(), Value::Int(132))].into();
        build
            .geometry(&device)
            .iter()
            .map(|figure| format!("{} {}", figure.name, figure.value))
            .collect()
    }

    #[test]
    fn the_geometry_says_how_often_the_device_is_filled() {
        let launch = [("block_x", 128), ("grid_x", 8), ("grid_y", 33)];
        let figures = geometry_of(&launch, &[("blocks_per_sm", 1.0)]);
        assert_eq!(
            figures,
            [
                "block_x 128",
                "grid_x 8",
                "grid_y 33",
                "threads 128",
                "blocks 264",
                "waves 2",
                "last_wave 1"
            ]
        );
        let figures = geometry_of(&[("grid_x", 165)], &[("blocks_per_sm", 1.0)]);
        assert_eq!(figures[2..], ["waves 1.25", "last_wave 0.25"]);
        assert_eq!(geometry_of(&[], &[]), Vec::<String>::new());
        // What does not fit on the device at all has no waves.
        assert_eq!(
            geometry_of(&[("grid_x", 1)], &[("blocks_per_sm", 0.0)]).len(),
            2
        );
    }
}
