//! The spaces of a plan's candidates, and configurations of them that were named by hand.

use std::sync::Arc;

use evo_core::space::{Env, Space};
use evo_journal::{Plan, PlannedCandidate, Work};
use evo_types::{DeviceFacts, Params, ProblemSpec};

use crate::RunError;
use crate::error::suggestion;

/// The constants that a space's constraints may name in a run.
pub fn space_environment(problem: Option<&ProblemSpec>, device: &DeviceFacts) -> Env {
    let mut constants = Params::new();
    if let Some(problem) = problem {
        constants.extend(problem.fields.clone());
        constants.extend(problem.constants.clone());
    }
    Env {
        problem: constants,
        device: device.facts.clone(),
        pinned: Params::new(),
    }
}

/// Parses a candidate's space with its pinned parameters fixed.
pub(super) fn space(
    candidate: &PlannedCandidate,
    problem: Option<&ProblemSpec>,
    device: &DeviceFacts,
) -> Result<Arc<Space>, RunError> {
    let text = candidate.space.as_deref().unwrap_or_default();
    let mut environment = space_environment(problem, device);
    environment.pinned = candidate.pinned.clone();
    Space::parse(text, &candidate.space_origin, &environment)
        .map(Arc::new)
        .map_err(|errors| RunError::input(errors.to_string()))
}

/// The configuration with these values: what is left out has the default, and what is named of parameters
/// that it does not use is dropped.
///
/// # Errors
/// In words: a parameter or a value that the space does not have, or a constraint that is broken.
pub fn completed(space: &Space, params: &Params) -> Result<Params, String> {
    let known = |name: &&String| space.params().iter().any(|param| param.name == **name);
    if let Some(name) = params.keys().find(|name| !known(name)) {
        let names: Vec<&str> = space.params().iter().map(|it| it.name.as_str()).collect();
        return Err(format!(
            "there is no parameter `{name}`; {}",
            suggestion(name, &names)
        ));
    }
    let choices = space.params().iter().map(|param| {
        let Some(value) = params.get(&param.name) else {
            return Ok(param.default);
        };
        param.index_of(value).ok_or_else(|| {
            let values: Vec<String> = param.values.iter().map(ToString::to_string).collect();
            format!(
                "`{}` cannot be {value}: its values are {}",
                param.name,
                values.join(", ")
            )
        })
    });
    let choices: Vec<u32> = choices.collect::<Result<_, _>>()?;
    let config = space.canonical(&choices);
    space.check(&config).map_err(|broken| broken.to_string())?;
    Ok(space.to_params(&config))
}

/// Parses the spaces of a plan: of a new one, or of one from a journal.
pub fn spaces(plan: &Plan) -> Result<Vec<Arc<Space>>, RunError> {
    let problem = match &plan.work {
        Work::Problem { spec, .. } => Some(spec),
        Work::Objective { .. } => None,
    };
    spaces_for(plan, problem)
}

/// As [`spaces`], for another problem than that of the plan.
pub(crate) fn spaces_for(
    plan: &Plan,
    problem: Option<&ProblemSpec>,
) -> Result<Vec<Arc<Space>>, RunError> {
    plan.candidates
        .iter()
        .map(|candidate| space(candidate, problem, &plan.device))
        .collect()
}
