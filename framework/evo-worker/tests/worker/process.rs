//! The worker as a process of its own: this test program starts itself again as a worker.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use evo_wire::Request;

use crate::support::Host;

/// Set in the environment of the process that is to be the worker.
const ROLE: &str = "EVO_TEST_IS_WORKER";

/// Not a test of its own: the entry of the child process.
#[test]
fn worker_process() {
    if std::env::var_os(ROLE).is_some() {
        let code = evo_worker::main();
        // The exit code as a number: 0 or 2.
        let failed = code != std::process::ExitCode::SUCCESS;
        std::process::exit(if failed { 2 } else { 0 });
    }
}

fn spawn() -> (Child, Host) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::worker_process", "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (child, Host::on(ours, None))
}

fn wait(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            unreachable!("the worker did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_a_plugin_prints_or_closes_does_not_reach_the_channel() {
    let (child, mut host) = spawn();
    host.hello();
    for mode in ["prints", "closes_fds"] {
        let job = host.job(mode);
        let outcome = host.outcome(Request::Measure(Box::new(job)));
        assert!(
            outcome.measurement().is_some(),
            "{mode}: {}",
            outcome.summary()
        );
    }
    drop(host);
    assert!(wait(child).success());
}

#[test]
fn a_worker_whose_host_is_gone_ends() {
    let (child, mut host) = spawn();
    host.hello();
    drop(host);
    assert!(wait(child).success());
}

#[test]
fn a_worker_without_a_socket_says_who_starts_it() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::worker_process", "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("started by `evo` itself"), "{text}");
}
