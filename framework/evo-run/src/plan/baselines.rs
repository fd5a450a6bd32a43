//! Baselines: which of the spec's can be had, and what they are called.

use std::path::Path;

use evo_journal::{AbsentBaseline, BaselineRole, PlannedCandidate, PlannedPlugin};
use evo_types::{BuildRequest, DeviceFacts, KernelInfo, Params, ProblemSpec};
use evo_wire::{ComponentRef, Reply, Request};

use super::baseline_names::{Named, named};
use super::candidates::{check_kernel, check_params, choose, kernels};
use super::{Loaded, Resolver, different_names, unexpected};
use crate::driver::{Sorted, sort};
use crate::error::suggestion;
use crate::plugins::short_name;
use crate::spec::{BaselineSpec, RunSpec};
use crate::worker::Patience;
use crate::{RunError, lock};

/// The baselines of a run.
#[derive(Default)]
pub(super) struct Baselines {
    /// Those that could be had.
    pub(super) planned: Vec<PlannedCandidate>,
    /// The optional ones that could not.
    pub(super) absent: Vec<AbsentBaseline>,
    /// What a target may be over: labels and groups, also of those that are absent.
    pub(super) names: Vec<String>,
}

impl Resolver<'_> {
    /// The baselines of the spec: of those with one label the first that can be had. What keeps an
    /// optional one from being had is its reason to be absent; what is wrong in the spec itself
    /// stays an error.
    pub(super) fn baselines(
        &mut self,
        spec: &RunSpec,
        folder: &Path,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<Baselines, RunError> {
        let mut found = Baselines::default();
        for named in named(spec)? {
            let baseline = named.spec;
            for name in [&named.label].into_iter().chain(&baseline.group) {
                if !found.names.contains(name) {
                    found.names.push(name.clone());
                }
            }
            if found.planned.iter().any(|it| it.label == named.label) {
                continue;
            }
            self.check_unambiguous(baseline)?;
            match self.baseline(&named, folder, problem, device) {
                Ok(planned) => found.planned.push(planned?),
                Err(error) if baseline.optional && !self.stop.requested() => {
                    found.absent.push(named.absent(error.message));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// A baseline as the plan has it. The outer error keeps it from being had, the inner one is the
    /// spec's.
    fn baseline(
        &mut self,
        named: &Named<'_>,
        folder: &Path,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<Result<PlannedCandidate, RunError>, RunError> {
        let (plugin, kernel) = self.baseline_kernel(named.spec, folder)?;
        check_kernel(&kernel, problem, device)?;
        let planned = match named.planned(&plugin, &kernel) {
            Ok(planned) => planned,
            Err(error) => return Ok(Err(error)),
        };
        if named.has_stand_in {
            self.check_builds(&plugin, &planned, problem, device)?;
        }
        Ok(Ok(planned))
    }

    /// The plugin and the kernel of a baseline.
    fn baseline_kernel(
        &mut self,
        baseline: &BaselineSpec,
        folder: &Path,
    ) -> Result<(PlannedPlugin, KernelInfo), RunError> {
        let wanted = baseline.kernel.as_str();
        let Some(plugin) = &baseline.plugin else {
            let (loaded, kernel) = choose("kernel", Some(wanted), None, &self.loaded, kernels)?;
            return Ok((loaded.planned.clone(), kernel.clone()));
        };
        let loaded = self.baseline_plugin(plugin, folder)?;
        let brought = &loaded.info.kernels;
        match brought.iter().find(|kernel| kernel.name == wanted) {
            Some(kernel) => Ok((loaded.planned.clone(), kernel.clone())),
            None => {
                let names: Vec<&str> = brought.iter().map(|it| it.name.as_str()).collect();
                Err(RunError::input(format!(
                    "the plugin `{}` has no kernel `{wanted}`; {}",
                    loaded.info.name,
                    suggestion(wanted, &names)
                )))
            }
        }
    }

    /// Builds a baseline that another one could stand in for: only the kernel itself knows whether
    /// it takes the problem.
    fn check_builds(
        &mut self,
        plugin: &PlannedPlugin,
        baseline: &PlannedCandidate,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<(), RunError> {
        // A build would disturb what another run measures on this device.
        let held = lock::device(&device.uuid, self.stop, |_| {})?;
        if held.is_none() {
            return Err(RunError::environment("interrupted"));
        }
        let request = Request::Build {
            kernel: ComponentRef {
                plugin: plugin.hash.clone(),
                name: baseline.kernel.clone(),
            },
            request: BuildRequest {
                problem: problem.clone(),
                config: baseline.pinned.clone(),
                device: device.clone(),
            },
        };
        let called = self
            .host
            .call(request, 0.0, self.stop, Patience::Short, &mut |_, _| {});
        let outcome = match called {
            Ok(Reply::Built { .. }) => return Ok(()),
            Ok(Reply::Outcome { outcome, .. }) => *outcome,
            Ok(other) => return Err(unexpected("Build", &other)),
            Err(failure) => match sort(failure) {
                Sorted::Outcome(outcome) => outcome,
                Sorted::Interrupted => return Err(RunError::environment("interrupted")),
                Sorted::Error(error) => return Err(error),
            },
        };
        Err(RunError::input(outcome.summary()))
    }

    /// The plugin that a baseline names: one that the spec loads anyway, or else one that is loaded
    /// for baselines alone, once.
    fn baseline_plugin(&mut self, name: &str, folder: &Path) -> Result<&Loaded, RunError> {
        let missing = || RunError::internal(format!("the plugin `{name}` was not kept"));
        if let Some(place) = self.loaded.iter().position(|it| it.info.name == name) {
            return self.loaded.get(place).ok_or_else(missing);
        }
        if !self.for_baselines.contains_key(name) {
            let opened = self.open(name, folder).and_then(|found| {
                let others = self.for_baselines.values().flatten();
                different_names(self.loaded.iter().chain(others), &found)?;
                Ok(found)
            });
            self.for_baselines.insert(name.to_owned(), opened);
        }
        match self.for_baselines.get(name) {
            Some(Ok(loaded)) => Ok(loaded),
            Some(Err(error)) => Err(error.clone()),
            None => Err(missing()),
        }
    }

    /// A baseline that several plugins bring is the spec's mistake, also where it is optional.
    fn check_unambiguous(&self, baseline: &BaselineSpec) -> Result<(), RunError> {
        let bring = |loaded: &&Loaded| {
            let mut kernels = loaded.info.kernels.iter();
            kernels.any(|kernel| kernel.name == baseline.kernel)
        };
        if baseline.plugin.is_none() && self.loaded.iter().filter(bring).count() > 1 {
            let wanted = Some(baseline.kernel.as_str());
            choose("kernel", wanted, None, &self.loaded, kernels)?;
        }
        Ok(())
    }

    /// The plugins of the spec, and those that baselines of the plan alone need.
    pub(super) fn used_plugins(&self, baselines: &[PlannedCandidate]) -> Vec<PlannedPlugin> {
        let all = self.loaded.iter().map(|loaded| loaded.planned.clone());
        let mut used: Vec<PlannedPlugin> = all.collect();
        for loaded in self.for_baselines.values().flatten() {
            let plugin = &loaded.planned;
            let needed = baselines.iter().any(|it| it.plugin == plugin.name);
            if needed && !used.iter().any(|it| it.hash == plugin.hash) {
                used.push(plugin.clone());
            }
        }
        used
    }
}

impl Named<'_> {
    fn planned(
        &self,
        plugin: &PlannedPlugin,
        kernel: &KernelInfo,
    ) -> Result<PlannedCandidate, RunError> {
        let baseline = self.spec;
        let given = baseline.params.keys().map(String::as_str);
        check_params(kernel, "params", given)?;
        let mut pinned: Params = kernel
            .params
            .iter()
            .map(|param| (param.name.clone(), param.default.clone()))
            .collect();
        pinned.extend(baseline.params.clone());
        Ok(PlannedCandidate {
            start: Vec::new(),
            label: self.label.clone(),
            plugin: plugin.name.clone(),
            kernel: kernel.name.clone(),
            pinned,
            space: None,
            space_origin: String::new(),
            baseline: Some(BaselineRole {
                letter: self.letter.clone(),
                group: baseline.group.clone(),
                optional: baseline.optional,
                choice: self.choice,
                ranked_shape_only: baseline.ranked_shape_only,
            }),
        })
    }

    fn absent(&self, reason: String) -> AbsentBaseline {
        let baseline = self.spec;
        AbsentBaseline {
            label: self.label.clone(),
            letter: self.letter.clone(),
            group: baseline.group.clone(),
            kernel: baseline.kernel.clone(),
            plugin: baseline.plugin.as_deref().map(short_name),
            reason,
        }
    }
}
