//! The objective with real programs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use evo_plugin::Value;

use super::*;

/// Settings: the defaults, changed.
fn settings(folder: &Path, changes: &[(&str, Value)]) -> Params {
    let mut settings: Params = settings::fields()
        .into_iter()
        .map(|field| (field.name, field.default))
        .collect();
    let folder = Value::from(folder.to_str().unwrap());
    for (name, value) in changes.iter().chain([&("folder", folder)]) {
        assert!(settings.insert((*name).to_owned(), value.clone()).is_some());
    }
    settings
}

/// Evaluates a shell command with `X` = 3.
fn evaluate(shell: &str, changes: &[(&str, Value)]) -> Result<Evaluation, Error> {
    let folder = tempfile::tempdir().unwrap();
    evaluate_in(folder.path(), shell, changes)
}

fn evaluate_in(folder: &Path, shell: &str, changes: &[(&str, Value)]) -> Result<Evaluation, Error> {
    let mut all = vec![
        ("command", Value::from(shell)),
        ("shell", Value::from(true)),
    ];
    all.extend(changes.iter().cloned());
    let config = Params::from([("X".to_owned(), Value::from(3))]);
    Command.open(&settings(folder, &all))?.evaluate(&config)
}

#[test]
fn the_printed_number_is_the_metric() {
    let evaluation = evaluate("echo tile {X}; echo took 2.5 ms", &[("unit", "ms".into())]).unwrap();
    let metric = &evaluation.metrics[0];
    assert_eq!((metric.name.as_str(), metric.value), (METRIC, 2.5));
    assert_eq!(
        (metric.unit.as_str(), metric.direction),
        ("ms", Direction::Lower)
    );
    assert_eq!(evaluation.metrics[1].name, "wall_time");
    let changes = [("after", "tile".into()), ("direction", "higher".into())];
    let metric = evaluate("echo tile {X}; echo took 2.5 ms", &changes)
        .unwrap()
        .metrics
        .remove(0);
    assert_eq!((metric.value, metric.direction), (3.0, Direction::Higher));
    let changes = [("stream", "stderr".into())];
    let metric = evaluate("echo 1; echo {X} >&2", &changes)
        .unwrap()
        .metrics
        .remove(0);
    assert_eq!(metric.value, 3.0);
}

#[test]
fn the_median_of_several_runs_counts_and_all_are_kept() {
    let script = "echo {X} >> count; wc -l < count";
    let metric = evaluate(script, &[("repeat", Value::from(4))])
        .unwrap()
        .metrics
        .remove(0);
    assert_eq!(
        (metric.value, metric.samples),
        (2.5, vec![1.0, 2.0, 3.0, 4.0])
    );
    let metric = evaluate(script, &[("repeat", Value::from(3))])
        .unwrap()
        .metrics
        .remove(0);
    assert_eq!(metric.value, 2.0);
}

#[test]
fn wall_time_needs_no_number() {
    let evaluation = evaluate("sleep 0.0{X}", &[("measure", "wall".into())]).unwrap();
    let metric = &evaluation.metrics[0];
    assert!(metric.value >= 0.03 && metric.unit == "s", "{metric:?}");
}

#[test]
fn a_program_is_found_from_the_folder_and_runs_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("prog");
    fs::write(&script, "#!/bin/sh\nls | wc -l\necho \"args: $# $1\" >&2\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, executable).unwrap();
    let settings = settings(folder.path(), &[("command", "./prog '--a b={X}'".into())]);
    let config = Params::from([("X".to_owned(), Value::from(3))]);
    let evaluation = Command.open(&settings).unwrap().evaluate(&config).unwrap();
    assert_eq!(evaluation.metrics[0].value, 1.0);
}

#[test]
fn each_way_of_failing_is_its_own_kind_and_says_what_was_run_and_printed() {
    let failed = evaluate("echo step {X}; echo 'bad tile' >&2; exit 4", &[]).unwrap_err();
    assert_eq!(
        failed,
        Error::Failed(
            "the command ended with exit code 4: sh -c \"echo step 3; echo 'bad tile' >&2; \
             exit 4\"; its last words: bad tile"
                .to_owned()
        )
    );
    let Error::Failed(message) = evaluate("kill -SEGV $$ # {X}", &[]).unwrap_err() else {
        panic!("a signal is a crash");
    };
    assert!(message.contains("was killed by signal 11"), "{message}");
    for (script, expected) in [
        (
            "echo none of {X:x}",
            "which is for a parameter that is true or false",
        ),
        (
            "echo no figure # {X}",
            "printed no number to standard output",
        ),
        ("true {X}", "it printed nothing"),
        (
            "echo loss=nan # {X}",
            "printed NaN where its figure should be",
        ),
        ("echo 1e999 # {X}", "printed inf where its figure should be"),
    ] {
        let error = evaluate(script, &[]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let is_rejected = matches!(error, Error::Rejected(_));
        assert_eq!(is_rejected, script.contains("{X:"), "{error:?}");
        assert!(
            is_rejected || matches!(error, Error::Implausible(_)),
            "{error:?}"
        );
    }
    let error = evaluate("echo 5 # {X}", &[("after", "loss".into())]).unwrap_err();
    assert!(
        error.to_string().contains("no number after `loss`"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (command, expected) in [
        ("./none {X}", "there is no program"),
        (
            "no-such-program-at-all {X}",
            "no program is called `no-such-program-at-all`",
        ),
        ("", "`command` is empty"),
    ] {
        let settings = settings(folder.path(), &[("command", command.into())]);
        let error = Command.open(&settings).err().unwrap();
        assert!(matches!(error, Error::Rejected(_)));
        assert!(error.to_string().contains(expected), "{error}");
    }
    let settings = settings(&folder.path().join("none"), &[("command", "true".into())]);
    let error = Command.open(&settings).err().unwrap();
    assert!(
        error.to_string().contains("there is no such folder"),
        "{error}"
    );
}

/// Whether a process has ended, waiting a while for it.
fn is_gone(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = Path::new("/proc").join(pid).join("status");
    while Instant::now() < deadline {
        // Killed, it may stay as a zombie where nobody reaps orphans.
        match fs::read_to_string(&status) {
            Ok(text) if !text.contains("State:\tZ") => {}
            _ => return true,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn a_run_that_takes_too_long_is_killed_with_its_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "sleep 600 & echo $! > child; (sleep 600 & echo $! > grandchild; wait) & wait # {X}";
    let error = evaluate_in(folder.path(), script, &[("timeout_s", Value::from(0.3))]).unwrap_err();
    assert_eq!(error, Error::TimedOut(1));
    for name in ["child", "grandchild"] {
        let pid = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(is_gone(pid.trim()), "{name} lives on");
    }
}

#[test]
fn what_a_run_leaves_behind_is_killed_and_does_not_hold_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo $! > child; echo {X}";
    let evaluation = evaluate_in(folder.path(), script, &[]).unwrap();
    assert_eq!(evaluation.metrics[0].value, 3.0);
    let pid = fs::read_to_string(folder.path().join("child")).unwrap();
    assert!(is_gone(pid.trim()));
}

#[test]
fn a_flood_of_output_is_drained_and_its_end_counts() {
    let evaluation = evaluate(
        "head -c 8000000 /dev/zero | tr '\\0' x; echo; echo {X}",
        &[],
    )
    .unwrap();
    assert_eq!(evaluation.metrics[0].value, 3.0);
}
