//! What can be known of a description before anything is compiled.

mod names;
mod problem;

use std::collections::BTreeSet;

use evo_core::space::{Declared, declared};

use super::expr::Expr;
use super::{Argument, Description, Language, Param, Problem, Written, space};
use crate::GatherError as Error;
use crate::document::{Document, Fault, Text, suggestion};
use crate::scalar::ScalarType;

pub(super) use names::{FACTS, braces};
use names::{expressions, is_identifier, launch_expressions};
use problem::problem;

/// Checks what was written and puts it into order.
pub(super) fn description(
    document: Document,
    name: &str,
    written: Written,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Description, Error> {
    let mut faults = Vec::new();
    let space = match &written.space {
        None => None,
        Some(raw) => Some(
            space::read(&document, name, raw, read).map_err(|fault| document.error(&[fault]))?,
        ),
    };
    let declared = match &space {
        None => Vec::new(),
        Some(space) => {
            declared(&space.text, &space.shown).map_err(|errors| Error::new(errors.to_string()))?
        }
    };
    let (space, space_file) = space.map(|space| (space.text, space.file)).unzip();
    let params = params(&written, &declared, &mut faults);
    own_names(&written, &params, &mut faults);
    let arguments: Vec<Argument> = written
        .arguments
        .0
        .iter()
        .map(|(it, _)| it.clone())
        .collect();
    let argument_lines = written
        .arguments
        .0
        .iter()
        .map(|(_, at)| document.line(*at))
        .collect();
    let description = Description {
        name: name.to_owned(),
        doc: written.doc,
        language: written.language,
        sources: written.sources,
        headers: written.headers,
        entry: written.entry,
        space,
        space_file: space_file.flatten(),
        params,
        defines: written.defines,
        template: written.template,
        placeholders: written.placeholders,
        flags: written.flags,
        arguments,
        argument_lines,
        launch: written.launch,
        problem: written.problem,
        deterministic: written.deterministic,
        document,
    };
    language(&description, &mut faults);
    tensors(&description, &mut faults);
    expressions(&description, &mut faults);
    if let Some(own) = description.own_problem() {
        problem(&description, own, &mut faults);
    }
    runtime(&description, &mut faults);
    if faults.is_empty() {
        Ok(description)
    } else {
        Err(description.document.error(&faults))
    }
}

/// The parameters of the space, and how each reaches the build.
fn params(written: &Written, declared: &[Declared], faults: &mut Vec<Fault>) -> Vec<Param> {
    let mut elsewhere: BTreeSet<String> = BTreeSet::new();
    for expr in written
        .template
        .iter()
        .chain(written.placeholders.0.iter().map(|(_, it)| it))
    {
        elsewhere.extend(expr.names());
    }
    for flag in &written.flags {
        let text = &flag.text.value;
        elsewhere.extend(
            braces(text)
                .into_iter()
                .filter_map(|(open, close)| text.get(open + 1..close - 1))
                .map(str::to_owned),
        );
        elsewhere.extend(flag.when.iter().flat_map(Expr::names));
    }
    for name in &written.runtime {
        if !declared.iter().any(|param| param.name == name.value) {
            let message = format!("`{}` is no parameter of the search space", name.value);
            let near = suggestion(
                &name.value,
                declared.iter().map(|param| param.name.as_str()),
            );
            faults.push(Fault::new(name.place.clone(), message).label(near));
        } else if elsewhere.contains(&name.value) {
            let message = format!(
                "`{}` is declared as a run-time parameter, but reaches the compiler",
                name.value
            );
            faults.push(Fault::new(name.place.clone(), message));
        }
    }
    let own = |name: &str| {
        written
            .defines
            .0
            .iter()
            .any(|(macro_name, _)| macro_name.value == name)
    };
    declared
        .iter()
        .map(|param| {
            let runtime = written.runtime.iter().any(|name| name.value == param.name);
            Param {
                name: param.name.clone(),
                doc: param.doc.clone(),
                default: param.default.clone(),
                runtime,
                defined: !runtime && !elsewhere.contains(&param.name) && !own(&param.name),
            }
        })
        .collect()
}

/// Names that are used twice or mean something else.
fn own_names(written: &Written, params: &[Param], faults: &mut Vec<Fault>) {
    let mut seen: BTreeSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
    let take = |name: &Text, what: &str| -> Option<Fault> {
        let text = name.value.as_str();
        let fault = |message: String| Some(Fault::new(name.place.clone(), message));
        if !is_identifier(text) {
            return fault(format!("{what} is named by letters, digits and `_`"));
        }
        if FACTS.contains(&text) {
            return fault(format!(
                "`{text}` is a fact about the device; choose another name"
            ));
        }
        None
    };
    if let Problem::Own(own) = &written.problem {
        let fields = own.fields.iter().map(|field| (&field.name, "a field"));
        let constants = own.constants.0.iter().map(|(name, _)| (name, "a constant"));
        for (name, what) in fields.chain(constants) {
            faults.extend(take(name, what));
            if !seen.insert(&name.value) {
                let message = format!("the name `{}` is used twice", name.value);
                faults.push(Fault::new(name.place.clone(), message));
            }
        }
    }
    for (name, _) in &written.defines.0 {
        if !is_identifier(&name.value) {
            let message = "a macro is named by letters, digits and `_`";
            faults.push(Fault::new(name.place.clone(), message));
        }
    }
    if !is_identifier(&written.entry.value.replace("::", "_")) {
        let message = "the entry is the name of a function, without arguments";
        faults.push(Fault::new(written.entry.place.clone(), message));
    }
}

/// What belongs to one language only.
fn language(description: &Description, faults: &mut Vec<Fault>) {
    let entry = &description.entry;
    let mut wrong = |message: &str| faults.push(Fault::new(entry.place.clone(), message));
    if description.sources.is_empty() {
        wrong("`sources` names no file");
    }
    match (description.language, &description.launch) {
        (Language::Cuda, None) => {
            wrong("a CUDA kernel needs `launch: (grid: [...], block: [...])`");
        }
        (Language::Cuda, Some(launch)) => {
            for (what, extents) in [
                ("grid", &launch.grid),
                ("block", &launch.block),
                ("cluster", &launch.cluster),
            ] {
                if extents.len() > 3 || (extents.is_empty() && what != "cluster") {
                    wrong(&format!("`{what}` of the launch has one to three extents"));
                }
            }
            if description.sources.len() > 1 {
                wrong("a CUDA kernel has one source; name the files that it includes in `headers`");
            }
        }
        (_, Some(_)) => wrong("`launch` is for CUDA: a function on the CPU is just called"),
        (_, None) => {}
    }
    if description.language == Language::C && !description.template.is_empty() {
        wrong("C has no templates: use `language: cpp`");
    }
}

/// The arguments: that they belong to the kind of problem, and their names.
fn tensors(description: &Description, faults: &mut Vec<Fault>) {
    let own = description.own_problem().is_some();
    let mut seen = BTreeSet::new();
    for argument in &description.arguments {
        match argument {
            Argument::Input { name, .. } | Argument::Output { name, .. } => {
                if !own {
                    let message = format!(
                        "the problem `{}` defines its own tensors",
                        description.problem_name()
                    );
                    let label = format!("write `tensor(\"{}\")`", name.value);
                    faults.push(Fault::new(name.place.clone(), message).label(label));
                } else if !is_identifier(&name.value) {
                    let message = "a tensor is named by letters, digits and `_`";
                    faults.push(Fault::new(name.place.clone(), message));
                }
                if !seen.insert(name.value.as_str()) {
                    let message = format!("two tensors are called `{}`", name.value);
                    faults.push(Fault::new(name.place.clone(), message));
                }
            }
            Argument::Tensor(name) if own => {
                let message = "`tensor` names a tensor of a problem that is defined elsewhere";
                let label = "write `input(...)` or `output(...)`";
                faults.push(Fault::new(name.place.clone(), message).label(label));
            }
            Argument::Scalar { kind, .. } => {
                if ScalarType::of(&kind.value).is_none() {
                    let message = format!("`{}` is no type of a scalar argument", kind.value);
                    let near = suggestion(&kind.value, ScalarType::names());
                    faults.push(Fault::new(kind.place.clone(), message).label(near));
                }
            }
            Argument::Tensor(_) | Argument::Workspace { .. } => {}
        }
    }
    let workspaces = description
        .arguments
        .iter()
        .filter(|argument| matches!(argument, Argument::Workspace { .. }));
    if workspaces.count() > 1 {
        let message = "a kernel has at most one workspace";
        faults.push(Fault::new(description.entry.place.clone(), message));
    }
}

/// A run-time parameter that reaches nothing is dead for sure.
fn runtime(description: &Description, faults: &mut Vec<Fault>) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for argument in &description.arguments {
        match argument {
            Argument::Scalar { value, .. } => used.extend(value.names()),
            Argument::Workspace { bytes } => used.extend(bytes.names()),
            _ => {}
        }
    }
    used.extend(
        description
            .launch
            .iter()
            .flat_map(launch_expressions)
            .flat_map(Expr::names),
    );
    for param in description.params.iter().filter(|param| param.runtime) {
        if !used.contains(&param.name) {
            let message = format!(
                "the run-time parameter `{}` reaches nothing: no scalar argument and no part of \
                 the launch mentions it",
                param.name
            );
            faults.push(Fault::new(description.entry.place.clone(), message));
        }
    }
    for (_, expr) in &description.defines.0 {
        for param in description.params.iter().filter(|param| param.runtime) {
            if expr.names().contains(&param.name) {
                let message = format!(
                    "`{}` is a run-time parameter, and a macro needs it",
                    param.name
                );
                faults.push(expr.fault_at(&param.name, message));
            }
        }
    }
}
