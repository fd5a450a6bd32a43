//! Recordings that an earlier export wrote, to put more trials to them.

use std::collections::BTreeMap;

use evo_journal::{Plan, PlannedCandidate};
use evo_types::{OutcomeKind, Params, Value};
use serde::Deserialize;

use super::{Axes, Entry, FORMAT, described_work};
use crate::model::RunModel;

/// What of a recording is read again.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Earlier {
    format: String,
    id: String,
    device: Option<String>,
    problem: Option<String>,
    #[serde(default)]
    pub(super) runs: Vec<String>,
    params: Vec<Axis>,
    config: Vec<u64>,
    time: Vec<Option<f64>>,
    status: Vec<u8>,
    rel_std: Vec<Option<f64>>,
    verify: Vec<Option<f64>>,
    bench: Vec<Option<f64>>,
    framework: Vec<Option<f64>>,
    extra_columns: Vec<String>,
    origin: Origin,
    /// The extra columns, among what is not read.
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Axis {
    name: String,
    values: Vec<Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Origin {
    space: Option<String>,
    pinned: Option<Params>,
    #[serde(default)]
    rules: BTreeMap<String, String>,
    #[serde(default)]
    figures: BTreeMap<String, BTreeMap<String, Vec<Option<f64>>>>,
}

/// What a text in RON says: its words and signs, without comments and layout.
fn said(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    // Whether what comes next belongs to the word before it.
    let mut joined = false;
    while let Some(first) = rest.chars().next() {
        let part = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if first == '"' {
            end_of_string(rest)
        } else {
            first.len_utf8()
        };
        let (here, after) = rest.split_at(part);
        rest = after;
        let comment = part > 1 && first == '/';
        let letter = first.is_alphanumeric() || first == '_';
        if comment || first.is_whitespace() {
            joined = false;
            continue;
        }
        match words.last_mut() {
            Some(word) if joined && letter => word.push_str(here),
            _ => words.push(here.to_owned()),
        }
        joined = letter;
    }
    words
}

/// Bytes of the string that a text begins with, quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return at + 1,
            letter => escaped = letter == '\\' && !escaped,
        }
    }
    text.len()
}

impl Earlier {
    /// Reads a recording.
    ///
    /// # Errors
    /// In words: what it lacks.
    pub(super) fn of(document: &serde_json::Value) -> Result<Self, String> {
        let found = Self::deserialize(document)
            .map_err(|error| format!("no recording that `evo export` wrote: {error}"))?;
        if found.format != FORMAT {
            return Err(format!("the format is `{}`, not {FORMAT}", found.format));
        }
        let rows = found.config.len();
        let columns = [
            found.time.len(),
            found.status.len(),
            found.rel_std.len(),
            found.verify.len(),
            found.bench.len(),
            found.framework.len(),
        ];
        if columns.iter().any(|length| *length != rows) {
            return Err(format!("a column has not {rows} rows, as `config` has"));
        }
        if found.params.iter().any(|axis| axis.values.is_empty()) {
            return Err("a parameter has no value".to_owned());
        }
        Ok(found)
    }

    /// Whether its times can stand beside a run's.
    pub(super) fn compare(&self, model: &RunModel, label: &str) -> Result<(), String> {
        let plan: &Plan = &model.plan;
        let planned: Option<&PlannedCandidate> =
            plan.candidates.iter().find(|it| it.label == label);
        let shown = |pinned: Option<&Params>| pinned.map(evo_types::format_params);
        let pairs = [
            (
                "what is solved",
                self.problem.clone(),
                Some(described_work(model)),
            ),
            (
                "the candidate",
                Some(self.id.clone()),
                Some(label.to_owned()),
            ),
            (
                "the device",
                self.device.clone(),
                Some(plan.device.name.clone()),
            ),
            (
                "what is pinned",
                shown(self.origin.pinned.as_ref()),
                shown(planned.map(|it| &it.pinned)),
            ),
        ];
        let word = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        if let Some((what, here, there)) = pairs.into_iter().find(|(_, a, b)| a != b) {
            return Err(format!(
                "{what} differs: {} in it, {} in the run; times of one recording have to be comparable",
                word(here),
                word(there)
            ));
        }
        let here = said(self.origin.space.as_deref().unwrap_or_default());
        let there = said(
            planned
                .and_then(|it| it.space.as_deref())
                .unwrap_or_default(),
        );
        match here.iter().zip(&there).position(|(a, b)| a != b) {
            None if here.len() == there.len() => Ok(()),
            place => {
                let from = place.unwrap_or_else(|| here.len().min(there.len()));
                let shown = |words: &[String]| match words.get(from..) {
                    Some([]) | None => "its end".to_owned(),
                    Some(rest) => {
                        let first: Vec<&str> = rest.iter().take(8).map(String::as_str).collect();
                        format!("`{}`", first.join(" "))
                    }
                };
                Err(format!(
                    "its space is not the run's: the first difference is {} in it and {} in the run",
                    shown(&here),
                    shown(&there)
                ))
            }
        }
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = (&String, &String)> {
        self.origin.rules.iter()
    }

    /// The values of every parameter.
    pub(super) fn axes(&self) -> Axes {
        let axes = self.params.iter();
        axes.map(|axis| (axis.name.clone(), axis.values.clone()))
            .collect()
    }

    /// What became of its configurations. A parameter that one of them did not have is at its first
    /// value.
    pub(super) fn entries(&self) -> Vec<(Params, Entry)> {
        (0..self.config.len())
            .map(|row| (self.params_of(row), self.entry(row)))
            .collect()
    }

    fn params_of(&self, row: usize) -> Params {
        let mut place = self.config.get(row).copied().unwrap_or(0);
        let mut params = Params::new();
        // The last parameter is the fastest.
        for axis in self.params.iter().rev() {
            let count = axis.values.len() as u64;
            if let Some(value) = axis.values.get((place % count) as usize) {
                params.insert(axis.name.clone(), value.clone());
            }
            place /= count;
        }
        params
    }

    fn entry(&self, row: usize) -> Entry {
        let at = |column: &[Option<f64>]| column.get(row).copied().flatten();
        let extra = self.extra_columns.iter().filter_map(|name| {
            let value = self.rest.get(name)?.get(row)?.as_f64()?;
            Some((name.clone(), value))
        });
        let figures = &self.origin.figures;
        let sources = figures.iter().map(|(source, columns)| {
            let known = columns
                .iter()
                .filter_map(|(name, column)| Some((name.clone(), at(column)?)));
            (source.clone(), known.collect())
        });
        let time = at(&self.time);
        Entry {
            times: time.into_iter().collect(),
            deviation: at(&self.rel_std),
            failure: match self.status.get(row) {
                Some(1) => Some(OutcomeKind::BuildFailed),
                Some(2) => Some(OutcomeKind::Crashed),
                Some(3) => Some(OutcomeKind::Rejected),
                _ => None,
            },
            verify_ms: at(&self.verify),
            bench_ms: at(&self.bench),
            framework_ms: at(&self.framework),
            figures: extra.collect(),
            sources: sources
                .filter(|(_, known): &(String, BTreeMap<String, f64>)| !known.is_empty())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_space_says_is_without_comments_and_layout() {
        let short = "(params:[(name:\"A\",values:[1,2])])";
        let long =
            "// A space.\n( params : [ /* one */\n (name: \"A\", values: [1, 2])] )  // the end";
        assert_eq!(said(short), said(long));
        assert_eq!(said("a b"), ["a", "b"]);
        assert_eq!(said("ab1_c(x)"), ["ab1_c", "(", "x", ")"]);
        // Strings are as they are, with what looks like a comment in them.
        assert_eq!(
            said(r#"("a // b", "\"x  y\"")"#),
            ["(", "\"a // b\"", ",", r#""\"x  y\"""#, ")"]
        );
        assert_ne!(said("values: [1, 2]"), said("values: [12]"));
        assert_ne!(said("\"a b\""), said("\"ab\""));
        for torn in ["", "/", "\"", "\"\\", "/* x", "// x", "\u{e9}\u{1f600}"] {
            let _ = said(torn);
        }
    }
}
