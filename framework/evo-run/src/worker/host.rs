//! The host of a device: keeps one worker for it, and starts a new one when it has to.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use evo_journal::Limits;
use evo_types::{DeviceFacts, Phase};
use evo_wire::{PROTOCOL, Reply, Request};

use super::call::{CallFailure, Deadlines, Patience, Waited, Watch, call};
use super::process::{Prints, Process};
use super::sweep::{adopt_orphans, children};
use crate::{RunError, Stop, Store};

/// What a host needs.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// The program that has the `worker` command: `evo` itself.
    pub program: PathBuf,
    /// Where plugin files are.
    pub store: Store,
    /// The device that workers serve: `cpu`, or `cuda:0` by number.
    pub device: String,
    /// The CPUs that workers are confined to; empty for all.
    pub cpus: Vec<usize>,
    /// Deadlines and memory.
    pub limits: Limits,
}

/// Keeps a worker for one device.
#[derive(Debug)]
pub struct Host {
    settings: HostSettings,
    /// Environment variables of workers, beside this process's own.
    environment: Vec<(OsString, OsString)>,
    worker: Option<Process>,
    device: Option<DeviceFacts>,
    next_id: u64,
    /// Children that this process had before it started workers: not ours to kill.
    known: Vec<u32>,
    /// Requests that the present worker has answered.
    answered: u32,
    /// Resident bytes of the present worker after its first answers.
    resident_at_first: Option<u64>,
    /// Processes that candidates left running, since the last time somebody asked.
    leaked: usize,
    /// Whether its workers let everything else on the machine go first.
    behind: bool,
    /// Whether other tools may look at its workers: what these print is passed on, and they end by
    /// themselves unless the user asks to stop.
    observed: Option<Stop>,
    /// How observed workers ended that did not end well.
    bad_ends: Vec<String>,
}

/// A worker is replaced after so many requests, whatever they did: what a plugin leaks in small
/// pieces is given back.
const MOST_REQUESTS: u32 = 300;
/// A worker is replaced when it has grown by so much since its first answers.
const MOST_GROWTH: u64 = 2 << 30;
/// Requests after which a worker has what it needs: plugins, threads, buffers.
const SETTLED_AFTER: u32 = 6;

/// How long an observed worker may take to end by itself: tools write what they saw at its end.
const OBSERVED_END: Duration = Duration::from_secs(60);
/// How long any other may that has closed its channel, which it does a moment before its end.
const USUAL_END: Duration = Duration::from_millis(500);

/// The variable that tells a worker, and the compilers in it, where compiled sources are kept.
const ARTIFACTS: &str = "EVO_ARTIFACTS";

impl Host {
    /// A host without a worker yet.
    pub fn new(settings: HostSettings) -> Self {
        adopt_orphans();
        Self {
            settings,
            environment: Vec::new(),
            worker: None,
            device: None,
            next_id: 1,
            known: children("self"),
            answered: 0,
            resident_at_first: None,
            leaked: 0,
            behind: false,
            observed: None,
            bad_ends: Vec::new(),
        }
    }

    /// A host whose workers only build: they open no device, and let everything else on the
    /// machine go first.
    pub(crate) fn builder(settings: HostSettings) -> Self {
        let device = "cpu".to_owned();
        let mut host = Self::new(HostSettings { device, ..settings });
        host.behind = true;
        host
    }

    /// A host whose workers other tools may look at, such as a sanitizer or a profiler. What such a
    /// worker prints goes to this program's standard error. It is asked to end and waited for, is
    /// not replaced because it has grown or has children, and opening it may take as long as a
    /// build: all this may be the tool's doing.
    pub(crate) fn observed(settings: HostSettings, stop: &Stop) -> Self {
        let mut host = Self::new(settings);
        host.observed = Some(stop.clone());
        host
    }

    /// How observed workers ended, since the last call, that did not end well although nothing was
    /// under way: tools tell of what they found by an exit code.
    pub(crate) fn take_bad_ends(&mut self) -> Vec<String> {
        std::mem::take(&mut self.bad_ends)
    }

    /// The settings.
    pub fn settings(&self) -> &HostSettings {
        &self.settings
    }

    /// Changes the limits, once the spec is known.
    pub fn set_limits(&mut self, limits: Limits) {
        self.settings.limits = limits;
    }

    /// Confines later workers to some CPUs, and ends the present one.
    pub fn confine(&mut self, cpus: &[usize]) {
        self.settings.cpus = cpus.to_vec();
        self.recycle();
    }

    /// Gives later workers further environment variables, and ends the present one.
    pub fn set_environment(&mut self, environment: Vec<(OsString, OsString)>) {
        self.environment = environment;
        self.recycle();
    }

    /// Makes later workers serve another device, and ends the present one.
    pub fn serve(&mut self, device: &str) {
        if self.settings.device != device {
            device.clone_into(&mut self.settings.device);
            self.device = None;
            self.recycle();
        }
    }

    /// The device that the workers serve; starts one to ask.
    ///
    /// # Errors
    /// Where no worker can be started.
    pub fn device(&mut self, stop: &Stop) -> Result<DeviceFacts, RunError> {
        self.ensure(stop).map_err(RunError::from)?;
        self.device
            .clone()
            .ok_or_else(|| RunError::internal("a worker started without naming its device"))
    }

    /// Asks the worker, starting one if there is none. After a failure that may have left the
    /// worker in disorder it is killed; the next call starts a fresh one.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn call(
        &mut self,
        request: Request,
        measuring_s: f64,
        stop: &Stop,
        patience: Patience,
        progress: &mut dyn FnMut(Phase, Option<usize>),
    ) -> Result<Reply, CallFailure> {
        if self.is_worn() {
            self.recycle();
        }
        self.ensure(stop)?;
        self.ask(request, measuring_s, stop, patience, progress)
    }

    /// How many processes candidates have left running since the last call. They have been killed,
    /// and their worker with them.
    pub fn take_leaked(&mut self) -> usize {
        std::mem::take(&mut self.leaked)
    }

    fn is_worn(&self) -> bool {
        if self.observed.is_some() {
            return false;
        }
        let now = self.worker.as_ref().and_then(Process::resident_bytes);
        let grown = match (self.resident_at_first, now) {
            (Some(first), Some(now)) => now.saturating_sub(first),
            _ => 0,
        };
        self.answered >= MOST_REQUESTS || grown > MOST_GROWTH
    }

    /// Takes a worker back that has answered, unless it left processes running.
    fn keep(&mut self, process: Process) {
        let leaked = match self.observed {
            Some(_) => 0,
            None => process.leaked(&self.known),
        };
        if leaked > 0 {
            self.leaked += leaked;
            let _ = process.end(Duration::ZERO, &self.known);
            return;
        }
        self.answered += 1;
        if self.answered == SETTLED_AFTER {
            self.resident_at_first = process.resident_bytes();
        }
        self.worker = Some(process);
    }

    /// Ends the worker, so that the next call gets a fresh process.
    pub fn recycle(&mut self) {
        let Some(process) = self.worker.take() else {
            return;
        };
        match &self.observed {
            None => {
                let _ = process.end(Duration::ZERO, &self.known);
            }
            Some(stop) => {
                let ended = process.dismiss(OBSERVED_END, stop, &self.known);
                self.bad_ends.extend(ended.bad_end(OBSERVED_END));
            }
        }
    }

    fn ensure(&mut self, stop: &Stop) -> Result<(), CallFailure> {
        if self.worker.is_some() {
            return Ok(());
        }
        let mut environment = self.environment.clone();
        if let Some(folder) = self.settings.store.artifacts() {
            environment.push((ARTIFACTS.into(), folder.into()));
        }
        let prints = match self.observed {
            Some(_) => Prints::PassedOn,
            None => Prints::Kept,
        };
        let process = Process::spawn(&self.settings.program, &environment, prints)
            .map_err(|error| CallFailure::Environment(error.to_string()))?;
        if self.behind {
            process.yield_to_others();
        }
        self.worker = Some(process);
        self.answered = 0;
        self.resident_at_first = None;
        let hello = Request::Hello {
            protocol: PROTOCOL,
            store: self.settings.store.folder().to_owned(),
            device: self.settings.device.clone(),
            cpus: self.settings.cpus.clone(),
        };
        match self.ask(hello, 0.0, stop, Patience::Long, &mut |_, _| {}) {
            Ok(Reply::Hello {
                protocol: PROTOCOL,
                device,
            }) => {
                self.device = Some(device);
                Ok(())
            }
            Ok(Reply::Hello { protocol, .. }) => {
                self.recycle();
                Err(CallFailure::Environment(format!(
                    "the worker speaks protocol {protocol}, this program {PROTOCOL}: was the \
                     program replaced while it ran?"
                )))
            }
            Ok(_) => {
                self.recycle();
                Err(CallFailure::Environment(
                    "the worker did not greet".to_owned(),
                ))
            }
            Err(CallFailure::Died {
                message, output, ..
            }) => Err(CallFailure::Environment(format!(
                "a worker died while it started: {message}\n{output}"
            ))),
            Err(other) => Err(other),
        }
    }

    fn ask(
        &mut self,
        request: Request,
        measuring_s: f64,
        stop: &Stop,
        patience: Patience,
        progress: &mut dyn FnMut(Phase, Option<usize>),
    ) -> Result<Reply, CallFailure> {
        let Some(mut process) = self.worker.take() else {
            return Err(CallFailure::Environment("there is no worker".to_owned()));
        };
        let id = self.next_id;
        self.next_id += 1;
        let watch = Watch {
            first: first_phase(&request),
            deadlines: Deadlines::new(&self.limits_of(&request), measuring_s),
            stop,
            patience,
            progress,
        };
        match call(&mut process, id, request, watch) {
            Waited::Reply(reply) => {
                self.keep(process);
                Ok(*reply)
            }
            Waited::Failed(failure @ CallFailure::Refused { .. }) => {
                self.worker = Some(process);
                Err(failure)
            }
            Waited::Failed(failure) => {
                let ended = process.end(Duration::ZERO, &self.known);
                if ended.reaped {
                    Err(failure)
                } else {
                    Err(stuck())
                }
            }
            Waited::Broken { phase, item, what } => {
                let ended = match &self.observed {
                    Some(stop) => process.dismiss(OBSERVED_END, stop, &self.known),
                    None => process.end(USUAL_END, &self.known),
                };
                if !ended.reaped {
                    return Err(stuck());
                }
                let message = ended.how().unwrap_or(what);
                Err(CallFailure::Died {
                    phase,
                    item,
                    message,
                    output: ended.output,
                })
            }
        }
    }
}

impl Host {
    /// The limits of a request: opening a plugin is no build.
    fn limits_of(&self, request: &Request) -> Limits {
        let mut limits = self.settings.limits.clone();
        let opening = matches!(
            request,
            Request::Hello { .. }
                | Request::Tools
                | Request::LoadPlugin { .. }
                | Request::Probe { .. }
        );
        if opening && self.observed.is_none() {
            limits.build_s = limits.build_s.min(OPENING_S);
        }
        limits
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.recycle();
    }
}

fn stuck() -> CallFailure {
    CallFailure::Environment(
        "a worker was killed and does not go away; the device is not used any more. It may be \
         waiting for broken hardware: see the system's log"
            .to_owned(),
    )
}

/// Most seconds in which a plugin is opened: enough for an interpreter with large packages.
const OPENING_S: f64 = 60.0;

/// The step that a request begins with, for the time before the worker reports one.
fn first_phase(request: &Request) -> Phase {
    match request {
        Request::Hello { .. }
        | Request::Tools
        | Request::Probe { .. }
        | Request::LoadPlugin { .. }
        | Request::OpenObjective { .. } => Phase::Load,
        Request::ResolveProblem { .. } | Request::Build { .. } => Phase::Build,
        Request::Measure(_) | Request::Compare(_) | Request::Conform(_) | Request::Replay(_) => {
            Phase::Load
        }
        Request::Evaluate { .. } => Phase::Evaluate,
        Request::Profile(_) => Phase::Profile,
    }
}

impl From<CallFailure> for RunError {
    /// For calls that are about no candidate: any failure is the run's.
    fn from(failure: CallFailure) -> Self {
        use evo_wire::FailureKind;
        match failure {
            CallFailure::Refused {
                kind: FailureKind::Plugin | FailureKind::Refused,
                message,
            } => Self::input(message),
            CallFailure::Refused { message, .. } => Self::internal(message),
            CallFailure::Died {
                message, output, ..
            } => {
                let output = if output.is_empty() {
                    String::new()
                } else {
                    format!("\n{output}")
                };
                Self::input(format!(
                    "the plugin brought its worker down: {message}{output}"
                ))
                .hint("`evo plugin check` on the plugin says more")
            }
            CallFailure::TimedOut { limit_s, .. } => {
                Self::environment(format!("the worker did not answer within {limit_s} s"))
            }
            CallFailure::OutOfMemory { message, .. } | CallFailure::Environment(message) => {
                Self::environment(message)
            }
            CallFailure::Interrupted => Self::environment("interrupted"),
        }
    }
}
