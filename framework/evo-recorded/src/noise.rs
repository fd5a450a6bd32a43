//! Noise: a single measurement drawn from the recorded spread.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Recording;
use crate::recording::Fate;

/// Draws measurements around the recorded means.
///
/// A draw is lognormal with the recorded mean and standard deviation, so that it is positive.
/// Where a row has no deviation, the median of the others stands for it. A draw is a function of
/// the seed, the row and how often the row was drawn before, whatever was drawn in between.
#[derive(Debug, Clone)]
pub struct Noise {
    seed: u64,
    usual: f64,
    scale: f64,
    drawn: Vec<u32>,
}

impl Noise {
    /// Noise for a recording.
    ///
    /// # Errors
    /// Where no spread was recorded at all.
    pub fn new(recording: &Recording, seed: u64) -> Result<Self, String> {
        let mut known: Vec<f64> = recording.rows().iter().filter_map(deviation).collect();
        known.sort_by(f64::total_cmp);
        let usual = known.get(known.len() / 2).copied().ok_or_else(|| {
            format!(
                "`{}` has no recorded spread to draw noise from; leave noise off",
                recording.name()
            )
        })?;
        Ok(Self {
            seed,
            usual,
            scale: 1.0,
            drawn: vec![0; recording.rows().len()],
        })
    }

    /// Multiplies every deviation: 0 leaves the recorded means, 1 is what was recorded. A scale that
    /// is not finite, or is negative, counts as 0.
    #[must_use]
    pub fn scaled(mut self, scale: f64) -> Self {
        self.scale = if scale.is_finite() {
            scale.max(0.0)
        } else {
            0.0
        };
        self
    }

    /// One measurement of a row, in milliseconds; `None` where it has no time.
    pub fn draw(&mut self, recording: &Recording, place: usize) -> Option<f64> {
        let row = recording.rows().get(place)?;
        let mean = row.fate.time_ms()?;
        let visits = self.drawn.get_mut(place)?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(place as u64);
        // Each visit has 64 words of the stream to itself: a normal draw takes far fewer.
        rng.set_word_pos(u128::from(*visits) * 64);
        *visits = visits.saturating_add(1);
        let spread = self.scale * deviation(row).unwrap_or(self.usual);
        let variance = (1.0 + spread * spread).ln();
        let z: f64 = StandardNormal.sample(&mut rng);
        Some(mean * (variance.sqrt() * z - variance / 2.0).exp())
    }
}

fn deviation(row: &crate::Row) -> Option<f64> {
    match &row.fate {
        Fate::Measured { deviation, .. } => {
            deviation.filter(|spread| spread.is_finite() && *spread >= 0.0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(deviation: &str) -> Recording {
        let text = format!(
            r#"{{"format": "recorded-space/1", "params": [{{"name": "A", "values": [1, 2]}}],
            "restrictions": [], "restrictions_exact": true, "config": [0, 1],
            "time": [2.0, null], "status": [0, 1], "rel_std": [{deviation}, null]}}"#
        );
        Recording::parse(&text, "r").unwrap()
    }

    #[test]
    fn draws_have_the_recorded_mean_and_deviation() {
        let recording = recording("0.1");
        let mut noise = Noise::new(&recording, 7).unwrap();
        let n = 20_000;
        let draws: Vec<f64> = (0..n).filter_map(|_| noise.draw(&recording, 0)).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let square = |x: &f64| (x - mean) * (x - mean);
        let deviation = (draws.iter().map(square).sum::<f64>() / n as f64).sqrt() / mean;
        assert!((mean - 2.0).abs() < 0.01, "{mean}");
        assert!((deviation - 0.1).abs() < 0.005, "{deviation}");
        assert!(draws.iter().all(|draw| *draw > 0.0));
        assert_eq!(noise.draw(&recording, 1), None);
    }

    #[test]
    fn a_scale_multiplies_the_deviation() {
        let recording = recording("0.001");
        let drawn = |scale| {
            let noise = Noise::new(&recording, 7).unwrap();
            noise.scaled(scale).draw(&recording, 0).unwrap()
        };
        assert_eq!((drawn(0.0), drawn(f64::NAN), drawn(-1.0)), (2.0, 2.0, 2.0));
        // So small a spread is nearly linear.
        let (one, ten) = ((drawn(1.0) / 2.0).ln(), (drawn(10.0) / 2.0).ln());
        assert!((ten / one - 10.0).abs() < 0.1, "{one} {ten}");
    }

    #[test]
    fn a_draw_depends_on_seed_row_and_visit_alone() {
        let recording = recording("0.1");
        let draws = |seed| {
            let mut noise = Noise::new(&recording, seed).unwrap();
            [noise.draw(&recording, 0), noise.draw(&recording, 0)]
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(draws(1)[0], draws(1)[1]);
    }

    #[test]
    fn without_a_spread_there_is_no_noise() {
        let error = Noise::new(&recording("null"), 1).unwrap_err();
        assert!(error.contains("no recorded spread"), "{error}");
    }
}
