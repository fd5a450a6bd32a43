//! Replays recorded tuning spaces to see how well the presets search.
//!
//! ```text
//! cargo run --release -p evo-core --example replay -- [--seeds N] [--presets a,b] FILE...
//! ```
//!
//! A file is a `recorded-space/1` document as plain JSON (`xz -d` it first). Its restrictions are
//! written in Python, which for the expressions in use reads the same as the constraints of a
//! space. Each distinct configuration is one trial, failed ones included. Printed is the mean of
//! optimum / best found after 32, 64, 128 and 256 trials, the share of runs that end within 1 % of
//! the optimum, and the time per proposal. A space without declared defaults starts from a random
//! configuration, so that no preset profits from the order in which values were listed.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "an example is a program: it reads files, takes arguments and looks at the clock"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use evo_core::engine::{Ask, Budget, Campaign, Cost, EngineSettings, Genotype, Preset, Ranking};
use evo_core::space::{Env, Space};
use evo_types::{Direction, Measurement, Metric, Outcome};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

const BUDGETS: [usize; 4] = [32, 64, 128, 256];

#[derive(Deserialize)]
struct Document {
    params: Vec<Parameter>,
    restrictions: Vec<String>,
    config: Vec<u64>,
    time: Vec<Option<f64>>,
    optimum: f64,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    values: Vec<serde_json::Value>,
}

/// A recorded space: times by value indices.
struct Recorded {
    name: String,
    document: Document,
    times: BTreeMap<Vec<u32>, Option<f64>>,
}

impl Recorded {
    fn load(path: &str) -> Result<Self, Box<dyn Error>> {
        let document: Document = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let sizes: Vec<u64> = document
            .params
            .iter()
            .map(|p| p.values.len() as u64)
            .collect();
        let times = document
            .config
            .iter()
            .zip(&document.time)
            .map(|(index, time)| {
                let mut left = *index;
                let mut choices: Vec<u32> = Vec::new();
                for size in sizes.iter().rev() {
                    choices.push((left % size) as u32);
                    left /= size;
                }
                choices.reverse();
                (choices, *time)
            });
        let times = times.collect();
        let name = path
            .rsplit('/')
            .next()
            .unwrap_or(path)
            .trim_end_matches(".json")
            .to_owned();
        Ok(Self {
            name,
            document,
            times,
        })
    }

    /// The space as RON, with a random recorded configuration as its default.
    fn space(&self, seed: u64) -> Result<Space, Box<dyn Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = self.times.keys().nth(rng.random_range(0..self.times.len()));
        let mut text = "(name: \"recorded\", params: [".to_owned();
        for (place, param) in self.document.params.iter().enumerate() {
            let values: Vec<String> = param.values.iter().map(|value| value.to_string()).collect();
            let default = start.and_then(|start| values.get(*start.get(place)? as usize));
            let default = default.ok_or("an empty recording")?;
            let values = values.join(", ");
            text += &format!(
                "(name: {:?}, values: [{values}], default: {default}),",
                param.name
            );
        }
        text += "], constraints: [";
        for restriction in &self.document.restrictions {
            text += &format!("(expr: {restriction:?}, reason: \"recorded\"),");
        }
        text += "])";
        Ok(Space::parse(&text, &self.name, &Env::default())?)
    }

    /// One search: the best ratio after each budget, and the seconds spent in the engine.
    fn search(&self, preset: Preset, seed: u64) -> Result<(Vec<f64>, f64), Box<dyn Error>> {
        let last = BUDGETS[BUDGETS.len() - 1];
        let budget = Budget::trials(last as u64);
        let settings = EngineSettings::new(preset, Ranking::lower("time"), budget);
        let space = Arc::new(self.space(seed)?);
        let start = Instant::now();
        let mut campaign = Campaign::single(&self.name, space, settings, seed);
        let mut curve = Vec::new();
        let mut best = f64::INFINITY;
        while let Ask::Propose(proposal) = campaign.ask() {
            let Genotype::Config(choices) = &proposal.genotype else {
                break;
            };
            let choices: Option<Vec<u32>> = choices.iter().copied().collect();
            let time = choices.and_then(|choices| self.times.get(&choices));
            let outcome = match time.ok_or("a proposal that was not recorded")? {
                Some(time) => {
                    best = best.min(*time);
                    measured(*time)
                }
                None => Outcome::BuildFailed {
                    message: "recorded".into(),
                    log: String::new(),
                },
            };
            curve.push(if best.is_finite() {
                self.document.optimum / best
            } else {
                0.0
            });
            campaign.tell(proposal.trial, &outcome, Cost::default())?;
        }
        let seconds = start.elapsed().as_secs_f64() / curve.len().max(1) as f64;
        let at = |budget: &usize| curve.get((*budget).min(curve.len()) - 1).copied();
        Ok((BUDGETS.iter().filter_map(at).collect(), seconds))
    }
}

fn measured(time: f64) -> Outcome {
    Outcome::Measured(Measurement {
        metrics: vec![Metric::new("time", "ms", Direction::Lower, time)],
        error: None,
        execution: None,
        recheck_seed: None,
        raced_out: false,
        converged: true,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut seeds = 10;
    let mut presets = Preset::EVO_ENGINEER.to_vec();
    let mut files = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => seeds = args.next().ok_or("--seeds needs a number")?.parse()?,
            "--presets" => {
                let names = args.next().ok_or("--presets needs names")?;
                presets = names.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            _ => files.push(Recorded::load(&arg)?),
        }
    }
    for preset in presets {
        let mut total = [0.0; BUDGETS.len()];
        let (mut near, mut seconds) = (0.0, 0.0);
        let share = 1.0 / (files.len().max(1) as f64 * seeds as f64);
        for recorded in &files {
            let mut mean = [0.0; BUDGETS.len()];
            for seed in 0..seeds {
                let (ratios, per_proposal) = recorded.search(preset, seed)?;
                for ((mean, total), ratio) in mean.iter_mut().zip(&mut total).zip(&ratios) {
                    *mean += ratio / seeds as f64;
                    *total += ratio * share;
                }
                near += share * f64::from(ratios.last().is_some_and(|ratio| *ratio >= 0.99));
                seconds += per_proposal * share;
            }
            println!("{preset:8} {:28} {}", recorded.name, row(&mean));
        }
        let line = format!("within 1 % {near:.2}, {:.2} ms a proposal", seconds * 1e3);
        println!("{preset:8} {:28} {} {line}", "mean", row(&total));
    }
    Ok(())
}

fn row(ratios: &[f64]) -> String {
    ratios.iter().map(|ratio| format!("{ratio:.3} ")).collect()
}
