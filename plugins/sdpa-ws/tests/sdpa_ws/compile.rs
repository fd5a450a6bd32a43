//! What NVRTC makes of chosen requests: every problem, figures, and the same bytes each time.

use evo_plugin::{Artifact, Error, Kernel, Params};
use evo_plugin_sdpa_ws::Math;
use rayon::prelude::*;

use crate::support::{defaults, device, fused, has_nvrtc, problem, refusal, space};

fn build(kernel: &dyn Kernel, fields: &str, words: &str, arch: &str) -> Artifact {
    match kernel.build(&defaults(kernel, fields, words, arch)) {
        Ok(artifact) => artifact,
        Err(Error::BuildFailed { message, log }) => panic!("{fields} {words}: {message}\n{log}"),
        Err(other) => panic!("{fields} {words}: {other}"),
    }
}

fn figure(artifact: &Artifact, name: &str) -> f64 {
    let found = artifact.resources.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name}")).value
}

#[test]
fn every_problem_compiles_for_every_architecture() {
    if !has_nvrtc() {
        return;
    }
    let problems = [
        "",
        "mask=causal D=128 dtype=bf16",
        "epilogue=scale_bias dtype=f8_e4m3 scales=per_head",
        "epilogue=scale mask=causal D=128 dtype=f8_e4m3",
    ];
    for arch in ["sm_80", "sm_89", "sm_90a"] {
        for problem in problems {
            let artifact = build(&Math, problem, "", arch);
            assert!(figure(&artifact, "registers") > 16.0);
            for words in ["", "USE_WS=true PROD_WARPS=2 KV_LAYOUT=separate"] {
                let artifact = build(&fused(), problem, words, arch);
                assert!(figure(&artifact, "occupancy") > 0.0);
                // A run adds the static part to the dynamic one and refuses what exceeds the device.
                let dynamic = artifact.launch["shared_bytes"].as_int().unwrap() as f64;
                let all = figure(&artifact, "block_shared_bytes");
                assert_eq!(figure(&artifact, "shared_bytes") + dynamic, all);
                assert!(dynamic >= 24_576.0);
                assert!(artifact.log.contains(arch), "{}", artifact.log);
            }
        }
    }
}

#[test]
fn one_request_gives_the_same_bytes_and_another_one_others() {
    if !has_nvrtc() {
        return;
    }
    let words = "USE_WS=true PROD_WARPS=1";
    let one = build(&fused(), "", words, "sm_90a");
    assert_eq!(one, build(&fused(), "", words, "sm_90a"));
    let two = build(&fused(), "", "USE_WS=true PROD_WARPS=2", "sm_90a");
    assert!(one.bytes != two.bytes && one.launch != two.launch);
}

#[test]
fn the_geometry_follows_the_problem() {
    if !has_nvrtc() {
        return;
    }
    let launch = |fields: &str, words: &str, name: &str| {
        let artifact = build(&fused(), fields, words, "sm_90a");
        artifact.launch[name].as_int().unwrap()
    };
    let grid = |fields: &str, words: &str| {
        let extent = |name| launch(fields, words, name);
        [extent("grid_x"), extent("grid_y")]
    };
    assert_eq!(grid("", ""), [8, 16]);
    assert_eq!(grid("S=129", ""), [3, 16]);
    assert_eq!(grid("B=1 H=6", "HEAD_GROUP=4"), [32, 2]);
    assert_eq!(launch("", "", "block_x"), 128);
    assert_eq!(launch("", "USE_WS=true PROD_WARPS=2", "block_x"), 192);
    let [persistent, one] = grid("B=32 H=32", "USE_PERSISTENT_CTA=true");
    assert_eq!((persistent % 132, one), (0, 1));
    assert!(persistent < 32 * 32 * 8);
    assert_eq!(grid("B=1 H=1", "USE_PERSISTENT_CTA=true"), [8, 1]);
}

/// One parameter at a time, around three configurations: every value besides the default gives other
/// code or geometry than the configuration around at least one of them.
#[test]
fn no_value_of_any_parameter_is_dead() {
    if !has_nvrtc() {
        return;
    }
    let fields = "B=8 mask=causal";
    let bases = [
        "",
        "BLOCK_M=128 USE_WS=true USE_PERSISTENT_CTA=true",
        "USE_PERSISTENT_CTA=true",
    ];
    let execution = |words: &str| {
        let accepted = refusal(&fused(), &defaults(&fused(), fields, words, "sm_90a")).is_none();
        accepted.then(|| {
            let artifact = build(&fused(), fields, words, "sm_90a");
            (artifact.bytes, artifact.launch)
        })
    };
    let built = bases.map(|base| execution(base).unwrap());
    let space = space(&problem(fields), &device("sm_90a"));
    let mut values = Vec::new();
    for param in fused().info().params {
        let known = space.params().iter().find(|it| it.name == param.name);
        let others = known
            .unwrap()
            .values
            .iter()
            .filter(|it| **it != param.default);
        values.extend(others.map(|value| format!("{}={value}", param.name)));
    }
    assert!(values.len() > 25, "{values:?}");
    let dead: Vec<&String> = values
        .par_iter()
        .filter(|value| {
            let changes = |base: &str, built: &(Vec<u8>, Params)| {
                execution(&format!("{base} {value}")).is_some_and(|changed| changed != *built)
            };
            !bases
                .iter()
                .zip(&built)
                .any(|(base, built)| changes(base, built))
        })
        .collect();
    assert!(dead.is_empty(), "{dead:?}");
    // What the compiler is told and does not use is not in its output: no difference is only that.
    let unused = execution("PROD_WARPS=2").unwrap();
    assert!(unused == built[0]);
}
