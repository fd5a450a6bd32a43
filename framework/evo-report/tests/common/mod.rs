//! Synthetic journals.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod outcomes;
mod plan;
mod runs;

use evo_journal::{
    BuildFacts, ComparedItem, Comparison, Diagnosed, DiagnosisLine, Evaluated, Header, InsightLine,
    OperatorLine, Plan, Profiled, Proposed, Record, Snapshot, Stage, Target, Work,
};
use evo_types::{ContentHash, Direction, Metric, Outcome, Value};
use serde_json::json;

pub(crate) use outcomes::{crashed, duplicate, evaluated, rejected, samples, timed, wrong};
pub(crate) use plan::{candidate, configuration, environment, params, plan};
pub(crate) use runs::{all_failed, built, finished, interrupted, objective};

/// When every synthetic run begins: 2026-11-22 21:40 UTC.
const START: f64 = 1_795_383_600.0;

/// Records in the making. Times go by on their own.
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    plan: Plan,
    at: f64,
    trials: u64,
}

impl Journal {
    /// A run on attention kernels with baselines `math` and `flash`.
    pub(crate) fn kernels(target: Option<f64>) -> Self {
        let target = target.map(|speedup| Target {
            speedup,
            over: "A".to_owned(),
        });
        Self::new(Plan { target, ..plan() })
    }

    /// A run on an objective: no baselines, no problem.
    pub(crate) fn objective() -> Self {
        let work = Work::Objective {
            plugin: "recorded".to_owned(),
            name: "table".to_owned(),
            settings: params(&[("file", Value::from("spaces/conv.csv"))]),
        };
        Self::new(Plan {
            work,
            baselines: Vec::new(),
            metric: "runtime".to_owned(),
            measure: json!(null),
            ..plan()
        })
    }

    pub(crate) fn new(plan: Plan) -> Self {
        let header = Header {
            schema: 1,
            engine: "1".to_owned(),
            evo: "0.1.0".to_owned(),
            run: "mission".to_owned(),
        };
        let started = Record::Started {
            at: START,
            spec: "RunSpec(\n    problem: \"sdpa\",\n)".to_owned(),
            plan: Box::new(plan.clone()),
            environment: Box::new(environment()),
        };
        Self {
            records: vec![Record::Header(header), started],
            plan,
            at: START,
            trials: 0,
        }
    }

    fn elapsed(&mut self, seconds: f64) -> f64 {
        self.at += seconds;
        self.at - START
    }

    pub(crate) fn push(&mut self, record: Record) -> &mut Self {
        self.records.push(record);
        self
    }

    pub(crate) fn compare(&mut self, stage: Stage, items: Vec<ComparedItem>) -> &mut Self {
        let elapsed_s = self.elapsed(5.0);
        let seed = if stage == Stage::Baselines {
            1001
        } else {
            2002
        };
        self.push(Record::Compared(Comparison {
            at: self.at,
            stage,
            seed,
            processes: processes(stage, &items),
            items,
            elapsed_s,
        }))
    }

    /// The baselines before the search: A at 8.8 ms, B at 2.1 ms.
    pub(crate) fn baselines(&mut self) -> &mut Self {
        let items = vec![
            baseline(&self.plan, 0, timed(8800.0)),
            baseline(&self.plan, 1, timed(2100.0)),
        ];
        self.compare(Stage::Baselines, items)
    }

    /// A proposal with an outcome; the first is the default configuration.
    pub(crate) fn trial(&mut self, block: i64, outcome: Outcome) -> &mut Self {
        let trial = self.propose(block);
        let elapsed_s = self.elapsed(1.25);
        let evaluated = Evaluated {
            trial,
            attempt: 1,
            outcome,
            execution: None,
            build: None,
            wall_s: 1.25,
            device_s: 0.75,
            device: "cpu-1".to_owned(),
            elapsed_s,
            at: self.at,
        };
        self.push(Record::Evaluated(Box::new(evaluated)))
    }

    /// Says what the last trial's build was.
    pub(crate) fn built(&mut self, code: &str, grid: i64, registers: f64) -> &mut Self {
        if let Some(Record::Evaluated(evaluated)) = self.records.last_mut() {
            evaluated.build = Some(BuildFacts {
                code: ContentHash::of_bytes(code.as_bytes()),
                launch: params(&[("GRID", Value::from(grid))]),
                runtime: params(&[]),
                figures: vec![Metric::new(
                    "registers",
                    "count",
                    Direction::Lower,
                    registers,
                )],
            });
        }
        self
    }

    /// Changes a parameter of the last proposal.
    pub(crate) fn with(&mut self, name: &str, value: Value) -> &mut Self {
        let proposed = self
            .records
            .iter_mut()
            .rev()
            .find_map(|record| match record {
                Record::Proposed(proposed) => Some(proposed),
                _ => None,
            });
        if let Some(proposed) = proposed {
            proposed.params.insert(name.to_owned(), value);
        }
        self
    }

    /// Makes the last proposal one of another candidate.
    pub(crate) fn of(&mut self, candidate: &str, operator: &str) -> &mut Self {
        let proposed = self
            .records
            .iter_mut()
            .rev()
            .find_map(|record| match record {
                Record::Proposed(proposed) => Some(proposed),
                _ => None,
            });
        if let Some(proposed) = proposed {
            proposed.candidate = candidate.to_owned();
            proposed.operator = operator.to_owned();
        }
        self
    }

    /// A proposal without an outcome.
    pub(crate) fn propose(&mut self, block: i64) -> u64 {
        let trial = self.trials;
        self.trials += 1;
        let first = trial == 0;
        self.push(Record::Proposed(Proposed {
            trial,
            candidate: "tiled".to_owned(),
            params: configuration(block),
            id: ContentHash::of_bytes(&trial.to_le_bytes()),
            operator: if first { "default" } else { "mutation" }.to_owned(),
            parents: if first { Vec::new() } else { vec![trial - 1] },
            insights: Vec::new(),
            proposal: json!(null),
        }));
        trial
    }

    pub(crate) fn finished(&mut self, reason: &str) -> &mut Self {
        let elapsed_s = self.elapsed(1.0);
        self.push(Record::Finished {
            at: self.at,
            reason: reason.to_owned(),
            elapsed_s,
        })
    }

    /// The confirmation of trials with their blocks and medians, beside the baselines.
    pub(crate) fn confirmation(&mut self, finalists: Vec<(u64, i64, Outcome)>) -> &mut Self {
        let mut items = Vec::new();
        if !self.plan.baselines.is_empty() {
            items.push(baseline(&self.plan, 0, timed(8812.0)));
            items.push(baseline(&self.plan, 1, timed(2108.0)));
        }
        items.extend(
            finalists
                .into_iter()
                .map(|(trial, block, outcome)| ComparedItem {
                    label: format!("tiled #{trial}"),
                    trial: Some(trial),
                    kernel: "tiled".to_owned(),
                    params: configuration(block),
                    outcome,
                }),
        );
        self.compare(Stage::Confirmation, items)
    }

    pub(crate) fn snapshot(&mut self) -> &mut Self {
        self.push(Record::Snapshot(Snapshot {
            candidate: "tiled".to_owned(),
            space_size: "5,184 (exact)".to_owned(),
            insights: vec![
                InsightLine {
                    statement: "BLOCK_M: prefer 96, 1.3x faster than the rest".to_owned(),
                    strength: 0.82,
                    credit: 0.61,
                    evidence: 9,
                    source: "trial history".to_owned(),
                    lever: "set BLOCK_M=96".to_owned(),
                    effect: -0.26,
                    followed: 3,
                    better: 2,
                },
                InsightLine {
                    statement: "EXP | `poly` makes <no> difference".to_owned(),
                    strength: 0.35,
                    credit: 0.5,
                    evidence: 4,
                    source: "counters".to_owned(),
                    lever: String::new(),
                    effect: 0.0,
                    followed: 0,
                    better: 0,
                },
            ],
            withdrawn: vec![InsightLine {
                statement: "BLOCK_N=32 is 9.0 % worse than the other values".to_owned(),
                strength: 0.4,
                credit: 0.21,
                evidence: 3,
                source: "trial history".to_owned(),
                lever: "avoid BLOCK_N=32".to_owned(),
                effect: 0.086,
                followed: 4,
                better: 1,
            }],
            operators: vec![
                OperatorLine {
                    name: "mutation".to_owned(),
                    proposals: 6,
                    improvements: 2,
                },
                OperatorLine {
                    name: "crossover".to_owned(),
                    proposals: 2,
                    improvements: 0,
                },
            ],
        }))
    }

    pub(crate) fn diagnosed(&mut self, trial: u64) -> &mut Self {
        self.push(Record::Diagnosed(Diagnosed {
            at: self.at,
            source: "cpu/counters".to_owned(),
            label: format!("tiled #{trial}"),
            trial: Some(trial),
            diagnoses: vec![DiagnosisLine {
                rule: "cache_misses".to_owned(),
                statement: "3.1 % of the loads | miss the <L2> cache".to_owned(),
                severity: 0.4,
                levers: vec!["lower BLOCK_M".to_owned(), "set EXP=never".to_owned()],
            }],
            unjudged: [("idle_ports".to_owned(), "there is no port_use".to_owned())].into(),
            told: None,
        }))
    }

    pub(crate) fn profiled(&mut self, trial: u64) -> &mut Self {
        self.push(Record::Profiled(Profiled {
            at: self.at,
            profiler: "cpu/counters".to_owned(),
            label: format!("tiled #{trial}"),
            trial: Some(trial),
            metrics: vec![
                Metric::new("ipc", "", Direction::Higher, 2.41),
                Metric::new("l2_miss_rate", "%", Direction::Lower, 3.125),
            ],
            failure: None,
        }))
    }
}

fn baseline(plan: &Plan, position: usize, outcome: Outcome) -> ComparedItem {
    let planned = &plan.baselines[position];
    ComparedItem {
        label: planned.label.clone(),
        trial: None,
        kernel: planned.kernel.clone(),
        params: planned.pinned.clone(),
        outcome,
    }
}

/// The confirmation was made in two processes, half of the rounds in each.
fn processes(stage: Stage, items: &[ComparedItem]) -> Vec<usize> {
    let rounds = items
        .iter()
        .find_map(|item| Some(item.outcome.measurement()?.metrics.first()?.samples.len()))
        .unwrap_or(0);
    match stage {
        Stage::Confirmation if rounds > 1 => vec![rounds / 2, rounds - rounds / 2],
        _ => vec![rounds],
    }
}
