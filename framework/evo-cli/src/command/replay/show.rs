//! What `evo replay` prints.

use evo_report::plain;
use evo_run::{Replay, ReplayMode, ReplayReport, ReplayResult, ReplayedCandidate};
use evo_types::{ErrorFigures, format_params};

use crate::space_show::table;

/// The whole result as text.
pub(super) fn render(replay: &Replay) -> String {
    let mut out = format!(
        "{} {} on {}\n\n",
        plain(&replay.problem.problem),
        plain(&format_params(&replay.problem.fields)),
        plain(&replay.device.name)
    );
    let head = ["candidate", "configuration", "executed", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(replay.candidates.iter().map(|candidate| {
        vec![
            name(candidate),
            plain(&format_params(&candidate.params)),
            executed(replay, candidate),
            plain(&verdict(replay, candidate)),
        ]
    }));
    out.push_str(&table(&rows));
    let passed = replay.candidates.iter().filter(|it| it.passed()).count();
    let did = match replay.mode {
        ReplayMode::Check { .. } => "passed",
        ReplayMode::Launch { .. } => "ran to their end",
    };
    out.push_str(&format!(
        "\n{passed} of {} {did}\n",
        replay.candidates.len()
    ));
    out
}

/// A trial's label holds its number; a baseline is called by its kernel as well.
fn name(candidate: &ReplayedCandidate) -> String {
    plain(&match candidate.trial {
        None if candidate.label != candidate.kernel => {
            format!("{} ({})", candidate.label, candidate.kernel)
        }
        _ => candidate.label.clone(),
    })
}

/// `100 repeats, normal, seed 17`.
fn executed(replay: &Replay, candidate: &ReplayedCandidate) -> String {
    let often = match replay.mode {
        ReplayMode::Check { repeats } => counted(u64::from(repeats), "repeat"),
        ReplayMode::Launch { launches } => {
            format!("1 + {} unchecked", counted(u64::from(launches), "launch"))
        }
    };
    let seeds: Vec<String> = replay.seeds.iter().map(u64::to_string).collect();
    let each = if seeds.len() == 1 {
        "seed"
    } else {
        "each of the seeds"
    };
    let distribution = match &candidate.result {
        ReplayResult::Ended(report) => format!("{}, ", plain(&report.distribution)),
        ReplayResult::Failed(_) => String::new(),
    };
    format!("{often}, {distribution}{each} {}", seeds.join(", "))
}

/// What became of a candidate, in one line.
pub(super) fn verdict(replay: &Replay, candidate: &ReplayedCandidate) -> String {
    let report = match &candidate.result {
        ReplayResult::Failed(outcome) => return outcome.summary(),
        ReplayResult::Ended(report) => report,
    };
    let ReplayMode::Check { repeats } = replay.mode else {
        return "ran to its end".to_owned();
    };
    let bits = match &report.differing {
        Some(_) => differs(report),
        None if repeats == 1 => String::new(),
        None => format!("equal over {repeats} repeats"),
    };
    let error = match (&report.wrong, &report.figures) {
        (Some(wrong), _) => format!("wrong result: {}", wrong.message),
        (None, Some(figures)) => error(figures),
        (None, None) => String::new(),
    };
    // What is worse comes first.
    let parts = match report.wrong {
        Some(_) => [error, bits],
        None => [bits, error],
    };
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("; ")
}

/// `differs in repeat 37: 12 of the 4096 elements of ...`.
fn differs(report: &ReplayReport) -> String {
    let Some(differing) = &report.differing else {
        return String::new();
    };
    let first = &differing.first;
    let at: Vec<String> = first.at.iter().map(u64::to_string).collect();
    let mut text = format!(
        "differs in repeat {} (seed {}): {} of the {} elements of `{}`, first at [{}] with {} where \
         repeat 1 has {}; {} of {} launches differ",
        first.repeat,
        first.seed,
        first.elements,
        first.of,
        first.tensor,
        at.join(", "),
        first.is,
        first.was,
        differing.launches,
        report.launches,
    );
    if !report.deterministic {
        text.push_str(" (the kernel does not say that it is deterministic)");
    }
    text
}

fn error(figures: &ErrorFigures) -> String {
    format!(
        "relative error {:.3e}, gate {:e}",
        figures.relative, figures.gate
    )
}

fn counted(number: u64, noun: &str) -> String {
    let plural = match (number, noun.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use evo_run::{ReplayDifference, ReplayDiffering};
    use evo_types::{
        DeviceFacts, Outcome, Params, Phase, ProblemSpec, Value, WrongKind, WrongResult,
    };

    use super::*;

    fn report() -> ReplayReport {
        ReplayReport {
            distribution: "normal".to_owned(),
            deterministic: true,
            launches: 200,
            figures: Some(ErrorFigures {
                relative: 1.234e-7,
                gate: 1e-5,
                ..ErrorFigures::default()
            }),
            wrong: None,
            differing: None,
        }
    }

    fn differing() -> ReplayDiffering {
        ReplayDiffering {
            launches: 14,
            first: ReplayDifference {
                seed: 17,
                repeat: 37,
                tensor: "o".to_owned(),
                elements: 3,
                of: 4096,
                at: vec![0, 5, 63],
                was: "0.25".to_owned(),
                is: "NaN".to_owned(),
            },
        }
    }

    fn candidate(trial: Option<u64>, result: ReplayResult) -> ReplayedCandidate {
        let label = trial.map_or("A".to_owned(), |trial| format!("tiled #{trial}"));
        ReplayedCandidate {
            label,
            trial,
            plugin: "p".to_owned(),
            kernel: "math".to_owned(),
            params: Params::from([("TILE".to_owned(), Value::Int(8))]),
            result,
        }
    }

    fn replay(mode: ReplayMode, results: Vec<ReplayResult>) -> Replay {
        let problem = r#"{"problem": "rows", "fields": {"R": 64}, "tensors": [], "constants": {},
            "gates": [], "flops": 1.0, "bytes": 1.0, "cache": "rotate", "extra_shapes": [],
            "distributions": []}"#;
        let problem: ProblemSpec = serde_json::from_str(problem).unwrap_or_else(|e| panic!("{e}"));
        let numbered = results.into_iter().zip(0u64..);
        Replay {
            problem,
            device: DeviceFacts {
                kind: "cpu".to_owned(),
                name: "a CPU".to_owned(),
                uuid: "cpu-1".to_owned(),
                facts: Params::new(),
            },
            mode,
            seeds: vec![17, 18],
            candidates: numbered
                .map(|(result, place)| candidate(place.checked_sub(1), result))
                .collect(),
            bad_ends: vec![],
            interrupted: false,
        }
    }

    fn results() -> Vec<ReplayResult> {
        let wrong = WrongResult {
            wrong: WrongKind::Inaccurate,
            message: "the relative error of `o` is 1.000e-1, the gate is 1e-5".to_owned(),
            error: None,
            seed: 17,
            after_timing: false,
        };
        let crashed = Outcome::Crashed {
            phase: Phase::Verify,
            message: "killed by signal 11\u{1b}[31m".to_owned(),
            output: String::new(),
        };
        let of = |report| ReplayResult::Ended(Box::new(report));
        vec![
            of(report()),
            of(ReplayReport {
                differing: Some(differing()),
                ..report()
            }),
            of(ReplayReport {
                differing: Some(differing()),
                deterministic: false,
                wrong: Some(wrong.clone()),
                ..report()
            }),
            of(ReplayReport {
                wrong: Some(wrong),
                ..report()
            }),
            ReplayResult::Failed(crashed),
        ]
    }

    #[test]
    fn a_replay_as_people_read_it() {
        let checked = replay(ReplayMode::Check { repeats: 100 }, results());
        insta::assert_snapshot!(render(&checked));
    }

    #[test]
    fn plain_launches_as_people_read_them() {
        let figures = None;
        let ended = ReplayResult::Ended(Box::new(ReplayReport {
            figures,
            ..report()
        }));
        let launched = replay(ReplayMode::Launch { launches: 3 }, vec![ended]);
        insta::assert_snapshot!(render(&launched));
    }

    #[test]
    fn a_replay_as_scripts_read_it() {
        let results = results().split_off(2);
        let checked = replay(ReplayMode::Check { repeats: 100 }, results);
        let document = super::super::json::document(&checked);
        insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
    }
}
