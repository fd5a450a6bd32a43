//! A kernel that is launched.

use evo_types::{BuildRequest, Params, format_params};
use evo_wire::{Probe, Probed, Reply, Request, Rule};

use super::asking::{Answer, Asking};
use super::builds::{Built, build};
use super::kernel::Subject;
use super::{Ledger, cancel, configs};
use crate::RunError;

/// The rules that every check of a result tries beside the value itself.
const EVERY_CHECK: [Rule; 5] = [
    Rule::InBounds,
    Rule::InputsUnchanged,
    Rule::AllWritten,
    Rule::DeterministicAsDeclared,
    Rule::NoLateWrites,
];
/// Launches by which hidden state is told from a race.
const SEQUENCE: u32 = 6;
/// Configurations on which adversarial inputs are tried.
const ADVERSARIAL: usize = 2;
/// Configurations on which hidden state is looked for.
const STATE: usize = 2;

/// Tries everything that needs launches; `usable` are configurations that build, the default first.
///
/// # Errors
/// Where the check cannot go on.
pub(super) fn check(
    asking: &mut Asking<'_>,
    subject: &Subject,
    usable: &[Params],
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let mut right = Vec::new();
    for (place, config) in usable.iter().enumerate() {
        if main_shape(asking, subject, config, place < ADVERSARIAL, ledger)? {
            right.push(config.clone());
        } else if place == 0 {
            // What is wrong with the default would be blamed on every rule after it.
            return Ok(());
        }
        extra_shapes(asking, subject, config, ledger)?;
    }
    let Some(default) = right.first() else {
        return Ok(());
    };
    for config in right.iter().take(STATE) {
        let candidate = subject.probed(config);
        let tried = [Rule::Stateless];
        asking.probe(
            &tried,
            ledger,
            &format_params(config),
            Probe::State { candidate },
        )?;
    }
    if subject.device.kind == "cpu" {
        let candidate = subject.probed(default);
        let probe = Probe::OtherThread { candidate };
        asking.probe(&[Rule::AnyThread], ledger, "", probe)?;
    } else {
        ledger.skip(Rule::AnyThread, "a GPU is driven by one thread");
    }
    let candidate = subject.probed(default);
    asking.probe(
        &[Rule::MisuseAfterError],
        ledger,
        "",
        Probe::Misuse { candidate },
    )?;
    asking.host.recycle();
    let candidate = subject.probed(default);
    asking.probe(
        &[Rule::NoLeftovers],
        ledger,
        "",
        Probe::Leftovers { candidate },
    )?;
    identity(asking, subject, default, ledger)?;
    cancel::check(asking, subject, default, ledger)
}

/// The problem as it is, with ordinary and adversarial inputs. Says whether the ordinary ones give
/// what they should.
fn main_shape(
    asking: &mut Asking<'_>,
    subject: &Subject,
    config: &Params,
    adversarial: bool,
    ledger: &mut Ledger,
) -> Result<bool, RunError> {
    let Some((ordinary, others)) = subject.spec.distributions.split_first() else {
        ledger.fail(Rule::ProblemResolves, "the problem names no distribution");
        return Ok(false);
    };
    let candidate = subject.probed(config);
    let check = |rule, distribution: &String| Probe::Check {
        candidate: candidate.clone(),
        rule,
        shape: "as it is".to_owned(),
        distribution: distribution.clone(),
    };
    let probe = check(Rule::RightAnswer, ordinary);
    if !passes(asking, config, Rule::RightAnswer, probe, ledger)? {
        return Ok(false);
    }
    for distribution in others.iter().filter(|_| adversarial) {
        let rule = Rule::AdversarialInputs;
        passes(asking, config, rule, check(rule, distribution), ledger)?;
    }
    Ok(true)
}

/// The extra shapes with ordinary inputs.
fn extra_shapes(
    asking: &mut Asking<'_>,
    subject: &Subject,
    config: &Params,
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let rule = Rule::RaggedShapes;
    for changes in &subject.spec.extra_shapes {
        let mut fields = subject.spec.fields.clone();
        fields.extend(changes.clone());
        let request = Request::ResolveProblem {
            problem: subject.problem.clone(),
            fields,
        };
        let label = format_params(changes);
        let problem = match asking.ask(rule, ledger, request)? {
            Answer::Reply(Reply::Problem { spec }) => *spec,
            Answer::Reply(other) => return Err(crate::plan::unexpected("ResolveProblem", &other)),
            Answer::Broken(message) | Answer::Refused(message) => {
                let place = format!("the extra shape {label} does not resolve: {message}");
                ledger.fail(Rule::ProblemResolves, place);
                continue;
            }
            Answer::NoTime => {
                asking.skip_all(&[rule], ledger);
                return Ok(());
            }
        };
        let distribution = problem.distributions.first().cloned().unwrap_or_default();
        let candidate = Probed {
            request: BuildRequest {
                problem,
                ..subject.request(config)
            },
            ..subject.probed(config)
        };
        let probe = Probe::Check {
            candidate,
            rule,
            shape: label,
            distribution,
        };
        passes(asking, config, rule, probe, ledger)?;
    }
    Ok(())
}

/// Makes one check. Two launches that disagree are looked at again: a race, or hidden state?
fn passes(
    asking: &mut Asking<'_>,
    config: &Params,
    rule: Rule,
    probe: Probe,
    ledger: &mut Ledger,
) -> Result<bool, RunError> {
    let Probe::Check { candidate, .. } = &probe else {
        return Err(RunError::internal("this is no check"));
    };
    let candidate = candidate.clone();
    let mut tried = vec![rule];
    tried.extend(EVERY_CHECK);
    let words = format_params(config);
    // Entered only when it is known which rule the disagreement breaks.
    let mut found = Ledger::new(ledger.subject());
    let report = asking.probe(&tried, &mut found, &words, probe.clone())?;
    let Some(mut report) = report else {
        ledger.absorb(found);
        return Ok(false);
    };
    let disagree = report
        .breaches
        .iter()
        .any(|breach| breach.rule == Rule::DeterministicAsDeclared);
    let history = if report.breaches.is_empty() {
        None
    } else if disagree {
        depends_on_history(asking, &candidate, ledger)?.then_some(
            "the launches of every new process go the same way, so the result depends on how many \
             there were before",
        )
    } else {
        passes_alone(asking, &tried, probe, ledger)?.then_some(
            "in a new process the same check passes, so the result depends on what was launched \
             before",
        )
    };
    if let Some(history) = history {
        for breach in &mut report.breaches {
            breach.rule = Rule::Stateless;
            breach.message = format!("{}; {history}", breach.message);
        }
    }
    let sound = report.breaches.is_empty();
    ledger.record(&tried, &report, &words);
    Ok(sound)
}

/// Whether a check that failed passes in a new process.
fn passes_alone(
    asking: &mut Asking<'_>,
    tried: &[Rule],
    probe: Probe,
    ledger: &Ledger,
) -> Result<bool, RunError> {
    asking.host.recycle();
    let mut aside = Ledger::new(ledger.subject());
    let report = asking.probe(tried, &mut aside, "", probe)?;
    Ok(report.is_some_and(|report| report.breaches.is_empty()))
}

/// Whether the first launches of two new processes return the same sequence of different results:
/// hidden state. A race goes another way each time.
fn depends_on_history(
    asking: &mut Asking<'_>,
    candidate: &Probed,
    ledger: &mut Ledger,
) -> Result<bool, RunError> {
    let mut sequences = Vec::new();
    for _ in 0..2 {
        asking.host.recycle();
        let probe = Probe::Sequence {
            candidate: candidate.clone(),
            launches: SEQUENCE,
        };
        let mut aside = Ledger::new(ledger.subject());
        let report = asking.probe(&[Rule::Stateless], &mut aside, "", probe)?;
        sequences.extend(report.map(|report| report.digests));
    }
    asking.host.recycle();
    Ok(match sequences.as_slice() {
        [first, second] => {
            first == second && first.windows(2).any(|pair| pair.first() != pair.last())
        }
        _ => false,
    })
}

/// Parameters that do not change the identity must change nothing else.
fn identity(
    asking: &mut Asking<'_>,
    subject: &Subject,
    default: &Params,
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let rule = Rule::IdentityComplete;
    let Some(space) = &subject.space else {
        ledger.skip(rule, "the kernel brings no space, so nothing varies");
        return Ok(());
    };
    let base = match build(asking, subject, default, rule, ledger)? {
        Built::Done(identity) => identity,
        Built::No(_) | Built::Broken | Built::NoTime => return Ok(()),
    };
    for (name, config) in configs::neighbours(space) {
        let same = match build(asking, subject, &config, rule, ledger)? {
            Built::Done(identity) => identity == base,
            Built::No(_) | Built::Broken => false,
            Built::NoTime => return Ok(()),
        };
        if same {
            ledger.note(rule, format!("`{name}` does not change the identity"));
            let probe = Probe::Twins {
                candidate: subject.probed(default),
                other: config,
            };
            asking.probe(&[rule], ledger, "", probe)?;
        }
    }
    ledger.pass(rule);
    Ok(())
}
