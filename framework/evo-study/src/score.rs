//! Scores of the runs of one strategy on one space.
//!
//! Besides the ratio of the optimum to the best time found there is the performance score P of the
//! methodology of Willemsen et al. ("A methodology for comparing optimization algorithms for
//! auto-tuning", Future Generation Computer Systems 159, 2024): how much of the way from what random
//! search is expected to have found to the optimum a strategy has gone, averaged over a budget
//! axis that ends where random search has gone 95 % of the way from the median to the optimum.
//! 0 is random search, 1 the optimum at once.
//!
//! Two things differ from the published form, as in the comparison with other tuners: the expected
//! value of random search is exact and counts failed configurations, so that random search scores
//! 0 in expectation; and what the strategy has found is the value at the mean rank of its runs.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{RunRecord, StudySpace};

/// Points of the budget axis.
const POINTS: usize = 100;

/// Resamples of the seeds for the standard error.
const RESAMPLES: usize = 200;

/// How near the optimum counts as found.
const NEAR: f64 = 1.01;

/// The ratio of the optimum to the best time found, over the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// The evaluations.
    pub budget: u64,
    /// Mean ratio; a run that measured nothing counts 0.
    pub mean: f64,
    /// The standard error of the mean over the seeds; absent for one seed.
    pub standard_error: Option<f64>,
    /// The share of runs within 1 % of the optimum.
    pub near: f64,
    /// Its standard error over the seeds; absent for one seed.
    pub near_error: Option<f64>,
}

/// The performance score with its standard error over the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// P.
    pub value: f64,
    /// Bootstrap standard error; absent for one seed.
    pub standard_error: Option<f64>,
}

/// What the budget axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Evaluations,
    /// Recorded cost; the strategy's own time is not in it.
    Time,
}

/// Mean and standard error of the mean.
pub(crate) fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let error = (values.len() > 1).then(|| {
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        (squares / (n - 1.0)).sqrt() / n.sqrt()
    });
    (mean, error)
}

impl StudySpace {
    /// The ratios after a number of evaluations.
    pub fn figures(&self, runs: &[&RunRecord], budget: u64) -> Figures {
        let ratio = |run: &&RunRecord| match run.best_at(budget) {
            Some(best) => self.optimum() / best,
            None => 0.0,
        };
        let ratios: Vec<f64> = runs.iter().map(ratio).collect();
        let near = ratios
            .iter()
            .map(|ratio| f64::from(u8::from(*ratio >= 1.0 / NEAR)));
        let (near, near_error) = mean_and_error(&near.collect::<Vec<f64>>());
        let (mean, standard_error) = mean_and_error(&ratios);
        Figures {
            budget,
            mean,
            standard_error,
            near,
            near_error,
        }
    }

    /// The evaluations after which random search is expected to have gone a share of the way from
    /// the median to the optimum.
    pub fn cutoff(&self, share: f64) -> u64 {
        let n = self.times.len();
        let middle = |place: usize| self.times.get(place).copied().unwrap_or(0.0);
        let median = (middle((n - 1) / 2) + middle(n / 2)) / 2.0;
        let target = self.optimum() + (median - self.optimum()) * (1.0 - share);
        // From the worst time on, the first that is good enough.
        let worse = n - self.times.partition_point(|time| *time <= target);
        ((worse as f64 / (n + 1 - worse) as f64).ceil() as u64).max(1)
    }

    /// The expected rank (0 is the best) of the best of `k` draws without replacement from all
    /// recorded configurations. A failed one takes a draw and finds nothing, and nothing found
    /// counts as the worst rank: the sum over ranks r of the chance that none of the r + 1 best is
    /// among the draws.
    pub(crate) fn random_rank(&self, k: u64) -> f64 {
        let all = self.recording.rows().len() as f64;
        let k = k as f64;
        let (mut expected, mut chance) = (0.0, 1.0);
        for rank in 0..self.times.len().saturating_sub(1) {
            let rank = rank as f64;
            chance *= ((all - k - rank) / (all - rank)).max(0.0);
            if chance < 1e-12 {
                break;
            }
            expected += chance;
        }
        expected
    }

    /// The time at a rank, between two ranks in proportion.
    fn value_at(&self, rank: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let below = (rank as usize).min(last);
        let at = |place: usize| self.times.get(place.min(last)).copied().unwrap_or(0.0);
        at(below) + (at(below + 1) - at(below)) * (rank - below as f64)
    }

    /// The performance score of runs; `None` where random search is at the optimum at once.
    pub(crate) fn score(&self, runs: &[&RunRecord], axis: Axis) -> Option<Score> {
        let longest = runs.iter().map(|run| run.budget).max()?;
        let begin = self.cutoff(0.01);
        let end = self.cutoff(0.95).min(longest).max(begin + 1);
        let n = self.costs.len();
        let typical = self.costs.get(n / 2).copied().unwrap_or(0.0);
        let mean = self.costs.iter().sum::<f64>() / n.max(1) as f64;
        let mut limits = Vec::with_capacity(POINTS);
        let mut baseline = Vec::with_capacity(POINTS);
        for point in 0..POINTS {
            let share = point as f64 / (POINTS - 1) as f64;
            let evaluations = begin as f64 + (end - begin) as f64 * share;
            let (limit, draws) = match axis {
                Axis::Evaluations => (evaluations, evaluations),
                Axis::Time => (evaluations * typical, evaluations * typical / mean),
            };
            // Whole evaluations that are done by then.
            let draws = ((draws + 1e-9) as u64).max(1);
            limits.push(limit);
            baseline.push(self.value_at(self.random_rank(draws)));
        }
        let ranks: Vec<Vec<f64>> = runs
            .iter()
            .map(|run| self.ranks(run, axis, &limits))
            .collect();
        let all: Vec<usize> = (0..ranks.len()).collect();
        let value = self.score_of(&ranks, &all, &baseline)?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let resampled: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let drawn: Vec<usize> =
                    all.iter().map(|_| rng.random_range(0..all.len())).collect();
                self.score_of(&ranks, &drawn, &baseline)
            })
            .collect();
        // The standard deviation of the resamples is the standard error of the score.
        let (_, error) = mean_and_error(&resampled);
        let error = error.map(|error| error * (resampled.len() as f64).sqrt());
        Some(Score {
            value,
            standard_error: error.filter(|_| runs.len() > 1),
        })
    }

    /// The rank of the best solution of a run at each limit.
    fn ranks(&self, run: &RunRecord, axis: Axis, limits: &[f64]) -> Vec<f64> {
        let mut rank = self.times.len().saturating_sub(1);
        let mut left = run.improve.iter().peekable();
        let mut ranks = Vec::with_capacity(limits.len());
        for limit in limits {
            while let Some((evals, cost, best)) = left.peek() {
                let at = match axis {
                    Axis::Evaluations => *evals as f64,
                    Axis::Time => *cost,
                };
                if at > *limit {
                    break;
                }
                rank = self.times.partition_point(|time| time < best);
                left.next();
            }
            ranks.push(rank as f64);
        }
        ranks
    }

    fn score_of(&self, ranks: &[Vec<f64>], drawn: &[usize], baseline: &[f64]) -> Option<f64> {
        let (mut total, mut points) = (0.0, 0);
        for (place, expected) in baseline.iter().enumerate() {
            if *expected <= self.optimum() {
                continue;
            }
            let at = |run: &usize| ranks.get(*run).and_then(|ranks| ranks.get(place));
            let sum: f64 = drawn.iter().filter_map(at).sum();
            let found = self.value_at(sum / drawn.len() as f64);
            total += (expected - found) / (expected - self.optimum());
            points += 1;
        }
        (points > 0).then(|| total / f64::from(points))
    }
}

#[cfg(test)]
mod tests {
    use evo_recorded::Recording;

    use super::*;

    /// Times 1 to 9 ms and one failure; each cost 10 ms.
    fn space() -> StudySpace {
        let text = r#"{"format": "recorded-space/1", "id": "ten",
            "params": [{"name": "A", "values": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}],
            "restrictions": [], "restrictions_exact": true, "config": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            "time": [1, 2, 3, 4, 5, 6, 7, 8, 9, null], "status": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            "bench": [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]}"#;
        StudySpace::new(Recording::parse(text, "x").unwrap()).unwrap()
    }

    fn run(improve: &[(u64, f64)]) -> RunRecord {
        RunRecord {
            space: "ten".to_owned(),
            strategy: "s".to_owned(),
            seed: 0,
            budget: 10,
            evals: 10,
            cpu_s: 0.0,
            asks: 10,
            improve: improve
                .iter()
                .map(|(n, t)| (*n, *n as f64 * 10.0, *t))
                .collect(),
            engine: None,
            recording: None,
        }
    }

    #[test]
    fn ratios_are_those_of_the_best_so_far() {
        let (space, a, b) = (space(), run(&[(1, 4.0), (3, 2.0)]), run(&[(4, 1.0)]));
        let figures = space.figures(&[&a, &b], 3);
        assert_eq!((figures.mean, figures.near), (0.25, 0.0));
        assert_eq!(figures.standard_error, Some(0.25));
        let figures = space.figures(&[&a, &b], 4);
        assert_eq!((figures.mean, figures.near), (0.75, 0.5));
        assert_eq!(figures.near_error, Some(0.5));
        assert_eq!(space.figures(&[&a], 4).standard_error, None);
    }

    #[test]
    fn the_cutoff_is_where_random_search_is_expected_to_be() {
        // Median 5; 95 % of the way is 1.2, which one of nine reaches: 8 worse, 8 / (9 + 1 - 8).
        assert_eq!(space().cutoff(0.95), 4);
        // 50 % is 3, which three reach: 6 worse, 6 / (9 + 1 - 6) = 1.5.
        assert_eq!(space().cutoff(0.5), 2);
        assert_eq!(space().cutoff(0.0), 1);
    }

    #[test]
    fn the_expected_rank_of_random_search_is_exact() {
        let space = space();
        // One draw of ten: the ranks 0 to 8 with a tenth each, and nothing found counts as 8.
        assert!((space.random_rank(1) - 44.0 / 10.0).abs() < 1e-12);
        // Two draws: by counting the 45 pairs; the failure is one of them with 9 partners.
        let pairs: f64 = (0..10)
            .flat_map(|a| (a + 1..10).map(move |b: i32| f64::from(a.min(b).min(8))))
            .sum();
        assert!((space.random_rank(2) - pairs / 45.0).abs() < 1e-12);
        assert_eq!(space.random_rank(10), 0.0);
    }

    #[test]
    fn the_optimum_at_once_scores_one_and_nothing_scores_below_zero() {
        let space = space();
        let best = run(&[(1, 1.0)]);
        for axis in [Axis::Evaluations, Axis::Time] {
            let score = space.score(&[&best], axis).unwrap();
            assert!((score.value - 1.0).abs() < 1e-12);
            assert_eq!(score.standard_error, None);
            let nothing = run(&[]);
            assert!(space.score(&[&nothing], axis).unwrap().value < 0.0);
        }
    }

    #[test]
    fn random_search_scores_zero() {
        let space = space();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let runs: Vec<RunRecord> = (0..1000)
            .map(|_| {
                let mut left: Vec<u32> = (1..=10).collect();
                let mut improve: Vec<(u64, f64)> = Vec::new();
                for n in 1..=10 {
                    let time = f64::from(left.swap_remove(rng.random_range(0..left.len())));
                    let best = improve.last().map_or(9.5, |(_, best)| *best);
                    if time < best {
                        improve.push((n, time));
                    }
                }
                run(&improve)
            })
            .collect();
        let runs: Vec<&RunRecord> = runs.iter().collect();
        let score = space.score(&runs, Axis::Evaluations).unwrap();
        assert!(score.value.abs() < 0.04, "{score:?}");
        assert!(score.standard_error.unwrap() < 0.03, "{score:?}");
    }
}
