//! What is said of a parameter, in the same words wherever it is said.

use std::collections::BTreeMap;

use evo_stats::median;

use super::{Change, Effect, FigureChange, Knob, pairs};
use crate::format::{count, number, ratio};

/// More changes of one figure than this are abbreviated.
const MOST_CHANGES: usize = 6;

impl Knob {
    /// What it does, in a few words.
    pub fn finding(&self) -> String {
        let of = |changed: usize| format!("in {changed} of {}", count(self.pairs as u64, "pair"));
        match self.effect {
            Effect::Unknown => "no pair: nothing can be said".to_owned(),
            Effect::Dead => format!(
                "dead: never changed the execution, {}",
                count(self.pairs as u64, "pair")
            ),
            Effect::Code if self.declared_run_time => {
                format!("changes the code {}, and acts at run time", of(self.code))
            }
            Effect::Code => format!("changes the code {}", of(self.code)),
            Effect::Geometry => format!("changes only the geometry, {}", of(self.geometry)),
            Effect::RunTime => "acts at run time only".to_owned(),
        }
    }

    /// The share of configurations in which a parameter that was never seen to act can act at
    /// most, with 95 % confidence, after so many contexts that were drawn at random: the exact
    /// bound of a binomial share of which nothing was seen. `None` for a parameter that is not
    /// dead, or without a draw.
    pub fn acts_at_most_in(&self, drawn: usize) -> Option<f64> {
        // A context that is a neighbour of a drawn one says no more than that one.
        let drawn = drawn.min(self.contexts);
        (self.effect == Effect::Dead && drawn > 0).then(|| 1.0 - 0.05f64.powf(1.0 / drawn as f64))
    }

    /// Values that always gave the same execution, although others do not: `3 and 4 (5 pairs)`.
    pub fn same_values(&self) -> Vec<String> {
        if self.effect == Effect::Dead {
            return Vec::new();
        }
        self.changes
            .iter()
            .filter(|change| change.same == change.pairs)
            .map(|change| {
                let pairs = count(change.pairs as u64, "pair");
                format!("{} and {} ({pairs})", change.from, change.to)
            })
            .collect()
    }

    /// Each figure that changed, with what became of it from one value to the next:
    /// `code_bytes: 1 to 2 640 to 896 B (up in 3 of 3)`.
    pub fn predicted(&self) -> Vec<String> {
        let mut figures: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for change in self.steps() {
            for figure in &change.figures {
                if figure.up + figure.down > 0 {
                    let said = figure_change(change, figure);
                    figures.entry(&figure.name).or_default().push(said);
                }
            }
        }
        figures
            .into_iter()
            .map(|(name, said)| format!("{name}: {}", joined(&said)))
            .collect()
    }

    /// What it did to the ranked figure in pairs that were both measured: `1 to 2 0.85x (3 pairs,
    /// 0.80 to 0.91)`. Empty where there is no such pair.
    pub fn measured(&self) -> Option<String> {
        let said: Vec<String> = self.steps().into_iter().filter_map(ratio_change).collect();
        (!said.is_empty()).then(|| joined(&said))
    }

    /// How many pairs were measured on both sides.
    pub fn measured_pairs(&self) -> usize {
        self.changes.iter().map(|change| change.ratios.len()).sum()
    }

    /// For each value the change to it from the nearest lower one that it was compared with.
    fn steps(&self) -> Vec<&Change> {
        let mut steps: Vec<&Change> = Vec::new();
        for change in &self.changes {
            match steps.iter_mut().find(|step| step.to == change.to) {
                Some(step) if pairs::order(&step.from, &change.from).is_lt() => *step = change,
                Some(_) => {}
                None => steps.push(change),
            }
        }
        steps.sort_by(|a, b| pairs::order(&a.to, &b.to));
        steps
    }
}

fn joined(said: &[String]) -> String {
    let shown: Vec<&str> = said.iter().take(MOST_CHANGES).map(String::as_str).collect();
    let more = match said.len().saturating_sub(MOST_CHANGES) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}", shown.join("; "))
}

fn figure_change(change: &Change, figure: &FigureChange) -> String {
    let pairs = figure.up + figure.down + figure.same;
    let direction = match (figure.up, figure.down) {
        (up, 0) => format!("up in {up} of {pairs}"),
        (0, down) => format!("down in {down} of {pairs}"),
        (up, down) => format!("up in {up}, down in {down} of {pairs}"),
    };
    let unit = match figure.unit.as_str() {
        "" | "count" => String::new(),
        unit => format!(" {unit}"),
    };
    format!(
        "{} to {}: {} to {}{unit} ({direction})",
        change.from,
        change.to,
        figure_number(figure.from),
        figure_number(figure.to)
    )
}

/// Counts as they are, other numbers with four digits.
fn figure_number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        number(value)
    }
}

fn ratio_change(change: &Change) -> Option<String> {
    let middle = median(&change.ratios)?;
    let spread = match change.ratios.as_slice() {
        [_] => "1 pair".to_owned(),
        [least, .., greatest] => {
            format!("{} pairs, {least:.2} to {greatest:.2}", change.ratios.len())
        }
        [] => return None,
    };
    Some(format!(
        "{} to {}: {} ({spread})",
        change.from,
        change.to,
        ratio(middle)
    ))
}
