//! Problems, candidates and objectives: found in the plugins and checked.

use std::path::Path;

use evo_core::space::Role;
use evo_journal::{PlannedCandidate, Work};
use evo_types::{DeviceFacts, Direction, KernelInfo, Params, ProblemSpec, Value};
use evo_wire::{Reply, Request};

use super::{Loaded, Resolver, fields, spaces, unexpected};
use crate::RunError;
use crate::error::suggestion;
use crate::spec::{ObjectiveSpec, RunSpec};
use crate::worker::Patience;

/// Chooses by name, or the only one.
pub(super) fn choose<'a, T>(
    what: &str,
    wanted: Option<&str>,
    plugin: Option<&str>,
    loaded: &'a [Loaded],
    items: impl Fn(&'a Loaded) -> Vec<(&'a str, &'a T)>,
) -> Result<(&'a Loaded, &'a T), RunError> {
    if let Some(plugin) = plugin
        && !loaded.iter().any(|loaded| loaded.info.name == plugin)
    {
        let names: Vec<&str> = loaded
            .iter()
            .map(|loaded| loaded.info.name.as_str())
            .collect();
        return Err(RunError::input(format!(
            "the spec loads no plugin `{plugin}`; {}",
            suggestion(plugin, &names)
        )));
    }
    let all: Vec<(&Loaded, &str, &T)> = loaded
        .iter()
        .filter(|loaded| plugin.is_none_or(|plugin| loaded.info.name == plugin))
        .flat_map(|loaded| {
            items(loaded)
                .into_iter()
                .map(move |(name, item)| (loaded, name, item))
        })
        .collect();
    let names: Vec<&str> = all.iter().map(|(_, name, _)| *name).collect();
    let matching: Vec<&(&Loaded, &str, &T)> = all
        .iter()
        .filter(|(_, name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .collect();
    match (matching.as_slice(), wanted) {
        ([(loaded, _, item)], _) => Ok((loaded, item)),
        ([], Some(wanted)) => Err(RunError::input(format!(
            "there is no {what} `{wanted}` in the plugins of the spec; {}",
            suggestion(wanted, &names)
        ))),
        ([], None) => Err(RunError::input(format!(
            "the plugins of the spec bring no {what}"
        ))),
        (_, Some(wanted)) => Err(RunError::input(format!(
            "several plugins bring a {what} `{wanted}`"
        ))
        .hint("say which one with `plugin: \"NAME\"`")),
        (_, None) => Err(
            RunError::input(format!("which {what}? There is: {}", names.join(", ")))
                .hint(format!("name one {what} in the spec")),
        ),
    }
}

pub(super) fn kernels(loaded: &Loaded) -> Vec<(&str, &KernelInfo)> {
    loaded
        .info
        .kernels
        .iter()
        .map(|kernel| (kernel.name.as_str(), kernel))
        .collect()
}

impl Resolver<'_> {
    /// The objective with its settings, as a plan's work and its one candidate.
    pub(super) fn objective(
        &mut self,
        spec: &RunSpec,
        wanted: &ObjectiveSpec,
        folder: &Path,
    ) -> Result<(Work, PlannedCandidate, String, bool), RunError> {
        if !spec.tune.is_empty() || !spec.baselines.is_empty() || spec.problem.is_some() {
            return Err(
                RunError::input("the spec has an objective and kernels or a problem too")
                    .hint("an objective stands alone: leave out `problem`, `tune` and `baselines`"),
            );
        }
        let (loaded, info) = choose(
            "objective",
            wanted.name.as_deref(),
            None,
            &self.loaded,
            |loaded| {
                loaded
                    .info
                    .objectives
                    .iter()
                    .map(|item| (item.name.as_str(), item))
                    .collect()
            },
        )?;
        let what = format!("the objective `{}`", info.name);
        let settings = fields::complete(&what, &info.settings, &wanted.settings, folder)?;
        // Where the settings decide which way is better, they do so under this name.
        let higher = match settings.get("direction").and_then(Value::as_name) {
            Some("higher") => true,
            Some("lower") => false,
            _ => info.direction == Direction::Higher,
        };
        let (plugin, name, metric, own_space) = (
            loaded.info.name.clone(),
            info.name.clone(),
            spec.metric.clone().unwrap_or_else(|| info.metric.clone()),
            info.space.clone(),
        );
        let request = Request::OpenObjective {
            objective: loaded.component(&name),
            settings: settings.clone(),
        };
        let reply = self
            .host
            .call(request, 0.0, self.stop, Patience::Short, &mut |_, _| {})?;
        let Reply::Objective { space } = reply else {
            return Err(unexpected("OpenObjective", &reply));
        };
        let (space, space_origin) = match &wanted.space {
            Some(file) => read_space(folder, file)?,
            None => (
                space.or(own_space).ok_or_else(|| {
                    RunError::input(format!("{what} brings no search space"))
                        .hint("name a space file with `objective: (space: \"FILE\")`")
                })?,
                format!("<space of {name}>"),
            ),
        };
        let candidate = PlannedCandidate {
            label: name.clone(),
            plugin: plugin.clone(),
            kernel: name.clone(),
            pinned: Params::new(),
            space: Some(space),
            space_origin,
            start: Vec::new(),
            baseline: None,
        };
        Ok((
            Work::Objective {
                plugin,
                name,
                settings,
            },
            candidate,
            metric,
            higher,
        ))
    }

    /// The problem with all fields fixed, and its plugin.
    pub(super) fn problem(
        &mut self,
        spec: &RunSpec,
        folder: &Path,
    ) -> Result<(String, ProblemSpec), RunError> {
        let wanted = spec.problem.clone().unwrap_or_default();
        let name = wanted.name.clone().or_else(|| self.implied_problem(spec));
        let (loaded, info) = choose(
            "problem",
            name.as_deref(),
            None,
            self.problem_sources(name.as_deref()),
            |loaded| {
                loaded
                    .info
                    .problems
                    .iter()
                    .map(|item| (item.name.as_str(), item))
                    .collect()
            },
        )?;
        let what = format!("the problem `{}`", info.name);
        let fields = fields::complete(&what, &info.fields, &wanted.fields, folder)?;
        let plugin = loaded.info.name.clone();
        let request = Request::ResolveProblem {
            problem: loaded.component(&info.name),
            fields,
        };
        let reply = self
            .host
            .call(request, 0.0, self.stop, Patience::Short, &mut |_, _| {})?;
        let Reply::Problem { spec: problem } = reply else {
            return Err(unexpected("ResolveProblem", &reply));
        };
        check_problem(&problem)?;
        Ok((plugin, *problem))
    }

    /// Where to look for a problem: in the plugins of the spec, which go before the built-in ones
    /// (the last plugin), so that a plugin may have its own problem of the same name.
    fn problem_sources(&self, name: Option<&str>) -> &[Loaded] {
        let Some((_, own)) = self.loaded.split_last() else {
            return &self.loaded;
        };
        let mut problems = own.iter().flat_map(|loaded| &loaded.info.problems);
        let found = match name {
            Some(name) => problems.any(|problem| problem.name == name),
            None => problems.next().is_some(),
        };
        if found { own } else { &self.loaded }
    }

    /// The only problem that all kernels to be tuned can solve, where the spec is silent and its
    /// plugins define none.
    fn implied_problem(&self, spec: &RunSpec) -> Option<String> {
        let (_, own) = self.loaded.split_last()?;
        if own.iter().any(|loaded| !loaded.info.problems.is_empty()) {
            return None;
        }
        let kernels: Vec<&KernelInfo> = own
            .iter()
            .flat_map(|loaded| &loaded.info.kernels)
            .filter(|kernel| spec.tune.iter().any(|tune| tune.kernel == kernel.name))
            .collect();
        let (first, others) = kernels.split_first()?;
        let mut common = first
            .problems
            .iter()
            .filter(|problem| others.iter().all(|other| other.problems.contains(problem)));
        match (common.next(), common.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    }

    pub(super) fn candidates(
        &self,
        spec: &RunSpec,
        folder: &Path,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<Vec<PlannedCandidate>, RunError> {
        if spec.tune.is_empty() {
            return Err(RunError::input("the spec names nothing to tune")
                .hint("add `tune: [(kernel: \"NAME\")]`"));
        }
        let mut planned: Vec<PlannedCandidate> = Vec::new();
        for tune in &spec.tune {
            let (loaded, info) = choose(
                "kernel",
                Some(&tune.kernel),
                tune.plugin.as_deref(),
                &self.loaded,
                kernels,
            )?;
            check_kernel(info, problem, device)?;
            let (space, space_origin) = match (&tune.space, &info.space) {
                (Some(file), _) => read_space(folder, file)?,
                (None, Some(space)) => (space.clone(), format!("<space of {}>", info.name)),
                (None, None) => {
                    return Err(RunError::input(format!(
                        "the kernel `{}` brings no search space",
                        info.name
                    ))
                    .hint("name a space file with `tune: [(kernel: \"...\", space: \"FILE\")]`"));
                }
            };
            check_params(info, "pinned", tune.pinned.keys().map(String::as_str))?;
            let candidate = PlannedCandidate {
                label: tune.label.clone().unwrap_or_else(|| tune.kernel.clone()),
                plugin: loaded.info.name.clone(),
                kernel: info.name.clone(),
                pinned: tune.pinned.clone(),
                space: Some(space),
                space_origin,
                start: Vec::new(),
                baseline: None,
            };
            let parsed = spaces::space(&candidate, Some(problem), device)?;
            check_params(
                info,
                "the space",
                // What the problem decides is no parameter of the kernel.
                parsed
                    .params()
                    .iter()
                    .filter(|param| param.role != Role::Problem)
                    .map(|param| param.name.as_str()),
            )?;
            if planned.iter().any(|other| other.label == candidate.label) {
                return Err(RunError::input(format!(
                    "two candidates are called `{}`",
                    candidate.label
                ))
                .hint("give them different labels with `label: \"...\"`"));
            }
            planned.push(candidate);
        }
        Ok(planned)
    }
}

fn read_space(folder: &Path, file: &Path) -> Result<(String, String), RunError> {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        RunError::input(format!(
            "{}: cannot read the search space: {error}",
            path.display()
        ))
    })?;
    Ok((text, path.display().to_string()))
}

/// What the framework needs of a problem before it trusts it.
pub(crate) fn check_problem(problem: &ProblemSpec) -> Result<(), RunError> {
    let wrong = |what: String| {
        Err(RunError::input(format!(
            "the problem `{}` is not usable: {what}",
            problem.problem
        ))
        .hint("this is a fault of the plugin that defines it"))
    };
    if problem.outputs().next().is_none() {
        return wrong("it has no output".to_owned());
    }
    for output in problem.outputs() {
        match problem.gate(&output.name) {
            None => return wrong(format!("its output `{}` has no gate", output.name)),
            Some(gate) if !(gate.relative_error.is_finite() && gate.relative_error > 0.0) => {
                return wrong(format!(
                    "the gate of `{}` is {}, which is no positive number",
                    output.name, gate.relative_error
                ));
            }
            Some(_) => {}
        }
    }
    if let Some(tensor) = problem
        .tensors
        .iter()
        .find(|tensor| tensor.bytes().is_none())
    {
        return wrong(format!("the size of `{}` overflows", tensor.name));
    }
    if problem.distributions.len() < 2 {
        return wrong("it names no adversarial input distribution beside the ordinary one".into());
    }
    if problem.extra_shapes.is_empty() {
        return wrong("it names no extra shapes to verify candidates on".to_owned());
    }
    if !(problem.flops.is_finite() && problem.bytes.is_finite()) {
        return wrong("its flop or byte count is no finite number".to_owned());
    }
    Ok(())
}

pub(super) fn check_kernel(
    info: &KernelInfo,
    problem: &ProblemSpec,
    device: &DeviceFacts,
) -> Result<(), RunError> {
    if !info.problems.contains(&problem.problem) {
        return Err(RunError::input(format!(
            "the kernel `{}` does not solve the problem `{}`, but: {}",
            info.name,
            problem.problem,
            info.problems.join(", ")
        )));
    }
    if !info.devices.contains(&device.kind) {
        return Err(RunError::input(format!(
            "the kernel `{}` runs on devices of kind {}, and this is `{}` ({})",
            info.name,
            info.devices.join(", "),
            device.kind,
            device.name
        )));
    }
    Ok(())
}

pub(super) fn check_params<'a>(
    info: &KernelInfo,
    place: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), RunError> {
    let known: Vec<&str> = info
        .params
        .iter()
        .map(|param| param.name.as_str())
        .collect();
    for name in names {
        if !known.contains(&name) {
            return Err(RunError::input(format!(
                "{place}: the kernel `{}` has no parameter `{name}`; {}",
                info.name,
                suggestion(name, &known)
            )));
        }
    }
    Ok(())
}
