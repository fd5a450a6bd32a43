//! What a parameter does to the time: pairs that differ in it alone, measured in turns.

use evo_journal::{Plan, PlannedCandidate};
use evo_stats::{Comparison, ComparisonOptions, Rounds};
use evo_types::{BuildRequest, ContentHash, Outcome, Params, ProblemSpec, Value};
use evo_wire::{CompareItem, CompareJob, MeasureSettings, Reply, Request};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::builds::{Builds, recycle_after};
use super::plan::Planned;
use super::{AuditEvent, AuditSettings, TimedPair};
use crate::driver::{Sorted, sort};
use crate::plan::{Measuring, component, unexpected};
use crate::worker::{Host, Patience};
use crate::{RunError, Stop, lock};

/// Fresh processes for each pair, one after the other: two processes of the same code differ by
/// more than the samples of one of them show.
const PROCESSES: usize = 3;

/// Rounds in each process.
const ROUNDS: usize = 20;

/// Most seconds of timed launches of each side in each process.
const SECONDS: f64 = 2.0;

/// A pair that will be timed.
pub(super) struct Chosen {
    param: String,
    from: Value,
    to: Value,
    sides: [Params; 2],
}

/// For each parameter some of the changes that change the execution: those around the default
/// first, then others in an order drawn from the seed. A parameter that changes nothing has none.
pub(super) fn choose(planned: &Planned, builds: &Builds, settings: &AuditSettings) -> Vec<Chosen> {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut changes = planned.changes.clone();
    changes.shuffle(&mut rng);
    changes.sort_by_key(|change| change.base != 0);
    let mut chosen: Vec<Chosen> = Vec::new();
    for (number, param) in planned.params.iter().enumerate() {
        let own = changes.iter().filter(|change| change.param == number);
        let pairs = own.filter_map(|change| {
            let (base, changed) = (builds.built(change.base)?, builds.built(change.changed)?);
            (base.execution != changed.execution).then_some(())?;
            Some(Chosen {
                param: param.clone(),
                from: base.params.get(param)?.clone(),
                to: changed.params.get(param)?.clone(),
                sides: [base.params.clone(), changed.params.clone()],
            })
        });
        chosen.extend(pairs.take(settings.pairs));
    }
    chosen
}

/// Times the pairs until all are done or the user stops it.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a plan and who is told"
)]
pub(super) fn time_all(
    plan: &Plan,
    problem: (&str, &ProblemSpec),
    candidate: &PlannedCandidate,
    chosen: &[Chosen],
    host: &mut Host,
    seed: u64,
    stop: &Stop,
    watch: &mut dyn FnMut(&AuditEvent<'_>),
) -> Result<Vec<TimedPair>, RunError> {
    let measuring = Measuring::of(plan)?;
    let settings = MeasureSettings {
        min_samples: ROUNDS,
        max_samples: ROUNDS,
        max_seconds: measuring.confirmation.max_seconds.min(SECONDS),
        check_all_rows: false,
        ..measuring.confirmation
    };
    let mut timed = Vec::new();
    for (number, pair) in chosen.iter().enumerate() {
        watch(&AuditEvent::Timing {
            candidate: &candidate.label,
            param: &pair.param,
            done: number,
            of: chosen.len(),
        });
        let items = pair.items(plan, problem.1, candidate)?;
        let mut groups = Vec::new();
        let mut failure = None;
        for process in 0..PROCESSES {
            let held = lock::device(&plan.device.uuid, stop, |holder| {
                watch(&AuditEvent::WaitingForDevice { holder });
            })?;
            if held.is_none() || stop.requested() {
                return Ok(timed);
            }
            host.recycle();
            let job = CompareJob {
                problem: component(plan, problem.0, &problem.1.problem)?,
                items: items.clone(),
                seed: seed_of(seed, number, process),
                settings: settings.clone(),
            };
            match compare(job, host, stop)? {
                Compared::Rounds(rounds) => groups.push(rounds),
                Compared::Failed(why) => {
                    failure = Some(why);
                    break;
                }
                Compared::Interrupted => return Ok(timed),
            }
        }
        timed.push(pair.judge(&groups, failure));
    }
    if !chosen.is_empty() {
        host.recycle();
    }
    Ok(timed)
}

impl Chosen {
    fn items(
        &self,
        plan: &Plan,
        problem: &ProblemSpec,
        candidate: &PlannedCandidate,
    ) -> Result<Vec<CompareItem>, RunError> {
        let sides = self.sides.iter().zip([&self.from, &self.to]);
        sides
            .map(|(config, value)| {
                Ok(CompareItem {
                    label: format!("{}={value}", self.param),
                    kernel: component(plan, &candidate.plugin, &candidate.kernel)?,
                    request: BuildRequest {
                        problem: problem.clone(),
                        config: config.clone(),
                        device: plan.device.clone(),
                    },
                })
            })
            .collect()
    }

    /// The verdict over the processes.
    fn judge(&self, groups: &[[Vec<f64>; 2]], failure: Option<String>) -> TimedPair {
        let rounds: Vec<Rounds<'_>> = groups
            .iter()
            .map(|[from, to]| Rounds {
                candidate: to,
                baseline: from,
            })
            .collect();
        let (comparison, failure) = match failure {
            Some(failure) => (None, Some(failure)),
            None => match Comparison::of(&rounds, &ComparisonOptions::default()) {
                Ok(comparison) => (Some(comparison), None),
                Err(error) => (None, Some(error.to_string())),
            },
        };
        TimedPair {
            param: self.param.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            params: self.sides[0].clone(),
            comparison,
            failure,
        }
    }
}

enum Compared {
    /// The times of both sides, round by round.
    Rounds([Vec<f64>; 2]),
    /// A side has no time, and why.
    Failed(String),
    Interrupted,
}

fn compare(job: CompareJob, host: &mut Host, stop: &Stop) -> Result<Compared, RunError> {
    let each = 2.0 * job.settings.max_seconds + job.settings.warmup();
    let seconds = each * job.items.len() as f64;
    let request = Request::Compare(Box::new(job));
    let reply = host.call(request, seconds, stop, Patience::Short, &mut |_, _| {});
    let items = match reply {
        Ok(Reply::Compared { items }) => items,
        Ok(other) => return Err(unexpected("Compare", &other)),
        Err(failure) => {
            return match sort(failure) {
                Sorted::Outcome(outcome) => Ok(failed("one side", &outcome, host)),
                Sorted::Interrupted => Ok(Compared::Interrupted),
                Sorted::Error(error) => Err(error),
            };
        }
    };
    let mut times = Vec::new();
    for item in items {
        let Outcome::Measured(measurement) = &item.outcome else {
            return Ok(failed(&item.label, &item.outcome, host));
        };
        let samples = measurement.metric("kernel_time").map(|m| m.samples.clone());
        times.push(samples.unwrap_or_default());
    }
    match <[Vec<f64>; 2]>::try_from(times) {
        Ok(mut sides) => {
            let rounds = sides.iter().map(Vec::len).min().unwrap_or(0);
            sides.iter_mut().for_each(|side| side.truncate(rounds));
            Ok(Compared::Rounds(sides))
        }
        Err(_) => Err(RunError::internal("a comparison of two has not two sides")),
    }
}

fn failed(side: &str, outcome: &Outcome, host: &mut Host) -> Compared {
    recycle_after(outcome, host);
    Compared::Failed(format!("{side}: {}", outcome.summary()))
}

/// Inputs of their own for each process of each pair.
fn seed_of(seed: u64, pair: usize, process: usize) -> u64 {
    let parts = [seed, pair as u64, process as u64].map(u64::to_le_bytes);
    let hash = ContentHash::of_parts(&[&parts[0], &parts[1], &parts[2]]);
    let digits = hash.as_str().get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(seed)
}
