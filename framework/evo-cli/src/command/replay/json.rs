//! The replay as a document for scripts.

use evo_run::{Replay, ReplayMode, ReplayResult, ReplayedCandidate};
use serde_json::{Value, json};

use super::show;

/// The version of the keys.
const SCHEMA: u32 = 1;

/// The whole result. Keys stay as they are under one `schema`; new ones may be added.
///
/// `repeats` is null where nothing was checked, and `launches` where it was. Each of `candidates`
/// has `passed` and a `verdict` for people, and either `report` (what was seen: `launches` in all,
/// `figures`, `wrong` and `differing`) or `outcome` (why it did not get to its end).
/// `worker_ends` says how workers ended that did not end well after their work.
pub(super) fn document(replay: &Replay) -> Value {
    let (repeats, launches) = match replay.mode {
        ReplayMode::Check { repeats } => (Some(repeats), None),
        ReplayMode::Launch { launches } => (None, Some(launches)),
    };
    let candidates = replay.candidates.iter();
    json!({
        "schema": SCHEMA,
        "problem": replay.problem.problem,
        "fields": replay.problem.fields,
        "device": replay.device,
        "repeats": repeats,
        "launches": launches,
        "seeds": replay.seeds,
        "passed": replay.passed(),
        "interrupted": replay.interrupted,
        "worker_ends": replay.bad_ends,
        "candidates": candidates.map(|it| candidate(replay, it)).collect::<Vec<Value>>(),
    })
}

fn candidate(replay: &Replay, candidate: &ReplayedCandidate) -> Value {
    let (report, outcome) = match &candidate.result {
        ReplayResult::Ended(report) => (Some(report), None),
        ReplayResult::Failed(outcome) => (None, Some(outcome)),
    };
    json!({
        "candidate": candidate.label,
        "trial": candidate.trial,
        "plugin": candidate.plugin,
        "kernel": candidate.kernel,
        "params": candidate.params,
        "passed": candidate.passed(),
        "verdict": show::verdict(replay, candidate),
        "report": report,
        "outcome": outcome,
    })
}
