//! Which trial is built and which is measured next, by whom.
//!
//! Trials are proposed, measured and settled in one order. Builds run ahead of it, on builders or,
//! where there are none, on the lane that measures afterwards. A lane is a device with a worker: it
//! does one thing at a time. A trial is measured only when the builds of all earlier ones are known,
//! since what it executes may be what an earlier one does.
//!
//! Nothing here knows processes or clocks, so that every order of events can be tested.

use std::collections::VecDeque;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Build this trial, on a builder.
    BuildAhead { trial: u64, builder: usize },
    /// Build this trial, on the lane that will measure it.
    BuildHere { trial: u64, lane: usize },
    /// Measure this trial.
    Measure { trial: u64, lane: usize },
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Building { place: Place },
    Built { lane: Option<usize> },
    Measuring { lane: usize },
    Done,
}

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Lane(usize),
    Builder(usize),
}

/// How many trials are at which stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queues {
    /// Trials that wait for a builder.
    pub waiting: usize,
    /// Trials that are being built.
    pub building: usize,
    /// Trials that are built and wait for a device.
    pub ready: usize,
    /// Trials that are being measured.
    pub measuring: usize,
}

/// The trials under way, oldest first.
#[derive(Debug)]
pub(super) struct Pipeline {
    trials: VecDeque<(u64, Stage)>,
    lanes: Vec<bool>,
    builders: Vec<bool>,
    /// Whether only what a device has begun is brought to its end.
    winding_up: bool,
}

impl Pipeline {
    /// With so many devices, and so many builders beside them.
    pub(super) fn new(lanes: usize, builders: usize) -> Self {
        Self {
            trials: VecDeque::new(),
            lanes: vec![false; lanes.max(1)],
            builders: vec![false; builders],
            winding_up: false,
        }
    }

    /// Trials under way.
    pub(super) fn len(&self) -> usize {
        self.trials.len()
    }

    /// Adds the newest trial. One without a build, as of an objective, only waits for a device.
    pub(super) fn add(&mut self, trial: u64, builds: bool) {
        let stage = if builds {
            Stage::Waiting
        } else {
            Stage::Built { lane: None }
        };
        self.trials.push_back((trial, stage));
    }

    /// From now on only trials that a device has begun go on.
    pub(super) fn wind_up(&mut self) {
        self.winding_up = true;
    }

    /// Whether a device has begun a trial and not ended it.
    pub(super) fn is_under_way(&self) -> bool {
        self.trials.iter().any(|(_, stage)| {
            matches!(
                stage,
                Stage::Measuring { .. }
                    | Stage::Building {
                        place: Place::Lane(_)
                    }
                    | Stage::Built { lane: Some(_) }
            )
        })
    }

    /// The lane that measures a trial.
    pub(super) fn measuring_on(&self, trial: u64) -> Option<usize> {
        match self.stage(trial)? {
            Stage::Measuring { lane } => Some(lane),
            _ => None,
        }
    }

    /// The lane that builds a trial, if a lane does.
    pub(super) fn building_on(&self, trial: u64) -> Option<usize> {
        match self.stage(trial)? {
            Stage::Building {
                place: Place::Lane(lane),
            } => Some(lane),
            _ => None,
        }
    }

    /// The next step, which counts as begun.
    pub(super) fn next(&mut self) -> Option<Step> {
        let measurement = self.next_measurement();
        if measurement.is_some() || self.winding_up {
            return measurement;
        }
        self.next_build()
    }

    /// The oldest trial that is not being measured yet, if it can be.
    fn next_measurement(&mut self) -> Option<Step> {
        let begun = |stage: &Stage| matches!(stage, Stage::Measuring { .. } | Stage::Done);
        let (trial, stage) = self.trials.iter_mut().find(|(_, stage)| !begun(stage))?;
        let Stage::Built { lane: own } = *stage else {
            return None;
        };
        if self.winding_up && own.is_none() {
            return None;
        }
        // A lane that has built a trial is kept for it.
        let lane = match own {
            Some(lane) => lane,
            None => free(&self.lanes)?,
        };
        *stage = Stage::Measuring { lane };
        set(&mut self.lanes, lane, true);
        Some(Step::Measure {
            trial: *trial,
            lane,
        })
    }

    fn next_build(&mut self) -> Option<Step> {
        let waits = |stage: &Stage| *stage == Stage::Waiting;
        let (trial, stage) = self.trials.iter_mut().find(|(_, stage)| waits(stage))?;
        let trial = *trial;
        if self.builders.is_empty() {
            let lane = free(&self.lanes)?;
            let place = Place::Lane(lane);
            *stage = Stage::Building { place };
            set(&mut self.lanes, lane, true);
            return Some(Step::BuildHere { trial, lane });
        }
        let builder = free(&self.builders)?;
        let place = Place::Builder(builder);
        *stage = Stage::Building { place };
        set(&mut self.builders, builder, true);
        Some(Step::BuildAhead { trial, builder })
    }

    /// A trial was built: on a builder, or on this lane.
    pub(super) fn built(&mut self, trial: u64, lane: Option<usize>) {
        self.free_builder(trial);
        self.put(trial, Stage::Built { lane });
    }

    /// A trial needs nothing more; `lane` is what it was built or measured on, if it was.
    pub(super) fn done(&mut self, trial: u64, lane: Option<usize>) {
        self.free_builder(trial);
        let kept = match self.stage(trial) {
            Some(Stage::Built { lane }) => lane,
            Some(Stage::Measuring { lane }) => Some(lane),
            _ => None,
        };
        for lane in lane.into_iter().chain(kept) {
            set(&mut self.lanes, lane, false);
        }
        self.put(trial, Stage::Done);
    }

    /// The oldest trial that can still turn out to repeat an earlier one: all before it are known.
    pub(super) fn next_to_compare(&self) -> Option<u64> {
        let begun = |stage: &Stage| matches!(stage, Stage::Measuring { .. } | Stage::Done);
        let (trial, stage) = self.trials.iter().find(|(_, stage)| !begun(stage))?;
        matches!(stage, Stage::Built { .. }).then_some(*trial)
    }

    /// Takes the oldest trial, if it is done.
    pub(super) fn settle(&mut self) -> Option<u64> {
        match self.trials.front() {
            Some((trial, Stage::Done)) => {
                let trial = *trial;
                self.trials.pop_front();
                Some(trial)
            }
            _ => None,
        }
    }

    /// How many trials are where.
    pub(super) fn queues(&self) -> Queues {
        let mut queues = Queues::default();
        for (_, stage) in &self.trials {
            match stage {
                Stage::Waiting => queues.waiting += 1,
                Stage::Building { .. } => queues.building += 1,
                Stage::Built { .. } => queues.ready += 1,
                Stage::Measuring { .. } => queues.measuring += 1,
                Stage::Done => {}
            }
        }
        queues
    }

    fn stage(&self, trial: u64) -> Option<Stage> {
        let found = self.trials.iter().find(|(other, _)| *other == trial);
        found.map(|(_, stage)| *stage)
    }

    fn put(&mut self, trial: u64, stage: Stage) {
        if let Some(found) = self.trials.iter_mut().find(|(other, _)| *other == trial) {
            found.1 = stage;
        }
    }

    fn free_builder(&mut self, trial: u64) {
        if let Some(Stage::Building {
            place: Place::Builder(builder),
        }) = self.stage(trial)
        {
            set(&mut self.builders, builder, false);
        }
    }
}

fn free(places: &[bool]) -> Option<usize> {
    places.iter().position(|busy| !busy)
}

fn set(places: &mut [bool], place: usize, busy: bool) {
    if let Some(found) = places.get_mut(place) {
        *found = busy;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Runs so many trials with fake lanes and builders; `choices` says which of the jobs under
    /// way ends next, and how. Returns the trials in the order in which they were settled, and the
    /// most that were measured and built at once.
    fn run(lanes: usize, builders: usize, ahead: usize, choices: &[u8]) -> (Vec<u64>, [usize; 2]) {
        let mut pipeline = Pipeline::new(lanes, builders);
        let (mut next, mut settled) = (0u64, Vec::new());
        let (mut jobs, mut most) = (Vec::new(), [0, 0]);
        let mut known: BTreeSet<u64> = BTreeSet::new();
        let mut choices = choices.iter().copied().cycle();
        while settled.len() < 20 {
            while pipeline.len() < ahead && next < 20 {
                pipeline.add(next, next % 7 != 3);
                next += 1;
            }
            while let Some(step) = pipeline.next() {
                if let Step::Measure { trial, .. } = step {
                    let earlier = (0..trial).filter(|it| it % 7 != 3);
                    assert!(earlier.into_iter().all(|it| known.contains(&it)));
                }
                jobs.push(step);
            }
            let on_lane = |lane: usize| {
                jobs.iter().filter(|job| {
                    matches!(job, Step::Measure { lane: l, .. } | Step::BuildHere { lane: l, .. } if *l == lane)
                }).count()
            };
            assert!((0..lanes).all(|lane| on_lane(lane) <= 1));
            let measured = jobs.iter().filter(|it| matches!(it, Step::Measure { .. }));
            most[0] = most[0].max(measured.count());
            let built = jobs
                .iter()
                .filter(|it| matches!(it, Step::BuildAhead { .. }));
            most[1] = most[1].max(built.count());
            assert!(!jobs.is_empty(), "stuck: {pipeline:?}");
            let choice = choices.next().unwrap();
            match jobs.swap_remove(usize::from(choice) % jobs.len()) {
                Step::BuildAhead { trial, .. } => {
                    known.insert(trial);
                    if choice > 230 {
                        pipeline.done(trial, None);
                    } else {
                        pipeline.built(trial, None);
                    }
                }
                Step::BuildHere { trial, lane } => {
                    known.insert(trial);
                    if choice > 230 {
                        pipeline.done(trial, Some(lane));
                    } else {
                        pipeline.built(trial, Some(lane));
                    }
                }
                Step::Measure { trial, lane } => pipeline.done(trial, Some(lane)),
            }
            if choice % 5 == 0
                && let Some(trial) = pipeline.next_to_compare()
            {
                // A repeat of an earlier execution: known before it is measured.
                pipeline.done(trial, None);
            }
            settled.extend(std::iter::from_fn(|| pipeline.settle()));
        }
        assert_eq!(pipeline.queues(), Queues::default());
        (settled, most)
    }

    proptest! {
        /// Any number of devices and builders, any order of ends: every trial is settled in the
        /// order of the proposals, a lane does one thing at a time, and nothing is measured before
        /// all earlier builds are known.
        #[test]
        fn outcomes_come_in_the_order_of_the_proposals(
            lanes in 1usize..5,
            builders in 0usize..5,
            ahead in 1usize..12,
            choices in proptest::collection::vec(0u8..=255, 1..60),
        ) {
            let (settled, most) = run(lanes, builders, ahead, &choices);
            prop_assert_eq!(settled, (0..20).collect::<Vec<u64>>());
            prop_assert!(most[0] <= lanes && most[1] <= builders);
        }
    }

    #[test]
    fn devices_work_side_by_side_and_builders_ahead_of_them() {
        let (_, most) = run(3, 4, 12, &[1, 2, 3, 4]);
        assert_eq!(most, [3, 4]);
        let (_, most) = run(1, 0, 1, &[0]);
        assert_eq!(most, [1, 0]);
    }

    #[test]
    fn without_builders_a_lane_measures_what_it_has_built() {
        let mut pipeline = Pipeline::new(2, 0);
        pipeline.add(0, true);
        pipeline.add(1, true);
        pipeline.add(2, true);
        assert_eq!(pipeline.next(), Some(Step::BuildHere { trial: 0, lane: 0 }));
        assert_eq!(pipeline.next(), Some(Step::BuildHere { trial: 1, lane: 1 }));
        assert_eq!(pipeline.next(), None);
        pipeline.built(1, Some(1));
        assert_eq!(pipeline.next(), None, "trial 0 may be the same");
        pipeline.built(0, Some(0));
        assert_eq!(pipeline.next(), Some(Step::Measure { trial: 0, lane: 0 }));
        assert_eq!(pipeline.next(), Some(Step::Measure { trial: 1, lane: 1 }));
        assert_eq!(pipeline.next(), None);
        pipeline.done(1, Some(1));
        assert_eq!(pipeline.settle(), None, "trial 0 comes first");
        assert_eq!(pipeline.next(), Some(Step::BuildHere { trial: 2, lane: 1 }));
    }
}
