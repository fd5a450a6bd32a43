//! Candidates of a run executed again, beside the run: nothing is timed, ranked or recorded.
//!
//! The run folder is only read, so that a run which is under way can be looked at, and the folder
//! may belong to another machine. Other tools may be put over all of it: workers are started with
//! the environment of this program, what they print is passed on, and they end by themselves.

mod ahead;
mod opening;
mod select;

use std::path::{Path, PathBuf};
use std::thread;

use evo_types::{BuildRequest, DeviceFacts, Outcome, Params, ProblemSpec};
use evo_wire::{ReplayJob, Reply, Request};

use crate::driver::{Entrant, Sorted, check_plugins, leaves_disorder, sort};
use crate::plan::{component, unexpected};
use crate::worker::{Host, Patience};
use crate::{RunError, Stop, lock};

use self::ahead::Ahead;

pub use evo_wire::{
    Difference as ReplayDifference, Differing as ReplayDiffering, ReplayMode, ReplayReport,
};

/// What is replayed, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySettings {
    /// The program that has the `worker` command: `evo` itself.
    pub program: PathBuf,
    /// The trials, by number.
    pub trials: Vec<u64>,
    /// In the place of `trials`, so many of the best by the search's own measurement. Where neither
    /// is given: the finalists of the confirmation, or the best three if there was none.
    pub top: Option<usize>,
    /// In the place of trials, configurations that the run may never have tried, each with a number
    /// that it is called by. What one leaves out has the space's default.
    pub configurations: Vec<(usize, Params)>,
    /// Whether the baselines are replayed as well.
    pub baselines: bool,
    /// Labels: a baseline's adds that baseline, a tuned candidate's leaves only its trials of those
    /// that are chosen by rank.
    pub candidates: Vec<String>,
    /// What is done on each inputs.
    pub mode: ReplayMode,
    /// The seeds of the inputs; that of the run, if empty.
    pub seeds: Vec<u64>,
    /// The distribution of the inputs; the problem's ordinary one, if absent.
    pub distribution: Option<String>,
    /// Whether large problems are held against the reference on every row.
    pub check_all_rows: bool,
    /// Whether there are guard bands around the buffers, which hide from tools what they find.
    pub guards: bool,
    /// Fields of the problem that are changed, each as `NAME=VALUE`.
    pub set: Vec<String>,
    /// The device: `cpu`, `cuda` or `cuda:1`; where the run was made, if absent.
    pub device: Option<String>,
    /// Most seconds of each step: a build, one launch that is checked, all that are not.
    pub deadline_s: f64,
}

/// What a replay is doing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayEvent<'a> {
    /// A candidate's turn begins.
    Begins {
        /// What reports call it.
        candidate: &'a str,
        /// How many are done.
        done: usize,
        /// Out of how many.
        of: usize,
    },
    /// A run measures on the device.
    WaitingForDevice {
        /// Who holds it.
        holder: String,
    },
    /// Something that the user should know.
    Warning(String),
}

/// What a replay saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The problem that was solved.
    pub problem: ProblemSpec,
    /// The device.
    pub device: DeviceFacts,
    /// What was done on each inputs.
    pub mode: ReplayMode,
    /// The seeds of the inputs.
    pub seeds: Vec<u64>,
    /// The candidates whose turn came, in order.
    pub candidates: Vec<ReplayedCandidate>,
    /// How workers ended that did not end well after their work: a tool over them may say so.
    pub bad_ends: Vec<String>,
    /// Whether the user stopped it before its end.
    pub interrupted: bool,
}

impl Replay {
    /// Whether every candidate passed, and every worker ended well.
    pub fn passed(&self) -> bool {
        let all = self.candidates.iter().all(ReplayedCandidate::passed);
        all && self.bad_ends.is_empty() && !self.interrupted
    }
}

/// What was seen of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayedCandidate {
    /// What reports call it.
    pub label: String,
    /// The trial; absent for a baseline.
    pub trial: Option<u64>,
    /// The plugin, by name.
    pub plugin: String,
    /// The kernel.
    pub kernel: String,
    /// All its parameters.
    pub params: Params,
    /// What became of it.
    pub result: ReplayResult,
}

impl ReplayedCandidate {
    /// Whether it ran to its end, and everything that was checked was right.
    pub fn passed(&self) -> bool {
        matches!(&self.result, ReplayResult::Ended(report) if report.passed())
    }
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayResult {
    /// It ran to its end.
    Ended(Box<ReplayReport>),
    /// It did not.
    Failed(Outcome),
}

/// Executes candidates of the run in a folder again.
///
/// # Errors
/// Where there is no run, no such candidate or no such device, a plugin is not what it was, or the
/// host itself cannot go on.
pub fn replay(
    run: &Path,
    settings: &ReplaySettings,
    stop: &Stop,
    watch: &mut dyn FnMut(&ReplayEvent<'_>),
) -> Result<Replay, RunError> {
    let recorded = opening::read(run)?;
    let plan = &recorded.plan;
    let mut host = opening::host(plan, settings, stop)?;
    let store = host.settings().store.clone();
    let defines = |name: &String| *name == recorded.problem_plugin;
    check_plugins(plan.plugins.iter().filter(|it| defines(&it.name)), &store)?;
    let problem = opening::problem(&recorded, &settings.set, &mut host, stop)?;
    let targets = select::targets(&recorded, &problem, settings)?;
    let executes = |name: &String| targets.iter().any(|target| target.plugin == *name);
    check_plugins(plan.plugins.iter().filter(|it| executes(&it.name)), &store)?;
    let device = opening::device(&recorded, &mut host, stop, watch)?;
    let seeds = match settings.seeds.as_slice() {
        [] => vec![plan.seed],
        given => given.to_vec(),
    };
    let job = |target: &Entrant| -> Result<ReplayJob, RunError> {
        Ok(ReplayJob {
            problem: component(plan, &recorded.problem_plugin, &problem.problem)?,
            kernel: component(plan, &target.plugin, &target.kernel)?,
            request: BuildRequest {
                problem: problem.clone(),
                config: target.params.clone(),
                device: device.clone(),
            },
            seeds: seeds.clone(),
            distribution: settings.distribution.clone(),
            check_all_rows: settings.check_all_rows,
            guards: settings.guards,
            mode: settings.mode,
        })
    };
    let jobs: Vec<ReplayJob> = targets.iter().map(job).collect::<Result<_, _>>()?;
    let ahead = Ahead::new(jobs.len());
    let builders = ahead::builders(&device.kind, jobs.len());
    let settings_of_builders = host.settings().clone();
    let candidates = thread::scope(|scope| {
        let _employed = ahead.employ();
        for _ in 0..builders {
            let builder = Host::builder(settings_of_builders.clone());
            scope.spawn(|| ahead.build(&jobs, builder, stop));
        }
        let mut candidates = Vec::new();
        for (done, (target, job)) in targets.into_iter().zip(&jobs).enumerate() {
            watch(&ReplayEvent::Begins {
                candidate: &target.label,
                done,
                of: jobs.len(),
            });
            if builders > 0 {
                ahead.wait(done, stop);
            }
            // Launches would disturb the measurements of a run.
            let held = lock::device(&device.uuid, stop, |holder| {
                watch(&ReplayEvent::WaitingForDevice { holder });
            })?;
            if held.is_none() || stop.requested() {
                break;
            }
            let Some(result) = execute(job.clone(), &mut host, stop)? else {
                break;
            };
            candidates.push(ReplayedCandidate {
                label: target.label,
                trial: target.trial,
                plugin: target.plugin,
                kernel: target.kernel,
                params: target.params,
                result,
            });
        }
        Ok::<_, RunError>(candidates)
    })?;
    host.recycle();
    Ok(Replay {
        problem,
        device,
        mode: settings.mode,
        seeds,
        candidates,
        bad_ends: host.take_bad_ends(),
        interrupted: stop.requested(),
    })
}

/// One candidate. `None`: the user asked to stop.
fn execute(job: ReplayJob, host: &mut Host, stop: &Stop) -> Result<Option<ReplayResult>, RunError> {
    let request = Request::Replay(Box::new(job));
    let reply = host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {});
    let result = match reply {
        Ok(Reply::Replayed { report }) => ReplayResult::Ended(report),
        Ok(Reply::Outcome { outcome, .. }) => ReplayResult::Failed(*outcome),
        Ok(other) => return Err(unexpected("Replay", &other)),
        Err(failure) => match sort(failure) {
            Sorted::Outcome(outcome) => ReplayResult::Failed(outcome),
            Sorted::Interrupted => return Ok(None),
            Sorted::Error(error) => return Err(error),
        },
    };
    // A worker that may be in disorder is not used again.
    let disorder = match &result {
        ReplayResult::Ended(report) => !report.passed(),
        ReplayResult::Failed(outcome) => leaves_disorder(outcome),
    };
    if disorder {
        host.recycle();
    }
    Ok(Some(result))
}
