//! Which candidates of a run are replayed.

use evo_journal::{Plan, PlannedCandidate};
use evo_types::{Params, ProblemSpec};

use super::ReplaySettings;
use super::opening::Recorded;
use crate::RunError;
use crate::driver::{Entrant, engine_settings};
use crate::error::suggestion;
use crate::plan;

/// How many of the best are replayed where there was no confirmation.
const USUAL_TOP: usize = 3;

/// The candidates that the settings name, each once: baselines first, then trials. `problem` is what
/// they are executed for, which the settings may have changed.
///
/// # Errors
/// Where there is no candidate or trial of that name, or none at all.
pub(super) fn targets(
    recorded: &Recorded,
    problem: &ProblemSpec,
    settings: &ReplaySettings,
) -> Result<Vec<Entrant>, RunError> {
    let Recorded { plan, history, .. } = recorded;
    let named = Named::of(plan, &settings.candidates)?;
    let mut targets: Vec<Entrant> = plan
        .baselines
        .iter()
        .enumerate()
        .filter(|(place, _)| settings.baselines || named.baselines.contains(place))
        .map(|(_, planned)| Entrant::baseline(planned))
        .collect();
    if !settings.configurations.is_empty() {
        targets.extend(configurations(recorded, problem, settings, &named)?);
        return Ok(targets);
    }
    let mut trials = settings.trials.clone();
    let only_baselines = !named.baselines.is_empty() && named.tuned.is_empty();
    if settings.top.is_some() || (trials.is_empty() && !only_baselines) {
        trials = by_rank(recorded, settings, &named)?;
    }
    for trial in trials {
        let entrant = Entrant::trial(plan, history, trial).ok_or_else(|| {
            RunError::input(format!("there is no trial {trial} in this run")).hint(
                match history.proposed.last() {
                    Some(last) => format!("its trials are numbered from 0 to {}", last.trial),
                    None => "it has made none; --baselines replays the baselines".to_owned(),
                },
            )
        })?;
        if !targets.contains(&entrant) {
            targets.push(entrant);
        }
    }
    if targets.is_empty() {
        return Err(RunError::input(
            "no trial of this run was correct and timed, so there is none to choose by rank",
        )
        .hint("name trials with --trial N, or add --baselines"));
    }
    Ok(targets)
}

/// Configurations that are named by their parameters, of the only tuned candidate or of the one that
/// is named.
fn configurations(
    recorded: &Recorded,
    problem: &ProblemSpec,
    settings: &ReplaySettings,
    named: &Named<'_>,
) -> Result<Vec<Entrant>, RunError> {
    let plan = &recorded.plan;
    let labels: Vec<&str> = match named.tuned.as_slice() {
        [] => plan.candidates.iter().map(|it| it.label.as_str()).collect(),
        tuned => tuned.to_vec(),
    };
    let [label] = labels.as_slice() else {
        return Err(RunError::input(format!(
            "which candidate are the configurations of? The run tunes {}",
            labels.join(", ")
        ))
        .hint("name it with --candidate"));
    };
    // Parameters can depend on the problem: those of another shape may be others.
    let spaces = plan::spaces_for(plan, Some(problem))?;
    let mut candidates = plan.candidates.iter().zip(&spaces);
    let (candidate, space) = candidates
        .find(|(candidate, _)| candidate.label == **label)
        .ok_or_else(|| RunError::internal(format!("the run has no space of `{label}`")))?;
    let entrant = |(number, params): &(usize, Params)| {
        let params = plan::completed(space, params).map_err(|reason| {
            RunError::input(format!(
                "configuration {number} of `{label}` cannot be executed: {reason}"
            ))
        })?;
        Ok(Entrant {
            label: format!("{label}, configuration {number}"),
            trial: None,
            plugin: candidate.plugin.clone(),
            kernel: candidate.kernel.clone(),
            params,
            ranked_shape_only: false,
        })
    };
    settings.configurations.iter().map(entrant).collect()
}

/// The best by the search where so many are asked for, else the finalists, else the usual number of
/// the best; of the named candidates where some are named.
fn by_rank(
    recorded: &Recorded,
    settings: &ReplaySettings,
    named: &Named<'_>,
) -> Result<Vec<u64>, RunError> {
    let Recorded { plan, history, .. } = recorded;
    let wanted = |trial: &u64| {
        let mut proposed = history.proposed.iter();
        let label = proposed.find(|proposed| proposed.trial == *trial);
        let label = label.map(|proposed| proposed.candidate.as_str());
        named.tuned.is_empty() || label.is_some_and(|label| named.tuned.contains(&label))
    };
    if settings.top.is_none()
        && let Some(confirmation) = &history.confirmation
    {
        let finalists = confirmation.items.iter().filter_map(|item| item.trial);
        return Ok(finalists.filter(wanted).collect());
    }
    let ranking = engine_settings(plan)?.ranking;
    let ranked = history.ranked(&ranking, &plan.metric).into_iter();
    let top = settings.top.unwrap_or(USUAL_TOP);
    Ok(ranked.filter(wanted).take(top).collect())
}

/// What labels mean.
struct Named<'a> {
    /// Places of baselines.
    baselines: Vec<usize>,
    /// Labels of candidates that are tuned.
    tuned: Vec<&'a str>,
}

impl<'a> Named<'a> {
    /// Reports call a baseline by its letter as well.
    fn of(plan: &Plan, labels: &'a [String]) -> Result<Self, RunError> {
        let mut found = Self {
            baselines: Vec::new(),
            tuned: Vec::new(),
        };
        for label in labels {
            let labelled = |planned: &PlannedCandidate| planned.label == *label;
            let baseline = plan.baselines.iter().position(labelled).or_else(|| {
                let mut places = 0..plan.baselines.len();
                places.find(|place| letter(*place).is_some_and(|letter| letter == *label))
            });
            let tuned = plan.candidates.iter().any(labelled);
            found.baselines.extend(baseline);
            found.tuned.extend(tuned.then_some(label.as_str()));
            if baseline.is_none() && !tuned {
                let all = plan.baselines.iter().chain(&plan.candidates);
                let labels: Vec<&str> = all.map(|planned| planned.label.as_str()).collect();
                return Err(RunError::input(format!(
                    "there is no candidate `{label}`; {}",
                    suggestion(label, &labels)
                ))
                .hint("a single trial is named by its number: --trial 12"));
            }
        }
        Ok(found)
    }
}

/// The letter by which reports call a baseline: `A` for the first.
fn letter(place: usize) -> Option<String> {
    let place = u8::try_from(place).ok().filter(|place| *place < 26)?;
    Some(char::from(b'A' + place).to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use evo_core::engine::{Budget, EngineSettings, Preset, Ranking};
    use evo_journal::Record;
    use serde_json::{Value, json};

    use super::super::ReplayMode;
    use super::*;
    use crate::driver::History;
    use evo_core::space::Space;

    fn candidate(label: &str, space: Option<&str>) -> Value {
        json!({"label": label, "plugin": "p", "kernel": label, "pinned": {}, "space": space,
            "space_origin": ""})
    }

    /// Trials 0 to 5 of `tiled` and `flat` in turn took 5 us, 4 us and so on; trial 6 has failed.
    fn recorded(finalists: Option<&[u64]>) -> Recorded {
        let problem = json!({"problem": "rows", "fields": {}, "tensors": [], "constants": {},
            "gates": [], "flops": 1.0, "bytes": 1.0, "cache": "rotate", "extra_shapes": [],
            "distributions": []});
        let ranking = Ranking::lower("kernel_time");
        let engine = EngineSettings::new(Preset::Random, ranking, Budget::default());
        let plan = json!({
            "plugins": [], "work": {"work": "problem", "plugin": "p", "spec": problem},
            "candidates": [candidate("tiled", Some("")), candidate("flat", Some(""))],
            "baselines": [candidate("math", None), candidate("flash", None)],
            "device": {"kind": "cpu", "name": "", "uuid": "", "facts": {}},
            "metric": "kernel_time", "target": null, "preset": "random", "seed": 17,
            "engine": engine, "ahead": 1, "measure": null, "top_k": 3, "profilers": [],
            "limits": {"build_s": 1.0, "verify_s": 1.0, "measure_s": 1.0, "memory_bytes": 1,
                "attempts": 3, "crashes_in_a_row": 3},
        });
        let hash = evo_types::ContentHash::of_bytes(b"");
        let mut history = History::default();
        let mut add = |record: Value| {
            let record: Record = serde_json::from_value(record).unwrap();
            history.add(&record);
        };
        for trial in 0..7u64 {
            let label = ["tiled", "flat"][trial as usize % 2];
            add(
                json!({"type": "proposed", "trial": trial, "candidate": label, "params": {},
                "id": hash, "operator": "", "parents": [], "insights": [], "proposal": null}),
            );
            let outcome = match 5u64.checked_sub(trial) {
                Some(time) => json!({"kind": "measured", "metrics": [{"name": "kernel_time",
                    "unit": "us", "direction": "lower", "value": time as f64, "samples": []}]}),
                None => json!({"kind": "timed_out", "phase": "verify", "limit_s": 1.0}),
            };
            add(
                json!({"type": "evaluated", "trial": trial, "attempt": 1, "outcome": outcome,
                "wall_s": 0.0, "device_s": 0.0, "device": "", "elapsed_s": 0.0, "at": 0.0}),
            );
        }
        if let Some(finalists) = finalists {
            let items: Vec<Value> = finalists
                .iter()
                .map(|trial| {
                    json!({"label": "", "trial": trial, "kernel": "", "params": {},
                        "outcome": {"kind": "duplicate_of", "trial": 0}})
                })
                .collect();
            add(
                json!({"type": "compared", "at": 0.0, "stage": "confirmation", "seed": 1,
                "items": items, "elapsed_s": 0.0}),
            );
        }
        let plan = serde_json::from_value(plan).unwrap();
        Recorded::of(Path::new("r"), plan, history, vec![]).unwrap()
    }

    fn settings() -> ReplaySettings {
        ReplaySettings {
            program: "evo".into(),
            trials: vec![],
            top: None,
            configurations: vec![],
            baselines: false,
            candidates: vec![],
            mode: ReplayMode::Check { repeats: 2 },
            seeds: vec![],
            distribution: None,
            check_all_rows: false,
            guards: true,
            set: vec![],
            device: None,
            deadline_s: 1.0,
        }
    }

    fn labels(recorded: &Recorded, settings: &ReplaySettings) -> Vec<String> {
        let targets = targets(recorded, &recorded.problem, settings).unwrap();
        targets.into_iter().map(|target| target.label).collect()
    }

    fn named(labels: &[&str]) -> ReplaySettings {
        ReplaySettings {
            candidates: labels.iter().map(|label| (*label).to_owned()).collect(),
            ..settings()
        }
    }

    #[test]
    fn finalists_are_taken_where_there_are_any_and_else_the_best() {
        let confirmed = recorded(Some(&[4, 0]));
        assert_eq!(labels(&confirmed, &settings()), ["tiled #4", "tiled #0"]);
        let best = ["flat #5", "tiled #4", "flat #3"];
        assert_eq!(labels(&recorded(None), &settings()), best);
        let top = Some(1);
        let settings = ReplaySettings { top, ..settings() };
        assert_eq!(labels(&confirmed, &settings), ["flat #5"]);
    }

    #[test]
    fn labels_add_baselines_and_narrow_what_is_chosen_by_rank() {
        let recorded = recorded(Some(&[4, 3]));
        assert_eq!(labels(&recorded, &named(&["flash"])), ["flash"]);
        assert_eq!(labels(&recorded, &named(&["A"])), ["math"]);
        assert_eq!(labels(&recorded, &named(&["flat"])), ["flat #3"]);
        assert_eq!(
            labels(&recorded, &named(&["B", "flat"])),
            ["flash", "flat #3"]
        );
        let with_trial = ReplaySettings {
            trials: vec![6, 6, 1],
            ..named(&["A"])
        };
        assert_eq!(
            labels(&recorded, &with_trial),
            ["math", "tiled #6", "flat #1"]
        );
        let all = ReplaySettings {
            baselines: true,
            ..settings()
        };
        let expected = ["math", "flash", "tiled #4", "flat #3"];
        assert_eq!(labels(&recorded, &all), expected);
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let recorded = recorded(None);
        let error = targets(&recorded, &recorded.problem, &named(&["tilde"])).unwrap_err();
        assert!(
            error.to_string().contains("did you mean `tiled`?"),
            "{error}"
        );
        let trials = vec![7];
        let settings = ReplaySettings {
            trials,
            ..settings()
        };
        let error = targets(&recorded, &recorded.problem, &settings).unwrap_err();
        assert!(error.to_string().contains("from 0 to 6"), "{error}");
    }

    #[test]
    fn a_configuration_is_completed_and_held_against_the_space() {
        let space = Space::parse(
            r#"(name: "s", params: [
                (name: "TILE", values: [1, 2, 4], default: 2),
                (name: "FUSE", values: [false, true]),
                (name: "STAGES", values: [1, 2, 3], default: 2, when: "FUSE"),
            ], constraints: [(expr: "TILE < 4 or not FUSE", reason: "too large")])"#,
            "s.ron",
            &evo_core::space::Env::default(),
        )
        .unwrap();
        let of = |text: &str| {
            let params: Params = serde_json::from_str(text).unwrap();
            plan::completed(&space, &params).map(|params| evo_types::format_params(&params))
        };
        assert_eq!(of("{}").unwrap(), "FUSE=false TILE=2");
        assert_eq!(
            of(r#"{"FUSE": true, "STAGES": 3}"#).unwrap(),
            "FUSE=true STAGES=3 TILE=2"
        );
        // A recording names what is not used, at some value.
        assert_eq!(
            of(r#"{"FUSE": false, "STAGES": 1, "TILE": 4}"#).unwrap(),
            "FUSE=false TILE=4"
        );
        let error = of(r#"{"FUSE": true, "TILE": 4}"#).unwrap_err();
        assert!(error.contains("too large"), "{error}");
        let error = of(r#"{"TILE": 3}"#).unwrap_err();
        assert_eq!(error, "`TILE` cannot be 3: its values are 1, 2, 4");
        let error = of(r#"{"TILES": 1}"#).unwrap_err();
        assert_eq!(error, "there is no parameter `TILES`; did you mean `TILE`?");
    }
}
