//! A recorded space as a study uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evo_core::space::{Env, Space};
use evo_recorded::{Origin, Recording};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::StudyError;
use crate::diagnose::Told;

/// What keeps the draw of a start apart from the other uses of a seed.
const START_STREAM: u64 = 0x5a17;

/// A recording with the figures that scores need.
#[derive(Debug)]
pub struct StudySpace {
    pub(crate) recording: Recording,
    /// The measured times, ascending.
    pub(crate) times: Vec<f64>,
    /// The costs of all recorded configurations, ascending.
    pub(crate) costs: Vec<f64>,
    /// The space that it came from, and what rules say of its rows, where it says so.
    pub(crate) told: Option<Told>,
}

impl StudySpace {
    /// Takes a recording.
    ///
    /// # Errors
    /// A recording that says where it came from, with a space or rules that cannot be read.
    pub fn new(recording: Recording) -> Result<Self, StudyError> {
        let origin = recording.origin().filter(|origin| !origin.space.is_empty());
        let told = origin
            .map(|origin| original(&recording, origin))
            .transpose()?;
        let times = recording.rows().iter().filter_map(|row| row.fate.time_ms());
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        let mut costs: Vec<f64> = recording.rows().iter().map(|row| row.cost_ms).collect();
        costs.sort_by(f64::total_cmp);
        Ok(Self {
            recording,
            times,
            costs,
            told,
        })
    }

    /// Reads recordings: files, and all recordings (`.json`, `.json.xz`) of folders, sorted by
    /// their names.
    ///
    /// # Errors
    /// A file that is no recording, a folder without one, or two recordings of one name.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, StudyError> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                files.extend(in_folder(path)?);
            } else {
                files.push(path.clone());
            }
        }
        let mut spaces = Vec::new();
        for file in &files {
            let space = Self::new(Recording::read(file)?)?;
            let same = |other: &&Self| other.name() == space.name();
            if spaces.iter().any(|other| same(&other)) {
                let message = format!("there is a second recording called `{}`", space.name());
                return Err(StudyError::file(file, message));
            }
            spaces.push(space);
        }
        spaces.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(spaces)
    }

    /// Takes spaces out by their names.
    ///
    /// # Errors
    /// A name that none of them has, or none that is left.
    pub fn leave_out(spaces: &mut Vec<Self>, names: &[String]) -> Result<(), StudyError> {
        for name in names {
            if !spaces.iter().any(|space| space.name() == name) {
                let known: Vec<&str> = spaces.iter().map(Self::name).collect();
                return Err(StudyError::Input(format!(
                    "there is no recording `{name}` to leave out; there are {}",
                    known.join(", ")
                )));
            }
        }
        spaces.retain(|space| !names.iter().any(|name| name == space.name()));
        if spaces.is_empty() {
            let message = "every recording is left out".to_owned();
            return Err(StudyError::Input(message));
        }
        Ok(())
    }

    /// The recording's name.
    pub fn name(&self) -> &str {
        self.recording.name()
    }

    /// The hash of the recording's text.
    pub(crate) fn content(&self) -> &str {
        self.recording.content().as_str()
    }

    /// How many configurations are recorded.
    pub fn recorded(&self) -> usize {
        self.recording.rows().len()
    }

    /// The least recorded time in milliseconds.
    pub fn optimum(&self) -> f64 {
        self.times.first().copied().unwrap_or(f64::INFINITY)
    }

    /// The search space: the one that it came from, where the recording says so. Otherwise one that
    /// is made of what is recorded, with a configuration that is drawn with the seed as its default.
    ///
    /// # Errors
    /// A space that cannot be read: its recording has names or restrictions that spaces do not have.
    pub fn space(&self, seed: u64) -> Result<Arc<Space>, StudyError> {
        if let Some(told) = &self.told {
            return Ok(told.space.clone());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(START_STREAM);
        let rows = self.recording.rows();
        let start = rows.get(rng.random_range(0..rows.len().max(1)));
        let text = self
            .recording
            .space(start.map(|row| row.choices.as_slice()));
        let file = format!("<space of {}>", self.name());
        Space::parse(&text, &file, &Env::default())
            .map(Arc::new)
            .map_err(|errors| StudyError::Search {
                space: self.name().to_owned(),
                message: errors.to_string(),
            })
    }
}

/// The space that a recording came from, with its rules.
fn original(recording: &Recording, origin: &Origin) -> Result<Told, StudyError> {
    let fail = |message: String| StudyError::Search {
        space: recording.name().to_owned(),
        message,
    };
    let env = Env {
        problem: origin.problem.clone(),
        device: origin.device.clone(),
        pinned: origin.pinned.clone(),
    };
    let file = format!("<space of {}>", recording.name());
    let space = Space::parse(&origin.space, &file, &env);
    let space = space.map_err(|errors| fail(errors.to_string()))?;
    Told::new(Arc::new(space), origin).map_err(fail)
}

/// The recordings of a folder. Other JSON files, such as lists of spaces, are passed over.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, StudyError> {
    let fail = |error: std::io::Error| StudyError::file(folder, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.to_string_lossy();
        let named = name.ends_with(".json") || name.ends_with(".json.xz");
        if named && path.is_file() && Recording::read(&path).is_ok() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(StudyError::file(
            folder,
            "there is no recording in this folder",
        ));
    }
    Ok(found)
}
