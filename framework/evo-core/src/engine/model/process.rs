//! A Gaussian process with a Matern 5/2 kernel and one length scale per group of coordinates
//! (Rasmussen, Williams, "Gaussian Processes for Machine Learning", 2006: algorithm 2.1 for
//! regression, section 4.2 for the kernel, section 5.4 for the fit).
//!
//! Transcendental functions come from `libm`, or are computed here, so that results do not depend on
//! the machine.

use super::features::Features;

/// The noise that the prior prefers, in units of the variance of the signal.
const USUAL_NOISE: f64 = 1e-2;

/// Length scales and noise. The variance of the signal follows from the data.
#[derive(Debug, Clone)]
pub(crate) struct Hyper {
    /// One per group of coordinates.
    scales: Vec<f64>,
    /// The variance of the noise in units of that of the signal.
    noise: f64,
    /// The length scale that the prior prefers.
    usual: f64,
}

impl Hyper {
    pub(crate) fn new(groups: &[usize], usual: f64) -> Self {
        let count = groups.iter().max().map_or(0, |last| last + 1);
        // Distances grow with the square root of the dimension, so length scales do too.
        let usual = usual * (count as f64 / 8.0).sqrt().max(1.0);
        Self {
            scales: vec![usual; count],
            noise: USUAL_NOISE,
            usual,
        }
    }

    /// Climbs the marginal likelihood times the prior by resilient steps on the logarithms (Rprop:
    /// Riedmiller, Braun, ICNN 1993): each hyperparameter has a step of its own, which grows while
    /// the sign of the slope stays and shrinks when it turns.
    pub(crate) fn fit(
        &mut self,
        features: &Features,
        points: &[Vec<f64>],
        targets: &[f64],
        steps: usize,
    ) {
        let mut now = self.clone();
        let mut most = f64::NEG_INFINITY;
        let mut pace = vec![0.3_f64; self.scales.len() + 1];
        let mut before = vec![0.0_f64; pace.len()];
        for _ in 0..steps {
            let Some((evidence, slopes)) = now.evidence(features, points, targets) else {
                break;
            };
            if evidence > most {
                most = evidence;
                *self = now.clone();
            }
            for (place, (slope, (pace, before))) in slopes
                .iter()
                .zip(pace.iter_mut().zip(&mut before))
                .enumerate()
            {
                let turned = *before * slope;
                if turned > 0.0 {
                    *pace = (*pace * 1.2).min(0.8);
                } else if turned < 0.0 {
                    *pace *= 0.5;
                }
                *before = *slope;
                now.shift(place, pace.copysign(*slope));
            }
        }
    }

    /// Adds to the logarithm of one hyperparameter, the noise being the last.
    fn shift(&mut self, place: usize, by: f64) {
        match self.scales.get_mut(place) {
            Some(scale) => *scale = (*scale * libm::exp(by)).clamp(0.02, 20.0),
            None => self.noise = (self.noise * libm::exp(by)).clamp(1e-4, 1.0),
        }
    }

    /// The logarithm of marginal likelihood times prior, up to a constant, and its slope in the
    /// logarithm of each hyperparameter (equation 5.9, with the variance of the signal at its
    /// optimum); `None` where the covariance matrix is not positive definite.
    fn evidence(
        &self,
        features: &Features,
        points: &[Vec<f64>],
        targets: &[f64],
    ) -> Option<(f64, Vec<f64>)> {
        let mut process = Process::new(features, self);
        if !points.iter().all(|point| process.append(point.clone())) {
            return None;
        }
        process.condition(targets.to_vec());
        let n = targets.len();
        let determinant: f64 = process.factor.diagonal().map(libm::log).sum();
        let mut slopes: Vec<f64> = Vec::with_capacity(self.scales.len() + 1);
        let mut evidence = -0.5 * n as f64 * libm::log(process.signal) - determinant;
        for scale in &self.scales {
            let z = libm::log(scale / self.usual);
            evidence -= 0.5 * z * z;
            slopes.push(-z);
        }
        let z = libm::log(self.noise / USUAL_NOISE);
        evidence -= z * z / 8.0;
        slopes.push(-z / 4.0);
        let noise = process.slopes(features.groups(), &mut slopes);
        if let Some(slope) = slopes.last_mut() {
            *slope += noise;
        }
        Some((evidence, slopes))
    }
}

/// A process over points, conditioned on what came out at them.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// The inverse length scale of each coordinate.
    inverse: Vec<f64>,
    noise: f64,
    /// The points, scaled, one column per coordinate.
    columns: Vec<Vec<f64>>,
    factor: Factor,
    /// The targets, and what the means are linear in.
    targets: Vec<f64>,
    weights: Vec<f64>,
    /// The variance of the signal.
    signal: f64,
}

/// A prediction whose deviation is only bounded as yet.
#[derive(Debug)]
pub(crate) struct Prospect {
    pub(crate) mean: f64,
    /// The deviation that the nearest trial alone would leave.
    pub(crate) most_sd: f64,
    /// With each point.
    pub(crate) correlations: Vec<f64>,
}

impl Process {
    /// A process over no points.
    pub(crate) fn new(features: &Features, hyper: &Hyper) -> Self {
        let inverse: Vec<f64> = features
            .groups()
            .iter()
            .map(|group| 1.0 / hyper.scales.get(*group).copied().unwrap_or(1.0))
            .collect();
        Self {
            columns: vec![Vec::new(); inverse.len()],
            inverse,
            noise: hyper.noise,
            factor: Factor::default(),
            targets: Vec::new(),
            weights: Vec::new(),
            signal: 1.0,
        }
    }

    /// Adds a point; `false` where the covariance matrix would no longer be positive definite.
    pub(crate) fn append(&mut self, point: Vec<f64>) -> bool {
        let point = self.scaled(point);
        let covariances = self.covariances(&point);
        let appended = self.factor.append(&covariances, 1.0 + self.noise);
        if appended {
            for (column, x) in self.columns.iter_mut().zip(point) {
                column.push(x);
            }
        }
        appended
    }

    /// Conditions on the outcomes at all points.
    pub(crate) fn condition(&mut self, targets: Vec<f64>) {
        let whitened = self.factor.solve(&targets);
        let n = whitened.len().max(1) as f64;
        self.signal = (dot(&whitened, &whitened) / n).max(1e-12);
        self.weights = self.factor.solve_transposed(&whitened);
        self.targets = targets;
    }

    /// Adds to the slopes of the length scales of the groups those of the marginal likelihood; returns
    /// the slope of the noise. Both are half the trace of W times the derivative of the covariance
    /// matrix, where W is weights weights' / signal - inverse.
    fn slopes(&self, groups: &[usize], slopes: &mut [f64]) -> f64 {
        let mut diagonal = 0.0;
        let mut row: Vec<f64> = Vec::new();
        for (i, inverse) in self.factor.inverse().iter().enumerate() {
            let (Some((own, before)), Some(weight)) = (inverse.split_last(), self.weights.get(i))
            else {
                continue;
            };
            diagonal += weight * weight / self.signal - own;
            row.clear();
            row.resize(i, 0.0);
            for column in &self.columns {
                add_squares(&mut row, column, column[i]);
            }
            for ((square, inverse), other) in row.iter_mut().zip(before).zip(&self.weights) {
                *square = (weight * other / self.signal - inverse) * matern_slope(*square);
            }
            for (column, group) in self.columns.iter().zip(groups) {
                let x = column[i];
                let terms = column.iter().zip(&row);
                let sum: f64 = terms.map(|(y, w)| (x - y) * (x - y) * w).sum();
                if let Some(slope) = slopes.get_mut(*group) {
                    *slope += sum;
                }
            }
        }
        0.5 * self.noise * diagonal
    }

    /// Adds a point as if its outcome had turned out as expected; returns what that is.
    pub(crate) fn believe(&mut self, point: Vec<f64>) -> f64 {
        let mean = self.prospect(point.clone()).mean;
        if self.append(point) {
            self.targets.push(mean);
            let whitened = self.factor.solve(&self.targets);
            self.weights = self.factor.solve_transposed(&whitened);
        }
        mean
    }

    pub(crate) fn prospect(&self, point: Vec<f64>) -> Prospect {
        let covariances = self.covariances(&self.scaled(point));
        let nearest = covariances.iter().copied().fold(0.0, f64::max);
        Prospect {
            mean: dot(&covariances, &self.weights),
            most_sd: self.sd(nearest * nearest / (1.0 + self.noise)),
            correlations: covariances,
        }
    }

    pub(crate) fn exact_sd(&self, prospect: &Prospect) -> f64 {
        let whitened = self.factor.solve(&prospect.correlations);
        self.sd(dot(&whitened, &whitened))
    }

    fn sd(&self, explained: f64) -> f64 {
        ((1.0 - explained).max(1e-9) * self.signal).sqrt()
    }

    fn scaled(&self, mut point: Vec<f64>) -> Vec<f64> {
        for (x, inverse) in point.iter_mut().zip(&self.inverse) {
            *x *= inverse;
        }
        point
    }

    /// The correlations of a scaled point with all points.
    fn covariances(&self, point: &[f64]) -> Vec<f64> {
        let mut squares = vec![0.0; self.factor.len()];
        for (x, column) in point.iter().zip(&self.columns) {
            add_squares(&mut squares, column, *x);
        }
        for value in &mut squares {
            *value = matern(*value);
        }
        squares
    }
}

/// Adds the squared distances of a coordinate to those of a column.
fn add_squares(squares: &mut [f64], column: &[f64], x: f64) {
    for (square, other) in squares.iter_mut().zip(column) {
        let difference = x - other;
        *square += difference * difference;
    }
}

/// The Matern 5/2 correlation at a squared distance.
#[inline]
fn matern(square: f64) -> f64 {
    let r = (5.0 * square).sqrt();
    (1.0 + r + r * r * (1.0 / 3.0)) * decay(r)
}

/// The derivative of the correlation in the logarithm of a length scale, for each unit of squared
/// distance along it.
#[inline]
fn matern_slope(square: f64) -> f64 {
    let r = (5.0 * square).sqrt();
    (1.0 + r) * (5.0 / 3.0) * decay(r)
}

/// `exp(-r)` for `r >= 0` to a relative error of 1e-9, by arithmetic alone, so that it is the same on
/// every machine and several are computed at a time.
#[inline]
fn decay(r: f64) -> f64 {
    // Adding it leaves the nearest whole number in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = r.min(700.0) * -std::f64::consts::LOG2_E;
    let shifted = x + ROUND;
    let f = (x - (shifted - ROUND)) * std::f64::consts::LN_2;
    let mut series = 1.0 / 40320.0;
    series = series * f + 1.0 / 5040.0;
    series = series * f + 1.0 / 720.0;
    series = series * f + 1.0 / 120.0;
    series = series * f + 1.0 / 24.0;
    series = series * f + 1.0 / 6.0;
    series = series * f + 0.5;
    series = series * f + 1.0;
    series = series * f + 1.0;
    series * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

/// A lower triangular Cholesky factor, row by row.
#[derive(Debug, Clone, Default)]
struct Factor {
    rows: Vec<Vec<f64>>,
}

impl Factor {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn diagonal(&self) -> impl Iterator<Item = f64> {
        self.rows.iter().filter_map(|row| row.last().copied())
    }

    /// Solves `L z = b`.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut z = Vec::with_capacity(self.len());
        for (row, b) in self.rows.iter().zip(b) {
            let (before, diagonal) = row.split_at(z.len());
            let diagonal = diagonal.first().copied().unwrap_or(1.0);
            z.push((b - dot(before, &z)) / diagonal);
        }
        z
    }

    /// Solves `L' z = b`.
    fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut z = b.to_vec();
        for (i, row) in self.rows.iter().enumerate().rev() {
            let (before, from) = z.split_at_mut(i);
            let (Some(solved), Some(diagonal)) = (from.first_mut(), row.last()) else {
                continue;
            };
            *solved /= diagonal;
            for (x, l) in before.iter_mut().zip(row) {
                *x -= l * *solved;
            }
        }
        z
    }

    /// The lower triangle of the inverse of the matrix, row by row.
    fn inverse(&self) -> Vec<Vec<f64>> {
        let n = self.len();
        // The columns of the inverse factor, each from its diagonal on.
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
        for start in 0..n {
            let mut column: Vec<f64> = Vec::with_capacity(n - start);
            for (i, row) in self.rows.iter().enumerate().skip(start) {
                let own = if i == start { 1.0 } else { 0.0 };
                let sum = dot(&row[start..i], &column);
                column.push((own - sum) / row[i]);
            }
            columns.push(column);
        }
        (0..n)
            .map(|i| {
                (0..=i)
                    .map(|j| dot(&columns[i], &columns[j][i - j..]))
                    .collect()
            })
            .collect()
    }

    /// Adds a row to the matrix; `false` where it would no longer be positive definite.
    fn append(&mut self, covariances: &[f64], variance: f64) -> bool {
        let mut row = self.solve(covariances);
        let pivot = variance - dot(&row, &row);
        let definite = pivot > 1e-10;
        if definite {
            row.push(pivot.sqrt());
            self.rows.push(row);
        }
        definite
    }
}

/// The scalar product in four fixed lanes, so that it is fast and always the same.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a_chunks, b_chunks) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..4 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Env, Space};

    fn features() -> Features {
        let text = r#"(name: "t", params: [
            (name: "A", pow2: (from: 1, to: 128)), (name: "B", values: [false, true]),
        ])"#;
        Features::new(&Space::parse(text, "t.ron", &Env::default()).unwrap())
    }

    fn points() -> Vec<Vec<f64>> {
        (0..8).map(|i| vec![f64::from(i) / 7.0, 0.0, 0.7]).collect()
    }

    fn fitted(targets: &[f64]) -> Process {
        let features = features();
        let mut hyper = Hyper::new(features.groups(), 0.5);
        hyper.fit(&features, &points(), targets, 12);
        let mut process = Process::new(&features, &hyper);
        assert!(points().into_iter().all(|point| process.append(point)));
        process.condition(targets.to_vec());
        process
    }

    #[test]
    fn a_smooth_function_is_interpolated_and_doubt_grows_with_distance() {
        let truth = |x: f64| 4.0 * (x - 0.4) * (x - 0.4) - 0.5;
        let targets: Vec<f64> = points().iter().map(|point| truth(point[0])).collect();
        let process = fitted(&targets);
        let between = process.prospect(vec![0.5, 0.0, 0.7]);
        assert!((between.mean - truth(0.5)).abs() < 0.05, "{}", between.mean);
        let sd = process.exact_sd(&between);
        let far = process.prospect(vec![0.5, 0.7, 0.0]);
        assert!(sd < between.most_sd && sd < 0.2 * process.exact_sd(&far));
    }

    #[test]
    fn what_is_believed_is_what_was_expected_and_takes_the_doubt_away() {
        let truth = |x: f64| 4.0 * (x - 0.4) * (x - 0.4) - 0.5;
        let targets: Vec<f64> = points().iter().map(|point| truth(point[0])).collect();
        let mut process = fitted(&targets);
        let point = vec![0.4, 0.7, 0.0];
        let before = process.prospect(point.clone());
        let doubt = process.exact_sd(&before);
        let believed = process.believe(point.clone());
        assert_eq!(believed, before.mean);
        let after = process.prospect(point);
        assert!((after.mean - believed).abs() < 0.05 && process.exact_sd(&after) < 0.3 * doubt);
    }

    #[test]
    fn the_slopes_are_those_of_the_evidence() {
        let features = features();
        let targets = [0.3, -1.0, 0.2, 0.9, -0.4, 1.2, -1.2, 0.1];
        let mut points = points();
        points[3][1..].copy_from_slice(&[0.7, 0.0]);
        points[6][1..].copy_from_slice(&[0.7, 0.0]);
        let mut hyper = Hyper::new(features.groups(), 0.5);
        hyper.noise = 0.05;
        let evidence = |hyper: &Hyper| hyper.evidence(&features, &points, &targets).unwrap();
        let (_, slopes) = evidence(&hyper);
        for (place, slope) in slopes.iter().enumerate() {
            let (mut more, mut less) = (hyper.clone(), hyper.clone());
            more.shift(place, 1e-4);
            less.shift(place, -1e-4);
            let numeric = (evidence(&more).0 - evidence(&less).0) / 2e-4;
            assert!((numeric - slope).abs() < 1e-4, "{place}: {slope} {numeric}");
        }
    }

    #[test]
    fn the_decay_is_the_exponential_function() {
        for step in 0..4000 {
            let r = f64::from(step) * 0.01;
            let exact = libm::exp(-r);
            assert!((decay(r) - exact).abs() <= 2e-9 * exact, "{r}");
        }
        assert!(decay(1e9) < 1e-300);
    }

    #[test]
    fn the_factor_is_that_of_the_covariance_matrix() {
        let process = fitted(&[0.3, -1.0, 0.2, 0.9, -0.4, 1.2, -1.2, 0.1]);
        let rows = &process.factor.rows;
        for i in 0..rows.len() {
            let point: Vec<f64> = process.columns.iter().map(|column| column[i]).collect();
            let covariances = process.covariances(&point);
            for j in 0..=i {
                let product = dot(&rows[i][..=j], &rows[j]);
                let noise = if i == j { process.noise } else { 0.0 };
                assert!((product - covariances[j] - noise).abs() < 1e-9);
            }
        }
        // Times the inverse it is the identity.
        let inverse = process.factor.inverse();
        let at = |i: usize, j: usize| inverse[i.max(j)][i.min(j)];
        let covariance = |i: usize, j: usize| {
            let (low, high) = (i.min(j), i.max(j));
            dot(&rows[high][..=low], &rows[low])
        };
        for i in 0..rows.len() {
            for j in 0..rows.len() {
                let product: f64 = (0..rows.len()).map(|k| at(i, k) * covariance(k, j)).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-6);
            }
        }
        // A repeated point is borne by the noise.
        assert!(process.clone().append(points().remove(0)));
    }

    #[test]
    fn a_believed_outcome_takes_doubt_away_and_moves_no_mean() {
        let targets: Vec<f64> = points().iter().map(|point| point[0] * point[0]).collect();
        let mut process = fitted(&targets);
        let new = vec![0.5, 0.7, 0.0];
        let (before, elsewhere) = (
            process.prospect(new.clone()),
            process.prospect(vec![0.9, 0.7, 0.0]),
        );
        let doubt = process.exact_sd(&before);
        process.believe(new.clone());
        let after = process.prospect(new);
        assert!((after.mean - before.mean).abs() < 1e-6);
        assert!(process.exact_sd(&after) < 0.5 * doubt);
        let mean = process.prospect(vec![0.9, 0.7, 0.0]).mean;
        assert!((mean - elsewhere.mean).abs() < 1e-6);
    }
}
