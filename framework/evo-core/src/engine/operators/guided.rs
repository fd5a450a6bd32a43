//! Insight-guided change: a parent with one to three levers pulled, by their influence.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Context, Draft, Operator, draw_parent};
use crate::engine::insights::{Action, Insight, Scope, ascending};
use crate::engine::proposal::InsightRef;
use crate::engine::selection::weighted_index;
use crate::space::Config;

pub(crate) struct Guided;

impl Operator for Guided {
    fn name(&self) -> &'static str {
        "insight"
    }

    fn prior(&self) -> f64 {
        0.4
    }

    fn draft(&self, context: &Context<'_>, rng: &mut ChaCha8Rng) -> Option<Draft> {
        let parent = draw_parent(context, rng)?;
        let holds = |insight: &&Insight| match &insight.scope {
            Scope::Space => true,
            Scope::Solution(trial) => *trial == parent.trial,
            // Told to people and proposers of text: following them brought nothing (STUDY.md).
            Scope::Where { .. } => false,
        };
        let mut left: Vec<&Insight> = context.information.insights.iter().filter(holds).collect();
        let mut child = parent.config.clone();
        let mut followed: Vec<(usize, &Insight)> = Vec::new();
        let wanted = 1 + usize::from(rng.random_bool(0.5)) + usize::from(rng.random_bool(0.25));
        while followed.len() < wanted {
            let weights: Vec<f64> = left.iter().map(|insight| insight.influence()).collect();
            let Some(place) = weighted_index(&weights, rng) else {
                break;
            };
            let insight = left.swap_remove(place);
            if let Some((param, changed)) = pull(context, insight, &child, rng) {
                child = changed;
                // Another lever on the same parameter would undo this one.
                left.retain(|other| other.lever.param != insight.lever.param);
                followed.push((param, insight));
            }
        }
        let config = context.space.repair(&child, rng)?;
        let followed: Vec<InsightRef> = followed
            .into_iter()
            .filter(|(param, _)| config.get(*param) == child.get(*param))
            .map(|(_, insight)| InsightRef {
                id: insight.id.clone(),
                statement: insight.statement.clone(),
            })
            .collect();
        if followed.is_empty() {
            return None;
        }
        let draft = Draft::from_parents(config, &[parent]);
        Some(Draft {
            insights: followed,
            ..draft
        })
    }
}

/// The parameter and the configuration with the lever pulled; `None` where it asks for nothing new.
fn pull(
    context: &Context<'_>,
    insight: &Insight,
    config: &Config,
    rng: &mut ChaCha8Rng,
) -> Option<(usize, Config)> {
    let params = context.space.params();
    let index = params
        .iter()
        .position(|param| param.name == insight.lever.param)?;
    let param = params.get(index).filter(|param| param.searched())?;
    let current = config.get(index)?;
    let last = u32::try_from(param.values.len()).ok()?.checked_sub(1)?;
    let value = match &insight.lever.action {
        Action::Prefer(value) => param.index_of(value)?,
        Action::Avoid(value) if param.index_of(value) == Some(current) => {
            let mut weights = context.guidance.values(index).to_vec();
            *weights.get_mut(current as usize)? = 0.0;
            u32::try_from(weighted_index(&weights, rng)?).ok()?
        }
        Action::Avoid(_) | Action::NoEffect => return None,
        action @ (Action::Raise | Action::Lower) => {
            let step = 1 + u32::from(rng.random_bool(0.3));
            if (*action == Action::Raise) == ascending(param) {
                current.saturating_add(step).min(last)
            } else {
                current.saturating_sub(step)
            }
        }
    };
    (value != current).then(|| (index, context.space.with_value(config, index, value)))
}
