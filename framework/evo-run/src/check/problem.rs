//! Problems.

use evo_types::{FieldInfo, FieldKind, Params, ProblemInfo, ProblemSpec, Value, format_params};
use evo_wire::{ComponentRef, Probe, Reply, Request, Rule};

use super::asking::{Answer, Asking};
use super::{Ledger, Ruling};
use crate::RunError;
use crate::plan::{Described, complete_fields, unexpected};

/// The rules of a problem.
const RULES: [Rule; 4] = [
    Rule::ProblemResolves,
    Rule::ProblemGates,
    Rule::ProblemInputs,
    Rule::ProblemReference,
];

/// A problem whose one execution is more work than this is checked on its least extra shape.
const LARGE_FLOPS: f64 = 1e9;

/// Checks one problem.
///
/// # Errors
/// Where the check cannot go on.
pub(super) fn check(
    asking: &mut Asking<'_>,
    plugin: &Described,
    info: &ProblemInfo,
) -> Result<Vec<Ruling>, RunError> {
    let mut ledger = Ledger::new(format!("problem {}", info.name));
    let problem = ComponentRef {
        plugin: plugin.hash.clone(),
        name: info.name.clone(),
    };
    let fields = fields(&info.fields, asking, &info.name)?;
    if let Some(spec) = resolve(asking, &mut ledger, &problem, &fields)? {
        judge(&spec, info, &fields, &mut ledger);
        let shapes = shapes(asking, &mut ledger, &problem, &spec)?;
        bounds(asking, &mut ledger, &problem, info, &fields)?;
        if !ledger.has_failed(Rule::ProblemResolves) {
            ledger.pass(Rule::ProblemResolves);
            let small = shapes
                .into_iter()
                .min_by(|a, b| a.flops.total_cmp(&b.flops));
            let probed = match small {
                Some(small) if spec.flops > LARGE_FLOPS => small,
                _ => spec,
            };
            contents(asking, &mut ledger, problem, probed)?;
        }
    }
    let reason = asking.out_of_time();
    Ok(ledger.rulings(&RULES, &reason.unwrap_or_default()))
}

/// The fields of a problem: those that are set and that it has, and its defaults.
///
/// # Errors
/// Where a value that is set does not fit.
pub(super) fn fields(
    known: &[FieldInfo],
    asking: &Asking<'_>,
    problem: &str,
) -> Result<Params, RunError> {
    let given: Params = asking
        .set
        .iter()
        .filter(|(name, _)| known.iter().any(|field| field.name == **name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    complete_fields(
        &format!("the problem `{problem}`"),
        known,
        &given,
        &asking.options.folder,
    )
}

/// Resolves a problem; what goes wrong is entered.
pub(super) fn resolve(
    asking: &mut Asking<'_>,
    ledger: &mut Ledger,
    problem: &ComponentRef,
    fields: &Params,
) -> Result<Option<ProblemSpec>, RunError> {
    let rule = Rule::ProblemResolves;
    let request = Request::ResolveProblem {
        problem: problem.clone(),
        fields: fields.clone(),
    };
    match asking.ask(rule, ledger, request)? {
        Answer::Reply(Reply::Problem { spec }) => return Ok(Some(*spec)),
        Answer::Reply(other) => return Err(unexpected("ResolveProblem", &other)),
        Answer::Broken(message) | Answer::Refused(message) => {
            let words = format_params(fields);
            ledger.fail(rule, format!("with {words}: {message}"));
        }
        Answer::NoTime => asking.skip_all(&[rule], ledger),
    }
    Ok(None)
}

/// What can be judged from the document.
fn judge(spec: &ProblemSpec, info: &ProblemInfo, fields: &Params, ledger: &mut Ledger) {
    let faults = document_faults(spec, info, fields);
    for fault in faults {
        ledger.fail(Rule::ProblemResolves, fault);
    }
    let mut gates = Vec::new();
    for output in spec.outputs() {
        match spec.gate(&output.name).map(|gate| gate.relative_error) {
            None => gates.push(format!("the output `{}` has no gate", output.name)),
            Some(gate) if !(gate.is_finite() && gate > 0.0) => gates.push(format!(
                "the gate of `{}` is {gate}, which is no positive number",
                output.name
            )),
            Some(gate) if gate >= 1.0 => gates.push(format!(
                "the gate of `{}` is {gate}: all zeros would pass",
                output.name
            )),
            Some(_) => {}
        }
    }
    let strange = spec
        .gates
        .iter()
        .find(|gate| !spec.outputs().any(|output| output.name == gate.tensor));
    if let Some(gate) = strange {
        gates.push(format!(
            "there is a gate for `{}`, which is no output",
            gate.tensor
        ));
    }
    if gates.is_empty() {
        ledger.pass(Rule::ProblemGates);
    }
    for fault in gates {
        ledger.fail(Rule::ProblemGates, fault);
    }
}

fn document_faults(spec: &ProblemSpec, info: &ProblemInfo, fields: &Params) -> Vec<String> {
    let mut faults = Vec::new();
    if spec.problem != info.name {
        faults.push(format!(
            "`{}` resolves to a problem `{}`",
            info.name, spec.problem
        ));
    }
    // A field that has no effect may be left out, which its default is not to have.
    let default = |name: &str| info.fields.iter().find(|field| field.name == name);
    let lost = fields.iter().find(|(name, value)| {
        !spec.fields.contains_key(*name)
            && default(name).is_none_or(|field| field.default != **value)
    });
    if let Some((name, _)) = lost {
        faults.push(format!("the field `{name}` is lost when it resolves"));
    }
    if spec.outputs().next().is_none() {
        faults.push("it has no output".to_owned());
    }
    let sized = |tensor: &&evo_types::TensorSpec| {
        tensor.elements().is_none_or(|elements| elements == 0) || tensor.bytes().is_none()
    };
    if let Some(tensor) = spec.tensors.iter().find(sized) {
        faults.push(format!(
            "the tensor `{}` with shape {:?} has no elements, or too many",
            tensor.name, tensor.shape
        ));
    }
    if spec.distributions.len() < 2 {
        faults.push("it names no adversarial distribution beside the ordinary one".to_owned());
    }
    if spec.extra_shapes.is_empty() {
        faults.push("it names no extra shapes to verify candidates on".to_owned());
    }
    let counts = [("flop", spec.flops), ("byte", spec.bytes)];
    for (what, count) in counts {
        if !(count.is_finite() && count >= 0.0) {
            faults.push(format!("its {what} count is {count}"));
        }
    }
    faults
}

/// The extra shapes, resolved.
fn shapes(
    asking: &mut Asking<'_>,
    ledger: &mut Ledger,
    problem: &ComponentRef,
    spec: &ProblemSpec,
) -> Result<Vec<ProblemSpec>, RunError> {
    let mut resolved = Vec::new();
    for changes in &spec.extra_shapes {
        let mut fields = spec.fields.clone();
        fields.extend(changes.clone());
        resolved.extend(resolve(asking, ledger, problem, &fields)?);
    }
    Ok(resolved)
}

/// Each field at its bounds: resolved or refused, but the process lives.
fn bounds(
    asking: &mut Asking<'_>,
    ledger: &mut Ledger,
    problem: &ComponentRef,
    info: &ProblemInfo,
    fields: &Params,
) -> Result<(), RunError> {
    let rule = Rule::ProblemResolves;
    for field in &info.fields {
        for value in extremes(&field.kind) {
            let mut fields = fields.clone();
            let words = format!("{}={value}", field.name);
            fields.insert(field.name.clone(), value);
            let request = Request::ResolveProblem {
                problem: problem.clone(),
                fields,
            };
            match asking.ask(rule, ledger, request)? {
                Answer::Broken(message) => ledger.fail(rule, format!("with {words}: {message}")),
                Answer::Refused(message) if message.contains("panicked") => {
                    ledger.fail(rule, format!("with {words}: {message}"));
                }
                Answer::Reply(_) | Answer::Refused(_) => {}
                Answer::NoTime => return Ok(()),
            }
        }
    }
    Ok(())
}

fn extremes(kind: &FieldKind) -> Vec<Value> {
    match kind {
        FieldKind::Int { min, max } => vec![Value::Int(*min), Value::Int(*max)],
        FieldKind::Float { min, max } => vec![Value::Float(*min), Value::Float(*max)],
        FieldKind::Bool => vec![Value::Bool(false), Value::Bool(true)],
        FieldKind::Choice(names) => names.iter().cloned().map(Value::Name).collect(),
        FieldKind::Text | FieldKind::Path => Vec::new(),
    }
}

/// Inputs and reference, in two processes.
fn contents(
    asking: &mut Asking<'_>,
    ledger: &mut Ledger,
    problem: ComponentRef,
    spec: ProblemSpec,
) -> Result<(), RunError> {
    let tried = [Rule::ProblemInputs, Rule::ProblemReference];
    let probe = Probe::Problem { problem, spec };
    let Some(first) = asking.probe(&tried, ledger, "", probe.clone())? else {
        return Ok(());
    };
    if !first.breaches.is_empty() {
        if ledger.has_failed(Rule::ProblemReference) {
            ledger.pass(Rule::ProblemInputs);
        }
        return Ok(());
    }
    asking.host.recycle();
    let again = asking.probe(&tried, ledger, "in a second process", probe)?;
    if again.is_some_and(|again| again.digests != first.digests) {
        ledger.fail(
            Rule::ProblemInputs,
            "two processes fill different inputs from one seed",
        );
    }
    Ok(())
}
