//! One request to a worker: sent, watched, answered or ended.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use evo_journal::Limits;
use evo_types::Phase;
use evo_wire::{Envelope, FailureKind, FrameError, Reply, Request, write_frame};

use super::process::Process;
use crate::Stop;

/// How often a waiting host looks at memory and at the user's wishes.
const TICK: Duration = Duration::from_millis(40);

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum CallFailure {
    /// The worker's process ended, or it stopped speaking the protocol and was killed.
    Died {
        /// What was under way.
        phase: Phase,
        /// Which item of a comparison.
        item: Option<usize>,
        /// How it ended.
        message: String,
        /// The last lines that it printed.
        output: String,
    },
    /// The deadline passed.
    TimedOut {
        /// What was under way.
        phase: Phase,
        /// Which item of a comparison.
        item: Option<usize>,
        /// The deadline in seconds.
        limit_s: f64,
    },
    /// The worker used more memory than it may.
    OutOfMemory {
        /// What was under way.
        phase: Phase,
        /// Which item of a comparison.
        item: Option<usize>,
        /// How much, and how much it may.
        message: String,
    },
    /// The worker is well and says no.
    Refused {
        /// Which kind of failure.
        kind: FailureKind,
        /// What happened and what to do.
        message: String,
    },
    /// The user asked to stop.
    Interrupted,
    /// No worker can be started, or one cannot be killed.
    Environment(String),
}

/// When waiting ends early because the user asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The first request to stop ends it: nothing is lost by doing it again.
    Short,
    /// Only the second request ends it: a trial is allowed to finish.
    Long,
}

/// Where a request stands, by the worker's own reports.
struct Standing {
    phase: Phase,
    item: Option<usize>,
    since: Instant,
}

pub(super) enum Waited {
    Reply(Box<Reply>),
    Failed(CallFailure),
    /// The process has to be ended, which tells how it died.
    Broken {
        phase: Phase,
        item: Option<usize>,
        what: String,
    },
}

/// How an answer is waited for.
pub(super) struct Watch<'a> {
    /// The step that the request begins with.
    pub(super) first: Phase,
    pub(super) deadlines: Deadlines,
    pub(super) stop: &'a Stop,
    pub(super) patience: Patience,
    /// Told whenever the worker begins a step.
    pub(super) progress: &'a mut dyn FnMut(Phase, Option<usize>),
}

/// Sends a request and waits for its answer.
pub(super) fn call(process: &mut Process, id: u64, request: Request, watch: Watch<'_>) -> Waited {
    let Watch {
        first,
        deadlines: limits,
        stop,
        patience,
        progress,
    } = watch;
    let mut standing = Standing {
        phase: first,
        item: None,
        since: Instant::now(),
    };
    if let Err(error) = write_frame(&mut process.channel, &Envelope { id, body: request }) {
        let what = format!("the request could not be sent: {error}");
        return Waited::Broken {
            phase: first,
            item: None,
            what,
        };
    }
    loop {
        let Standing { phase, item, since } = standing;
        match process.replies.recv_timeout(TICK) {
            Ok(Ok(envelope)) if envelope.id != id => {}
            Ok(Ok(Envelope {
                body: Reply::Progress { phase, item },
                ..
            })) => {
                progress(phase, item);
                standing = Standing {
                    phase,
                    item,
                    since: Instant::now(),
                };
                continue;
            }
            Ok(Ok(Envelope {
                body: Reply::Failed { kind, message },
                ..
            })) => {
                return Waited::Failed(CallFailure::Refused { kind, message });
            }
            Ok(Ok(envelope)) => return Waited::Reply(Box::new(envelope.body)),
            Ok(Err(FrameError::Closed)) | Err(RecvTimeoutError::Disconnected) => {
                let what = "it closed the channel to the host".to_owned();
                return Waited::Broken { phase, item, what };
            }
            Ok(Err(error)) => {
                return Waited::Broken {
                    phase,
                    item,
                    what: error.to_string(),
                };
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop.at_once() || (patience == Patience::Short && stop.requested()) {
            return Waited::Failed(CallFailure::Interrupted);
        }
        let limit_s = limits.of(phase);
        if since.elapsed().as_secs_f64() > limit_s {
            return Waited::Failed(CallFailure::TimedOut {
                phase,
                item,
                limit_s,
            });
        }
        if let Some(bytes) = process.resident_bytes()
            && bytes > limits.memory_bytes
        {
            let message = format!(
                "the worker had {} MiB of resident memory; the limit is {} MiB",
                bytes >> 20,
                limits.memory_bytes >> 20
            );
            return Waited::Failed(CallFailure::OutOfMemory {
                phase,
                item,
                message,
            });
        }
    }
}

/// How long each step may take.
#[derive(Debug, Clone)]
pub(super) struct Deadlines {
    limits: Limits,
    /// Seconds of timed launches that the job allows, on top of the limit of a measurement.
    measuring_s: f64,
    memory_bytes: u64,
}

impl Deadlines {
    /// The deadlines of a run, for jobs with this many seconds of timed launches.
    pub(super) fn new(limits: &Limits, measuring_s: f64) -> Self {
        Self {
            limits: limits.clone(),
            measuring_s,
            memory_bytes: limits.memory_bytes,
        }
    }

    fn of(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Accept | Phase::Build | Phase::Load => self.limits.build_s,
            Phase::Verify | Phase::Recheck => self.limits.verify_s,
            Phase::Measure => self.limits.measure_s + self.measuring_s,
            Phase::Evaluate | Phase::Profile => self.limits.measure_s,
        }
    }
}
