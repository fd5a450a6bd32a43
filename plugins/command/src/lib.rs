//! The objective `command`: any program that prints a number, tuned by its command line.
//!
//! `README.md` is the page for users: settings, placeholders, how the number is found, and what
//! each way of failing becomes.

#![forbid(unsafe_code)]

mod number;
mod process;
mod program;
mod settings;
mod template;

use evo_plugin::{
    Direction, Error, Evaluation, Metric, Objective, ObjectiveInfo, OpenObjective, Params, Plugin,
};

use crate::process::{Ended, Finished};
use crate::settings::{Measure, Settings, Stream};

/// The metric to rank by.
const METRIC: &str = "value";
/// Characters of a program's last words that an outcome tells.
const LAST_WORDS: usize = 400;

/// The objective.
pub struct Command;

impl Objective for Command {
    fn info(&self) -> ObjectiveInfo {
        ObjectiveInfo {
            name: "command".to_owned(),
            doc: "Runs a program and takes the number that it prints, or the time that it takes"
                .to_owned(),
            settings: settings::fields(),
            space: None,
            metric: METRIC.to_owned(),
            direction: Direction::Lower,
        }
    }

    fn open(&self, settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
        Ok(Box::new(Opened(Settings::read(settings)?)))
    }
}

/// The objective with its settings.
struct Opened(Settings);

impl OpenObjective for Opened {
    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        let settings = &self.0;
        let words = settings.template.words(config)?;
        let (mut values, mut seconds) = (Vec::new(), Vec::new());
        for _ in 0..settings.repeat {
            let finished = process::run(&words, &settings.folder, settings.timeout)?;
            seconds.push(finished.seconds);
            values.push(value(settings, &words, &finished)?);
        }
        let direction = settings.direction;
        Ok(Evaluation {
            metrics: vec![
                metric(METRIC, &settings.unit, direction, values),
                metric("wall_time", "s", Direction::Info, seconds),
            ],
            cost_s: None,
        })
    }
}

/// The figure of one run, or why there is none.
fn value(settings: &Settings, words: &[String], finished: &Finished) -> Result<f64, Error> {
    let told = |what: &str| {
        format!(
            "the command {what}: {}; {}",
            template::shown(words),
            last_words(finished)
        )
    };
    match finished.ended {
        Ended::Code(0) => {}
        Ended::Code(code) => {
            return Err(Error::Failed(told(&format!("ended with exit code {code}"))));
        }
        Ended::Signal(signal) => {
            return Err(Error::Failed(told(&format!(
                "was killed by signal {signal}"
            ))));
        }
        Ended::TimedOut => {
            // The outcome has room for the seconds only; this goes to the worker's log.
            eprintln!("{}", told("took too long and was killed"));
            return Err(Error::TimedOut(settings.timeout.as_secs_f64().ceil() as u64));
        }
    }
    if settings.measure == Measure::Wall {
        return Ok(finished.seconds);
    }
    let (printed, name) = match settings.stream {
        Stream::Output => (&finished.output, "standard output"),
        Stream::Error => (&finished.error, "standard error"),
    };
    match number::find(printed, &settings.after) {
        Some(value) if value.is_finite() => Ok(value),
        Some(value) => Err(Error::Implausible(told(&format!(
            "printed {value} where its figure should be"
        )))),
        None if settings.after.is_empty() => Err(Error::Implausible(told(&format!(
            "printed no number to {name}"
        )))),
        None => Err(Error::Implausible(told(&format!(
            "printed no number after `{}` to {name}",
            settings.after
        )))),
    }
}

/// The last lines that a program printed, on one line.
fn last_words(finished: &Finished) -> String {
    let last = |text: &str| {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let text = lines[lines.len().saturating_sub(3)..].join(" / ");
        let start = text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS));
        text[start..].to_owned()
    };
    match (last(&finished.error), last(&finished.output)) {
        (error, output) if error.is_empty() && output.is_empty() => "it printed nothing".to_owned(),
        (error, output) if error.is_empty() => format!("its last output: {output}"),
        (error, _) => format!("its last words: {error}"),
    }
}

/// The median of some samples, with all of them.
fn metric(name: &str, unit: &str, direction: Direction, samples: Vec<f64>) -> Metric {
    let mut sorted = samples.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    let upper = at(sorted.len() / 2);
    let median = if sorted.len().is_multiple_of(2) {
        let lower = at((sorted.len() / 2).saturating_sub(1));
        lower + (upper - lower) / 2.0
    } else {
        upper
    };
    Metric {
        samples,
        ..Metric::new(name, unit, direction, median)
    }
}

fn plugin() -> Plugin {
    Plugin::new(
        "command",
        env!("CARGO_PKG_VERSION"),
        "An objective for any program that prints a number",
    )
    .objective(Command)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests;
