//! What rules make of the figures of a build or a profile, and what the search is told of it.

use std::collections::BTreeSet;

use evo_core::engine::{Findings, Lever, Source, diagnose};
use evo_core::space::Rules;
use evo_journal::{Diagnosed, DiagnosisLine, Evaluated, Profiled, Proposed, Record, Work};
use evo_types::{Metric, Params, Value};

use super::entrant::Entrant;
use super::history::Undiagnosed;
use super::session::{Session, now};
use crate::{Event, Observer, RunError};

/// The source of what a build says of itself, among the plan's rules.
pub(crate) const BUILD: &str = "build";

/// A candidate's figures, and whose they are.
struct Subject<'a> {
    /// `build`, or a profiler as `plugin/name`.
    source: &'a str,
    label: &'a str,
    trial: Option<u64>,
    /// The tuned candidate that it is of, by its place in the plan.
    candidate: Option<usize>,
    /// All its parameters.
    params: &'a Params,
    /// What is known of it from elsewhere.
    known: &'a [Metric],
    /// What the source says.
    figures: &'a [Metric],
}

impl Subject<'_> {
    /// The tuned candidate's label, of `tiled #12`.
    fn candidate_label(&self) -> &str {
        candidate_of(self.label)
    }
}

/// The candidate's label in that of a trial.
pub(super) fn candidate_of(label: &str) -> &str {
    label.rsplit_once(" #").map_or(label, |(label, _)| label)
}

impl Session {
    /// After an outcome: if it is the new best of its candidate, what does its build say?
    pub(super) fn diagnose_build(
        &mut self,
        proposed: &Proposed,
        evaluated: &Evaluated,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let (Some(build), Some(measurement)) = (&evaluated.build, evaluated.outcome.measurement())
        else {
            return Ok(());
        };
        let Some(candidate) = self.place_of(&proposed.candidate) else {
            return Ok(());
        };
        let best = self.campaign.best_of(candidate);
        if best.is_none_or(|best| best.trial != evaluated.trial) {
            return Ok(());
        }
        let label = format!("{} #{}", proposed.candidate, evaluated.trial);
        let mut figures = build.figures.clone();
        figures.extend(build.geometry(&self.plan.device.facts));
        self.diagnose(
            &Subject {
                source: BUILD,
                label: &label,
                trial: Some(evaluated.trial),
                candidate: Some(candidate),
                params: &proposed.params,
                known: &measurement.metrics,
                figures: &figures,
            },
            true,
            observer,
        )
    }

    /// What was cut off between figures and their diagnosis is made up for.
    pub(super) fn diagnose_what_is_left(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        match self.history.undiagnosed.take() {
            None => Ok(()),
            Some(Undiagnosed::Build(trial)) => {
                let mut proposed = self.history.proposed.iter();
                let proposed = proposed.find(|it| it.trial == trial).cloned();
                let evaluated = self.history.evaluated.get(&trial).cloned();
                match proposed.zip(evaluated) {
                    Some((proposed, evaluated)) => {
                        self.diagnose_build(&proposed, &evaluated, observer)
                    }
                    None => Ok(()),
                }
            }
            Some(Undiagnosed::Profile(profiled)) => {
                let entrant = profiled
                    .trial
                    .and_then(|trial| Entrant::trial(&self.plan, &self.history, trial));
                match entrant {
                    Some(entrant) if profiled.failure.is_none() => {
                        self.diagnose_profile(&profiled, &entrant.params, true, observer)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// What a profile says; `during_search`: the search is told.
    pub(super) fn diagnose_profile(
        &mut self,
        profiled: &Profiled,
        params: &Params,
        during_search: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let proposed = profiled.trial.and_then(|trial| {
            let mut proposed = self.history.proposed.iter();
            proposed.find(|proposed| proposed.trial == trial)
        });
        let candidate = proposed.and_then(|proposed| self.place_of(&proposed.candidate));
        let evaluated = profiled
            .trial
            .and_then(|trial| self.history.evaluated.get(&trial));
        let known = evaluated
            .and_then(|evaluated| evaluated.outcome.measurement())
            .map_or_else(Vec::new, |measurement| measurement.metrics.clone());
        self.diagnose(
            &Subject {
                source: &profiled.profiler,
                label: &profiled.label,
                trial: profiled.trial,
                candidate,
                params,
                known: &known,
                figures: &profiled.metrics,
            },
            during_search,
            observer,
        )
    }

    fn diagnose(
        &mut self,
        subject: &Subject<'_>,
        tell: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let none = Rules::default();
        let shipped = match self.plan.rules.get(subject.source) {
            Some(text) => read(text, subject.source)?,
            None => Rules::default(),
        };
        let space = subject
            .candidate
            .and_then(|candidate| self.campaign.space(candidate))
            .map_or(&none, |space| space.rules());
        if shipped.is_empty() && space.is_empty() {
            return Ok(());
        }
        let own: BTreeSet<String> = subject.figures.iter().map(|it| it.name.clone()).collect();
        let known = self.known(subject);
        let of_build = subject.source == BUILD;
        let mut findings = diagnose(&shipped, space, &known, &own, of_build);
        if of_build {
            // Devices tell different figures, and the rules of builds are for all of them.
            findings.unjudged.clear();
            let spoke = self.history.spoke.get(subject.candidate_label());
            if findings.diagnoses.is_empty() && spoke.is_none_or(|spoke| !spoke) {
                return Ok(());
            }
        }
        self.record_findings(subject, &findings, tell, observer)
    }

    /// Writes down what was found, and tells it to the search. Where a source has nothing to say any
    /// more, the search is told that too.
    fn record_findings(
        &mut self,
        subject: &Subject<'_>,
        findings: &Findings,
        tell: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let source = source(subject.source);
        let mut told = None;
        if let (true, Some(candidate), Some(trial)) = (tell, subject.candidate, subject.trial) {
            let insights = findings.insights(trial, &source);
            told = Some(serde_json::to_value(&insights).map_err(|error| {
                RunError::internal(format!("insights cannot be written: {error}"))
            })?);
            let about = solution_of(subject.source, subject.trial);
            self.campaign
                .add_insights(candidate, &source, about, insights);
        }
        let space = subject.candidate.and_then(|it| self.campaign.space(it));
        let open = |lever: &Lever| space.is_none_or(|space| lever.is_open(space, subject.params));
        let lines = findings.diagnoses.iter().map(|diagnosis| DiagnosisLine {
            rule: diagnosis.rule.clone(),
            statement: diagnosis.statement.clone(),
            severity: diagnosis.severity,
            levers: diagnosis
                .levers
                .iter()
                .filter(|it| open(&it.lever))
                .map(|it| it.lever.to_string())
                .collect(),
        });
        let lines: Vec<DiagnosisLine> = lines.collect();
        let diagnosed = Diagnosed {
            at: now(),
            source: subject.source.to_owned(),
            label: subject.label.to_owned(),
            trial: subject.trial,
            diagnoses: lines,
            unjudged: findings.unjudged.clone(),
            told,
        };
        self.append(Record::Diagnosed(diagnosed.clone()))?;
        observer.on(&Event::Diagnosed(&diagnosed));
        Ok(())
    }

    /// Says which rules of spaces were judged with nothing, since neither a build nor a profiler of the
    /// run has told what they ask for. Rules of profilers that the run does not have are no matter: those
    /// of a space that only add levers to them ask for nothing.
    pub(super) fn warn_of_unjudged_rules(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let mut messages = Vec::new();
        for (place, candidate) in self.plan.candidates.iter().enumerate() {
            let (Some(space), Some(mut told)) =
                (self.campaign.space(place), self.told_of(&candidate.label))
            else {
                continue;
            };
            told.extend(space.params().iter().map(|param| param.name.clone()));
            for (rule, asked) in space.rules().conditions() {
                let missing: Vec<&str> = asked.difference(&told).map(String::as_str).collect();
                if !missing.is_empty() {
                    messages.push(format!(
                        "the rule `{rule}` of the space of {} was never judged: no build and no profiler \
                         of this run tells {}; correct the name, or have `profilers` name one that tells it",
                        candidate.label,
                        missing.join(", ")
                    ));
                }
            }
        }
        for message in messages {
            if !self.history.warnings.contains(&message) {
                self.warn(observer, &message)?;
            }
        }
        Ok(())
    }

    /// The names of everything that was told of a candidate's measured trials; `None` where there are
    /// none.
    fn told_of(&self, candidate: &str) -> Option<BTreeSet<String>> {
        let trials = self.history.proposed.iter();
        let own = trials.filter(|proposed| proposed.candidate == candidate);
        let measured = own.filter_map(|proposed| {
            let evaluated = self.history.evaluated.get(&proposed.trial)?;
            Some((proposed, evaluated, evaluated.outcome.measurement()?))
        });
        let mut told: Option<BTreeSet<String>> = None;
        for (proposed, evaluated, measurement) in measured {
            let told = told.get_or_insert_default();
            told.extend(proposed.params.keys().cloned());
            let build = evaluated.build.iter();
            let figures = build.flat_map(|build| {
                let geometry = build.geometry(&self.plan.device.facts);
                build.figures.iter().cloned().chain(geometry)
            });
            let metrics = measurement.metrics.iter().cloned().chain(figures);
            told.extend(metrics.map(|metric| metric.name));
        }
        let mut told = told?;
        told.extend(self.plan.device.facts.keys().cloned());
        if let Work::Problem { spec, .. } = &self.plan.work {
            told.extend(spec.fields.keys().chain(spec.constants.keys()).cloned());
        }
        let profiles = self.history.figures_of_profiles.get(candidate);
        told.extend(profiles.into_iter().flatten().cloned());
        Some(told)
    }

    /// Everything that a rule may name: facts of the device, the problem, parameters, figures.
    fn known(&self, subject: &Subject<'_>) -> Params {
        let mut known = self.plan.device.facts.clone();
        if let Work::Problem { spec, .. } = &self.plan.work {
            known.extend(spec.fields.clone());
            known.extend(spec.constants.clone());
        }
        let metrics = subject.known.iter().chain(subject.figures);
        known.extend(metrics.map(|it| (it.name.clone(), Value::Float(it.value))));
        known.extend(subject.params.clone());
        known
    }

    fn place_of(&self, candidate: &str) -> Option<usize> {
        let mut candidates = self.plan.candidates.iter();
        candidates.position(|planned| planned.label == candidate)
    }
}

/// Rules as the plan has them.
///
/// # Errors
/// Where they cannot be read, and where that is.
pub(crate) fn read(text: &str, source: &str) -> Result<Rules, RunError> {
    Rules::parse(text, &format!("<the rules of {source}>"))
        .map_err(|errors| RunError::input(errors.to_string()))
}

/// Whose insights a source replaces when it speaks of a trial: of builds those of the best are told, of
/// profiles those of every elite.
pub(super) fn solution_of(source: &str, trial: Option<u64>) -> Option<u64> {
    trial.filter(|_| source != BUILD)
}

/// The engine's name of a source.
pub(super) fn source(name: &str) -> Source {
    match name {
        BUILD => Source::Build,
        profiler => Source::Profiler(profiler.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that are shipped, on figures of a build of `sdpa-ws`.
    #[test]
    fn the_rules_of_builds_name_what_limits_a_kernel_and_nothing_else() {
        let rules = read(include_str!("../../rules/build.ron"), BUILD).unwrap();
        let said = |changes: &[(&str, f64)]| -> Vec<String> {
            let usual = [
                ("spill_store_bytes", 0.0),
                ("spill_load_bytes", 0.0),
                ("registers", 128.0),
                ("block_shared_bytes", 40960.0),
                ("blocks_per_sm", 4.0),
                ("threads", 128.0),
                ("blocks", 2112.0),
                ("waves", 4.0),
                ("last_wave", 1.0),
                ("REGISTERS_PER_SM", 65536.0),
                ("SMEM_PER_SM", 233472.0),
                ("SMS", 132.0),
            ];
            let known: Params = usual
                .iter()
                .chain(changes)
                .map(|(name, value)| ((*name).to_owned(), Value::Float(*value)))
                .collect();
            let found = diagnose(&rules, &Rules::default(), &known, &BTreeSet::new(), true);
            assert!(found.unjudged.is_empty(), "{:?}", found.unjudged);
            found.diagnoses.into_iter().map(|it| it.rule).collect()
        };
        assert_eq!(said(&[("blocks_per_sm", 8.0)]), Vec::<String>::new());
        let spills = [("blocks_per_sm", 8.0), ("spill_store_bytes", 64.0)];
        assert_eq!(said(&spills), ["register_spills"]);
        assert_eq!(said(&[]), ["register_limited"]);
        let shared = [("registers", 64.0), ("block_shared_bytes", 50_000.0)];
        assert_eq!(said(&shared), ["shared_memory_limited"]);
        let few = [("blocks", 64.0), ("waves", 0.12), ("blocks_per_sm", 8.0)];
        assert_eq!(said(&few), ["too_few_blocks"]);
        let uneven = [("waves", 1.25), ("last_wave", 0.25), ("blocks_per_sm", 8.0)];
        assert_eq!(said(&uneven), ["uneven_waves"]);
    }
}
