//! Objectives.

use evo_core::space::Space;
use evo_types::{ObjectiveInfo, Outcome, Params, Value, format_params};
use evo_wire::{ComponentRef, Reply, Request, Rule};

use super::asking::{Answer, Asking};
use super::{CheckSpace, Ledger, Ruling, configs, problem};
use crate::RunError;
use crate::plan::{Described, space_environment, unexpected};

/// The rules of an objective.
const RULES: [Rule; 4] = [
    Rule::ObjectiveOpens,
    Rule::SpaceValid,
    Rule::ObjectiveMetrics,
    Rule::ObjectiveRecovers,
];

/// Checks one objective.
///
/// # Errors
/// Where the check cannot go on.
pub(super) fn check(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &ObjectiveInfo,
) -> Result<Vec<Ruling>, RunError> {
    let mut ledger = Ledger::new(format!("objective {}", info.name));
    let objective = ComponentRef {
        plugin: plugin.hash.clone(),
        name: info.name.clone(),
    };
    asking.host.serve("cpu");
    let settings = problem::fields(&info.settings, asking, &info.name)?;
    let mut trial = Trial {
        asking,
        objective,
        info,
        settings,
    };
    let reason = trial.run(&mut ledger)?;
    asking.host.recycle();
    let reason = asking.out_of_time().or(reason);
    Ok(ledger.rulings(&RULES, &reason.unwrap_or_default()))
}

struct Trial<'a, 'b> {
    asking: &'a mut Asking<'b>,
    objective: ComponentRef,
    info: &'a ObjectiveInfo,
    settings: Params,
}

impl Trial<'_, '_> {
    fn run(&mut self, ledger: &mut Ledger) -> Result<Option<String>, RunError> {
        let opened = match self.open(ledger)? {
            Ok(space) => space,
            Err(reason) => return Ok(reason),
        };
        let own = opened.or_else(|| self.info.space.clone());
        let own = own.map(|text| CheckSpace {
            text,
            origin: format!("<space of {}>", self.info.name),
        });
        let given = self.asking.options.space.clone();
        let Some(CheckSpace { text, origin }) = given.or(own) else {
            return Ok(Some(
                "the objective brings no space; --space names one".to_owned(),
            ));
        };
        let device = self.asking.host.device(self.asking.stop)?;
        let environment = space_environment(None, &device);
        let space = match Space::parse(&text, &origin, &environment) {
            Ok(space) => space,
            Err(errors) => {
                ledger.fail(Rule::SpaceValid, errors.to_string());
                return Ok(None);
            }
        };
        ledger.pass(Rule::SpaceValid);
        let options = self.asking.options;
        let sampled = configs::sample(&space, options.configs.min(3), options.seed);
        let measured = self.metrics(&sampled, ledger)?;
        if let Some(config) = measured {
            self.recovers(&config, ledger)?;
        }
        Ok(None)
    }

    /// The space that it brings when it is opened, or why there is no more to try.
    fn open(
        &mut self,
        ledger: &mut Ledger,
    ) -> Result<Result<Option<String>, Option<String>>, RunError> {
        let rule = Rule::ObjectiveOpens;
        let request = Request::OpenObjective {
            objective: self.objective.clone(),
            settings: self.settings.clone(),
        };
        match self.asking.ask(rule, ledger, request)? {
            Answer::Reply(Reply::Objective { space }) => {
                ledger.pass(rule);
                return Ok(Ok(space));
            }
            Answer::Reply(other) => return Err(unexpected("OpenObjective", &other)),
            // A setting without a sensible default may be asked for.
            Answer::Refused(message) if !self.info.settings.is_empty() && !is_panic(&message) => {
                let reason = format!("{message}; give its settings with --set NAME=VALUE");
                return Ok(Err(Some(reason)));
            }
            Answer::Broken(message) | Answer::Refused(message) => ledger.fail(rule, message),
            Answer::NoTime => self.asking.skip_all(&[rule], ledger),
        }
        Ok(Err(None))
    }

    fn evaluate(&self, config: &Params) -> Request {
        Request::Evaluate {
            objective: self.objective.clone(),
            settings: self.settings.clone(),
            config: config.clone(),
        }
    }

    /// Evaluates some configurations; returns one that was measured.
    fn metrics(
        &mut self,
        sampled: &[Params],
        ledger: &mut Ledger,
    ) -> Result<Option<Params>, RunError> {
        let rule = Rule::ObjectiveMetrics;
        let mut measured = None;
        for config in sampled {
            let words = format_params(config);
            let request = self.evaluate(config);
            match self.asking.ask(rule, ledger, request)? {
                Answer::Reply(Reply::Outcome { outcome, .. }) => match *outcome {
                    Outcome::Measured(_) => measured = measured.or_else(|| Some(config.clone())),
                    Outcome::Implausible { message } => {
                        ledger.fail(rule, format!("{words}: {message}"));
                    }
                    other => ledger.note(rule, format!("{words}: {}", other.summary())),
                },
                Answer::Reply(other) => return Err(unexpected("Evaluate", &other)),
                Answer::Broken(message) | Answer::Refused(message) => {
                    ledger.fail(rule, format!("{words}: {message}"));
                }
                Answer::NoTime => {
                    self.asking.skip_all(&[rule], ledger);
                    return Ok(measured);
                }
            }
        }
        match measured {
            Some(_) => ledger.pass(rule),
            None => ledger.fail(
                rule,
                "not one of the configurations tried could be measured",
            ),
        }
        Ok(measured)
    }

    /// What it cannot evaluate, then what it could before.
    fn recovers(&mut self, good: &Params, ledger: &mut Ledger) -> Result<(), RunError> {
        let rule = Rule::ObjectiveRecovers;
        let strange: Params = good
            .keys()
            .map(|name| (name.clone(), Value::from("no such value")))
            .collect();
        for config in [Params::new(), strange] {
            let request = self.evaluate(&config);
            if let Answer::Broken(message) = self.asking.ask(rule, ledger, request)? {
                let words = format_params(&config);
                ledger.fail(rule, format!("on the configuration `{words}`: {message}"));
            }
        }
        let request = self.evaluate(good);
        match self.asking.ask(rule, ledger, request)? {
            Answer::Reply(Reply::Outcome { outcome, .. }) if outcome.measurement().is_some() => {
                ledger.pass(rule);
            }
            Answer::Reply(Reply::Outcome { outcome, .. }) => {
                let message = format!(
                    "what worked before does not any more: {}",
                    outcome.summary()
                );
                ledger.fail(rule, message);
            }
            Answer::Reply(other) => return Err(unexpected("Evaluate", &other)),
            Answer::Broken(message) | Answer::Refused(message) => ledger.fail(rule, message),
            Answer::NoTime => self.asking.skip_all(&[rule], ledger),
        }
        Ok(())
    }
}

fn is_panic(message: &str) -> bool {
    message.contains("panicked")
}
