//! What a replay needs of a run, and of this machine.

use std::path::Path;

use evo_journal::{Plan, Work};
use evo_types::{DeviceFacts, Params, ProblemSpec};
use evo_wire::{Reply, Request};

use super::{ReplayEvent, ReplaySettings};
use crate::driver::{History, read_run};
use crate::plan::{self, check_problem, complete_fields, component, read_device, unexpected};
use crate::spec::{RunSpec, read_setting};
use crate::worker::{Host, HostSettings, Patience};
use crate::{RunError, Stop, Store, parse_ron};

/// What the journal says.
pub(super) struct Recorded {
    pub(super) plan: Plan,
    pub(super) history: History,
    /// The plugin that defines the problem, by name.
    pub(super) problem_plugin: String,
    pub(super) problem: ProblemSpec,
    /// The CPUs that the run's workers were confined to; empty for all.
    cpus: Vec<usize>,
}

impl Recorded {
    /// # Errors
    /// Where the run did something else than to tune kernels.
    pub(super) fn of(
        run: &Path,
        plan: Plan,
        history: History,
        cpus: Vec<usize>,
    ) -> Result<Self, RunError> {
        match plan.work.clone() {
            Work::Problem { plugin, spec } => Ok(Self {
                plan,
                history,
                problem_plugin: plugin,
                problem: spec,
                cpus,
            }),
            Work::Objective { .. } => Err(RunError::input(format!(
                "{}: the run searched an objective, which is asked and not executed by evo",
                run.display()
            ))
            .hint("`evo replay` is for runs that tune kernels")),
        }
    }
}

/// Reads the journal of a run, which may be under way.
pub(super) fn read(run: &Path) -> Result<Recorded, RunError> {
    let (plan, spec, history) = read_run(run, "to execute again")?;
    let spec: RunSpec = parse_ron(&spec, "<the journal's spec>")?;
    Recorded::of(run, plan, history, spec.cpus)
}

/// A host whose deadlines and memory are not those of the run: tools make kernels slow and need
/// memory themselves.
pub(super) fn host(plan: &Plan, settings: &ReplaySettings, stop: &Stop) -> Result<Host, RunError> {
    let device = match &settings.device {
        Some(named) => read_device(named)?,
        None => plan.device_name.clone(),
    };
    let usual = plan::limits(&RunSpec::default());
    let limits = evo_journal::Limits {
        build_s: settings.deadline_s,
        verify_s: settings.deadline_s,
        measure_s: settings.deadline_s,
        memory_bytes: usual.memory_bytes.max(plan.limits.memory_bytes),
        ..plan.limits.clone()
    };
    let settings = HostSettings {
        program: settings.program.clone(),
        store: Store::open()?,
        device,
        cpus: Vec::new(),
        limits,
    };
    Ok(Host::observed(settings, stop))
}

/// The device to replay on. Another one than that of the run is told: nothing is ranked, but what is
/// built and how it behaves may be different.
pub(super) fn device(
    recorded: &Recorded,
    host: &mut Host,
    stop: &Stop,
    watch: &mut dyn FnMut(&ReplayEvent<'_>),
) -> Result<DeviceFacts, RunError> {
    let then = &recorded.plan.device;
    let now = host.device(stop).map_err(|error| RunError {
        hint: error.hint.or_else(|| {
            Some(format!(
                "the run was made on {} ({}); --device names another device of kind `{}`",
                then.name, recorded.plan.device_name, then.kind
            ))
        }),
        ..error
    })?;
    if now.kind != then.kind {
        return Err(RunError::input(format!(
            "the run was made on {} (kind `{}`), and {} is of kind `{}`: its kernels were not \
             tuned for that",
            then.name, then.kind, now.name, now.kind
        ))
        .hint(format!(
            "name a device of kind `{}` with --device",
            then.kind
        )));
    }
    let mut known = std::iter::once(then).chain(recorded.plan.siblings.iter().map(|it| &it.device));
    if let Some(same) = known.find(|device| device.uuid == now.uuid) {
        if !recorded.cpus.is_empty() {
            host.confine(&recorded.cpus);
        }
        // As the run built for it, whatever a new driver says of it.
        return Ok(same.clone());
    }
    watch(&ReplayEvent::Warning(format!(
        "the run was made on {} ({}), and this is {} ({}): kernels are built for this one",
        then.name, then.uuid, now.name, now.uuid
    )));
    Ok(now)
}

/// The problem of the run, with the fields changed that the user wants to.
pub(super) fn problem(
    recorded: &Recorded,
    set: &[String],
    host: &mut Host,
    stop: &Stop,
) -> Result<ProblemSpec, RunError> {
    if set.is_empty() {
        return Ok(recorded.problem.clone());
    }
    let name = &recorded.problem.problem;
    let problem = component(&recorded.plan, &recorded.problem_plugin, name)?;
    let mut plugins = recorded.plan.plugins.iter();
    let origin = plugins.find(|plugin| plugin.hash == problem.plugin);
    let origin = origin.map_or("", |plugin| plugin.path.as_str());
    let described = plan::describe(host, problem.plugin.clone(), origin, stop)?;
    let mut problems = described.info.problems.iter();
    let info = problems.find(|info| info.name == *name).ok_or_else(|| {
        RunError::internal(format!("the plugin {origin} does not describe `{name}`"))
    })?;
    let mut fields: Params = recorded.problem.fields.clone();
    for setting in set {
        let (name, value) = read_setting(setting)?;
        fields.insert(name, value);
    }
    let what = format!("the problem `{name}`");
    let fields = complete_fields(&what, &info.fields, &fields, Path::new(""))?;
    let request = Request::ResolveProblem { problem, fields };
    match host.call(request, 0.0, stop, Patience::Short, &mut |_, _| {})? {
        Reply::Problem { spec } => {
            check_problem(&spec)?;
            Ok(*spec)
        }
        other => Err(unexpected("ResolveProblem", &other)),
    }
}
