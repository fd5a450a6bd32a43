//! `recorded`: an objective that replays recorded tuning data, for studying searches without the
//! kernel, the compiler or the device.
//!
//! The setting `file` names a recording in any format of the `evo-recorded` crate. A
//! configuration that failed when it was recorded fails in the same way, and each one is charged
//! with what it cost then. With `noise`, a time is not the recorded mean but one
//! measurement drawn from the recorded spread.

#![forbid(unsafe_code)]

use std::path::Path;

use evo_plugin::{
    Direction, Error, Evaluation, FieldInfo, FieldKind, Metric, Objective, ObjectiveInfo,
    OpenObjective, Params, Plugin, Value,
};
use evo_recorded::{Definition, Fate, Noise, Recording, RecordingError, Row};

/// The metric to rank by.
const METRIC: &str = "time";

/// Milliseconds in a second.
const MS: f64 = 1e3;

/// The objective.
struct Recorded;

impl Objective for Recorded {
    fn info(&self) -> ObjectiveInfo {
        let field = |name: &str, doc: &str, kind, default| FieldInfo {
            name: name.to_owned(),
            doc: doc.to_owned(),
            kind,
            default,
        };
        ObjectiveInfo {
            name: "recorded".to_owned(),
            doc: "Replays the times, failures and costs of a recorded tuning space".to_owned(),
            settings: vec![
                field(
                    "file",
                    "the recording: recorded-space/1, a Kernel Tuner cache file, T4 or KTT results, \
                     plain or .xz",
                    FieldKind::Path,
                    Value::Name(String::new()),
                ),
                field(
                    "space",
                    "the definition of the space, for formats that have no restrictions: T1, or an \
                     object with `params` and `restrictions`",
                    FieldKind::Path,
                    Value::Name(String::new()),
                ),
                field(
                    "noise",
                    "whether a time is drawn from the recorded spread instead of its mean",
                    FieldKind::Bool,
                    Value::Bool(false),
                ),
                field(
                    "noise_seed",
                    "the seed of the noise",
                    FieldKind::Int {
                        min: 0,
                        max: i64::MAX,
                    },
                    Value::Int(17),
                ),
            ],
            space: None,
            metric: METRIC.to_owned(),
            direction: Direction::Lower,
        }
    }

    fn open(&self, settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
        let Some(file) = named(settings, "file") else {
            return Err(Error::Rejected(
                "no recording is named: add --set file=FILE, or `objective: (settings: {\"file\": \
                 \"FILE\"})` to the spec"
                    .to_owned(),
            ));
        };
        let failed = |error: RecordingError| Error::Failed(error.to_string());
        let mut recording = Recording::read(file).map_err(failed)?;
        if let Some(space) = named(settings, "space") {
            let definition = Definition::read(space).map_err(failed)?;
            recording = recording
                .defined_by(&definition)
                .map_err(|why| Error::Failed(format!("{} does not fit: {why}", space.display())))?;
        }
        let noise = match settings.get("noise").and_then(Value::as_bool) {
            Some(true) => {
                let seed = settings.get("noise_seed").and_then(Value::as_int);
                let seed = u64::try_from(seed.unwrap_or(0)).unwrap_or(0);
                Some(Noise::new(&recording, seed)?)
            }
            _ => None,
        };
        Ok(Box::new(Opened { recording, noise }))
    }
}

/// The path in a setting, if one is given.
fn named<'a>(settings: &'a Params, name: &str) -> Option<&'a Path> {
    let path = Path::new(settings.get(name).and_then(Value::as_name)?);
    (!path.as_os_str().is_empty()).then_some(path)
}

/// What a configuration came to that did not run.
fn failure(row: &Row) -> Option<Error> {
    let error = match &row.fate {
        Fate::Measured { .. } => return None,
        Fate::Refused(why) => Error::Rejected(why.clone()),
        Fate::BuildFailed(message) => Error::BuildFailed {
            message: message.clone(),
            log: String::new(),
        },
        Fate::RunFailed(message) => Error::Failed(message.clone()),
        Fate::WrongResult(message) => Error::WrongResult(message.clone()),
        Fate::TimedOut(_) => {
            let seconds = (row.cost_ms / MS).ceil();
            Error::TimedOut(seconds.max(1.0) as u64)
        }
    };
    Some(error.at_cost(row.cost_ms / MS))
}

/// A recording that is being replayed.
struct Opened {
    recording: Recording,
    noise: Option<Noise>,
}

impl OpenObjective for Opened {
    fn space(&self) -> Option<String> {
        Some(self.recording.space(None))
    }

    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        let found = self.recording.find_params(config)?;
        let row = found.and_then(|place| Some((place, self.recording.rows().get(place)?)));
        let (place, row) =
            row.ok_or_else(|| Error::Rejected("it was never recorded".to_owned()).at_cost(0.0))?;
        if let Some(failure) = failure(row) {
            return Err(failure);
        }
        let drawn = self.noise.as_mut();
        let drawn = drawn.and_then(|noise| noise.draw(&self.recording, place));
        let time = drawn.or(row.fate.time_ms()).unwrap_or(f64::NAN);
        let mut metrics = vec![Metric::new(METRIC, "ms", Direction::Lower, time)];
        let counters = self.recording.counters().iter().zip(&row.counters);
        metrics
            .extend(counters.map(|(name, value)| Metric::new(name, "", Direction::Info, *value)));
        Ok(Evaluation {
            metrics,
            cost_s: Some(row.cost_ms / MS),
        })
    }
}

fn plugin() -> Plugin {
    Plugin::new(
        "recorded",
        env!("CARGO_PKG_VERSION"),
        "Recorded tuning spaces, replayed",
    )
    .objective(Recorded)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str) -> String {
        format!(
            "{}/../../tests/data/recorded/{name}",
            env!("CARGO_MANIFEST_DIR")
        )
    }

    fn open(file: &str, noise: bool) -> Result<Box<dyn OpenObjective>, Error> {
        Recorded.open(&Params::from([
            ("file".to_owned(), file.into()),
            ("noise".to_owned(), noise.into()),
            ("noise_seed".to_owned(), 3.into()),
        ]))
    }

    fn config(recording: &Recording, place: usize) -> Params {
        let row = &recording.rows()[place];
        let pairs = recording.params().iter().zip(&row.choices);
        pairs
            .map(|(param, choice)| (param.name.clone(), param.values[*choice as usize].clone()))
            .collect()
    }

    #[test]
    fn every_row_comes_back_as_it_was() {
        let file = data("kt_cachefile.convolution_milo-A100.excerpt.json");
        let recording = Recording::read(Path::new(&file)).unwrap();
        let mut open = open(&file, false).unwrap();
        for (place, row) in recording.rows().iter().enumerate() {
            let answer = open.evaluate(&config(&recording, place));
            let answer = answer.map_err(|error| {
                let (error, cost_s) = error.apart();
                assert_eq!(cost_s, Some(row.cost_ms / 1e3));
                error
            });
            match (&row.fate, answer) {
                (Fate::Measured { time_ms, .. }, Ok(evaluation)) => {
                    assert_eq!(evaluation.metrics[0].value, *time_ms);
                    assert_eq!(evaluation.metrics[1].name, "GFLOP/s");
                    assert_eq!(evaluation.cost_s, Some(row.cost_ms / 1e3));
                }
                (Fate::BuildFailed(_), Err(Error::BuildFailed { .. })) => {}
                (Fate::RunFailed(_), Err(Error::Failed(_))) => {}
                (fate, answer) => panic!("{fate:?} came back as {answer:?}"),
            }
        }
        let mut other = config(&recording, 0);
        other.insert("block_size_x".to_owned(), 256.into());
        other.insert("block_size_y".to_owned(), 16.into());
        assert_eq!(
            open.evaluate(&other),
            Err(Error::Rejected("it was never recorded".to_owned()).at_cost(0.0))
        );
    }

    #[test]
    fn noise_moves_a_time_a_little_and_the_same_way_again() {
        let file = data("convolution_milo-A4000.json.xz");
        let recording = Recording::read(Path::new(&file)).unwrap();
        let times = || -> Vec<f64> {
            let mut open = open(&file, true).unwrap();
            (0..50)
                .map(|place| open.evaluate(&config(&recording, place)).unwrap().metrics[0].value)
                .collect()
        };
        let (first, again) = (times(), times());
        assert_eq!(first, again);
        let moved = first.iter().zip(recording.rows());
        for (time, row) in moved {
            let mean = row.fate.time_ms().unwrap();
            assert!(
                *time != mean && (time / mean - 1.0).abs() < 0.5,
                "{time} {mean}"
            );
        }
    }

    #[test]
    fn a_definition_gives_the_restrictions_that_results_lack() {
        let with = |space: &str| {
            Recorded.open(&Params::from([
                (
                    "file".to_owned(),
                    Value::Name(data("t4.convolution_milo-A100.excerpt.json")),
                ),
                ("space".to_owned(), space.into()),
            ]))
        };
        let space = with(&data("t1.convolution_milo.json")).unwrap().space();
        let space = space.unwrap();
        for text in [
            "use_padding == 0 or block_size_x % 32 != 0",
            "block_size_x * block_size_y <= 1024",
            "values: [1, 2, 4, 8, 16]",
        ] {
            assert!(space.contains(text), "{space}");
        }
        let wrong = with(&data("coulomb-RTX_2080_Ti.json.xz")).err().unwrap();
        let wrong = wrong.to_string();
        assert!(wrong.contains("does not fit: the parameter `"), "{wrong}");
        assert!(wrong.contains("` was not recorded"), "{wrong}");
    }

    #[test]
    fn what_cannot_be_opened_is_said() {
        for (file, noise, expected) in [
            (
                "".to_owned(),
                false,
                "no recording is named: add --set file=FILE",
            ),
            (data(""), false, "recorded/: "),
            (data("none"), false, "none: cannot be opened"),
            (
                data("coulomb-RTX_2080_Ti.json.xz"),
                true,
                "no recorded spread",
            ),
        ] {
            let error = open(&file, noise).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
