//! Candidates that are executed again.

use evo_types::{Outcome, Phase, WrongKind};
use evo_wire::{FailureKind, ReplayJob, ReplayMode, ReplayReport, Reply, Request};

use crate::support::{Host, component};

fn job(host: &mut Host, mode: &str, what: ReplayMode) -> ReplayJob {
    ReplayJob {
        problem: component("misbehave", "filter"),
        kernel: component("misbehave", "misbehave"),
        request: host.request(mode, 8),
        seeds: vec![17, 18],
        distribution: None,
        check_all_rows: false,
        guards: true,
        mode: what,
    }
}

fn report(host: &mut Host, job: ReplayJob) -> (Vec<Phase>, ReplayReport) {
    match host.ask(Request::Replay(Box::new(job))) {
        (phases, Reply::Replayed { report }) => (
            phases.into_iter().map(|(phase, _)| phase).collect(),
            *report,
        ),
        (_, other) => unreachable!("{other:?}"),
    }
}

#[test]
fn an_honest_kernel_gives_the_same_bits_and_each_launch_is_announced() {
    let mut host = Host::new();
    let job = job(&mut host, "good", ReplayMode::Check { repeats: 10 });
    let (phases, report) = report(&mut host, job);
    assert!(report.passed() && report.deterministic, "{report:?}");
    assert_eq!(report.launches, 20);
    let figures = report.figures.unwrap();
    assert!(figures.relative <= figures.gate && figures.checks == 2);
    let launches = phases.iter().filter(|phase| **phase == Phase::Verify);
    assert_eq!(launches.count(), 20);
}

#[test]
fn a_race_is_told_with_the_repeat_and_the_place() {
    let mut host = Host::new();
    let job = job(&mut host, "race", ReplayMode::Check { repeats: 50 });
    let (_, report) = report(&mut host, job);
    let differing = report.differing.unwrap();
    assert!(differing.launches >= 1 && differing.launches < 100);
    let first = differing.first;
    assert!(first.repeat >= 2 && first.elements >= 1, "{first:?}");
    assert!(
        first.elements <= first.of && first.at.len() == 2,
        "{first:?}"
    );
    assert_ne!(first.was, first.is);
}

#[test]
fn a_wrong_result_is_reported_beside_the_comparison_of_bits() {
    let mut host = Host::new();
    let job = job(&mut host, "inaccurate", ReplayMode::Check { repeats: 3 });
    let (_, report) = report(&mut host, job);
    assert!(report.differing.is_none() && !report.passed());
    assert_eq!(report.wrong.unwrap().wrong, WrongKind::Inaccurate);
    assert_eq!(report.launches, 6);
}

#[test]
fn what_cannot_go_on_is_an_outcome() {
    let mut host = Host::new();
    let job = job(
        &mut host,
        "out_of_bounds_after",
        ReplayMode::Check { repeats: 3 },
    );
    match host.outcome(Request::Replay(Box::new(job))) {
        Outcome::WrongResult(wrong) => assert_eq!(wrong.wrong, WrongKind::OutOfBounds),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn plain_launches_check_nothing() {
    let mut host = Host::new();
    let job = job(&mut host, "inaccurate", ReplayMode::Launch { launches: 3 });
    let (phases, report) = report(&mut host, job);
    assert!(report.passed() && report.figures.is_none());
    assert_eq!(report.launches, 2 * (1 + 3));
    let expected = [
        Phase::Accept,
        Phase::Build,
        Phase::Load,
        Phase::Profile,
        Phase::Profile,
    ];
    assert_eq!(phases, expected);
}

#[test]
fn a_job_that_makes_no_sense_is_refused() {
    let mut host = Host::new();
    let good = job(&mut host, "good", ReplayMode::Check { repeats: 1 });
    let jobs = [
        (
            ReplayJob {
                seeds: vec![],
                ..good.clone()
            },
            "one seed",
        ),
        (
            ReplayJob {
                mode: ReplayMode::Check { repeats: 0 },
                ..good.clone()
            },
            "one launch",
        ),
        (
            ReplayJob {
                distribution: Some("odd".to_owned()),
                ..good
            },
            "has no inputs `odd`; it has: ",
        ),
    ];
    for (job, text) in jobs {
        let Reply::Failed { kind, message } = host.ask(Request::Replay(Box::new(job))).1 else {
            unreachable!("{text}");
        };
        assert_eq!(kind, FailureKind::Refused);
        assert!(message.contains(text), "{message}");
    }
}
