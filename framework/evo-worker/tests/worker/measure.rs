//! Verification and timing of one candidate: every way to be wrong is caught and named.

use evo_types::{
    CachePolicy, Dtype, Measurement, Outcome, Phase, RejectedBy, Value, WrongKind, WrongResult,
};
use evo_wire::{FailureKind, MeasureJob, Reply, Request};

use crate::support::Host;

fn measured(outcome: Outcome) -> Measurement {
    match outcome {
        Outcome::Measured(measurement) => measurement,
        other => unreachable!("{}", other.summary()),
    }
}

fn wrong(outcome: Outcome) -> WrongResult {
    match outcome {
        Outcome::WrongResult(wrong) => wrong,
        other => unreachable!("{}", other.summary()),
    }
}

fn of_mode(mode: &str) -> Outcome {
    with(mode, |_| {})
}

fn with(mode: &str, change: impl FnOnce(&mut MeasureJob)) -> Outcome {
    let mut host = Host::new();
    let mut job = host.job(mode);
    change(&mut job);
    host.outcome(Request::Measure(Box::new(job)))
}

#[test]
fn an_honest_kernel_is_measured() {
    let mut host = Host::new();
    let job = host.job("good");
    let seeds = job.settings.verify_seeds;
    let (phases, reply) = host.ask(Request::Measure(Box::new(job)));
    let phases: Vec<Phase> = phases.into_iter().map(|(phase, _)| phase).collect();
    assert_eq!(
        phases,
        [
            Phase::Accept,
            Phase::Build,
            Phase::Load,
            Phase::Verify,
            Phase::Measure,
            // What was timed is checked before anything else runs: end to end comes last.
            Phase::Recheck,
            Phase::Measure,
        ]
    );
    let Reply::Outcome {
        outcome,
        device_seconds,
        charged: false,
        spent: false,
    } = reply
    else {
        unreachable!("{reply:?}");
    };
    assert!(device_seconds > 0.0);
    let measurement = measured(*outcome);

    let time = &measurement.metrics[0];
    assert_eq!(
        (time.name.as_str(), time.unit.as_str()),
        ("kernel_time", "us")
    );
    assert!(time.value > 0.0 && (6..=12).contains(&time.samples.len()));
    assert!(time.ci_low.unwrap() <= time.value && time.value <= time.ci_high.unwrap());
    let end_to_end = measurement.metric("end_to_end_time").unwrap();
    assert!(end_to_end.value > 0.0);
    let throughput = measurement.metric("throughput").unwrap().value;
    let flops = 2.0 * 64.0 * 256.0 * 32.0;
    assert!((throughput - flops / time.value / 1e3).abs() < 1e-9 * throughput);
    assert_eq!(measurement.metric("passes").unwrap().value, 1.0);
    assert!(
        measurement.metric("buffer_sets").unwrap().value > 1.0,
        "launches rotate"
    );

    let error = measurement.error.unwrap();
    assert!(error.relative > 0.0 && error.relative < error.gate);
    assert!(error.worst_row >= error.relative && error.cosine > 0.999_999);
    // Ordinary seeds, one adversarial distribution, two extra shapes, one after the timing.
    assert_eq!(error.checks, seeds + 1 + 2 + 1);
    assert!(measurement.execution.is_some() && measurement.recheck_seed.is_some());
    assert!(!measurement.raced_out);
}

#[test]
fn less_work_takes_less_time() {
    let mut host = Host::new();
    let mut time = |speed: i64| {
        let mut job = host.job("good");
        job.request.config.insert("SPEED".into(), Value::Int(speed));
        measured(host.outcome(Request::Measure(Box::new(job)))).metrics[0].value
    };
    // Eight passes against one: noise does not turn that around.
    assert!(time(1) > 2.0 * time(8));
}

#[test]
fn every_wrong_result_is_named_before_anything_is_timed() {
    for (mode, kind) in [
        ("cached_by_pointer", WrongKind::Cached),
        ("computes_in_bind", WrongKind::Cached),
        ("inaccurate", WrongKind::Inaccurate),
        ("late_write", WrongKind::LateWrite),
        ("launch_error", WrongKind::Failed),
        ("mutates_input", WrongKind::InputMutated),
        ("nan", WrongKind::Unwritten),
        ("out_of_bounds_after", WrongKind::OutOfBounds),
        ("out_of_bounds_before", WrongKind::OutOfBounds),
        ("race", WrongKind::Race),
        ("skips_seen_buffers", WrongKind::Cached),
        ("unwritten_tail", WrongKind::Unwritten),
        ("wrong_on_ragged", WrongKind::Inaccurate),
        ("zeros", WrongKind::Zeros),
    ] {
        let wrong = wrong(of_mode(mode));
        assert_eq!(wrong.wrong, kind, "{mode}: {}", wrong.message);
        assert!(!wrong.after_timing, "{mode}: {}", wrong.message);
    }
}

#[test]
fn the_message_says_what_where_and_on_which_inputs() {
    let message = |mode| {
        let wrong = wrong(of_mode(mode));
        wrong.message.replace(&wrong.seed.to_string(), "SEED")
    };
    insta::assert_snapshot!(message("out_of_bounds_after"), @"memory outside `y` was written: 1 byte after the end (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("out_of_bounds_before"), @"memory outside `y` was written: 1 byte before the start (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("unwritten_tail"), @"2049 of the 16384 elements of `y` (from 14335 to 16383) are never written (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("nan"), @"element 8191 of `y` (16384 elements) is NaN or infinite (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("mutates_input"), @"the input `x` was changed, first at byte 65532 (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("zeros"), @"`y` is all zeros, the reference is not (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("launch_error"), @"the kernel returned an error instead of a result: planned: the launch fails");
    insta::assert_snapshot!(message("skips_seen_buffers"), @"a second launch on the same buffers wrote nothing: the kernel counts on the result of the first (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("computes_in_bind"), @"the output is byte for byte that of earlier inputs: the kernel did not compute it anew (shape as ranked, inputs `uniform`, seed SEED)");
    insta::assert_snapshot!(message("late_write"), @"an output changed after the launch had returned: work goes on in another thread (shape as ranked, inputs `uniform`, seed SEED)");
}

#[test]
fn an_inaccurate_result_comes_with_its_figures() {
    let wrong = wrong(of_mode("inaccurate"));
    let error = wrong.error.unwrap();
    assert!((error.relative - 1e-3).abs() < 1e-6, "{error:?}");
    assert_eq!(error.gate, 1e-5);
}

#[test]
fn a_kernel_that_is_wrong_on_ragged_shapes_only_is_caught_on_one() {
    let message = wrong(of_mode("wrong_on_ragged")).message;
    assert!(
        message.contains("(shape C=17 R=3, inputs `uniform`"),
        "{message}"
    );
}

#[test]
fn a_result_looked_up_by_content_is_caught_after_the_timing() {
    let wrong = wrong(with("cached_by_content", |job| {
        job.request.config.insert("SPEED".into(), Value::Int(1));
    }));
    assert_eq!(wrong.wrong, WrongKind::Cached, "{}", wrong.message);
    assert!(wrong.after_timing && wrong.message.contains("looked up by content"));
}

#[test]
fn timed_launches_that_did_nothing_are_caught_after_the_timing() {
    let wrong = wrong(with("lazy_after_many", |job| {
        // One buffer set, so that its instance sees all launches.
        job.request.problem.cache = CachePolicy::Hot;
    }));
    assert_eq!(wrong.wrong, WrongKind::Cached, "{}", wrong.message);
    assert!(wrong.after_timing, "{}", wrong.message);
    assert!(
        wrong.message.contains("the timed launches wrote nothing"),
        "{}",
        wrong.message
    );
}

#[test]
fn a_cache_by_address_that_verification_is_too_short_for_is_caught_after_the_timing() {
    let wrong = wrong(with("cached_by_pointer", |job| {
        job.settings.verify_seeds = 1;
        job.request.problem.extra_shapes.clear();
    }));
    assert_eq!(wrong.wrong, WrongKind::Cached, "{}", wrong.message);
    assert!(wrong.after_timing, "{}", wrong.message);
}

#[test]
fn other_failures_have_their_own_outcomes() {
    let Outcome::Crashed { phase, message, .. } = of_mode("panic") else {
        unreachable!("a panic is a crash");
    };
    assert_eq!(phase, Phase::Verify);
    assert!(message.contains("planned: the launch panics"), "{message}");

    let Outcome::Crashed { phase, .. } = of_mode("load_panic") else {
        unreachable!("a panic is a crash");
    };
    assert_eq!(phase, Phase::Load);

    let Outcome::OutOfMemory { message, .. } = of_mode("oom") else {
        unreachable!("the workspace is absurd");
    };
    assert!(
        message.starts_with("the candidate needs 7036874"),
        "{message}"
    );

    let Outcome::Rejected { by, reason } = of_mode("rejects") else {
        unreachable!("it refuses");
    };
    assert_eq!(
        (by, reason.as_str()),
        (RejectedBy::Kernel, "planned: refused")
    );
    assert!(matches!(
        of_mode("build_fails"),
        Outcome::BuildFailed { .. }
    ));
}

#[test]
fn a_tensor_that_no_memory_holds_is_out_of_memory() {
    let outcome = with("good", |job| {
        for tensor in &mut job.request.problem.tensors {
            tensor.shape = vec![1 << 40, 1 << 20];
        }
    });
    assert!(
        matches!(outcome, Outcome::OutOfMemory { .. }),
        "{}",
        outcome.summary()
    );
}

#[test]
fn a_time_below_what_the_machine_can_do_is_implausible() {
    let outcome = with("good", |job| job.request.problem.flops = 1e18);
    let summary = outcome.summary();
    if cfg!(target_arch = "x86_64") && is_x86_feature_detected!("avx2") {
        assert!(matches!(outcome, Outcome::Implausible { .. }), "{summary}");
        assert!(
            summary.contains("this machine cannot do it in less than"),
            "{summary}"
        );
    }
}

#[test]
fn a_candidate_far_behind_is_raced_out() {
    let measurement = measured(with("good", |job| job.incumbent = Some(1e-6)));
    assert!(measurement.raced_out);
}

#[test]
fn every_cache_policy_measures() {
    use CachePolicy::{Flush, Hot, Rotate};
    for (policy, several) in [(Hot, false), (Flush, false), (Rotate, true)] {
        let measurement = measured(with("good", |job| job.request.problem.cache = policy));
        let sets = measurement.metric("buffer_sets").unwrap().value;
        assert_eq!(sets > 1.0, several, "{policy:?}: {sets} sets");
    }
}

#[test]
fn large_problems_are_checked_on_drawn_rows_and_still_caught() {
    let large = |job: &mut MeasureJob| {
        // Claims more work than there is, so that rows are drawn; not so much that the time
        // becomes implausible.
        job.request.problem.flops = 2.1e9;
        job.request.problem.cache = CachePolicy::Hot;
    };
    let mut host = Host::new();
    let spec = host.problem(&[("R", 1024), ("C", 16), ("TAPS", 2)]);
    let mut measure = |mode: &str| {
        let mut job = host.job(mode);
        job.request.problem = spec.clone();
        large(&mut job);
        host.outcome(Request::Measure(Box::new(job)))
    };
    assert_eq!(wrong(measure("inaccurate")).wrong, WrongKind::Inaccurate);
    assert_eq!(wrong(measure("nan")).wrong, WrongKind::Unwritten);
    assert_eq!(wrong(measure("unwritten_tail")).wrong, WrongKind::Unwritten);
}

#[test]
fn a_missing_gate_is_an_error_and_never_a_pass() {
    let mut host = Host::new();
    let mut job = host.job("good");
    job.request.problem.gates.clear();
    let Reply::Failed { kind, message } = host.ask(Request::Measure(Box::new(job))).1 else {
        unreachable!("there is no gate");
    };
    assert_eq!(kind, FailureKind::Refused);
    insta::assert_snapshot!(message, @"the problem `filter` has no gate for its output `y`: add one, so that a wrong result can be told from a right one");
}

#[test]
fn a_problem_that_fails_is_not_the_candidates_fault() {
    let mut host = Host::new();
    let mut job = host.job("good");
    job.request.problem.distributions = vec!["no such".into()];
    let Reply::Failed { kind, message } = host.ask(Request::Measure(Box::new(job))).1 else {
        unreachable!("the distribution is unknown");
    };
    assert_eq!(kind, FailureKind::Refused);
    insta::assert_snapshot!(message, @"the problem `filter` failed filling the inputs with `no such`: there is no distribution `no such`");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let mut host = Host::new();
    let mut job = host.job("good");
    job.settings.max_seconds = f64::MAX;
    let Reply::Failed { kind, message } = host.ask(Request::Measure(Box::new(job))).1 else {
        unreachable!("the setting is absurd");
    };
    assert_eq!(kind, FailureKind::Refused);
    assert!(message.contains("`max_seconds`"), "{message}");
}

#[test]
fn the_problem_of_these_tests_is_what_they_think() {
    let spec = Host::new().problem(&[]);
    assert!(spec.tensors.iter().all(|tensor| tensor.dtype == Dtype::F32));
    assert_eq!((spec.distributions.len(), spec.extra_shapes.len()), (2, 2));
}
