//! Checked expressions and their evaluation.

use std::fmt;

use super::ast::CompareOp;
use super::machine::{Evaluate, Halt, Machine};
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

impl Node {
    /// The nodes that this one may ask for.
    pub(super) fn operands(self) -> impl Iterator<Item = NodeId> {
        let (a, b, c) = match self {
            Self::Const(_) | Self::Param(_) => (None, None, None),
            Self::ToFloat(a) | Self::Unary(_, a) => (Some(a), None, None),
            Self::Binary(_, a, b) | Self::Compare(_, a, b) => (Some(a), Some(b), None),
            Self::And(a, b) | Self::Or(a, b) | Self::Implies(a, b) => (Some(a), Some(b), None),
            Self::If(a, b, c) => (Some(a), Some(b), Some(c)),
        };
        [a, b, c].into_iter().flatten()
    }
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
    pub(super) nodes: Vec<Node>,
    spans: Vec<Span>,
    /// For explanations: the results of comparisons of constants, and the comparisons.
    folded: Vec<(NodeId, NodeId)>,
    pub(super) root: NodeId,
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
            let node = code.nodes[id as usize];
            if let Node::Param(param) = node {
                code.mentions.push(param as usize);
            }
            pending.extend(node.operands());
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
        match Machine::new(self, choices, tables).value(self.root) {
            Ok(Scalar::Bool(true)) => Verdict::Holds,
            Ok(_) => Verdict::Fails,
            Err(Halt::Inactive) => Verdict::DoesNotApply,
            Err(Halt::Trouble(trouble, at)) => Verdict::Trouble(trouble, self.span(at)),
        }
    }

    pub(in crate::space) fn evaluate(
        &self,
        choices: &[Option<u32>],
        tables: &Tables,
    ) -> Result<Scalar, Stop> {
        let value = Machine::new(self, choices, tables).value(self.root);
        value.map_err(|halt| match halt {
            Halt::Inactive => Stop::Inactive,
            Halt::Trouble(trouble, at) => Stop::Trouble(trouble, self.span(at)),
        })
    }

    fn span(&self, id: NodeId) -> Span {
        self.spans
            .get(id as usize)
            .copied()
            .unwrap_or(Span::new(0, 0))
    }

    /// The two sides of the comparison that made a constraint fail, if it is one comparison or a
    /// conjunction of them.
    pub(in crate::space) fn failing_comparison(
        &self,
        choices: &[Option<u32>],
        tables: &Tables,
    ) -> Option<(Scalar, CompareOp, Scalar)> {
        let mut machine = Machine::new(self, choices, tables);
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
