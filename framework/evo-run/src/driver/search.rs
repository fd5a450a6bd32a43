//! The search loop: ask, record, build, measure, record, tell.
//!
//! Builds run ahead of the measurements and several devices may measure side by side, but outcomes
//! are told in the order of the proposals: what is proposed depends on the outcomes and never on
//! timing.

mod outcome;
mod passes;

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use evo_core::engine::{Ask, Proposal};
use evo_journal::{Evaluated, Proposed, Record, Work};
use evo_types::{BuildRequest, ContentHash, DeviceFacts, Outcome, OutcomeKind, ProblemSpec};
use evo_wire::{Reply, Request};

use super::lanes::{Crew, Ended, Job, News, Report};
use super::pipeline::{Pipeline, Queues, Step};
use super::session::{Session, now};
use super::trial::{BuildEnd, Built, Judged, judged_answer};
use crate::plan::unexpected;
use crate::worker::{Host, HostSettings, Patience};
use crate::{Event, Observer, RunError};

/// How the search loop ended.
pub(super) enum SearchEnd {
    /// By itself, for this reason.
    Ended(String),
    /// By the user.
    Interrupted,
}

/// How often the loop looks whether the user wants to stop.
const TICK: Duration = Duration::from_millis(40);

/// A proposal that waits for its evaluation.
struct Pending {
    proposed: Proposed,
    attempt: u32,
}

/// A trial between its proposal and its outcome.
struct Trial {
    pending: Pending,
    built: Option<Built>,
    judged: Option<Judged>,
    /// The lane that measures it.
    lane: usize,
    /// When its first job was given out.
    begun: Option<Instant>,
    /// Seconds that the device was waited for.
    waited_s: f64,
}

/// The search while its threads are there.
struct Search<'a, 'scope> {
    session: &'a mut Session,
    observer: &'a mut dyn Observer,
    crew: &'a Crew<'scope>,
    /// The devices, by lane.
    devices: Vec<DeviceFacts>,
    /// The problem's extra shapes, which builders build ahead too.
    extra: Vec<ProblemSpec>,
    pipeline: Pipeline,
    trials: BTreeMap<u64, Trial>,
    queues: Queues,
    /// When the trial before was settled.
    settled: Instant,
    /// Trials in a row that killed their worker.
    deaths: u32,
    /// The user asked to stop at once.
    interrupted: bool,
}

impl Session {
    /// Evaluates what is pending and asks for more until the campaign ends.
    pub(super) fn search(&mut self, observer: &mut dyn Observer) -> Result<SearchEnd, RunError> {
        let devices: Vec<DeviceFacts> = std::iter::once(&self.plan.device)
            .chain(self.plan.siblings.iter().map(|sibling| &sibling.device))
            .cloned()
            .collect();
        self.diagnose_what_is_left(observer)?;
        let pending = self.pending_again(devices.len())?;
        let builders = self.builders();
        let extra = match builders {
            0 => Vec::new(),
            _ => match self.extra_shapes()? {
                Some(extra) => extra,
                None => return Ok(SearchEnd::Interrupted),
            },
        };
        let settings = self.host.settings().clone();
        let builders = (0..builders).map(|_| Host::builder(settings.clone()));
        let builders: Vec<Host> = builders.collect();
        // Its place is taken until the search gives it back.
        let first = std::mem::replace(&mut self.host, Host::new(settings.clone()));
        let siblings = self.plan.siblings.iter().map(|sibling| {
            Host::new(HostSettings {
                device: sibling.device_name.clone(),
                ..settings.clone()
            })
        });
        let lanes: Vec<Host> = std::iter::once(first).chain(siblings).collect();
        let stop = self.stop.clone();
        thread::scope(|scope| {
            let pipeline = Pipeline::new(lanes.len(), builders.len());
            let crew = Crew::start(scope, lanes, builders, &stop);
            let mut search = Search {
                session: &mut *self,
                observer,
                crew: &crew,
                devices,
                extra,
                pipeline,
                trials: BTreeMap::new(),
                queues: Queues::default(),
                settled: Instant::now(),
                deaths: 0,
                interrupted: false,
            };
            let ended = search.run(pending);
            if let Some(host) = crew.dismiss().into_iter().next() {
                self.host = host;
            }
            ended
        })
    }

    /// How many processes build ahead. On a CPU a build would disturb the measurement, so the
    /// device's own worker builds, in its turn.
    fn builders(&self) -> usize {
        let kernels = matches!(self.plan.work, Work::Problem { .. });
        if !kernels || self.plan.device.kind == "cpu" || self.plan.ahead < 2 {
            return 0;
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // One for each worker that measures.
        let free = cores.saturating_sub(1 + self.plan.siblings.len());
        free.clamp(1, self.plan.ahead)
    }

    /// The problem on its extra shapes. `None`: the user asked to stop.
    fn extra_shapes(&mut self) -> Result<Option<Vec<ProblemSpec>>, RunError> {
        let (Work::Problem { spec, .. }, Some(problem)) = (&self.plan.work, self.problem()?) else {
            return Ok(Some(Vec::new()));
        };
        let mut shapes = Vec::new();
        for changes in spec.extra_shapes.clone() {
            let mut fields = spec.fields.clone();
            fields.extend(changes);
            let request = Request::ResolveProblem {
                problem: problem.clone(),
                fields,
            };
            let reply = self
                .host
                .call(request, 0.0, &self.stop, Patience::Short, &mut |_, _| {});
            match reply {
                Ok(Reply::Problem { spec }) => shapes.push(*spec),
                Ok(other) => return Err(unexpected("ResolveProblem", &other)),
                Err(_) if self.stop.requested() => return Ok(None),
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(Some(shapes))
    }
}

impl Search<'_, '_> {
    fn run(&mut self, pending: Vec<Pending>) -> Result<SearchEnd, RunError> {
        for pending in pending {
            self.admit(pending);
        }
        let mut ended = None;
        loop {
            let stopping = self.session.stop.requested();
            if stopping {
                self.pipeline.wind_up();
            }
            self.give_out()?;
            // Each proposal follows the same outcome whatever ended first: one is asked for after
            // every trial that is settled, before the next one is. So it is while winding up: what
            // is proposed then is begun by the next session.
            let ahead = self.session.plan.ahead;
            // Profiles come between trials, when all that were proposed are settled.
            let passes = match ended {
                None if !stopping => self.session.due_passes(),
                _ => Vec::new(),
            };
            if !passes.is_empty() && self.pipeline.len() == 0 {
                self.profile(passes)?;
                continue;
            }
            if ended.is_none() && passes.is_empty() && self.pipeline.len() < ahead {
                match self.session.campaign.ask() {
                    Ask::Propose(proposal) => {
                        self.propose(&proposal)?;
                        continue;
                    }
                    Ask::Wait => {}
                    Ask::Exhausted => {
                        ended = Some("every valid configuration has been tried".to_owned());
                    }
                    Ask::Stop(reason) => ended = Some(reason.to_string()),
                }
            }
            if self.settle()? {
                // The engine is asked again after each outcome, as after a resume: one that was
                // still to come may be the improvement whose absence ended the search.
                ended = None;
                continue;
            }
            if self.interrupted || (stopping && !self.pipeline.is_under_way()) {
                return Ok(SearchEnd::Interrupted);
            }
            if self.pipeline.len() == 0 {
                return Ok(match ended {
                    Some(reason) => SearchEnd::Ended(reason),
                    None => SearchEnd::Interrupted,
                });
            }
            self.listen()?;
        }
    }

    fn propose(&mut self, proposal: &Proposal) -> Result<(), RunError> {
        let proposed = self.session.describe(proposal)?;
        self.session.append(Record::Proposed(proposed.clone()))?;
        self.observer.on(&Event::Proposed(&proposed));
        self.admit(Pending {
            proposed,
            attempt: 1,
        });
        Ok(())
    }

    /// Adds a trial to those under way.
    fn admit(&mut self, pending: Pending) {
        let trial = pending.proposed.trial;
        let builds = matches!(self.session.plan.work, Work::Problem { .. });
        let quarantine = self.session.quarantine(&pending);
        self.pipeline.add(trial, builds);
        if quarantine.is_some() {
            self.pipeline.done(trial, None);
        }
        self.trials.insert(
            trial,
            Trial {
                pending,
                built: None,
                judged: quarantine,
                lane: 0,
                begun: None,
                waited_s: 0.0,
            },
        );
    }

    /// Gives out everything that can be done now.
    fn give_out(&mut self) -> Result<(), RunError> {
        loop {
            self.compare();
            let Some(step) = self.pipeline.next() else {
                break;
            };
            match step {
                Step::BuildAhead { trial, builder } => {
                    let job = self.build_job(trial, None)?;
                    self.crew.on_builder(builder, job)?;
                }
                Step::BuildHere { trial, lane } => {
                    let job = self.build_job(trial, Some(lane))?;
                    self.crew.on_lane(lane, job)?;
                }
                Step::Measure { trial, lane } => {
                    let job = self.measure_job(trial, lane)?;
                    self.crew.on_lane(lane, job)?;
                }
            }
        }
        let queues = self.pipeline.queues();
        if queues != self.queues {
            self.queues = queues;
            self.observer.on(&Event::Queues(queues));
        }
        Ok(())
    }

    /// Finds trials that repeat an execution of an earlier one, which need no measurement.
    fn compare(&mut self) {
        while let Some(trial) = self.pipeline.next_to_compare() {
            let Some(execution) = self.execution(trial) else {
                return;
            };
            let recorded = self.session.history.executions.get(execution).copied();
            let under_way = || {
                let earlier = self.trials.range(..trial);
                let mut same =
                    earlier.filter(|(other, _)| self.execution(**other) == Some(execution));
                same.next().map(|(other, _)| *other)
            };
            let Some(earlier) = recorded.or_else(under_way) else {
                return;
            };
            let outcome = Outcome::DuplicateOf { trial: earlier };
            if let Some(repeat) = self.trials.get_mut(&trial)
                && let Some(built) = repeat.built.take()
            {
                repeat.judged = Some(Judged::free(outcome).with(built));
            }
            self.pipeline.done(trial, None);
        }
    }

    /// What a trial under way executes, where that is known.
    fn execution(&self, trial: u64) -> Option<&ContentHash> {
        let trial = self.trials.get(&trial)?;
        let built = trial.built.as_ref().map(|built| &built.execution);
        built.or_else(|| trial.judged.as_ref()?.execution.as_ref())
    }

    fn trial(&mut self, trial: u64) -> Result<&mut Trial, RunError> {
        let found = self.trials.get_mut(&trial);
        found.ok_or_else(|| RunError::internal(format!("trial {trial} is not under way")))
    }

    fn build_job(&mut self, trial: u64, lane: Option<usize>) -> Result<Job, RunError> {
        let found = self.trial(trial)?;
        found.begun = Some(Instant::now());
        let proposed = found.pending.proposed.clone();
        let request = self.session.build_request(&proposed)?;
        let also = match &request {
            Request::Build { kernel, request } => self.extra.iter().map(|shape| Request::Build {
                kernel: kernel.clone(),
                request: BuildRequest {
                    problem: shape.clone(),
                    ..request.clone()
                },
            }),
            _ => return Err(RunError::internal("a build is no build")),
        };
        Ok(Job {
            trial,
            also: also.collect(),
            request,
            measuring_s: 0.0,
            // On a CPU a build disturbs another run's measurement just as a measurement would.
            device: lane.and_then(|lane| self.uuid(lane)),
        })
    }

    fn measure_job(&mut self, trial: u64, lane: usize) -> Result<Job, RunError> {
        let found = self.trial(trial)?;
        found.begun.get_or_insert_with(Instant::now);
        found.lane = lane;
        let proposed = found.pending.proposed.clone();
        let device = self.devices.get(lane).ok_or_else(|| {
            RunError::internal(format!("there is no device number {lane} in the plan"))
        })?;
        let (request, measuring_s) = self.session.measure_request(&proposed, device)?;
        // Objectives are not measured by the framework.
        let device = match &request {
            Request::Evaluate { .. } => None,
            _ => self.uuid(lane),
        };
        Ok(Job {
            trial,
            request,
            also: Vec::new(),
            measuring_s,
            device,
        })
    }

    fn uuid(&self, lane: usize) -> Option<String> {
        self.devices.get(lane).map(|device| device.uuid.clone())
    }

    /// Waits for what the threads say, for a moment.
    fn listen(&mut self) -> Result<(), RunError> {
        match self.crew.reports.recv_timeout(TICK) {
            Ok(report) => self.hear(report)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(RunError::internal("the threads of the search are gone"));
            }
        }
        while let Ok(report) = self.crew.reports.try_recv() {
            self.hear(report)?;
        }
        Ok(())
    }

    fn hear(&mut self, report: Report) -> Result<(), RunError> {
        let Report { trial, news } = report;
        match news {
            News::WaitingForDevice { holder } => {
                self.observer.on(&Event::WaitingForDevice { holder });
                Ok(())
            }
            News::Phase(phase) => {
                let subject = format!("trial {trial}");
                self.observer.on(&Event::Phase { phase, subject });
                Ok(())
            }
            News::Ended(ended) => self.ended(trial, *ended),
        }
    }

    fn ended(&mut self, trial: u64, ended: Ended) -> Result<(), RunError> {
        let Ended {
            answer,
            seconds,
            waited_s,
            leaked,
        } = ended;
        self.session.name_leaked(trial, leaked, self.observer)?;
        let Some(answer) = answer? else {
            self.interrupted = true;
            return Ok(());
        };
        self.trial(trial)?.waited_s += waited_s;
        if let Some(lane) = self.pipeline.measuring_on(trial) {
            let judged = judged_answer(answer, seconds)?;
            self.interrupted |= judged.is_none();
            let found = self.trial(trial)?;
            let built = found.built.take();
            found.judged = judged.map(|judged| match built {
                Some(built) => judged.with(built),
                None => judged,
            });
            self.pipeline.done(trial, Some(lane));
            return Ok(());
        }
        let lane = self.pipeline.building_on(trial);
        match self.session.build_end(answer)? {
            BuildEnd::Built(built) => {
                self.trial(trial)?.built = Some(built);
                self.pipeline.built(trial, lane);
            }
            BuildEnd::Judged(mut judged) => {
                if lane.is_some() {
                    judged.device_s = seconds;
                }
                self.trial(trial)?.judged = Some(judged);
                self.pipeline.done(trial, lane);
            }
            BuildEnd::Interrupted => self.interrupted = true,
        }
        Ok(())
    }

    /// Records and tells the outcome of the oldest trial, if there is one; says whether it did.
    fn settle(&mut self) -> Result<bool, RunError> {
        if self.interrupted {
            return Ok(false);
        }
        let Some(trial) = self.pipeline.settle() else {
            return Ok(false);
        };
        let found = self.trials.remove(&trial);
        let found =
            found.ok_or_else(|| RunError::internal(format!("trial {trial} is not under way")))?;
        let began = found.begun.map(|begun| begun.max(self.settled));
        let mut judged = found
            .judged
            .ok_or_else(|| RunError::internal(format!("trial {trial} has no outcome")))?;
        // What this trial has added to the time of the search.
        if let Some(began) = began {
            judged.wall_s = (began.elapsed().as_secs_f64() - found.waited_s).max(0.0);
        }
        if judged.charged {
            // An objective that replays charges what the evaluation cost when it was recorded.
            judged.wall_s = judged.device_s;
        }
        self.settled = Instant::now();
        let evaluated = Evaluated {
            trial,
            attempt: found.pending.attempt,
            outcome: judged.outcome,
            execution: judged.execution,
            build: judged.build,
            wall_s: judged.wall_s,
            device_s: judged.device_s,
            device: self.uuid(found.lane).unwrap_or_default(),
            elapsed_s: self.session.elapsed_s(),
            at: now(),
        };
        let killed = !judged.charged && kills(&evaluated.outcome);
        self.deaths = if killed { self.deaths + 1 } else { 0 };
        let proposed = &found.pending.proposed;
        self.session.settle(proposed, evaluated, self.observer)?;
        self.check_deaths()?;
        Ok(true)
    }

    fn check_deaths(&self) -> Result<(), RunError> {
        let deaths = self.deaths;
        if deaths < self.session.plan.limits.crashes_in_a_row {
            return Ok(());
        }
        Err(RunError::environment(format!(
            "the last {deaths} trials in a row killed their worker: the environment seems to be \
             broken"
        ))
        .hint(
            "`tune_log.csv` in the run folder says how each one ended; raise `limits: \
             (crashes_in_a_row: N)` if so many crashes are to be expected",
        ))
    }
}

/// Whether the outcome is one that ends its worker.
fn kills(outcome: &Outcome) -> bool {
    matches!(
        outcome.kind(),
        OutcomeKind::Crashed | OutcomeKind::TimedOut | OutcomeKind::OutOfMemory
    )
}
