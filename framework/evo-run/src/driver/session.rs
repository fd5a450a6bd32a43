//! A session: a locked run folder, its journal, the engine at the point where the journal stands,
//! and a worker.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use evo_core::engine::{Budget, Campaign, ENGINE_VERSION, Insight};
use evo_journal::{
    Environment, Header, InsightLine, OperatorLine, Plan, Record, SCHEMA, Snapshot, Stage, Work,
    Writer, read,
};
use evo_types::{ContentHash, Measurement};
use evo_wire::ComponentRef;

use super::history::{History, plan_of, replay_steps, set_budget};
use super::opening::{campaign, check_device, check_files, check_plugins, extended};
use super::search::SearchEnd;
use crate::environment::boot_id;
use crate::error::suggestion;
use crate::plan::Measuring;
use crate::plan::{self, Prepared};
use crate::spec::RunSpec;
use crate::worker::{Host, HostSettings};
use crate::{Event, Observer, RunError, RunFolder, Stop, Store, parse_ron};

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnd {
    /// The budget was used up or the space exhausted, and the finalists were confirmed.
    Finished {
        /// Why the search ended.
        reason: String,
        /// How many candidates were correct and timed.
        measured: u64,
    },
    /// The user asked to stop; everything done is saved.
    Interrupted {
        /// The signal's number.
        signal: u8,
    },
}

/// A run that can be driven.
#[derive(Debug)]
pub struct Session {
    pub(super) folder: RunFolder,
    pub(super) writer: Writer,
    pub(super) plan: Plan,
    pub(super) measuring: Measuring,
    pub(super) host: Host,
    pub(super) campaign: Campaign,
    pub(super) history: History,
    pub(super) stop: Stop,
    began: Instant,
    /// Seconds of run time in earlier sessions.
    elapsed_before_s: f64,
    /// Whether the machine was started anew since the session before.
    pub(super) rebooted: bool,
    stop_at_target: bool,
}

impl Session {
    /// Begins a new run in an empty folder.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub fn start(
        prepared: Prepared,
        folder: RunFolder,
        environment: Environment,
        stop: &Stop,
    ) -> Result<Self, RunError> {
        let Prepared {
            spec,
            plan,
            spaces,
            left_out,
            host,
        } = prepared;
        let mut writer = Writer::create(&folder.journal())?;
        writer.append(&Record::Header(Header {
            schema: SCHEMA,
            engine: ENGINE_VERSION.to_string(),
            evo: environment.evo.clone(),
            run: folder.name(),
        }))?;
        writer.append(&Record::Started {
            at: now(),
            spec: spec.to_ron()?,
            plan: Box::new(plan.clone()),
            environment: Box::new(environment),
        })?;
        for absent in &plan.absent_baselines {
            writer.append(&Record::Warning {
                at: now(),
                message: plan.absence(absent),
            })?;
        }
        for message in left_out {
            writer.append(&Record::Warning { at: now(), message })?;
        }
        let campaign = campaign(&plan, spaces)?;
        Ok(Self {
            folder,
            writer,
            measuring: Measuring::of(&plan)?,
            plan,
            host,
            campaign,
            history: History::default(),
            stop: stop.clone(),
            began: Instant::now(),
            elapsed_before_s: 0.0,
            rebooted: false,
            stop_at_target: spec.budget.stop_at_target,
        })
    }

    /// Opens a run where its journal stands. With a budget, the run is extended: the budget
    /// replaces the old one, and what was spent counts against it.
    ///
    /// # Errors
    /// Where the journal is damaged, belongs to another device or engine version, or a plugin is
    /// not what it was.
    pub fn resume(
        path: &Path,
        extend: Option<Budget>,
        program: &Path,
        evo: &str,
        stop: &Stop,
        warn: &mut dyn FnMut(String),
    ) -> Result<Self, RunError> {
        let folder = RunFolder::open(path)?;
        let journal = read(&folder.journal())?;
        if let Some(tail) = &journal.torn_tail {
            warn(format!(
                "the journal ended in the middle of a record ({} bytes); they were cut off and \
                 kept in {}.torn",
                tail.len(),
                folder.journal().display()
            ));
        }
        let engine = journal
            .header()
            .map(|header| header.engine.clone())
            .unwrap_or_default();
        if engine != ENGINE_VERSION.to_string() {
            return Err(RunError::input(format!(
                "{}: the run was made by engine version {engine}; this program has version \
                 {ENGINE_VERSION}, which would propose something else",
                folder.path().display()
            ))
            .hint("go on with the evo that made it, or start a new run from the same spec"));
        }
        let (mut plan, spec) = plan_of(&journal.records).ok_or_else(|| {
            RunError::input(format!(
                "{}: the run ended before it had a plan",
                folder.path().display()
            ))
            .hint("start it anew: delete the folder and repeat the command")
        })?;
        let spec: RunSpec = parse_ron(&spec, "<the journal's spec>")?;
        let mut history = History::default();
        for record in &journal.records {
            history.add(record);
        }
        let extension = extended(extend, &history, folder.path())?;
        if let Some(budget) = &extension {
            set_budget(&mut plan, budget);
        }
        let spaces = plan::spaces(&plan)?;
        let mut campaign = campaign(&plan, spaces)?;
        campaign
            .replay(replay_steps(&plan, &journal.records)?)
            .map_err(|error| {
                RunError::environment(format!("{}: {error}", folder.path().display()))
            })?;
        let mut host = Host::new(HostSettings {
            program: program.to_owned(),
            store: Store::open()?,
            device: plan.device_name.clone(),
            cpus: spec.cpus.clone(),
            limits: plan.limits.clone(),
        });
        check_device(&plan, &mut host, stop)?;
        check_plugins(&plan.plugins, &host.settings().store)?;
        check_files(&plan)?;
        let mut writer = Writer::resume(&journal)?;
        let before = history.boot.clone();
        let mut append = |record: Record| -> Result<(), RunError> {
            writer.append(&record)?;
            // An orderly interruption stays the last thing that happened to the pending trials.
            let interrupted = history.interrupted;
            history.add(&record);
            history.interrupted = interrupted;
            Ok(())
        };
        if let Some(budget) = extension {
            append(Record::Extended { at: now(), budget })?;
        }
        let boot = boot_id();
        append(Record::Resumed {
            at: now(),
            evo: evo.to_owned(),
            boot: boot.clone(),
        })?;
        let elapsed_before_s = history.elapsed_s;
        let rebooted = boot != before;
        Ok(Self {
            folder,
            writer,
            measuring: Measuring::of(&plan)?,
            plan,
            host,
            campaign,
            history,
            stop: stop.clone(),
            began: Instant::now(),
            elapsed_before_s,
            rebooted,
            stop_at_target: spec.budget.stop_at_target,
        })
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Drives the run to its end, from wherever the journal stands.
    ///
    /// # Errors
    /// Where the host itself cannot go on. Everything done so far is in the journal.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<RunEnd, RunError> {
        let recorded = self.history.evaluated.len() as u64;
        observer.on(&Event::Started {
            plan: &self.plan,
            folder: self.folder.path(),
            recorded,
        });
        // They are in the journal since the start; who watches is told each time.
        for absent in &self.plan.absent_baselines {
            observer.on(&Event::Warning(&self.plan.absence(absent)));
        }
        if self.history.baselines.is_none() && !self.plan.baselines.is_empty() {
            let Some(comparison) = self.compare_baselines(observer)? else {
                return self.interrupted();
            };
            self.append(Record::Compared(comparison.clone()))?;
            observer.on(&Event::Compared(&comparison));
        }
        self.check_metric()?;
        self.aim_at_target();
        let reason = match self.search(observer)? {
            SearchEnd::Ended(reason) => reason,
            SearchEnd::Interrupted => {
                self.snapshot()?;
                return self.interrupted();
            }
        };
        self.snapshot()?;
        if !self.profile(observer)? {
            return self.interrupted();
        }
        self.warn_of_unjudged_rules(observer)?;
        if self.history.confirmation.is_none() {
            match self.confirm(observer)? {
                Some(comparison) => {
                    self.append(Record::Compared(comparison.clone()))?;
                    observer.on(&Event::Compared(&comparison));
                }
                None if self.stop.requested() => return self.interrupted(),
                None => {}
            }
        }
        self.append(Record::Finished {
            at: now(),
            reason: reason.clone(),
            elapsed_s: self.elapsed_s(),
        })?;
        observer.on(&Event::Finished { reason: &reason });
        Ok(RunEnd::Finished {
            reason,
            measured: self.campaign.counts().measured(),
        })
    }

    /// Appends a record and folds it.
    pub(super) fn append(&mut self, record: Record) -> Result<(), RunError> {
        self.writer.append(&record)?;
        self.history.add(&record);
        Ok(())
    }

    pub(super) fn warn(
        &mut self,
        observer: &mut dyn Observer,
        message: &str,
    ) -> Result<(), RunError> {
        observer.on(&Event::Warning(message));
        self.append(Record::Warning {
            at: now(),
            message: message.to_owned(),
        })
    }

    /// Seconds of run time over all sessions.
    pub(super) fn elapsed_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64() + self.elapsed_before_s
    }

    /// The component of a plugin that the plan names.
    pub(super) fn component(&self, plugin: &str, name: &str) -> Result<ComponentRef, RunError> {
        plan::component(&self.plan, plugin, name)
    }

    /// The problem's component, for runs that have one.
    pub(super) fn problem(&self) -> Result<Option<ComponentRef>, RunError> {
        match &self.plan.work {
            Work::Problem { plugin, spec } => self.component(plugin, &spec.problem).map(Some),
            Work::Objective { .. } => Ok(None),
        }
    }

    /// A metric that no baseline has is a mistake in the spec, better told before the search.
    fn check_metric(&self) -> Result<(), RunError> {
        let Some(baselines) = &self.history.baselines else {
            return Ok(());
        };
        let mut measured = baselines
            .items
            .iter()
            .filter_map(|item| item.outcome.measurement())
            .peekable();
        let Some(first) = measured.peek() else {
            return Ok(());
        };
        let names: Vec<&str> = first.metrics.iter().map(|m| m.name.as_str()).collect();
        let measured: Vec<&Measurement> = measured.collect();
        let ranked = self.campaign.settings().ranking.metrics();
        let has = |name: &str| measured.iter().any(|it| it.metric(name).is_some());
        match ranked.iter().find(|ranked| !has(&ranked.name)) {
            None => Ok(()),
            Some(ranked) => Err(RunError::input(format!(
                "no baseline has the metric `{}`; {}",
                ranked.name,
                suggestion(&ranked.name, &names)
            ))
            .hint("mend `metric` in the spec and start a new run")),
        }
    }

    /// With `stop_at_target` the search ends when its own measurement reaches the target.
    fn aim_at_target(&mut self) {
        let Some(target) = self.plan.target.as_ref().filter(|_| self.stop_at_target) else {
            return;
        };
        if let Some(baseline) = self.median_over(&self.plan.baselines_of(&target.over)) {
            let settings = self.campaign.settings();
            let value = if settings.ranking.better(2.0, 1.0) {
                baseline * target.speedup
            } else {
                baseline / target.speedup
            };
            let mut budget = settings.budget.clone();
            budget.target = Some(value);
            self.campaign.set_budget(budget);
        }
    }

    /// The best median of the ranked metric among baselines, by their positions in the plan, from
    /// the comparison before the search.
    pub(super) fn median_over(&self, baselines: &[usize]) -> Option<f64> {
        let items = &self.history.baselines.as_ref()?.items;
        let ranking = &self.campaign.settings().ranking;
        let labels = baselines
            .iter()
            .filter_map(|it| self.plan.baselines.get(*it));
        labels
            .filter_map(|planned| {
                let item = items.iter().find(|item| item.label == planned.label)?;
                let measurement = item.outcome.measurement()?;
                Some(measurement.metric(&self.plan.metric)?.value)
            })
            .reduce(|best, other| {
                if ranking.better(other, best) {
                    other
                } else {
                    best
                }
            })
    }

    fn interrupted(&mut self) -> Result<RunEnd, RunError> {
        self.append(Record::Interrupted {
            at: now(),
            by: self.stop.signal_name().to_owned(),
        })?;
        Ok(RunEnd::Interrupted {
            signal: self.stop.signal(),
        })
    }

    /// Records what the engine believes.
    fn snapshot(&mut self) -> Result<(), RunError> {
        let state = self.campaign.state();
        let spaces = plan::spaces(&self.plan)?;
        for (engine, space) in state.candidates.into_iter().zip(spaces) {
            let snapshot = Snapshot {
                candidate: engine.candidate,
                space_size: size_in_words(space.count(COUNT_EFFORT)),
                insights: engine.insights.into_iter().map(insight_line).collect(),
                withdrawn: engine.withdrawn.into_iter().map(insight_line).collect(),
                operators: engine
                    .operators
                    .into_iter()
                    .map(|operator| OperatorLine {
                        name: operator.operator,
                        proposals: operator.used,
                        improvements: operator.improved,
                    })
                    .collect(),
            };
            self.append(Record::Snapshot(snapshot))?;
        }
        Ok(())
    }

    /// Which stage a comparison of now belongs to, as part of its seed.
    pub(super) fn seed_for(&self, purpose: &str, number: u64) -> u64 {
        derive_seed(self.plan.seed, purpose, number)
    }

    pub(super) fn stage_seed(&self, stage: Stage) -> u64 {
        let purpose = match stage {
            Stage::Baselines => "baselines",
            Stage::Confirmation => "confirmation",
        };
        // An extended run confirms again, with inputs that it has not seen.
        self.seed_for(purpose, self.campaign.counts().proposed)
    }
}

fn size_in_words(count: evo_core::space::Count) -> String {
    match count {
        evo_core::space::Count::Exact(count) => count.to_string(),
        evo_core::space::Count::Estimate { value, std_error } => {
            format!("about {value:.3e} (standard error {std_error:.1e})")
        }
    }
}

/// Effort of counting a space for a report.
const COUNT_EFFORT: u64 = 2_000_000;

/// A seed that depends on the run's seed, on what it is for, and on a number.
fn derive_seed(seed: u64, purpose: &str, number: u64) -> u64 {
    let parts = [
        &seed.to_le_bytes()[..],
        purpose.as_bytes(),
        &number.to_le_bytes()[..],
    ];
    let hash = ContentHash::of_parts(&parts);
    hash.as_str()
        .get(..16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or(seed)
}

/// Seconds since the Unix epoch, for people.
pub(super) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// An insight as reports read it.
fn insight_line(insight: Insight) -> InsightLine {
    InsightLine {
        lever: insight.advice(),
        statement: insight.statement,
        strength: insight.strength,
        credit: insight.credit,
        evidence: insight.evidence.n,
        source: insight.source.to_string(),
        effect: insight.evidence.effect,
        followed: insight.followed,
        better: insight.better,
    }
}
