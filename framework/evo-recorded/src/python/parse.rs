//! The part of Python's expression grammar that restrictions use.

use evo_types::Value;

use super::PythonError;
use super::token::{Token, tokens};

/// An expression with the place of its first token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Name(String),
    Neg(Box<Expr>),
    Not(Box<Expr>),
    /// `+ - * / // % **`.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `and`, `or`.
    Logic(&'static str, Vec<Expr>),
    /// `a < b <= c`.
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    /// `x in [a, b]`; the flag says `not in`.
    In(Box<Expr>, Vec<Expr>, bool),
    /// Condition, then, else.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
}

/// How deep parentheses and operators may nest: bounds the parser's own stack.
const DEEPEST: usize = 64;

pub(super) fn parse(text: &str) -> Result<Expr, PythonError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    let expr = parser.choice()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

/// The values of a list of literals: numbers, signed or not, texts, `True` and `False`.
pub(super) fn list(text: &str) -> Result<Vec<Value>, PythonError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    let items = parser.list()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected("the end"));
    }
    items.into_iter().map(literal).collect()
}

fn literal(expr: Expr) -> Result<Value, PythonError> {
    let Expr { kind, at } = expr;
    Ok(match kind {
        Kind::Int(value) => Value::Int(value),
        Kind::Float(value) => Value::Float(value),
        Kind::Bool(value) => Value::Bool(value),
        Kind::Text(text) => Value::Name(text),
        Kind::Neg(inner) => match inner.kind {
            // A literal has no sign of its own, so its negative is in range.
            Kind::Int(value) => Value::Int(value.saturating_neg()),
            Kind::Float(value) => Value::Float(-value),
            _ => return Err(PythonError::new(at, "a value must be a literal")),
        },
        _ => return Err(PythonError::new(at, "a value must be a literal")),
    })
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

type Parsed = Result<Expr, PythonError>;

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(t, _)| t)
    }

    fn place(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.at.min(last)).map_or(0, |(_, at)| *at)
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        self.at += usize::from(found);
        found
    }

    /// Takes the first of some symbols that is next.
    fn take(&mut self, symbols: &[&'static str]) -> Option<&'static str> {
        let Token::Symbol(next) = *self.peek() else {
            return None;
        };
        let found = symbols.iter().find(|symbol| **symbol == next)?;
        self.advance();
        Some(found)
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), PythonError> {
        match self.take(&[symbol]) {
            Some(_) => Ok(()),
            None => Err(self.unexpected(&format!("`{symbol}`"))),
        }
    }

    fn unexpected(&self, expected: &str) -> PythonError {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Int(value) => format!("`{value}`"),
            Token::Float(value) => format!("`{value:?}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Word(word) => format!("`{word}`"),
            Token::Symbol(symbol) => format!("`{symbol}`"),
        };
        PythonError::new(self.place(), format!("expected {expected}, found {found}"))
    }

    /// `A if C else B`: the loosest, and where everything nested comes through.
    fn choice(&mut self) -> Parsed {
        self.deeper()?;
        let at = self.place();
        let yes = self.or()?;
        let expr = if self.take_word("if") {
            let condition = self.or()?;
            if !self.take_word("else") {
                return Err(self.unexpected("`else`"));
            }
            let no = self.choice()?;
            let kind = Kind::If(Box::new(condition), Box::new(yes), Box::new(no));
            Expr { kind, at }
        } else {
            yes
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn deeper(&mut self) -> Result<(), PythonError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(PythonError::new(self.place(), "it is nested too deeply"));
        }
        Ok(())
    }

    fn or(&mut self) -> Parsed {
        self.logic("or", Self::and)
    }

    fn and(&mut self) -> Parsed {
        self.logic("and", Self::not)
    }

    fn logic(&mut self, word: &'static str, next: fn(&mut Self) -> Parsed) -> Parsed {
        let at = self.place();
        let first = next(self)?;
        let mut all = vec![first];
        while self.take_word(word) {
            all.push(next(self)?);
        }
        Ok(match all.len() {
            1 => all.swap_remove(0),
            _ => Expr {
                kind: Kind::Logic(word, all),
                at,
            },
        })
    }

    fn not(&mut self) -> Parsed {
        let at = self.place();
        if !self.take_word("not") {
            return self.comparison();
        }
        self.deeper()?;
        let inner = self.not()?;
        self.depth -= 1;
        let kind = Kind::Not(Box::new(inner));
        Ok(Expr { kind, at })
    }

    fn comparison(&mut self) -> Parsed {
        let at = self.place();
        let first = self.sum()?;
        if let Some(negated) = self.membership() {
            let list = self.list()?;
            let kind = Kind::In(Box::new(first), list, negated);
            return Ok(Expr { kind, at });
        }
        let mut rest = Vec::new();
        while let Some(op) = self.take(&["<=", ">=", "==", "!=", "<", ">"]) {
            rest.push((op, self.sum()?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            let kind = Kind::Compare(Box::new(first), rest);
            Expr { kind, at }
        })
    }

    /// Takes `in` or `not in`; says whether it is negated.
    fn membership(&mut self) -> Option<bool> {
        if self.take_word("in") {
            return Some(false);
        }
        let next = self.tokens.get(self.at + 1).map(|(token, _)| token);
        let follows = matches!(next, Some(Token::Word(word)) if word == "in");
        (follows && self.take_word("not")).then(|| {
            self.advance();
            true
        })
    }

    /// `[a, b]` or `(a, b)`.
    fn list(&mut self) -> Result<Vec<Expr>, PythonError> {
        let end = match self.take(&["[", "("]) {
            Some("[") => "]",
            Some(_) => ")",
            None => return Err(self.unexpected("a list")),
        };
        let mut items = Vec::new();
        while self.take(&[end]).is_none() {
            items.push(self.choice()?);
            if self.take(&[","]).is_none() {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn sum(&mut self) -> Parsed {
        self.left(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Parsed {
        self.left(&["*", "/", "//", "%"], Self::sign)
    }

    fn left(&mut self, ops: &[&'static str], next: fn(&mut Self) -> Parsed) -> Parsed {
        let at = self.place();
        let mut so_far = next(self)?;
        while let Some(op) = self.take(ops) {
            let right = next(self)?;
            let kind = Kind::Binary(op, Box::new(so_far), Box::new(right));
            so_far = Expr { kind, at };
        }
        Ok(so_far)
    }

    fn sign(&mut self) -> Parsed {
        let at = self.place();
        match self.take(&["-", "+"]) {
            None => self.power(),
            Some(sign) => {
                self.deeper()?;
                let inner = self.sign()?;
                self.depth -= 1;
                Ok(match sign {
                    "-" => Expr {
                        kind: Kind::Neg(Box::new(inner)),
                        at,
                    },
                    _ => inner,
                })
            }
        }
    }

    /// Binds tighter than a sign on its left, looser than one on its right.
    fn power(&mut self) -> Parsed {
        let at = self.place();
        let base = self.atom()?;
        if self.take(&["**"]).is_none() {
            return Ok(base);
        }
        let exponent = self.sign()?;
        let kind = Kind::Binary("**", Box::new(base), Box::new(exponent));
        Ok(Expr { kind, at })
    }

    fn atom(&mut self) -> Parsed {
        let at = self.place();
        let kind = match self.peek().clone() {
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Text(text) => Kind::Text(text),
            Token::Word(word) => return self.word(word, at),
            Token::Symbol("(") => {
                self.advance();
                let inner = self.choice()?;
                self.expect(")")?;
                return Ok(inner);
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.advance();
        Ok(Expr { kind, at })
    }

    fn word(&mut self, word: String, at: usize) -> Parsed {
        if matches!(
            word.as_str(),
            "and" | "or" | "not" | "in" | "if" | "else" | "is" | "None" | "lambda"
        ) {
            return Err(self.unexpected("a value"));
        }
        self.advance();
        let kind = match word.as_str() {
            "True" => Kind::Bool(true),
            "False" => Kind::Bool(false),
            _ if matches!(self.peek(), Token::Symbol("(")) => {
                let arguments = self.list()?;
                Kind::Call(word, arguments)
            }
            _ => Kind::Name(word),
        };
        Ok(Expr { kind, at })
    }
}
