//! Ratios of candidates that were measured in the same rounds.

use evo_stats::{CONFIDENCE, Comparison, ComparisonOptions, Rounds, Verdict, median};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::confirmed::{Figures, Row};
use crate::model::RankedMetric;

/// How many times better one candidate is than another: above 1 is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// The median ratio of a round, averaged over the processes ([`Comparison::ratio`]); the ratio
    /// of the medians where there are too few rounds.
    pub estimate: f64,
    /// Its 95 % interval, over rounds and processes. Absent where there are too few rounds.
    pub interval: Option<(f64, f64)>,
    /// The number of rounds.
    pub rounds: usize,
    /// Whether the processes differ by no more than processes of the same code are known to. Where
    /// they do, the interval has been widened.
    pub processes_agree: bool,
}

impl Ratio {
    /// The ratio of two candidates of one comparison, over the rounds that both have; `None`
    /// where a figure is not above zero.
    pub(crate) fn of(
        candidate: &Figures,
        baseline: &Figures,
        metric: &RankedMetric,
    ) -> Option<Self> {
        let rounds = shared_rounds(candidate, baseline).0.len();
        let Some(compared) = compare(candidate, baseline, metric) else {
            return Some(Self {
                estimate: without_interval(candidate, baseline, metric)?,
                interval: None,
                rounds,
                processes_agree: true,
            });
        };
        let speedup = compared.speedup();
        Some(Self {
            estimate: speedup.estimate,
            interval: Some((speedup.low, speedup.high)),
            rounds,
            processes_agree: compared.groups_agree,
        })
    }
}

/// Compares over the rounds of each process; `None` where there are too few, or a figure is not
/// above zero.
fn compare(ours: &Figures, theirs: &Figures, metric: &RankedMetric) -> Option<Comparison> {
    let (left, right) = shared_rounds(ours, theirs);
    let whole = [left.len()];
    // A journal without the rounds of each process was measured in one.
    let known = ours.processes.iter().sum::<usize>() == left.len() && left.len() == right.len();
    let processes = if known {
        ours.processes.as_slice()
    } else {
        &whole
    };
    let mut groups = Vec::with_capacity(processes.len());
    let mut start = 0;
    for rounds in processes {
        let (a, b) = (
            left.get(start..start + rounds)?,
            right.get(start..start + rounds)?,
        );
        let (candidate, baseline) = if metric.higher { (b, a) } else { (a, b) };
        groups.push(Rounds {
            candidate,
            baseline,
        });
        start += rounds;
    }
    Comparison::of(&groups, &ComparisonOptions::default()).ok()
}

/// The rounds that both candidates have: sample `i` of each was taken in round `i`.
fn shared_rounds<'a>(left: &'a Figures, right: &'a Figures) -> (&'a [f64], &'a [f64]) {
    let rounds = left.samples.len().min(right.samples.len());
    let first = |figures: &'a Figures| figures.samples.get(..rounds).unwrap_or_default();
    (first(left), first(right))
}

fn without_interval(candidate: &Figures, baseline: &Figures, metric: &RankedMetric) -> Option<f64> {
    let (ours, theirs) = shared_rounds(candidate, baseline);
    let ours = median(ours).unwrap_or(candidate.p50);
    let theirs = median(theirs).unwrap_or(baseline.p50);
    metric.times_better(ours, theirs)
}

/// The winner, or the best of a candidate, against another configuration that the search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// The other candidate's row.
    pub row: usize,
    /// How many times better the winner is.
    pub estimate: f64,
    /// The interval, widened so that all intervals of the family hold together with 95 %
    /// confidence (Bonferroni). Absent where there are too few rounds.
    pub interval: Option<(f64, f64)>,
    /// Whether the winner is told apart from it by that interval and by more than the smallest
    /// effect of interest. Absent where there are too few rounds to say.
    pub distinguishable: Option<bool>,
}

impl Rival {
    /// Compares the winner with every other candidate that the search found and that passed.
    pub(crate) fn all(rows: &[Row], winner: usize, metric: &RankedMetric) -> Vec<Self> {
        let others: Vec<(usize, &Figures)> = rows
            .iter()
            .enumerate()
            .filter(|(place, row)| *place != winner && row.baseline.is_none())
            .filter_map(|(place, row)| Some((place, row.figures.as_ref()?)))
            .collect();
        let Some(best) = rows.get(winner).and_then(|row| row.figures.as_ref()) else {
            return Vec::new();
        };
        let family = others.len();
        others
            .into_iter()
            .filter_map(|(row, other)| Self::of(row, best, other, metric, family))
            .collect()
    }

    /// Compares two candidates as one pair of a family of so many.
    pub(crate) fn between(
        rows: &[Row],
        better: usize,
        other: usize,
        metric: &RankedMetric,
        family: usize,
    ) -> Option<Self> {
        let figures = |place: usize| rows.get(place)?.figures.as_ref();
        Self::of(other, figures(better)?, figures(other)?, metric, family)
    }

    /// What this says seen from the other candidate: how many times better it is than the winner,
    /// with the interval.
    pub(crate) fn seen_from_the_other(&self) -> (f64, Option<(f64, f64)>) {
        let interval = self.interval.map(|(low, high)| (1.0 / high, 1.0 / low));
        (1.0 / self.estimate, interval)
    }

    fn of(
        row: usize,
        winner: &Figures,
        other: &Figures,
        metric: &RankedMetric,
        family: usize,
    ) -> Option<Self> {
        let Some(compared) = compare(winner, other, metric) else {
            let estimate = without_interval(winner, other, metric)?;
            return Some(Self {
                row,
                estimate,
                interval: None,
                distinguishable: None,
            });
        };
        let speedup = compared.speedup();
        let widening = bonferroni_widening(freedom(&compared), family);
        let half_width = (speedup.high / speedup.low).ln() / 2.0 * widening;
        let low = speedup.estimate * (-half_width).exp();
        let high = speedup.estimate * half_width.exp();
        let outside = low > 1.0 || high < 1.0;
        Some(Self {
            row,
            estimate: speedup.estimate,
            interval: Some((low, high)),
            distinguishable: Some(outside && compared.verdict != Verdict::NotDistinguishable),
        })
    }
}

/// The degrees of freedom of a comparison's interval: those of the belief about processes and of
/// the processes seen, or of the latter alone where they refute the belief.
fn freedom(compared: &Comparison) -> f64 {
    let seen = compared.groups as f64 - 1.0;
    if compared.groups_agree {
        ComparisonOptions::default().process_df + seen
    } else {
        seen
    }
}

/// By how much a Student interval is wider when it is one of a family: O. J. Dunn, "Multiple
/// comparisons among means", JASA 56, 1961.
fn bonferroni_widening(freedom: f64, family: usize) -> f64 {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    StudentsT::new(0.0, 1.0, freedom)
        .map(|t| t.inverse_cdf(1.0 - tail / family.max(1) as f64) / t.inverse_cdf(1.0 - tail))
        .unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(samples: &[f64]) -> Figures {
        Figures {
            p50: median(samples).unwrap_or(1.0),
            interval: None,
            summary: None,
            samples: samples.to_vec(),
            processes: Vec::new(),
        }
    }

    fn lower() -> RankedMetric {
        RankedMetric {
            name: "t".into(),
            unit: "us".into(),
            higher: false,
        }
    }

    #[test]
    fn a_speedup_is_the_baseline_over_the_candidate() {
        let (fast, slow) = (figures(&[1.0; 12]), figures(&[2.0; 12]));
        let ratio = Ratio::of(&fast, &slow, &lower()).unwrap();
        assert!((ratio.estimate - 2.0).abs() < 1e-9);
        // Twelve equal rounds of one process say nothing about other processes.
        let (low, high) = ratio.interval.unwrap();
        assert!(low < 2.0 && high > 2.0, "{low} {high}");
        assert_eq!(ratio.rounds, 12);
        let higher = RankedMetric {
            higher: true,
            ..lower()
        };
        let inverse = Ratio::of(&fast, &slow, &higher).unwrap().estimate;
        assert!((inverse - 0.5).abs() < 1e-9);
    }

    #[test]
    fn unlike_lengths_use_the_shared_rounds_and_few_rounds_give_no_interval() {
        let ratio = Ratio::of(&figures(&[1.0, 1.0, 9.0]), &figures(&[2.0, 2.0]), &lower());
        assert_eq!(
            ratio,
            Some(Ratio {
                estimate: 2.0,
                interval: None,
                rounds: 2,
                processes_agree: true,
            })
        );
        assert_eq!(
            Ratio::of(&figures(&[0.0; 9]), &figures(&[2.0; 9]), &lower()),
            None
        );
        let unsampled = Figures {
            samples: Vec::new(),
            ..figures(&[3.0])
        };
        assert_eq!(
            Ratio::of(&unsampled, &figures(&[6.0; 9]), &lower())
                .unwrap()
                .estimate,
            2.0
        );
    }

    #[test]
    fn processes_that_agree_narrow_the_interval_and_those_that_do_not_are_named() {
        let width = |ratio: &Ratio| ratio.interval.map(|(low, high)| high - low).unwrap();
        let slow = [2.0; 24];
        let grouped = |samples: &[f64], processes: &[usize]| Figures {
            processes: processes.to_vec(),
            ..figures(samples)
        };
        let one = Ratio::of(
            &grouped(&[1.0; 24], &[24]),
            &grouped(&slow, &[24]),
            &lower(),
        );
        let three = grouped(&[1.0; 24], &[8, 8, 8]);
        let three = Ratio::of(&three, &grouped(&slow, &[8, 8, 8]), &lower()).unwrap();
        assert!(three.processes_agree);
        assert!(width(&three) < width(&one.unwrap()));
        let mut apart = [1.0; 24];
        apart[..8].fill(1.5);
        let apart = Ratio::of(
            &grouped(&apart, &[8, 8, 8]),
            &grouped(&slow, &[8, 8, 8]),
            &lower(),
        );
        assert!(!apart.unwrap().processes_agree);
    }

    #[test]
    fn a_family_widens_its_intervals() {
        assert_eq!(bonferroni_widening(4.0, 1), 1.0);
        // Quantiles of Student's t with 4 degrees of freedom: 2.776 at 0.975, 4.604 at 0.995.
        assert!((bonferroni_widening(4.0, 5) - 4.604 / 2.776).abs() < 1e-3);
    }
}
