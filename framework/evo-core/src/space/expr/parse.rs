//! The expression grammar, by precedence climbing.

use super::ast::{BinaryOp, CompareOp, Expr, Kind, level};
use super::token::{Token, tokens};
use crate::space::diagnostic::{Fault, Span};

/// Words with a meaning of their own, which no parameter or constant may have as its name.
pub(in crate::space) const KEYWORDS: [&str; 9] = [
    "and", "or", "not", "in", "if", "then", "else", "true", "false",
];

/// How deep parentheses and operators may nest: bounds the parser's own stack.
const DEEPEST: usize = 64;

/// How many parts an expression may have: bounds the stack of everything that walks it.
const MOST_PARTS: usize = 500;

/// Parses a whole expression. Positions are bytes of `text`.
pub(in crate::space) fn parse(text: &str) -> Result<Expr, Fault> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        parts: 0,
    };
    if *parser.peek() == Token::End {
        return Err(Fault::new(
            Span::new(0, text.len()),
            "the expression is empty",
        ));
    }
    let expr = parser.expression(level::ANY)?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

/// The names of parameters and constants in an expression, with repetitions.
pub(in crate::space) fn references(text: &str) -> Vec<String> {
    let words = tokens(text).unwrap_or_default().into_iter();
    let names = words.filter_map(|(token, _)| match token {
        Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => Some(word),
        _ => None,
    });
    names.collect()
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
    parts: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.at)
            .map_or(&Token::End, |(token, _)| token)
    }

    /// The place of the next token.
    fn span(&self) -> Span {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.at.min(last))
            .map_or(Span::new(0, 0), |(_, span)| *span)
    }

    /// The place of the token before.
    fn last_span(&self) -> Span {
        let before = self.at.saturating_sub(1);
        self.tokens
            .get(before)
            .map_or(Span::new(0, 0), |(_, span)| *span)
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len().saturating_sub(1));
    }

    fn at_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found == word)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take_symbol(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Fault> {
        if self.at_word(word) {
            self.advance();
            return Ok(());
        }
        Err(self.unexpected(&format!("`{word}`")))
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let found = match self.peek() {
            Token::End => "the end of the expression".to_owned(),
            Token::Int(value) => format!("`{value}`"),
            Token::Float(value) => format!("`{value:?}`"),
            Token::Quoted(name) => format!("the name '{name}'"),
            Token::Word(word) => format!("`{word}`"),
            Token::Symbol("=") => {
                return Fault::new(self.span(), "`=` does not compare").label("write `==`");
            }
            Token::Symbol(symbol) => format!("`{symbol}`"),
        };
        Fault::new(self.span(), format!("expected {expected}, found {found}"))
    }

    fn part(&mut self, kind: Kind, span: Span) -> Result<Expr, Fault> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(
                Fault::new(span, format!("the expression has over {MOST_PARTS} parts"))
                    .label("split it into several constraints"),
            );
        }
        Ok(Expr { kind, span })
    }

    /// An expression whose operators bind at least as tightly as `loosest`.
    fn expression(&mut self, loosest: u8) -> Result<Expr, Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Fault::new(
                self.span(),
                format!("nested more than {DEEPEST} levels deep"),
            )
            .label("split it into several constraints"));
        }
        let mut left = self.operand(loosest)?;
        while let Some(operator) = self.operator(loosest) {
            left = match operator {
                Operator::Binary(op) => self.binary(left, op)?,
                Operator::Compare => self.comparison(left)?,
                Operator::In { negated } => self.membership(left, negated)?,
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator that comes next, if it binds tightly enough. Consumes nothing.
    fn operator(&self, loosest: u8) -> Option<Operator> {
        let operator = match self.peek() {
            Token::Word(word) => match word.as_str() {
                "and" => Operator::Binary(BinaryOp::And),
                "or" => Operator::Binary(BinaryOp::Or),
                "in" => Operator::In { negated: false },
                "not" => Operator::In { negated: true },
                _ => return None,
            },
            Token::Symbol(symbol) => match *symbol {
                "->" => Operator::Binary(BinaryOp::Implies),
                "||" => Operator::Binary(BinaryOp::Or),
                "&&" => Operator::Binary(BinaryOp::And),
                "+" => Operator::Binary(BinaryOp::Add),
                "-" => Operator::Binary(BinaryOp::Sub),
                "*" => Operator::Binary(BinaryOp::Mul),
                "/" => Operator::Binary(BinaryOp::Div),
                "%" => Operator::Binary(BinaryOp::Rem),
                other => {
                    compare_op(other)?;
                    Operator::Compare
                }
            },
            _ => return None,
        };
        let level = match operator {
            Operator::Binary(op) => op.level(),
            Operator::Compare | Operator::In { .. } => level::COMPARE,
        };
        (level >= loosest).then_some(operator)
    }

    fn binary(&mut self, left: Expr, op: BinaryOp) -> Result<Expr, Fault> {
        self.advance();
        let tightness = op.level() + u8::from(op != BinaryOp::Implies);
        let right = self.expression(tightness)?;
        let span = left.span.to(right.span);
        self.part(Kind::Binary(op, Box::new(left), Box::new(right)), span)
    }

    fn comparison(&mut self, first: Expr) -> Result<Expr, Fault> {
        let mut rest = Vec::new();
        let mut span = first.span;
        while let Token::Symbol(symbol) = self.peek() {
            let Some(op) = compare_op(symbol) else { break };
            self.advance();
            let operand = self.expression(level::ADD)?;
            span = span.to(operand.span);
            rest.push((op, operand));
        }
        self.part(Kind::Compare(Box::new(first), rest), span)
    }

    fn membership(&mut self, needle: Expr, negated: bool) -> Result<Expr, Fault> {
        self.advance();
        if negated {
            self.expect_word("in")?;
        }
        self.expect_symbol("[")?;
        let list = self.list("]")?;
        let span = needle.span.to(self.last_span());
        if list.is_empty() {
            return Err(Fault::new(span, "the list after `in` is empty"));
        }
        let found = self.part(Kind::In(Box::new(needle), list), span)?;
        if negated {
            self.part(Kind::Not(Box::new(found)), span)
        } else {
            Ok(found)
        }
    }

    /// Expressions up to the closing symbol, which is consumed.
    fn list(&mut self, close: &'static str) -> Result<Vec<Expr>, Fault> {
        let mut items = Vec::new();
        while !self.take_symbol(close) {
            items.push(self.expression(level::ANY)?);
            if !self.take_symbol(",") {
                self.expect_symbol(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn operand(&mut self, loosest: u8) -> Result<Expr, Fault> {
        let start = self.span();
        let kind = match self.peek().clone() {
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Quoted(name) => Kind::Name(name),
            Token::Word(word) => return self.word(&word, loosest),
            Token::Symbol("(") => {
                self.advance();
                let inner = self.expression(level::ANY)?;
                self.expect_symbol(")")?;
                return Ok(Expr {
                    kind: inner.kind,
                    span: start.to(self.last_span()),
                });
            }
            Token::Symbol("-") => {
                self.advance();
                let inner = self.expression(level::SIGN)?;
                let span = start.to(inner.span);
                return self.part(Kind::Neg(Box::new(inner)), span);
            }
            Token::Symbol("!") => {
                self.advance();
                let inner = self.expression(level::SIGN)?;
                let span = start.to(inner.span);
                return self.part(Kind::Not(Box::new(inner)), span);
            }
            Token::Symbol(_) | Token::End => {
                return Err(self.unexpected("a number, a name or `(`"));
            }
        };
        self.advance();
        self.part(kind, start)
    }

    fn word(&mut self, word: &str, loosest: u8) -> Result<Expr, Fault> {
        let start = self.span();
        match word {
            "true" | "false" => {
                self.advance();
                self.part(Kind::Bool(word == "true"), start)
            }
            "not" if loosest <= level::NOT => {
                self.advance();
                let inner = self.expression(level::NOT)?;
                let span = start.to(inner.span);
                self.part(Kind::Not(Box::new(inner)), span)
            }
            "not" => Err(
                Fault::new(start, "`not` binds less tightly than what is before it")
                    .label("put `not ...` in parentheses"),
            ),
            "if" => {
                self.advance();
                let condition = self.expression(level::ANY)?;
                self.expect_word("then")?;
                let yes = self.expression(level::ANY)?;
                self.expect_word("else")?;
                let no = self.expression(level::ANY)?;
                let span = start.to(no.span);
                self.part(
                    Kind::If(Box::new(condition), Box::new(yes), Box::new(no)),
                    span,
                )
            }
            keyword if KEYWORDS.contains(&keyword) => {
                Err(self.unexpected("a number, a name or `(`"))
            }
            _ => {
                self.advance();
                if !self.take_symbol("(") {
                    return self.part(Kind::Ref(word.to_owned()), start);
                }
                let arguments = self.list(")")?;
                let span = start.to(self.last_span());
                self.part(Kind::Call(word.to_owned(), arguments), span)
            }
        }
    }
}

enum Operator {
    Binary(BinaryOp),
    Compare,
    In { negated: bool },
}

fn compare_op(symbol: &str) -> Option<CompareOp> {
    Some(match symbol {
        "<" => CompareOp::Less,
        "<=" => CompareOp::LessEqual,
        ">" => CompareOp::Greater,
        ">=" => CompareOp::GreaterEqual,
        "==" => CompareOp::Equal,
        "!=" => CompareOp::NotEqual,
        _ => return None,
    })
}
