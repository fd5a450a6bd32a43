//! Configurations that a search begins with: those that the spec writes out, and the best of other
//! runs.

use std::path::Path;
use std::sync::Arc;

use evo_core::space::{Config, Role, Space};
use evo_journal::{Plan, PlannedCandidate};
use evo_types::{Params, format_params};

use crate::RunError;
use crate::driver::{History, engine_settings, read_run};
use crate::spec::RunSpec;

/// Puts them into a plan. Returns what cannot be tried here because of a constraint, and why, one line
/// each.
///
/// # Errors
/// Where a configuration of the spec has a parameter or a value that the space has not; where a run cannot be read, or tuned
/// nothing that is tuned here.
pub(super) fn add(
    plan: &mut Plan,
    spaces: &[Arc<Space>],
    spec: &RunSpec,
    folder: &Path,
) -> Result<Vec<String>, RunError> {
    let objective = spec.objective.iter().map(|objective| &objective.start);
    let written = spec.tune.iter().map(|tune| &tune.start).chain(objective);
    let mut left_out = Vec::new();
    for ((candidate, space), configs) in plan.candidates.iter_mut().zip(spaces).zip(written) {
        for (place, params) in configs.iter().enumerate() {
            let which = format!(
                "`start` of `{}`, configuration {}",
                candidate.label,
                place + 1
            );
            let config = space.from_params(params).map_err(|error| {
                RunError::input(format!("{which}: {error}"))
                    .hint("name the values that differ from the default, out of the space's values")
            })?;
            // One spec is for many problems, by `--set`, and not every constraint holds for all.
            match space.check(&config) {
                Ok(()) => put(candidate, space, &config),
                Err(violation) => {
                    left_out.push(format!("{which}, cannot be tried here: {violation}"));
                }
            }
        }
    }
    for run in &spec.start_from {
        let run = folder.join(run);
        let other = Other::read(&run)?;
        let mut known = false;
        for (candidate, space) in plan.candidates.iter_mut().zip(spaces) {
            let Some(params) = other.best_of(candidate)? else {
                continue;
            };
            known = true;
            // What the problem decides and what is pinned is decided here.
            let searched = |name: &String| {
                let mut params = space.params().iter();
                let param = params.find(|param| param.name == *name);
                param.is_none_or(|param| param.role != Role::Problem)
                    && !candidate.pinned.contains_key(name)
            };
            let own: Params = params
                .into_iter()
                .filter(|(name, _)| searched(name))
                .collect();
            match in_space(space, &own) {
                Ok(config) => put(candidate, space, &config),
                Err(reason) => left_out.push(format!(
                    "the best `{}` of {} cannot be tried here: {reason} ({})",
                    candidate.label,
                    run.display(),
                    format_params(&own)
                )),
            }
        }
        if !known {
            return Err(RunError::input(format!(
                "{}: the run measured none of the kernels that are tuned here, so there is nothing \
                 to start from",
                run.display()
            )));
        }
    }
    Ok(left_out)
}

/// A configuration by some of its values, the others being the defaults.
fn in_space(space: &Space, params: &Params) -> Result<Config, String> {
    let config = space
        .from_params(params)
        .map_err(|error| error.to_string())?;
    match space.check(&config) {
        Ok(()) => Ok(config),
        Err(violation) => Err(violation.to_string()),
    }
}

fn put(candidate: &mut PlannedCandidate, space: &Space, config: &Config) {
    let params = space.to_params(config);
    if !candidate.start.contains(&params) {
        candidate.start.push(params);
    }
}

/// A run to start from, which may be under way.
struct Other {
    plan: Plan,
    history: History,
}

impl Other {
    fn read(run: &Path) -> Result<Self, RunError> {
        let (plan, _, history) = read_run(run, "to start from")?;
        Ok(Self { plan, history })
    }

    /// The best configuration that was measured of the same kernel of the same plugin.
    fn best_of(&self, candidate: &PlannedCandidate) -> Result<Option<Params>, RunError> {
        let Self { plan, history } = self;
        let same = |other: &&PlannedCandidate| {
            (&other.plugin, &other.kernel) == (&candidate.plugin, &candidate.kernel)
        };
        let labels: Vec<&str> = plan
            .candidates
            .iter()
            .filter(same)
            .map(|other| other.label.as_str())
            .collect();
        let ranking = engine_settings(plan)?.ranking;
        let proposed = |trial: u64| {
            let mut proposed = history.proposed.iter();
            proposed.find(|proposed| proposed.trial == trial)
        };
        let ranked = history.ranked(&ranking, &plan.metric).into_iter();
        let mut own = ranked
            .filter_map(proposed)
            .filter(|proposed| labels.contains(&proposed.candidate.as_str()));
        Ok(own.next().map(|best| best.params.clone()))
    }
}
