//! Optional baselines, groups of them, and several tuned kernels in one report.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{Journal, candidate, configuration, plan, rejected, timed, wrong};
use evo_journal::{
    AbsentBaseline, BaselineRole, ComparedItem, Plan, PlannedCandidate, Stage, Target,
};
use evo_report::{RunModel, TargetStatus, final_table, headline, summary_json, summary_markdown};
use evo_types::Outcome;

/// Why PyTorch is not there.
const NO_TORCH: &str = "the interpreter `python3` has no module `torch`\nTraceback (most recent \
                        call last):\n  <module>";

fn baseline(label: &str, kernel: &str, plugin: &str, role: BaselineRole) -> PlannedCandidate {
    PlannedCandidate {
        start: Vec::new(),
        plugin: plugin.to_owned(),
        baseline: Some(role),
        ..candidate(label, kernel, None)
    }
}

fn role(letter: &str) -> BaselineRole {
    BaselineRole {
        letter: letter.to_owned(),
        group: None,
        optional: false,
        choice: None,
        ranked_shape_only: false,
    }
}

/// A member of the group `B`.
fn fused(kernel: &str) -> PlannedCandidate {
    let role = BaselineRole {
        group: Some("B".to_owned()),
        optional: true,
        ..role("B")
    };
    baseline(kernel, kernel, "torch-sdpa", role)
}

fn absent(label: &str, letter: &str, kernel: &str) -> AbsentBaseline {
    AbsentBaseline {
        label: label.to_owned(),
        letter: letter.to_owned(),
        group: (label != letter).then(|| letter.to_owned()),
        kernel: kernel.to_owned(),
        plugin: Some("torch-sdpa".to_owned()),
        reason: NO_TORCH.to_owned(),
    }
}

/// Three tuned kernels, `A` by a stand-in, and what is given of the group `B`.
fn three_kernels(group: Vec<PlannedCandidate>, absent_baselines: Vec<AbsentBaseline>) -> Plan {
    let stand_in = BaselineRole {
        choice: Some(2),
        ..role("A")
    };
    let mut baselines = vec![baseline("A", "math", "sdpa-ws", stand_in)];
    baselines.extend(group);
    Plan {
        candidates: ["stage2", "ws_p1", "ws_p2"]
            .map(|name| candidate(name, name, Some("Space(params: [])")))
            .to_vec(),
        baselines,
        absent_baselines,
        target: Some(Target {
            speedup: 1.0,
            over: "B".to_owned(),
        }),
        top_k: 1,
        ..plan()
    }
}

fn item(label: &str, kernel: &str, trial: Option<u64>, outcome: Outcome) -> ComparedItem {
    ComparedItem {
        label: label.to_owned(),
        trial,
        kernel: kernel.to_owned(),
        params: configuration(64),
        outcome,
    }
}

/// Two trials of each kernel, of which all are confirmed; `ws_p2` fails there. The baselines have
/// these outcomes.
fn run(plan: Plan, outcomes: &[(&str, Outcome)]) -> RunModel {
    let mut journal = Journal::new(plan);
    let baselines = || -> Vec<ComparedItem> {
        let items = outcomes.iter();
        items
            .map(|(label, outcome)| item(label, label, None, outcome.clone()))
            .collect()
    };
    journal.compare(Stage::Baselines, baselines());
    for (name, operator, block, median) in [
        ("stage2", "default", 64, 2000.0),
        ("ws_p1", "default", 64, 1800.0),
        ("ws_p2", "default", 64, 2200.0),
        ("stage2", "mutation", 96, 1400.0),
        ("ws_p1", "mutation", 96, 1380.0),
        ("ws_p2", "mutation", 96, 1500.0),
    ] {
        journal.trial(block, timed(median)).of(name, operator);
    }
    let mut items = baselines();
    items.extend([
        item("ws_p1 #4", "ws_p1", Some(4), timed(1390.0)),
        item("stage2 #3", "stage2", Some(3), timed(1410.0)),
        item("ws_p2 #5", "ws_p2", Some(5), wrong()),
        item("stage2 #0", "stage2", Some(0), timed(2010.0)),
        item("ws_p1 #1", "ws_p1", Some(1), timed(1805.0)),
        item("ws_p2 #2", "ws_p2", Some(2), wrong()),
    ]);
    journal
        .compare(Stage::Confirmation, items)
        .finished("all 6 trials of the budget were used");
    RunModel::from_records(&journal.records).unwrap()
}

#[test]
fn a_stand_in_a_group_and_three_kernels() {
    let group = vec![fused("flash"), fused("efficient"), fused("cudnn")];
    let plan = three_kernels(group, vec![absent("A", "A", "math")]);
    let model = run(
        plan,
        &[
            ("A", timed(8800.0)),
            ("flash", timed(2100.0)),
            ("efficient", rejected()),
            ("cudnn", timed(1900.0)),
        ],
    );
    let summary = summary_markdown(&model).unwrap();
    let (result, _) = summary.split_once("\n## Winning parameters").unwrap();
    insta::assert_snapshot!("group_result", result);
    insta::assert_snapshot!("group_table", final_table(&model));
    let json = summary_json(&model);
    insta::assert_snapshot!(
        "group_json",
        serde_json::to_string_pretty(&serde_json::json!({
            "references": json["references"],
            "absent_baselines": json["absent_baselines"],
            "by_kernel": json["by_kernel"],
            "default": json["default"]["label"],
            "winner_over_default": json["winner_over_default"],
        }))
        .unwrap()
    );
    let verdict = model.target().unwrap();
    assert_eq!(
        (verdict.status, verdict.over.as_str()),
        (TargetStatus::Met, "B (cudnn)")
    );
}

#[test]
fn a_group_of_which_nothing_is_there_has_no_column_and_no_verdict() {
    let gone = ["flash", "cudnn"].map(|kernel| absent(kernel, "B", kernel));
    let model = run(
        three_kernels(Vec::new(), gone.to_vec()),
        &[("A", timed(8800.0))],
    );
    let table = final_table(&model);
    insta::assert_snapshot!("no_group_table", table);
    let verdict = model.target().unwrap();
    assert_eq!(verdict.status, TargetStatus::NotMet);
    assert!(
        verdict.explanation.starts_with(
            "It cannot be judged, because B has no figure in the confirmation: flash of torch-sdpa \
             is absent: the interpreter `python3` has no module `torch`"
        ),
        "{}",
        verdict.explanation
    );
    assert!(
        headline(&model).ends_with("; there is no figure over B."),
        "{table}"
    );
    assert_eq!(
        summary_json(&model)["winner"]["speedup"]["B"],
        serde_json::Value::Null
    );
}

#[test]
fn a_group_all_of_which_failed_has_no_column_either() {
    let group = vec![fused("flash"), fused("cudnn")];
    let model = run(
        three_kernels(group, Vec::new()),
        &[
            ("A", timed(8800.0)),
            ("flash", rejected()),
            ("cudnn", wrong()),
        ],
    );
    let table = final_table(&model);
    assert!(
        !table.contains("over B  ") && table.contains("over A"),
        "{table}"
    );
    for text in [
        "The optional baseline B (flash) has no figure: rejected, =BLOCK_M exceeds `S`.",
        "There is no column for the group B: none of its baselines has a figure.",
    ] {
        assert!(table.contains(text), "{table}");
    }
    let why = model.target().unwrap().explanation;
    assert!(
        why.contains("B (flash): rejected, ") && why.contains("B (cudnn): wrong result"),
        "{why}"
    );
}
