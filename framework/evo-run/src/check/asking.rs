//! Questions to the worker, within the time that there is.

use std::time::Instant;

use evo_journal::Limits;
use evo_types::{Outcome, Params, Phase};
use evo_wire::{ConformJob, ConformReport, Probe, Reply, Request, Rule};

use super::{CheckEvent, CheckOptions, Ledger};
use crate::plan::unexpected;
use crate::worker::{CallFailure, Host, Patience};
use crate::{RunError, Stop};

/// What became of a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// The worker answered.
    Reply(Reply),
    /// The worker died of it, or was ended: how, and in which step.
    Broken(String),
    /// The worker is well and says no.
    Refused(String),
    /// There was no time left to ask.
    NoTime,
}

/// The worker, and who is told what is going on.
pub(super) struct Asking<'a> {
    pub(super) host: Host,
    pub(super) options: &'a CheckOptions,
    /// Fields and settings that are set, by the user or by the plugin's default spec.
    pub(super) set: Params,
    pub(super) stop: &'a Stop,
    observer: &'a mut dyn FnMut(CheckEvent<'_>),
    began: Instant,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        mut host: Host,
        options: &'a CheckOptions,
        stop: &'a Stop,
        observer: &'a mut dyn FnMut(CheckEvent<'_>),
    ) -> Self {
        let limits = Limits {
            build_s: options.step_seconds,
            verify_s: options.step_seconds,
            measure_s: options.step_seconds,
            ..host.settings().limits.clone()
        };
        host.set_limits(limits);
        Self {
            host,
            options,
            set: options.set.clone(),
            stop,
            observer,
            began: Instant::now(),
        }
    }

    /// Adds fields and settings that the user has not set.
    pub(super) fn add_defaults(&mut self, values: Params) {
        for (name, value) in values {
            self.set.entry(name).or_insert(value);
        }
    }

    /// Why there is no time left, if so.
    pub(super) fn out_of_time(&self) -> Option<String> {
        let seconds = self.options.seconds;
        (self.began.elapsed().as_secs_f64() > seconds)
            .then(|| format!("the {seconds} seconds were up; allow more with --seconds"))
    }

    /// Says that a rule is tried, and does it.
    pub(super) fn trying<T>(
        &mut self,
        rule: Rule,
        subject: &str,
        ask: impl FnOnce(&mut Host, &Stop) -> T,
    ) -> T {
        (self.observer)(CheckEvent::Trying { rule, subject });
        ask(&mut self.host, self.stop)
    }

    /// Asks the worker something that is part of trying a rule.
    ///
    /// # Errors
    /// Where no worker can be had, or the user asked to stop.
    pub(super) fn ask(
        &mut self,
        rule: Rule,
        ledger: &mut Ledger,
        request: Request,
    ) -> Result<Answer, RunError> {
        if self.out_of_time().is_some() {
            return Ok(Answer::NoTime);
        }
        let called = self.trying(rule, ledger.subject(), |host, stop| {
            host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {})
        });
        let leaked = self.host.take_leaked();
        if leaked > 0 {
            let message =
                format!("{leaked} processes were left running (seen while `{rule}` was tried)");
            ledger.fail(Rule::NoLeftovers, message);
        }
        self.answer(called)
    }

    fn answer(&mut self, called: Result<Reply, CallFailure>) -> Result<Answer, RunError> {
        match called {
            Ok(Reply::Outcome { outcome, .. }) if is_broken(&outcome) => {
                self.host.recycle();
                Ok(Answer::Broken(outcome.summary()))
            }
            Ok(Reply::Outcome { outcome, .. }) if is_error(&outcome) => {
                Ok(Answer::Refused(outcome.summary()))
            }
            Ok(reply) => Ok(Answer::Reply(reply)),
            Err(CallFailure::Died {
                phase,
                message,
                output,
                ..
            }) => Ok(Answer::Broken(died(phase, &message, &output))),
            Err(CallFailure::TimedOut { phase, limit_s, .. }) => Ok(Answer::Broken(format!(
                "{phase} did not end within {limit_s} s (--step-seconds allows more)"
            ))),
            Err(CallFailure::OutOfMemory { phase, message, .. }) => Ok(Answer::Broken(format!(
                "out of memory in {phase}: {message}"
            ))),
            Err(CallFailure::Refused { message, .. }) => Ok(Answer::Refused(message)),
            Err(failure @ (CallFailure::Interrupted | CallFailure::Environment(_))) => {
                Err(failure.into())
            }
        }
    }

    /// Tries a probe and enters what it found: a breach, or a pass of the rules that it tries. A
    /// worker that dies of it breaks the first of them. Returns the report of a probe that came to
    /// its end.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub(super) fn probe(
        &mut self,
        tried: &[Rule],
        ledger: &mut Ledger,
        place: &str,
        probe: Probe,
    ) -> Result<Option<ConformReport>, RunError> {
        let Some(rule) = tried.first().copied() else {
            return Err(RunError::internal("a probe tries no rule"));
        };
        let seed = self.options.seed;
        let job = Box::new(ConformJob { probe, seed });
        let at = |message: String| match place {
            "" => message,
            place => format!("{place}: {message}"),
        };
        match self.ask(rule, ledger, Request::Conform(job))? {
            Answer::Reply(Reply::Conformed { report }) => {
                if !report.breaches.is_empty() {
                    // A plugin that broke a rule may still be at work.
                    self.host.recycle();
                }
                ledger.record(tried, &report, place);
                return Ok(Some(report));
            }
            Answer::Reply(Reply::Outcome { outcome, .. }) => {
                ledger.fail(rule, at(outcome.summary()))
            }
            Answer::Reply(other) => return Err(unexpected("Conform", &other)),
            Answer::Broken(message) | Answer::Refused(message) => ledger.fail(rule, at(message)),
            Answer::NoTime => self.skip_all(tried, ledger),
        }
        Ok(None)
    }

    /// Enters that there was no time for these rules.
    pub(super) fn skip_all(&self, rules: &[Rule], ledger: &mut Ledger) {
        let reason = self.out_of_time().unwrap_or_default();
        for rule in rules {
            ledger.skip(*rule, reason.clone());
        }
    }
}

/// Whether an outcome that a living worker tells is as bad as its death: a panic of the plugin.
fn is_broken(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Crashed { message, .. } => message.starts_with("panicked"),
        Outcome::TimedOut { .. } | Outcome::OutOfMemory { .. } => true,
        _ => false,
    }
}

/// Whether an outcome is an error that the plugin returned of its own accord.
fn is_error(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Crashed { .. })
}

fn died(phase: Phase, message: &str, output: &str) -> String {
    let last = output.lines().rfind(|line| !line.trim().is_empty());
    match last {
        Some(line) => format!("{message}, in {phase}; its last line was: {}", line.trim()),
        None => format!("{message}, in {phase}"),
    }
}
