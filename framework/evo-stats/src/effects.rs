//! What changing one factor does, from trials that differ in several at once.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::interval::CONFIDENCE;

/// Pseudo-trials of no effect for each level of a factor. Few, since effects may be several times the noise;
/// not none, since levels that always come together would have no estimate at all.
const SHRINKAGE: f64 = 0.1;
/// Fewest trials beyond what the levels take up, below which the noise is not known.
const LEAST_FREEDOM: f64 = 3.0;
/// Most columns of the model, so that the fit takes well under a second.
const MOST_COLUMNS: usize = 400;

/// An additive model: a response is a constant plus one effect of the level of each factor plus noise.
///
/// Fitted by ridge regression, with the covariance of its Bayesian reading (Hoerl and Kennard, 1970; Lindley and
/// Smith, 1972). Levels that always come together share what they do, and their interval is wide. What two
/// factors do together beyond the sum of both counts as noise.
#[derive(Debug, Clone, PartialEq)]
pub struct AdditiveEffects {
    /// The first column of each factor; the last entry ends the last one.
    starts: Vec<usize>,
    effects: Vec<f64>,
    /// The inverse of the regularised normal matrix.
    inverse: Matrix,
    variance: f64,
    freedom: f64,
    /// Trials with each level.
    counts: Vec<usize>,
}

/// The difference that a change of level makes, with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Response with the one level less that with the other.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Trials that had the level to which is changed.
    pub trials: usize,
}

impl AdditiveEffects {
    /// Fits `responses`, of which each has the levels of `rows` at the same place: one for each factor, counted
    /// from 0 and below its entry of `levels`, or `None` where the factor is not active.
    ///
    /// `None` where the trials are too few for the levels (less than three degrees of freedom are left), where
    /// levels are 400 or more in all, or where something is not finite or does not fit together.
    pub fn fit(levels: &[usize], rows: &[Vec<Option<usize>>], responses: &[f64]) -> Option<Self> {
        let mut starts = vec![0_usize];
        for count in levels {
            starts.push(starts.last()?.checked_add(*count)?);
        }
        let factors = *starts.last()?;
        let fits = |row: &Vec<Option<usize>>| {
            let mut pairs = row.iter().zip(levels);
            row.len() == levels.len()
                && pairs.all(|(level, count)| level.is_none_or(|it| it < *count))
        };
        if rows.len() != responses.len()
            || factors >= MOST_COLUMNS
            || !rows.iter().all(fits)
            || !responses.iter().all(|response| response.is_finite())
        {
            return None;
        }
        // Responses are centred, and the constant is the last column.
        let size = factors + 1;
        let mean = responses.iter().sum::<f64>() / responses.len().max(1) as f64;
        let mut normal = Matrix::zero(size);
        let mut right = vec![0.0; size];
        let mut counts = vec![0; factors];
        let columns: Vec<Vec<usize>> = rows
            .iter()
            .map(|row| {
                let of = |(start, level): (&usize, &Option<usize>)| Some(start + (*level)?);
                let active = starts.iter().zip(row).filter_map(of);
                active.chain([factors]).collect()
            })
            .collect();
        for (own, response) in columns.iter().zip(responses) {
            for &a in own {
                right[a] += response - mean;
                if a < factors {
                    counts[a] += 1;
                }
                for &b in own {
                    normal.add(a, b, 1.0);
                }
            }
        }
        for column in 0..size {
            let penalty = if column < factors { SHRINKAGE } else { 1e-9 };
            normal.add(column, column, penalty);
        }
        let inverse = normal.inverse()?;
        let effects: Vec<f64> = (0..size)
            .map(|row| {
                let products = (0..size).map(|column| inverse.at(row, column) * right[column]);
                products.sum()
            })
            .collect();
        let residuals = columns.iter().zip(responses).map(|(own, response)| {
            let predicted: f64 = own.iter().map(|&column| effects[column]).sum();
            response - mean - predicted
        });
        let squares: f64 = residuals.map(|residual| residual * residual).sum();
        let shrunk: f64 = (0..factors).map(|it| SHRINKAGE * inverse.at(it, it)).sum();
        let freedom = rows.len() as f64 - (size as f64 - shrunk);
        (freedom >= LEAST_FREEDOM).then_some(Self {
            starts,
            effects,
            inverse,
            variance: squares / freedom,
            freedom,
            counts,
        })
    }

    /// What a change of a factor from one level to another makes of the response, all else kept. `None` where a
    /// level was in no trial, or there is no such factor.
    pub fn change(&self, factor: usize, from: usize, to: usize) -> Option<Change> {
        let (start, end) = (*self.starts.get(factor)?, *self.starts.get(factor + 1)?);
        let column = |level: usize| {
            let column = start.checked_add(level).filter(|it| *it < end)?;
            (self.counts[column] > 0).then_some(column)
        };
        let (from, to) = (column(from)?, column(to)?);
        let estimate = self.effects[to] - self.effects[from];
        let inverse = &self.inverse;
        let spread = inverse.at(to, to) + inverse.at(from, from) - 2.0 * inverse.at(to, from);
        let quantile = StudentsT::new(0.0, 1.0, self.freedom)
            .ok()?
            .inverse_cdf(0.5 + CONFIDENCE / 2.0);
        let half = quantile * (self.variance * spread.max(0.0)).sqrt();
        Some(Change {
            estimate,
            low: estimate - half,
            high: estimate + half,
            trials: self.counts[to],
        })
    }
}

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn zero(size: usize) -> Self {
        Self {
            size,
            values: vec![0.0; size * size],
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.values[row * self.size + column] = value;
    }

    fn add(&mut self, row: usize, column: usize, value: f64) {
        self.values[row * self.size + column] += value;
    }

    /// The inverse of a symmetric positive definite matrix, by its Cholesky factor L: that of L, and its product
    /// with itself. `None` where the matrix is not one.
    fn inverse(&self) -> Option<Self> {
        let size = self.size;
        let mut lower = Self::zero(size);
        for row in 0..size {
            for column in 0..=row {
                let known: f64 = (0..column)
                    .map(|it| lower.at(row, it) * lower.at(column, it))
                    .sum();
                let rest = self.at(row, column) - known;
                let value = if row == column {
                    rest.sqrt()
                } else {
                    rest / lower.at(column, column)
                };
                if !value.is_finite() || (row == column && value <= 0.0) {
                    return None;
                }
                lower.set(row, column, value);
            }
        }
        let mut inverted = Self::zero(size);
        for column in 0..size {
            for row in column..size {
                let unit = if row == column { 1.0 } else { 0.0 };
                let known: f64 = (column..row)
                    .map(|it| lower.at(row, it) * inverted.at(it, column))
                    .sum();
                inverted.set(row, column, (unit - known) / lower.at(row, row));
            }
        }
        let mut product = Self::zero(size);
        for row in 0..size {
            for column in 0..=row {
                let value: f64 = (row..size)
                    .map(|it| inverted.at(it, row) * inverted.at(it, column))
                    .sum();
                product.set(row, column, value);
                product.set(column, row, value);
            }
        }
        Some(product)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    use super::*;

    const EFFECTS: [[f64; 3]; 3] = [[0.0, 0.5, -0.2], [0.3, 0.0, 0.1], [0.0, 0.0, 0.0]];

    fn trials(count: usize, noise: f64, seed: u64) -> (Vec<Vec<Option<usize>>>, Vec<f64>) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let noise = Normal::new(0.0, noise).expect("a deviation");
        let mut responses = Vec::new();
        let rows: Vec<Vec<Option<usize>>> = (0..count)
            .map(|_| {
                let row: Vec<Option<usize>> =
                    (0..3).map(|_| Some(generator.random_range(0..3))).collect();
                let effects = row
                    .iter()
                    .zip(EFFECTS)
                    .filter_map(|(it, of)| Some(of[(*it)?]));
                responses.push(7.0 + effects.sum::<f64>() + noise.sample(&mut generator));
                row
            })
            .collect();
        (rows, responses)
    }

    #[test]
    fn effects_that_were_planted_are_found_within_their_intervals() {
        // 95 % of the intervals, give or take what 400 of them vary by.
        let mut inside = 0;
        for seed in 0..200 {
            let (rows, responses) = trials(40, 0.1, seed);
            let model = AdditiveEffects::fit(&[3, 3, 3], &rows, &responses).expect("a fit");
            for (factor, from, to) in [(0, 0, 1), (1, 2, 0)] {
                let change = model.change(factor, from, to).expect("both were tried");
                let truth = EFFECTS[factor][to] - EFFECTS[factor][from];
                assert!((change.estimate - truth).abs() < 0.2, "{change:?}, {truth}");
                inside += usize::from(change.low <= truth && truth <= change.high);
            }
        }
        assert!((365..=394).contains(&inside), "{inside} of 400");
    }

    #[test]
    fn a_change_back_is_the_contrary() {
        let (rows, responses) = trials(30, 0.1, 3);
        let model = AdditiveEffects::fit(&[3, 3, 3], &rows, &responses).expect("a fit");
        let (there, back) = (model.change(0, 0, 1), model.change(0, 1, 0));
        let (there, back) = (there.expect("tried"), back.expect("tried"));
        assert!((there.estimate + back.estimate).abs() < 1e-12);
        assert!((there.low + back.high).abs() < 1e-12);
        let with = |level: usize| rows.iter().filter(|row| row[0] == Some(level)).count();
        assert_eq!((there.trials, back.trials), (with(1), with(0)));
    }

    #[test]
    fn what_always_comes_together_is_shared_and_uncertain() {
        let mut rows = Vec::new();
        let mut responses = Vec::new();
        for trial in 0..40 {
            let both = trial % 2;
            rows.push(vec![Some(both), Some(both)]);
            responses.push(both as f64 + 0.01 * f64::from(trial as u8 % 5));
        }
        let model = AdditiveEffects::fit(&[2, 2], &rows, &responses).expect("a fit");
        let change = model.change(0, 0, 1).expect("tried");
        assert!((change.estimate - 0.5).abs() < 0.05, "{change:?}");
        // With one factor alone the same trials are certain.
        let alone: Vec<Vec<Option<usize>>> = rows.iter().map(|row| vec![row[0]]).collect();
        let alone = AdditiveEffects::fit(&[2], &alone, &responses).expect("a fit");
        let alone = alone.change(0, 0, 1).expect("tried");
        assert!((alone.estimate - 1.0).abs() < 0.05, "{alone:?}");
        assert!(change.high - change.low > 8.0 * (alone.high - alone.low));
    }

    #[test]
    fn what_was_not_tried_or_is_too_little_has_no_estimate() {
        let (rows, responses) = trials(30, 0.1, 5);
        let model = AdditiveEffects::fit(&[4, 3, 3], &rows, &responses).expect("a fit");
        assert_eq!(model.change(0, 0, 3), None, "in no trial");
        assert_eq!(model.change(0, 0, 4), None, "no such level");
        assert_eq!(model.change(3, 0, 1), None, "no such factor");
        let fit = AdditiveEffects::fit;
        assert_eq!(fit(&[3, 3, 3], &rows[..9], &responses[..9]), None);
        assert_eq!(fit(&[3, 3, 3], &rows, &responses[1..]), None);
        assert_eq!(fit(&[2, 3, 3], &rows, &responses), None, "a level too many");
        assert_eq!(fit(&[], &[], &[]), None);
        let mut broken = responses.clone();
        broken[3] = f64::NAN;
        assert_eq!(fit(&[3, 3, 3], &rows, &broken), None);
    }

    #[test]
    fn a_factor_that_is_not_active_does_not_count() {
        let (mut rows, mut responses) = trials(40, 0.1, 8);
        for (row, response) in rows.iter_mut().zip(&mut responses).step_by(2) {
            let level = row[0].take().expect("it was active");
            *response -= EFFECTS[0][level];
        }
        let model = AdditiveEffects::fit(&[3, 3, 3], &rows, &responses).expect("a fit");
        let change = model.change(0, 0, 1).expect("tried");
        assert!(change.low <= 0.5 && 0.5 <= change.high, "{change:?}");
    }
}
