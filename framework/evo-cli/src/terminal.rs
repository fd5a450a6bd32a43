//! What a run shows while it runs: a progress bar on a terminal, lines in a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use evo_journal::{Comparison, Evaluated, Plan, Proposed, Stage, Work};
use evo_run::{Event, Observer, Progress, Queues, SilentObserver};
use evo_types::{OutcomeKind, Params, format_params};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Output;
use crate::command::note;

/// The observer that fits: none when quiet or for JSON, a bar on a terminal, lines elsewhere.
pub(crate) fn observer(output: Output) -> Box<dyn Observer> {
    if output.quiet || output.json {
        return Box::new(SilentObserver);
    }
    if std::io::stderr().is_terminal() {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::default())
    }
}

/// A progress bar with best so far, speedups, trials by outcome and time left.
struct Bar {
    bar: ProgressBar,
    standing: String,
    watch: Watch,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        // A template of ours cannot be wrong at run time; if it were, the default style would do.
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {elapsed} [{bar:24}] {pos}/{len} {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            standing: String::new(),
            watch: Watch::default(),
        }
    }
}

impl Observer for Bar {
    fn on(&mut self, event: &Event<'_>) {
        match event {
            Event::Started {
                plan,
                folder,
                recorded,
            } => {
                self.watch.start(plan);
                self.bar.println(opening(plan, folder, *recorded));
                if let Some(trials) = budget_trials(plan) {
                    self.bar.set_length(trials);
                }
                self.bar.set_position(*recorded);
            }
            Event::Phase { phase, subject } => {
                let Watch { queues, .. } = &self.watch;
                self.bar
                    .set_message(format!("{}{queues} {subject}: {phase}", self.standing));
            }
            Event::Queues(queues) => self.watch.look(*queues),
            Event::Evaluated {
                proposed,
                evaluated,
                progress,
            } => {
                self.bar.set_position(progress.counts.trials);
                self.standing = standing(progress);
                self.bar.set_message(self.standing.clone());
                if let Some(line) = self.watch.notable(proposed, evaluated, progress) {
                    self.bar.println(line);
                }
            }
            Event::Finished { .. } => self.bar.finish_and_clear(),
            other => {
                if let Some(line) = self.watch.line(other) {
                    self.bar.println(line);
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Lines for a log file: every new best, every failure kind's first occurrence, and a line now
/// and then.
struct Lines {
    last: Instant,
    watch: Watch,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            last: Instant::now(),
            watch: Watch::default(),
        }
    }
}

impl Observer for Lines {
    fn on(&mut self, event: &Event<'_>) {
        match event {
            Event::Started {
                plan,
                folder,
                recorded,
            } => {
                self.watch.start(plan);
                note(&opening(plan, folder, *recorded));
            }
            Event::Evaluated {
                proposed,
                evaluated,
                progress,
            } => {
                if let Some(line) = self.watch.notable(proposed, evaluated, progress) {
                    note(&line);
                    self.last = Instant::now();
                } else if self.last.elapsed() > Duration::from_secs(10) {
                    let trials = progress.counts.trials;
                    let Watch { queues, .. } = &self.watch;
                    note(&format!("{trials} trials, {}{queues}", standing(progress)));
                    self.last = Instant::now();
                }
            }
            Event::Queues(queues) => self.watch.look(*queues),
            Event::Finished { reason } => note(&format!("search ended: {reason}")),
            other => {
                if let Some(line) = self.watch.line(other) {
                    note(&line);
                }
            }
        }
    }
}

fn opening(plan: &Plan, folder: &std::path::Path, recorded: u64) -> String {
    let what = match &plan.work {
        Work::Problem { spec, .. } => {
            format!("{} ({})", spec.problem, format_params(&spec.fields))
        }
        Work::Objective { name, .. } => format!("the objective {name}"),
    };
    let candidates: Vec<&str> = plan.candidates.iter().map(|c| c.label.as_str()).collect();
    let again = if recorded > 0 {
        format!(", {recorded} trials recorded")
    } else {
        String::new()
    };
    format!(
        "tuning {} for {what}\non {}, preset {}, seed {}{again}\nin {}",
        candidates.join(", "),
        plan.device.name,
        plan.preset,
        plan.seed,
        folder.display()
    )
}

fn budget_trials(plan: &Plan) -> Option<u64> {
    plan.engine.get("budget")?.get("trials")?.as_u64()
}

/// `best 3.21 ms, 4.10x A, 1.31x B | 12 ok 3 failed 1 duplicate | 1m20s left`.
fn standing(progress: &Progress) -> String {
    let counts = &progress.counts;
    let mut text = match progress.best {
        Some(best) => format!("best {}", amount(best, &progress.unit)),
        None => "nothing correct yet".to_owned(),
    };
    for (label, ratio) in &progress.speedups {
        text.push_str(&format!(", {ratio:.2}x {label}"));
    }
    let measured = counts.of(OutcomeKind::Measured);
    text.push_str(&format!(" | {measured} ok"));
    for kind in OutcomeKind::ALL {
        if kind != OutcomeKind::Measured && counts.of(kind) > 0 {
            text.push_str(&format!(", {} {}", counts.of(kind), kind.words()));
        }
    }
    if let Some(left) = progress.left_s {
        text.push_str(&format!(" | {} left", duration(left)));
    }
    text
}

/// ` | building 3, 2 built, measuring 1`.
fn in_queues(queues: Queues) -> String {
    let Queues {
        waiting,
        building,
        ready,
        measuring,
    } = queues;
    let waiting = match waiting {
        0 => String::new(),
        waiting => format!(" (+{waiting})"),
    };
    format!(" | building {building}{waiting}, {ready} built, measuring {measuring}")
}

/// What has to be known of the run to say what happens.
#[derive(Default)]
struct Watch {
    /// The parameters of the best trial so far, for showing only what another one changes.
    best: Option<Params>,
    /// The ranked metric.
    metric: String,
    /// Whether there are no kernels, and so no interleaved measurement.
    objective: bool,
    /// Whether trials are built ahead of their turn.
    ahead: bool,
    /// How many trials are where, if they are built ahead.
    queues: String,
}

impl Watch {
    fn start(&mut self, plan: &Plan) {
        self.metric.clone_from(&plan.metric);
        self.objective = matches!(plan.work, Work::Objective { .. });
        self.ahead = plan.ahead > 1 && !self.objective;
    }

    fn look(&mut self, queues: Queues) {
        if self.ahead {
            self.queues = in_queues(queues);
        }
    }

    /// A line for a trial that is worth one: a new best, or a failure.
    fn notable(
        &mut self,
        proposed: &Proposed,
        evaluated: &Evaluated,
        progress: &Progress,
    ) -> Option<String> {
        let (trial, operator) = (evaluated.trial, &proposed.operator);
        match evaluated.outcome.kind() {
            OutcomeKind::Measured if progress.counts.since_best == 0 => {
                let changes = self.changes(&proposed.params);
                self.best = Some(proposed.params.clone());
                Some(format!(
                    "#{trial} {operator}: {}  {changes}",
                    standing(progress)
                ))
            }
            OutcomeKind::Measured | OutcomeKind::DuplicateOf | OutcomeKind::Rejected => None,
            _ => Some(format!(
                "#{trial} {operator}: {}  {}",
                evaluated.outcome.summary(),
                self.changes(&proposed.params)
            )),
        }
    }

    /// A line for what is neither a start, a trial nor an end.
    fn line(&self, event: &Event<'_>) -> Option<String> {
        match event {
            Event::WaitingForDevice { holder } => {
                Some(format!("waiting for the device: {holder} measures on it"))
            }
            Event::Comparing {
                stage: Stage::Baselines,
                items,
                ..
            } => Some(format!("measuring {items} baselines, interleaved ...")),
            Event::Comparing { items, .. } if self.objective => Some(format!(
                "evaluating the {items} finalists once more, in a fresh process ..."
            )),
            Event::Comparing {
                stage: Stage::Confirmation,
                items,
                processes,
            } => Some(format!(
                "confirming {items} candidates with fresh seeds, in {}",
                if *processes == 1 {
                    "a fresh process ...".to_owned()
                } else {
                    format!("{processes} fresh processes, one after the other ...")
                }
            )),
            Event::Compared(comparison) => Some(self.compared(comparison)),
            Event::Warning(message) => Some(format!("warning: {message}")),
            Event::Diagnosed(diagnosed) => {
                let worst = diagnosed.diagnoses.first()?;
                let levers = match worst.levers.as_slice() {
                    [] => String::new(),
                    levers => format!(": {}", levers.join(", ")),
                };
                Some(format!("{}: {}{levers}", diagnosed.label, worst.statement))
            }
            Event::Profiled(profiled) => Some(match &profiled.failure {
                Some(failure) => format!(
                    "{}: no profile of {}: {failure}",
                    profiled.profiler, profiled.label
                ),
                None => format!(
                    "{}: {} profiled, {} metrics",
                    profiled.profiler,
                    profiled.label,
                    profiled.metrics.len()
                ),
            }),
            _ => None,
        }
    }

    fn compared(&self, comparison: &Comparison) -> String {
        let items: Vec<String> = comparison
            .items
            .iter()
            .map(|item| {
                match item
                    .outcome
                    .measurement()
                    .and_then(|m| m.metric(&self.metric))
                {
                    Some(metric) => {
                        format!("{} {}", item.label, amount(metric.value, &metric.unit))
                    }
                    None => format!("{} {}", item.label, item.outcome.kind().words()),
                }
            })
            .collect();
        format!("  {}", items.join(", "))
    }

    /// What differs from the best so far; everything, where there is none.
    fn changes(&self, params: &Params) -> String {
        let Some(best) = &self.best else {
            return format_params(params);
        };
        let changed: Params = params
            .iter()
            .filter(|(name, value)| best.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        format!("with {}", format_params(&changed))
    }
}

/// A figure with its unit; microseconds become milliseconds or seconds where they are many.
fn amount(value: f64, unit: &str) -> String {
    match unit {
        "us" if value >= 1e6 => format!("{:.3} s", value / 1e6),
        "us" if value >= 1e3 => format!("{:.3} ms", value / 1e3),
        "us" => format!("{value:.2} us"),
        "" => format!("{value:.5}"),
        unit => format!("{value:.5} {unit}"),
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use evo_core::engine::Counts;

    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(amount(1234.5, "us"), "1.234 ms");
        assert_eq!(amount(12.0, "us"), "12.00 us");
        assert_eq!(amount(0.5, ""), "0.50000");
        assert_eq!(duration(80.0), "1m20s");
        assert_eq!(duration(7300.0), "2h01m");
    }

    #[test]
    fn both_queues_are_shown_where_trials_are_built_ahead() {
        let queues = Queues {
            waiting: 2,
            building: 3,
            ready: 1,
            measuring: 1,
        };
        let mut watch = Watch::default();
        watch.look(queues);
        assert_eq!(watch.queues, "");
        watch.ahead = true;
        watch.look(queues);
        assert_eq!(watch.queues, " | building 3 (+2), 1 built, measuring 1");
    }

    #[test]
    fn the_standing_has_best_speedups_counts_and_time_left() {
        let mut counts = Counts::default();
        counts.by_outcome.insert(OutcomeKind::Measured, 12);
        counts.by_outcome.insert(OutcomeKind::Crashed, 3);
        let progress = Progress {
            counts,
            budget_trials: Some(64),
            left_s: Some(80.0),
            best: Some(3210.0),
            unit: "us".to_owned(),
            speedups: vec![("A".to_owned(), 4.1), ("B".to_owned(), 1.313)],
        };
        assert_eq!(
            standing(&progress),
            "best 3.210 ms, 4.10x A, 1.31x B | 12 ok, 3 crashed | 1m20s left"
        );
    }
}
