//! Who is confirmed: the best of the search, the best of each candidate, and the defaults.

use evo_core::engine::Ranking;

use super::entrant::Entrant;
use super::session::Session;
use crate::RunError;

/// The operator that proposes the default configuration.
const DEFAULT_OPERATOR: &str = "default";

impl Session {
    /// The best trials by the search's own measurement, the best first; the best of every candidate
    /// that is tuned, so that the candidates can be compared; and the default configuration of each
    /// candidate, if it was measured.
    pub(super) fn finalists(&self) -> Result<Vec<Entrant>, RunError> {
        let ranking = &self.campaign.settings().ranking;
        let mut measured = self.history.ranked(ranking, &self.plan.metric);
        if let Ranking::Front { metrics } = ranking {
            // Those that stand for the front go first; the others in their order.
            let front = spread(&self.history.front(metrics), self.plan.top_k);
            measured.retain(|trial| !front.contains(trial));
            measured.splice(0..0, front);
        }
        let ranked: Vec<Measured<'_>> = measured
            .iter()
            .filter_map(|trial| {
                let mut proposed = self.history.proposed.iter();
                let proposed = proposed.find(|proposed| proposed.trial == *trial)?;
                Some(Measured {
                    trial: *trial,
                    candidate: &proposed.candidate,
                    is_default: proposed.operator == DEFAULT_OPERATOR,
                })
            })
            .collect();
        let candidates = self.plan.candidates.iter().map(|it| it.label.as_str());
        chosen(&ranked, candidates, self.plan.top_k)
            .into_iter()
            .map(|trial| {
                Entrant::trial(&self.plan, &self.history, trial).ok_or_else(|| {
                    RunError::internal(format!("trial {trial} is not in the history"))
                })
            })
            .collect()
    }

    /// The candidates that profilers look at: the baselines and the finalists.
    pub(super) fn profiled_candidates(&self) -> Result<Vec<Entrant>, RunError> {
        let mut entrants: Vec<Entrant> =
            self.plan.baselines.iter().map(Entrant::baseline).collect();
        entrants.extend(self.finalists()?);
        Ok(entrants)
    }
}

/// So many trials of a front, which is sorted by its first metric: its ends, and what lies evenly
/// between them.
fn spread(front: &[u64], most: usize) -> Vec<u64> {
    if front.len() <= most {
        return front.to_vec();
    }
    let last = front.len() - 1;
    let steps = most.saturating_sub(1).max(1);
    let places = (0..most).map(|step| step * last / steps);
    places
        .filter_map(|place| front.get(place).copied())
        .collect()
}

/// A trial that was correct and timed.
struct Measured<'a> {
    trial: u64,
    candidate: &'a str,
    is_default: bool,
}

/// Which of the trials, best first, are confirmed.
fn chosen<'a>(
    ranked: &[Measured<'_>],
    candidates: impl Iterator<Item = &'a str>,
    top_k: usize,
) -> Vec<u64> {
    let best = |candidate: &str| ranked.iter().find(|it| it.candidate == candidate);
    let mut defaults: Vec<&Measured<'_>> = ranked.iter().filter(|it| it.is_default).collect();
    defaults.sort_by_key(|it| it.trial);
    let wanted = ranked
        .iter()
        .take(top_k)
        .chain(candidates.filter_map(best))
        .chain(defaults);
    let mut trials = Vec::new();
    for measured in wanted {
        if !trials.contains(&measured.trial) {
            trials.push(measured.trial);
        }
    }
    trials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(trial: u64, candidate: &str, is_default: bool) -> Measured<'_> {
        Measured {
            trial,
            candidate,
            is_default,
        }
    }

    #[test]
    fn the_best_of_every_candidate_and_every_default_come_after_the_top() {
        let ranked = [
            measured(7, "x", false),
            measured(6, "x", false),
            measured(9, "y", false),
            measured(5, "x", false),
            measured(1, "y", true),
            measured(8, "y", false),
            measured(2, "z", true),
            measured(0, "x", true),
        ];
        let candidates = || ["x", "y", "z", "never measured"].into_iter();
        assert_eq!(chosen(&ranked, candidates(), 2), [7, 6, 9, 2, 0, 1]);
        assert_eq!(chosen(&ranked, candidates(), 4), [7, 6, 9, 5, 2, 0, 1]);
        assert_eq!(chosen(&[], candidates(), 3), Vec::<u64>::new());
    }
}
