//! Name resolution, type checking and lowering to [`Code`].

use super::ast::{BinaryOp, CompareOp, Expr, Kind};
use super::code::{
    BinaryFn, Code, Node, NodeId, Scalar, UnaryFn, binary, compare, to_float, unary,
};
use super::functions::function_names;
use super::names::{Meaning, Scope, Type};
use crate::space::diagnostic::{Fault, Span, suggestion};

/// Lowers an expression that must be a truth value. Reports every error, not only the first.
pub(in crate::space) fn lower_condition(
    expr: &Expr,
    scope: &mut Scope,
    what: &str,
) -> Result<Code, Vec<Fault>> {
    let mut lowering = Lowering::new(scope, what);
    let root = lowering.lower(expr);
    let root = root.and_then(|value| lowering.condition(value, expr));
    lowering.finish(root)
}

/// Lowers an expression of any type.
pub(in crate::space) fn lower_value(
    expr: &Expr,
    scope: &mut Scope,
    what: &str,
) -> Result<Code, Vec<Fault>> {
    let mut lowering = Lowering::new(scope, what);
    let root = lowering.lower(expr).map(|(root, _)| root);
    lowering.finish(root)
}

/// A lowered part: its node and its type.
pub(super) type Typed = (NodeId, Type);

pub(super) struct Lowering<'a> {
    scope: &'a mut Scope,
    nodes: Vec<Node>,
    spans: Vec<Span>,
    /// Comparisons of constants: the node of the result, and that of the comparison.
    folded: Vec<(NodeId, NodeId)>,
    faults: Vec<Fault>,
    /// "constraint" or "condition", for messages.
    what: &'a str,
}

impl<'a> Lowering<'a> {
    fn new(scope: &'a mut Scope, what: &'a str) -> Self {
        Self {
            scope,
            nodes: Vec::new(),
            spans: Vec::new(),
            folded: Vec::new(),
            faults: Vec::new(),
            what,
        }
    }

    fn finish(self, root: Option<NodeId>) -> Result<Code, Vec<Fault>> {
        match root {
            Some(root) if self.faults.is_empty() => {
                Ok(Code::new(self.nodes, self.spans, self.folded, root))
            }
            _ => Err(self.faults),
        }
    }
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

    pub(super) fn fault(&mut self, fault: Fault) -> Option<Typed> {
        self.faults.push(fault);
        None
    }

    /// Lowers a part; `None` after reporting at least one error in it.
    pub(super) fn lower(&mut self, expr: &Expr) -> Option<Typed> {
        let span = expr.span;
        match &expr.kind {
            Kind::Int(value) => {
                Some((self.push(Node::Const(Scalar::Int(*value)), span), Type::Int))
            }
            Kind::Float(value) => Some((
                self.push(Node::Const(Scalar::Float(*value)), span),
                Type::Float,
            )),
            Kind::Bool(value) => Some((
                self.push(Node::Const(Scalar::Bool(*value)), span),
                Type::Bool,
            )),
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
        let value_of = self
            .scope
            .symbols
            .iter()
            .find(|(_, symbol)| symbol.allowed.iter().any(|v| v == name));
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
            .note(format!(
                "to look without them: `evo space show FILE --device PROFILE --set {name}=VALUE`"
            ))
    }

    /// The names of all parameters, or of all constants, for people.
    fn known(&self, param: bool) -> String {
        const MOST_LISTED: usize = 24;
        let chosen = self
            .scope
            .symbols
            .iter()
            .filter(|(_, symbol)| symbol.param == param);
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
        let fault = Fault::new(
            expr.span,
            format!("expected a condition, found {}", kind.words()),
        );
        let fault = match (kind, &expr.kind) {
            (Type::Int, Kind::Ref(name)) => fault.label(format!("write `{name} != 0`")),
            (Type::Name, Kind::Ref(name)) => fault.label(format!("write `{name} == '...'`")),
            _ => fault.label("true or false is needed here"),
        };
        self.faults.push(fault);
        None
    }

    /// Requires a number.
    pub(super) fn number(&mut self, kind: Type, expr: &Expr, user: &str) -> Option<()> {
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

    pub(super) fn unary(&mut self, function: UnaryFn, id: NodeId, span: Span) -> NodeId {
        let folded = self
            .constant(id)
            .and_then(|value| unary(function, value).ok());
        self.push(folded.map_or(Node::Unary(function, id), Node::Const), span)
    }

    /// Applies a function of two numbers of one type. Arithmetic that fails is left to the
    /// evaluation, since it may stand in a branch that is never taken.
    fn binary(&mut self, function: BinaryFn, a: NodeId, b: NodeId, span: Span) -> NodeId {
        let folded = self
            .constant(a)
            .zip(self.constant(b))
            .and_then(|(a, b)| binary(function, a, b).ok());
        self.push(
            folded.map_or(Node::Binary(function, a, b), Node::Const),
            span,
        )
    }

    pub(super) fn arithmetic(
        &mut self,
        function: BinaryFn,
        a: Typed,
        b: Typed,
        span: Span,
    ) -> Typed {
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
                self.pair(
                    *op,
                    (a, left_expr),
                    (b, right_expr),
                    left_expr.span.to(right_expr.span),
                )
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
        if sound {
            all.map(|id| (id, Type::Bool))
        } else {
            None
        }
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
            let boolean = [(a.1, a_expr), (b.1, b_expr)]
                .into_iter()
                .find(|p| p.0 == Type::Bool);
            self.faults.push(match boolean {
                Some((_, expr)) => fault.label(format!("write `{expr}` or `not {expr}`")),
                None => fault.label(format!("`{symbol}` needs two values of one type")),
            });
            return None;
        }
        if !a.1.is_number() && !op.is_equality() {
            let fault = Fault::new(
                span,
                format!("`{symbol}` has no meaning for {}s", a.1.plain()),
            )
            .label("only `==`, `!=` and `in` apply");
            self.faults.push(fault);
            return None;
        }
        self.possible(a_expr, b_expr)?;
        self.possible(b_expr, a_expr)?;
        let (a, b, _) = self.unify(a, b);
        let folded = self
            .constant(a)
            .zip(self.constant(b))
            .map(|(a, b)| compare(op, a, b));
        let compared = self.push(Node::Compare(op, a, b), span);
        let Some(known) = folded else {
            return Some(compared);
        };
        let result = self.push(Node::Const(Scalar::Bool(known)), span);
        self.folded.push((result, compared));
        Some(result)
    }

    /// Rejects the comparison of a parameter with a quoted name that it never has.
    fn possible(&mut self, param: &Expr, literal: &Expr) -> Option<()> {
        let (Kind::Ref(param), Kind::Name(name)) = (&param.kind, &literal.kind) else {
            return Some(());
        };
        let allowed = self
            .scope
            .symbols
            .get(param)
            .map_or(&[][..], |symbol| &symbol.allowed);
        if allowed.is_empty() || allowed.contains(name) {
            return Some(());
        }
        let fault = Fault::new(
            literal.span,
            format!("`{param}` never has the value '{name}'"),
        )
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
                self.pair(
                    CompareOp::Equal,
                    (value, needle),
                    (lowered, item),
                    item.span,
                )
            });
            match (any, equal) {
                (Some(before), Some(now)) => {
                    any = Some(self.logic(BinaryOp::Or, before, now, span));
                }
                (None, Some(now)) => any = Some(now),
                (_, None) => sound = false,
            }
        }
        if sound {
            any.map(|id| (id, Type::Bool))
        } else {
            None
        }
    }

    fn choice(&mut self, condition: &Expr, yes: &Expr, no: &Expr, span: Span) -> Option<Typed> {
        let test = self
            .lower(condition)
            .and_then(|value| self.condition(value, condition));
        let (yes_value, no_value) = (self.lower(yes), self.lower(no));
        let (test, a, b) = (test?, yes_value?, no_value?);
        if a.1 != b.1 && !(a.1.is_number() && b.1.is_number()) {
            let message = format!(
                "one branch is {} and the other {}",
                a.1.words(),
                b.1.words()
            );
            return self.fault(Fault::new(span, message).label("both need one type"));
        }
        let (a, b, kind) = self.unify(a, b);
        let id = match self.constant(test) {
            Some(known) => {
                if known == Scalar::Bool(true) {
                    a
                } else {
                    b
                }
            }
            None => self.push(Node::If(test, a, b), span),
        };
        Some((id, kind))
    }
}
