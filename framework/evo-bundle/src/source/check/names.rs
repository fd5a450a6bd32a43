//! Which names the expressions of a description may use.

use std::collections::BTreeSet;

use super::super::expr::Expr;
use super::super::{Argument, Description, Launch, OwnProblem, Reference};
use crate::document::{Fault, suggestion};

/// The facts about devices that expressions may name, of CPUs and of GPUs.
pub(in crate::source) const FACTS: [&str; 17] = [
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

/// The places of `{NAME}` in a flag, braces included.
pub(in crate::source) fn braces(text: &str) -> Vec<(usize, usize)> {
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

/// The place of a `{` after which there is no `}`.
fn unclosed(text: &str) -> Option<usize> {
    let open = text.rfind('{')?;
    let closed = text.get(open..).is_some_and(|rest| rest.contains('}'));
    (!closed).then_some(open)
}

pub(super) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

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

/// The syntax and the names of all expressions.
pub(super) fn expressions(description: &Description, faults: &mut Vec<Fault>) {
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
        if let Some(open) = unclosed(&text.value) {
            let place = text.within(open, text.value.len());
            let message = "a `{` in a flag is not closed".to_owned();
            faults.push(Fault::new(place, message).label("write `{NAME}`".to_owned()));
        }
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

pub(super) fn launch_expressions(launch: &Launch) -> impl Iterator<Item = &Expr> {
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
