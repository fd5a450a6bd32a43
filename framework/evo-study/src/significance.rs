//! Which differences between strategies are more than chance.

use serde::Serialize;

use crate::Aggregate;

/// The difference of two strategies in the mean ratio at one budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The evaluations.
    pub budget: u64,
    /// The one.
    pub a: String,
    /// The other.
    pub b: String,
    /// The mean ratio of `a` less that of `b`.
    pub difference: f64,
    /// Its standard error over the seeds.
    pub standard_error: f64,
    /// The probability of a difference as large by chance (normal, two-sided), adjusted for all
    /// pairs at this budget (Holm, Scandinavian Journal of Statistics 6, 1979).
    pub p: f64,
}

/// Fewest seeds for which the mean of a strategy is close to normal.
const LEAST_SEEDS: usize = 10;

/// All pairs of strategies at a budget, in the order of the strategies. Strategies with few seeds
/// are left out.
pub(crate) fn differences(strategies: &[Aggregate], budget: u64) -> Vec<Difference> {
    let mut found = Vec::new();
    let judged = strategies.iter().filter(|each| each.seeds >= LEAST_SEEDS);
    let judged: Vec<&Aggregate> = judged.collect();
    for (place, a) in judged.iter().enumerate() {
        for b in judged.iter().skip(place + 1) {
            found.extend(difference(a, b, budget));
        }
    }
    adjust(&mut found);
    found
}

fn difference(a: &Aggregate, b: &Aggregate, budget: u64) -> Option<Difference> {
    let (of_a, of_b) = (a.at(budget)?, b.at(budget)?);
    let (x, y) = (of_a.standard_error?, of_b.standard_error?);
    let (difference, standard_error) = (of_a.mean - of_b.mean, x.hypot(y));
    let z = if standard_error > 0.0 {
        difference.abs() / standard_error
    } else if difference == 0.0 {
        0.0
    } else {
        f64::INFINITY
    };
    Some(Difference {
        budget,
        a: a.strategy.clone(),
        b: b.strategy.clone(),
        difference,
        standard_error,
        p: libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2),
    })
}

/// Holm's step-down adjustment.
fn adjust(differences: &mut [Difference]) {
    let mut order: Vec<usize> = (0..differences.len()).collect();
    let p = |place: &usize| differences.get(*place).map_or(1.0, |d| d.p);
    order.sort_by(|a, b| p(a).total_cmp(&p(b)));
    let mut least: f64 = 0.0;
    for (rank, place) in order.iter().enumerate() {
        let left = (order.len() - rank) as f64;
        if let Some(difference) = differences.get_mut(*place) {
            least = least.max((difference.p * left).min(1.0));
            difference.p = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figures;

    fn aggregate(strategy: &str, mean: f64, error: f64) -> Aggregate {
        let figures = Figures {
            budget: 64,
            mean,
            standard_error: Some(error),
            near: 0.0,
            near_error: None,
        };
        Aggregate::bare(strategy, vec![figures])
    }

    #[test]
    fn differences_are_judged_by_their_errors_and_their_number() {
        let all = [
            aggregate("a", 0.90, 0.003),
            aggregate("b", 0.89, 0.004),
            aggregate("c", 0.50, 0.003),
        ];
        let found = differences(&all, 64);
        let pairs: Vec<String> = found.iter().map(|d| format!("{} {}", d.a, d.b)).collect();
        assert_eq!(pairs, ["a b", "a c", "b c"]);
        // 0.01 / 0.005 is two standard errors; the least of three p-values is the others' concern.
        assert!((found[0].p - 0.0455).abs() < 1e-4, "{:?}", found[0]);
        assert!(found[1].p < 1e-9 && found[2].p < 1e-9);
        assert!(differences(&all, 32).is_empty());
        let few = all.map(|each| Aggregate { seeds: 9, ..each });
        assert!(differences(&few, 64).is_empty());
    }

    #[test]
    fn the_adjustment_is_holms() {
        let raw = [0.01, 0.04, 0.03];
        let one = |p: f64| Difference {
            budget: 1,
            a: String::new(),
            b: String::new(),
            difference: 0.0,
            standard_error: 0.0,
            p,
        };
        let mut all: Vec<Difference> = raw.iter().map(|p| one(*p)).collect();
        adjust(&mut all);
        let adjusted: Vec<f64> = all.iter().map(|d| d.p).collect();
        assert_eq!(adjusted, [0.03, 0.06, 0.06]);
    }
}
