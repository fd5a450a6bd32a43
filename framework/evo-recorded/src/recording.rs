//! A recording: parameters, and what became of each configuration.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use evo_types::{ContentHash, Params, Value};
use serde::Deserialize;

use crate::error::{Reason, RecordingError};
use crate::python::Restriction;
use crate::{file, formats};

/// A parameter with its values in the order in which a space lists them.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its values: of one type, no two equal.
    pub values: Vec<Value>,
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It ran.
    Measured {
        /// The mean of the recorded runs, in milliseconds.
        time_ms: f64,
        /// Their standard deviation by their mean; `None` where it was not recorded.
        deviation: Option<f64>,
    },
    /// It was refused before it was built.
    Refused(String),
    /// Its build failed.
    BuildFailed(String),
    /// It failed when it ran.
    RunFailed(String),
    /// Its result was wrong.
    WrongResult(String),
    /// It ran too long.
    TimedOut(String),
}

impl Fate {
    /// The time in milliseconds, if it ran.
    pub fn time_ms(&self) -> Option<f64> {
        match self {
            Self::Measured { time_ms, .. } => Some(*time_ms),
            _ => None,
        }
    }
}

/// One recorded configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The index of each parameter's value.
    pub choices: Vec<u32>,
    /// What became of it.
    pub fate: Fate,
    /// What it cost to find out: compiling, verifying, running, and the tuner's own work, in
    /// milliseconds.
    pub cost_ms: f64,
    /// One figure for each of [`Recording::counters`]; empty where there are none.
    pub counters: Vec<f64>,
}

/// Where a recording came from, if it says so: what a search there was told besides times.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The search space, as RON.
    pub space: String,
    /// Fields and constants of the problem, which its expressions may name.
    pub problem: Params,
    /// Facts of the device, likewise.
    pub device: Params,
    /// Parameters that were fixed.
    pub pinned: Params,
    /// The rules (RON) of each source of figures: `build`, or a profiler.
    pub rules: BTreeMap<String, String>,
    /// Figures by source and name, one for each row of the recording where there is one.
    pub figures: BTreeMap<String, BTreeMap<String, Vec<Option<f64>>>>,
}

impl Origin {
    /// What a source says of a row; `None` where it has not looked at it.
    pub fn figures_of(&self, source: &str, row: usize) -> Option<BTreeMap<&str, f64>> {
        let columns = self.figures.get(source)?.iter();
        let figures = columns.filter_map(|(name, column)| {
            let figure = column.get(row).copied().flatten()?;
            Some((name.as_str(), figure))
        });
        let figures: BTreeMap<&str, f64> = figures.collect();
        (!figures.is_empty()).then_some(figures)
    }

    fn check(&self, rows: usize) -> Result<(), Reason> {
        for (source, columns) in &self.figures {
            for (name, column) in columns {
                if column.len() != rows {
                    return Err(format!(
                        "the figure `{name}` of {source} has {} entries, but there are {rows} \
                         configurations",
                        column.len()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What was recorded of one kernel on one device.
#[derive(Debug, Clone)]
pub struct Recording {
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) params: Vec<Parameter>,
    pub(crate) restrictions: Vec<Restriction>,
    pub(crate) exact: bool,
    pub(crate) counters: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) origin: Option<Origin>,
    content: ContentHash,
    index: HashMap<Vec<u32>, usize>,
}

/// The parts of a recording as a format's reader finds them.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) params: Vec<Parameter>,
    /// In Python's syntax.
    pub(crate) restrictions: Vec<String>,
    /// Whether the restrictions give exactly the recorded configurations.
    pub(crate) exact: bool,
    pub(crate) counters: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) origin: Option<Origin>,
}

impl Recording {
    /// Reads a file in any of the formats.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a recording: what is wrong, and where.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let fail = |message| RecordingError {
            file: path.display().to_string(),
            message,
        };
        let text = file::text(path).map_err(fail)?;
        Self::parse(&text, &file::stem(path)).map_err(fail)
    }

    /// Reads a text in any of the formats; `name` is used where the text has no name of its own.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str, name: &str) -> Result<Self, String> {
        let assembled = formats::parts(text, name).and_then(Self::assemble)?;
        Ok(Self {
            content: ContentHash::of_bytes(text.as_bytes()),
            ..assembled
        })
    }

    pub(crate) fn assemble(parts: Parts) -> Result<Self, Reason> {
        check_params(&parts.params)?;
        let restrictions = crate::python::translate_all(&parts.restrictions, &parts.params)?;
        let count = parts.rows.len();
        if let Some(origin) = &parts.origin {
            origin.check(count)?;
        }
        let mut index = HashMap::with_capacity(count);
        let mut rows: Vec<Row> = Vec::with_capacity(count);
        for row in parts.rows {
            check_row(&row, &parts.params)?;
            match index.get(&row.choices).copied() {
                None => {
                    index.insert(row.choices.clone(), rows.len());
                    rows.push(row);
                }
                // Of a configuration that was recorded several times, the first that ran counts.
                Some(place) => {
                    if let Some(known) = rows.get_mut(place)
                        && known.fate.time_ms().is_none()
                        && row.fate.time_ms().is_some()
                    {
                        *known = row;
                    }
                }
            }
        }
        if parts.origin.is_some() && rows.len() != count {
            return Err("a configuration is recorded twice, but figures belong to one".to_owned());
        }
        if !rows.iter().any(|row| row.fate.time_ms().is_some()) {
            return Err("no configuration in it was measured".to_owned());
        }
        Ok(Self {
            name: parts.name,
            device: parts.device,
            params: parts.params,
            restrictions,
            exact: parts.exact,
            counters: parts.counters,
            rows,
            origin: parts.origin,
            content: ContentHash::of_bytes(b""),
            index,
        })
    }

    /// Its name, such as `gemm-RTX_Titan`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hash of the text that it was read from: another recording may have the same name.
    pub fn content(&self) -> &ContentHash {
        &self.content
    }

    /// The device that it was recorded on; may be empty.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The parameters.
    pub fn params(&self) -> &[Parameter] {
        &self.params
    }

    /// Whether the constraints of the space admit exactly what was recorded.
    pub fn exact(&self) -> bool {
        self.exact
    }

    /// The names of further figures that each measured row has, such as hardware counters.
    pub fn counters(&self) -> &[String] {
        &self.counters
    }

    /// Every recorded configuration.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Where it came from, if it says so.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The place of a configuration among the rows, by the indices of its values.
    pub fn find(&self, choices: &[u32]) -> Option<usize> {
        self.index.get(choices).copied()
    }

    /// The place of a configuration among the rows, by its parameters.
    ///
    /// # Errors
    /// A missing parameter, or a value that it does not have.
    pub fn find_params(&self, params: &Params) -> Result<Option<usize>, String> {
        let choice = |param: &Parameter| {
            let value = params
                .get(&param.name)
                .ok_or_else(|| format!("the parameter `{}` is missing", param.name))?;
            let place = param.values.iter().position(|known| same(known, value));
            place
                .and_then(|place| u32::try_from(place).ok())
                .ok_or_else(|| format!("`{}` never has the value {value}", param.name))
        };
        let choices = self.params.iter().map(choice);
        Ok(self.find(&choices.collect::<Result<Vec<u32>, String>>()?))
    }

    /// The same for a configuration of the space that it came from, in which parameters can be inactive:
    /// such a parameter counts as at its first value.
    ///
    /// # Errors
    /// A value that a parameter does not have.
    pub fn find_active(&self, params: &Params) -> Result<Option<usize>, String> {
        let mut whole = params.clone();
        for param in &self.params {
            if let Some(first) = param.values.first() {
                let inactive = || first.clone();
                whole.entry(param.name.clone()).or_insert_with(inactive);
            }
        }
        self.find_params(&whole)
    }

    /// The least recorded time in milliseconds.
    pub fn optimum_ms(&self) -> f64 {
        let times = self.rows.iter().filter_map(|row| row.fate.time_ms());
        times.fold(f64::INFINITY, f64::min)
    }
}

/// Whether two values are the same number, or equal.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_float(), b.as_float()), (Some(a), Some(b)) if a == b)
}

pub(crate) fn check_params(params: &[Parameter]) -> Result<(), Reason> {
    if params.is_empty() {
        return Err("it has no parameters".to_owned());
    }
    for (place, param) in params.iter().enumerate() {
        let name = &param.name;
        if params.iter().take(place).any(|other| other.name == *name) {
            return Err(format!("the parameter `{name}` occurs twice"));
        }
        let first = param.values.first();
        let kind = first.ok_or_else(|| format!("the parameter `{name}` has no values"))?;
        for (place, value) in param.values.iter().enumerate() {
            if value.type_name() != kind.type_name() {
                return Err(format!(
                    "the parameter `{name}` has values of two types: {kind} and {value}"
                ));
            }
            if param.values.iter().take(place).any(|other| other == value) {
                return Err(format!(
                    "the parameter `{name}` has the value {value} twice"
                ));
            }
        }
    }
    Ok(())
}

fn check_row(row: &Row, params: &[Parameter]) -> Result<(), Reason> {
    let fits = row.choices.len() == params.len()
        && row
            .choices
            .iter()
            .zip(params)
            .all(|(choice, param)| (*choice as usize) < param.values.len());
    if !fits {
        return Err("a recorded configuration does not fit the parameters".to_owned());
    }
    if let Some(time) = row.fate.time_ms()
        && !(time.is_finite() && time > 0.0)
    {
        return Err(format!(
            "a recorded time is {time} ms, but must be positive"
        ));
    }
    if !(row.cost_ms.is_finite() && row.cost_ms >= 0.0) {
        return Err(format!("a recorded cost is {} ms", row.cost_ms));
    }
    Ok(())
}
