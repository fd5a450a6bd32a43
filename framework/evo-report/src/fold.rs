//! From records to the model.

use std::collections::BTreeMap;

use evo_journal::{
    Comparison, Diagnosed, Environment, Evaluated, Header, Plan, Profiled, Proposed, Record,
    Snapshot, Stage,
};
use evo_types::{Direction, Metric, Outcome};
use serde_json::Value as Json;

use crate::ReportError;
use crate::confirmed::Table;
use crate::model::{
    BudgetLimits, BudgetUse, Event, Improvement, RankedMetric, RunModel, State, Trial,
};

impl RunModel {
    /// Folds the records of a journal. Works for any prefix of a run that has its plan.
    ///
    /// # Errors
    /// [`ReportError::NotStarted`] where the plan is missing, [`ReportError::Inconsistent`] where
    /// a record does not fit those before it, such as an outcome of an unknown trial.
    pub fn from_records(records: &[Record]) -> Result<Self, ReportError> {
        let (Some(Record::Header(header)), Some(started)) = (records.first(), records.get(1))
        else {
            return Err(ReportError::NotStarted);
        };
        let Record::Started {
            at,
            spec,
            plan,
            environment,
        } = started
        else {
            return Err(ReportError::NotStarted);
        };
        let mut fold = Fold::new(header, plan, environment);
        for (index, record) in records.iter().enumerate().skip(2) {
            fold.add(record).map_err(|what| ReportError::Inconsistent {
                record: index + 1,
                what,
            })?;
        }
        Ok(fold.finish(*at, spec))
    }
}

/// The state of a fold.
struct Fold<'a> {
    header: &'a Header,
    plan: &'a Plan,
    environment: &'a Environment,
    trials: Vec<Trial>,
    places: BTreeMap<u64, usize>,
    /// Trials in the order of their outcomes.
    evaluated: Vec<usize>,
    baselines: Option<&'a Comparison>,
    confirmation: Option<&'a Comparison>,
    confirmation_is_stale: bool,
    profiles: Vec<Profiled>,
    diagnoses: Vec<Diagnosed>,
    snapshots: Vec<Snapshot>,
    warnings: Vec<String>,
    events: Vec<Event>,
    state: State,
    budget: &'a Json,
    elapsed_s: f64,
}

impl<'a> Fold<'a> {
    fn new(header: &'a Header, plan: &'a Plan, environment: &'a Environment) -> Self {
        Self {
            header,
            plan,
            environment,
            trials: Vec::new(),
            places: BTreeMap::new(),
            evaluated: Vec::new(),
            baselines: None,
            confirmation: None,
            confirmation_is_stale: false,
            profiles: Vec::new(),
            diagnoses: Vec::new(),
            snapshots: Vec::new(),
            warnings: Vec::new(),
            events: Vec::new(),
            state: State::Unfinished,
            budget: plan.engine.get("budget").unwrap_or(&Json::Null),
            elapsed_s: 0.0,
        }
    }

    fn add(&mut self, record: &'a Record) -> Result<(), String> {
        match record {
            Record::Header(_) => return Err("a second header".to_owned()),
            Record::Started { .. } => return Err("a second plan".to_owned()),
            Record::Compared(comparison) => self.compared(comparison),
            Record::Proposed(proposed) => return self.proposed(proposed),
            Record::Evaluated(evaluated) => return self.evaluated(evaluated),
            Record::Retried { trial, reason, .. } => {
                self.trial(*trial)?.retries.push(reason.clone());
            }
            Record::Profiled(profiled) => self.profiles.push(profiled.clone()),
            Record::Diagnosed(diagnosed) => self.diagnoses.push(diagnosed.clone()),
            Record::Snapshot(snapshot) => self.snapshot(snapshot),
            Record::Warning { message, .. } => {
                if !self.warnings.contains(message) {
                    self.warnings.push(message.clone());
                }
            }
            Record::Interrupted { at, by } => {
                self.event(*at, format!("interrupted by {by}"));
                self.state = State::Interrupted { by: by.clone() };
            }
            Record::Resumed { at, evo, .. } => {
                self.event(*at, format!("resumed by evo {evo}"));
                self.state = State::Unfinished;
            }
            Record::Extended { at, budget } => {
                self.event(*at, "extended by a larger budget".to_owned());
                self.state = State::Unfinished;
                self.budget = budget;
            }
            Record::Finished {
                reason, elapsed_s, ..
            } => {
                self.state = State::Finished {
                    reason: reason.clone(),
                };
                self.elapsed_s = *elapsed_s;
            }
        }
        Ok(())
    }

    fn trial(&mut self, number: u64) -> Result<&mut Trial, String> {
        let place = self.places.get(&number).copied();
        place
            .and_then(|place| self.trials.get_mut(place))
            .ok_or_else(|| format!("trial {number} was never proposed"))
    }

    fn event(&mut self, at: f64, what: String) {
        self.events.push(Event { at, what });
    }

    fn compared(&mut self, comparison: &'a Comparison) {
        self.elapsed_s = comparison.elapsed_s;
        match comparison.stage {
            Stage::Baselines => self.baselines = Some(comparison),
            Stage::Confirmation => {
                self.confirmation = Some(comparison);
                self.confirmation_is_stale = false;
            }
        }
    }

    fn proposed(&mut self, proposed: &Proposed) -> Result<(), String> {
        if self
            .places
            .insert(proposed.trial, self.trials.len())
            .is_some()
        {
            return Err(format!("trial {} was proposed before", proposed.trial));
        }
        self.trials.push(Trial {
            proposed: proposed.clone(),
            evaluated: None,
            retries: Vec::new(),
        });
        Ok(())
    }

    fn evaluated(&mut self, evaluated: &Evaluated) -> Result<(), String> {
        let trial = self.trial(evaluated.trial)?;
        if trial.evaluated.is_some() {
            return Err(format!("trial {} has an outcome already", evaluated.trial));
        }
        trial.evaluated = Some(evaluated.clone());
        self.evaluated.extend(self.places.get(&evaluated.trial));
        self.elapsed_s = evaluated.elapsed_s;
        self.confirmation_is_stale = self.confirmation.is_some();
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        match self
            .snapshots
            .iter_mut()
            .find(|known| known.candidate == snapshot.candidate)
        {
            Some(known) => *known = snapshot.clone(),
            None => self.snapshots.push(snapshot.clone()),
        }
    }

    fn finish(self, started_at: f64, spec: &str) -> RunModel {
        let metric = self.metric();
        let (improvements, budget) = self.history(&metric);
        let mut counts = BTreeMap::new();
        for outcome in self.trials.iter().filter_map(Trial::outcome) {
            *counts.entry(outcome.kind()).or_default() += 1;
        }
        let references = self.plan.references();
        let table = |comparison: &Comparison| {
            Table::of(comparison, self.plan, &references, &metric, &self.trials)
        };
        RunModel {
            started_at,
            spec: spec.to_owned(),
            baselines: self.baselines.map(table),
            confirmation: self.confirmation.map(table),
            header: self.header.clone(),
            plan: self.plan.clone(),
            references: references.clone(),
            environment: self.environment.clone(),
            metric,
            trials: self.trials,
            confirmation_is_stale: self.confirmation_is_stale,
            profiles: self.profiles,
            diagnoses: self.diagnoses,
            snapshots: self.snapshots,
            warnings: self.warnings,
            events: self.events,
            state: self.state,
            counts,
            budget,
            improvements,
            elapsed_s: self.elapsed_s,
        }
    }

    /// The ranked metric: its direction from the engine's settings or else from a measurement,
    /// its unit from a measurement.
    fn metric(&self) -> RankedMetric {
        let compared = [self.baselines, self.confirmation];
        let compared = compared
            .into_iter()
            .flatten()
            .flat_map(|comparison| &comparison.items);
        let outcomes = compared
            .map(|item| &item.outcome)
            .chain(self.trials.iter().filter_map(Trial::outcome));
        let seen: Option<&Metric> = outcomes
            .filter_map(Outcome::measurement)
            .find_map(|measurement| measurement.metric(&self.plan.metric));
        let settings = self
            .plan
            .engine
            .pointer("/ranking/metric/higher")
            .and_then(Json::as_bool);
        RankedMetric {
            name: self.plan.metric.clone(),
            unit: seen.map(|metric| metric.unit.clone()).unwrap_or_default(),
            higher: settings
                .unwrap_or(seen.is_some_and(|metric| metric.direction == Direction::Higher)),
        }
    }

    /// The improvements and the use of the budget, in the order of the outcomes.
    fn history(&self, metric: &RankedMetric) -> (Vec<Improvement>, BudgetUse) {
        let mut improvements: Vec<Improvement> = Vec::new();
        let mut used = BudgetUse {
            limits: limits(self.budget),
            ..BudgetUse::default()
        };
        for trial in self
            .evaluated
            .iter()
            .filter_map(|place| self.trials.get(*place))
        {
            let Some(evaluated) = &trial.evaluated else {
                continue;
            };
            used.wall_s += sane(evaluated.wall_s);
            used.device_s += sane(evaluated.device_s);
            used.trials += u64::from(evaluated.outcome.counts_as_trial());
            let Some(figure) = evaluated
                .outcome
                .measurement()
                .and_then(|found| metric.of(found))
            else {
                continue;
            };
            let best = improvements.last().map(|best| best.value);
            if best.is_none_or(|best| metric.better(figure.value, best)) {
                improvements.push(Improvement {
                    trial: trial.number(),
                    counted: used.trials,
                    value: figure.value,
                });
            }
        }
        (improvements, used)
    }
}

fn limits(budget: &Json) -> BudgetLimits {
    let seconds = |name| budget.get(name).and_then(Json::as_f64);
    BudgetLimits {
        trials: budget.get("trials").and_then(Json::as_u64),
        wall_s: seconds("wall_s"),
        device_s: seconds("device_s"),
    }
}

fn sane(seconds: f64) -> f64 {
    if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    }
}
