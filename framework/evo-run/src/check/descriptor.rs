//! What a plugin says of itself.

use std::cmp::Ordering;
use std::path::Path;

use evo_types::{Direction, FieldInfo, FieldKind, KernelInfo, Params, PluginInfo};
use evo_wire::Rule;

use super::Ledger;
use crate::driver::read_rules;
use crate::plan::complete_fields;
use crate::{RunError, RunSpec, parse_ron};

/// The kinds of device that there are.
const DEVICES: [&str; 2] = ["cpu", "cuda"];

/// Checks a description, and that another process gave the same.
///
/// # Errors
/// Where no second worker could be had.
pub(super) fn check(
    info: &PluginInfo,
    again: Result<PluginInfo, RunError>,
    ledger: &mut Ledger,
) -> Result<(), RunError> {
    let rule = Rule::Descriptor;
    for fault in faults(info) {
        ledger.fail(rule, fault);
    }
    if info.doc.is_empty() {
        ledger.note(rule, "it does not say what it is for");
    }
    match again {
        Ok(again) if again == *info => ledger.pass(rule),
        Ok(_) => ledger.fail(rule, "two processes get two different descriptions"),
        Err(error) if error.kind == crate::ErrorKind::Input => {
            ledger.fail(rule, format!("a second process cannot open it: {error}"));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Everything that is wrong with a description.
fn faults(info: &PluginInfo) -> Vec<String> {
    let mut faults = Vec::new();
    let parts =
        info.kernels.len() + info.problems.len() + info.objectives.len() + info.profilers.len();
    if parts == 0 {
        faults.push("there is nothing in it: no kernel, problem, objective or profiler".to_owned());
    }
    let mut names = |what: &str, names: Vec<&str>| {
        if let Some(name) = repeated(&names) {
            faults.push(format!("two {what} are called `{name}`"));
        }
    };
    names(
        "kernels",
        info.kernels.iter().map(|it| it.name.as_str()).collect(),
    );
    names(
        "problems",
        info.problems.iter().map(|it| it.name.as_str()).collect(),
    );
    names(
        "objectives",
        info.objectives.iter().map(|it| it.name.as_str()).collect(),
    );
    names(
        "profilers",
        info.profilers.iter().map(|it| it.name.as_str()).collect(),
    );
    for kernel in &info.kernels {
        faults.extend(kernel_faults(kernel));
    }
    for problem in &info.problems {
        faults.extend(field_faults(
            &format!("the problem `{}`", problem.name),
            &problem.fields,
        ));
    }
    for objective in &info.objectives {
        let what = format!("the objective `{}`", objective.name);
        faults.extend(field_faults(&what, &objective.settings));
        if objective.metric.is_empty() {
            faults.push(format!("{what} names no metric to rank by"));
        }
        if objective.direction == Direction::Info {
            faults.push(format!(
                "{what} ranks by a metric that is neither better high nor low"
            ));
        }
    }
    for profiler in &info.profilers {
        let what = format!("the profiler `{}`", profiler.name);
        faults.extend(device_fault(&what, &profiler.devices));
        let rules = profiler.rules.as_deref();
        let read = rules.map(|text| read_rules(text, &profiler.name));
        if let Some(Err(error)) = read {
            faults.push(format!("{what} has rules that cannot be read: {error}"));
        }
    }
    if let Some(text) = &info.default_spec
        && let Err(error) = parse_ron::<RunSpec>(text, "<its default spec>")
    {
        faults.push(error.to_string());
    }
    faults
}

fn kernel_faults(kernel: &KernelInfo) -> Vec<String> {
    let what = format!("the kernel `{}`", kernel.name);
    let mut faults: Vec<String> = device_fault(&what, &kernel.devices).into_iter().collect();
    if kernel.problems.is_empty() {
        faults.push(format!("{what} solves no problem"));
    }
    if kernel.version.is_empty() {
        faults.push(format!(
            "{what} has no version, which is part of every build's identity"
        ));
    }
    let params: Vec<&str> = kernel.params.iter().map(|it| it.name.as_str()).collect();
    if let Some(name) = repeated(&params) {
        faults.push(format!("{what} has two parameters `{name}`"));
    }
    if let Some(name) = params.iter().find(|name| !is_identifier(name)) {
        faults.push(format!(
            "{what} has a parameter `{name}`: a name is letters, digits and `_`, and no digit first"
        ));
    }
    faults
}

fn device_fault(what: &str, devices: &[String]) -> Option<String> {
    if devices.is_empty() {
        return Some(format!("{what} names no device"));
    }
    let unknown = devices
        .iter()
        .find(|kind| !DEVICES.contains(&kind.as_str()));
    unknown.map(|kind| {
        let known = DEVICES.join(", ");
        format!("{what} is for devices of kind `{kind}`; there is: {known}")
    })
}

fn field_faults(what: &str, fields: &[FieldInfo]) -> Vec<String> {
    let mut faults = Vec::new();
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    if let Some(name) = repeated(&names) {
        faults.push(format!("{what} has two fields `{name}`"));
    }
    for field in fields {
        let empty = match &field.kind {
            FieldKind::Int { min, max } => min > max,
            FieldKind::Float { min, max } => min.partial_cmp(max).is_none_or(Ordering::is_gt),
            FieldKind::Choice(names) => names.is_empty(),
            FieldKind::Bool | FieldKind::Text | FieldKind::Path => false,
        };
        if empty {
            faults.push(format!(
                "{what}: the field `{}` has no possible value",
                field.name
            ));
        }
    }
    // An empty path or text stands for one that the spec has to give.
    let checked = complete_fields(what, fields, &Params::new(), Path::new(""));
    if let Err(error) = checked {
        faults.push(format!("a default is not valid: {}", error.message));
    }
    faults
}

fn is_identifier(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.chars().next().is_some_and(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// A name that occurs twice.
fn repeated<'a>(names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .enumerate()
        .find(|(place, name)| names.iter().take(*place).any(|other| other == *name))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use evo_types::{InterfaceVersion, ParamInfo, ProfilerInfo, Value};

    use super::*;

    fn info(kernel: KernelInfo) -> PluginInfo {
        PluginInfo {
            name: "p".into(),
            version: "1".into(),
            doc: "d".into(),
            interface: InterfaceVersion::CURRENT,
            problems: vec![],
            kernels: vec![kernel],
            objectives: vec![],
            profilers: vec![],
            default_spec: None,
        }
    }

    fn kernel() -> KernelInfo {
        KernelInfo {
            name: "k".into(),
            version: "1".into(),
            doc: String::new(),
            problems: vec!["gemm".into()],
            devices: vec!["cpu".into()],
            params: vec![],
            space: None,
            deterministic: true,
            prepares: false,
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(faults(&info(kernel())), Vec::<String>::new());
        let param = |name: &str| ParamInfo {
            name: name.into(),
            doc: String::new(),
            default: Value::Int(1),
            runtime: false,
        };
        let wrong = KernelInfo {
            problems: vec![],
            devices: vec!["gpu".into()],
            params: vec![param("A"), param("A"), param("2x")],
            ..kernel()
        };
        let text = faults(&info(wrong)).join("\n");
        for part in ["`gpu`", "solves no problem", "two parameters `A`", "`2x`"] {
            assert!(text.contains(part), "`{part}` is missing in:\n{text}");
        }
        let spec = PluginInfo {
            default_spec: Some("(tuen: [])".into()),
            ..info(kernel())
        };
        assert!(faults(&spec)[0].contains("tuen"));
        let profiler = |rules: &str| PluginInfo {
            profilers: vec![ProfilerInfo {
                name: "counts".into(),
                doc: String::new(),
                devices: vec!["cpu".into()],
                rules: Some(rules.into()),
            }],
            ..info(kernel())
        };
        let right = profiler("(rules: [(id: \"a\", when: \"x > 0\", says: \"b\")])");
        assert_eq!(faults(&right), Vec::<String>::new());
        let wrong = profiler("(rules: [(id: \"a\", when: \"x >\", says: \"b\")])");
        let text = faults(&wrong).join("\n");
        assert!(
            text.contains("`counts` has rules that cannot be read"),
            "{text}"
        );
    }

    #[test]
    fn impossible_fields_are_named() {
        let field = |kind, default| FieldInfo {
            name: "N".into(),
            doc: String::new(),
            kind,
            default,
        };
        let of = |field: FieldInfo| field_faults("it", &[field]).join("\n");
        assert_eq!(of(field(FieldKind::Bool, Value::Bool(true))), "");
        let empty = of(field(FieldKind::Int { min: 2, max: 1 }, Value::Int(1)));
        assert!(empty.contains("no possible value"), "{empty}");
        let outside = of(field(FieldKind::Int { min: 0, max: 1 }, Value::Int(7)));
        assert!(outside.contains("default is not valid"), "{outside}");
    }
}
