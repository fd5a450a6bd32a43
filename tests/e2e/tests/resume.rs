//! Interruptions of every kind: nothing recorded is lost, and a deterministic objective ends with
//! the proposals of an uninterrupted run.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use evo_e2e::Bench;
use evo_journal::{Proposed, Record};
use rustix::process::{Pid, Signal, kill_process};

const TRIALS: usize = 40;

fn signal(child: &std::process::Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A run of the synthetic objective that takes a few milliseconds per trial.
fn args(out: &'static str) -> Vec<&'static str> {
    vec![
        "run",
        "synthetic",
        "--set",
        "sleep_ms=4",
        "--set",
        "fail_every=7",
        "--budget",
        "40",
        "--out",
        out,
    ]
}

fn same(a: &[Proposed], b: &[Proposed]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a, b);
    }
}

/// Waits until a run has recorded so many trials.
fn wait_for(bench: &Bench, run: &str, trials: usize) {
    let path = bench.path().join(run).join("journal.jsonl");
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.matches("\"type\":\"evaluated\"").count() >= trials {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the run does not get on:\n{text}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_same_seed_proposes_the_same_in_another_process() {
    let bench = Bench::new();
    bench.run(&args("a")).ok();
    bench.run(&args("b")).ok();
    same(&bench.proposals("a"), &bench.proposals("b"));
    // What a kernel rejects is proposed and costs no trial.
    let trials = bench.evaluated("a").into_iter();
    let trials = trials.filter(|evaluated| evaluated.outcome.counts_as_trial());
    assert_eq!(trials.count(), TRIALS);
    bench
        .run(&[
            "run",
            "synthetic",
            "--budget",
            "40",
            "--seed",
            "18",
            "--out",
            "c",
        ])
        .ok();
    assert_ne!(bench.proposals("a"), bench.proposals("c"));
}

#[test]
fn kill_and_resume_in_a_loop_loses_nothing_and_changes_nothing() {
    let bench = Bench::new();
    bench.run(&args("whole")).ok();
    let mut child = bench.start(&args("cut"));
    let mut kills = 0;
    let mut acknowledged: Vec<Record> = Vec::new();
    // Moments spread over the run by a fixed sequence; the machine's own timing makes them random.
    for step in [0u64, 3, 11, 1, 7, 2, 13, 5] {
        let path = bench.path().join("cut/journal.jsonl");
        while !path.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(6 + 5 * step));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        kills += 1;
        // What was there stays there, as it was.
        let Ok(journal) = evo_journal::read(&path) else {
            // Killed before the header was written: the folder holds no run yet.
            assert!(acknowledged.is_empty());
            fs::remove_dir_all(bench.path().join("cut")).unwrap();
            child = bench.start(&args("cut"));
            continue;
        };
        assert!(journal.records.len() >= acknowledged.len());
        assert_eq!(
            &journal.records[..acknowledged.len()],
            acknowledged.as_slice()
        );
        acknowledged = journal.records;
        if acknowledged.len() < 2 {
            // Killed before the plan was recorded.
            fs::remove_dir_all(bench.path().join("cut")).unwrap();
            acknowledged.clear();
            child = bench.start(&args("cut"));
        } else {
            child = bench.start(&["resume", "cut"]);
        }
    }
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    assert!(kills > 0, "the run ended before it could be killed");
    same(&bench.proposals("whole"), &bench.proposals("cut"));
    let outcomes = |run: &str| -> Vec<_> {
        bench
            .evaluated(run)
            .into_iter()
            .map(|e| (e.trial, e.outcome))
            .collect()
    };
    assert_eq!(
        outcomes("whole"),
        outcomes("cut"),
        "each trial has one outcome"
    );
}

#[test]
fn what_is_proposed_ahead_is_the_same_after_kills() {
    let bench = Bench::new();
    let spec = |name: &str, ahead: usize| {
        let text = format!(
            "(plugin: \"synthetic\", objective: (settings: {{\"sleep_ms\": 4}}), \
             budget: (trials: 40), ahead: {ahead})"
        );
        bench.file(name, &text);
    };
    spec("ahead.ron", 4);
    spec("plain.ron", 1);
    bench.run(&["run", "ahead.ron", "--out", "whole"]).ok();
    bench.run(&["run", "plain.ron", "--out", "plain"]).ok();
    let whole = bench.proposals("whole");
    assert_ne!(whole, bench.proposals("plain"), "nothing was made ahead");
    let mut child = bench.start(&["run", "ahead.ron", "--out", "cut"]);
    for trials in [3, 11, 24] {
        wait_for(&bench, "cut", trials);
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        child = bench.start(&["resume", "cut"]);
    }
    assert!(child.wait().unwrap().success());
    same(&whole, &bench.proposals("cut"));
    // Only the trial whose turn it was had begun.
    let records = bench.records("cut");
    let retried = records
        .iter()
        .filter(|record| matches!(record, Record::Retried { .. }));
    assert!(retried.count() <= 3);
}

#[test]
fn what_is_proposed_ahead_is_the_same_after_interrupts() {
    let bench = Bench::new();
    // Trials as short as these are settled while the next one is under way, which is when an
    // interrupt could leave out what is proposed between the two.
    bench.file(
        "ahead.ron",
        "(plugin: \"synthetic\", objective: (settings: {\"sleep_ms\": 1, \"fail_every\": 7}), \
         budget: (trials: 80), ahead: 4)",
    );
    bench.run(&["run", "ahead.ron", "--out", "whole"]).ok();
    let mut child = bench.start(&["run", "ahead.ron", "--out", "cut"]);
    let mut interrupts = 0;
    for trials in (2..74).step_by(4) {
        wait_for(&bench, "cut", trials);
        signal(&child, Signal::INT);
        if child.wait().unwrap().code() == Some(130) {
            interrupts += 1;
        } else {
            break;
        }
        child = bench.start(&["resume", "cut"]);
    }
    child.wait().unwrap();
    assert!(interrupts >= 5, "only {interrupts} interrupts came in time");
    same(&bench.proposals("whole"), &bench.proposals("cut"));
    let journal = |run: &str| -> Vec<(char, u64)> {
        let steps = bench.records(run).into_iter();
        let steps = steps.filter_map(|record| match record {
            Record::Proposed(proposed) => Some(('P', proposed.trial)),
            Record::Evaluated(evaluated) => Some(('E', evaluated.trial)),
            _ => None,
        });
        steps.collect()
    };
    assert_eq!(journal("whole"), journal("cut"), "each follows the same");
    // An interrupted trial was brought to its end, and the ones after it had not begun.
    let retried = |record: &Record| matches!(record, Record::Retried { .. });
    assert!(!bench.records("cut").iter().any(retried));
    assert!(bench.evaluated("cut").iter().all(|it| it.attempt == 1));
}

#[test]
fn an_interrupt_saves_and_resume_goes_on() {
    let bench = Bench::new();
    bench.run(&args("whole")).ok();
    for (name, signal_sent, code) in [("int", Signal::INT, 130), ("term", Signal::TERM, 143)] {
        let slow = [
            "run",
            "synthetic",
            "--set",
            "sleep_ms=4",
            "--set",
            "fail_every=7",
            "--budget",
            "40",
            "--out",
            name,
        ];
        let mut child = bench.start(&slow);
        wait_for(&bench, name, 5);
        signal(&child, signal_sent);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let records = bench.records(name);
        assert!(
            matches!(records.last(), Some(Record::Interrupted { .. })),
            "{:?}",
            records.last()
        );
        let summary =
            fs::read_to_string(bench.path().join(name).join("reports/summary.md")).unwrap();
        assert!(summary.contains("interrupted"), "{summary}");
        bench.run(&["resume", name]).ok();
        same(&bench.proposals("whole"), &bench.proposals(name));
    }
}

#[test]
fn a_second_interrupt_kills_what_is_under_way() {
    let bench = Bench::new();
    let mut child = bench.start(&["run", "synthetic", "--set", "sleep_ms=30000", "--out", "r"]);
    let path = bench.path().join("r/journal.jsonl");
    while !fs::read_to_string(&path)
        .unwrap_or_default()
        .contains("\"type\":\"proposed\"")
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    // Between the record and the evaluation an interrupt would end the run at once.
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        child.try_wait().unwrap().is_none(),
        "the first interrupt waits for the trial"
    );
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(bench.evaluated("r").is_empty());
    assert_eq!(bench.proposals("r").len(), 1);
}

#[test]
fn extending_a_finished_run_gives_what_the_larger_budget_would_have_given() {
    let bench = Bench::new();
    bench
        .run(&["run", "synthetic", "--budget", "30", "--out", "long"])
        .ok();
    bench
        .run(&["run", "synthetic", "--budget", "12", "--out", "short"])
        .ok();
    bench
        .run(&["run", "--from", "short", "--budget", "30"])
        .ok();
    same(&bench.proposals("long"), &bench.proposals("short"));
    bench
        .run(&["run", "--from", "short", "--budget", "20"])
        .fails(2, &["has used 30 trials already", "new totals"]);
    bench.run(&["resume", "short"]).fails(
        2,
        &["this run has finished", "evo run --from", "--budget N"],
    );
}

#[test]
fn a_torn_tail_is_cut_and_damage_in_the_middle_is_refused() {
    let bench = Bench::new();
    let mut child = bench.start(&args("r"));
    wait_for(&bench, "r", 6);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    let path = bench.path().join("r/journal.jsonl");
    let bytes = fs::read(&path).unwrap();

    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&path, &damaged).unwrap();
    bench
        .run(&["resume", "r"])
        .fails(1, &["journal.jsonl", "begins at byte", "is damaged"]);

    let mut torn = bytes;
    torn.extend_from_slice(b"{\"n\":99,\"sum\":\"0");
    fs::write(&path, &torn).unwrap();
    let ended = bench.run(&["resume", "r"]).ok();
    assert!(
        ended.stderr.contains("ended in the middle of a record"),
        "{}",
        ended.stderr
    );
    bench.run(&args("whole")).ok();
    same(&bench.proposals("whole"), &bench.proposals("r"));
}

#[test]
fn a_trial_that_was_cut_off_too_often_is_quarantined() {
    let bench = Bench::new();
    let mut child = bench.start(&[
        "run",
        "synthetic",
        "--set",
        "sleep_ms=2000",
        "--budget",
        "1",
        "--out",
        "r",
    ]);
    let path = bench.path().join("r/journal.jsonl");
    for attempt in 0.. {
        // Each session proposes or retries before it evaluates.
        let begun = |text: &str| {
            text.matches("\"type\":\"proposed\"").count()
                + text.matches("\"type\":\"retried\"").count()
        };
        let began = Instant::now();
        while begun(&fs::read_to_string(&path).unwrap_or_default()) < attempt + 1 {
            assert!(began.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(2));
        }
        if attempt == 20 {
            break;
        }
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        child = bench.start(&["resume", "r"]);
    }
    child.wait().unwrap();
    let evaluated = bench.evaluated("r");
    // It costs no trial, so the search goes on with another one.
    assert_eq!(evaluated.len(), 2);
    assert!(
        evaluated[0].outcome.summary().contains("cut off 20 times"),
        "{}",
        evaluated[0].outcome.summary()
    );
}

#[test]
fn an_extension_lifts_the_limit_that_ended_the_run() {
    let bench = Bench::new();
    bench.file(
        "spec.ron",
        "(plugin: \"synthetic\", preset: random, budget: (trials: 200, stagnation: 3))",
    );
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    let before = bench.evaluated("r").len();
    assert!(before < 100, "the run was to stagnate");
    bench.run(&["run", "--from", "r", "--budget", "120"]).ok();
    let trials = bench.evaluated("r").into_iter();
    let trials = trials.filter(|evaluated| evaluated.outcome.counts_as_trial());
    assert_eq!(trials.count(), 120);
}

#[test]
fn nobody_listening_is_no_reason_to_stop() {
    let bench = Bench::new();
    let mut child = bench.start(&["run", "synthetic", "--budget", "20", "--out", "r"]);
    drop(child.stderr.take());
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(bench.proposals("r").len(), 20);
    assert!(bench.path().join("r/reports/summary.md").is_file());
}
