//! From a spec to a plan: everything resolved and checked before any work begins.

mod baseline_names;
mod baselines;
mod candidates;
mod describe;
mod fields;
mod settings;
mod spaces;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evo_core::space::Space;
use evo_journal::{Plan, PlannedPlugin, Sibling, Work};
use evo_types::{ContentHash, DeviceFacts, KernelInfo, PluginInfo, Value};
use evo_wire::{BUILT_IN_ORIGIN, ComponentRef};

use crate::driver::{BUILD, read_rules};
use crate::error::suggestion;
use crate::spec::{ObjectiveSpec, Overrides, RunSpec, TuneSpec, read_target};
use crate::worker::Host;
use crate::{RunError, SearchPath, Stop, parse_ron};

use baselines::Baselines;
pub(crate) use candidates::check_problem;
pub use describe::{
    Described, default_worker, describe_built_in, describe_plugin, probe_profiler, tools,
};
pub(crate) use describe::{component, describe, unexpected};
pub(crate) use fields::complete as complete_fields;
pub(crate) use settings::{Measuring, limits};
pub(crate) use spaces::spaces_for;
pub use spaces::{completed, space_environment, spaces};

/// Trials between two profiles during the search, where a spec says nothing.
const PROFILE_EVERY: u64 = 32;
/// Elites of each candidate that are profiled then.
const PROFILE_ELITES: usize = 3;

/// What the figures of builds mean.
const BUILD_RULES: &str = include_str!("../../rules/build.ron");

/// The device that needs no other hardware.
const CPU: &str = "cpu";

/// A plan with what the driver needs beside it.
#[derive(Debug)]
pub struct Prepared {
    /// The spec with the overrides in it.
    pub spec: RunSpec,
    /// Everything resolved.
    pub plan: Plan,
    /// The space of each candidate.
    pub spaces: Vec<Arc<Space>>,
    /// Configurations of other runs that cannot be tried here, and why: a line each.
    pub left_out: Vec<String>,
    /// The host of the device.
    pub host: Host,
}

/// Where a spec comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A RON file.
    File(PathBuf),
    /// A plugin's own default.
    Plugin(String),
}

/// A plugin that a run uses, loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) planned: PlannedPlugin,
    pub(crate) info: PluginInfo,
}

impl Loaded {
    fn new(hash: ContentHash, info: PluginInfo, path: String) -> Self {
        let planned = PlannedPlugin {
            name: info.name.clone(),
            version: info.version.clone(),
            path,
            hash,
        };
        Self { planned, info }
    }

    pub(crate) fn component(&self, name: &str) -> ComponentRef {
        ComponentRef {
            plugin: self.planned.hash.clone(),
            name: name.to_owned(),
        }
    }
}

/// Resolves a spec.
///
/// # Errors
/// Anything that the spec, its files or its plugins have wrong.
pub fn prepare(
    source: &Source,
    overrides: &Overrides,
    search: &SearchPath,
    program: &Path,
    stop: &Stop,
) -> Result<Prepared, RunError> {
    resolve(source, overrides, search, program, stop, Purpose::Run)
}

/// Resolves a spec for an audit of its spaces: without what a run compares with, aims at and
/// profiles. `elsewhere` is a device that builds are made for although it is not here.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_audit(
    source: &Source,
    overrides: &Overrides,
    search: &SearchPath,
    program: &Path,
    stop: &Stop,
    elsewhere: Option<DeviceFacts>,
) -> Result<Prepared, RunError> {
    let purpose = Purpose::Audit(elsewhere);
    resolve(source, overrides, search, program, stop, purpose)
}

/// What a plan is for.
enum Purpose {
    Run,
    /// For a device that is not here, or for that of the spec.
    Audit(Option<DeviceFacts>),
}

fn resolve(
    source: &Source,
    overrides: &Overrides,
    search: &SearchPath,
    program: &Path,
    stop: &Stop,
    purpose: Purpose,
) -> Result<Prepared, RunError> {
    let mut host = default_worker(program)?;
    let mut resolver = Resolver {
        host: &mut host,
        search,
        stop,
        loaded: Vec::new(),
        for_baselines: BTreeMap::new(),
        elsewhere: None,
    };
    let (mut spec, folder) = resolver.read(source)?;
    spec.apply(overrides)?;
    if let Purpose::Audit(elsewhere) = purpose {
        resolver.elsewhere = elsewhere;
        spec.baselines.clear();
        spec.profilers.clear();
        spec.profile_every = None;
        spec.profile_elites = None;
        spec.target = None;
        spec.start_from.clear();
        spec.budget.stop_at_target = false;
    }
    settings::check(&spec)?;
    resolver.host.set_limits(limits(&spec));
    if !spec.cpus.is_empty() {
        // The worker that described the plugins ran before the CPUs were known.
        resolver.host.confine(&spec.cpus);
    }
    for name in spec.plugin_names() {
        resolver.load(name, &folder)?;
    }
    resolver.load_built_in()?;
    if resolver.elsewhere.is_none() {
        let device = resolver.device(&spec)?;
        resolver.host.serve(&device);
    }
    let mut plan = resolver.plan(&spec, &folder)?;
    let spaces = spaces(&plan)?;
    let left_out = start::add(&mut plan, &spaces, &spec, &folder)?;
    Ok(Prepared {
        spec,
        plan,
        spaces,
        left_out,
        host,
    })
}

/// The content of the files that the settings of an objective name. What is not a file, or cannot
/// be read, is the objective's business.
pub(crate) fn files(work: &Work) -> BTreeMap<String, ContentHash> {
    let Work::Objective { settings, .. } = work else {
        return BTreeMap::new();
    };
    let content = |value: &Value| {
        let path = Path::new(value.as_name()?);
        // Paths were made absolute; a text that is none names no file.
        let file = (path.is_absolute() && path.is_file()).then(|| std::fs::File::open(path));
        ContentHash::of_reader(file?.ok()?).ok()
    };
    settings
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), content(value)?)))
        .collect()
}

struct Resolver<'a> {
    host: &'a mut Host,
    search: &'a SearchPath,
    stop: &'a Stop,
    loaded: Vec<Loaded>,
    /// What became of the plugins that only baselines name, by what the spec calls them. Nothing
    /// else is looked for in them: what a spec means must not depend on whether one is there.
    for_baselines: BTreeMap<String, Result<Loaded, RunError>>,
    /// A device that is not here, in the place of the host's.
    elsewhere: Option<DeviceFacts>,
}

impl Resolver<'_> {
    /// Reads the spec, and says which folder its relative paths start from.
    fn read(&mut self, source: &Source) -> Result<(RunSpec, PathBuf), RunError> {
        match source {
            Source::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    RunError::input(format!("{}: cannot read the spec: {error}", path.display()))
                })?;
                let spec: RunSpec = parse_ron(&text, &path.display().to_string())?;
                if spec.plugin_names().is_empty() {
                    return Err(RunError::input(format!(
                        "{}: the spec names no plugin",
                        path.display()
                    ))
                    .hint("add `plugin: \"NAME\"`; `evo plugin list` shows what there is"));
                }
                let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                Ok((spec, folder))
            }
            Source::Plugin(name) => {
                let index = self.load(name, Path::new(""))?;
                let info = &self.loaded[index].info;
                let mut spec = match &info.default_spec {
                    Some(text) => parse_ron(text, &format!("<default spec of {}>", info.name))?,
                    None if info.objectives.len() == 1 => RunSpec {
                        objective: Some(Default::default()),
                        ..RunSpec::default()
                    },
                    None if tunable(info).is_some() => RunSpec {
                        tune: tunable(info).map(TuneSpec::of).into_iter().collect(),
                        ..RunSpec::default()
                    },
                    None => {
                        return Err(RunError::input(format!(
                            "the plugin `{}` brings no default spec",
                            info.name
                        ))
                        .hint("write a spec file; `evo plugin describe` shows what it may name"));
                    }
                };
                spec.plugin = Some(name.clone());
                Ok((spec, PathBuf::new()))
            }
        }
    }

    /// Loads a plugin once; returns its place.
    fn load(&mut self, name: &str, folder: &Path) -> Result<usize, RunError> {
        let found = self.open(name, folder)?;
        if let Some(place) = self
            .loaded
            .iter()
            .position(|loaded| loaded.planned.hash == found.planned.hash)
        {
            return Ok(place);
        }
        different_names(&self.loaded, &found)?;
        self.loaded.push(found);
        Ok(self.loaded.len() - 1)
    }

    /// Finds a plugin and asks what is in it.
    fn open(&mut self, name: &str, folder: &Path) -> Result<Loaded, RunError> {
        let path = self.search.find(name, folder)?;
        let Described { hash, info, .. } = describe_plugin(self.host, &path, self.stop)?;
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        Ok(Loaded::new(hash, info, path.display().to_string()))
    }

    /// Loads what is part of `evo` itself, after the plugins of the spec.
    fn load_built_in(&mut self) -> Result<(), RunError> {
        let Described { hash, info, .. } = describe_built_in(self.host, self.stop)?;
        self.loaded
            .push(Loaded::new(hash, info, BUILT_IN_ORIGIN.to_owned()));
        Ok(())
    }

    /// The device of the run: the one that the spec names, or the first of the only kind that the
    /// kernels to be tuned run on; the CPU where there is a choice.
    fn device(&self, spec: &RunSpec) -> Result<String, RunError> {
        if let Some(device) = &spec.device {
            return read_device(device);
        }
        let kernels = self.loaded.iter().flat_map(|loaded| &loaded.info.kernels);
        let mut tuned = kernels
            .filter(|kernel| spec.tune.iter().any(|tune| tune.kernel == kernel.name))
            .peekable();
        let needs_cuda = tuned.peek().is_some()
            && tuned.all(|kernel| kernel.devices.iter().all(|device| device == "cuda"));
        Ok(if needs_cuda { "cuda:0" } else { CPU }.to_owned())
    }

    fn plan(&mut self, spec: &RunSpec, folder: &Path) -> Result<Plan, RunError> {
        let device = match &self.elsewhere {
            Some(device) => device.clone(),
            None => self.host.device(self.stop)?,
        };
        let objective = spec.objective.clone().or_else(|| self.only_objective(spec));
        let (work, candidates, baselines, metric, higher) = if let Some(objective) = objective {
            settings::check_objective(spec)?;
            let (work, candidate, metric, higher) = self.objective(spec, &objective, folder)?;
            let none = Baselines::default();
            (work, vec![candidate], none, metric, higher)
        } else {
            let (plugin, problem) = self.problem(spec, folder)?;
            let candidates = self.candidates(spec, folder, &problem, &device)?;
            let baselines = self.baselines(spec, folder, &problem, &device)?;
            let work = Work::Problem {
                plugin,
                spec: problem,
            };
            let metric = settings::metric(spec);
            let higher = settings::is_higher(&metric);
            (work, candidates, baselines, metric, higher)
        };
        let higher = spec.higher_is_better.unwrap_or(higher);
        let target = spec
            .target
            .as_deref()
            .map(|text| read_target(text, &baselines.names))
            .transpose()?;
        let profilers = self.profilers(spec, &device)?;
        if let (Work::Objective { .. }, Some(profiler)) = (&work, profilers.first()) {
            return Err(RunError::input(format!(
                "the profiler {profiler} looks at kernels, and an objective has none"
            ))
            .hint("leave `profilers` out"));
        }
        let engine = settings::engine(spec, &metric, higher);
        let siblings = self.siblings(spec, &device)?;
        // An objective replays or measures by itself: nothing is built.
        let kind = match &work {
            Work::Problem { .. } => device.kind.as_str(),
            Work::Objective { .. } => CPU,
        };
        let preset = engine.preset.name().to_owned();
        Ok(Plan {
            plugins: self.used_plugins(&baselines.planned),
            files: files(&work),
            work,
            candidates,
            baselines: baselines.planned,
            absent_baselines: baselines.absent,
            device_name: self.host.settings().device.clone(),
            metric,
            target,
            preset,
            seed: spec.seed.unwrap_or(17),
            engine: to_json(&engine)?,
            ahead: settings::ahead(spec, kind, 1 + siblings.len()),
            siblings,
            device,
            measure: to_json(&Measuring::asked(spec))?,
            limits: limits(spec),
            top_k: spec.top_k.unwrap_or(3),
            rules: self.rules(&profilers)?,
            profilers,
            profile_every: spec.profile_every.unwrap_or(PROFILE_EVERY),
            profile_elites: spec.profile_elites.unwrap_or(PROFILE_ELITES),
        })
    }

    /// The rules of builds and of the profilers, checked.
    fn rules(&self, profilers: &[String]) -> Result<BTreeMap<String, String>, RunError> {
        let mut rules = BTreeMap::from([(BUILD.to_owned(), BUILD_RULES.to_owned())]);
        for profiler in profilers {
            let (plugin, name) = profiler.split_once('/').unwrap_or(("", profiler));
            let mut infos = self.loaded.iter().filter(|it| it.info.name == plugin);
            let own = infos.find_map(|loaded| {
                let mut infos = loaded.info.profilers.iter();
                infos.find(|info| info.name == name)?.rules.clone()
            });
            if let Some(text) = own {
                read_rules(&text, profiler)?;
                rules.insert(profiler.clone(), text);
            }
        }
        Ok(rules)
    }

    /// The devices beside the first one: others than it, and of the same model, since times of
    /// different devices are never ranked together.
    fn siblings(&mut self, spec: &RunSpec, first: &DeviceFacts) -> Result<Vec<Sibling>, RunError> {
        let first_name = self.host.settings().device.clone();
        let mut found: Vec<Sibling> = Vec::new();
        for named in &spec.devices {
            let device_name = read_device(named)?;
            self.host.serve(&device_name);
            let device = self.host.device(self.stop)?;
            let mut taken = std::iter::once(first).chain(found.iter().map(|it| &it.device));
            if taken.any(|other| other.uuid == device.uuid) {
                return Err(RunError::input(format!(
                    "devices: `{named}` is named twice, or is the first device"
                ))
                .hint("`devices` holds the further ones, beside `device`"));
            }
            if device.kind != first.kind || device.name != first.name {
                return Err(RunError::input(format!(
                    "devices: `{named}` is {}, and the first device is {}: times of different \
                     devices are never ranked together",
                    device.name, first.name
                )));
            }
            found.push(Sibling {
                device,
                device_name,
            });
        }
        self.host.serve(&first_name);
        Ok(found)
    }

    /// A spec that names neither kernels nor a problem means the objective, where the plugins bring
    /// nothing else.
    fn only_objective(&self, spec: &RunSpec) -> Option<ObjectiveSpec> {
        let silent = spec.tune.is_empty() && spec.baselines.is_empty() && spec.problem.is_none();
        let kernels = self
            .loaded
            .iter()
            .any(|loaded| !loaded.info.kernels.is_empty());
        let objectives = self
            .loaded
            .iter()
            .any(|loaded| !loaded.info.objectives.is_empty());
        (silent && !kernels && objectives).then(ObjectiveSpec::default)
    }

    /// Finds the profilers: in the loaded plugins, or in a plugin of that name.
    fn profilers(&mut self, spec: &RunSpec, device: &DeviceFacts) -> Result<Vec<String>, RunError> {
        let asked = [
            ("profile_every", spec.profile_every.is_some_and(|it| it > 0)),
            ("profile_elites", spec.profile_elites.is_some()),
        ];
        for (key, given) in asked {
            if given && spec.profilers.is_empty() {
                return Err(RunError::input(format!(
                    "{key} says what to profile during the search, and no profilers are named"
                ))
                .hint(format!(
                    "name them, as in `profilers: [\"static\"]`, or leave `{key}` out"
                )));
            }
        }
        if spec.profile_elites == Some(0) {
            return Err(RunError::input("profile_elites must be at least 1")
                .hint("`profile_every: 0` has nothing profiled during the search"));
        }
        let mut found = Vec::new();
        for wanted in &spec.profilers {
            let (plugin, name) = match wanted.split_once('/') {
                Some((plugin, name)) if !plugin.is_empty() => (Some(plugin), name),
                _ => (None, wanted.as_str()),
            };
            let has = |loaded: &Loaded| {
                plugin.is_none_or(|plugin| loaded.info.name == plugin)
                    && loaded
                        .info
                        .profilers
                        .iter()
                        .any(|profiler| profiler.name == name)
            };
            let mut place = self.loaded.iter().position(has);
            if place.is_none() {
                // By custom a plugin that brings one profiler is called after it.
                let named = [
                    plugin.unwrap_or(name).to_owned(),
                    format!("profiler-{name}"),
                ];
                let here = Path::new("");
                let found = named
                    .iter()
                    .find(|file| self.search.find(file, here).is_ok());
                if let Some(file) = found {
                    self.load(file, here)?;
                    place = self.loaded.iter().position(has);
                }
            }
            let Some(loaded) = place.and_then(|place| self.loaded.get(place)) else {
                let loaded = self.loaded.iter().flat_map(|loaded| &loaded.info.profilers);
                let mut names: Vec<String> = loaded.map(|it| it.name.clone()).collect();
                // By the custom above; what is in the others is not known before they are loaded.
                let files = self.search.list().into_iter();
                names.extend(
                    files.filter_map(|file| Some(file.name.strip_prefix("profiler-")?.to_owned())),
                );
                names.sort();
                names.dedup();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                return Err(RunError::input(format!(
                    "there is no profiler `{wanted}`; {}",
                    suggestion(name, &names)
                ))
                .hint("`evo plugin list` shows every profiler"));
            };
            let info = loaded
                .info
                .profilers
                .iter()
                .find(|profiler| profiler.name == name);
            if info.is_some_and(|info| !info.devices.contains(&device.kind)) {
                return Err(RunError::input(format!(
                    "the profiler `{name}` does not work on devices of kind `{}`",
                    device.kind
                )));
            }
            found.push(format!("{}/{name}", loaded.info.name));
        }
        Ok(found)
    }
}

/// A plan names plugins by their names, so two of one name cannot be told apart.
fn different_names<'a>(
    known: impl IntoIterator<Item = &'a Loaded>,
    found: &Loaded,
) -> Result<(), RunError> {
    let same = |other: &&Loaded| {
        other.info.name == found.info.name && other.planned.hash != found.planned.hash
    };
    match known.into_iter().find(same) {
        Some(other) => Err(RunError::input(format!(
            "two plugins are called `{}`: {} and {}",
            found.info.name, other.planned.path, found.planned.path
        ))),
        None => Ok(()),
    }
}

/// The kernel to tune where a plugin without a default spec brings only one that can be.
fn tunable(info: &PluginInfo) -> Option<&KernelInfo> {
    let mut tunable = info.kernels.iter().filter(|kernel| kernel.space.is_some());
    let only = tunable.next()?;
    tunable.next().is_none().then_some(only)
}

/// Reads a device: `cpu`, `cuda` (the first one) or `cuda:1`.
pub(crate) fn read_device(text: &str) -> Result<String, RunError> {
    if text == CPU {
        return Ok(CPU.to_owned());
    }
    let number = match text.split_once(':') {
        None if text == "cuda" => Some(0),
        Some(("cuda", number)) => number.parse::<u16>().ok(),
        _ => None,
    };
    number
        .map(|number| format!("cuda:{number}"))
        .ok_or_else(|| {
            RunError::input(format!("there is no device `{text}`"))
                .hint("write `cpu`, `cuda`, or `cuda:1` for the second GPU")
        })
}

fn to_json(value: &impl serde::Serialize) -> Result<serde_json::Value, RunError> {
    serde_json::to_value(value)
        .map_err(|error| RunError::internal(format!("the plan cannot be written: {error}")))
}
