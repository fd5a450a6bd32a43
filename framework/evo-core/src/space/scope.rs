//! What the names in a space's expressions mean.

use std::collections::BTreeSet;

use evo_types::{Params, Value};

use super::diagnostic::{Fault, suggestion};
use super::expr::code::Scalar;
use super::expr::names::{Meaning, Names, Scope, Symbol, Type};
use super::expr::parse::references;
use super::load::{ConstantDraft, Draft, UsedConstants};
use super::param::{FixedBy, Role};
use super::values::{same, type_of};

/// The constants that expressions may name beside those of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Env {
    /// The problem's constants and fields: `S`, `D`, `BYTES_PER_ELEMENT`, ... One that has the
    /// name of a parameter with the role `problem` fixes that parameter.
    pub problem: Params,
    /// The device's facts: `SMEM_BYTES`, `CORES`, `SIMD_BITS`, ...
    pub device: Params,
    /// Values that the run pins, by the name of the parameter: such a parameter is not searched.
    /// Names that the space does not declare are of no concern to it.
    pub pinned: Params,
}

pub(super) fn scalar(value: &Value, names: &mut Names) -> Scalar {
    match value {
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Int(value) => Scalar::Int(*value),
        Value::Float(value) => Scalar::Float(*value),
        Value::Name(name) => Scalar::Name(names.intern(name)),
    }
}

/// Holds the parameters that the problem or the run gives a value to at that value.
pub(super) fn fix_params(drafts: &mut [Draft], env: &Env, faults: &mut Vec<Fault>) {
    for draft in drafts {
        let name = draft.name.value.as_str();
        let problem = env
            .problem
            .get(name)
            .filter(|_| draft.role == Role::Problem);
        let pinned = env.pinned.get(name);
        if let (Some(problem), Some(pinned)) = (problem, pinned)
            && problem != pinned
        {
            let message = format!("the run pins `{name}` to {pinned}, the problem to {problem}");
            faults.push(Fault::new(draft.name.span, message));
            continue;
        }
        let (given, by) = match (problem, pinned) {
            (Some(value), _) => (value, FixedBy::Problem),
            (None, Some(value)) => (value, FixedBy::Run),
            (None, None) => continue,
        };
        let Some((values, span)) = &draft.values else {
            continue;
        };
        let found = values.iter().position(|own| same(own, given));
        match found.and_then(|found| u32::try_from(found).ok()) {
            Some(found) => {
                draft.default = found;
                draft.fixed = Some(by);
            }
            None => {
                let near = given.as_name().map_or_else(String::new, |name| {
                    suggestion(name, values.iter().filter_map(Value::as_name))
                });
                let message =
                    format!("the {by} sets `{name}` to {given}, which is not among its values");
                faults.push(Fault::new(*span, message).label(near));
            }
        }
    }
}

/// Collects parameters and constants, and reports names with two meanings.
pub(super) fn build(
    drafts: &[Draft],
    constants: &[ConstantDraft],
    env: &Env,
    faults: &mut Vec<Fault>,
) -> Scope {
    let mut scope = Scope::default();
    for (origin, other_origin, own, other) in [
        ("the problem", "the device", &env.problem, &env.device),
        ("the device", "the problem", &env.device, &env.problem),
    ] {
        for (name, value) in own {
            let mut symbol = constant(value, &mut scope.names);
            if other.get(name).is_some_and(|different| different != value) {
                let why = format!("{origin} and {other_origin} both give it, with other values");
                symbol.meaning = Meaning::Ambiguous(why);
            }
            scope.symbols.insert(name.clone(), symbol);
        }
    }
    for (index, draft) in constants.iter().enumerate() {
        let name = &draft.name.value;
        let twice = constants
            .iter()
            .take(index)
            .any(|other| other.name.value == *name);
        if let Some(origin) = origin_of(name, env) {
            let message = format!("the constant `{name}` is given by {origin} already");
            faults.push(Fault::new(draft.name.span, message).label("choose another name"));
        } else if twice {
            let message = format!("the constant `{name}` is declared twice");
            faults.push(Fault::new(draft.name.span, message));
        }
        scope
            .symbols
            .insert(name.clone(), constant(&draft.value, &mut scope.names));
    }
    for (index, draft) in drafts.iter().enumerate() {
        check_param_name(index, drafts, constants, env, faults);
        let symbol = param_symbol(index, draft, &mut scope.names);
        scope.symbols.insert(draft.name.value.clone(), symbol);
    }
    scope
}

fn origin_of(name: &str, env: &Env) -> Option<&'static str> {
    let problem = env.problem.contains_key(name).then_some("the problem");
    problem.or_else(|| env.device.contains_key(name).then_some("the device"))
}

fn check_param_name(
    index: usize,
    drafts: &[Draft],
    constants: &[ConstantDraft],
    env: &Env,
    faults: &mut Vec<Fault>,
) {
    let draft = &drafts[index];
    let name = &draft.name.value;
    let mut report = |message: String, label: &str| {
        faults.push(Fault::new(draft.name.span, message).label(label));
    };
    if drafts
        .iter()
        .take(index)
        .any(|earlier| earlier.name.value == *name)
    {
        report(format!("the parameter `{name}` is declared twice"), "");
    }
    if constants
        .iter()
        .any(|constant| constant.name.value == *name)
    {
        report(
            format!("`{name}` is a parameter and a constant"),
            "choose another name",
        );
    }
    if env.problem.contains_key(name) && draft.role == Role::Search {
        report(
            format!("the problem gives `{name}` already"),
            "add `role: problem`, or choose another name",
        );
    } else if env.device.contains_key(name) {
        report(
            format!("the device gives `{name}` already"),
            "choose another name",
        );
    }
}

fn constant(value: &Value, names: &mut Names) -> Symbol {
    Symbol {
        param: false,
        meaning: Meaning::Constant(scalar(value, names)),
        kind: type_of(value),
        allowed: Vec::new(),
    }
}

fn param_symbol(index: usize, draft: &Draft, names: &mut Names) -> Symbol {
    let Some((values, _)) = &draft.values else {
        let (meaning, kind) = (Meaning::Broken, Type::Bool);
        return Symbol {
            param: true,
            meaning,
            kind,
            allowed: Vec::new(),
        };
    };
    let only = values
        .get(draft.default as usize)
        .filter(|_| draft.constant());
    let meaning = match only {
        Some(value) => Meaning::Constant(scalar(value, names)),
        None => Meaning::Param(index),
    };
    let allowed = values
        .iter()
        .filter_map(Value::as_name)
        .map(str::to_owned)
        .collect();
    let kind = values.first().map_or(Type::Bool, type_of);
    Symbol {
        param: true,
        meaning,
        kind,
        allowed,
    }
}

/// Which constants the expressions name.
pub(super) fn used_constants(
    constants: &[ConstantDraft],
    env: &Env,
    expressions: &[&str],
) -> UsedConstants {
    let names: BTreeSet<String> = expressions
        .iter()
        .flat_map(|text| references(text))
        .collect();
    let used = |params: &Params| -> Params {
        let chosen = params.iter().filter(|(name, _)| names.contains(*name));
        chosen
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let own: Params = constants
        .iter()
        .map(|own| (own.name.value.clone(), own.value.clone()))
        .collect();
    UsedConstants {
        file: used(&own),
        problem: used(&env.problem),
        device: used(&env.device),
    }
}
