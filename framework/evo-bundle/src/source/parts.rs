//! Parts of a description that have more than one form.

use serde::{Deserialize, Deserializer};

use super::expr::Expr;
use super::{Argument, ArgumentList, Flag, Problem};
use crate::document::{Piece, Text};

/// The long form of a flag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Flag")]
struct Conditional {
    flag: Text,
    when: Expr,
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let piece = Piece::deserialize(deserializer)?;
        if piece.is_text() {
            let text = piece.read()?;
            return Ok(Self { text, when: None });
        }
        let conditional: Conditional = piece.read()?;
        Ok(Self {
            text: conditional.flag,
            when: Some(conditional.when),
        })
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let piece = Piece::deserialize(deserializer)?;
        if piece.is_text() {
            return Ok(Self::Named(piece.read()?));
        }
        Ok(Self::Own(piece.read()?))
    }
}

impl<'de> Deserialize<'de> for ArgumentList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pieces: Vec<Piece<'de>> = Vec::deserialize(deserializer)?;
        let read = |piece: Piece<'de>| -> Result<(Argument, usize), D::Error> {
            Ok((piece.read()?, piece.start()))
        };
        Ok(Self(
            pieces.into_iter().map(read).collect::<Result<_, _>>()?,
        ))
    }
}
