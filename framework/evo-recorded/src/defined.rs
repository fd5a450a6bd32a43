//! A recording in the space of a definition: for results that have no restrictions of their own.

use evo_types::Value;

use crate::Definition;
use crate::error::Reason;
use crate::recording::{Parts, Recording, Row, same};

impl Recording {
    /// The same recording in the space of a definition: its values and their order, its
    /// restrictions. Pairs of values that were never recorded together stay excluded, because
    /// nothing can be said of them.
    ///
    /// # Errors
    /// A definition of other parameters, or without a value that was recorded; a restriction that
    /// cannot be translated.
    pub fn defined_by(self, definition: &Definition) -> Result<Self, String> {
        let mut columns = Vec::new();
        for param in &definition.params {
            let column = self.params.iter().position(|own| own.name == param.name);
            columns.push(match (column, param.values.as_slice()) {
                (Some(column), values) => Column::Recorded(column, places(&self, column, values)?),
                // A constant that results need not repeat.
                (None, [_]) => Column::Constant,
                (None, _) => {
                    let name = &param.name;
                    return Err(format!("the parameter `{name}` was not recorded"));
                }
            });
        }
        for own in &self.params {
            if !definition.params.iter().any(|param| param.name == own.name) {
                return Err(format!("it has no parameter `{}`", own.name));
            }
        }
        let moved = |row: Row| Row {
            choices: columns.iter().map(|column| column.choice(&row)).collect(),
            ..row
        };
        Self::assemble(Parts {
            name: self.name,
            device: self.device,
            params: definition.params.clone(),
            restrictions: definition.restrictions.clone(),
            exact: false,
            counters: self.counters,
            rows: self.rows.into_iter().map(moved).collect(),
            // Its space is another one now.
            origin: None,
        })
    }
}

/// Where the choice of a definition's parameter comes from.
enum Column {
    /// A recorded column, with the place of each of its values among the definition's.
    Recorded(usize, Vec<u32>),
    Constant,
}

impl Column {
    fn choice(&self, row: &Row) -> u32 {
        match self {
            Self::Constant => 0,
            Self::Recorded(column, places) => {
                let own = row.choices.get(*column).map(|choice| *choice as usize);
                // Rows were checked, and every value has a place.
                own.and_then(|own| places.get(own)).copied().unwrap_or(0)
            }
        }
    }
}

/// The place of each recorded value among those of a definition.
fn places(recording: &Recording, column: usize, values: &[Value]) -> Result<Vec<u32>, Reason> {
    let Some(param) = recording.params.get(column) else {
        return Ok(Vec::new());
    };
    let place = |value: &Value| {
        let place = values.iter().position(|other| same(other, value));
        place
            .and_then(|place| u32::try_from(place).ok())
            .ok_or_else(|| {
                let name = &param.name;
                format!("`{name}` was recorded with {value}, which is none of its values")
            })
    };
    param.values.iter().map(place).collect()
}
