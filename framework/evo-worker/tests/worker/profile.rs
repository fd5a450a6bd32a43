//! Profiling passes.

use evo_types::{Outcome, Phase};
use evo_wire::{ProfileJob, Reply, Request};

use crate::support::{Host, component};

fn job(host: &mut Host, mode: &str) -> ProfileJob {
    ProfileJob {
        profiler: component("misbehave", "counter"),
        problem: component("misbehave", "filter"),
        kernel: component("misbehave", "misbehave"),
        request: host.request(mode, 8),
        seed: 5,
        folder: None,
        measured: Vec::new(),
    }
}

#[test]
fn a_profiler_sees_the_candidate_and_launches_it() {
    let mut host = Host::new();
    let job = job(&mut host, "good");
    let (phases, reply) = host.ask(Request::Profile(Box::new(job)));
    assert_eq!(phases.last(), Some(&(Phase::Profile, None)));
    let Reply::Profiled { metrics } = reply else {
        unreachable!("{reply:?}");
    };
    let metrics: Vec<(&str, f64)> = metrics
        .iter()
        .map(|metric| (metric.name.as_str(), metric.value))
        .collect();
    let bytes = "good 8".len() as f64;
    assert_eq!(
        metrics,
        [("launches", 3.0), ("artifact_bytes", bytes), ("rows", 64.0)]
    );
}

#[test]
fn a_candidate_that_panics_under_a_profiler_has_crashed() {
    let mut host = Host::new();
    let job = job(&mut host, "panic");
    match host.outcome(Request::Profile(Box::new(job))) {
        Outcome::Crashed { phase, message, .. } => {
            assert_eq!(phase, Phase::Profile);
            assert!(message.contains("planned: the launch panics"), "{message}");
        }
        other => unreachable!("{}", other.summary()),
    }
}

#[test]
fn a_profiler_that_cannot_work_here_says_why() {
    let mut host = Host::new();
    let mut job = job(&mut host, "good");
    job.request.device.kind = "cuda".into();
    // Which is no failure of the candidate: the host leaves the profiler out.
    let Reply::NoProfiler { reason } = host.ask(Request::Profile(Box::new(job))).1 else {
        unreachable!("there is no such device");
    };
    insta::assert_snapshot!(reason, @"rejected: the counter looks at CPUs only");
}

#[test]
fn a_profiler_that_finds_out_late_that_it_cannot_work_is_left_out_too() {
    let mut host = Host::new();
    let mut job = job(&mut host, "good");
    job.request = host.request("good", 7);
    let Reply::NoProfiler { reason } = host.ask(Request::Profile(Box::new(job))).1 else {
        unreachable!("it rejects this speed");
    };
    insta::assert_snapshot!(reason, @"planned: counters may not be read");
}
