//! What a configuration that was not tried would give, from trials that differ in several factors at once.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::interval::CONFIDENCE;

/// Fewest trials of a fit.
const LEAST_TRIALS: usize = 6;
/// Lengths that are tried: by how many factors two trials differ where their correlation is 1/e.
const LENGTHS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
/// Noise that is tried, as a part of the variance.
const NOISES: [f64; 3] = [1e-4, 1e-2, 1e-1];

/// Ordinary kriging over factors with levels: trials are alike the more, the fewer factors they differ in.
///
/// A Gaussian process with an unknown constant mean (Santner, Williams, Notz, "The Design and Analysis of
/// Computer Experiments", 2003, chapter 4) and a correlation of exp(-d / length) at d differing factors, the
/// exchangeable one of Qian, Wu and Wu ("Gaussian process models for computer experiments with qualitative and
/// quantitative factors", 2008). Length and noise are those of the greatest restricted likelihood on a grid.
/// A prediction beside a trial so follows that trial, with what factors do together.
#[derive(Debug, Clone, PartialEq)]
pub struct Kriging {
    rows: Vec<Vec<Option<usize>>>,
    length: f64,
    noise: f64,
    /// The Cholesky factor of the correlations of the trials.
    factor: Lower,
    /// The constant and the residuals, both with that factor taken out.
    ones: Vec<f64>,
    residuals: Vec<f64>,
    mean: f64,
    variance: f64,
}

/// What a configuration would give, with a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The expected response.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Kriging {
    /// Fits `responses`, of which each has the levels of `rows` at the same place: one for each factor, `None`
    /// where the factor is not active.
    ///
    /// `None` where there are fewer than six trials, where a response is not finite, or rows differ in length
    /// or number. It takes a time that grows with the cube of their number: half a second for 500.
    pub fn fit(rows: Vec<Vec<Option<usize>>>, responses: &[f64]) -> Option<Self> {
        let width = rows.first()?.len();
        if rows.len() < LEAST_TRIALS
            || rows.len() != responses.len()
            || rows.iter().any(|row| row.len() != width)
            || !responses.iter().all(|response| response.is_finite())
        {
            return None;
        }
        let mut best: Option<(f64, Self)> = None;
        for length in LENGTHS {
            for noise in NOISES {
                if let Some((likelihood, fit)) = Self::with(&rows, responses, length, noise)
                    && best.as_ref().is_none_or(|(most, _)| likelihood > *most)
                {
                    best = Some((likelihood, fit));
                }
            }
        }
        best.map(|(_, fit)| Self { rows, ..fit })
    }

    /// The fit for a length and a noise, without its rows, and the logarithm of its restricted likelihood.
    fn with(
        rows: &[Vec<Option<usize>>],
        responses: &[f64],
        length: f64,
        noise: f64,
    ) -> Option<(f64, Self)> {
        let factor = Lower::of(rows.len(), |a, b| {
            let own = if a == b { noise } else { 0.0 };
            correlation(&rows[a], &rows[b], length) + own
        })?;
        let ones = factor.solve(&vec![1.0; rows.len()]);
        let whitened = factor.solve(responses);
        let mean = product(&ones, &whitened) / product(&ones, &ones);
        let residuals: Vec<f64> = whitened
            .iter()
            .zip(&ones)
            .map(|(response, one)| response - mean * one)
            .collect();
        let freedom = rows.len() as f64 - 1.0;
        // Responses that are all alike have no variance, and every model explains them.
        let variance = (product(&residuals, &residuals) / freedom).max(1e-24);
        let likelihood = -0.5 * freedom * variance.ln()
            - factor.log_diagonal()
            - 0.5 * product(&ones, &ones).ln();
        let fit = Self {
            rows: Vec::new(),
            length,
            noise,
            factor,
            ones,
            residuals,
            mean,
            variance,
        };
        likelihood.is_finite().then_some((likelihood, fit))
    }

    /// What one trial of a configuration would give, by its levels. `None` where their number is not that of
    /// the factors.
    pub fn predict(&self, row: &[Option<usize>]) -> Option<Prediction> {
        if self.rows.first()?.len() != row.len() {
            return None;
        }
        let near: Vec<f64> = self
            .rows
            .iter()
            .map(|other| correlation(other, row, self.length))
            .collect();
        let near = self.factor.solve(&near);
        let mean = self.mean + product(&near, &self.residuals);
        let unknown = 1.0 - product(&self.ones, &near);
        let spread = 1.0 + self.noise - product(&near, &near)
            + unknown * unknown / product(&self.ones, &self.ones);
        let quantile = StudentsT::new(0.0, 1.0, self.rows.len() as f64 - 1.0)
            .ok()?
            .inverse_cdf(0.5 + CONFIDENCE / 2.0);
        let half = quantile * (self.variance * spread.max(0.0)).sqrt();
        Some(Prediction {
            mean,
            low: mean - half,
            high: mean + half,
        })
    }
}

/// Of two trials, by the number of factors in which they differ.
fn correlation(a: &[Option<usize>], b: &[Option<usize>], length: f64) -> f64 {
    let different = a.iter().zip(b).filter(|(a, b)| a != b).count();
    (-(different as f64) / length).exp()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A lower triangular matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
struct Lower {
    rows: Vec<Vec<f64>>,
}

impl Lower {
    /// The Cholesky factor of a symmetric matrix; `None` where that is not positive definite.
    fn of(size: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
        for row in 0..size {
            let mut own: Vec<f64> = Vec::with_capacity(row + 1);
            for (column, above) in rows.iter().enumerate() {
                let known = product(&own, above);
                own.push((entry(row, column) - known) / above[column]);
            }
            let rest = entry(row, row) - product(&own, &own);
            // Not above zero, or not a number.
            if rest.is_nan() || rest <= 0.0 {
                return None;
            }
            own.push(rest.sqrt());
            rows.push(own);
        }
        Some(Self { rows })
    }

    /// `x` with this matrix times `x` being `right`.
    fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut solution = Vec::with_capacity(right.len());
        for (row, value) in self.rows.iter().zip(right) {
            let known = product(&solution, row);
            let diagonal = row.last().copied().unwrap_or(1.0);
            solution.push((value - known) / diagonal);
        }
        solution
    }

    fn log_diagonal(&self) -> f64 {
        let diagonal = self.rows.iter().filter_map(|row| row.last());
        diagonal.map(|value| value.ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal};

    use super::*;

    const FACTORS: usize = 5;
    const LEVELS: usize = 3;

    /// Effects of every level and of every pair of levels of neighbouring factors, a third as great.
    struct World {
        single: Vec<f64>,
        pairs: Vec<f64>,
    }

    impl World {
        fn new(generator: &mut ChaCha8Rng) -> Self {
            let normal = Normal::new(0.0, 0.3).expect("a deviation");
            let mut draw = |count: usize| -> Vec<f64> {
                (0..count).map(|_| normal.sample(generator)).collect()
            };
            let pairs = draw((FACTORS - 1) * LEVELS * LEVELS);
            Self {
                single: draw(FACTORS * LEVELS),
                pairs: pairs.into_iter().map(|effect| effect / 3.0).collect(),
            }
        }

        fn response(&self, row: &[Option<usize>]) -> f64 {
            let levels: Vec<usize> = row.iter().flatten().copied().collect();
            let single = levels.iter().enumerate();
            let single: f64 = single.map(|(at, it)| self.single[at * LEVELS + it]).sum();
            let pairs = levels.windows(2).enumerate();
            let pairs: f64 = pairs
                .map(|(at, pair)| self.pairs[(at * LEVELS + pair[0]) * LEVELS + pair[1]])
                .sum();
            4.0 + single + pairs
        }
    }

    fn row(generator: &mut ChaCha8Rng) -> Vec<Option<usize>> {
        (0..FACTORS)
            .map(|_| Some(generator.random_range(0..LEVELS)))
            .collect()
    }

    #[test]
    fn what_was_not_tried_lies_in_its_interval_and_near_its_prediction() {
        let (mut inside, mut error, mut spread, mut width) = (0, 0.0, 0.0, 0.0);
        for seed in 0..300 {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            let world = World::new(&mut generator);
            let rows: Vec<_> = (0..60).map(|_| row(&mut generator)).collect();
            let responses: Vec<f64> = rows.iter().map(|it| world.response(it)).collect();
            let mean = responses.iter().sum::<f64>() / 60.0;
            let new = row(&mut generator);
            let truth = world.response(&new);
            let model = Kriging::fit(rows, &responses).expect("a fit");
            let told = model.predict(&new).expect("a prediction");
            inside += usize::from(told.low <= truth && truth <= told.high);
            error += (told.mean - truth).powi(2);
            spread += (mean - truth).powi(2);
            width += (told.high - told.low).powi(2);
        }
        // At least 95 %, give or take what 300 vary by: the process is rougher than sums of effects are. And the
        // intervals are narrower than what is known without a model, which is four deviations.
        assert!(inside >= 278, "{inside} of 300");
        assert!(width < 0.6 * 16.0 * spread, "{width}, {spread}");
        assert!(error < 0.2 * spread, "{error} of {spread}");
    }

    #[test]
    fn beside_a_trial_that_is_better_than_its_levels_suggest_a_change_is_not_expected_to_pay() {
        // Both levels of both factors are alike but for one combination.
        let mut rows = Vec::new();
        let mut responses = Vec::new();
        for (a, b, c) in (0..27).map(|it| (it % 3, it / 3 % 3, it / 9)) {
            if (a, b, c) == (0, 0, 1) {
                continue;
            }
            rows.push(vec![Some(a), Some(b), Some(c)]);
            responses.push(if (a, b, c) == (0, 0, 0) { 1.0 } else { 2.0 });
        }
        let model = Kriging::fit(rows, &responses).expect("a fit");
        let told = model.predict(&[Some(0), Some(0), Some(1)]);
        assert!(told.expect("a prediction").mean > 1.2, "{told:?}");
    }

    #[test]
    fn a_trial_is_predicted_as_it_was_and_what_is_far_is_uncertain() {
        let mut generator = ChaCha8Rng::seed_from_u64(4);
        let world = World::new(&mut generator);
        let rows: Vec<_> = (0..40).map(|_| row(&mut generator)).collect();
        let responses: Vec<f64> = rows.iter().map(|it| world.response(it)).collect();
        let model = Kriging::fit(rows.clone(), &responses).expect("a fit");
        let known = model.predict(&rows[7]).expect("a prediction");
        assert!((known.mean - responses[7]).abs() < 0.02, "{known:?}");
        let far = model.predict(&[None; FACTORS]).expect("a prediction");
        assert!(
            far.high - far.low > 3.0 * (known.high - known.low),
            "{far:?}, {known:?}"
        );
    }

    #[test]
    fn what_is_too_little_or_does_not_fit_has_no_model() {
        let rows = |count: usize| -> Vec<Vec<Option<usize>>> {
            (0..count).map(|it| vec![Some(it % 2)]).collect()
        };
        assert_eq!(Kriging::fit(rows(5), &[1.0; 5]), None);
        assert_eq!(Kriging::fit(rows(6), &[1.0; 7]), None);
        assert_eq!(Kriging::fit(Vec::new(), &[]), None);
        let mut ragged = rows(6);
        ragged[2].push(None);
        assert_eq!(Kriging::fit(ragged, &[1.0; 6]), None);
        assert_eq!(
            Kriging::fit(rows(6), &[1.0, 2.0, 3.0, f64::NAN, 1.0, 1.0]),
            None
        );
        let alike = Kriging::fit(rows(6), &[3.0; 6]).expect("a fit");
        let told = alike.predict(&[Some(0)]).expect("a prediction");
        assert!((told.mean - 3.0).abs() < 1e-9 && told.high - told.low < 1e-9);
        assert_eq!(alike.predict(&[]), None);
    }

    proptest! {
        #[test]
        fn a_prediction_is_finite_and_inside_its_interval(
            rows in prop::collection::vec(
                prop::collection::vec(prop::option::of(0..4_usize), 3), 6..30),
            scale in 1e-9..1e9_f64,
        ) {
            let value = |row: &Vec<Option<usize>>| {
                row.iter().map(|it| it.map_or(0.5, |it| it as f64)).sum::<f64>() * scale
            };
            let responses: Vec<f64> = rows.iter().map(value).collect();
            let model = Kriging::fit(rows, &responses).expect("a fit");
            let told = model.predict(&[Some(1), None, Some(9)]).expect("a prediction");
            prop_assert!(told.low.is_finite() && told.high.is_finite());
            prop_assert!(told.low <= told.mean && told.mean <= told.high);
        }
    }
}
