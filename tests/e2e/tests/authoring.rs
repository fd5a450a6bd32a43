//! The tools of plugin authors: `evo plugin new`, `evo plugin check`, `evo plugin list`.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use evo_e2e::{Bench, Ended, root};
use serde_json::Value;

/// Plugins that break exactly one rule on purpose, with that rule.
const NONCONFORMING: [(&str, &str); 37] = [
    ("adds-up.kernel.ron", "all-written"),
    ("bad-description.kernel.ron", "descriptor"),
    ("breaks-at-bounds.so", "problem-resolves"),
    ("broken-space.so", "space-valid"),
    ("chance-inputs.so", "problem-inputs"),
    ("changes-input.kernel.ron", "inputs-unchanged"),
    ("clips.kernel.ron", "adversarial-inputs"),
    ("counts-launches.kernel.ron", "stateless"),
    ("crashes.kernel.ron", "right-answer"),
    ("divides-by-zero.so", "accept-honest"),
    ("hangs.kernel.ron", "right-answer"),
    ("hidden-parameter.so", "identity-complete"),
    ("imprecise.kernel.ron", "right-answer"),
    ("late.kernel.ron", "no-late-writes"),
    ("leaks-descriptors.kernel.ron", "no-leftovers"),
    ("leaks-processes.kernel.ron", "no-leftovers"),
    ("leaks-threads.kernel.ron", "no-leftovers"),
    ("leaves-out.kernel.ron", "all-written"),
    ("locks-forever.so", "cancellation"),
    ("no-gate.so", "problem-gates"),
    ("other-metric.so", "objective-metrics"),
    ("other-version.so", "interface-version"),
    ("past-the-end.kernel.ron", "in-bounds"),
    ("promises.so", "profiler-probe"),
    ("races.kernel.ron", "deterministic-as-declared"),
    ("ragged.kernel.ron", "ragged-shapes"),
    ("random-build.so", "build-deterministic"),
    ("refuses-default.so", "defaults-valid"),
    ("remembers.kernel.ron", "stateless"),
    ("same-metric-twice.so", "profiler-metrics"),
    ("shared-build.so", "build-thread-safe"),
    ("stays-broken.so", "objective-recovers"),
    ("thread-bound.so", "any-thread"),
    ("trusts-bind.so", "misuse-after-error"),
    ("unfinished-reference.so", "problem-reference"),
    ("unknown-device.so", "descriptor"),
    ("unknown-parameter.so", "space-fits-parameters"),
];

/// The problem in a size that makes the checks short.
const SMALL: [&str; 6] = ["--set", "M=64", "--set", "N=256", "--configs", "3"];

/// Compiles a C plugin as strictly as a careful author would.
fn compile(source: &Path, library: &Path) {
    let output = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1"])
        .args(["-shared", "-fPIC", "-pthread", "-I"])
        .arg(root().join("framework/evo-plugin/include"))
        .arg(source)
        .arg("-o")
        .arg(library)
        .output()
        .expect("the tests need a C compiler (cc)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{text}", source.display());
}

/// What `evo plugin check --json` says.
struct Checked {
    code: Option<i32>,
    document: Value,
}

impl Checked {
    fn of(ended: Ended) -> Self {
        let document = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", ended.stdout, ended.stderr));
        Self {
            code: ended.code,
            document,
        }
    }

    /// The rules with a verdict.
    fn with(&self, verdict: &str) -> Vec<&str> {
        let rulings = self.document["rulings"].as_array().unwrap();
        rulings
            .iter()
            .filter(|ruling| ruling["verdict"] == verdict)
            .map(|ruling| ruling["rule"].as_str().unwrap())
            .collect()
    }

    /// Asserts that no rule is broken, and that some were tried.
    #[track_caller]
    fn passes(&self) {
        let text = serde_json::to_string_pretty(&self.document).unwrap();
        assert_eq!(self.with("fail"), Vec::<&str>::new(), "{text}");
        assert_eq!(self.code, Some(0), "{text}");
        assert!(self.with("pass").len() >= 2, "{text}");
    }
}

fn check(bench: &Bench, plugin: &str, more: &[&str]) -> Checked {
    let mut args = vec!["plugin", "check", plugin, "--json"];
    args.extend(more);
    Checked::of(bench.run(&args))
}

#[test]
fn each_plugin_that_misbehaves_on_purpose_fails_the_rule_that_it_breaks() {
    let bench = Bench::new();
    let next = AtomicUsize::new(0);
    // Much of a check is waiting: for deadlines, and for what must not happen.
    let check_some = || {
        while let Some((file, rule)) = NONCONFORMING.get(next.fetch_add(1, Ordering::Relaxed)) {
            fails_its_rule(&bench, file, rule);
        }
    };
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(check_some));
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

fn fails_its_rule(bench: &Bench, file: &str, rule: &str) {
    let sources = root().join("tests/plugins/nonconforming");
    let plugin = match file.strip_suffix(".so") {
        Some(name) => {
            let library = bench.path().join(file);
            compile(&sources.join(format!("{name}.c")), &library);
            library
        }
        None => sources.join(file),
    };
    let mut more = SMALL.to_vec();
    // Short only where it is waited for.
    let patience = if file.starts_with("hangs") { "3" } else { "30" };
    more.extend(["--step-seconds", patience]);
    let checked = check(bench, &plugin.display().to_string(), &more);
    let text = serde_json::to_string_pretty(&checked.document).unwrap();
    assert_eq!(checked.with("fail"), [rule], "{file}: {text}");
    assert_eq!(checked.code, Some(4), "{file}: {text}");
}

#[test]
fn every_file_that_misbehaves_is_tried() {
    let folder = root().join("tests/plugins/nonconforming");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let tried = |name: &str| NONCONFORMING.iter().any(|(file, _)| *file == name);
    let stem = |name: &str, end: &str| name.strip_suffix(end).map(str::to_owned);
    for name in files {
        let known = match (stem(&name, ".kernel.ron"), stem(&name, ".c")) {
            (Some(_), _) => tried(&name),
            (_, Some(stem)) => tried(&format!("{stem}.so")) || tried(&format!("{stem}.kernel.ron")),
            _ => ["honest.h", "README.md"].contains(&name.as_str()),
        };
        assert!(known, "{name} is not in the list of this test");
    }
}

/// A plugin that cannot be opened here for lack of a tool, as it says itself.
fn lacks_a_tool(checked: &Checked) -> Option<String> {
    let text = checked.document.to_string();
    let missing = ["has no module", "NVRTC, the library"];
    let found = missing.iter().find(|missing| text.contains(**missing))?;
    Some(format!("{}: {found}", checked.document["path"]))
}

#[test]
fn every_shipped_plugin_passes() {
    let bench = Bench::new();
    let recording = root().join("tests/data/recorded/coulomb-RTX_2080_Ti.json.xz");
    let recording = format!("file={}", recording.display());
    let list = bench.run(&["plugin", "list", "--json"]).ok();
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let mut tried = Vec::new();
    for plugin in list.as_array().unwrap() {
        if !["beside the program", "part of this program"]
            .contains(&plugin["origin"].as_str().unwrap())
        {
            continue;
        }
        let name = plugin["name"].as_str().unwrap();
        // Attention in a size that makes the check short.
        let more: &[&str] = match name {
            "recorded" => &["--set", &recording],
            // For a GPU that need not be there, and the problems that its device code is made for.
            "sdpa-ws" => &[
                "--device",
                "sm_90a",
                "--configs",
                "2",
                "--set",
                "S=96",
                "--set",
                "H=2",
                "--set",
                "dtype=f16",
                "--set",
                "same_d=true",
            ],
            name if name.contains("sdpa") => &["--set", "S=96", "--set", "H=2", "--configs", "4"],
            _ => &[],
        };
        let checked = check(&bench, name, more);
        if let Some(reason) = lacks_a_tool(&checked) {
            eprintln!("skipped: {reason}");
            continue;
        }
        checked.passes();
        tried.push(name.to_owned());
    }
    for name in [
        "built-in",
        "command",
        "profiler-ncu",
        "profiler-nvml",
        "profiler-perf",
        "profiler-static",
        "profiler-usage",
        "recorded",
        "sdpa-cpu",
    ] {
        assert!(
            tried.iter().any(|tried| tried == name),
            "{name} is not among {tried:?}"
        );
    }
}

#[test]
fn the_command_objective_passes_with_a_command_and_a_space() {
    let bench = Bench::new();
    let space = r#"(name: "s", params: [(name: "X", range: (from: 1, to: 9))])"#;
    bench.file("space.ron", space);
    let more = ["--set", "command=echo {X}", "--space", "space.ron"];
    let checked = check(&bench, "command", &more);
    checked.passes();
    assert!(checked.with("pass").contains(&"objective-metrics"));
}

#[test]
fn a_check_takes_the_paths_of_a_spec_from_the_folder_of_the_spec() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("sub")).unwrap();
    let space = r#"(name: "s", params: [(name: "X", range: (from: 1, to: 9))])"#;
    bench.file("sub/space.ron", space);
    bench.file("sub/number.txt", "17");
    // The file is only there in the folder of the spec.
    let spec = r#"(
        plugin: "command",
        objective: (settings: {"command": "sh -c 'cat number.txt' {X}"}, space: "space.ron"),
    )"#;
    bench.file("sub/spec.ron", spec);
    let checked = check(&bench, "command", &["--spec", "sub/spec.ron"]);
    checked.passes();
    assert!(checked.with("pass").contains(&"objective-metrics"));
}

#[test]
fn every_example_with_a_plugin_of_its_own_passes() {
    let bench = Bench::new();
    let mut tried = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        for plugin in plugins_of(&bench, &folder) {
            let path = plugin.display().to_string();
            let cuda =
                fs::read_to_string(&plugin).is_ok_and(|text| text.contains("language: cuda"));
            let spec = folder.join("run.ron").display().to_string();
            // Small, where the problem has fields of these names.
            let mut more = SMALL.to_vec();
            more.extend(["--spec", &spec]);
            if cuda {
                more.extend(["--device", "sm_90a"]);
            }
            let checked = check(&bench, &path, &more);
            if let Some(reason) = lacks_a_tool(&checked) {
                eprintln!("skipped: {reason}");
                continue;
            }
            checked.passes();
            tried += 1;
        }
    }
    assert!(tried >= 4, "only {tried} examples were checked");
}

/// The plugins that an example brings: descriptions as they are, C libraries built, Rust ones as they were
/// built with the program.
fn plugins_of(bench: &Bench, folder: &Path) -> Vec<PathBuf> {
    let mut plugins = Vec::new();
    if folder.join("Cargo.toml").is_file() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        plugins.push(bench.example_plugin(name));
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return plugins;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".kernel.ron") || name.ends_with(".process.ron") {
            plugins.push(path);
        } else if name.ends_with(".c")
            && fs::read_to_string(&path)
                .unwrap()
                .contains("\"evo_plugin.h\"")
        {
            let library = bench.path().join(name.replace(".c", ".so"));
            compile(&path, &library);
            plugins.push(library);
        }
    }
    plugins
}

/// The target folder: `<target>/<profile>/deps/<this test>`.
fn target() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(3).unwrap().to_owned()
}

/// Makes a plugin, and returns its folder.
fn new(bench: &Bench, language: &str, name: &str) -> PathBuf {
    let ended = bench.run(&["plugin", "new", "--lang", language, name]).ok();
    assert!(
        ended.stdout.contains("evo plugin check ./"),
        "{}",
        ended.stdout
    );
    bench.path().join(name)
}

/// Checks and searches a new plugin, as its README says.
fn check_and_run(bench: &Bench, name: &str, file: &str) {
    let path = format!("{name}/{file}");
    check(bench, &format!("./{path}"), &SMALL).passes();
    let spec = format!("{name}/run.ron");
    let ended = bench
        .run(&["run", &spec, "--budget", "3", "--out", "run"])
        .ok();
    assert!(ended.stdout.contains("winner"), "{}", ended.stdout);
}

#[test]
fn a_new_source_kernel_passes_its_check_and_is_searched() {
    let bench = Bench::new();
    new(&bench, "source", "mine");
    check_and_run(&bench, "mine", "mine.kernel.ron");
}

#[test]
fn a_new_c_plugin_builds_passes_its_check_and_is_searched() {
    let bench = Bench::new();
    let folder = new(&bench, "c", "mine");
    let output = Command::new("make").current_dir(&folder).output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no make");
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
    check_and_run(&bench, "mine", "mine.so");
}

#[test]
fn a_new_rust_plugin_builds_passes_its_check_and_is_searched() {
    let bench = Bench::new();
    let folder = new(&bench, "rust", "mine-authored");
    // What this workspace has built already need not be built again.
    symlink(target(), folder.join("target")).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(&folder)
        .args(["build", "--release", "--offline", "--quiet"])
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    check_and_run(
        &bench,
        "mine-authored",
        "target/release/libevo_mine_authored.so",
    );
}

#[test]
fn a_new_python_plugin_passes_its_check_and_is_searched() {
    let bench = Bench::new();
    new(&bench, "python", "mine");
    let described = bench.run(&["plugin", "describe", "./mine/mine.process.ron"]);
    if described.code != Some(0) && described.stderr.contains("has no module `numpy`") {
        eprintln!("skipped: Python has no numpy");
        return;
    }
    check_and_run(&bench, "mine", "mine.process.ron");
}

#[test]
fn a_new_cuda_kernel_builds_for_a_device_that_is_not_here() {
    let bench = Bench::new();
    new(&bench, "cuda", "mine");
    let checked = check(&bench, "./mine/mine.kernel.ron", &["--device", "sm_90a"]);
    if let Some(reason) = lacks_a_tool(&checked) {
        eprintln!("skipped: {reason}");
        return;
    }
    checked.passes();
    assert!(checked.with("pass").contains(&"build-deterministic"));
    assert!(checked.with("skipped").contains(&"right-answer"));
}

#[test]
fn new_overwrites_nothing_and_refuses_odd_names() {
    let bench = Bench::new();
    new(&bench, "source", "mine");
    bench
        .run(&["plugin", "new", "--lang", "c", "mine"])
        .fails(2, &["mine: this exists already", "--folder"]);
    for name in ["Mine", "../mine", "a b", "2x"] {
        bench
            .run(&["plugin", "new", "--lang", "c", name])
            .fails(2, &["cannot be the name of a plugin"]);
    }
    bench
        .run(&["plugin", "new", "--lang", "rust", "x", "--framework", "."])
        .fails(2, &["there is no framework/evo-plugin in it"]);
    assert!(!bench.path().join("x").exists());
    bench
        .run(&["plugin", "new", "--lang", "cobol", "x"])
        .fails(2, &["rust, c, cuda, source, python"]);
}

#[test]
fn what_cannot_be_checked_is_bad_input_and_what_cannot_be_opened_breaks_a_rule() {
    let bench = Bench::new();
    bench
        .run(&["plugin", "check", "./nothing.so"])
        .fails(2, &["there is no such plugin file"]);
    bench
        .run(&["plugin", "check", "built-in", "--only", "nothing"])
        .fails(2, &["no part called `nothing`"]);
    bench
        .run(&["plugin", "check", "built-in", "--seconds", "0"])
        .fails(2, &["--seconds"]);
    let text = bench.file("text.so", "no library\n");
    for plugin in [
        text,
        bench.test_plugin("not-a-plugin"),
        bench.test_plugin("wrong-layout"),
        bench.test_plugin("wrong-version"),
    ] {
        let checked = check(&bench, &plugin.display().to_string(), &[]);
        assert_eq!(checked.with("fail"), ["interface-version"], "{plugin:?}");
    }
}

#[test]
fn a_check_that_runs_out_of_time_says_what_it_skipped() {
    let bench = Bench::new();
    let plugin = root().join("tests/plugins/nonconforming/clips.kernel.ron");
    let path = plugin.display().to_string();
    let checked = check(&bench, &path, &["--seconds", "0.000001"]);
    assert_eq!(checked.with("fail"), Vec::<&str>::new());
    let text = checked.document.to_string();
    assert!(text.contains("allow more with --seconds"), "{text}");
}

#[test]
fn the_list_has_every_kind_and_goes_on_after_what_does_not_load() {
    let bench = Bench::new();
    let folder = bench.path().join("mine");
    fs::create_dir(&folder).unwrap();
    let sources = root().join("tests/plugins/nonconforming");
    for file in ["clips.kernel.ron", "clips.c"] {
        fs::copy(sources.join(file), folder.join(file)).unwrap();
    }
    compile(
        &sources.join("other-metric.c"),
        &folder.join("other-metric.so"),
    );
    fs::write(folder.join("a-text.so"), "no library\n").unwrap();
    fs::write(folder.join("half.kernel.ron"), "(language: c").unwrap();
    let ended = bench.run(&["plugin", "list", "--plugin-path", "mine"]).ok();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let line = |name: &str| {
        let found = lines.iter().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} is missing in:\n{}", ended.stdout))
    };
    assert!(line("built-in").contains("built in"));
    assert!(line("clips").contains("source"));
    assert!(line("other-metric").contains(" C "));
    assert!(line("sdpa-cpu").contains("Rust"));
    assert!(line("a-text").contains("cannot be used: "));
    assert!(line("half").contains("cannot be used: "));
    for origin in ["--plugin-path", "$EVO_PLUGIN_PATH", "beside the program"] {
        assert!(ended.stdout.contains(origin), "{origin}");
    }
}
