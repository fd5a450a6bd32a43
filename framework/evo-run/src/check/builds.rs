//! Builds of a kernel: the defaults, sampled configurations, odd ones, and the same ones again.

use evo_types::{BuildRequest, ContentHash, KernelInfo, Outcome, Params, Value, format_params};
use evo_wire::{Probe, Reply, Rule};

use super::Ledger;
use super::asking::{Answer, Asking};
use super::kernel::Subject;
use crate::RunError;
use crate::plan::unexpected;

/// What to do where the kernel is for other fields than the problem's defaults.
const OTHER_FORM: &str = " (if it is for another form of the problem, name that with --set or \
                          --spec)";
/// Threads that build at once.
const THREADS: usize = 4;
/// Configurations that they build.
const BUILT_AT_ONCE: usize = 3;
/// Odd configurations that are tried on `accept`, at most.
const ODD: usize = 24;

/// The declared defaults of a kernel.
pub(super) fn defaults(info: &KernelInfo) -> Params {
    let params = info.params.iter();
    params
        .map(|param| (param.name.clone(), param.default.clone()))
        .collect()
}

/// Builds the declared defaults and every sampled configuration; returns those that can be
/// launched, the default first.
pub(super) fn builds(
    asking: &mut Asking<'_>,
    subject: &Subject,
    sampled: &[Params],
    ledger: &mut Ledger,
) -> Result<Vec<Params>, RunError> {
    let declared = defaults(&subject.info);
    match build(asking, subject, &declared, Rule::DefaultsValid, ledger)? {
        Built::Done(_) => ledger.pass(Rule::DefaultsValid),
        Built::No(message) => ledger.fail(
            Rule::DefaultsValid,
            format!("the declared defaults: {message}{OTHER_FORM}"),
        ),
        Built::Broken | Built::NoTime => return Ok(Vec::new()),
    }
    let mut usable = Vec::new();
    for (place, config) in sampled.iter().enumerate() {
        let rule = if place == 0 {
            Rule::DefaultsValid
        } else {
            Rule::AcceptHonest
        };
        let words = format_params(config);
        match build(asking, subject, config, rule, ledger)? {
            Built::Done(_) => usable.push(config.clone()),
            Built::No(message) if place == 0 => {
                let message = format!("the space's default {words}: {message}{OTHER_FORM}");
                ledger.fail(rule, message);
                return Ok(Vec::new());
            }
            Built::No(message) => ledger.note(rule, format!("{words}: {message}")),
            Built::Broken if place == 0 => return Ok(Vec::new()),
            Built::Broken => {}
            Built::NoTime => break,
        }
    }
    Ok(usable)
}

/// What became of a build.
pub(super) enum Built {
    /// It has this execution identity.
    Done(ContentHash),
    /// It was refused, or failed: in words.
    No(String),
    /// The worker died of it, which has been entered.
    Broken,
    /// There was no time, which has been entered.
    NoTime,
}

/// Builds one configuration. What the worker dies of is a breach of `rule`.
pub(super) fn build(
    asking: &mut Asking<'_>,
    subject: &Subject,
    config: &Params,
    rule: Rule,
    ledger: &mut Ledger,
) -> Result<Built, RunError> {
    match asking.ask(rule, ledger, subject.build(config))? {
        Answer::Reply(Reply::Built { execution, .. }) => Ok(Built::Done(execution)),
        Answer::Reply(Reply::Outcome { outcome, .. }) => Ok(Built::No(told(&outcome))),
        Answer::Reply(other) => Err(unexpected("Build", &other)),
        Answer::Refused(message) => Ok(Built::No(message)),
        Answer::Broken(message) => {
            ledger.fail(rule, format!("{}: {message}", format_params(config)));
            Ok(Built::Broken)
        }
        Answer::NoTime => {
            asking.skip_all(&[rule], ledger);
            Ok(Built::NoTime)
        }
    }
}

/// An outcome with the first lines of what the build tool said.
fn told(outcome: &Outcome) -> String {
    let summary = outcome.summary();
    match outcome {
        Outcome::BuildFailed { log, .. } => {
            let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
            let head = lines.get(..lines.len().min(6)).unwrap_or_default();
            let new = head.iter().filter(|line| !summary.contains(**line));
            new.fold(summary.clone(), |text, line| format!("{text}\n{line}"))
        }
        _ => summary,
    }
}

/// Configurations that no space would give: refused or built, but the process lives.
pub(super) fn odd_configurations(
    asking: &mut Asking<'_>,
    subject: &Subject,
    default: &Params,
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let rule = Rule::AcceptHonest;
    for config in odd(default).into_iter().take(ODD) {
        if let Built::NoTime = build(asking, subject, &config, rule, ledger)? {
            return Ok(());
        }
    }
    // After all of it an honest configuration has to build.
    match build(asking, subject, default, rule, ledger)? {
        Built::Done(_) => ledger.pass(rule),
        Built::No(message) => ledger.fail(
            rule,
            format!("the default does not build any more after odd configurations: {message}"),
        ),
        Built::Broken | Built::NoTime => {}
    }
    Ok(())
}

fn odd(default: &Params) -> Vec<Params> {
    let mut odd = vec![Params::new()];
    let mut with = |name: &str, value: Value| {
        let mut config = default.clone();
        config.insert(name.to_owned(), value);
        odd.push(config);
    };
    with("NO_SUCH_PARAMETER", Value::Int(1));
    for (name, value) in default {
        match value {
            Value::Int(_) | Value::Float(_) => {
                with(name, Value::Int(-1));
                with(name, Value::Int(0));
                with(name, Value::from("a name"));
            }
            Value::Bool(_) => with(name, Value::Int(-7)),
            Value::Name(_) => with(name, Value::from("no such name")),
        }
    }
    odd
}

/// The same builds in turn, by several threads, and in a second process.
pub(super) fn repeated_builds(
    asking: &mut Asking<'_>,
    subject: &Subject,
    usable: &[Params],
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let tried = [Rule::BuildThreadSafe, Rule::BuildDeterministic];
    let requests: Vec<BuildRequest> = usable
        .iter()
        .take(BUILT_AT_ONCE)
        .map(|config| subject.request(config))
        .collect();
    let probe = |threads| Probe::Builds {
        kernel: subject.kernel.clone(),
        requests: requests.clone(),
        threads,
    };
    let Some(first) = asking.probe(&tried, ledger, "", probe(THREADS))? else {
        return Ok(());
    };
    asking.host.recycle();
    let again = asking.probe(&tried[1..], ledger, "in a second process", probe(0))?;
    let Some(again) = again else { return Ok(()) };
    let pairs = first.digests.iter().zip(&again.digests).zip(&requests);
    if let Some((_, request)) = pairs.into_iter().find(|((a, b), _)| a != b) {
        let words = format_params(&request.config);
        ledger.fail(
            Rule::BuildDeterministic,
            format!("{words}: two processes build something different"),
        );
    }
    Ok(())
}
