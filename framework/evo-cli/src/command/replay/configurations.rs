//! Configurations out of a file, to execute them beside those that a run has tried.

use std::ops::Range;
use std::path::Path;

use evo_recorded::Recording;
use evo_run::RunError;
use evo_types::Params;

/// Those of a list in JSON, or those of a recording that have run once, each with its place in the file.
/// `rows` leaves those at other places out.
pub(super) fn read(
    file: &Path,
    rows: Option<Range<usize>>,
) -> Result<Vec<(usize, Params)>, RunError> {
    let shown = file.display();
    let fail = |message: String| RunError::input(format!("{shown}: {message}"));
    let text = std::fs::read(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let found = match first {
        Some(b'[') => listed(&text).map_err(fail)?,
        _ => recorded(file)?,
    };
    let all = found.len();
    let wanted = |(number, _): &(usize, Params)| match &rows {
        Some(rows) => rows.contains(number),
        None => true,
    };
    let chosen: Vec<(usize, Params)> = found.into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err(fail(match all {
            0 => "there is no configuration in it".to_owned(),
            all => format!("none of its {all} configurations is among the rows that are asked for"),
        }));
    }
    Ok(chosen)
}

fn listed(text: &[u8]) -> Result<Vec<(usize, Params)>, String> {
    let all: Vec<Params> = serde_json::from_slice(text)
        .map_err(|error| format!("no list of objects of parameters: {error}"))?;
    Ok(all.into_iter().enumerate().collect())
}

fn recorded(file: &Path) -> Result<Vec<(usize, Params)>, RunError> {
    let recording = Recording::read(file).map_err(|error| {
        RunError::input(error.to_string()).hint(
            "give a JSON list of objects such as [{\"TILE\": 64}], or a file that `evo export` wrote",
        )
    })?;
    let rows = recording.rows().iter().enumerate();
    let ran = rows.filter(|(_, row)| row.fate.time_ms().is_some());
    let params = |choices: &[u32]| {
        let pairs = recording.params().iter().zip(choices);
        let values = pairs.filter_map(|(param, choice)| {
            let value = param.values.get(*choice as usize)?;
            Some((param.name.clone(), value.clone()))
        });
        values.collect()
    };
    Ok(ran
        .map(|(number, row)| (number, params(&row.choices)))
        .collect())
}
