//! What goes over the channel, whatever it carries.

use std::io::Write;
use std::process::ExitCode;

use evo_types::{BuildRequest, Outcome, Phase, Value};
use evo_wire::{Envelope, FailureKind, PROTOCOL, Reply, Request, read_frame};

use crate::support::{Host, component, store};

fn failure(reply: Reply) -> (FailureKind, String) {
    match reply {
        Reply::Failed { kind, message } => (kind, message),
        other => unreachable!("{other:?}"),
    }
}

fn build_request(request: BuildRequest) -> Request {
    Request::Build {
        kernel: component("misbehave", "misbehave"),
        request,
    }
}

#[test]
fn the_worker_says_what_machine_it_is_on() {
    let device = Host::silent().hello();
    assert_eq!(device.kind, "cpu");
    let cores = device.facts["CORES"].as_int().unwrap();
    assert_eq!(
        cores as usize,
        std::thread::available_parallelism().unwrap().get()
    );
}

#[test]
fn another_protocol_is_refused_and_both_versions_are_named() {
    let (_, reply) = Host::silent().ask(Request::Hello {
        protocol: PROTOCOL + 41,
        device: "cpu".to_owned(),
        store: store(),
        cpus: vec![],
    });
    let (kind, message) = failure(reply);
    assert_eq!(kind, FailureKind::Protocol);
    let told = format!(
        "`evo` speaks protocol {} and its worker {PROTOCOL}: they are not of the same build; \
         install one version of `evo`",
        PROTOCOL + 41
    );
    assert_eq!(message, told);
}

#[test]
fn a_device_that_is_not_there_is_refused_with_what_to_do() {
    let greet = |device: &str| {
        let (_, reply) = Host::silent().ask(Request::Hello {
            protocol: PROTOCOL,
            device: device.to_owned(),
            store: store(),
            cpus: vec![],
        });
        let (kind, message) = failure(reply);
        assert_eq!(kind, FailureKind::Refused, "{message}");
        message
    };
    for name in ["gpu", "cuda", "cuda:", "cuda:-1", "cuda:99999999999"] {
        let message = greet(name);
        assert!(message.contains("write `cpu`, or `cuda:0`"), "{message}");
    }
    // Not even a machine with GPUs has so many.
    let message = greet("cuda:4000000000");
    assert!(
        message.contains("no CUDA driver found") || message.contains("there is no CUDA device"),
        "{message}"
    );
}

#[test]
fn nothing_is_loaded_before_the_greeting() {
    let (_, reply) = Host::silent().ask(Request::LoadPlugin {
        plugin: component("misbehave", "").plugin,
        origin: "x.so".into(),
    });
    assert_eq!(failure(reply).0, FailureKind::Protocol);
}

#[test]
fn garbage_ends_the_worker_with_a_failure_and_its_code() {
    for garbage in [&b"\x04\0\0\0\0\0\0\0junk"[..], &[0xff; 16]] {
        let mut host = Host::new();
        host.channel().write_all(garbage).unwrap();
        let reply: Envelope<Reply> = read_frame(host.channel()).unwrap();
        assert_eq!(failure(reply.body).0, FailureKind::Protocol);
        assert_eq!(host.close(), ExitCode::from(2));
    }
}

#[test]
fn a_closed_channel_ends_the_worker_in_peace() {
    assert_eq!(Host::new().close(), ExitCode::SUCCESS);
}

#[test]
fn a_build_is_described_and_its_identity_depends_on_what_is_executed() {
    let mut host = Host::new();
    let mut build = |mode: &str, speed: i64| {
        let request = build_request(host.request(mode, speed));
        match host.ask(request) {
            (
                phases,
                Reply::Built {
                    execution,
                    resources,
                    log,
                    seconds,
                    ..
                },
            ) => {
                assert_eq!(phases, [(Phase::Accept, None), (Phase::Build, None)]);
                assert_eq!(
                    (log.as_str(), resources[0].name.as_str()),
                    ("built\n", "passes")
                );
                assert!(seconds >= 0.0);
                execution
            }
            (_, other) => unreachable!("{other:?}"),
        }
    };
    let good = build("good", 8);
    assert_eq!(build("good", 8), good);
    assert_ne!(build("good", 7), good);
    assert_ne!(build("zeros", 8), good);
}

#[test]
fn a_build_that_fails_is_an_outcome() {
    let mut host = Host::new();
    let mut build = |mode: &str| {
        let request = build_request(host.request(mode, 8));
        host.outcome(request)
    };
    assert_eq!(build("rejects").summary(), "rejected: planned: refused");
    match build("build_fails") {
        Outcome::BuildFailed { message, log } => {
            assert_eq!(message, "planned: does not build");
            assert_eq!(log, "planned.c:1: error: planned\n");
        }
        other => unreachable!("{other:?}"),
    }
    match build("build_panic") {
        Outcome::Crashed { phase, message, .. } => {
            assert_eq!(phase, Phase::Build);
            assert!(message.starts_with("panicked at "), "{message}");
            assert!(message.ends_with("planned: the build panics"), "{message}");
        }
        other => unreachable!("{other:?}"),
    }
    assert_eq!(
        build("no such mode").summary(),
        "rejected: there is no mode `no such mode`"
    );
}

#[test]
fn a_kernel_for_another_problem_or_device_is_refused() {
    let mut host = Host::new();
    let mut request = host.request("good", 8);
    request.device.kind = "cuda".into();
    let outcome = host.outcome(build_request(request.clone()));
    insta::assert_snapshot!(outcome.summary(), @"rejected: the kernel `misbehave` does not run on a device of kind `cuda`; it runs on: cpu");
    request.problem.problem = "sorting".into();
    let outcome = host.outcome(build_request(request));
    insta::assert_snapshot!(outcome.summary(), @"rejected: the kernel `misbehave` does not solve the problem `sorting`; it solves: filter");
}

#[test]
fn a_component_that_does_not_exist_is_refused_with_what_there_is() {
    let mut host = Host::new();
    let (_, reply) = host.ask(Request::ResolveProblem {
        problem: component("misbehave", "sorting"),
        fields: [("N".to_owned(), Value::Int(1))].into(),
    });
    let (kind, message) = failure(reply);
    assert_eq!(kind, FailureKind::Refused);
    insta::assert_snapshot!(message, @"the plugin `misbehave`: there is no problem `sorting`; there is: filter");
}
