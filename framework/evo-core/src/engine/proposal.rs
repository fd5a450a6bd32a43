//! Proposals: what the engine wants to see evaluated next, and where it came from.
//!
//! Everything here is written to the journal, so it is plain data without floating-point figures:
//! a resumed run compares its proposals with the recorded ones for equality.

use evo_types::{ContentHash, Params, Value};
use serde::{Deserialize, Serialize};

use super::budget::StopReason;

/// The answer to "what next?".
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Evaluate this, then tell its outcome.
    Propose(Proposal),
    /// The budget may be used up by the proposals that are outstanding: tell one, then ask again.
    Wait,
    /// Every valid configuration has been proposed.
    Exhausted,
    /// The search is over.
    Stop(StopReason),
}

/// One candidate solution to evaluate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The number of the trial, counted from 0 over all candidates of the campaign.
    pub trial: u64,
    /// The index of the candidate (kernel and space) that the proposal is for.
    pub candidate: usize,
    /// What to build.
    pub genotype: Genotype,
    /// The parameters to build it with: the active ones and the problem parameters.
    pub params: Params,
    /// The identity of the candidate's name and the parameters.
    pub id: ContentHash,
    /// Why it was proposed.
    pub origin: Origin,
}

/// The form of a solution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Genotype {
    /// A point of a search space: the index of each parameter's value in the order of the
    /// parameters, `None` for an inactive one.
    Config(Vec<Option<u32>>),
}

/// Who made a proposal, out of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The operator's name in the registry.
    pub operator: String,
    /// The trials whose solutions were changed or combined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<u64>,
    /// The insights that were followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub insights: Vec<InsightRef>,
    /// What was done, for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A mention of an insight, readable without the insight itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InsightRef {
    /// The insight's identity.
    pub id: String,
    /// What it said at the time.
    pub statement: String,
}

/// What a trial cost, as measured by the caller: the engine has no clock.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds of wall time.
    pub wall_s: f64,
    /// Seconds for which the device was held.
    pub device_s: f64,
}

/// The identity of a candidate's parameters. The type of a value is part of it: `1` and `true`
/// and `"1"` are three different solutions.
pub(crate) fn identity(candidate: &str, params: &Params) -> ContentHash {
    let words: Vec<String> = params
        .iter()
        .map(|(name, value)| word(name, value))
        .collect();
    let mut parts: Vec<&[u8]> = vec![b"config", candidate.as_bytes()];
    parts.extend(words.iter().map(|word| word.as_bytes()));
    ContentHash::of_parts(&parts)
}

fn word(name: &str, value: &Value) -> String {
    format!("{name}={}:{value}", value.type_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_depends_on_candidate_names_values_and_types() {
        let params = |value: Value| Params::from([("A".to_owned(), value)]);
        let base = identity("k", &params(Value::Int(1)));
        assert_eq!(base, identity("k", &params(Value::Int(1))));
        assert_ne!(base, identity("l", &params(Value::Int(1))));
        assert_ne!(base, identity("k", &params(Value::Name("1".to_owned()))));
        assert_ne!(base, identity("k", &params(Value::Int(2))));
    }
}
