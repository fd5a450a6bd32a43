//! Interleaved comparisons: the baselines before the search, the finalists after it.

use evo_journal::{Comparison, Plan, PlannedCandidate, Stage, Work};
use evo_types::{BuildRequest, Outcome, Params, ProblemSpec, Value};
use evo_wire::{CompareItem, CompareJob, MeasureSettings, Reply, Request};

use super::entrant::Entrant;
use super::merge::Merged;
use super::session::{Session, now};
use super::trial::{Sorted, sort};
use crate::plan::unexpected;
use crate::worker::{CallFailure, Patience};
use crate::{Event, Observer, RunError, lock};

impl Session {
    /// Measures the baselines. `None`: the user asked to stop.
    pub(super) fn compare_baselines(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<Option<Comparison>, RunError> {
        let entrants = self.plan.baselines.iter().map(Entrant::baseline).collect();
        let settings = self.measuring.baselines.clone();
        let comparison = self.compare(Stage::Baselines, entrants, &settings, 1, observer)?;
        let compared = comparison.as_ref();
        let messages = compared.map(|comparison| without_time(&self.plan, comparison));
        for message in messages.into_iter().flatten() {
            self.warn(observer, &message)?;
        }
        Ok(comparison)
    }

    /// Measures the finalists and the baselines again, from scratch, in fresh processes with fresh
    /// seeds. `None`: there is nothing to confirm, or the user asked to stop.
    pub(super) fn confirm(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<Option<Comparison>, RunError> {
        let finalists = self.finalists()?;
        if finalists.is_empty() {
            return Ok(None);
        }
        self.host.recycle();
        if let Work::Objective {
            plugin,
            name,
            settings,
        } = self.plan.work.clone()
        {
            return self.confirm_objective(&plugin, &name, &settings, finalists, observer);
        }
        let mut entrants: Vec<Entrant> =
            self.plan.baselines.iter().map(Entrant::baseline).collect();
        entrants.extend(finalists);
        let settings = self.measuring.confirmation.clone();
        let processes = self.measuring.confirmation_processes;
        self.compare(
            Stage::Confirmation,
            entrants,
            &settings,
            processes,
            observer,
        )
    }

    /// Compares in so many fresh worker processes, one after the other, with checks of their own
    /// in each. A candidate that fails in one of them has failed.
    fn compare(
        &mut self,
        stage: Stage,
        entrants: Vec<Entrant>,
        settings: &MeasureSettings,
        processes: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Comparison>, RunError> {
        observer.on(&Event::Comparing {
            stage,
            items: entrants.len(),
            processes,
        });
        let Work::Problem { spec, .. } = self.plan.work.clone() else {
            return Err(RunError::internal("an objective has no kernels to compare"));
        };
        let seed = self.stage_seed(stage);
        let mut merged = Merged::new(entrants.len());
        for process in 0..processes {
            self.host.recycle();
            let seed = seed.wrapping_add(process as u64);
            let round = Round {
                spec: &spec,
                entrants: &entrants,
                seed,
                settings,
            };
            match self.compare_in_one_process(&round, merged.present(), observer)? {
                Some(outcomes) => merged.add(outcomes),
                None => return Ok(None),
            }
        }
        // What a candidate did to this worker's memory is not passed on.
        self.host.recycle();
        let (outcomes, processes) = merged.finish(spec.flops, settings);
        let items = entrants
            .into_iter()
            .zip(outcomes)
            .filter_map(|(entrant, outcome)| Some(entrant.compared(outcome?)))
            .collect();
        Ok(Some(Comparison {
            at: now(),
            stage,
            seed,
            items,
            processes,
            elapsed_s: self.elapsed_s(),
        }))
    }

    /// Compares the candidates that are present in one worker. One that brings the worker down
    /// keeps that as its outcome, and the others are compared again without it.
    fn compare_in_one_process(
        &mut self,
        round: &Round<'_>,
        mut present: Vec<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Option<Vec<(usize, Outcome)>>, RunError> {
        let mut outcomes = Vec::new();
        while !present.is_empty() {
            let job = self.compare_job(round, &present)?;
            let held = lock::device(&self.plan.device.uuid, &self.stop, |holder| {
                observer.on(&Event::WaitingForDevice { holder });
            })?;
            if held.is_none() {
                return Ok(None);
            }
            let stop = self.stop.clone();
            let settings = round.settings;
            // Every candidate may use its seconds, each sample is preceded by a launch that is
            // not timed, and the last round is finished in any case.
            let each = 2.0 * settings.max_seconds + settings.warmup();
            let measuring_s = each * present.len() as f64;
            let labels: Vec<&str> = present
                .iter()
                .filter_map(|place| round.entrants.get(*place))
                .map(|entrant| entrant.label.as_str())
                .collect();
            let reply = self.host.call(
                Request::Compare(Box::new(job)),
                measuring_s,
                &stop,
                Patience::Short,
                &mut |phase, item| {
                    let subject = item.and_then(|item| labels.get(item).copied());
                    observer.on(&Event::Phase {
                        phase,
                        subject: subject.unwrap_or_default().to_owned(),
                    });
                },
            );
            match reply {
                Ok(Reply::Compared { items }) if items.len() == present.len() => {
                    let compared = items.into_iter().map(|item| item.outcome);
                    outcomes.extend(present.into_iter().zip(compared));
                    break;
                }
                Ok(other) => return Err(unexpected("Compare", &other)),
                Err(failure) => {
                    let culprit = culprit(&failure).filter(|item| *item < present.len());
                    match (sort(failure), culprit) {
                        (Sorted::Outcome(outcome), Some(item)) => {
                            outcomes.push((present.remove(item), outcome));
                        }
                        (Sorted::Outcome(outcome), None) => {
                            return Err(RunError::environment(format!(
                                "a comparison ended before any candidate's turn: {}{}",
                                outcome.summary(),
                                output_of(&outcome)
                            )));
                        }
                        (Sorted::Interrupted, _) => return Ok(None),
                        (Sorted::Error(error), _) => return Err(error),
                    }
                }
            }
        }
        Ok(Some(outcomes))
    }

    fn compare_job(&self, round: &Round<'_>, present: &[usize]) -> Result<CompareJob, RunError> {
        let problem = self
            .problem()?
            .ok_or_else(|| RunError::internal("kernels are compared without a problem"))?;
        let items = present
            .iter()
            .filter_map(|place| round.entrants.get(*place))
            .map(|entrant| {
                Ok(CompareItem {
                    label: entrant.label.clone(),
                    kernel: self.component(&entrant.plugin, &entrant.kernel)?,
                    request: BuildRequest {
                        problem: entrant.problem(round.spec),
                        config: entrant.params.clone(),
                        device: self.plan.device.clone(),
                    },
                })
            })
            .collect::<Result<Vec<CompareItem>, RunError>>()?;
        Ok(CompareJob {
            problem,
            items,
            seed: round.seed,
            settings: round.settings.clone(),
        })
    }

    /// Evaluates the finalists of an objective again in a fresh process: once, or, where the
    /// objective draws from a seed, with several new seeds, of which the median counts.
    fn confirm_objective(
        &mut self,
        plugin: &str,
        name: &str,
        settings: &Params,
        finalists: Vec<Entrant>,
        observer: &mut dyn Observer,
    ) -> Result<Option<Comparison>, RunError> {
        let stage = Stage::Confirmation;
        observer.on(&Event::Comparing {
            stage,
            items: finalists.len(),
            processes: 1,
        });
        let objective = self.component(plugin, name)?;
        let mut items = Vec::new();
        for finalist in finalists {
            let trial = finalist.trial.unwrap_or_default();
            let mut outcomes = Vec::new();
            for settings in reseeded(settings) {
                let judged = self.evaluate_objective(
                    objective.clone(),
                    &settings,
                    &finalist.params,
                    trial,
                    observer,
                )?;
                let Some(judged) = judged else {
                    return Ok(None);
                };
                if self.stop.requested() {
                    return Ok(None);
                }
                outcomes.push(judged.outcome);
            }
            if let Some(outcome) = median(outcomes, &self.plan.metric) {
                items.push(finalist.compared(outcome));
            }
        }
        let seed = self.stage_seed(stage);
        Ok(Some(Comparison {
            at: now(),
            stage,
            seed,
            items,
            processes: Vec::new(),
            elapsed_s: self.elapsed_s(),
        }))
    }
}

/// What to say of the baselines that gave no time. A group is served by any of its members.
fn without_time(plan: &Plan, comparison: &Comparison) -> Vec<String> {
    let timed = |label: &str| {
        let mut items = comparison.items.iter();
        items.any(|item| item.label == label && item.outcome.measurement().is_some())
    };
    let mut messages = Vec::new();
    for item in &comparison.items {
        let planned = plan.baselines.iter().find(|it| it.label == item.label);
        if item.outcome.measurement().is_some() {
            continue;
        }
        let optional = planned.is_some_and(PlannedCandidate::is_optional);
        let what = if optional {
            "optional baseline"
        } else {
            "baseline"
        };
        let loss = match planned.and_then(PlannedCandidate::group) {
            Some(group) => format!("so it cannot stand for the group {group}"),
            None => "so there is no speedup over it".to_owned(),
        };
        messages.push(format!(
            "the {what} {} ({}) gave no time, {loss}: {}",
            item.label,
            item.kernel,
            item.outcome.summary()
        ));
    }
    for reference in plan.references() {
        let mut members = reference
            .members
            .iter()
            .filter_map(|it| plan.baselines.get(*it));
        let is_group = members.clone().any(|member| member.group().is_some());
        if is_group && !members.any(|member| timed(&member.label)) {
            messages.push(format!(
                "no baseline of the group {} gave a time, so there is no speedup over it",
                reference.name
            ));
        }
    }
    messages
}

/// What the candidates of one process are compared on, and how.
struct Round<'a> {
    spec: &'a ProblemSpec,
    entrants: &'a [Entrant],
    seed: u64,
    settings: &'a MeasureSettings,
}

/// New seeds that a finalist of an objective with a seed is evaluated with.
const NEW_SEEDS: i64 = 5;

/// How far apart they are, so that the seeds of neighbouring runs are not met.
const SEEDS_APART: i64 = 1_000_003;

/// The settings of an objective for each evaluation of its confirmation. An objective whose values
/// are drawn has a seed among its settings, an integer whose name ends in `seed`: with the seed of
/// the search it would only repeat what the search saw.
fn reseeded(settings: &Params) -> Vec<Params> {
    let is_seed = |name: &str| name == "seed" || name.ends_with("_seed");
    let seeds: Vec<(&String, i64)> = settings
        .iter()
        .filter(|(name, _)| is_seed(name))
        .filter_map(|(name, value)| Some((name, value.as_int()?)))
        .collect();
    if seeds.is_empty() {
        return vec![settings.clone()];
    }
    let with_new_seeds = |round: i64| {
        let mut changed = settings.clone();
        for (name, seed) in &seeds {
            let far = round * SEEDS_APART;
            let seed = seed.checked_add(far).unwrap_or_else(|| seed - far);
            changed.insert((*name).clone(), Value::Int(seed));
        }
        changed
    };
    (1..=NEW_SEEDS).map(with_new_seeds).collect()
}

/// The outcome with the middle value of a metric; the first failure, if there is one.
fn median(mut outcomes: Vec<Outcome>, metric: &str) -> Option<Outcome> {
    let value = |outcome: &Outcome| match outcome {
        Outcome::Measured(measurement) => measurement.metric(metric).map(|metric| metric.value),
        _ => None,
    };
    if let Some(failed) = outcomes.iter().position(|outcome| value(outcome).is_none()) {
        return Some(outcomes.swap_remove(failed));
    }
    outcomes.sort_by(|a, b| {
        let (a, b) = (value(a).unwrap_or_default(), value(b).unwrap_or_default());
        a.total_cmp(&b)
    });
    let middle = outcomes.len() / 2;
    outcomes.into_iter().nth(middle)
}

/// What a worker printed before it died, on lines of its own.
fn output_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Crashed { output, .. } if !output.is_empty() => format!("\n{output}"),
        _ => String::new(),
    }
}

/// The item of a comparison that a failure belongs to.
fn culprit(failure: &CallFailure) -> Option<usize> {
    match failure {
        CallFailure::Died { item, .. }
        | CallFailure::TimedOut { item, .. }
        | CallFailure::OutOfMemory { item, .. } => *item,
        CallFailure::Refused { .. } | CallFailure::Interrupted | CallFailure::Environment(_) => {
            None
        }
    }
}
