//! What can be said of a recorded set without restrictions: which values of two parameters were
//! never recorded together. Every recorded configuration keeps these constraints; they admit
//! others too, which are refused when they are looked up.

use std::collections::BTreeSet;

use crate::recording::{Parameter, Recording};
use crate::space::literal;

/// The most constraints that are written: the language admits 512.
const MOST: usize = 480;

/// The most parts of one constraint: the language admits 500.
const MOST_PARTS: usize = 480;

impl Recording {
    /// Constraints over pairs of parameters, those that exclude most first where there are too many.
    pub(crate) fn pairs(&self) -> Vec<String> {
        let free: Vec<usize> = (0..self.params.len())
            .filter(|place| self.params[*place].values.len() > 1)
            .collect();
        let mut found: Vec<(usize, String)> = Vec::new();
        for (nth, &a) in free.iter().enumerate() {
            for &b in free.iter().skip(nth + 1) {
                let together: BTreeSet<(u32, u32)> = self
                    .rows
                    .iter()
                    .filter_map(|row| Some((*row.choices.get(a)?, *row.choices.get(b)?)))
                    .collect();
                found.extend(excluded(&self.params[a], &self.params[b], &together));
            }
        }
        found.sort_by_key(|(excluded, _)| std::cmp::Reverse(*excluded));
        found.truncate(MOST);
        found.into_iter().map(|(_, text)| text).collect()
    }
}

/// The constraints of one pair, each with the number of pairs of values that it excludes.
fn excluded(a: &Parameter, b: &Parameter, together: &BTreeSet<(u32, u32)>) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut parts = MOST_PARTS;
    for (x, value) in (0u32..).zip(&a.values) {
        let list: Vec<String> = (0u32..)
            .zip(&b.values)
            .filter(|(y, _)| together.contains(&(x, *y)))
            .map(|(_, value)| word(value))
            .collect();
        let missing = b.values.len() - list.len();
        if missing == 0 {
            continue;
        }
        let one = match list.len() {
            0 => format!("{} != {}", a.name, word(value)),
            n if n + 6 > MOST_PARTS => continue,
            _ => format!(
                "({} != {} or {} in [{}])",
                a.name,
                word(value),
                b.name,
                list.join(", ")
            ),
        };
        parts += 2 * list.len() + 8;
        match found.last_mut() {
            Some((excluded, text)) if parts <= MOST_PARTS => {
                *excluded += missing;
                *text += " and ";
                *text += &one;
            }
            _ => {
                parts = 2 * list.len() + 8;
                found.push((missing, one));
            }
        }
    }
    found
}

/// A value in an expression: names have single quotes there.
fn word(value: &evo_types::Value) -> String {
    match value {
        evo_types::Value::Name(name) => format!("'{name}'"),
        other => literal(other),
    }
}
