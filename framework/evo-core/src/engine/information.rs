//! The guiding layer: what a proposal is told.
//!
//! One value holds all of it, for operators on configurations now and for a proposer that writes
//! source text later. Its `Display` is what such a proposer would read, and what a person reads
//! to see what the engine knows.

use std::fmt;

use evo_types::{Value, format_params};
use serde::Serialize;

use super::insights::Insight;
use super::population::Solution;
use super::ranking::Ranking;
use super::settings::InformationUse;
use crate::space::{Role, Space};

/// I1: what is to be done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskContext {
    /// The candidate's name: which kernel is tuned.
    pub candidate: String,
    /// What is better.
    pub ranking: Ranking,
    /// The parameters that may be changed.
    pub params: Vec<TaskParam>,
    /// Facts about the problem and the device, one sentence each.
    pub notes: Vec<String>,
}

/// A parameter as a proposer sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskParam {
    /// Its name.
    pub name: String,
    /// One sentence about it; may be empty.
    pub doc: String,
    /// Its values.
    pub values: Vec<Value>,
    /// The value to start from.
    pub default: Value,
}

impl TaskContext {
    pub(crate) fn new(candidate: &str, space: &Space, ranking: &Ranking) -> Self {
        let params = space
            .params()
            .iter()
            .filter(|param| param.role == Role::Search)
            .map(|param| TaskParam {
                name: param.name.clone(),
                doc: param.doc.clone(),
                values: param.values.clone(),
                default: param.value(param.default).clone(),
            })
            .collect();
        Self {
            candidate: candidate.to_owned(),
            ranking: ranking.clone(),
            params,
            notes: Vec::new(),
        }
    }
}

/// Everything that a proposal may be made from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Information {
    /// Which kinds of information there are at all.
    pub used: InformationUse,
    /// I1: the task.
    pub task: TaskContext,
    /// The solution that is being improved: the best one, once there is one. It belongs to the
    /// task as soon as a search is more than a single shot.
    pub current: Option<Solution>,
    /// I2: historical solutions, best first; `None` where they are withheld.
    pub history: Option<Vec<Solution>>,
    /// I3: insights, strongest first; empty where they are withheld.
    pub insights: Vec<Insight>,
}

impl Information {
    /// The solutions that may be changed or combined, best first.
    pub fn parents(&self) -> &[Solution] {
        match &self.history {
            Some(history) => history,
            None => self.current.as_slice(),
        }
    }
}

impl fmt::Display for Information {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = &self.task;
        if self.used.task {
            writeln!(
                formatter,
                "Task: tune `{}` for {}.",
                task.candidate,
                goal(&task.ranking)
            )?;
            for note in &task.notes {
                writeln!(formatter, "- {note}")?;
            }
            writeln!(formatter, "Parameters:")?;
            for param in &task.params {
                write!(formatter, "- {param}")?;
            }
        }
        if let Some(current) = &self.current {
            writeln!(formatter, "Current best: {}", line(current))?;
        }
        if let Some(history) = &self.history {
            writeln!(formatter, "Solutions so far, best first:")?;
            for solution in history {
                writeln!(formatter, "- {}", line(solution))?;
            }
        }
        if !self.insights.is_empty() {
            writeln!(formatter, "Insights:")?;
            for insight in &self.insights {
                writeln!(formatter, "- {insight}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TaskParam {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(Value::to_string).collect();
        write!(
            formatter,
            "{} in {{{}}}, default {}",
            self.name,
            values.join(", "),
            self.default
        )?;
        if !self.doc.is_empty() {
            write!(formatter, ": {}", self.doc)?;
        }
        writeln!(formatter)
    }
}

fn goal(ranking: &Ranking) -> String {
    match ranking {
        Ranking::Metric { name, higher: true } => format!("the highest {name}"),
        Ranking::Metric {
            name,
            higher: false,
        } => format!("the lowest {name}"),
        Ranking::Front { metrics } => {
            let wanted = metrics.iter().map(|it| {
                let most = if it.higher { "highest" } else { "lowest" };
                format!("the {most} {}", it.name)
            });
            let wanted: Vec<String> = wanted.collect();
            format!(
                "{}: every trade-off that nothing beats in all of them",
                wanted.join(" and ")
            )
        }
    }
}

fn line(solution: &Solution) -> String {
    format!(
        "trial {}: {} with {}",
        solution.trial,
        solution.value,
        format_params(&solution.params)
    )
}
