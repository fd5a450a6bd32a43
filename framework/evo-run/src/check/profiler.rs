//! Profilers.

use evo_types::{BuildRequest, CachePolicy, Params, ProblemSpec, ProfilerInfo};
use evo_wire::{ComponentRef, Probe, Rule};

use super::asking::Asking;
use super::{CheckDevice, Ledger, Ruling};
use crate::RunError;
use crate::plan::Described;

/// The rules of a profiler.
const RULES: [Rule; 3] = [
    Rule::ProfilerProbe,
    Rule::ProfilerMetrics,
    Rule::ProfilerLeavesAlone,
];

/// Checks one profiler, over a function of the worker's own.
///
/// # Errors
/// Where the check cannot go on.
pub(super) fn check(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &ProfilerInfo,
) -> Result<Vec<Ruling>, RunError> {
    let mut ledger = Ledger::new(format!("profiler {}", info.name));
    let reason = try_it(asking, plugin, info, &mut ledger)?;
    asking.host.recycle();
    Ok(ledger.rulings(&RULES, &reason.unwrap_or_default()))
}

fn try_it(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &ProfilerInfo,
    ledger: &mut Ledger,
) -> Result<Option<String>, RunError> {
    let name = match &asking.options.device {
        CheckDevice::Named(name) => name.clone(),
        CheckDevice::OfKernel | CheckDevice::Profile(_) => "cpu".to_owned(),
    };
    asking.host.serve(&name);
    let device = asking.host.device(asking.stop)?;
    if !info.devices.contains(&device.kind) {
        let on = info.devices.join(", ");
        return Ok(Some(format!(
            "it looks at devices of kind {on}; --device names one"
        )));
    }
    let request = BuildRequest {
        problem: no_problem(),
        config: Params::new(),
        device,
    };
    let probe = Probe::Profiler {
        profiler: ComponentRef {
            plugin: plugin.hash.clone(),
            name: info.name.clone(),
        },
        request,
    };
    let Some(report) = asking.probe(&RULES, ledger, "", probe)? else {
        return Ok(None);
    };
    // A profiler that cannot work here said so, which is all that can be tried.
    let cannot = report
        .notes
        .iter()
        .find(|note| note.contains("cannot work here"));
    if let Some(note) = cannot {
        let mut honest = Ledger::new(ledger.subject());
        honest.pass(Rule::ProfilerProbe);
        honest.note(Rule::ProfilerProbe, note.clone());
        *ledger = honest;
        return Ok(Some(note.clone()));
    }
    Ok(None)
}

/// Stands for the problem of a function that is none.
fn no_problem() -> ProblemSpec {
    ProblemSpec {
        problem: "none".to_owned(),
        fields: Params::new(),
        tensors: Vec::new(),
        constants: Params::new(),
        gates: Vec::new(),
        flops: 0.0,
        bytes: 0.0,
        cache: CachePolicy::Hot,
        extra_shapes: Vec::new(),
        unquantised: Params::new(),
        distributions: Vec::new(),
    }
}
