//! The error of a problem's own quantised inputs, for the reader: no kernel has a part in it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use evo_types::ProblemSpec;

use crate::check::Content;
use crate::component::Problem;
use crate::fault::Fault;
use crate::memory::{BufferSet, Placement};
use crate::site::Site;

/// Most rows that are looked at.
const MOST_ROWS: usize = 256;

/// As [`computed`], once for each problem in this process: it hardly depends on the seed, and is no
/// matter of the candidate.
///
/// # Errors
/// As for [`computed`].
pub(crate) fn error(
    problem: &Problem,
    spec: &ProblemSpec,
    content: &Content,
    seed: u64,
    distribution: &str,
) -> Result<Option<f64>, Fault> {
    static KNOWN: Mutex<BTreeMap<String, f64>> = Mutex::new(BTreeMap::new());
    if spec.unquantised.is_empty() {
        return Ok(None);
    }
    let key = format!("{} {:?}", problem.name, spec.fields);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = known.get(&key) {
        return Ok(Some(*error));
    }
    let error = computed(problem, spec, content, seed, distribution)?;
    known.extend(error.map(|error| (key, error)));
    Ok(error)
}

/// The relative Frobenius error of the reference in `content` against the reference on the inputs
/// that the same seed gives before they are quantised, over rows spread evenly; `None` where the
/// outputs are all zeros.
///
/// # Errors
/// Where the problem does not resolve, fill or compute what it names as itself before that.
fn computed(
    problem: &Problem,
    spec: &ProblemSpec,
    content: &Content,
    seed: u64,
    distribution: &str,
) -> Result<Option<f64>, Fault> {
    let failed = |error| {
        let doing = "computing the error of its quantisation";
        Fault::of_problem(&problem.name, doing, error)
    };
    let mut fields = spec.fields.clone();
    fields.extend(spec.unquantised.clone());
    let before = problem.resolve(&fields).map_err(failed)?;
    let shapes = |spec: &ProblemSpec| -> Vec<Vec<usize>> {
        spec.outputs().map(|output| output.shape.clone()).collect()
    };
    if shapes(&before) != shapes(spec) {
        return Err(Fault::refused(format!(
            "the problem `{}` before its quantisation has outputs of another shape",
            problem.name
        )));
    }
    let mut set = BufferSet::new(&Site::Host, &before, 0, Placement::Page).map_err(failed)?;
    problem
        .fill(&before, seed, distribution, &mut set)
        .map_err(failed)?;
    let rows = rows(spec, content.rows.as_deref());
    let exact = problem
        .reference(&before, &set, Some(&rows))
        .map_err(failed)?;
    let (mut error, mut norm) = (0.0, 0.0);
    for ((output, exact), quantised) in spec.outputs().zip(&exact).zip(&content.expected) {
        let columns = output.shape.last().copied().unwrap_or(1);
        for row in &rows {
            let start = usize::try_from(*row).unwrap_or(usize::MAX);
            let Some(start) = start.checked_mul(columns) else {
                continue;
            };
            let place = start..start.saturating_add(columns);
            let exact = exact.get(place.clone()).unwrap_or_default();
            let quantised = quantised.get(place).unwrap_or_default();
            for (exact, quantised) in exact.iter().zip(quantised) {
                error += (exact - quantised).powi(2);
                norm += exact.powi(2);
            }
        }
    }
    Ok((norm > 0.0).then(|| (error / norm).sqrt()))
}

/// Some of the rows that the reference has.
fn rows(spec: &ProblemSpec, known: Option<&[u64]>) -> Vec<u64> {
    if let Some(known) = known {
        return known.iter().copied().take(MOST_ROWS).collect();
    }
    let counts = spec.outputs().map(|output| {
        let columns = output.shape.last().copied().unwrap_or(1);
        let elements = output.elements().unwrap_or(0);
        elements.checked_div(columns).unwrap_or(0)
    });
    let count = counts.min().unwrap_or(0);
    let step = count.div_ceil(MOST_ROWS).max(1);
    (0..count).step_by(step).map(|row| row as u64).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use evo_types::{Params, Value};

    use super::*;
    use crate::loader::Loader;

    fn of(words: [(&str, Value); 2], rows: Option<&[u64]>) -> Option<f64> {
        let plugin = Loader::new(PathBuf::new())
            .plugin(&evo_wire::built_in())
            .unwrap();
        let problem = Problem::find(&plugin, "sdpa").unwrap();
        let mut fields: Params = [("B", 1), ("H", 2), ("S", 40), ("D", 16)]
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .into();
        fields.insert("mask".to_owned(), "full".into());
        fields.extend(words.map(|(name, value)| (name.to_owned(), value)));
        let spec = problem.resolve(&fields).unwrap();
        let mut set = BufferSet::new(&Site::Host, &spec, 0, Placement::Page).unwrap();
        problem.fill(&spec, 5, "normal", &mut set).unwrap();
        let content = Content {
            inputs: set.inputs(),
            expected: problem.reference(&spec, &set, rows).unwrap(),
            rows: rows.map(<[u64]>::to_vec),
        };
        let once = error(&problem, &spec, &content, 5, "normal").ok().unwrap();
        if spec.unquantised.is_empty() {
            return once;
        }
        let anew = computed(&problem, &spec, &content, 5, "normal");
        let anew = anew.ok().unwrap();
        if rows.is_some() {
            assert_ne!(once, anew, "the problem was known");
        }
        anew
    }

    #[test]
    fn quantised_attention_has_one_and_any_other_has_none() {
        let scale = || ("epilogue", Value::from("scale"));
        let whole = of([("dtype", "f8_e4m3".into()), scale()], None).unwrap();
        assert!((0.01..0.06).contains(&whole), "{whole}");
        let rows = of([("dtype", "f8_e4m3".into()), scale()], Some(&[0, 3, 79])).unwrap();
        assert!(rows != whole && (0.005..0.12).contains(&rows), "{rows}");
        assert_eq!(of([("dtype", "f16".into()), scale()], None), None);
    }
}
