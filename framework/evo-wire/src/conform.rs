//! What `evo plugin check` asks of a worker: probes of rules that only code in the plugin's
//! process can try.

use std::fmt;

use evo_types::{BuildRequest, ContentHash, Params, ProblemSpec};
use serde::{Deserialize, Serialize};

use crate::ComponentRef;

/// A rule that plugins keep. The names are stable: people and scripts refer to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The file is whole, speaks this interface version and describes itself.
    InterfaceVersion,
    /// The description is complete, consistent and the same in every process.
    Descriptor,
    /// The problem resolves, with its defaults, its bounds and its extra shapes.
    ProblemResolves,
    /// Every output has a gate that is a positive number.
    ProblemGates,
    /// Inputs depend on seed and distribution only.
    ProblemInputs,
    /// The reference is complete, finite and repeatable.
    ProblemReference,
    /// The search space can be read for the problem and device.
    SpaceValid,
    /// The space names no parameter that the kernel does not declare.
    SpaceFitsParameters,
    /// The declared defaults and the space's default configuration can be built.
    DefaultsValid,
    /// What is out of range is refused or built, but ends nothing.
    AcceptHonest,
    /// The same request gives the same build, in every process.
    BuildDeterministic,
    /// Several threads may accept and build at once.
    BuildThreadSafe,
    /// Whatever changes the result or the time changes the execution identity.
    IdentityComplete,
    /// The result is right on the problem as it is.
    RightAnswer,
    /// The result is right on the problem's extra shapes.
    RaggedShapes,
    /// The result is right on adversarial inputs.
    AdversarialInputs,
    /// Nothing outside the buffers is written.
    InBounds,
    /// Inputs and descriptions of buffers are left as they are.
    InputsUnchanged,
    /// Every element of every output is written.
    AllWritten,
    /// Launches on the same inputs agree bit by bit, where the kernel says so.
    DeterministicAsDeclared,
    /// Nothing is written after the launch has returned.
    NoLateWrites,
    /// A launch depends on nothing but its buffers.
    Stateless,
    /// An instance may be used by another thread than the one that loaded it.
    AnyThread,
    /// What follows an error, or a call in the wrong state, works.
    MisuseAfterError,
    /// Threads, descriptors, processes and files do not pile up.
    NoLeftovers,
    /// Being killed in the middle of anything leaves nothing that disturbs the next process.
    Cancellation,
    /// The objective opens and has a space.
    ObjectiveOpens,
    /// The objective returns finite metrics, the ranked one among them.
    ObjectiveMetrics,
    /// What follows a configuration that the objective cannot evaluate works.
    ObjectiveRecovers,
    /// The profiler says whether it can work here, and does so.
    ProfilerProbe,
    /// The profiler returns named, finite metrics.
    ProfilerMetrics,
    /// The profiler leaves the candidate's results alone.
    ProfilerLeavesAlone,
}

impl Rule {
    /// Every rule in the order in which they are tried and reported.
    pub const ALL: [Self; 32] = [
        Self::InterfaceVersion,
        Self::Descriptor,
        Self::ProblemResolves,
        Self::ProblemGates,
        Self::ProblemInputs,
        Self::ProblemReference,
        Self::SpaceValid,
        Self::SpaceFitsParameters,
        Self::DefaultsValid,
        Self::AcceptHonest,
        Self::BuildDeterministic,
        Self::BuildThreadSafe,
        Self::IdentityComplete,
        Self::RightAnswer,
        Self::RaggedShapes,
        Self::AdversarialInputs,
        Self::InBounds,
        Self::InputsUnchanged,
        Self::AllWritten,
        Self::DeterministicAsDeclared,
        Self::NoLateWrites,
        Self::Stateless,
        Self::AnyThread,
        Self::MisuseAfterError,
        Self::NoLeftovers,
        Self::Cancellation,
        Self::ObjectiveOpens,
        Self::ObjectiveMetrics,
        Self::ObjectiveRecovers,
        Self::ProfilerProbe,
        Self::ProfilerMetrics,
        Self::ProfilerLeavesAlone,
    ];

    /// The rule's stable name, such as `in-bounds`.
    pub fn id(self) -> &'static str {
        match self {
            Self::InterfaceVersion => "interface-version",
            Self::Descriptor => "descriptor",
            Self::ProblemResolves => "problem-resolves",
            Self::ProblemGates => "problem-gates",
            Self::ProblemInputs => "problem-inputs",
            Self::ProblemReference => "problem-reference",
            Self::SpaceValid => "space-valid",
            Self::SpaceFitsParameters => "space-fits-parameters",
            Self::DefaultsValid => "defaults-valid",
            Self::AcceptHonest => "accept-honest",
            Self::BuildDeterministic => "build-deterministic",
            Self::BuildThreadSafe => "build-thread-safe",
            Self::IdentityComplete => "identity-complete",
            Self::RightAnswer => "right-answer",
            Self::RaggedShapes => "ragged-shapes",
            Self::AdversarialInputs => "adversarial-inputs",
            Self::InBounds => "in-bounds",
            Self::InputsUnchanged => "inputs-unchanged",
            Self::AllWritten => "all-written",
            Self::DeterministicAsDeclared => "deterministic-as-declared",
            Self::NoLateWrites => "no-late-writes",
            Self::Stateless => "stateless",
            Self::AnyThread => "any-thread",
            Self::MisuseAfterError => "misuse-after-error",
            Self::NoLeftovers => "no-leftovers",
            Self::Cancellation => "cancellation",
            Self::ObjectiveOpens => "objective-opens",
            Self::ObjectiveMetrics => "objective-metrics",
            Self::ObjectiveRecovers => "objective-recovers",
            Self::ProfilerProbe => "profiler-probe",
            Self::ProfilerMetrics => "profiler-metrics",
            Self::ProfilerLeavesAlone => "profiler-leaves-alone",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.id())
    }
}

/// A candidate that a probe is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// The problem.
    pub problem: ComponentRef,
    /// The kernel.
    pub kernel: ComponentRef,
    /// Problem, configuration and device.
    pub request: BuildRequest,
}

/// What to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "try", rename_all = "snake_case")]
pub enum Probe {
    /// A problem's inputs and reference.
    Problem {
        /// The problem.
        problem: ComponentRef,
        /// The problem with its fields fixed.
        spec: ProblemSpec,
    },
    /// One check of one candidate: two launches, the reference, guards, poison.
    Check {
        /// The candidate; its request has the shape in it.
        candidate: Probed,
        /// The rule that a wrong value breaks.
        rule: Rule,
        /// The shape in words.
        shape: String,
        /// The input distribution.
        distribution: String,
    },
    /// Builds of several configurations, in turn and then by several threads at once.
    Builds {
        /// The kernel.
        kernel: ComponentRef,
        /// What to build.
        requests: Vec<BuildRequest>,
        /// How many threads.
        threads: usize,
    },
    /// What the first launches of a process on the same inputs return.
    Sequence {
        /// The candidate.
        candidate: Probed,
        /// How many launches.
        launches: u32,
    },
    /// Instances side by side, rebound, refilled, launched often.
    State {
        /// The candidate.
        candidate: Probed,
    },
    /// An instance that is handed to another thread.
    OtherThread {
        /// The candidate.
        candidate: Probed,
    },
    /// Calls in the wrong state and with damaged documents, then an honest one.
    Misuse {
        /// The candidate.
        candidate: Probed,
    },
    /// What piles up over loads, launches and drops.
    Leftovers {
        /// The candidate.
        candidate: Probed,
    },
    /// Two configurations with one execution identity: results and times.
    Twins {
        /// The candidate.
        candidate: Probed,
        /// The configuration of the other one.
        other: Params,
    },
    /// A profiler over a small function of the worker's own.
    Profiler {
        /// The profiler.
        profiler: ComponentRef,
        /// Problem, configuration and device to tell it; the function ignores them.
        request: BuildRequest,
    },
}

/// A probe with its seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConformJob {
    /// What to try.
    pub probe: Probe,
    /// The seed of the inputs.
    pub seed: u64,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// The rule.
    pub rule: Rule,
    /// What was seen, for people.
    pub message: String,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ConformReport {
    /// The rules that were broken; empty where all went well.
    #[serde(default)]
    pub breaches: Vec<Breach>,
    /// Remarks that are no breach.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Digests to compare with those of another process.
    #[serde(default)]
    pub digests: Vec<ContentHash>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_its_name() {
        for rule in Rule::ALL {
            let text = serde_json::to_string(&rule).unwrap();
            assert_eq!(text, format!("\"{rule}\""));
        }
    }

    #[test]
    fn rules_are_listed_once_and_in_order() {
        assert!(Rule::ALL.is_sorted_by(|a, b| a < b));
    }
}
