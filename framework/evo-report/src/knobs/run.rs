//! The builds of a run.

use serde::Serialize;

use super::{Knobs, Observation, varied};
use crate::model::RunModel;

/// What the builds of a run say of the parameters of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateKnobs {
    /// The candidate's label.
    pub candidate: String,
    /// What its builds say.
    #[serde(flatten)]
    pub knobs: Knobs,
}

impl RunModel {
    /// What the builds of the run say of the parameters of each candidate. Empty for an objective
    /// and for a journal that does not say what was built.
    pub fn knobs(&self) -> Vec<CandidateKnobs> {
        self.plan
            .candidates
            .iter()
            .filter_map(|candidate| {
                let seen = self.observations(&candidate.label);
                (!seen.is_empty()).then(|| CandidateKnobs {
                    candidate: candidate.label.clone(),
                    knobs: Knobs::of(&seen, &varied(&seen)),
                })
            })
            .collect()
    }

    fn observations(&self, candidate: &str) -> Vec<Observation<'_>> {
        self.trials
            .iter()
            .filter(|trial| trial.proposed.candidate == candidate)
            .filter_map(|trial| {
                let build = trial.evaluated.as_ref()?.build.as_ref()?;
                let figure = trial.measurement().and_then(|found| self.metric.of(found));
                Some(Observation {
                    params: &trial.proposed.params,
                    build,
                    measured: figure.map(|figure| figure.value),
                })
            })
            .collect()
    }
}
