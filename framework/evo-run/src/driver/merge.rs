//! One outcome for each candidate from the outcomes of several processes.

use evo_stats::Summary;
use evo_types::{ErrorFigures, Measurement, Metric, Outcome};
use evo_wire::{MeasureSettings, SCORE};

/// The candidates of a comparison over its processes.
pub(super) struct Merged {
    outcomes: Vec<Option<Outcome>>,
    /// Rounds taken in each process.
    rounds: Vec<usize>,
}

impl Merged {
    pub(super) fn new(candidates: usize) -> Self {
        Self {
            outcomes: (0..candidates).map(|_| None).collect(),
            rounds: Vec::new(),
        }
    }

    /// The candidates that have not failed, by position.
    pub(super) fn present(&self) -> Vec<usize> {
        let failed = |outcome: &Option<Outcome>| {
            outcome
                .as_ref()
                .is_some_and(|outcome| outcome.measurement().is_none())
        };
        (0..self.outcomes.len())
            .filter(|place| !self.outcomes.get(*place).is_some_and(failed))
            .collect()
    }

    /// Adds what one process said: positions and outcomes.
    pub(super) fn add(&mut self, outcomes: Vec<(usize, Outcome)>) {
        let rounds = outcomes
            .iter()
            .filter_map(|(_, outcome)| outcome.measurement()?.metrics.first())
            .map(|metric| metric.samples.len())
            .max();
        self.rounds.extend(rounds);
        for (place, outcome) in outcomes {
            let Some(merged) = self.outcomes.get_mut(place) else {
                continue;
            };
            match (merged.as_mut(), outcome) {
                (Some(Outcome::Measured(all)), Outcome::Measured(more)) => extend(all, more),
                (_, outcome) => *merged = Some(outcome),
            }
        }
    }

    /// The outcomes over all processes, and the rounds of each process. `flops` are the operations
    /// of one execution, for the throughput, and `settings` have the weights of a score.
    pub(super) fn finish(
        mut self,
        flops: f64,
        settings: &MeasureSettings,
    ) -> (Vec<Option<Outcome>>, Vec<usize>) {
        for outcome in self.outcomes.iter_mut().flatten() {
            if let Outcome::Measured(measurement) = outcome {
                summarise(measurement, flops);
                let score = settings.score(&measurement.metrics);
                let place = measurement.metrics.iter_mut().find(|it| it.name == SCORE);
                if let (Ok(Some(score)), Some(place)) = (score, place) {
                    *place = score;
                }
            }
        }
        (self.outcomes, self.rounds)
    }
}

/// Appends the samples of a later process and keeps the greater errors.
fn extend(all: &mut Measurement, more: Measurement) {
    for metric in &mut all.metrics {
        if let Some(later) = more.metric(&metric.name) {
            metric.samples.extend_from_slice(&later.samples);
        }
    }
    all.converged &= more.converged;
    all.recheck_seed = more.recheck_seed.or(all.recheck_seed);
    if let (Some(all), Some(more)) = (&mut all.error, &more.error) {
        *all = greater(all, more);
    }
}

fn greater(a: &ErrorFigures, b: &ErrorFigures) -> ErrorFigures {
    ErrorFigures {
        relative: a.relative.max(b.relative),
        worst_row: a.worst_row.max(b.worst_row),
        max_abs: a.max_abs.max(b.max_abs),
        cosine: a.cosine.min(b.cosine),
        bias: if a.bias.abs() >= b.bias.abs() {
            a.bias
        } else {
            b.bias
        },
        gate: a.gate,
        checks: a.checks.saturating_add(b.checks),
        quantisation: a
            .quantisation
            .into_iter()
            .chain(b.quantisation)
            .reduce(f64::max),
    }
}

/// Works the figures out again from all samples.
fn summarise(measurement: &mut Measurement, flops: f64) {
    for metric in &mut measurement.metrics {
        if let Ok(summary) = Summary::of(&metric.samples) {
            metric.value = summary.p50;
            metric.ci_low = summary.median_ci.map(|interval| interval.low);
            metric.ci_high = summary.median_ci.map(|interval| interval.high);
        }
    }
    let time = measurement.metric("kernel_time").map(|metric| metric.value);
    let throughput = measurement
        .metrics
        .iter_mut()
        .find(|metric| metric.name == "throughput");
    if let (Some(time), Some(Metric { value, .. })) = (time, throughput)
        && time > 0.0
    {
        // Operations per microsecond are millions per second.
        *value = flops / time / 1e3;
    }
}

#[cfg(test)]
mod tests {
    use evo_types::Direction;

    use super::*;

    fn measured(samples: &[f64], relative: f64) -> Outcome {
        let mut time = Metric::new("kernel_time", "us", Direction::Lower, 0.0);
        time.samples = samples.to_vec();
        let throughput = Metric::new("throughput", "GFLOP/s", Direction::Higher, 0.0);
        Outcome::Measured(Measurement {
            metrics: vec![time, throughput],
            error: Some(ErrorFigures {
                relative,
                cosine: 1.0 - relative,
                checks: 3,
                ..ErrorFigures::default()
            }),
            execution: None,
            recheck_seed: Some(1),
            raced_out: false,
            converged: true,
        })
    }

    fn settings(weights: &[(&str, f64)]) -> MeasureSettings {
        let spec = crate::RunSpec {
            weights: weights
                .iter()
                .map(|(name, weight)| ((*name).to_owned(), *weight))
                .collect(),
            ..crate::RunSpec::default()
        };
        crate::plan::Measuring::asked(&spec).confirmation
    }

    #[test]
    fn a_score_is_made_of_what_all_processes_measured() {
        let settings = settings(&[("kernel_time", 1.0), ("throughput", 1.0)]);
        let mut merged = Merged::new(1);
        for time in [1.0, 4.0] {
            let mut outcome = measured(&[time; 3], 0.0);
            if let Outcome::Measured(measurement) = &mut outcome {
                measurement
                    .metrics
                    .push(Metric::new(SCORE, "", Direction::Lower, time));
            }
            merged.add(vec![(0, outcome)]);
        }
        let (outcomes, _) = merged.finish(2.5e3, &settings);
        let measurement = outcomes[0].as_ref().unwrap().measurement().unwrap();
        // The median of all is 2.5, the throughput 1.
        let score = measurement.metric(SCORE).unwrap().value;
        assert!((score - 2.5f64.sqrt()).abs() < 1e-12, "{score}");
    }

    #[test]
    fn samples_are_joined_and_figures_worked_out_again() {
        let mut merged = Merged::new(1);
        merged.add(vec![(0, measured(&[1.0, 1.0, 1.0], 1e-6))]);
        merged.add(vec![(0, measured(&[3.0, 3.0, 3.0, 3.0], 1e-7))]);
        let (outcomes, rounds) = merged.finish(6e3, &settings(&[]));
        assert_eq!(rounds, [3, 4]);
        let measurement = outcomes[0].as_ref().unwrap().measurement().unwrap();
        let time = measurement.metric("kernel_time").unwrap();
        assert_eq!(time.samples, [1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]);
        assert_eq!(time.value, 3.0);
        assert_eq!(measurement.metric("throughput").unwrap().value, 2.0);
        let error = measurement.error.as_ref().unwrap();
        assert_eq!((error.relative, error.checks), (1e-6, 6));
        assert_eq!(error.cosine, 1.0 - 1e-6);
    }

    #[test]
    fn a_failure_in_any_process_is_the_outcome_and_is_not_compared_again() {
        let mut merged = Merged::new(2);
        merged.add(vec![
            (0, measured(&[1.0; 3], 0.0)),
            (1, measured(&[1.0; 3], 0.0)),
        ]);
        assert_eq!(merged.present(), [0, 1]);
        let failure = Outcome::Implausible {
            message: String::new(),
        };
        merged.add(vec![(1, failure.clone()), (0, measured(&[1.0; 3], 0.0))]);
        assert_eq!(merged.present(), [0]);
        merged.add(vec![(0, measured(&[1.0; 2], 0.0))]);
        let (outcomes, rounds) = merged.finish(0.0, &settings(&[]));
        assert_eq!(outcomes[1], Some(failure));
        assert_eq!(rounds, [3, 3, 2]);
    }
}
