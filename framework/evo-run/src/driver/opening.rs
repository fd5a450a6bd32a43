//! What a session needs before it begins or goes on: the campaign, and the checks of a resumed run.

use std::path::Path;
use std::sync::Arc;

use evo_core::engine::{Budget, Campaign, EngineSettings};
use evo_core::space::Space;
use evo_journal::{Plan, PlannedPlugin, Work};
use evo_types::{Value, format_params};
use evo_wire::{BUILT_IN_ORIGIN, built_in};

use super::history::History;
use crate::worker::{Host, HostSettings};
use crate::{RunError, Stop, Store, plan};

/// The campaign of a plan, before anything was asked or told.
///
/// # Errors
/// Where the plan's engine settings cannot be read.
pub(super) fn campaign(plan: &Plan, spaces: Vec<Arc<Space>>) -> Result<Campaign, RunError> {
    let settings = engine_settings(plan)?;
    let candidates = plan
        .candidates
        .iter()
        .map(|candidate| candidate.label.clone())
        .zip(spaces.iter().map(Arc::clone))
        .collect();
    let mut campaign = Campaign::new(candidates, settings, plan.seed);
    for (place, (candidate, space)) in plan.candidates.iter().zip(&spaces).enumerate() {
        campaign.add_notes(place, notes(plan));
        let start = candidate
            .start
            .iter()
            .map(|params| space.from_params(params));
        let start = start.collect::<Result<Vec<_>, _>>().map_err(|error| {
            RunError::environment(format!(
                "a configuration that the plan starts `{}` with is not one of its space: {error}",
                candidate.label
            ))
        })?;
        campaign.start_with(place, start);
    }
    Ok(campaign)
}

/// The engine's settings of a plan.
///
/// # Errors
/// Where they cannot be read.
pub(crate) fn engine_settings(plan: &Plan) -> Result<EngineSettings, RunError> {
    serde_json::from_value(plan.engine.clone()).map_err(|error| {
        RunError::environment(format!(
            "the plan's engine settings cannot be read: {error}"
        ))
    })
}

/// What proposals are told of the problem and the device.
fn notes(plan: &Plan) -> Vec<String> {
    let work = match &plan.work {
        Work::Problem { spec, .. } => {
            format!("problem {}: {}", spec.problem, format_params(&spec.fields))
        }
        Work::Objective { name, settings, .. } => {
            format!("objective {name}: {}", format_params(settings))
        }
    };
    let device = &plan.device;
    vec![
        work,
        format!("device {}: {}", device.name, format_params(&device.facts)),
    ]
}

/// The budget of an extension, checked against what was spent.
pub(super) fn extended(
    extend: Option<Budget>,
    history: &History,
    folder: &Path,
) -> Result<Option<serde_json::Value>, RunError> {
    let Some(budget) = extend else {
        if history.finished {
            return Err(
                RunError::input(format!("{}: this run has finished", folder.display())).hint(
                    format!(
                        "extend it with `evo run --from {} --budget N`",
                        folder.display()
                    ),
                ),
            );
        }
        return Ok(None);
    };
    let outcomes = history.evaluated.values();
    let spent = outcomes
        .clone()
        .filter(|e| e.outcome.counts_as_trial())
        .count() as u64;
    let seconds: f64 = outcomes.map(|evaluated| evaluated.wall_s).sum();
    let refused = |what: String| {
        Err(RunError::input(format!("{}: {what}", folder.display()))
            .hint("--budget and --wall are the new totals, not what is added"))
    };
    if budget.trials.is_some_and(|trials| trials <= spent) {
        return refused(format!("the run has used {spent} trials already"));
    }
    if budget.wall_s.is_some_and(|limit| limit <= seconds) {
        return refused(format!("the search has taken {seconds:.1} s already"));
    }
    serde_json::to_value(&budget)
        .map(Some)
        .map_err(|error| RunError::internal(format!("the budget cannot be written: {error}")))
}

/// Refuses to go on with a run of another device.
pub(super) fn check_device(plan: &Plan, host: &mut Host, stop: &Stop) -> Result<(), RunError> {
    let device = host.device(stop)?;
    let measured = matches!(plan.work, Work::Problem { .. });
    if measured && device.uuid != plan.device.uuid {
        return Err(RunError::input(format!(
            "the run was made on {} ({}), and this is {} ({}): times of different devices are \
             never ranked together",
            plan.device.name, plan.device.uuid, device.name, device.uuid
        ))
        .hint("start a new run here"));
    }
    for sibling in &plan.siblings {
        let mut other = Host::new(HostSettings {
            device: sibling.device_name.clone(),
            ..host.settings().clone()
        });
        let device = other.device(stop)?;
        if device.uuid != sibling.device.uuid {
            return Err(RunError::input(format!(
                "{} was {} when the run was made, and is {} now",
                sibling.device_name, sibling.device.uuid, device.uuid
            ))
            .hint("start a new run here"));
        }
    }
    Ok(())
}

/// Makes sure that the files which settings of an objective name are what they were: another
/// recording under the same name would be mixed with the first.
pub(super) fn check_files(plan: &Plan) -> Result<(), RunError> {
    let now = plan::files(&plan.work);
    let Work::Objective { settings, .. } = &plan.work else {
        return Ok(());
    };
    for (name, then) in &plan.files {
        let found = now.get(name);
        if found == Some(then) {
            continue;
        }
        let path = settings.get(name).and_then(Value::as_name).unwrap_or(name);
        let found = found.map_or_else(
            || "it is gone".to_owned(),
            |now| format!("{} now", now.short()),
        );
        return Err(RunError::input(format!(
            "{path}: the file of the setting `{name}` has changed since the run was made (content \
             {} then, {found})",
            then.short()
        ))
        .hint("put it back, or start a new run"));
    }
    Ok(())
}

/// Makes sure that the plugins are what they were when the run was made.
pub(crate) fn check_plugins<'a>(
    plugins: impl IntoIterator<Item = &'a PlannedPlugin>,
    store: &Store,
) -> Result<(), RunError> {
    for plugin in plugins {
        if plugin.hash == built_in() || store.has(&plugin.hash) {
            continue;
        }
        if plugin.path == BUILT_IN_ORIGIN {
            return Err(RunError::input(
                "the run was made by an evo with other built-in problems".to_owned(),
            )
            .hint("go on with the version that the journal's header names, or start a new run"));
        }
        let found = store.add(Path::new(&plugin.path))?;
        if found != plugin.hash {
            return Err(RunError::input(format!(
                "{}: the plugin has changed since the run was made (content {} then, {} now)",
                plugin.path,
                plugin.hash.short(),
                found.short()
            ))
            .hint("build it from the same source again, or start a new run"));
        }
    }
    Ok(())
}
