//! The search space of a recording, in the language of search spaces (RON).

use std::fmt::Write;

use evo_types::Value;

use crate::python::Restriction;
use crate::recording::{Parameter, Recording};

/// The most characters of a space's name.
const LONGEST_NAME: usize = 64;

impl Recording {
    /// The search space as RON. `start` gives the indices of the values that a search begins with;
    /// without it, they are those of the middle of the recorded configurations, so that nothing
    /// hangs on the order in which values were listed.
    pub fn space(&self, start: Option<&[u32]>) -> String {
        let middle = self.rows.get(self.rows.len() / 2);
        let start = start.or(middle.map(|row| row.choices.as_slice()));
        let starts: Vec<Option<u32>> = (0..self.params.len())
            .map(|place| start.and_then(|start| start.get(place)).copied())
            .collect();
        let mut constraints = restrictions(&self.restrictions);
        if !self.exact {
            let pairs = self.pairs().into_iter();
            constraints.extend(pairs.map(|expr| (expr, "never recorded together".to_owned())));
        }
        write(
            &self.name,
            &self.about(),
            &self.params,
            &starts,
            constraints,
        )
    }

    fn about(&self) -> String {
        let count = self.rows.len();
        match self.device.as_str() {
            "" => format!("{count} recorded configurations"),
            device => format!("{count} configurations recorded on {device}"),
        }
    }
}

/// Constraints with their reasons, of which the original is one where it reads differently.
pub(crate) fn restrictions(restrictions: &[Restriction]) -> Vec<(String, String)> {
    let pair = |restriction: &Restriction| {
        let Restriction {
            translated,
            original,
        } = restriction;
        let reason = match translated == original {
            true => String::new(),
            false => format!("recorded as: {original}"),
        };
        (translated.clone(), reason)
    };
    restrictions.iter().map(pair).collect()
}

/// A space as RON: parameters with the indices of their defaults, constraints with reasons.
pub(crate) fn write(
    title: &str,
    doc: &str,
    params: &[Parameter],
    starts: &[Option<u32>],
    constraints: Vec<(String, String)>,
) -> String {
    let mut text = format!(
        "(\n    name: {},\n    doc: {},\n    params: [\n",
        quoted(&name(title)),
        quoted(doc)
    );
    for (place, param) in params.iter().enumerate() {
        let start = starts.get(place).copied().flatten();
        text += &parameter(param, start.unwrap_or(0));
    }
    text += "    ],\n    constraints: [\n";
    for (expr, reason) in constraints {
        let reason = match reason.as_str() {
            "" => String::new(),
            reason => format!(", reason: {}", quoted(reason)),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "        (expr: {}{reason}),", quoted(&expr));
    }
    text + "    ],\n)\n"
}

fn parameter(param: &Parameter, start: u32) -> String {
    let values: Vec<String> = param.values.iter().map(literal).collect();
    let default = values.get(start as usize).or(values.first());
    format!(
        "        (name: {}, values: [{}], default: {}),\n",
        quoted(&param.name),
        values.join(", "),
        default.map_or("", String::as_str)
    )
}

/// A value as RON and the constraints write it.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Name(name) => quoted(name),
        other => other.to_string(),
    }
}

/// A text in quotes. Debug formatting escapes quotes and backslashes as RON reads them.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A name of the allowed letters.
fn name(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let name: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .take(LONGEST_NAME)
        .collect();
    if name.is_empty() {
        "recorded".to_owned()
    } else {
        name
    }
}
