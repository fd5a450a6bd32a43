//! Expressions as written, and their printing.

use std::fmt;

use crate::space::diagnostic::Span;

/// A part of an expression with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::space) struct Expr {
    pub(in crate::space) kind: Kind,
    pub(in crate::space) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::space) enum Kind {
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A name in quotes.
    Name(String),
    /// A parameter or constant.
    Ref(String),
    Neg(Box<Expr>),
    Not(Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a < b <= c`: every neighbouring pair must compare.
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    /// `x in [a, b]`.
    In(Box<Expr>, Vec<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::space) enum BinaryOp {
    Implies,
    Or,
    And,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::space) enum CompareOp {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

/// How tightly operators bind, loosest first.
pub(super) mod level {
    pub(in crate::space::expr) const ANY: u8 = 0;
    pub(in crate::space::expr) const IMPLIES: u8 = 1;
    pub(in crate::space::expr) const OR: u8 = 2;
    pub(in crate::space::expr) const AND: u8 = 3;
    pub(in crate::space::expr) const NOT: u8 = 4;
    pub(in crate::space::expr) const COMPARE: u8 = 5;
    pub(in crate::space::expr) const ADD: u8 = 6;
    pub(in crate::space::expr) const MULTIPLY: u8 = 7;
    pub(in crate::space::expr) const SIGN: u8 = 8;
}

impl BinaryOp {
    pub(super) fn level(self) -> u8 {
        match self {
            Self::Implies => level::IMPLIES,
            Self::Or => level::OR,
            Self::And => level::AND,
            Self::Add | Self::Sub => level::ADD,
            Self::Mul | Self::Div | Self::Rem => level::MULTIPLY,
        }
    }

    pub(in crate::space) fn symbol(self) -> &'static str {
        match self {
            Self::Implies => "->",
            Self::Or => "or",
            Self::And => "and",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
        }
    }
}

impl CompareOp {
    pub(in crate::space) fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    pub(in crate::space) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

impl Expr {
    /// How tightly the outermost operator binds.
    fn level(&self) -> u8 {
        match &self.kind {
            Kind::If(..) => level::ANY,
            Kind::Binary(op, ..) => op.level(),
            Kind::Not(_) => level::NOT,
            Kind::Compare(..) | Kind::In(..) => level::COMPARE,
            Kind::Neg(_) => level::SIGN,
            _ => level::SIGN + 1,
        }
    }

    /// Writes the expression, in parentheses where it binds less tightly than required.
    fn write(&self, out: &mut fmt::Formatter<'_>, required: u8) -> fmt::Result {
        if self.level() < required {
            out.write_str("(")?;
            self.write_bare(out)?;
            return out.write_str(")");
        }
        self.write_bare(out)
    }

    fn write_bare(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Int(value) => write!(out, "{value}"),
            Kind::Float(value) => write!(out, "{value:?}"),
            Kind::Bool(value) => write!(out, "{value}"),
            // A name cannot hold both kinds of quotes.
            Kind::Name(name) if name.contains('\'') => write!(out, "\"{name}\""),
            Kind::Name(name) => write!(out, "'{name}'"),
            Kind::Ref(name) => out.write_str(name),
            Kind::Neg(inner) => {
                out.write_str("-")?;
                inner.write(out, level::SIGN)
            }
            Kind::Not(inner) => {
                out.write_str("not ")?;
                inner.write(out, level::NOT)
            }
            Kind::Binary(op, left, right) => {
                // Only implication groups to the right.
                let to_right = u8::from(*op == BinaryOp::Implies);
                left.write(out, op.level() + to_right)?;
                write!(out, " {} ", op.symbol())?;
                right.write(out, op.level() + 1 - to_right)
            }
            Kind::Compare(first, rest) => {
                first.write(out, level::ADD)?;
                rest.iter().try_for_each(|(op, operand)| {
                    write!(out, " {} ", op.symbol())?;
                    operand.write(out, level::ADD)
                })
            }
            Kind::In(needle, list) => {
                needle.write(out, level::ADD)?;
                out.write_str(" in [")?;
                write_list(out, list)?;
                out.write_str("]")
            }
            Kind::If(condition, yes, no) => {
                out.write_str("if ")?;
                condition.write(out, level::ANY)?;
                out.write_str(" then ")?;
                yes.write(out, level::ANY)?;
                out.write_str(" else ")?;
                no.write(out, level::ANY)
            }
            Kind::Call(name, arguments) => {
                write!(out, "{name}(")?;
                write_list(out, arguments)?;
                out.write_str(")")
            }
        }
    }
}

fn write_list(out: &mut fmt::Formatter<'_>, list: &[Expr]) -> fmt::Result {
    list.iter().enumerate().try_for_each(|(index, item)| {
        out.write_str(if index > 0 { ", " } else { "" })?;
        item.write(out, level::ANY)
    })
}

impl fmt::Display for Expr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, level::ANY)
    }
}
