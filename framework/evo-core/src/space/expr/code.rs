//! Checked expressions and their evaluation.

use std::fmt;

use super::ast::CompareOp;
use crate::space::diagnostic::Span;

/// A value during evaluation. Names are numbers of the space's table of names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::space) enum Scalar {
    Int(i64),
    Float(f64),
    Bool(bool),
    Name(u32),
}

/// The index of a node in its [`Code`].
pub(super) type NodeId = u32;

/// One step of an evaluation. Operands are of one type where two are needed; lowering sees to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Node {
    Const(Scalar),
    Param(u32),
    ToFloat(NodeId),
    Unary(UnaryFn, NodeId),
    Binary(BinaryFn, NodeId, NodeId),
    Compare(CompareOp, NodeId, NodeId),
    And(NodeId, NodeId),
    Or(NodeId, NodeId),
    Implies(NodeId, NodeId),
    If(NodeId, NodeId, NodeId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnaryFn {
    Not,
    Neg,
    Abs,
    Log2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryFn {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Min,
    Max,
    CeilDiv,
}

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::space) enum Trouble {
    Overflow,
    DivisionByZero,
    NotFinite,
    Log2,
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Overflow => "integer overflow",
            Self::DivisionByZero => "division by zero",
            Self::NotFinite => "a result that is not finite",
            Self::Log2 => "the logarithm of a number below 1",
        })
    }
}

/// Why an evaluation stopped early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::space) enum Stop {
    /// It asked for a parameter that is inactive.
    Inactive,
    /// Arithmetic failed at the place in the expression.
    Trouble(Trouble, Span),
}

/// The values of every parameter as scalars, by parameter and value index.
pub(in crate::space) type Tables = [Vec<Scalar>];

/// What a constraint says of an assignment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::space) enum Verdict {
    Holds,
    /// The evaluation asked for an inactive parameter: the constraint says nothing.
    DoesNotApply,
    Fails,
    /// It has no value; this counts as failing.
    Trouble(Trouble, Span),
}

impl Verdict {
    pub(in crate::space) fn allows(self) -> bool {
        matches!(self, Self::Holds | Self::DoesNotApply)
    }
}

/// A checked expression.
#[derive(Debug, Clone)]
pub(in crate::space) struct Code {
    nodes: Vec<Node>,
    spans: Vec<Span>,
    /// For explanations: the results of comparisons of constants, and the comparisons.
    folded: Vec<(NodeId, NodeId)>,
    root: NodeId,
    mentions: Vec<usize>,
}

impl Code {
    pub(super) fn new(
        nodes: Vec<Node>,
        spans: Vec<Span>,
        folded: Vec<(NodeId, NodeId)>,
        root: NodeId,
    ) -> Self {
        let mut code = Self {
            nodes,
            spans,
            folded,
            root,
            mentions: Vec::new(),
        };
        let mut reached = vec![false; code.nodes.len()];
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            if std::mem::replace(&mut reached[id as usize], true) {
                continue;
            }
            match code.nodes[id as usize] {
                Node::Const(_) => {}
                Node::Param(param) => code.mentions.push(param as usize),
                Node::ToFloat(a) | Node::Unary(_, a) => pending.push(a),
                Node::Binary(_, a, b) | Node::Compare(_, a, b) => pending.extend([a, b]),
                Node::And(a, b) | Node::Or(a, b) | Node::Implies(a, b) => pending.extend([a, b]),
                Node::If(a, b, c) => pending.extend([a, b, c]),
            }
        }
        code.mentions.sort_unstable();
        code.mentions.dedup();
        code
    }

    /// The parameters that the value may depend on, ascending.
    pub(in crate::space) fn mentions(&self) -> &[usize] {
        &self.mentions
    }

    /// Evaluates a condition or constraint.
    pub(in crate::space) fn verdict(&self, choices: &[Option<u32>], tables: &Tables) -> Verdict {
        match self.evaluate(choices, tables) {
            Ok(Scalar::Bool(true)) => Verdict::Holds,
            Ok(_) => Verdict::Fails,
            Err(Stop::Inactive) => Verdict::DoesNotApply,
            Err(Stop::Trouble(trouble, span)) => Verdict::Trouble(trouble, span),
        }
    }

    pub(in crate::space) fn evaluate(
        &self,
        choices: &[Option<u32>],
        tables: &Tables,
    ) -> Result<Scalar, Stop> {
        Machine {
            code: self,
            choices,
            tables,
        }
        .value(self.root)
    }

    /// The two sides of the comparison that made a constraint fail, if it is one comparison or a
    /// conjunction of them.
    pub(in crate::space) fn failing_comparison(
        &self,
        choices: &[Option<u32>],
        tables: &Tables,
    ) -> Option<(Scalar, CompareOp, Scalar)> {
        let machine = Machine {
            code: self,
            choices,
            tables,
        };
        let mut at = self.root;
        loop {
            match self.nodes[at as usize] {
                Node::And(a, b) => {
                    at = if machine.value(a) == Ok(Scalar::Bool(false)) {
                        a
                    } else {
                        b
                    };
                }
                Node::Implies(_, b) => at = b,
                Node::Compare(op, a, b) => {
                    return Some((machine.value(a).ok()?, op, machine.value(b).ok()?));
                }
                _ => at = self.folded.iter().find(|(result, _)| *result == at)?.1,
            }
        }
    }
}

/// One evaluation.
struct Machine<'a> {
    code: &'a Code,
    choices: &'a [Option<u32>],
    tables: &'a Tables,
}

impl Machine<'_> {
    fn value(&self, id: NodeId) -> Result<Scalar, Stop> {
        let at = |trouble| Stop::Trouble(trouble, self.code.spans[id as usize]);
        match self.code.nodes[id as usize] {
            Node::Const(value) => Ok(value),
            Node::Param(param) => {
                let choice = self.choices[param as usize].ok_or(Stop::Inactive)?;
                Ok(self.tables[param as usize][choice as usize])
            }
            Node::ToFloat(a) => Ok(to_float(self.value(a)?)),
            Node::Unary(function, a) => unary(function, self.value(a)?).map_err(at),
            Node::Binary(function, a, b) => {
                binary(function, self.value(a)?, self.value(b)?).map_err(at)
            }
            Node::Compare(op, a, b) => {
                Ok(Scalar::Bool(compare(op, self.value(a)?, self.value(b)?)))
            }
            Node::And(a, b) => {
                if self.truth(a)? {
                    self.value(b)
                } else {
                    Ok(Scalar::Bool(false))
                }
            }
            Node::Or(a, b) => {
                if self.truth(a)? {
                    Ok(Scalar::Bool(true))
                } else {
                    self.value(b)
                }
            }
            Node::Implies(a, b) => {
                if self.truth(a)? {
                    self.value(b)
                } else {
                    Ok(Scalar::Bool(true))
                }
            }
            Node::If(condition, yes, no) => {
                self.value(if self.truth(condition)? { yes } else { no })
            }
        }
    }

    fn truth(&self, id: NodeId) -> Result<bool, Stop> {
        Ok(self.value(id)? == Scalar::Bool(true))
    }
}

pub(super) fn to_float(value: Scalar) -> Scalar {
    match value {
        Scalar::Int(value) => Scalar::Float(value as f64),
        other => other,
    }
}

pub(super) fn unary(function: UnaryFn, value: Scalar) -> Result<Scalar, Trouble> {
    match (function, value) {
        (UnaryFn::Not, Scalar::Bool(value)) => Ok(Scalar::Bool(!value)),
        (UnaryFn::Neg, Scalar::Int(value)) => int(value.checked_neg()),
        (UnaryFn::Neg, Scalar::Float(value)) => Ok(Scalar::Float(-value)),
        (UnaryFn::Abs, Scalar::Int(value)) => int(value.checked_abs()),
        (UnaryFn::Abs, Scalar::Float(value)) => Ok(Scalar::Float(value.abs())),
        (UnaryFn::Log2, Scalar::Int(value)) => value
            .checked_ilog2()
            .map(|log| Scalar::Int(i64::from(log)))
            .ok_or(Trouble::Log2),
        // Lowering admits no other type.
        (_, other) => Ok(other),
    }
}

pub(super) fn binary(function: BinaryFn, a: Scalar, b: Scalar) -> Result<Scalar, Trouble> {
    match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => integers(function, a, b),
        (Scalar::Float(a), Scalar::Float(b)) => floats(function, a, b),
        // Lowering admits no other types.
        _ => Ok(a),
    }
}

fn int(value: Option<i64>) -> Result<Scalar, Trouble> {
    value.map(Scalar::Int).ok_or(Trouble::Overflow)
}

fn integers(function: BinaryFn, a: i64, b: i64) -> Result<Scalar, Trouble> {
    let divides = matches!(function, BinaryFn::Div | BinaryFn::Rem | BinaryFn::CeilDiv);
    if divides && b == 0 {
        return Err(Trouble::DivisionByZero);
    }
    int(match function {
        BinaryFn::Add => a.checked_add(b),
        BinaryFn::Sub => a.checked_sub(b),
        BinaryFn::Mul => a.checked_mul(b),
        BinaryFn::Div => a.checked_div(b),
        // The remainder by -1 is 0 even where the quotient overflows.
        BinaryFn::Rem => Some(a.wrapping_rem(b)),
        BinaryFn::Min => Some(a.min(b)),
        BinaryFn::Max => Some(a.max(b)),
        BinaryFn::CeilDiv => a.checked_div(b).and_then(|quotient| {
            let exact = a.checked_rem(b)? == 0;
            let up = !exact && (a > 0) == (b > 0);
            quotient.checked_add(i64::from(up))
        }),
    })
}

fn floats(function: BinaryFn, a: f64, b: f64) -> Result<Scalar, Trouble> {
    let divides = matches!(function, BinaryFn::Div | BinaryFn::Rem);
    if divides && b == 0.0 {
        return Err(Trouble::DivisionByZero);
    }
    let value = match function {
        BinaryFn::Add => a + b,
        BinaryFn::Sub => a - b,
        BinaryFn::Mul => a * b,
        BinaryFn::Div => a / b,
        BinaryFn::Rem => a % b,
        BinaryFn::Min => a.min(b),
        BinaryFn::Max => a.max(b),
        BinaryFn::CeilDiv => (a / b).ceil(),
    };
    if value.is_finite() {
        Ok(Scalar::Float(value))
    } else {
        Err(Trouble::NotFinite)
    }
}

pub(super) fn compare(op: CompareOp, a: Scalar, b: Scalar) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(&b)),
        (Scalar::Float(a), Scalar::Float(b)) => a.partial_cmp(&b),
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(&b)),
        (Scalar::Name(a), Scalar::Name(b)) => Some(a.cmp(&b)),
        _ => None,
    };
    match op {
        CompareOp::Less => order == Some(Less),
        CompareOp::LessEqual => matches!(order, Some(Less | Equal)),
        CompareOp::Greater => order == Some(Greater),
        CompareOp::GreaterEqual => matches!(order, Some(Greater | Equal)),
        CompareOp::Equal => order == Some(Equal),
        CompareOp::NotEqual => order != Some(Equal),
    }
}
