//! `evo plugin check`: does a plugin keep the rules?
//!
//! Anyone can run it on a plugin they wrote. Each rule gets a verdict for each kernel, problem,
//! objective and profiler; what a worker dies of is the failure of the rule that was being tried.
//!
//! | module | is |
//! |---|---|
//! | `rules` | what each rule asks, and how to mend a breach |
//! | `ledger` | the verdicts of one component |
//! | `asking` | questions to the worker, within the time that there is |
//! | `descriptor`, `problem`, `kernel`, `objective`, `profiler` | the parts of a plugin |
//! | `configs` | the configurations that stand for a space |
//! | `builds`, `behaviour`, `cancel` | a kernel that is built; launched; killed |

mod asking;
mod behaviour;
mod builds;
mod cancel;
mod configs;
mod descriptor;
mod kernel;
mod ledger;
mod objective;
mod problem;
mod profiler;
mod rules;

use std::path::{Path, PathBuf};

use evo_types::{ContentHash, DeviceFacts, InterfaceVersion, Params, PluginKind};
use serde::Serialize;

use crate::plan::{default_worker, describe_built_in, describe_plugin};
use crate::{RunError, RunSpec, Stop, is_description, lock, parse_ron};

use asking::Asking;
use ledger::Ledger;

pub use evo_wire::Rule;
pub use rules::{asks, cure};

/// What is checked.
#[derive(Debug, Clone)]
pub enum CheckTarget {
    /// A plugin's file.
    File(PathBuf),
    /// The plugin that is part of `evo` itself.
    BuiltIn,
}

/// The device for which kernels are checked.
#[derive(Debug, Clone)]
pub enum CheckDevice {
    /// What the kernel runs on: the CPU, else the first GPU.
    OfKernel,
    /// This one, by the name that a worker takes: `cpu`, `cuda:0`.
    Named(String),
    /// One that is not here: kernels are built for it and not launched.
    Profile(Box<DeviceFacts>),
}

/// A search space as text.
#[derive(Debug, Clone)]
pub struct CheckSpace {
    /// The space as RON.
    pub text: String,
    /// Where it is from, for messages.
    pub origin: String,
}

/// Fields of the problem and settings of the objective that a spec names.
pub fn named_values(spec: &RunSpec) -> Params {
    let problem = spec.problem.iter().flat_map(|problem| &problem.fields);
    let objective = spec.objective.iter().flat_map(|it| &it.settings);
    problem
        .chain(objective)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// How a plugin is checked.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Only this kernel, problem, objective or profiler.
    pub only: Option<String>,
    /// Fields of the problem and settings of the objective; the others are those of the plugin's
    /// default spec, or the defaults.
    pub set: Params,
    /// Where relative paths among them start: the spec's folder.
    pub folder: PathBuf,
    /// A search space in the place of the plugin's own.
    pub space: Option<CheckSpace>,
    /// The device.
    pub device: CheckDevice,
    /// How many configurations of a space are tried, at least 1.
    pub configs: usize,
    /// Seconds that all of it may take; what is not reached by then is skipped.
    pub seconds: f64,
    /// Seconds that one step (a build, a check of one shape) may take.
    pub step_seconds: f64,
    /// The seed of inputs and of the choice of configurations.
    pub seed: u64,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            only: None,
            set: Params::new(),
            folder: PathBuf::new(),
            space: None,
            device: CheckDevice::OfKernel,
            configs: 6,
            seconds: 240.0,
            step_seconds: 20.0,
            seed: 17,
        }
    }
}

/// The verdict on one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    /// Tried, and kept.
    Pass,
    /// Broken: what was seen.
    Fail(String),
    /// Not tried: why.
    Skipped(String),
}

/// A rule, applied to one part of the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// The rule.
    pub rule: Rule,
    /// The part, such as `kernel blur`; `plugin` for the whole.
    pub subject: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Remarks that are no failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The plugin's name, as far as it could be read.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The way in which it is brought.
    pub kind: Option<PluginKind>,
    /// The file.
    pub path: String,
    /// The file's content.
    pub hash: Option<ContentHash>,
    /// Every rule that applies to a part of it.
    pub rulings: Vec<Ruling>,
}

impl CheckReport {
    /// The rulings with a rule broken.
    pub fn failures(&self) -> impl Iterator<Item = &Ruling> {
        self.rulings
            .iter()
            .filter(|ruling| matches!(ruling.verdict, Verdict::Fail(_)))
    }
}

/// What a check tells while it is under way.
#[derive(Debug, Clone)]
pub enum CheckEvent<'a> {
    /// Another run measures on the device.
    Waiting {
        /// Who.
        holder: String,
    },
    /// A rule is being tried.
    Trying {
        /// The rule.
        rule: Rule,
        /// On which part.
        subject: &'a str,
    },
}

/// Checks a plugin.
///
/// # Errors
/// Where the check itself cannot be done: no worker can be started, the user asked to stop, or an
/// option names something that is not there.
pub fn check(
    target: &CheckTarget,
    options: &CheckOptions,
    program: &Path,
    stop: &Stop,
    observer: &mut dyn FnMut(CheckEvent<'_>),
) -> Result<CheckReport, RunError> {
    let scratch = tempfile::Builder::new()
        .prefix("evo-check-")
        .tempdir()
        .map_err(|error| {
            RunError::environment(format!("cannot make a temporary folder: {error}"))
        })?;
    let mut host = default_worker(program)?;
    host.set_environment(vec![("TMPDIR".into(), scratch.path().into())]);
    let device = host.device(stop)?;
    // A check disturbs a measurement just as another measurement would.
    let lock = lock::device(&device.uuid, stop, |holder| {
        observer(CheckEvent::Waiting { holder });
    })?;
    if lock.is_none() {
        return Err(RunError::environment("interrupted"));
    }
    let mut asking = Asking::new(host, options, stop, observer);
    let mut report = CheckReport {
        name: String::new(),
        version: String::new(),
        kind: None,
        path: shown(target),
        hash: None,
        rulings: Vec::new(),
    };
    whole(&mut asking, target, &mut report)?;
    Ok(report)
}

fn shown(target: &CheckTarget) -> String {
    match target {
        CheckTarget::File(path) => path.display().to_string(),
        CheckTarget::BuiltIn => evo_wire::BUILT_IN_ORIGIN.to_owned(),
    }
}

/// The end of a check of what cannot be opened: a broken rule, unless the machine is to blame.
fn refused(
    rule: Rule,
    error: RunError,
    mut ledger: Ledger,
    report: &mut CheckReport,
) -> Result<(), RunError> {
    if error.kind != crate::ErrorKind::Input {
        return Err(error);
    }
    ledger.fail(rule, error.to_string());
    report.rulings = ledger.rulings(&[rule], "");
    Ok(())
}

/// The plugin as a whole, then its parts.
fn whole(
    asking: &mut Asking<'_>,
    target: &CheckTarget,
    report: &mut CheckReport,
) -> Result<(), RunError> {
    let mut ledger = Ledger::new("plugin");
    // A description is text that is read before anything is opened.
    if let CheckTarget::File(path) = target
        && is_description(path)
        && let Err(error) = asking.host.settings().store.add(path)
    {
        return refused(Rule::Descriptor, error, ledger, report);
    }
    let described =
        asking.trying(
            Rule::InterfaceVersion,
            ledger.subject(),
            |host, stop| match target {
                CheckTarget::File(path) => describe_plugin(host, path, stop),
                CheckTarget::BuiltIn => describe_built_in(host, stop),
            },
        );
    let described = match described {
        Ok(described) => described,
        Err(error) => return refused(Rule::InterfaceVersion, error, ledger, report),
    };
    ledger.pass(Rule::InterfaceVersion);
    report.name.clone_from(&described.info.name);
    report.version.clone_from(&described.info.version);
    report.kind = Some(described.kind);
    report.hash = Some(described.hash.clone());
    if described.info.interface != InterfaceVersion::CURRENT {
        let note = format!("built for interface {}", described.info.interface);
        ledger.note(Rule::InterfaceVersion, note);
    }
    asking.host.recycle();
    let again = asking.trying(
        Rule::Descriptor,
        ledger.subject(),
        |host, stop| match target {
            CheckTarget::File(path) => describe_plugin(host, path, stop),
            CheckTarget::BuiltIn => describe_built_in(host, stop),
        },
    );
    descriptor::check(&described.info, again.map(|again| again.info), &mut ledger)?;
    let rules = [Rule::InterfaceVersion, Rule::Descriptor];
    report.rulings = ledger.rulings(&rules, "");
    let info = &described.info;
    if let Some(text) = &info.default_spec
        && let Ok(spec) = parse_ron::<RunSpec>(text, "<its default spec>")
    {
        asking.add_defaults(named_values(&spec));
    }
    let only = asking.options.only.clone();
    let mut found = false;
    let mut wanted = |name: &str| {
        let wanted = only.as_deref().is_none_or(|only| only == name);
        found |= wanted;
        wanted
    };
    for problem in info.problems.iter().filter(|it| wanted(&it.name)) {
        report
            .rulings
            .extend(problem::check(asking, &described, problem)?);
    }
    for kernel in info.kernels.iter().filter(|it| wanted(&it.name)) {
        report
            .rulings
            .extend(kernel::check(asking, &described, kernel)?);
    }
    for objective in info.objectives.iter().filter(|it| wanted(&it.name)) {
        report
            .rulings
            .extend(objective::check(asking, &described, objective)?);
    }
    for profiler in info.profilers.iter().filter(|it| wanted(&it.name)) {
        report
            .rulings
            .extend(profiler::check(asking, &described, profiler)?);
    }
    match only {
        Some(only) if !found => Err(RunError::input(format!(
            "the plugin `{}` has no part called `{only}`",
            info.name
        ))
        .hint("`evo plugin describe` lists what is in it")),
        _ => Ok(()),
    }
}
