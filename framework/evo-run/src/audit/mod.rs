//! The audit of a space: a controlled experiment on what each parameter does to what is executed.
//!
//! ```text
//! plan      the default configuration and some drawn from the space; around each of them every
//!           searched parameter takes every other value while all others stay
//! builds    each distinct configuration is built once: machine code, geometry, figures
//! times     on request, pairs of configurations that differ in one parameter, interleaved
//! ```
//!
//! What the builds show is worked out elsewhere, from the builds alone, in the same way as for the
//! builds of a run.

mod builds;
mod plan;
mod times;

use std::collections::BTreeMap;
use std::sync::Arc;

use evo_core::space::Space;
use evo_journal::{BuildFacts, Work};
use evo_stats::Comparison;
use evo_types::{ContentHash, DeviceFacts, Outcome, Params, ProblemSpec, Value};
use serde::Serialize;

use crate::plan::Prepared;
use crate::{RunError, Stop};

/// How an audit is made.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditSettings {
    /// Configurations to draw, at least 1; the parameters are varied around each of them and around
    /// the default.
    pub samples: usize,
    /// The seed of the drawing.
    pub seed: u64,
    /// The parameters to vary, by name; all that are searched, if empty.
    pub params: Vec<String>,
    /// Pairs to time for each parameter; 0 for none.
    pub pairs: usize,
}

/// What an audit is doing.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditEvent<'a> {
    /// A configuration was built, or could not be.
    Built {
        /// The candidate.
        candidate: &'a str,
        /// How many are done.
        done: usize,
        /// Out of how many.
        of: usize,
    },
    /// A pair is about to be timed.
    Timing {
        /// The candidate.
        candidate: &'a str,
        /// The parameter that the pair differs in.
        param: &'a str,
        /// How many pairs are done.
        done: usize,
        /// Out of how many.
        of: usize,
    },
    /// A run measures on the device.
    WaitingForDevice {
        /// Who holds it.
        holder: String,
    },
}

/// What an audit saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// The problem.
    pub problem: ProblemSpec,
    /// The device that was built for.
    pub device: DeviceFacts,
    /// The seed of the drawing.
    pub seed: u64,
    /// The candidates in the order of the spec.
    pub candidates: Vec<AuditedCandidate>,
    /// Whether the user stopped it before its end.
    pub interrupted: bool,
}

/// What was seen of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditedCandidate {
    /// What reports call it.
    pub label: String,
    /// The plugin, by name.
    pub plugin: String,
    /// The kernel.
    pub kernel: String,
    /// The parameters that were varied, in declared order.
    pub params: Vec<String>,
    /// The configurations that the parameters were varied around: the default and those drawn.
    pub bases: usize,
    /// For each parameter the changes of its value that constraints do not allow.
    pub excluded: BTreeMap<String, usize>,
    /// The configurations that were built.
    pub built: Vec<BuiltConfig>,
    /// The configurations that could not be.
    pub failed: Vec<FailedConfig>,
    /// The pairs that were timed.
    pub timed: Vec<TimedPair>,
}

/// A configuration that was built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuiltConfig {
    /// All its parameters, pinned ones included.
    pub params: Params,
    /// Identity of what would be executed.
    pub execution: ContentHash,
    /// What the build is.
    pub build: BuildFacts,
}

/// A configuration that could not be built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedConfig {
    /// All its parameters, pinned ones included.
    pub params: Params,
    /// Why.
    pub outcome: Outcome,
}

/// Two configurations that differ in one parameter, timed in turns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimedPair {
    /// The parameter.
    pub param: String,
    /// Its value in the first configuration.
    pub from: Value,
    /// Its value in the second.
    pub to: Value,
    /// The first configuration.
    pub params: Params,
    /// The second's time over the first's; absent where there is none.
    pub comparison: Option<Comparison>,
    /// Why there is none.
    pub failure: Option<String>,
}

/// Builds, and where asked times, what the settings say.
///
/// # Errors
/// A spec without kernels, a parameter that is not searched, and what stops a run as well: no worker, no lock.
pub fn audit(
    mut prepared: Prepared,
    settings: &AuditSettings,
    stop: &Stop,
    watch: &mut dyn FnMut(&AuditEvent<'_>),
) -> Result<Audit, RunError> {
    let Work::Problem { plugin, spec } = prepared.plan.work.clone() else {
        return Err(RunError::input(
            "an objective builds nothing, so there are no builds to compare",
        )
        .hint("`evo space audit` is for kernels: name a spec with `tune`, or their plugin"));
    };
    check_names(&prepared.spaces, &settings.params)?;
    let mut candidates = Vec::new();
    for (candidate, space) in prepared.plan.candidates.iter().zip(&prepared.spaces) {
        let planned = plan::plan(space, settings);
        let builds = builds::build_all(
            &prepared.plan,
            &spec,
            candidate,
            space,
            &planned,
            &mut prepared.host,
            stop,
            watch,
        )?;
        candidates.push((candidate.clone(), planned, builds));
    }
    let mut audited = Vec::new();
    for (candidate, planned, builds) in candidates {
        let timed = times::time_all(
            &prepared.plan,
            (&plugin, &spec),
            &candidate,
            &times::choose(&planned, &builds, settings),
            &mut prepared.host,
            settings.seed,
            stop,
            watch,
        )?;
        let (built, failed) = builds.finish();
        audited.push(AuditedCandidate {
            label: candidate.label,
            plugin: candidate.plugin,
            kernel: candidate.kernel,
            params: planned.params,
            bases: planned.bases,
            excluded: planned.excluded,
            built,
            failed,
            timed,
        });
    }
    Ok(Audit {
        problem: spec,
        device: prepared.plan.device,
        seed: settings.seed,
        candidates: audited,
        interrupted: stop.requested(),
    })
}

/// Each name is a searched parameter of some space.
fn check_names(spaces: &[Arc<Space>], names: &[String]) -> Result<(), RunError> {
    let searched = |space: &Arc<Space>| -> Vec<String> {
        let params = space.searched().iter();
        let params = params.filter_map(|param| space.params().get(*param));
        params.map(|param| param.name.clone()).collect()
    };
    let mut known: Vec<String> = spaces.iter().flat_map(searched).collect();
    known.sort();
    known.dedup();
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(
            RunError::input(format!("no searched parameter is called `{name}`"))
                .hint(format!("they are {}", known.join(", "))),
        ),
    }
}
