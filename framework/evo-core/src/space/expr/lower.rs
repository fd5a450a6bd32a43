//! Name resolution, type checking and lowering to [`Code`].

use std::collections::BTreeMap;

use super::ast::{BinaryOp, CompareOp, Expr, Kind};
use super::code::{
    BinaryFn, Code, Node, NodeId, Scalar, UnaryFn, binary, compare, to_float, unary,
};
use crate::space::diagnostic::{Fault, Span, suggestion};

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::space) enum Type {
    Int,
    Float,
    Bool,
    Name,
}

impl Type {
    pub(in crate::space) fn words(self) -> &'static str {
        match self {
            Self::Int => "an integer",
            Self::Float => "a float",
            Self::Bool => "a boolean",
            Self::Name => "a name",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }
}

/// Every name that occurs as a value, so that evaluation compares numbers.
#[derive(Debug, Default)]
pub(in crate::space) struct Names(Vec<String>);

impl Names {
    pub(in crate::space) fn intern(&mut self, name: &str) -> u32 {
        let known = self.0.iter().position(|own| own == name);
        let index = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        // Spaces are bounded far below four thousand million names.
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    pub(in crate::space) fn get(&self, name: u32) -> &str {
        self.0.get(name as usize).map_or("", String::as_str)
    }
}

/// What a word in an expression stands for.
#[derive(Debug, Clone)]
pub(in crate::space) enum Meaning {
    /// A parameter, by its index.
    Param(usize),
    /// A constant, or a parameter that can have only one value.
    Constant(Scalar),
    /// A name that several sources give.
    Ambiguous(String),
    /// A parameter whose declaration has errors: using it is no further error.
    Broken,
}

#[derive(Debug, Clone)]
pub(in crate::space) struct Symbol {
    /// Whether it is a parameter; one with a single value has a constant meaning.
    pub(in crate::space) param: bool,
    pub(in crate::space) meaning: Meaning,
    pub(in crate::space) kind: Type,
    /// For a parameter of names: its values. Comparing it with anything else is a mistake.
    pub(in crate::space) allowed: Vec<String>,
}

/// The words that an expression may use.
#[derive(Debug, Default)]
pub(in crate::space) struct Scope {
    pub(in crate::space) symbols: BTreeMap<String, Symbol>,
    pub(in crate::space) names: Names,
}

/// The functions with the number of their arguments in words.
const FUNCTIONS: [(&str, &str); 5] = [
    ("min", "two or more arguments"),
    ("max", "two or more arguments"),
    ("abs", "one argument"),
    ("ceil_div", "two arguments"),
    ("log2", "one argument"),
];

/// The names that a parameter or constant should not have, beside the keywords.
pub(in crate::space) fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Lowers an expression that must be a truth value. Reports every error, not only the first.
pub(in crate::space) fn lower_condition(
    expr: &Expr,
    scope: &mut Scope,
    what: &str,
) -> Result<Code, Vec<Fault>> {
    let mut lowering = Lowering {
        scope,
        nodes: Vec::new(),
        spans: Vec::new(),
        folded: Vec::new(),
        faults: Vec::new(),
        what,
    };
    let root = lowering.lower(expr);
    let root = root.and_then(|value| lowering.condition(value, expr));
    match root {
        Some(root) if lowering.faults.is_empty() => {
            Ok(Code::new(lowering.nodes, lowering.spans, lowering.folded, root))
        }
        _ => Err(lowering.faults),
    }
}

/// A lowered part: its node and its type.
type Typed = (NodeId, Type);

struct Lowering<'a> {
    scope: &'a mut Scope,
    nodes: Vec<Node>,
    spans: Vec<Span>,
    /// Comparisons of constants: the node of the result, and that of the comparison.
    folded: Vec<(NodeId, NodeId)>,
    faults: Vec<Fault>,
    /// "constraint" or "condition", for messages.
    what: &'a str,
}

impl Lowering<'_> {
    fn push(&mut self, node: Node, span: Span) -> NodeId {
        self.nodes.push(node);
        self.spans.push(span);
        // The parser bounds the number of parts.
        NodeId::try_from(self.nodes.len() - 1).unwrap_or(NodeId::MAX)
    }

    fn constant(&self, id: NodeId) -> Option<Scalar> {
        match self.nodes[id as usize] {
            Node::Const(value) => Some(value),
            _ => None,
        }
    }

    fn fault(&mut self, fault: Fault) -> Option<Typed> {
        self.faults.push(fault);
        None
    }

    /// Lowers a part; `None` after reporting at least one error in it.
    fn lower(&mut self, expr: &Expr) -> Option<Typed> {
        let span = expr.span;
        match &expr.kind {
            Kind::Int(value) => Some((self.push(Node::Const(Scalar::Int(*value)), span), Type::Int)),
            Kind::Float(value) => {
                Some((self.push(Node::Const(Scalar::Float(*value)), span), Type::Float))
            }
            Kind::Bool(value) => {
                Some((self.push(Node::Const(Scalar::Bool(*value)), span), Type::Bool))
            }
            Kind::Name(name) => {
                let name = self.scope.names.intern(name);
                Some((self.push(Node::Const(Scalar::Name(name)), span), Type::Name))
            }
            Kind::Ref(name) => self.reference(name, span),
            Kind::Neg(inner) => {
                let (id, kind) = self.lower(inner)?;
                self.number(kind, inner, "-")?;
                Some((self.unary(UnaryFn::Neg, id, span), kind))
            }
            Kind::Not(inner) => {
                let value = self.lower(inner)?;
                let id = self.condition(value, inner)?;
                Some((self.unary(UnaryFn::Not, id, span), Type::Bool))
            }
            Kind::Binary(op, left, right) => self.binary_op(*op, left, right, span),
            Kind::Compare(first, rest) => self.comparison(first, rest, span),
            Kind::In(needle, list) => self.membership(needle, list, span),
            Kind::If(condition, yes, no) => self.choice(condition, yes, no, span),
            Kind::Call(name, arguments) => self.call(name, arguments, span),
        }
    }

    fn reference(&mut self, name: &str, span: Span) -> Option<Typed> {
        let Some(symbol) = self.scope.symbols.get(name) else {
            let fault = self.unknown(name, span);
            return self.fault(fault);
        };
        let kind = symbol.kind;
        let node = match &symbol.meaning {
            Meaning::Param(param) => Node::Param(u32::try_from(*param).unwrap_or(u32::MAX)),
            Meaning::Constant(value) => Node::Const(*value),
            Meaning::Ambiguous(why) => {
                let fault = Fault::new(span, format!("`{name}` means two things")).label(why);
                return self.fault(fault);
            }
            Meaning::Broken => return None,
        };
        Some((self.push(node, span), kind))
    }

    fn unknown(&self, name: &str, span: Span) -> Fault {
        let what = self.what;
        let fault = Fault::new(span, format!("unknown name `{name}` in the {what}"));
        let known = self.scope.symbols.keys().map(String::as_str);
        let mut label = suggestion(name, known);
        let value_of =
            self.scope.symbols.iter().find(|(_, symbol)| symbol.allowed.iter().any(|v| v == name));
        if let Some((param, _)) = value_of {
            label = format!("a value of `{param}` is written in quotes: '{name}'");
        }
        if function_names().any(|function| function == name) {
            label = format!("a function takes arguments: `{name}(...)`");
        }
        let found = !label.is_empty();
        let fault = fault.label(label);
        if found {
            return fault;
        }
        fault
            .note(format!("parameters: {}", self.known(true)))
            .note(format!("constants: {}", self.known(false)))
            .note("a problem gives constants such as S and D, a device such as SMEM_BYTES")
            .note("to name them by hand: `evo space show FILE --device PROFILE --set S=512`")
    }

    /// The names of all parameters, or of all constants, for people.
    fn known(&self, param: bool) -> String {
        const MOST_LISTED: usize = 24;
        let chosen = self.scope.symbols.iter().filter(|(_, symbol)| symbol.param == param);
        let names: Vec<&str> = chosen.map(|(name, _)| name.as_str()).collect();
        match names.len() {
            0 => "none".to_owned(),
            count if count <= MOST_LISTED => names.join(", "),
            _ => format!("{}, ...", names[..MOST_LISTED].join(", ")),
        }
    }

    /// Requires a truth value.
    fn condition(&mut self, (id, kind): Typed, expr: &Expr) -> Option<NodeId> {
        if kind == Type::Bool {
            return Some(id);
        }
        let fault = Fault::new(expr.span, format!("expected a condition, found {}", kind.words()));
        let fault = match (kind, &expr.kind) {
            (Type::Int, Kind::Ref(name)) => fault.label(format!("write `{name} != 0`")),
            (Type::Name, Kind::Ref(name)) => fault.label(format!("write `{name} == '...'`")),
            _ => fault.label("true or false is needed here"),
        };
        self.faults.push(fault);
        None
    }

    /// Requires a number.
    fn number(&mut self, kind: Type, expr: &Expr, user: &str) -> Option<()> {
        if kind.is_number() {
            return Some(());
        }
        let message = format!("`{user}` needs numbers, found {}", kind.words());
        let fault = Fault::new(expr.span, message);
        self.faults.push(match kind {
            Type::Bool => fault.label("write `if ... then 1 else 0` to count it"),
            _ => fault.label(format!("this is {}", kind.words())),
        });
        None
    }

    /// Brings two numbers to one type.
    fn unify(&mut self, a: Typed, b: Typed) -> (NodeId, NodeId, Type) {
        match (a.1, b.1) {
            (Type::Int, Type::Float) => (self.float(a.0), b.0, Type::Float),
            (Type::Float, Type::Int) => (a.0, self.float(b.0), Type::Float),
            _ => (a.0, b.0, a.1),
        }
    }

    fn float(&mut self, id: NodeId) -> NodeId {
        let span = self.spans[id as usize];
        let node = match self.constant(id) {
            Some(value) => Node::Const(to_float(value)),
            None => Node::ToFloat(id),
        };
        self.push(node, span)
    }

    fn unary(&mut self, function: UnaryFn, id: NodeId, span: Span) -> NodeId {
        let folded = self.constant(id).and_then(|value| unary(function, value).ok());
        self.push(folded.map_or(Node::Unary(function, id), Node::Const), span)
    }

    /// Applies a function of two numbers of one type. Arithmetic that fails is left to the
    /// evaluation, since it may stand in a branch that is never taken.
    fn binary(&mut self, function: BinaryFn, a: NodeId, b: NodeId, span: Span) -> NodeId {
        let folded = self
            .constant(a)
            .zip(self.constant(b))
            .and_then(|(a, b)| binary(function, a, b).ok());
        self.push(folded.map_or(Node::Binary(function, a, b), Node::Const), span)
    }

    fn arithmetic(&mut self, function: BinaryFn, a: Typed, b: Typed, span: Span) -> Typed {
        let (a, b, kind) = self.unify(a, b);
        (self.binary(function, a, b, span), kind)
    }

    fn binary_op(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Option<Typed> {
        let (a, b) = (self.lower(left), self.lower(right));
        let function = match op {
            BinaryOp::And | BinaryOp::Or | BinaryOp::Implies => {
                let a = a.and_then(|a| self.condition(a, left));
                let b = b.and_then(|b| self.condition(b, right));
                return Some((self.logic(op, a?, b?, span), Type::Bool));
            }
            BinaryOp::Add => BinaryFn::Add,
            BinaryOp::Sub => BinaryFn::Sub,
            BinaryOp::Mul => BinaryFn::Mul,
            BinaryOp::Div => BinaryFn::Div,
            BinaryOp::Rem => BinaryFn::Rem,
        };
        let first = a.and_then(|(_, kind)| self.number(kind, left, op.symbol()));
        let second = b.and_then(|(_, kind)| self.number(kind, right, op.symbol()));
        first.and(second)?;
        Some(self.arithmetic(function, a?, b?, span))
    }

    fn logic(&mut self, op: BinaryOp, a: NodeId, b: NodeId, span: Span) -> NodeId {
        let known = match self.constant(a) {
            Some(Scalar::Bool(known)) => Some(known),
            _ => None,
        };
        match (op, known) {
            (BinaryOp::And, Some(true))
            | (BinaryOp::Or, Some(false))
            | (BinaryOp::Implies, Some(true)) => b,
            (BinaryOp::And, Some(false)) | (BinaryOp::Or, Some(true)) => a,
            (BinaryOp::Implies, Some(false)) => self.push(Node::Const(Scalar::Bool(true)), span),
            (BinaryOp::And, None) => self.push(Node::And(a, b), span),
            (BinaryOp::Or, None) => self.push(Node::Or(a, b), span),
            _ => self.push(Node::Implies(a, b), span),
        }
    }

    fn comparison(
        &mut self,
        first: &Expr,
        rest: &[(CompareOp, Expr)],
        span: Span,
    ) -> Option<Typed> {
        let mut left_expr = first;
        let mut left = self.lower(first);
        let mut all: Option<NodeId> = None;
        let mut sound = true;
        for (op, right_expr) in rest {
            let right = self.lower(right_expr);
            let pair = left.zip(right);
            let compared = pair.and_then(|(a, b)| {
                self.pair(*op, (a, left_expr), (b, right_expr), left_expr.span.to(right_expr.span))
            });
            match (all, compared) {
                (Some(before), Some(now)) => {
                    all = Some(self.logic(BinaryOp::And, before, now, span));
                }
                (None, Some(now)) => all = Some(now),
                (_, None) => sound = false,
            }
            (left, left_expr) = (right, right_expr);
        }
        if sound { all.map(|id| (id, Type::Bool)) } else { None }
    }

    /// One comparison of two typed parts.
    fn pair(
        &mut self,
        op: CompareOp,
        (a, a_expr): (Typed, &Expr),
        (b, b_expr): (Typed, &Expr),
        span: Span,
    ) -> Option<NodeId> {
        let symbol = op.symbol();
        if a.1 != b.1 && !(a.1.is_number() && b.1.is_number()) {
            let message = format!("cannot compare {} with {}", a.1.words(), b.1.words());
            let fault = Fault::new(span, message);
            let boolean = [(a.1, a_expr), (b.1, b_expr)].into_iter().find(|p| p.0 == Type::Bool);
            self.faults.push(match boolean {
                Some((_, expr)) => fault.label(format!("write `{expr}` or `not {expr}`")),
                None => fault.label(format!("`{symbol}` needs two values of one type")),
            });
            return None;
        }
        if !a.1.is_number() && !op.is_equality() {
            let fault = Fault::new(span, format!("`{symbol}` has no meaning for {}s", plain(a.1)))
                .label("only `==`, `!=` and `in` apply");
            self.faults.push(fault);
            return None;
        }
        self.possible(a_expr, b_expr)?;
        self.possible(b_expr, a_expr)?;
        let (a, b, _) = self.unify(a, b);
        let folded = self.constant(a).zip(self.constant(b)).map(|(a, b)| compare(op, a, b));
        let compared = self.push(Node::Compare(op, a, b), span);
        let Some(known) = folded else { return Some(compared) };
        let result = self.push(Node::Const(Scalar::Bool(known)), span);
        self.folded.push((result, compared));
        Some(result)
    }

    /// Rejects the comparison of a parameter with a quoted name that it never has.
    fn possible(&mut self, param: &Expr, literal: &Expr) -> Option<()> {
        let (Kind::Ref(param), Kind::Name(name)) = (&param.kind, &literal.kind) else {
            return Some(());
        };
        let allowed = self.scope.symbols.get(param).map_or(&[][..], |symbol| &symbol.allowed);
        if allowed.is_empty() || allowed.contains(name) {
            return Some(());
        }
        let fault = Fault::new(literal.span, format!("`{param}` never has the value '{name}'"))
            .label(suggestion(name, allowed.iter().map(String::as_str)))
            .note(format!("its values: {}", allowed.join(", ")));
        self.faults.push(fault);
        None
    }

    fn membership(&mut self, needle: &Expr, list: &[Expr], span: Span) -> Option<Typed> {
        let value = self.lower(needle);
        let mut any: Option<NodeId> = None;
        let mut sound = value.is_some();
        for item in list {
            let lowered = self.lower(item);
            let pair = value.zip(lowered);
            let equal = pair.and_then(|(value, lowered)| {
                self.pair(CompareOp::Equal, (value, needle), (lowered, item), item.span)
            });
            match (any, equal) {
                (Some(before), Some(now)) => {
                    any = Some(self.logic(BinaryOp::Or, before, now, span));
                }
                (None, Some(now)) => any = Some(now),
                (_, None) => sound = false,
            }
        }
        if sound { any.map(|id| (id, Type::Bool)) } else { None }
    }

    fn choice(&mut self, condition: &Expr, yes: &Expr, no: &Expr, span: Span) -> Option<Typed> {
        let test = self.lower(condition).and_then(|value| self.condition(value, condition));
        let (yes_value, no_value) = (self.lower(yes), self.lower(no));
        let (test, a, b) = (test?, yes_value?, no_value?);
        if a.1 != b.1 && !(a.1.is_number() && b.1.is_number()) {
            let message =
                format!("one branch is {} and the other {}", a.1.words(), b.1.words());
            return self.fault(Fault::new(span, message).label("both need one type"));
        }
        let (a, b, kind) = self.unify(a, b);
        let id = match self.constant(test) {
            Some(known) => if known == Scalar::Bool(true) { a } else { b },
            None => self.push(Node::If(test, a, b), span),
        };
        Some((id, kind))
    }

    fn call(&mut self, name: &str, arguments: &[Expr], span: Span) -> Option<Typed> {
        let lowered: Vec<Option<Typed>> = arguments.iter().map(|a| self.lower(a)).collect();
        let Some((_, arity)) = FUNCTIONS.iter().find(|(function, _)| *function == name) else {
            let known: Vec<&str> = function_names().collect();
            let fault = Fault::new(span, format!("unknown function `{name}`"))
                .label(suggestion(name, known.iter().copied()))
                .note(format!("functions: {}", known.join(", ")));
            return self.fault(fault);
        };
        let fits = match name {
            "min" | "max" => arguments.len() >= 2,
            "ceil_div" => arguments.len() == 2,
            _ => arguments.len() == 1,
        };
        if !fits {
            let message = format!("`{name}` takes {arity}, found {}", arguments.len());
            return self.fault(Fault::new(span, message));
        }
        let mut values = Vec::new();
        for (value, argument) in lowered.into_iter().zip(arguments) {
            let number = value.filter(|(_, kind)| self.number(*kind, argument, name).is_some());
            values.push(number);
        }
        let values: Vec<Typed> = values.into_iter().collect::<Option<_>>()?;
        self.apply(name, arguments, &values, span)
    }

    /// Applies a known function to the right number of numbers.
    fn apply(
        &mut self,
        name: &str,
        arguments: &[Expr],
        values: &[Typed],
        span: Span,
    ) -> Option<Typed> {
        if matches!(name, "ceil_div" | "log2") {
            let float = values.iter().zip(arguments).find(|(value, _)| value.1 == Type::Float);
            if let Some((_, argument)) = float {
                let fault = Fault::new(argument.span, format!("`{name}` needs integers"));
                return self.fault(fault.label("this is a float"));
            }
        }
        let (first, rest) = values.split_first()?;
        let function = match name {
            "abs" => return Some((self.unary(UnaryFn::Abs, first.0, span), first.1)),
            "log2" => return Some((self.unary(UnaryFn::Log2, first.0, span), Type::Int)),
            "min" => BinaryFn::Min,
            "max" => BinaryFn::Max,
            _ => BinaryFn::CeilDiv,
        };
        let folded = rest.iter().fold(*first, |so_far, next| {
            self.arithmetic(function, so_far, *next, span)
        });
        Some(folded)
    }
}

fn plain(kind: Type) -> &'static str {
    match kind {
        Type::Int => "integer",
        Type::Float => "float",
        Type::Bool => "boolean",
        Type::Name => "name",
    }
}
