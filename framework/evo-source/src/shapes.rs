//! Extra shapes on which a candidate is verified, where the description names none.

use std::collections::BTreeSet;

use evo_bundle::source::{Argument, Description, OwnProblem};
use evo_plugin::{Params, Value};

/// Extents that divide by nothing, for the first, second, ... field; and what is just more than a
/// multiple of the usual tiles.
const PRIMES: [i64; 6] = [37, 53, 29, 61, 43, 31];
const PAST_TILES: [i64; 6] = [65, 129, 33, 97, 17, 49];
/// A field up to here is no extent of the data but part of the method, such as the width of a
/// filter.
const SMALL: i64 = 16;

/// Changes to the fields: small odd extents, extents just past a tile, and the least ones. The
/// caller keeps those that the problem accepts.
pub(crate) fn derive(description: &Description, own: &OwnProblem) -> Vec<Params> {
    let mentioned = mentioned(description, own);
    let extents: Vec<_> = own
        .fields
        .iter()
        .filter(|field| mentioned.contains(&field.name.value))
        .filter_map(|field| Some((field, field.default.as_int().filter(|it| *it > SMALL)?)))
        .collect();
    if extents.is_empty() {
        // Nothing can vary: the same shape is verified once more, in other buffers.
        return vec![Params::new()];
    }
    let shape = |wanted: &dyn Fn(usize) -> i64| -> Params {
        extents
            .iter()
            .enumerate()
            .map(|(place, (field, default))| {
                let (min, max) = field.bounds();
                let step = field.multiple_of.unwrap_or(1).max(1);
                let value = fit(wanted(place), min, max.min(*default), step);
                (field.name.value.clone(), Value::Int(value))
            })
            .collect()
    };
    let of = |list: &'static [i64; 6]| {
        move |place: usize| list.get(place % list.len()).copied().unwrap_or(1)
    };
    let mut shapes = vec![shape(&of(&PRIMES)), shape(&of(&PAST_TILES)), shape(&|_| 1)];
    shapes.dedup();
    shapes
}

/// The nearest multiple of the step that is not less, within the bounds.
fn fit(wanted: i64, min: i64, max: i64, step: i64) -> i64 {
    let up = |value: i64| value.div_euclid(step) + i64::from(value.rem_euclid(step) != 0);
    let steps = up(wanted.max(min)).max(1);
    let most = max.div_euclid(step).max(up(min));
    steps.min(most).saturating_mul(step)
}

/// The fields that the shape of a tensor depends on, by itself or through constants.
fn mentioned(description: &Description, own: &OwnProblem) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for argument in &description.arguments {
        if let Argument::Input { shape, .. } | Argument::Output { shape, .. } = argument {
            names.extend(shape.iter().flat_map(|expr| expr.names()));
        }
    }
    // A constant uses only what is before it.
    for (name, expr) in own.constants.0.iter().rev() {
        if names.contains(&name.value) {
            names.extend(expr.names());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_fit_their_bounds_and_steps() {
        assert_eq!(fit(37, 1, 1000, 1), 37);
        assert_eq!(fit(37, 1, 1000, 32), 64);
        assert_eq!(fit(1, 1, 1000, 32), 32);
        assert_eq!(fit(37, 100, 1000, 1), 100);
        assert_eq!(fit(129, 1, 100, 1), 100);
        assert_eq!(fit(129, 1, 100, 32), 96);
        assert_eq!(fit(5, 64, 64, 64), 64);
    }
}
