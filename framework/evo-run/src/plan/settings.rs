//! The figures of a run: budget, limits, and how candidates are measured.

use evo_core::engine::{Budget, EngineSettings, Preset, Ranked, Ranking};
use evo_journal::{Limits, Plan, register_file};
use evo_wire::{MeasureSettings, SCORE};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::spec::RunSpec;

/// Trials where a spec gives no limit at all.
const DEFAULT_TRIALS: u64 = 128;

/// A factor that no candidate reaches. Not infinity, which JSON does not have.
const NOBODY_RACES: f64 = 1e9;

/// The metric of the energy of a launch, and the seconds over which it is measured where it ranks.
const ENERGY: &str = "energy";
const ENERGY_SECONDS: f64 = 0.5;

/// Most seconds of a warm-up, where a spec does not want more.
const WARMUP_SECONDS: f64 = 0.15;
/// Fewest seeds of the ordinary distribution on which a candidate is checked before its timing.
const LEAST_SEEDS: u32 = 3;

/// Checks the figures of a spec.
pub(super) fn check(spec: &RunSpec) -> Result<(), RunError> {
    let positive = |name: &str, value: Option<f64>| match value {
        Some(value) if !(value.is_finite() && value > 0.0) => Err(RunError::input(format!(
            "{name} is {value}, but must be a positive number"
        ))),
        _ => Ok(()),
    };
    positive("budget.wall_s", spec.budget.wall_s)?;
    positive("budget.device_s", spec.budget.device_s)?;
    positive("limits.build_s", spec.limits.build_s)?;
    positive("limits.verify_s", spec.limits.verify_s)?;
    positive("limits.measure_s", spec.limits.measure_s)?;
    positive("measure.max_seconds", spec.measure.max_seconds)?;
    positive("measure.precision", spec.measure.precision)?;
    positive("measure.confirm_seconds", spec.measure.confirm_seconds)?;
    let seconds = spec.measure.energy_seconds.unwrap_or(0.0);
    if !(0.0..=600.0).contains(&seconds) {
        return Err(RunError::input(format!(
            "measure.energy_seconds is {seconds}, but must be between 0 and 600"
        )));
    }
    let seconds = spec.measure.warmup_seconds.unwrap_or(0.0);
    if !(0.0..=600.0).contains(&seconds) {
        return Err(RunError::input(format!(
            "measure.warmup_seconds is {seconds}, but must be between 0 and 600"
        )));
    }
    check_weights(spec)?;
    check_front(spec)?;
    if let Some(tuning) = &spec.tuning {
        tuning
            .check()
            .map_err(|wrong| RunError::input(format!("tuning: {wrong}")))?;
    }
    let at_least_one = |name: &str, value: Option<u64>| match value {
        Some(0) => Err(RunError::input(format!(
            "{name} is 0, but must be at least 1"
        ))),
        _ => Ok(()),
    };
    at_least_one("budget.trials", spec.budget.trials)?;
    at_least_one("budget.stagnation", spec.budget.stagnation)?;
    at_least_one("elites", spec.elites.map(|n| n as u64))?;
    at_least_one("ahead", spec.ahead.map(|n| n as u64))?;
    at_least_one("top_k", spec.top_k.map(|n| n as u64))?;
    if spec
        .measure
        .verify_seeds
        .is_some_and(|seeds| seeds < LEAST_SEEDS)
    {
        return Err(RunError::input(format!(
            "measure.verify_seeds must be at least {LEAST_SEEDS}: fewer let wrong kernels pass"
        )));
    }
    at_least_one(
        "measure.min_samples",
        spec.measure.min_samples.map(|n| n as u64),
    )?;
    at_least_one(
        "measure.max_samples",
        spec.measure.max_samples.map(|n| n as u64),
    )?;
    at_least_one(
        "measure.confirm_processes",
        spec.measure.confirm_processes.map(|n| n as u64),
    )?;
    at_least_one(
        "measure.confirm_rounds",
        spec.measure.confirm_rounds.map(|n| n as u64),
    )?;
    if spec.budget.stop_at_target && spec.target.is_none() {
        return Err(
            RunError::input("budget.stop_at_target is set, but the spec has no target")
                .hint("add `target: \"2x over A\"`, or leave stop_at_target out"),
        );
    }
    Ok(())
}

/// Refuses several ranked metrics for an objective, whether the spec names it or its plugin brings it.
pub(super) fn check_objective(spec: &RunSpec) -> Result<(), RunError> {
    if spec.weights.is_empty() && spec.pareto.is_empty() {
        return Ok(());
    }
    Err(RunError::input(
        "`weights` and `pareto` are for what is measured of kernels; an objective ranks by one figure of \
         its own",
    )
    .hint("have the objective return the combination as a metric, and name it by `metric`"))
}

/// Checks the metrics of which the Pareto front is wanted.
fn check_front(spec: &RunSpec) -> Result<(), RunError> {
    if spec.pareto.is_empty() {
        return Ok(());
    }
    let mut names: Vec<&str> = spec.pareto.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 || names.len() < spec.pareto.len() {
        return Err(RunError::input(format!(
            "`pareto` names {}: it takes two metrics at least, each once",
            spec.pareto.join(", ")
        )));
    }
    if spec.metric.is_some() || !spec.weights.is_empty() || spec.higher_is_better.is_some() {
        return Err(RunError::input(
            "the spec wants a Pareto front (`pareto`) and ranks by `metric`, `weights` or `higher_is_better`: \
             only one of them can rank",
        )
        .hint("leave the others out"));
    }
    if spec.budget.stop_at_target {
        return Err(RunError::input(
            "a search for a Pareto front has no single figure that could reach a target",
        )
        .hint("leave `budget.stop_at_target` out"));
    }
    let preset = spec.preset.unwrap_or(Preset::Full);
    if !Preset::EVO_ENGINEER.contains(&preset) {
        let names = Preset::EVO_ENGINEER.map(Preset::name);
        return Err(RunError::input(format!(
            "the preset `{preset}` follows one figure and cannot look for a Pareto front"
        ))
        .hint(format!("use one of {}", names.join(", "))));
    }
    Ok(())
}

/// Whether more of a metric is better, as far as its name tells.
pub(super) fn is_higher(metric: &str) -> bool {
    metric == "throughput"
}

/// Checks what several metrics are combined by.
fn check_weights(spec: &RunSpec) -> Result<(), RunError> {
    if spec.weights.is_empty() {
        return Ok(());
    }
    if let Some(metric) = &spec.metric {
        return Err(RunError::input(format!(
            "the spec ranks by `metric: {metric:?}` and by `weights`: only one of them can rank"
        ))
        .hint("leave one of them out"));
    }
    if spec.higher_is_better == Some(true) {
        return Err(RunError::input(
            "with `weights` less of the score is better, and `higher_is_better` says the opposite",
        )
        .hint("leave it out: each metric counts in its own direction"));
    }
    for (name, weight) in &spec.weights {
        if !(weight.is_finite() && *weight > 0.0) {
            return Err(RunError::input(format!(
                "the weight of `{name}` is {weight}, but must be a positive number"
            )));
        }
        if name == SCORE {
            return Err(RunError::input(format!(
                "`{SCORE}` is what the weights make, and cannot be one of the metrics"
            )));
        }
    }
    Ok(())
}

/// The metric that ranks kernels.
pub(super) fn metric(spec: &RunSpec) -> String {
    match spec.metric.as_ref().or(spec.pareto.first()) {
        Some(metric) => metric.clone(),
        None if !spec.weights.is_empty() => SCORE.to_owned(),
        None => "kernel_time".to_owned(),
    }
}

/// The engine's settings. `higher` says whether more of the ranked metric is better.
pub(super) fn engine(spec: &RunSpec, metric: &str, higher: bool) -> EngineSettings {
    let mut budget = Budget {
        trials: spec.budget.trials,
        wall_s: spec.budget.wall_s,
        device_s: spec.budget.device_s,
        stagnation: spec.budget.stagnation,
        ..Budget::default()
    };
    if budget.trials.is_none()
        && budget.wall_s.is_none()
        && budget.device_s.is_none()
        && budget.stagnation.is_none()
    {
        budget.trials = Some(DEFAULT_TRIALS);
    }
    let ranking = if !spec.pareto.is_empty() {
        let metrics = spec.pareto.iter().map(|name| Ranked {
            name: name.clone(),
            higher: is_higher(name),
        });
        Ranking::Front {
            metrics: metrics.collect(),
        }
    } else if higher {
        Ranking::higher(metric)
    } else {
        Ranking::lower(metric)
    };
    let mut settings = EngineSettings::new(spec.preset.unwrap_or(Preset::Full), ranking, budget);
    settings.turns = spec.turns.unwrap_or(settings.turns);
    if let Some(tuning) = &spec.tuning {
        settings.tuning = tuning.clone();
    }
    match spec.elites {
        Some(elites) => settings.with_elites(elites),
        None => settings,
    }
}

/// Builds beyond the trials that are measured, on a GPU. A proposal that is made ahead does not know
/// the outcomes of those before it, so no more are made than keep a device busy whose builds take
/// several times as long as its measurements: framework/ARCHITECTURE.md has what either costs.
const GPU_BUILDS_AHEAD: usize = 7;

/// How many proposals are under way at once, on so many devices of this kind.
pub(super) fn ahead(spec: &RunSpec, kind: &str, devices: usize) -> usize {
    let usual = match kind {
        "cuda" => devices + GPU_BUILDS_AHEAD,
        _ => 1,
    };
    spec.ahead.unwrap_or(usual).max(devices)
}

/// The limits of a trial.
pub(crate) fn limits(spec: &RunSpec) -> Limits {
    let given = &spec.limits;
    Limits {
        build_s: given.build_s.unwrap_or(120.0),
        verify_s: given.verify_s.unwrap_or(120.0),
        measure_s: given.measure_s.unwrap_or(60.0),
        memory_bytes: given.memory_bytes.unwrap_or_else(three_quarters_of_memory),
        attempts: 3,
        crashes_in_a_row: given.crashes_in_a_row.unwrap_or(25),
        spill_bytes: given.spill_bytes.unwrap_or_else(register_file),
    }
}

fn three_quarters_of_memory() -> u64 {
    let total = rustix::system::sysinfo().totalram;
    total / 4 * 3
}

/// How candidates are verified and measured: what the plan records, so that a resumed run does
/// the same whatever the defaults have become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measuring {
    /// A trial.
    pub(crate) search: MeasureSettings,
    /// The baselines before the search.
    pub(crate) baselines: MeasureSettings,
    /// Finalists and baselines after it, in each process of the confirmation.
    pub(crate) confirmation: MeasureSettings,
    /// In how many fresh processes the confirmation is made.
    pub(crate) confirmation_processes: usize,
}

impl Measuring {
    /// What a spec asks for.
    pub(crate) fn asked(run: &RunSpec) -> Self {
        let spec = &run.measure;
        let by_energy = run.metric.as_deref() == Some(ENERGY)
            || run.weights.contains_key(ENERGY)
            || run.pareto.iter().any(|metric| metric == ENERGY);
        let usual = if by_energy { ENERGY_SECONDS } else { 0.0 };
        let search = MeasureSettings {
            verify_seeds: spec.verify_seeds.unwrap_or(LEAST_SEEDS),
            min_samples: spec.min_samples.unwrap_or(9),
            max_samples: spec.max_samples.unwrap_or(200),
            max_seconds: spec.max_seconds.unwrap_or(0.6),
            min_sample_seconds: 0.002,
            warmup_seconds: WARMUP_SECONDS,
            least_warmup_seconds: spec.warmup_seconds.unwrap_or(0.0),
            precision: spec.precision.unwrap_or(0.01),
            race_factor: 1.3,
            check_all_rows: false,
            energy_seconds: spec.energy_seconds.unwrap_or(usual),
            weights: run.weights.clone(),
        };
        let confirmation_processes = spec.confirm_processes.unwrap_or(3);
        let rounds = spec
            .confirm_rounds
            .unwrap_or(60)
            .div_ceil(confirmation_processes);
        let baselines = MeasureSettings {
            max_seconds: 6.0,
            max_samples: 40,
            race_factor: NOBODY_RACES,
            ..search.clone()
        };
        let confirmation = MeasureSettings {
            min_samples: rounds.min(15),
            max_samples: rounds,
            max_seconds: spec.confirm_seconds.unwrap_or(20.0) / confirmation_processes as f64,
            precision: 0.004,
            race_factor: NOBODY_RACES,
            check_all_rows: true,
            ..search.clone()
        };
        Self {
            search,
            baselines,
            confirmation,
            confirmation_processes,
        }
    }

    /// What a plan records.
    ///
    /// # Errors
    /// Where it is not there.
    pub(crate) fn of(plan: &Plan) -> Result<Self, RunError> {
        serde_json::from_value(plan.measure.clone()).map_err(|error| {
            RunError::environment(format!("the plan's measurement cannot be read: {error}"))
        })
    }
}
