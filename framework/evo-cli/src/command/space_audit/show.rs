//! What `evo space audit` prints.

use std::collections::BTreeMap;
use std::fmt::Write;

use evo_report::knobs::{Effect, Knob};
use evo_report::plain;
use evo_run::{Audit, FailedConfig, TimedPair};
use evo_types::format_params;

use super::Finding;
use crate::space_show::table;

/// More reasons than this why configurations were not built are abbreviated.
const MOST_REASONS: usize = 8;

/// The whole result as text.
pub(super) fn render(audit: &Audit, findings: &[Finding<'_>]) -> String {
    let mut out = format!(
        "{} {} on {}\n",
        plain(&audit.problem.problem),
        plain(&format_params(&audit.problem.fields)),
        plain(&audit.device.name)
    );
    for finding in findings {
        out.push('\n');
        candidate(&mut out, audit, finding);
    }
    out
}

fn candidate(out: &mut String, audit: &Audit, finding: &Finding<'_>) {
    let Finding { audited, knobs } = finding;
    let _ = writeln!(
        out,
        "{}: the default configuration and {} drawn (seed {}), every parameter varied around each",
        plain(&audited.label),
        finding.drawn(),
        audit.seed
    );
    let _ = writeln!(
        out,
        "{} built: {}, {}; {} not built",
        knobs.configurations,
        counted(knobs.executions, "distinct execution"),
        counted(knobs.codes, "distinct code"),
        audited.failed.len()
    );
    out.push('\n');
    out.push_str(&table(&rows(finding)));
    bounds(out, finding);
    let lines = |of: fn(&Knob) -> Vec<String>| -> Vec<String> {
        let named = |knob: &Knob| {
            let named = |line: String| format!("{}, {line}", knob.name);
            of(knob).into_iter().map(named).collect::<Vec<String>>()
        };
        knobs.params.iter().flat_map(named).collect()
    };
    list(
        out,
        "What the builds say changes from one value to the next (medians over pairs):",
        &lines(Knob::predicted),
    );
    list(
        out,
        "Values that gave the same execution in every pair:",
        &lines(Knob::same_values),
    );
    list(
        out,
        "Time with the second value over time with the first, 95 % interval:",
        &audited.timed.iter().map(timed).collect::<Vec<String>>(),
    );
    let excluded: Vec<String> = audited
        .excluded
        .iter()
        .map(|(param, changes)| format!("{param}: {}", counted(*changes, "change")))
        .collect();
    list(out, "Changes that the constraints do not allow:", &excluded);
    list(out, "Not built:", &reasons(&audited.failed));
}

/// One row for each parameter, under a heading.
fn rows(finding: &Finding<'_>) -> Vec<Vec<String>> {
    let timed = !finding.audited.timed.is_empty();
    let mut heading = vec!["parameter", "effect", "contexts"];
    if timed {
        heading.push("time");
    }
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect()];
    for knob in &finding.knobs.params {
        let mut row = vec![plain(&knob.name), knob.finding(), knob.contexts.to_string()];
        if timed {
            row.push(effect_on_time(finding, knob));
        }
        rows.push(row);
    }
    rows
}

/// How many of the timed pairs are told apart.
fn effect_on_time(finding: &Finding<'_>, knob: &Knob) -> String {
    let pairs: Vec<&TimedPair> = finding.timed(&knob.name).collect();
    let compared: Vec<_> = pairs
        .iter()
        .filter_map(|pair| pair.comparison.as_ref())
        .collect();
    if pairs.is_empty() {
        return match knob.effect {
            Effect::Dead => "the same execution".to_owned(),
            _ => "no pair was timed".to_owned(),
        };
    }
    if compared.is_empty() {
        return "no pair could be timed".to_owned();
    }
    let told = compared
        .iter()
        .filter(|comparison| comparison.verdict != evo_stats::Verdict::NotDistinguishable)
        .count();
    match told {
        0 => format!("not distinguishable in {}", counted(compared.len(), "pair")),
        told => format!("differs in {told} of {}", counted(compared.len(), "pair")),
    }
}

/// What "dead" means in numbers.
fn bounds(out: &mut String, finding: &Finding<'_>) {
    for knob in finding.knobs.dead() {
        if let Some(share) = knob.acts_at_most_in(finding.drawn()) {
            let _ = writeln!(
                out,
                "\n{} is dead: it never changed code, geometry or run-time parameters in {}.\nIf \
                 it acts at all, then in at most {:.0} % of the configurations (95 % confidence, \
                 {} drawn).",
                plain(&knob.name),
                counted(knob.pairs, "pair"),
                100.0 * share,
                finding.drawn().min(knob.contexts)
            );
        }
    }
    let idle = finding
        .knobs
        .params
        .iter()
        .filter(|knob| finding.idle(knob));
    for knob in idle {
        let _ = writeln!(
            out,
            "\n{} acts at run time, but no effect on time can be told from noise.",
            plain(&knob.name)
        );
    }
}

/// `SPIN, 0 to 5: 1.84x [1.80, 1.88], slower (60 rounds in 3 processes)`.
fn timed(pair: &TimedPair) -> String {
    let what = format!("{}, {} to {}", pair.param, pair.from, pair.to);
    match (&pair.comparison, &pair.failure) {
        (Some(comparison), _) => {
            let ratio = &comparison.ratio;
            format!(
                "{what}: {:.2}x [{:.2}, {:.2}], {} ({} rounds in {})",
                ratio.estimate,
                ratio.low,
                ratio.high,
                comparison.verdict.words(),
                comparison.rounds,
                processes(comparison.groups)
            )
        }
        (None, Some(failure)) => format!("{what}: not timed: {failure}"),
        (None, None) => format!("{what}: not timed"),
    }
}

/// Why configurations were not built, the most frequent reason first, each with an example.
fn reasons(failed: &[FailedConfig]) -> Vec<String> {
    let mut by_reason: BTreeMap<String, (usize, &FailedConfig)> = BTreeMap::new();
    for config in failed {
        let entry = by_reason
            .entry(config.outcome.summary())
            .or_insert((0, config));
        entry.0 += 1;
    }
    let mut reasons: Vec<(String, (usize, &FailedConfig))> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let more = reasons.len().saturating_sub(MOST_REASONS);
    let mut lines: Vec<String> = reasons
        .into_iter()
        .take(MOST_REASONS)
        .map(|(reason, (count, example))| {
            let params = format_params(&example.params);
            format!("{count} x {reason} (such as {params})")
        })
        .collect();
    if more > 0 {
        lines.push(format!("and {}", counted(more, "other reason")));
    }
    lines
}

fn list(out: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{heading}");
    for line in lines {
        let _ = writeln!(out, "  {}", plain(line));
    }
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn processes(number: usize) -> String {
    match number {
        1 => "1 process".to_owned(),
        more => format!("{more} processes"),
    }
}

#[cfg(test)]
mod tests {
    use evo_journal::BuildFacts;
    use evo_run::{AuditedCandidate, BuiltConfig};
    use evo_stats::{Comparison, ComparisonOptions, Rounds};
    use evo_types::{
        ContentHash, DeviceFacts, Direction, Metric, Outcome, Params, ProblemSpec, RejectedBy,
        Value,
    };

    use super::super::findings;
    use super::*;

    fn params(unroll: i64, pad: i64, spin: i64) -> Params {
        [("PAD", pad), ("SPIN", spin), ("UNROLL", unroll)]
            .map(|(name, value)| (name.to_owned(), Value::Int(value)))
            .into()
    }

    fn built(unroll: i64, pad: i64, spin: i64) -> BuiltConfig {
        let code = ContentHash::of_bytes(&unroll.min(2).to_le_bytes());
        let size = 512.0 + 64.0 * unroll.min(2) as f64;
        BuiltConfig {
            params: params(unroll, pad, spin),
            execution: code.clone(),
            build: BuildFacts {
                code,
                launch: Params::new(),
                runtime: [("SPIN".to_owned(), Value::Int(spin))].into(),
                figures: vec![Metric::new("code_bytes", "B", Direction::Info, size)],
            },
        }
    }

    fn timed(param: &str, from: i64, to: i64, ratio: f64) -> TimedPair {
        let baseline: Vec<f64> = (0..20).map(|round| 100.0 + f64::from(round % 3)).collect();
        let candidate: Vec<f64> = baseline.iter().map(|time| time * ratio).collect();
        let rounds = Rounds {
            candidate: &candidate,
            baseline: &baseline,
        };
        TimedPair {
            param: param.to_owned(),
            from: Value::Int(from),
            to: Value::Int(to),
            params: params(1, 0, 0),
            comparison: Comparison::of(&[rounds; 3], &ComparisonOptions::default()).ok(),
            failure: None,
        }
    }

    fn audit() -> Audit {
        let outcome = Outcome::Rejected {
            by: RejectedBy::Kernel,
            reason: "PAD must be\u{1b}[31m even".to_owned(),
        };
        let failed = |pad| FailedConfig {
            params: params(1, pad, 0),
            outcome: outcome.clone(),
        };
        let candidate = AuditedCandidate {
            label: "knobs".to_owned(),
            plugin: "knobs".to_owned(),
            kernel: "knobs".to_owned(),
            params: ["UNROLL", "PAD", "SPIN", "MODE"].map(str::to_owned).into(),
            bases: 3,
            excluded: [("UNROLL".to_owned(), 2)].into(),
            built: vec![
                built(1, 0, 0),
                built(2, 0, 0),
                built(3, 0, 0),
                built(1, 8, 0),
                built(2, 8, 0),
                built(1, 0, 4),
            ],
            failed: vec![failed(1), failed(3)],
            timed: vec![timed("UNROLL", 1, 2, 0.8), timed("SPIN", 0, 4, 1.0)],
        };
        let problem = r#"{"problem": "rows", "fields": {"R": 64}, "tensors": [], "constants": {},
            "gates": [], "flops": 1.0, "bytes": 1.0, "cache": "rotate", "extra_shapes": [],
            "distributions": []}"#;
        let problem: ProblemSpec = serde_json::from_str(problem).unwrap_or_else(|e| panic!("{e}"));
        Audit {
            problem,
            device: DeviceFacts {
                kind: "cpu".to_owned(),
                name: "a CPU".to_owned(),
                uuid: "cpu-1".to_owned(),
                facts: Params::new(),
            },
            seed: 17,
            candidates: vec![candidate],
            interrupted: false,
        }
    }

    #[test]
    fn an_audit_as_people_read_it() {
        let audit = audit();
        insta::assert_snapshot!(render(&audit, &findings(&audit)));
    }

    #[test]
    fn what_is_denied_is_what_is_dead_or_idle() {
        let audit = audit();
        let dead: Vec<String> = findings(&audit).iter().flat_map(Finding::dead).collect();
        assert_eq!(dead, ["knobs/PAD", "knobs/SPIN"]);
    }
}
