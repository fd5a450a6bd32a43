//! Kernels: from the description over the space and the builds to launches.

use evo_core::space::{Role, Space};
use evo_types::{BuildRequest, DeviceFacts, KernelInfo, Params, ProblemSpec, Value};
use evo_wire::{ComponentRef, Probed, Request, Rule, built_in};

use super::asking::Asking;
use super::{
    CheckDevice, CheckOptions, CheckSpace, Ledger, Ruling, behaviour, builds, configs, problem,
};
use crate::RunError;
use crate::plan::{Described, describe_built_in, space_environment};

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
        None => vec![builds::defaults(info)],
    };
    let usable = builds::builds(asking, &subject, &sampled, ledger)?;
    let Some(default) = usable.first() else {
        return Ok(None);
    };
    builds::odd_configurations(asking, &subject, default, ledger)?;
    builds::repeated_builds(asking, &subject, &usable, ledger)?;
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
    let fields = problem::fields(&problem.fields, asking, &problem.name)?;
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
    // What the problem decides is no parameter of the kernel.
    let own = space.params().iter();
    for param in own.filter(|param| param.role != Role::Problem) {
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
