//! Writing a Python expression in the language of constraints.

use evo_types::Value;

use super::parse::{Expr, Kind};
use super::{Kinds, PythonError};

/// The types of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    Float,
    Bool,
    Name,
}

/// How tightly the outermost operator of a written text binds, as the language has it.
mod level {
    pub(super) const IF: u8 = 0;
    pub(super) const OR: u8 = 2;
    pub(super) const AND: u8 = 3;
    pub(super) const NOT: u8 = 4;
    pub(super) const COMPARE: u8 = 5;
    pub(super) const ADD: u8 = 6;
    pub(super) const MULTIPLY: u8 = 7;
    pub(super) const SIGN: u8 = 8;
    pub(super) const ATOM: u8 = 9;
}

/// The greatest exponent of a power, which is written as a product.
const MOST_FACTORS: i64 = 8;

/// A part that has been written.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    level: u8,
    kind: Type,
    /// A number that is never below zero.
    natural: bool,
}

type Result<T> = std::result::Result<T, PythonError>;

impl Written {
    fn new(text: impl Into<String>, level: u8, kind: Type, natural: bool) -> Self {
        Self {
            text: text.into(),
            level,
            kind,
            natural,
        }
    }

    /// The text as an operand of something that binds at a level.
    fn within(&self, level: u8) -> String {
        if self.level >= level {
            self.text.clone()
        } else {
            format!("({})", self.text)
        }
    }

    /// What Python makes of the value where a condition is wanted.
    fn condition(self) -> Self {
        let text = match self.kind {
            Type::Bool => return self,
            Type::Int => format!("{} != 0", self.within(level::ADD)),
            Type::Float => format!("{} != 0.0", self.within(level::ADD)),
            // An empty name cannot be a value.
            Type::Name => "true".to_owned(),
        };
        let level = if self.kind == Type::Name {
            level::ATOM
        } else {
            level::COMPARE
        };
        Self::new(text, level, Type::Bool, false)
    }

    /// What Python makes of the value where a number is wanted.
    fn number(self, at: usize) -> Result<Self> {
        match self.kind {
            Type::Int | Type::Float => Ok(self),
            Type::Bool => {
                let text = format!("if {} then 1 else 0", self.within(level::OR));
                Ok(Self::new(text, level::IF, Type::Int, true))
            }
            Type::Name => Err(PythonError::new(at, "a number is needed, this is a name")),
        }
    }
}

/// Writes an expression as a condition.
pub(super) fn condition(expr: &Expr, kinds: &Kinds) -> Result<String> {
    Ok(write(expr, kinds)?.condition().text)
}

fn write(expr: &Expr, kinds: &Kinds) -> Result<Written> {
    let number = |expr: &Expr| write(expr, kinds)?.number(expr.at);
    match &expr.kind {
        Kind::Int(value) => Ok(Written::new(
            value.to_string(),
            level::ATOM,
            Type::Int,
            *value >= 0,
        )),
        Kind::Float(value) => Ok(Written::new(
            format!("{value:?}"),
            level::ATOM,
            Type::Float,
            *value >= 0.0,
        )),
        Kind::Bool(value) => Ok(Written::new(
            value.to_string(),
            level::ATOM,
            Type::Bool,
            false,
        )),
        Kind::Text(text) => Ok(Written::new(
            format!("'{text}'"),
            level::ATOM,
            Type::Name,
            false,
        )),
        Kind::Name(name) => reference(name, expr.at, kinds),
        Kind::Neg(inner) => {
            let inner = number(inner)?;
            let text = format!("-{}", inner.within(level::SIGN + 1));
            Ok(Written::new(text, level::SIGN, inner.kind, false))
        }
        Kind::Not(inner) => {
            let inner = write(inner, kinds)?.condition();
            let text = format!("not {}", inner.within(level::NOT + 1));
            Ok(Written::new(text, level::NOT, Type::Bool, false))
        }
        Kind::Binary(op, left, right) => arithmetic(op, left, right, expr.at, kinds),
        Kind::Logic(word, parts) => logic(word, parts, kinds),
        Kind::Compare(first, rest) => compare(first, rest, kinds),
        Kind::In(needle, list, negated) => membership(needle, list, *negated, expr.at, kinds),
        Kind::If(test, yes, no) => {
            let test = write(test, kinds)?.condition();
            let (yes, no) = alike(write(yes, kinds)?, write(no, kinds)?, expr.at)?;
            let text = format!(
                "if {} then {} else {}",
                test.within(level::OR),
                yes.within(level::OR),
                no.within(level::OR)
            );
            let kind = if no.kind == Type::Float {
                Type::Float
            } else {
                yes.kind
            };
            Ok(Written::new(
                text,
                level::IF,
                kind,
                yes.natural && no.natural,
            ))
        }
        Kind::Call(name, arguments) => call(name, arguments, expr.at, kinds),
    }
}

fn reference(name: &str, at: usize, kinds: &Kinds) -> Result<Written> {
    let values = kinds.get(name).ok_or_else(|| {
        let known: Vec<&str> = kinds.keys().map(String::as_str).collect();
        let message = format!("`{name}` is no parameter ({})", known.join(", "));
        PythonError::new(at, message)
    })?;
    let kind = match values.first() {
        Some(Value::Float(_)) => Type::Float,
        Some(Value::Bool(_)) => Type::Bool,
        Some(Value::Name(_)) => Type::Name,
        Some(Value::Int(_)) | None => Type::Int,
    };
    let natural = values
        .iter()
        .all(|value| value.as_float().is_some_and(|value| value >= 0.0));
    Ok(Written::new(name, level::ATOM, kind, natural))
}

fn arithmetic(op: &str, left: &Expr, right: &Expr, at: usize, kinds: &Kinds) -> Result<Written> {
    if op == "**" {
        return power(left, right, at, kinds);
    }
    let a = write(left, kinds)?.number(left.at)?;
    let b = write(right, kinds)?.number(right.at)?;
    let float = a.kind == Type::Float || b.kind == Type::Float;
    let kind = if float { Type::Float } else { Type::Int };
    let natural = a.natural && b.natural;
    let left_of = |level: u8| format!("{} {op} ", a.within(level));
    Ok(match op {
        "+" | "-" => {
            let text = left_of(level::ADD) + &b.within(level::MULTIPLY);
            Written::new(text, level::ADD, kind, natural && op == "+")
        }
        "*" => {
            let text = left_of(level::MULTIPLY) + &b.within(level::SIGN);
            Written::new(text, level::MULTIPLY, kind, natural)
        }
        "/" => {
            // A quotient of integers is a float in Python.
            let above = if float {
                a.within(level::MULTIPLY)
            } else {
                format!("1.0 * {}", a.within(level::SIGN))
            };
            let text = format!("{above} / {}", b.within(level::SIGN));
            Written::new(text, level::MULTIPLY, Type::Float, natural)
        }
        "%" => remainder(&a, &b, kind),
        _ if float => {
            return Err(PythonError::new(
                at,
                "`//` of floats cannot be translated: there is no rounding down",
            ));
        }
        // Truncation rounds down where nothing is negative.
        _ if natural => {
            let text = format!("{} / {}", a.within(level::MULTIPLY), b.within(level::SIGN));
            Written::new(text, level::MULTIPLY, Type::Int, true)
        }
        _ => {
            let rest = remainder(&a, &b, Type::Int);
            let text = format!(
                "({} - {}) / {}",
                a.within(level::ADD),
                rest.within(level::MULTIPLY),
                b.within(level::SIGN)
            );
            Written::new(text, level::MULTIPLY, Type::Int, false)
        }
    })
}

/// Python's remainder, which has the sign of the right side.
fn remainder(a: &Written, b: &Written, kind: Type) -> Written {
    let (above, below) = (a.within(level::MULTIPLY), b.within(level::SIGN));
    if a.natural && b.natural {
        return Written::new(format!("{above} % {below}"), level::MULTIPLY, kind, true);
    }
    let text = format!("({above} % {below} + {below}) % {below}");
    Written::new(text, level::MULTIPLY, kind, b.natural)
}

fn power(left: &Expr, right: &Expr, at: usize, kinds: &Kinds) -> Result<Written> {
    let base = write(left, kinds)?.number(left.at)?;
    if let (Kind::Int(base), Kind::Int(exponent)) = (&left.kind, &right.kind) {
        let exponent = u32::try_from(*exponent).ok();
        let power = exponent.and_then(|exponent| base.checked_pow(exponent));
        return power
            .map(|power| Written::new(power.to_string(), level::ATOM, Type::Int, power >= 0))
            .ok_or_else(|| PythonError::new(at, "this power does not fit 64 bits"));
    }
    match right.kind {
        Kind::Int(exponent @ 1..=MOST_FACTORS) => {
            let factors: Vec<String> = (0..exponent).map(|_| base.within(level::SIGN)).collect();
            let text = factors.join(" * ");
            let level = if exponent == 1 {
                level::SIGN
            } else {
                level::MULTIPLY
            };
            let natural = base.natural || exponent % 2 == 0;
            Ok(Written::new(text, level, base.kind, natural))
        }
        _ => Err(PythonError::new(
            right.at,
            format!("only an exponent from 1 to {MOST_FACTORS} can be translated"),
        )),
    }
}

fn logic(word: &str, parts: &[Expr], kinds: &Kinds) -> Result<Written> {
    let level = if word == "or" { level::OR } else { level::AND };
    let written = parts
        .iter()
        .map(|part| Ok(write(part, kinds)?.condition().within(level + 1)))
        .collect::<Result<Vec<String>>>()?;
    let text = written.join(&format!(" {word} "));
    Ok(Written::new(text, level, Type::Bool, false))
}

/// Two values that can be compared, or be the branches of a choice.
fn alike(a: Written, b: Written, at: usize) -> Result<(Written, Written)> {
    match (a.kind, b.kind) {
        (x, y) if x == y => Ok((a, b)),
        (Type::Name, _) | (_, Type::Name) => Err(PythonError::new(
            at,
            "a name and a number do not go together",
        )),
        _ => Ok((a.number(at)?, b.number(at)?)),
    }
}

fn compare(first: &Expr, rest: &[(&'static str, Expr)], kinds: &Kinds) -> Result<Written> {
    if let [(op, other)] = rest
        && let Some(never) = never(first, other, kinds).or_else(|| never(other, first, kinds))
        && matches!(*op, "==" | "!=")
    {
        let text = (never == (*op == "!=")).to_string();
        return Ok(Written::new(text, level::ATOM, Type::Bool, false));
    }
    let operands: Vec<&Expr> = std::iter::once(first)
        .chain(rest.iter().map(|(_, expr)| expr))
        .collect();
    let mut written = operands
        .iter()
        .map(|expr| write(expr, kinds))
        .collect::<Result<Vec<Written>>>()?;
    let ordered = rest.iter().any(|(op, _)| !matches!(*op, "==" | "!="));
    let kind = written.first().map(|written| written.kind);
    let one_kind = written.iter().all(|other| Some(other.kind) == kind);
    let names = written.iter().any(|written| written.kind == Type::Name);
    if names && (ordered || !one_kind) {
        return Err(PythonError::new(
            first.at,
            "a name can only be compared with names, by `==` and `!=`",
        ));
    }
    if ordered || !one_kind {
        let numbers = written.into_iter().zip(&operands);
        written = numbers
            .map(|(written, expr)| written.number(expr.at))
            .collect::<Result<_>>()?;
    }
    let mut text = String::new();
    for (place, operand) in written.iter().enumerate() {
        if let Some((op, _)) = place.checked_sub(1).and_then(|before| rest.get(before)) {
            text += &format!(" {op} ");
        }
        text += &operand.within(level::ADD);
    }
    Ok(Written::new(text, level::COMPARE, Type::Bool, false))
}

/// `Some(true)` where a parameter is compared with a name that it never has: the language of
/// constraints takes that for a misspelling, in Python it is simply false.
fn never(param: &Expr, literal: &Expr, kinds: &Kinds) -> Option<bool> {
    let (Kind::Name(param), Kind::Text(text)) = (&param.kind, &literal.kind) else {
        return None;
    };
    let values = kinds.get(param)?;
    values.first()?.as_name()?;
    let has = values
        .iter()
        .any(|value| value.as_name() == Some(text.as_str()));
    (!has).then_some(true)
}

fn membership(
    needle: &Expr,
    list: &[Expr],
    negated: bool,
    at: usize,
    kinds: &Kinds,
) -> Result<Written> {
    let value = write(needle, kinds)?;
    // A truth value is compared as the number that it is in Python.
    let value = match value.kind {
        Type::Bool => value.number(at)?,
        _ => value,
    };
    let mut items = Vec::new();
    for item in list {
        if never(needle, item, kinds).is_some() {
            continue;
        }
        let (_, item) = alike(value.clone(), write(item, kinds)?, at)?;
        items.push(item.within(level::OR));
    }
    if items.is_empty() {
        let text = negated.to_string();
        return Ok(Written::new(text, level::ATOM, Type::Bool, false));
    }
    let word = if negated { "not in" } else { "in" };
    let text = format!("{} {word} [{}]", value.within(level::ADD), items.join(", "));
    Ok(Written::new(text, level::COMPARE, Type::Bool, false))
}

fn call(name: &str, arguments: &[Expr], at: usize, kinds: &Kinds) -> Result<Written> {
    let written = arguments
        .iter()
        .map(|argument| write(argument, kinds)?.number(argument.at))
        .collect::<Result<Vec<Written>>>()?;
    let float = written.iter().any(|argument| argument.kind == Type::Float);
    let kind = if float { Type::Float } else { Type::Int };
    let natural = written.iter().all(|argument| argument.natural);
    let texts: Vec<String> = written.iter().map(|w| w.within(level::OR)).collect();
    let text = format!("{name}({})", texts.join(", "));
    match (name, written.as_slice()) {
        ("min" | "max", [_, _, ..]) => Ok(Written::new(text, level::ATOM, kind, natural)),
        ("abs", [_]) => Ok(Written::new(text, level::ATOM, kind, true)),
        ("int", [argument]) if argument.kind == Type::Int => Ok(argument.clone()),
        _ => Err(PythonError::new(
            at,
            format!(
                "`{name}` with {} arguments cannot be translated; what can be: `min` and `max` of \
                 two or more numbers, `abs` of one, `int` of an integer",
                arguments.len()
            ),
        )),
    }
}
