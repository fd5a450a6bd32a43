//! The settings of the objective.

use std::path::PathBuf;
use std::time::Duration;

use evo_plugin::{Direction, Error, FieldInfo, FieldKind, Params, Value};

use crate::program;
use crate::template::Template;

/// What the figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// A number that the program prints.
    Printed,
    /// The seconds from its start to its end.
    Wall,
}

/// Where a program prints its figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) template: Template,
    pub(crate) folder: PathBuf,
    pub(crate) measure: Measure,
    pub(crate) stream: Stream,
    pub(crate) after: String,
    pub(crate) unit: String,
    pub(crate) direction: Direction,
    pub(crate) repeat: i64,
    pub(crate) timeout: Duration,
}

/// The settings as a spec may give them.
pub(crate) fn fields() -> Vec<FieldInfo> {
    let field = |name: &str, kind, default: Value, doc: &str| FieldInfo {
        name: name.to_owned(),
        doc: doc.to_owned(),
        kind,
        default,
    };
    let choice = |name, names: [&str; 2], doc| {
        let kind = FieldKind::Choice(names.map(str::to_owned).to_vec());
        field(name, kind, names[0].into(), doc)
    };
    vec![
        field(
            "command",
            FieldKind::Text,
            "".into(),
            "What to run, with {NAME} where a parameter's value goes",
        ),
        field(
            "folder",
            FieldKind::Path,
            ".".into(),
            "Where to run it, and where ./program is; from the spec's folder",
        ),
        choice(
            "measure",
            ["printed", "wall"],
            "The number that it prints, or the seconds that it takes",
        ),
        field(
            "after",
            FieldKind::Text,
            "".into(),
            "The text before the number; the last number printed, if empty",
        ),
        choice("stream", ["stdout", "stderr"], "Where it prints the number"),
        choice(
            "direction",
            ["lower", "higher"],
            "Which way the number is better",
        ),
        field(
            "unit",
            FieldKind::Text,
            "".into(),
            "The unit of the number, for reports",
        ),
        field(
            "repeat",
            FieldKind::Int { min: 1, max: 1000 },
            Value::from(1),
            "Runs of each configuration; the median counts",
        ),
        field(
            "timeout_s",
            FieldKind::Float {
                min: 0.001,
                max: 86_400.0,
            },
            Value::from(10.0),
            "Seconds after which a run and all that it started is killed",
        ),
        field(
            "shell",
            FieldKind::Bool,
            Value::from(false),
            "Whether `sh -c` reads the command",
        ),
    ]
}

impl Settings {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// `Rejected` for a command that cannot be read, or a program or folder that is not there.
    pub(crate) fn read(settings: &Params) -> Result<Self, Error> {
        let text = |name: &str| evo_plugin::choice(settings, name);
        let template = Template::parse(text("command")?, evo_plugin::flag(settings, "shell")?)?;
        let folder = PathBuf::from(text("folder")?);
        if !folder.is_dir() {
            return Err(Error::Rejected(format!(
                "the setting `folder` is {}, and there is no such folder",
                folder.display()
            )));
        }
        if let Some(name) = template.program() {
            program::find(name, &folder)?;
        }
        let is = |name: &str, value: &str| Ok::<bool, Error>(text(name)? == value);
        let measure = if is("measure", "wall")? {
            Measure::Wall
        } else {
            Measure::Printed
        };
        let unit = text("unit")?;
        Ok(Self {
            template,
            folder,
            measure,
            stream: if is("stream", "stderr")? {
                Stream::Error
            } else {
                Stream::Output
            },
            after: text("after")?.to_owned(),
            unit: if measure == Measure::Wall && unit.is_empty() {
                "s".to_owned()
            } else {
                unit.to_owned()
            },
            direction: if is("direction", "higher")? {
                Direction::Higher
            } else {
                Direction::Lower
            },
            repeat: evo_plugin::int(settings, "repeat")?,
            timeout: Duration::try_from_secs_f64(evo_plugin::float(settings, "timeout_s")?)
                .map_err(|error| Error::Rejected(format!("the setting `timeout_s`: {error}")))?,
        })
    }
}
