//! What can be known of a description before anything is compiled.

use std::collections::BTreeSet;

use evo_core::space::{Declared, declared};
use evo_types::Value;

use super::expr::Expr;
use super::{
    Argument, Description, Language, OwnProblem, Param, Problem, Reference, Written, space,
};
use crate::GatherError as Error;
use crate::document::{Document, Fault, Text, suggestion};
use crate::scalar::ScalarType;

/// The facts about devices that expressions may name, of CPUs and of GPUs.
pub(super) const FACTS: [&str; 17] = [
    "COMPUTE_CAPABILITY",
    "CORES",
    "HAS_AVX2",
    "HAS_AVX512",
    "HAS_AVX512_BF16",
    "L1D_BYTES",
    "L2_BYTES",
    "L3_BYTES",
    "MAX_REGISTERS_PER_THREAD",
    "MAX_THREADS_PER_BLOCK",
    "MEM_BYTES",
    "REGISTERS_PER_SM",
    "SIMD_BITS",
    "SMEM_BYTES",
    "SMEM_PER_SM",
    "SMS",
    "WARP_SIZE",
];

/// Which names an expression may use.
struct Scope {
    names: BTreeSet<String>,
    /// Whether other names are unknown; not so where a problem is defined elsewhere.
    closed: bool,
    /// In words, for messages.
    what: &'static str,
}

impl Scope {
    fn check(&self, expr: &Expr, faults: &mut Vec<Fault>) {
        if let Some(fault) = expr.syntax_fault() {
            faults.push(fault);
            return;
        }
        if !self.closed {
            return;
        }
        for name in expr.names() {
            if !self.names.contains(&name) {
                let message = format!("unknown name `{name}`; {}", self.what);
                let near = suggestion(&name, self.names.iter().map(String::as_str));
                faults.push(expr.fault_at(&name, message).label(near));
            }
        }
    }
}

/// The places of `{NAME}` in a flag, braces included.
pub(super) fn braces(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')) {
        let open = at + open;
        let Some(close) = text.get(open..).and_then(|rest| rest.find('}')) else {
            break;
        };
        let close = open + close + 1;
        if text.get(open + 1..close - 1).is_some_and(is_identifier) {
            found.push((open, close));
        }
        at = close;
    }
    found
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

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
    names(&written, &params, &mut faults);
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
fn names(written: &Written, params: &[Param], faults: &mut Vec<Fault>) {
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

/// The syntax and the names of all expressions.
fn expressions(description: &Description, faults: &mut Vec<Fault>) {
    let (mut names, closed) = match description.own_problem() {
        Some(own) => (constants(own, faults), true),
        None => (BTreeSet::new(), false),
    };
    let problem = Scope {
        names: names.clone(),
        closed,
        what: "a problem knows its fields and constants",
    };
    names.extend(description.params.iter().map(|param| param.name.clone()));
    names.extend(FACTS.map(str::to_owned));
    let all = Scope {
        names,
        closed,
        what: "known are parameters, fields, constants and facts about the device",
    };
    for argument in &description.arguments {
        match argument {
            Argument::Input { shape, range, .. } => {
                shape.iter().for_each(|expr| problem.check(expr, faults));
                for expr in range.iter().flat_map(|(low, high)| [low, high]) {
                    problem.check(expr, faults);
                }
            }
            Argument::Output { shape, .. } => {
                shape.iter().for_each(|expr| problem.check(expr, faults));
            }
            Argument::Scalar { value, .. } => all.check(value, faults),
            Argument::Workspace { bytes } => all.check(bytes, faults),
            Argument::Tensor(_) => {}
        }
    }
    let entries = description
        .defines
        .0
        .iter()
        .chain(&description.placeholders.0);
    let whens = description
        .flags
        .iter()
        .filter_map(|flag| flag.when.as_ref());
    let launch = description.launch.iter().flat_map(launch_expressions);
    for expr in entries
        .map(|(_, expr)| expr)
        .chain(&description.template)
        .chain(whens)
        .chain(launch)
    {
        all.check(expr, faults);
    }
    if let Some(own) = description.own_problem() {
        problem.check(&own.flops, faults);
        own.bytes
            .iter()
            .for_each(|expr| problem.check(expr, faults));
        if let Reference::Function { defines, .. } = &own.reference {
            defines
                .0
                .iter()
                .for_each(|(_, expr)| problem.check(expr, faults));
        }
    }
    for flag in &description.flags {
        let text = &flag.text;
        for (open, close) in braces(&text.value) {
            let name = text.value.get(open + 1..close - 1).unwrap_or_default();
            if closed && !all.names.contains(name) {
                let near = suggestion(name, all.names.iter().map(String::as_str));
                let place = text.within(open + 1, close - 1);
                let message = format!("unknown name `{name}` in a flag");
                faults.push(Fault::new(place, message).label(near));
            }
        }
    }
}

fn launch_expressions(launch: &super::Launch) -> impl Iterator<Item = &Expr> {
    let extents = launch
        .grid
        .iter()
        .chain(&launch.block)
        .chain(&launch.cluster);
    extents.chain(&launch.shared)
}

/// The names of fields and constants, after a look at the constants' own expressions.
fn constants(own: &OwnProblem, faults: &mut Vec<Fault>) -> BTreeSet<String> {
    let mut scope = Scope {
        names: own
            .fields
            .iter()
            .map(|field| field.name.value.clone())
            .collect(),
        closed: true,
        what: "a constant may use the fields and the constants before it",
    };
    for (name, expr) in &own.constants.0 {
        scope.check(expr, faults);
        scope.names.insert(name.value.clone());
    }
    scope.names
}

/// The problem's own parts.
fn problem(description: &Description, own: &OwnProblem, faults: &mut Vec<Fault>) {
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
        let complete = |given: &crate::document::Entries<Text>, names: &[&str]| {
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
fn is_main(own: &OwnProblem, case: &super::Case) -> bool {
    case.fields.0.iter().all(|(name, value)| {
        let field = own
            .fields
            .iter()
            .find(|field| field.name.value == name.value);
        field.is_some_and(|field| field.default == *value)
    })
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
