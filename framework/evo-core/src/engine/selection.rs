//! Adaptive operator selection: operators that improve solutions are used more often.
//!
//! Probability matching (Thierens, "An adaptive pursuit strategy for allocating operator
//! probabilities", GECCO 2005, section 2.1): each operator has a quality, an exponentially
//! forgetting mean of its rewards; its probability is proportional to the quality above a floor
//! that keeps every operator alive.

use rand::{Rng, RngExt};
use serde::Serialize;

/// How fast old rewards are forgotten.
const FORGETTING: f64 = 0.1;
/// The share that is dealt out evenly whatever the qualities are.
const FLOOR: f64 = 0.3;

/// What an operator has earned, for reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorCredit {
    /// The operator's name.
    pub operator: String,
    /// Proposals made with it whose outcome is known.
    pub used: u64,
    /// How many of them became the new best.
    pub improved: u64,
    /// The forgetting mean of its rewards, in 0 to 1.
    pub quality: f64,
}

/// The credits of all operators.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    credits: Vec<OperatorCredit>,
}

impl Selection {
    /// Starts from prior qualities.
    pub(crate) fn new(priors: impl IntoIterator<Item = (&'static str, f64)>) -> Self {
        let credits = priors
            .into_iter()
            .map(|(name, quality)| OperatorCredit {
                operator: name.to_owned(),
                used: 0,
                improved: 0,
                quality,
            })
            .collect();
        Self { credits }
    }

    pub(crate) fn credits(&self) -> &[OperatorCredit] {
        &self.credits
    }

    /// Draws the index of an operator.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> usize {
        let total: f64 = self.credits.iter().map(|credit| credit.quality).sum();
        let even = FLOOR / self.credits.len().max(1) as f64;
        let weights: Vec<f64> = self
            .credits
            .iter()
            .map(|credit| {
                even + if total > 0.0 {
                    (1.0 - FLOOR) * credit.quality / total
                } else {
                    0.0
                }
            })
            .collect();
        weighted_index(&weights, rng).unwrap_or(0)
    }

    /// Pays an operator by name. `reward` is 1 for a new best.
    pub(crate) fn reward(&mut self, operator: &str, reward: f64, improved: bool) {
        if let Some(credit) = self
            .credits
            .iter_mut()
            .find(|credit| credit.operator == operator)
        {
            credit.used += 1;
            credit.improved += u64::from(improved);
            credit.quality += FORGETTING * (reward.clamp(0.0, 1.0) - credit.quality);
        }
    }
}

/// Draws an index in proportion to its weight; `None` where no weight is positive.
pub(crate) fn weighted_index(weights: &[f64], rng: &mut (impl Rng + ?Sized)) -> Option<usize> {
    let total: f64 = weights.iter().filter(|weight| **weight > 0.0).sum();
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let mut left = rng.random::<f64>() * total;
    let mut last = None;
    for (index, weight) in weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0.0)
    {
        last = Some(index);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn shares(selection: &Selection) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = vec![0.0; selection.credits.len()];
        for _ in 0..4000 {
            counts[selection.draw(&mut rng)] += 1.0 / 4000.0;
        }
        counts
    }

    #[test]
    fn an_operator_that_pays_is_drawn_more_and_none_dies() {
        let mut selection = Selection::new([("a", 0.5), ("b", 0.5)]);
        assert!((shares(&selection)[0] - 0.5).abs() < 0.05);
        for _ in 0..100 {
            selection.reward("a", 1.0, true);
            selection.reward("b", 0.0, false);
        }
        let after = shares(&selection);
        assert!(after[0] > 0.8 && after[1] > 0.1, "{after:?}");
        assert_eq!(
            (selection.credits()[0].used, selection.credits()[0].improved),
            (100, 100)
        );
    }

    #[test]
    fn only_positive_weights_are_drawn() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..200 {
            assert_eq!(weighted_index(&[0.0, 2.0, -1.0], &mut rng), Some(1));
        }
        assert_eq!(weighted_index(&[0.0, 0.0], &mut rng), None);
        assert_eq!(weighted_index(&[], &mut rng), None);
    }
}
