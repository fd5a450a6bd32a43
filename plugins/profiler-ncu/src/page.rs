//! Nsight Compute's raw page as CSV: a line of names, one of units, and one for each launch.

use std::collections::BTreeMap;

/// What a report says of one launch, by metric, in base units (ns, B; percentages as they are).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kernel {
    /// The kernel's name.
    pub(crate) name: String,
    values: BTreeMap<String, f64>,
}

impl Kernel {
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
    }
}

/// Reads a page. Lines before the header are the tool's messages.
///
/// # Errors
/// What is missing; the tool's own errors where there are any.
pub(crate) fn read(text: &str) -> Result<Vec<Kernel>, String> {
    let table: String = text
        .lines()
        .skip_while(|line| !line.starts_with("\"ID\""))
        .map(|line| format!("{line}\n"))
        .collect();
    if table.is_empty() {
        return Err(complaint(text).unwrap_or_else(|| {
            "it printed no table: no kernel was launched between the marks".to_owned()
        }));
    }
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(table.as_bytes());
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut rows = reader.records();
    let units = rows
        .next()
        .ok_or("its table has no line of units")?
        .map_err(|error| error.to_string())?;
    let place = names.iter().position(|name| name == "Kernel Name");
    let mut kernels = Vec::new();
    for row in rows {
        let row = row.map_err(|error| error.to_string())?;
        // The tool may say something at its end, too.
        if row.len() < names.len() {
            continue;
        }
        let mut kernel = Kernel {
            name: place
                .and_then(|place| row.get(place))
                .unwrap_or_default()
                .to_owned(),
            values: BTreeMap::new(),
        };
        for ((name, unit), cell) in names.iter().zip(&units).zip(&row) {
            if let Some(value) = number(cell) {
                kernel.values.insert(name.to_owned(), value * scale(unit));
            }
        }
        kernels.push(kernel);
    }
    if kernels.is_empty() {
        return Err("its table has no launch".to_owned());
    }
    Ok(kernels)
}

/// The launch that took most of the time: what is worth looking at in a candidate of several kernels.
pub(crate) fn longest(kernels: &[Kernel]) -> Option<&Kernel> {
    let time = |kernel: &&Kernel| {
        let names = ["gpu__time_duration.sum", "gpu__time_duration.avg"];
        let mut found = names.iter().filter_map(|name| kernel.get(name));
        found.next().unwrap_or(0.0)
    };
    kernels.iter().max_by(|a, b| time(a).total_cmp(&time(b)))
}

/// `6,336`, `0.97`; nothing for an empty cell, a word or what is no number.
fn number(cell: &str) -> Option<f64> {
    let plain = cell.replace(',', "");
    let value = plain.trim().parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

/// What a unit is in base units: the tool scales times and sizes as it likes.
fn scale(unit: &str) -> f64 {
    let word = unit.split('/').next().unwrap_or(unit);
    match word {
        "us" | "usecond" => 1e3,
        "ms" | "msecond" => 1e6,
        "s" | "second" => 1e9,
        "Kbyte" | "KB" => 1e3,
        "Mbyte" | "MB" => 1e6,
        "Gbyte" | "GB" => 1e9,
        _ => 1.0,
    }
}

/// The tool's first error, with what to do about the usual ones.
pub(crate) fn complaint(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("==ERROR=="));
    let first = lines.next()?.trim().to_owned();
    if text.contains("ERR_NVGPUCTRPERM") {
        return Some(format!("{first} ({PERMISSION})"));
    }
    Some(first)
}

/// What to do where counters may not be read.
pub(crate) const PERMISSION: &str = "run as root, in a container with --cap-add=SYS_ADMIN, or have the \
     driver loaded with NVreg_RestrictProfilingToAdminUsers=0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_units_are_brought_to_one() {
        assert_eq!(number("6,336"), Some(6336.0));
        assert_eq!(number(" 0.97 "), Some(0.97));
        assert_eq!(
            (number(""), number("n/a"), number("inf")),
            (None, None, None)
        );
        let text = "\"ID\",\"Kernel Name\",\"gpu__time_duration.sum\",\"x\"\n\
                    \"\",\"\",\"us\",\"Kbyte/block\"\n\
                    \"0\",\"k\",\"6.25\",\"1,000\"\n";
        let kernels = read(text).unwrap();
        assert_eq!(kernels[0].get("gpu__time_duration.sum"), Some(6250.0));
        assert_eq!(kernels[0].get("x"), Some(1e6));
        assert_eq!(kernels[0].name, "k");
    }

    #[test]
    fn what_is_no_table_is_told_in_the_tools_words() {
        let error = read("==PROF== Connected\n==ERROR== ERR_NVGPUCTRPERM - no permission\n");
        let error = error.unwrap_err();
        assert!(
            error.starts_with("ERR_NVGPUCTRPERM - no permission"),
            "{error}"
        );
        assert!(error.contains("run as root"), "{error}");
        assert!(read("").unwrap_err().contains("no kernel was launched"));
        assert!(
            read("\"ID\",\"a\"\n")
                .unwrap_err()
                .contains("no line of units")
        );
        assert!(
            read("\"ID\",\"a\"\n\"\",\"\"\n")
                .unwrap_err()
                .contains("no launch")
        );
    }

    #[test]
    fn the_longest_launch_stands_for_all() {
        let text = "\"ID\",\"Kernel Name\",\"gpu__time_duration.sum\"\n\"\",\"\",\"ns\"\n\
                    \"0\",\"small\",\"10\"\n\"1\",\"large\",\"1,000\"\n==PROF== Disconnected\n";
        let kernels = read(text).unwrap();
        assert_eq!(kernels.len(), 2);
        assert_eq!(longest(&kernels).unwrap().name, "large");
        assert_eq!(longest(&[]), None);
    }
}
