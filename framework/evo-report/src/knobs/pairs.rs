//! Which configurations differ in one parameter alone.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use evo_types::{Params, Value};

use super::Observation;

/// More configurations of one context than this are not compared with each other: their pairs
/// would be many and say little more.
const MOST_IN_CONTEXT: usize = 64;

/// More sets of active parameters than this are compared within each set only.
const MOST_SETS: usize = 12;

/// The pairs of a parameter.
pub(super) struct Pairs {
    /// Settings of the other parameters with at least one pair.
    pub(super) contexts: usize,
    /// Two configurations each, by their places; the one with the lower value first.
    pub(super) pairs: Vec<(usize, usize)>,
}

/// Finds the pairs of a parameter.
pub(super) fn of(observations: &[Observation<'_>], name: &str) -> Pairs {
    let sets = sets(observations, name);
    let mut found = Pairs {
        contexts: 0,
        pairs: Vec::new(),
    };
    for (number, (names, members)) in sets.iter().enumerate() {
        for context in contexts(observations, members, names, name).into_values() {
            found.compare(observations, name, &context, &context, true);
        }
        if sets.len() > MOST_SETS {
            continue;
        }
        // Where the parameter switches others on or off, they are in one of the two only.
        for (other_names, others) in sets.iter().skip(number + 1) {
            let common: BTreeSet<&str> = names.intersection(other_names).copied().collect();
            let left = contexts(observations, members, &common, name);
            let mut right = contexts(observations, others, &common, name);
            for (context, members) in left {
                if let Some(others) = right.remove(&context) {
                    found.compare(observations, name, &members, &others, false);
                }
            }
        }
    }
    found
}

impl Pairs {
    fn compare(
        &mut self,
        observations: &[Observation<'_>],
        name: &str,
        left: &[usize],
        right: &[usize],
        within: bool,
    ) {
        let before = self.pairs.len();
        for (number, a) in left.iter().take(MOST_IN_CONTEXT).enumerate() {
            let first = if within { number + 1 } else { 0 };
            for b in right.iter().take(MOST_IN_CONTEXT).skip(first) {
                let value = |place: &usize| observations.get(*place)?.params.get(name);
                let (Some(of_a), Some(of_b)) = (value(a), value(b)) else {
                    continue;
                };
                match order(of_a, of_b) {
                    Ordering::Less => self.pairs.push((*a, *b)),
                    Ordering::Greater => self.pairs.push((*b, *a)),
                    Ordering::Equal => {}
                }
            }
        }
        self.contexts += usize::from(self.pairs.len() > before);
    }
}

type Names<'a> = BTreeSet<&'a str>;

/// The configurations that have the parameter, by the set of parameters that are active.
fn sets<'a>(observations: &[Observation<'a>], name: &str) -> Vec<(Names<'a>, Vec<usize>)> {
    let mut sets: BTreeMap<Names<'a>, Vec<usize>> = BTreeMap::new();
    for (place, seen) in observations.iter().enumerate() {
        if seen.params.contains_key(name) {
            let names = seen.params.keys().map(String::as_str).collect();
            sets.entry(names).or_default().push(place);
        }
    }
    sets.into_iter().collect()
}

/// Configurations by their values of all named parameters but one.
fn contexts(
    observations: &[Observation<'_>],
    members: &[usize],
    names: &Names<'_>,
    but: &str,
) -> BTreeMap<String, Vec<usize>> {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for place in members {
        let Some(seen) = observations.get(*place) else {
            continue;
        };
        let rest: Params = seen
            .params
            .iter()
            .filter(|(name, _)| name.as_str() != but && names.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let key = evo_types::format_params(&rest);
        found.entry(key).or_default().push(*place);
    }
    found
}

/// Numbers by size, everything else by its text.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    match (a.as_float(), b.as_float()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => match (a.as_bool(), b.as_bool()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.to_string().cmp(&b.to_string()),
        },
    }
}
