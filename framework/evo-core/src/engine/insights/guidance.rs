//! Guidance: insights as weights on parameters and values, the form in which operators use them.

use super::{Action, Insight, Scope};
use crate::space::Space;

/// A preferred value is drawn up to this many times as often.
const PREFERENCE: f64 = 4.0;
/// The least weight of anything: a hint never forbids.
const LEAST: f64 = 0.05;

/// Weights by which operators choose parameters and values; 1 is neutral.
#[derive(Debug, Clone)]
pub(crate) struct Guidance {
    /// How willingly each parameter is changed.
    params: Vec<f64>,
    /// How willingly each value of each parameter is chosen.
    values: Vec<Vec<f64>>,
}

impl Guidance {
    /// Weights from the insights that hold in the whole space.
    pub(crate) fn new(space: &Space, insights: &[Insight]) -> Self {
        let mut guidance = Self {
            params: vec![1.0; space.params().len()],
            values: space
                .params()
                .iter()
                .map(|param| vec![1.0; param.values.len()])
                .collect(),
        };
        for insight in insights
            .iter()
            .filter(|insight| insight.scope == Scope::Space)
        {
            guidance.apply(space, insight);
        }
        guidance
    }

    fn apply(&mut self, space: &Space, insight: &Insight) {
        let name = &insight.lever.param;
        let Some(index) = space.params().iter().position(|param| param.name == *name) else {
            return;
        };
        let param = &space.params()[index];
        let influence = insight.influence();
        let discourage = |weight: &mut f64| *weight = (*weight * (1.0 - influence)).max(LEAST);
        let last = param.values.len().saturating_sub(1).max(1) as f64;
        let values = &mut self.values[index];
        match &insight.lever.action {
            Action::Prefer(value) => {
                if let Some(weight) = at(values, param.index_of(value)) {
                    *weight *= 1.0 + (PREFERENCE - 1.0) * influence;
                }
            }
            Action::Avoid(value) => {
                if let Some(weight) = at(values, param.index_of(value)) {
                    discourage(weight);
                }
            }
            // The far end gets the full preference, the near end none.
            Action::Raise | Action::Lower => {
                let raise = insight.lever.action == Action::Raise;
                for (value, weight) in values.iter_mut().enumerate() {
                    let way = value as f64 / last;
                    let way = if raise == ascending(param) {
                        way
                    } else {
                        1.0 - way
                    };
                    *weight *= 1.0 + (PREFERENCE - 1.0) * influence * way;
                }
            }
            Action::NoEffect => discourage(&mut self.params[index]),
        }
    }

    /// How willingly a parameter is changed.
    pub(crate) fn param(&self, param: usize) -> f64 {
        self.params.get(param).copied().unwrap_or(1.0)
    }

    /// How willingly a value is chosen.
    pub(crate) fn value(&self, param: usize, value: u32) -> f64 {
        let weights = self.values.get(param);
        weights
            .and_then(|weights| weights.get(value as usize))
            .copied()
            .unwrap_or(1.0)
    }

    /// The weights of all values of a parameter.
    pub(crate) fn values(&self, param: usize) -> &[f64] {
        self.values.get(param).map_or(&[], Vec::as_slice)
    }
}

fn at(weights: &mut [f64], index: Option<u32>) -> Option<&mut f64> {
    index.and_then(|index| weights.get_mut(index as usize))
}

/// Whether larger indices mean larger values.
pub(crate) fn ascending(param: &crate::space::Param) -> bool {
    match (param.values.first(), param.values.last()) {
        (Some(first), Some(last)) => first.as_float() <= last.as_float(),
        _ => true,
    }
}
