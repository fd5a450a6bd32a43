//! Searches under noise: what a strategy sees, and what it answers in the end.
//!
//! A strategy sees one measurement of each configuration, drawn around the recorded mean. What
//! it is scored by is the recorded mean of its answer. There are two answers at every moment:
//!
//! - *as observed*: the configuration with the best measurement, as tuners without a confirmation take
//!   it;
//! - *confirmed*, as `evo run` takes it: the [`FINALISTS`] best are measured [`ROUNDS`] times more each,
//!   and the answer is the one with the best median of these. `evo run` takes at least 9 samples
//!   of a trial and, by default, at least 45 of a finalist, which is five times as many; a trial is
//!   one draw here, so a finalist gets five. These 15 measurements come on top of the budget.

use std::collections::BTreeMap;

use evo_recorded::Noise;

use crate::{StudyError, StudySpace};

/// How many of the best are confirmed, as `evo run` does unless it is told otherwise.
pub const FINALISTS: usize = 3;

/// Measurements of each finalist in the confirmation.
pub const ROUNDS: usize = 5;

/// What keeps the noise apart from the search that has the same seed.
const NOISE_SALT: u64 = 0x6e6f_6973_65d5_21c3;

/// The noise of a search, if the scale is above 0.
///
/// # Errors
/// A recording without a recorded spread.
pub(crate) fn noise(
    space: &StudySpace,
    seed: u64,
    scale: f64,
) -> Result<Option<Noise>, StudyError> {
    if scale <= 0.0 {
        return Ok(None);
    }
    let noise = Noise::new(
        &space.recording,
        seed.wrapping_add(1).wrapping_mul(NOISE_SALT),
    );
    let noise = noise.map_err(|error| {
        StudyError::Input(format!("{error}, or add `--leave-out {}`", space.name()))
    })?;
    Ok(Some(noise.scaled(scale)))
}

/// Changes of the answer: evaluations so far, their cost, and the recorded time of the answer.
pub(crate) type Answers = Vec<(u64, f64, f64)>;

/// Follows the answers of one search.
pub(crate) struct Observer<'a> {
    space: &'a StudySpace,
    noise: Option<Noise>,
    /// The best measurement so far.
    best: f64,
    /// The best measurements and their rows, ascending.
    finalists: Vec<(f64, usize)>,
    /// What the confirmation of a row says.
    medians: BTreeMap<usize, f64>,
    /// The answers as observed.
    pub(crate) observed: Answers,
    /// The answers that are confirmed; empty without noise.
    pub(crate) confirmed: Answers,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(space: &'a StudySpace, noise: Option<Noise>) -> Self {
        Self {
            space,
            noise,
            best: f64::INFINITY,
            finalists: Vec::new(),
            medians: BTreeMap::new(),
            observed: Vec::new(),
            confirmed: Vec::new(),
        }
    }

    /// A measurement of a row, in milliseconds; `None` where it failed. `spent` is what was evaluated
    /// so far, this row included, and what that cost.
    pub(crate) fn measure(&mut self, row: usize, spent: (u64, f64)) -> Option<f64> {
        let truth = self.truth(row)?;
        let seen = match &mut self.noise {
            Some(noise) => noise.draw(&self.space.recording, row)?,
            None => truth,
        };
        if seen < self.best {
            self.best = seen;
            self.observed.push((spent.0, spent.1, truth));
        }
        if self.noise.is_some() {
            self.confirm(row, seen, spent);
        }
        Some(seen)
    }

    fn truth(&self, row: usize) -> Option<f64> {
        self.space.recording.rows().get(row)?.fate.time_ms()
    }

    /// What a confirmation at this moment would answer. The further measurements of a row are the
    /// same whenever it is confirmed.
    fn confirm(&mut self, row: usize, seen: f64, spent: (u64, f64)) {
        let place = self.finalists.partition_point(|(other, _)| *other <= seen);
        if place >= FINALISTS {
            return;
        }
        self.finalists.insert(place, (seen, row));
        self.finalists.truncate(FINALISTS);
        let recording = &self.space.recording;
        if let Some(noise) = &mut self.noise {
            let mut again: Vec<f64> = (0..ROUNDS)
                .filter_map(|_| noise.draw(recording, row))
                .collect();
            again.sort_by(f64::total_cmp);
            self.medians
                .extend(again.get(ROUNDS / 2).map(|median| (row, *median)));
        }
        let median = |row: usize| self.medians.get(&row).copied().unwrap_or(f64::INFINITY);
        let rows = self.finalists.iter().map(|(_, row)| *row);
        let answer = rows.min_by(|a, b| median(*a).total_cmp(&median(*b)));
        if let Some(truth) = answer.and_then(|answer| self.truth(answer))
            && self
                .confirmed
                .last()
                .is_none_or(|(_, _, last)| *last != truth)
        {
            self.confirmed.push((spent.0, spent.1, truth));
        }
    }
}

#[cfg(test)]
mod tests {
    use evo_recorded::Recording;

    use super::*;

    /// Ten configurations of 10, 10.1, ... 10.9 ms with a spread of 20 %.
    fn space() -> StudySpace {
        let text = r#"{"format": "recorded-space/1", "id": "ten",
            "params": [{"name": "A", "values": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}],
            "restrictions": [], "restrictions_exact": true, "config": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            "time": [10, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 10.7, 10.8, 10.9],
            "status": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "rel_std": [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]}"#;
        StudySpace::new(Recording::parse(text, "x").unwrap()).unwrap()
    }

    fn observed(space: &StudySpace, seed: u64, scale: f64) -> (Vec<f64>, Answers, Answers) {
        let noise = noise(space, seed, scale).unwrap();
        let mut observer = Observer::new(space, noise);
        let rows = 0..10;
        let seen = rows.filter_map(|row| observer.measure(row, (row as u64 + 1, 0.0)));
        let seen: Vec<f64> = seen.collect();
        (seen, observer.observed, observer.confirmed)
    }

    #[test]
    fn without_noise_the_recorded_time_is_seen_and_nothing_is_confirmed() {
        let (seen, observed, confirmed) = observed(&space(), 1, 0.0);
        assert_eq!(seen[3], 10.3);
        assert_eq!(observed, [(1, 0.0, 10.0)]);
        assert!(confirmed.is_empty());
    }

    #[test]
    fn answers_carry_the_recorded_time_of_what_was_observed_as_best() {
        let space = space();
        let (seen, answers, _) = observed(&space, 3, 1.0);
        let best = (0..10)
            .min_by(|a, b| seen[*a].total_cmp(&seen[*b]))
            .unwrap();
        assert_eq!(answers.last().unwrap().2, space.times[best]);
        assert_eq!(observed(&space, 3, 1.0).0, seen, "a function of the seed");
        assert_ne!(observed(&space, 4, 1.0).0, seen);
        assert_ne!(observed(&space, 3, 0.5).0, seen);
    }

    #[test]
    fn a_confirmation_answers_better_than_one_measurement() {
        let space = space();
        let last = |answers: &Answers| answers.last().unwrap().2;
        let runs: Vec<_> = (0..400).map(|seed| observed(&space, seed, 1.0)).collect();
        let single = runs.iter().map(|run| last(&run.1)).sum::<f64>() / 400.0;
        let confirmed = runs.iter().map(|run| last(&run.2)).sum::<f64>() / 400.0;
        assert!(confirmed + 0.01 < single, "{confirmed} {single}");
    }

    #[test]
    fn a_recording_without_a_spread_is_refused() {
        let text = r#"{"format": "recorded-space/1", "id": "one",
            "params": [{"name": "A", "values": [0]}], "restrictions": [],
            "restrictions_exact": true, "config": [0], "time": [1], "status": [0]}"#;
        let space = StudySpace::new(Recording::parse(text, "x").unwrap()).unwrap();
        let error = noise(&space, 1, 1.0).unwrap_err().to_string();
        assert!(
            error.contains("no recorded spread") && error.contains("--leave-out one"),
            "{error}"
        );
    }
}
