//! Insights (I3): statements about what makes a solution good or bad, with evidence, that bias
//! what is proposed next.

mod guidance;
mod interactions;
mod ledger;
mod statistics;

use std::fmt;

use evo_types::{Params, Value};
use serde::{Deserialize, Serialize};

use crate::space::Space;
pub(crate) use guidance::{Guidance, ascending};
pub(crate) use ledger::Ledger;
pub(crate) use statistics::derive;

/// A statement and the lever that it pulls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// The identity: what says what about which parameter. An insight that is derived again
    /// keeps its identity, and with it its age and credit.
    pub id: String,
    /// The statement, for people.
    pub statement: String,
    /// What to do about it.
    pub lever: Lever,
    /// Where it holds.
    pub scope: Scope,
    /// How sure and how important it is, in 0 to 1.
    pub strength: f64,
    /// What it rests on.
    pub evidence: Evidence,
    /// Who says so.
    pub source: Source,
    /// Outcomes told since it was first stated.
    #[serde(default)]
    pub age: u64,
    /// How often following it paid, as a forgetting mean in 0 to 1; one half to begin with.
    #[serde(default = "initial_credit")]
    pub credit: f64,
    /// Proposals that followed it and whose outcome is known.
    #[serde(default)]
    pub followed: u64,
    /// How many of these were better than the solution that they changed.
    #[serde(default)]
    pub better: u64,
}

/// The credit of an insight that has not been tried.
pub(crate) const INITIAL_CREDIT: f64 = 0.5;

fn initial_credit() -> f64 {
    INITIAL_CREDIT
}

impl Insight {
    /// How much the insight biases proposals, in 0 to 1.
    pub fn influence(&self) -> f64 {
        (self.strength.clamp(0.0, 1.0) * self.credit.clamp(0.0, 1.0) / INITIAL_CREDIT).min(1.0)
    }

    /// The lever, and where to pull it: `set STAGES=2`, `set STAGES=2 where TILE=64`, `set STAGES=2 in
    /// trial 7`.
    pub fn advice(&self) -> String {
        match &self.scope {
            Scope::Where { param, value } => format!("{} where {param}={value}", self.lever),
            Scope::Solution(trial) => format!("{} in trial {trial}", self.lever),
            Scope::Space => self.lever.to_string(),
        }
    }
}

impl fmt::Display for Insight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} [{}; {}; strength {:.2}, credit {:.2}]",
            self.statement,
            self.advice(),
            self.source,
            self.strength,
            self.credit
        )
    }
}

/// A parameter and what to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lever {
    /// The parameter's name.
    pub param: String,
    /// What to do.
    pub action: Action,
}

/// What to do with a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Use this value.
    Prefer(Value),
    /// Use any other value.
    Avoid(Value),
    /// Use larger values.
    Raise,
    /// Use smaller values.
    Lower,
    /// Leave it: it makes no difference.
    NoEffect,
}

impl Lever {
    /// Whether a configuration does not do it yet: the parameter is active, and has another value, or one
    /// further in the direction. To leave a parameter can always be done.
    pub fn is_open(&self, space: &Space, params: &Params) -> bool {
        let param = space.params().iter().find(|it| it.name == self.param);
        let (Some(param), Some(own)) = (param, params.get(&self.param)) else {
            return false;
        };
        let beyond = |further: fn(f64, f64) -> bool| {
            let values = param.values.iter().filter_map(Value::as_float);
            own.as_float()
                .is_some_and(|own| values.into_iter().any(|it| further(it, own)))
        };
        match &self.action {
            Action::Prefer(value) => value != own,
            Action::Avoid(value) => value == own,
            Action::Raise => beyond(|it, own| it > own),
            Action::Lower => beyond(|it, own| it < own),
            Action::NoEffect => true,
        }
    }
}

impl fmt::Display for Lever {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let param = &self.param;
        match &self.action {
            Action::Prefer(value) => write!(formatter, "set {param}={value}"),
            Action::Avoid(value) => write!(formatter, "avoid {param}={value}"),
            Action::Raise => write!(formatter, "raise {param}"),
            Action::Lower => write!(formatter, "lower {param}"),
            Action::NoEffect => write!(formatter, "leave {param}"),
        }
    }
}

/// Where an insight holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In the whole space.
    Space,
    /// For changes to the solution of one trial, as with a profile of it.
    Solution(u64),
    /// For configurations in which another parameter has this value.
    Where {
        /// The other parameter.
        param: String,
        /// Its value.
        value: Value,
    },
}

/// What an insight rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Trials with the property that the insight is about.
    pub n: u64,
    /// Trials that they were compared with.
    pub others: u64,
    /// The ratio of the ranked metric, as the logarithm, negative for better; for failures the
    /// difference of the failure rates.
    pub effect: f64,
    /// The test statistic: Welch's t, or z for failures; for an interaction that of the difference
    /// between the effects here and elsewhere; 0 where there is none.
    pub statistic: f64,
}

/// Who made an insight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Statistics over the trial history.
    History,
    /// What a build says of itself: registers, spills, shared memory.
    Build,
    /// A profiler, by name.
    Profiler(String),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History => formatter.write_str("trial history"),
            Self::Build => formatter.write_str("build"),
            Self::Profiler(name) => write!(formatter, "profiler {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Env;

    #[test]
    fn a_lever_that_is_pulled_already_is_not_open() {
        let text = r#"(name: "t", params: [
            (name: "A", values: [64, 16, 32]),
            (name: "B", values: ["x", "y"]),
            (name: "C", values: [1, 2], when: "B == 'x'"),
        ])"#;
        let space = Space::parse(text, "t.ron", &Env::default()).unwrap();
        let params: Params = [("A".to_owned(), 16.into()), ("B".to_owned(), "y".into())].into();
        let open = |param: &str, action: Action| {
            let param = param.to_owned();
            Lever { param, action }.is_open(&space, &params)
        };
        assert!(open("A", Action::Raise) && !open("A", Action::Lower));
        assert!(open("A", Action::Prefer(32.into())) && !open("A", Action::Prefer(16.into())));
        assert!(open("B", Action::Avoid("y".into())) && !open("B", Action::Avoid("x".into())));
        assert!(open("A", Action::NoEffect));
        // Inactive, and not there.
        assert!(!open("C", Action::Prefer(2.into())) && !open("D", Action::Raise));
    }
}
