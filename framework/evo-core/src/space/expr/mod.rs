//! The expression language of conditions and constraints.
//!
//! A text is parsed into an [`ast::Expr`], checked against the names in scope and lowered to
//! [`code::Code`], which evaluates on value indices without allocating.

pub(super) mod ast;
pub(super) mod code;
pub(super) mod functions;
pub(super) mod lower;
pub(super) mod machine;
pub(super) mod names;
pub(super) mod parse;
mod token;

#[cfg(test)]
mod tests;
