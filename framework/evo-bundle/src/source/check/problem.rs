//! The parts of a problem that a description defines.

use evo_types::Value;

use super::super::{Argument, Case, Description, OwnProblem, Reference};
use crate::document::{Entries, Fault, Text, suggestion};

/// The problem's own parts.
pub(super) fn problem(description: &Description, own: &OwnProblem, faults: &mut Vec<Fault>) {
    for field in &own.fields {
        faults.extend(field.faults());
    }
    let of_role = |output: bool| -> Vec<&str> {
        description
            .arguments
            .iter()
            .filter_map(|argument| match argument {
                Argument::Input { name, .. } if !output => Some(name.value.as_str()),
                Argument::Output { name, .. } if output => Some(name.value.as_str()),
                _ => None,
            })
            .collect()
    };
    let (inputs, outputs) = (of_role(false), of_role(true));
    if outputs.is_empty() {
        let message = "the arguments have no `output(...)`: there is nothing to verify";
        faults.push(Fault::new(description.entry.place.clone(), message));
    }
    let mut known = |given: Vec<&Text>, names: &[&str], what: &str| {
        for text in given {
            if !names.contains(&text.value.as_str()) {
                let message = format!("there is no {what} `{}`", text.value);
                let near = suggestion(&text.value, names.iter().copied());
                faults.push(Fault::new(text.place.clone(), message).label(near));
            }
        }
    };
    known(
        own.gates.0.iter().map(|(name, _)| name).collect(),
        &outputs,
        "output",
    );
    let fields: Vec<&str> = own
        .fields
        .iter()
        .map(|field| field.name.value.as_str())
        .collect();
    for shape in own.extra_shapes.iter().flatten() {
        known(
            shape.0.iter().map(|(name, _)| name).collect(),
            &fields,
            "field",
        );
    }
    if let Reference::Expected(cases) = &own.reference {
        for case in cases {
            known(
                case.fields.0.iter().map(|(name, _)| name).collect(),
                &fields,
                "field",
            );
            known(
                case.inputs.0.iter().map(|(name, _)| name).collect(),
                &inputs,
                "input",
            );
            known(
                case.outputs.0.iter().map(|(name, _)| name).collect(),
                &outputs,
                "output",
            );
        }
        expected(description, own, &inputs, &outputs, faults);
    }
    for (name, gate) in &own.gates.0 {
        if !(gate.is_finite() && *gate > 0.0) {
            let message = "a gate is a positive number";
            faults.push(Fault::new(name.place.clone(), message));
        }
    }
    if own.extra_shapes.as_ref().is_some_and(Vec::is_empty) {
        let message = "`extra_shapes` is empty: name a ragged shape, or leave it out to have some \
                       derived";
        faults.push(Fault::new(description.entry.place.clone(), message));
    }
}

/// Expected values can only verify what they were computed for.
fn expected(
    description: &Description,
    own: &OwnProblem,
    inputs: &[&str],
    outputs: &[&str],
    faults: &mut Vec<Fault>,
) {
    let Reference::Expected(cases) = &own.reference else {
        return;
    };
    let at = description.entry.place.clone();
    for case in cases {
        let complete = |given: &Entries<Text>, names: &[&str]| {
            names
                .iter()
                .all(|name| given.0.iter().any(|(text, _)| text.value == *name))
        };
        if !complete(&case.inputs, inputs) || !complete(&case.outputs, outputs) {
            let place = case.outputs.0.first().or(case.inputs.0.first());
            let place = place.map_or_else(|| at.clone(), |(text, _)| text.place.clone());
            let message = "every case of expected values has a file for each input and output";
            faults.push(Fault::new(place, message));
        }
    }
    let main = cases.iter().filter(|case| is_main(own, case)).count();
    if main < 2 {
        faults.push(
            Fault::new(
                at.clone(),
                "expected values need two cases with the default fields",
            )
            .note("a kernel that was right on one input by accident is caught by the other"),
        );
    }
    let extents = own
        .fields
        .iter()
        .any(|field| matches!(field.default, Value::Int(_)));
    if extents && main == cases.len() {
        faults.push(
            Fault::new(at, "expected values need a case with other extents too")
                .note("kernels are verified on a ragged shape beside the one that is ranked"),
        );
    }
}

/// Whether a case has all fields at their defaults.
fn is_main(own: &OwnProblem, case: &Case) -> bool {
    case.fields.0.iter().all(|(name, value)| {
        let field = own
            .fields
            .iter()
            .find(|field| field.name.value == name.value);
        field.is_some_and(|field| field.default == *value)
    })
}
