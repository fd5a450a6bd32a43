//! Real C plugins, compiled by the system's compiler, opened and called through the traits' boundary.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use evo_plugin::__private::{host, wrap};
use evo_plugin::Error;
use evo_plugin::abi::{BoxedPlugin, RawIo, RawTensor};
use evo_types::{
    Artifact, BuildRequest, DeviceFacts, Dtype, InterfaceVersion, Params, PluginInfo, ProblemSpec,
    Value,
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Compiled {
    _folder: tempfile::TempDir,
    library: PathBuf,
}

/// Compiles a test plugin as strictly as plugin authors may.
fn compile(source: &str, include: &str, defines: &[&str]) -> Compiled {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("plugin.so");
    let (compiler, standard) = if source.ends_with(".cpp") {
        ("c++", "-std=c++17")
    } else {
        ("cc", "-std=c11")
    };
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-pedantic", "-Werror"])
        .args(["-O2", "-shared", "-fPIC", "-I"])
        .arg(repository().join(include))
        .args(defines)
        .arg(repository().join("tests/plugins/c").join(source))
        .arg("-o")
        .arg(&library)
        .output()
        .expect("the tests need a C and a C++ compiler (cc, c++)");
    assert!(
        output.status.success(),
        "{source}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Compiled {
        _folder: folder,
        library,
    }
}

const CURRENT: &str = "framework/evo-plugin/include";

fn open(compiled: &Compiled) -> Result<BoxedPlugin, String> {
    evo_c::open(&compiled.library, "plugins/x.so").map(wrap)
}

fn info(plugin: &BoxedPlugin) -> PluginInfo {
    serde_json::from_str(&host::result(plugin.info()).unwrap()).unwrap()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn params(values: &[(&str, Value)]) -> Params {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn resolve(plugin: &BoxedPlugin, problem: &str, fields: &Params) -> Result<ProblemSpec, Error> {
    let problem = host::result(plugin.problem(problem.into())).unwrap();
    let text = host::result(problem.resolve(json(fields).as_str().into()))?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn request(plugin: &BoxedPlugin, config: &Params) -> BuildRequest {
    let fields = params(&[("N", Value::Int(100)), ("W", Value::Int(7))]);
    BuildRequest {
        problem: resolve(plugin, "weigh", &fields).unwrap(),
        config: config.clone(),
        device: DeviceFacts {
            kind: "cpu".into(),
            name: "a CPU".into(),
            uuid: "1".into(),
            facts: params(&[("CORES", Value::Int(2))]),
        },
    }
}

fn build(plugin: &BoxedPlugin, kernel: &str, config: &Params) -> Result<Artifact, Error> {
    let request = json(&request(plugin, config));
    let kernel = host::result(plugin.kernel(kernel.into())).unwrap();
    host::result(kernel.accept(request.as_str().into()))?;
    host::from_raw(&host::result(kernel.build(request.as_str().into()))?)
}

#[test]
fn the_description_is_complete() {
    let plugin = open(&compile("full.c", CURRENT, &[])).unwrap();
    let info = info(&plugin);
    assert_eq!(
        (info.name.as_str(), info.version.as_str()),
        ("c-full", "1.2.3")
    );
    assert_eq!(info.interface, InterfaceVersion { major: 1, minor: 1 });
    assert!(info.default_spec.unwrap().starts_with("(plugin: \"full\""));
    let [blocked, plain, never] = info.kernels.as_slice() else {
        panic!("three kernels");
    };
    assert_eq!(blocked.version, "1.2.3");
    assert!(blocked.prepares && !plain.prepares);
    assert!(blocked.params[3].runtime && !blocked.params[2].runtime);
    assert_eq!(blocked.params[1].default, Value::from("plain"));
    assert!(plain.space.as_deref().unwrap().contains("[true, false]"));
    assert_eq!(never.space, None);
    assert_eq!(info.problems[0].fields.len(), 2);
    assert_eq!(info.objectives[0].metric, "height");
    assert_eq!(info.profilers[0].devices, ["cpu"]);
}

#[test]
fn a_kernel_goes_through_all_its_steps() {
    let compiled = compile("full.c", CURRENT, &[]);
    let plugin = open(&compiled).unwrap();
    let request = request(&plugin, &params(&[("BLOCK", Value::Int(64))]));
    let spec = &request.problem;
    assert_eq!((spec.bytes, spec.flops), (4.0 * 207.0, 100.0));

    let kernel = host::result(plugin.kernel("blocked".into())).unwrap();
    let text = json(&request);
    let raw = host::result(kernel.build(text.as_str().into())).unwrap();
    let mut instance = host::result(kernel.load(&raw, text.as_str().into())).unwrap();
    assert_eq!(host::result(instance.workspace_size()), Ok(256));

    let mut x: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let mut w = vec![2f32; 7];
    let mut y = vec![0f32; 100];
    let mut workspace = vec![0u8; 256];
    let (long, short) = ([100i64], [7i64]);
    // SAFETY: the buffers outlive the tensors.
    let tensor = |data: &mut [f32], shape| unsafe {
        RawTensor::host(data.as_mut_ptr().cast(), Dtype::F32, shape)
    };
    let io = RawIo {
        inputs: vec![tensor(&mut x, &long), tensor(&mut w, &short)].into(),
        outputs: vec![tensor(&mut y, &long)].into(),
        workspace: workspace.as_mut_ptr(),
        workspace_bytes: workspace.len(),
    };
    // In the wrong order it says so.
    let early = host::result(instance.launch(&io, 0)).unwrap_err();
    assert_eq!(
        early,
        Error::Failed("launched before prepare and bind".into())
    );
    host::result(instance.prepare(io.inputs.as_rslice())).unwrap();
    host::result(instance.bind(&io)).unwrap();
    host::result(instance.launch(&io, 0)).unwrap();
    drop(instance);
    let expected: Vec<f32> = (0..100).map(|i| 2.0 * i as f32).collect();
    assert_eq!(y, expected);
}

#[test]
fn builds_tell_code_launch_and_figures_apart() {
    let plugin = open(&compile("full.c", CURRENT, &[])).unwrap();
    let of = |values: &[(&str, Value)]| build(&plugin, "blocked", &params(values));
    let first = of(&[("BLOCK", Value::Int(64)), ("DEAD", Value::Int(0))]).unwrap();
    let dead = of(&[("BLOCK", Value::Int(64)), ("DEAD", Value::Int(1))]).unwrap();
    assert_eq!(first, dead, "what `build` does not use makes no difference");
    assert_eq!(first.bytes, b"block 64 plain");
    assert_eq!(first.launch, params(&[("THREADS", Value::Int(1))]));
    assert_eq!(first.log, "building for BLOCK=64\n");
    assert_eq!(first.resources[0].name, "registers");
    assert_eq!(
        of(&[("MODE", Value::from("broken"))]).unwrap_err(),
        Error::BuildFailed {
            message: "the compiler gave up".into(),
            log: "building for BLOCK=64\nerror: weigh.c:1: what is `broken`?\n".into(),
        }
    );
    assert_eq!(
        of(&[("BLOCK", Value::Int(13))]).unwrap_err(),
        Error::Rejected("BLOCK is 13, an unlucky number".into())
    );
    assert_eq!(
        of(&[("BLOCK", Value::from("x"))]).unwrap_err(),
        Error::Rejected("`BLOCK` is x, but must be an integer".into())
    );
}

#[test]
fn without_a_build_the_code_is_the_file_and_every_parameter_acts_at_launch() {
    let compiled = compile("full.c", CURRENT, &[]);
    let artifact = build(&open(&compiled).unwrap(), "plain", &Params::new()).unwrap();
    let bytes = std::fs::read(&compiled.library).unwrap();
    assert_eq!(
        artifact.bytes,
        evo_types::ContentHash::of_bytes(&bytes).as_str().as_bytes()
    );
    // The default, though the configuration was silent.
    assert_eq!(artifact.launch, params(&[("WRONG", Value::Bool(false))]));
}

#[test]
fn a_problem_that_refuses_says_why() {
    let plugin = open(&compile("full.c", CURRENT, &[])).unwrap();
    let fields = params(&[("N", Value::Int(2)), ("W", Value::Int(7))]);
    assert_eq!(
        resolve(&plugin, "weigh", &fields).unwrap_err(),
        Error::Rejected("W is 7, but must not be more than N".into())
    );
}

#[test]
fn an_objective_returns_metrics_with_samples_and_costs() {
    let plugin = open(&compile("full.c", CURRENT, &[])).unwrap();
    let settings = params(&[("center", Value::Float(7.0)), ("width", Value::Int(9))]);
    let open = |settings: &Params| {
        host::result(plugin.objective("parabola".into(), json(settings).as_str().into()))
    };
    let mut objective = open(&settings).unwrap();
    assert_eq!(
        host::result(objective.space()).unwrap().as_str(),
        "(name: \"parabola\", params: [(name: \"X\", range: (from: 0, to: 9))])"
    );
    let mut evaluate = |x: i64| {
        let config = json(&params(&[("X", Value::Int(x))]));
        host::result(objective.evaluate(config.as_str().into()))
    };
    let document: serde_json::Value = serde_json::from_str(&evaluate(5).unwrap()).unwrap();
    assert_eq!(document["cost_s"], 0.25);
    assert_eq!(document["metrics"][0]["value"], 4.0);
    assert_eq!(
        document["metrics"][0]["samples"],
        serde_json::json!([4.0, 4.0, 4.0])
    );
    assert_eq!(document["metrics"][1]["direction"], "info");
    assert_eq!(evaluate(0).unwrap_err(), Error::TimedOut(30));
    assert_eq!(
        evaluate(1).unwrap_err(),
        Error::WrongResult("recorded as wrong".into())
    );
    let refused = open(&params(&[("center", Value::from("x"))]))
        .err()
        .unwrap();
    assert_eq!(
        refused,
        Error::Rejected("`center` is x, but must be a number".into())
    );
}

#[test]
fn older_and_newer_minor_versions_work() {
    let old = open(&compile("old.c", "tests/plugins/c/include_1_0", &[])).unwrap();
    let old_info = info(&old);
    assert_eq!(old_info.interface, InterfaceVersion { major: 1, minor: 0 });
    assert!(!old_info.kernels[0].prepares);
    assert!(resolve(&old, "copy", &params(&[("N", Value::Int(4))])).is_ok());

    let newer = open(&compile("newer.c", CURRENT, &[])).unwrap();
    assert_eq!(
        info(&newer).interface,
        InterfaceVersion { major: 1, minor: 9 }
    );
}

#[test]
fn tables_that_cannot_be_right_each_have_their_own_error() {
    for (define, texts) in [
        (
            "-DMAGIC=17",
            [
                "begins with 0x0000000000000011, not with 0x45564f5f504c5547",
                "EVO_PLUGIN_HEADER",
            ],
        ),
        (
            "-DMAJOR=2",
            [
                "compiled with version 2.1 of evo_plugin.h, and this evo speaks 1.1",
                "use an evo that speaks 2.1",
            ],
        ),
        (
            "-DSIZE=8",
            [
                "struct_size is 8, which no version of evo_plugin has",
                "version 1.1",
            ],
        ),
        (
            "-DSIZE=(size_t)-8",
            ["struct_size is 18446744073709551608", "sizeof(evo_plugin)"],
        ),
        (
            "-DKERNEL_SIZE=0",
            [
                "kernels[0]: struct_size is 0, which no version of evo_kernel has",
                "sizeof(evo_kernel)",
            ],
        ),
        ("-DNAME=NULL", ["name is NULL, but must be set", ""]),
        (
            "-DNAME=\"\\xff\"",
            ["name is not UTF-8: byte 0 is wrong", ""],
        ),
        (
            "-DLAUNCH=NULL",
            [
                "kernels[0].launch is NULL, but every evo_kernel has to have it",
                "",
            ],
        ),
        ("-DKERNEL=NULL", ["kernels[0] is no address of a table", ""]),
        (
            "-DKERNELS=NULL",
            ["kernels is NULL, but there are said to be 1", ""],
        ),
        (
            "-DCOUNT=0",
            ["kernels is set, but its count is 0", "EVO_COUNT(kernels)"],
        ),
        (
            "-DCOUNT=(size_t)-1",
            ["kernels is said to have 18446744073709551615 entries", ""],
        ),
        ("-DINFO=NULL", ["kernels[0].info is NULL", ""]),
        (
            "-DINFO=\"no JSON\"",
            [
                "kernels[0].info cannot be read: expected ident at line 1 column 2",
                "near `no JSON`",
            ],
        ),
        (
            "-DINFO=\"{}\"",
            [
                "kernels[0].info cannot be read: missing field `name` at line 1 column 2",
                "",
            ],
        ),
    ] {
        let compiled = compile("broken.c", CURRENT, &[define]);
        let error = open(&compiled)
            .err()
            .unwrap_or_else(|| panic!("{define} was opened"));
        for text in texts
            .iter()
            .chain(&["the C plugin plugins/x.so cannot be used: "])
        {
            assert!(
                error.contains(text),
                "{define}: `{text}` is missing in: {error}"
            );
        }
    }
}

#[test]
fn libraries_that_are_no_c_plugins_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("x.c");
    for (index, (text, expected)) in [
        (
            "int nothing;",
            "it does not export the constant `evo_plugin_entry`",
        ),
        (
            "int missing(void); int use(void) { return missing(); }",
            "undefined symbol: missing",
        ),
        (
            "int evo_plugin_entry(int x) { return x + 1; } long after[64] = {1};",
            "so it is no plugin table",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&source, text).unwrap();
        let library_of = folder.path().join(format!("{index}.so"));
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library_of, &source])
            .status();
        assert!(status.unwrap().success());
        let error = evo_c::open(&library_of, "x.so").err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
    let error = evo_c::open(&folder.path().join("none.so"), "x.so")
        .err()
        .unwrap();
    assert!(error.contains("cannot be read"), "{error}");
}
