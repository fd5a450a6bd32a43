//! Kernels: from the description over the space and the builds to launches.

use evo_core::space::Space;
use evo_types::{
    BuildRequest, ContentHash, DeviceFacts, KernelInfo, Outcome, Params, ProblemSpec, Value,
    format_params,
};
use evo_wire::{ComponentRef, Probe, Probed, Reply, Request, Rule, built_in};

use super::asking::{Answer, Asking};
use super::{CheckDevice, CheckOptions, CheckSpace, Ledger, Ruling, behaviour, configs, problem};
use crate::RunError;
use crate::plan::{Described, describe_built_in, space_environment, unexpected};

/// The rules of a kernel.
const RULES: [Rule; 20] = [
    Rule::SpaceValid,
    Rule::SpaceFitsParameters,
    Rule::DefaultsValid,
    Rule::AcceptHonest,
    Rule::BuildDeterministic,
    Rule::BuildThreadSafe,
    Rule::IdentityComplete,
    Rule::RightAnswer,
    Rule::RaggedShapes,
    Rule::AdversarialInputs,
    Rule::InBounds,
    Rule::InputsUnchanged,
    Rule::AllWritten,
    Rule::DeterministicAsDeclared,
    Rule::NoLateWrites,
    Rule::Stateless,
    Rule::AnyThread,
    Rule::MisuseAfterError,
    Rule::NoLeftovers,
    Rule::Cancellation,
];

/// What to do where the kernel is for other fields than the problem's defaults.
const OTHER_FORM: &str = " (if it is for another form of the problem, name that with --set or \
                          --spec)";
/// Threads that build at once.
const THREADS: usize = 4;
/// Configurations that they build.
const BUILT_AT_ONCE: usize = 3;
/// Odd configurations that are tried on `accept`, at most.
const ODD: usize = 24;

/// A kernel with what it is checked on.
pub(super) struct Subject {
    pub(super) problem: ComponentRef,
    pub(super) kernel: ComponentRef,
    pub(super) info: KernelInfo,
    pub(super) spec: ProblemSpec,
    pub(super) device: DeviceFacts,
    pub(super) space: Option<Space>,
}

impl Subject {
    pub(super) fn request(&self, config: &Params) -> BuildRequest {
        BuildRequest {
            problem: self.spec.clone(),
            config: config.clone(),
            device: self.device.clone(),
        }
    }

    pub(super) fn probed(&self, config: &Params) -> Probed {
        Probed {
            problem: self.problem.clone(),
            kernel: self.kernel.clone(),
            request: self.request(config),
        }
    }

    pub(super) fn build(&self, config: &Params) -> Request {
        Request::Build {
            kernel: self.kernel.clone(),
            request: self.request(config),
        }
    }
}

/// Checks one kernel.
///
/// # Errors
/// Where the check cannot go on.
pub(super) fn check(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &KernelInfo,
) -> Result<Vec<Ruling>, RunError> {
    let mut ledger = Ledger::new(format!("kernel {}", info.name));
    let reason = stages(asking, plugin, info, &mut ledger)?;
    asking.host.recycle();
    let reason = asking.out_of_time().or(reason);
    Ok(ledger.rulings(&RULES, &reason.unwrap_or_default()))
}

/// Goes as far as it can; returns why the rest was not reached, where no failure says so.
fn stages(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &KernelInfo,
    ledger: &mut Ledger,
) -> Result<Option<String>, RunError> {
    let (device, absent) = match device(asking, info)? {
        Ok(found) => found,
        Err(reason) => return Ok(Some(reason)),
    };
    let (problem, spec) = match resolved(asking, plugin, info, ledger)? {
        Ok(found) => found,
        Err(reason) => return Ok(Some(reason)),
    };
    let mut subject = Subject {
        problem,
        kernel: ComponentRef {
            plugin: plugin.hash.clone(),
            name: info.name.clone(),
        },
        info: info.clone(),
        spec,
        device,
        space: None,
    };
    subject.space = space(asking.options, &subject, ledger);
    if ledger.first_failure().is_some() {
        return Ok(None);
    }
    let sampled = match &subject.space {
        Some(space) => configs::sample(space, asking.options.configs, asking.options.seed),
        None => vec![defaults(info)],
    };
    let usable = builds(asking, &subject, &sampled, ledger)?;
    let Some(default) = usable.first() else {
        return Ok(None);
    };
    odd_configurations(asking, &subject, default, ledger)?;
    repeated_builds(asking, &subject, &usable, ledger)?;
    if let Some(reason) = absent {
        return Ok(Some(reason));
    }
    behaviour::check(asking, &subject, &usable, ledger)?;
    Ok(None)
}

/// The device, and why nothing can be launched on it, or why not even a build makes sense.
type Place = Result<(DeviceFacts, Option<String>), String>;

fn device(asking: &mut Asking<'_>, info: &KernelInfo) -> Result<Place, RunError> {
    let fits = |device: &DeviceFacts| info.devices.contains(&device.kind);
    let on = info.devices.join(", ");
    match asking.options.device.clone() {
        CheckDevice::Profile(facts) if fits(&facts) => {
            let reason = format!("built for {}, which is not here: not launched", facts.name);
            Ok(Ok((*facts, Some(reason))))
        }
        CheckDevice::Profile(facts) => Ok(Err(format!(
            "it runs on {on}, and the profile is of kind {}",
            facts.kind
        ))),
        CheckDevice::Named(name) => {
            asking.host.serve(&name);
            let device = asking.host.device(asking.stop)?;
            Ok(if fits(&device) {
                Ok((device, None))
            } else {
                Err(format!(
                    "it runs on {on}, and `{name}` is of kind {}",
                    device.kind
                ))
            })
        }
        CheckDevice::OfKernel => {
            let cpu = info.devices.iter().any(|kind| kind == "cpu");
            asking.host.serve(if cpu { "cpu" } else { "cuda:0" });
            match asking.host.device(asking.stop) {
                Ok(device) => Ok(Ok((device, None))),
                Err(error) if cpu => Err(error),
                Err(error) => {
                    asking.host.serve("cpu");
                    Ok(Err(format!(
                        "it runs on {on}: {}; `--device sm_90a` builds it for a profile",
                        error.message
                    )))
                }
            }
        }
    }
}

/// The first problem of the kernel that can be found: in the plugin, or among the built-in ones.
fn resolved(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &KernelInfo,
    ledger: &mut Ledger,
) -> Result<Result<(ComponentRef, ProblemSpec), String>, RunError> {
    let ours = describe_built_in(&mut asking.host, asking.stop)?.info;
    let known = |name: &String| {
        let own = plugin.info.problems.iter().find(|it| it.name == *name);
        let own = own.map(|problem| (plugin.hash.clone(), problem));
        let ours = ours.problems.iter().find(|it| it.name == *name);
        own.or(ours.map(|problem| (built_in(), problem)))
    };
    let Some((hash, problem)) = info.problems.iter().find_map(known) else {
        return Ok(Err(format!(
            "it solves {}, which neither this plugin nor evo itself brings",
            info.problems.join(", ")
        )));
    };
    let component = ComponentRef {
        plugin: hash,
        name: problem.name.clone(),
    };
    let fields = problem::fields(&problem.fields, &asking.set, &problem.name)?;
    match problem::resolve(asking, ledger, &component, &fields)? {
        Some(spec) => Ok(Ok((component, spec))),
        None => Ok(Err(format!(
            "the problem `{}` does not resolve",
            problem.name
        ))),
    }
}

/// The kernel's own space, read and held against its parameters.
fn space(options: &CheckOptions, subject: &Subject, ledger: &mut Ledger) -> Option<Space> {
    let given = options.space.clone();
    let own = subject.info.space.clone().map(|text| CheckSpace {
        text,
        origin: format!("<space of {}>", subject.info.name),
    });
    let Some(CheckSpace { text, origin }) = given.or(own) else {
        let reason = "the kernel brings no space; --space names one";
        ledger.skip(Rule::SpaceValid, reason);
        ledger.skip(Rule::SpaceFitsParameters, reason);
        return None;
    };
    let environment = space_environment(Some(&subject.spec), &subject.device);
    let space = match Space::parse(&text, &origin, &environment) {
        Ok(space) => space,
        Err(errors) => {
            ledger.fail(Rule::SpaceValid, errors.to_string());
            return None;
        }
    };
    ledger.pass(Rule::SpaceValid);
    let rule = Rule::SpaceFitsParameters;
    let known = |name: &str| subject.info.params.iter().find(|param| param.name == name);
    for param in space.params() {
        let Some(declared) = known(&param.name) else {
            ledger.fail(
                rule,
                format!(
                    "the kernel has no parameter `{}`, which its space names",
                    param.name
                ),
            );
            continue;
        };
        let typed = param.values.first().map_or("", Value::type_name);
        let number = |text: &str| text == "integer" || text == "float";
        let declared = declared.default.type_name();
        if typed != declared && !(number(typed) && number(declared)) {
            ledger.fail(
                rule,
                format!(
                    "`{}` is a {typed} in the space, and its declared default is a {declared}",
                    param.name
                ),
            );
        }
    }
    let searched = |name: &str| space.params().iter().any(|param| param.name == name);
    for param in &subject.info.params {
        if !searched(&param.name) {
            ledger.note(rule, format!("`{}` is not in the space", param.name));
        }
    }
    ledger.pass(rule);
    Some(space)
}

fn defaults(info: &KernelInfo) -> Params {
    let params = info.params.iter();
    params
        .map(|param| (param.name.clone(), param.default.clone()))
        .collect()
}

/// Builds the declared defaults and every sampled configuration; returns those that can be
/// launched, the default first.
fn builds(
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
fn odd_configurations(
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
fn repeated_builds(
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
