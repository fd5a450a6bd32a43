//! What each parameter does to what is executed, from builds of configurations that differ in it
//! alone.
//!
//! Two configurations are a *pair* of a parameter when it is the only one in which they differ,
//! apart from parameters that it switches on or off. Builds of a pair have the same machine code
//! or not, the same launch geometry or not, the same run-time parameters or not: a parameter whose
//! pairs all agree in all three is dead, as far as they show.
//!
//! The builds come from a run's journal, where pairs are what the search happened to try, or from
//! an audit (`evo space audit`), which makes them on purpose.

mod pairs;
mod run;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use evo_journal::BuildFacts;
use evo_stats::median;
use evo_types::{Params, Value};
use serde::Serialize;

pub use run::CandidateKnobs;

/// A configuration that was built.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// All its parameters.
    pub params: &'a Params,
    /// What the build is.
    pub build: &'a BuildFacts,
    /// The ranked figure, where it was measured.
    pub measured: Option<f64>,
}

/// What builds say of the parameters of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Knobs {
    /// Configurations that were built.
    pub configurations: usize,
    /// Distinct executions among them: code, geometry and run-time parameters.
    pub executions: usize,
    /// Distinct pieces of machine code among them.
    pub codes: usize,
    /// The parameters, in the order asked for.
    pub params: Vec<Knob>,
}

/// What a parameter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// There is no pair, so nothing can be said.
    Unknown,
    /// It never changed anything.
    Dead,
    /// It changes the machine code.
    Code,
    /// It changes the launch geometry and never the code.
    Geometry,
    /// It acts at run time alone, as the kernel declares.
    RunTime,
}

/// What builds say of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Knob {
    /// The parameter.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// Whether the kernel declares that it acts at run time.
    pub declared_run_time: bool,
    /// Settings of the other parameters under which it took at least two values.
    pub contexts: usize,
    /// Pairs of configurations that differ in it alone.
    pub pairs: usize,
    /// Pairs that execute the same.
    pub same: usize,
    /// Pairs with different machine code.
    pub code: usize,
    /// Pairs with the same code and different launch geometry.
    pub geometry: usize,
    /// Pairs that differ in run-time parameters alone.
    pub run_time: usize,
    /// The pairs by their two values, the lower one first.
    pub changes: Vec<Change>,
}

/// All pairs with the same two values of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The lower value, or the one whose name comes first.
    pub from: Value,
    /// The other.
    pub to: Value,
    /// How many pairs.
    pub pairs: usize,
    /// How many of them execute the same.
    pub same: usize,
    /// What became of the resource figures.
    pub figures: Vec<FigureChange>,
    /// The ranked figure with `to` over that with `from`, for each pair in which both were
    /// measured, in ascending order.
    pub ratios: Vec<f64>,
}

/// What became of a resource figure over the pairs of a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureChange {
    /// The figure, such as `registers`.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Pairs in which it grew.
    pub up: usize,
    /// Pairs in which it shrank.
    pub down: usize,
    /// Pairs in which it stayed.
    pub same: usize,
    /// The median with the first value.
    pub from: f64,
    /// The median with the second.
    pub to: f64,
}

impl Knobs {
    /// Compares the builds of one candidate.
    pub fn of(observations: &[Observation<'_>], names: &[String]) -> Self {
        let codes: BTreeSet<&str> = observations
            .iter()
            .map(|seen| seen.build.code.as_str())
            .collect();
        let executions: BTreeSet<String> = observations
            .iter()
            .map(|seen| {
                let (launch, runtime) = (&seen.build.launch, &seen.build.runtime);
                format!("{} {launch:?} {runtime:?}", seen.build.code)
            })
            .collect();
        Self {
            configurations: observations.len(),
            executions: executions.len(),
            codes: codes.len(),
            params: names.iter().map(|name| knob(observations, name)).collect(),
        }
    }

    /// The parameters that never changed anything, by name.
    pub fn dead(&self) -> impl Iterator<Item = &Knob> {
        self.params
            .iter()
            .filter(|knob| knob.effect == Effect::Dead)
    }
}

/// The parameters that take at least two values, or are absent in some configurations.
pub fn varied(observations: &[Observation<'_>]) -> Vec<String> {
    let names: BTreeSet<&String> = observations
        .iter()
        .flat_map(|seen| seen.params.keys())
        .collect();
    let varies = |name: &&&String| {
        let mut values = observations.iter().map(|seen| seen.params.get(**name));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    names
        .iter()
        .filter(varies)
        .map(|name| (*name).clone())
        .collect()
}

fn knob(observations: &[Observation<'_>], name: &str) -> Knob {
    let found = pairs::of(observations, name);
    let mut knob = Knob {
        name: name.to_owned(),
        effect: Effect::Unknown,
        declared_run_time: observations
            .iter()
            .any(|seen| seen.build.runtime.contains_key(name)),
        contexts: found.contexts,
        pairs: found.pairs.len(),
        same: 0,
        code: 0,
        geometry: 0,
        run_time: 0,
        changes: Vec::new(),
    };
    let mut by_values: Vec<(&Value, &Value, Vec<[&Observation<'_>; 2]>)> = Vec::new();
    for pair in &found.pairs {
        let Some(sides) = sides(observations, *pair) else {
            continue;
        };
        let [from, to] = sides.map(|seen| seen.build);
        *(if from.code != to.code {
            &mut knob.code
        } else if from.launch != to.launch {
            &mut knob.geometry
        } else if from.runtime != to.runtime {
            &mut knob.run_time
        } else {
            &mut knob.same
        }) += 1;
        let (Some(low), Some(high)) = (sides[0].params.get(name), sides[1].params.get(name)) else {
            continue;
        };
        match by_values
            .iter_mut()
            .find(|(from, to, _)| (*from, *to) == (low, high))
        {
            Some((_, _, known)) => known.push(sides),
            None => by_values.push((low, high, vec![sides])),
        }
    }
    by_values.sort_by(|a, b| pairs::order(a.0, b.0).then_with(|| pairs::order(a.1, b.1)));
    knob.changes = by_values
        .into_iter()
        .map(|(from, to, pairs)| change(from, to, &pairs))
        .collect();
    knob.effect = if knob.pairs == 0 {
        Effect::Unknown
    } else if knob.same == knob.pairs {
        Effect::Dead
    } else if knob.code > 0 {
        Effect::Code
    } else if knob.geometry > 0 {
        Effect::Geometry
    } else {
        Effect::RunTime
    };
    knob
}

fn sides<'a, 'b>(
    observations: &'a [Observation<'b>],
    (from, to): (usize, usize),
) -> Option<[&'a Observation<'b>; 2]> {
    Some([observations.get(from)?, observations.get(to)?])
}

fn same(from: &BuildFacts, to: &BuildFacts) -> bool {
    from.code == to.code && from.launch == to.launch && from.runtime == to.runtime
}

fn change(from: &Value, to: &Value, pairs: &[[&Observation<'_>; 2]]) -> Change {
    let mut ratios: Vec<f64> = pairs
        .iter()
        .filter_map(|[from, to]| Some(to.measured? / from.measured?))
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect();
    ratios.sort_by(f64::total_cmp);
    Change {
        from: from.clone(),
        to: to.clone(),
        pairs: pairs.len(),
        same: pairs
            .iter()
            .filter(|[from, to]| same(from.build, to.build))
            .count(),
        figures: figures(pairs),
        ratios,
    }
}

fn figures(pairs: &[[&Observation<'_>; 2]]) -> Vec<FigureChange> {
    let names: BTreeSet<(&str, &str)> = pairs
        .iter()
        .flatten()
        .flat_map(|seen| &seen.build.figures)
        .map(|figure| (figure.name.as_str(), figure.unit.as_str()))
        .collect();
    let value = |seen: &Observation<'_>, name: &str| {
        let figure = seen.build.figures.iter().find(|f| f.name == name)?;
        figure.value.is_finite().then_some(figure.value)
    };
    names
        .into_iter()
        .filter_map(|(name, unit)| {
            let both: Vec<(f64, f64)> = pairs
                .iter()
                .filter_map(|[from, to]| Some((value(from, name)?, value(to, name)?)))
                .collect();
            let middle =
                |side: fn(&(f64, f64)) -> f64| median(&both.iter().map(side).collect::<Vec<f64>>());
            Some(FigureChange {
                name: name.to_owned(),
                unit: unit.to_owned(),
                up: both.iter().filter(|(from, to)| to > from).count(),
                down: both.iter().filter(|(from, to)| to < from).count(),
                same: both.iter().filter(|(from, to)| to == from).count(),
                from: middle(|(from, _)| *from)?,
                to: middle(|(_, to)| *to)?,
            })
        })
        .collect()
}
