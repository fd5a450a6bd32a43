//! The Hopper kernel: its space and its requests, which are held against each other, and what NVRTC
//! makes of a seeded sample.

use std::collections::BTreeMap;

use evo_core::space::{Config, Count, Role, Space};
use evo_plugin::{BuildRequest, Error, Kernel, ProblemSpec};
use evo_plugin_sdpa_ws::{HOPPER_SPACE, Hopper};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::support::{defaults, device, has_nvrtc, problem, refusal, request, space_of};

const SEED: u64 = 17;
/// What only the space knows of: a short sequence makes such a configuration pointless, not wrong.
const OF_THE_SPACE: &str = "there are fewer blocks of keys than slots";
const PROBLEMS: [&str; 8] = [
    "",
    "mask=causal dtype=bf16",
    "dtype=bf16 epilogue=scale D=128",
    "mask=causal epilogue=scale_bias",
    "dtype=f8_e4m3 scales=per_head",
    "dtype=f8_e4m3 mask=causal epilogue=scale_bias D=128",
    "B=8 H=32 S=2048 D=128",
    "B=2 H=16 S=8192 mask=causal D=128",
];

fn spaces() -> Vec<(ProblemSpec, Space)> {
    let with_space = |words| {
        let problem = problem(words);
        let space = space_of(HOPPER_SPACE, &problem, &device("sm_90a"));
        (problem, space)
    };
    PROBLEMS.map(with_space).into()
}

/// So many requests, drawn for each problem in turn, with why the space refuses them.
fn sample(
    count: usize,
    draw: impl Fn(&Space, &mut ChaCha8Rng) -> Config,
) -> Vec<(BuildRequest, Option<String>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let spaces = spaces();
    let device = device("sm_90a");
    (0..count)
        .map(|number| {
            let (problem, space) = &spaces[number % spaces.len()];
            let config = draw(space, &mut rng);
            let predicted = space.check(&config).err();
            let predicted = predicted.map(|violation| violation.reason);
            (request(problem, &device, space, &config), predicted)
        })
        .collect()
}

#[test]
fn the_space_is_large_and_the_kernel_knows_every_parameter_with_its_default() {
    let (problem, device) = (problem(""), device("sm_90a"));
    let space = space_of(HOPPER_SPACE, &problem, &device);
    match space.count(100_000_000) {
        Count::Exact(count) => assert!(count > 10_000, "{count}"),
        other => panic!("{other:?}"),
    }
    let known = Hopper.info().params;
    let searched = space.params().iter();
    let searched = searched.filter(|param| param.role != Role::Problem);
    for param in searched.clone() {
        let known = known.iter().find(|known| known.name == param.name);
        let known = known.unwrap_or_else(|| panic!("{}", param.name));
        assert_eq!(&known.default, param.value(param.default), "{}", param.name);
    }
    assert_eq!(searched.count(), known.len());
    let request = request(&problem, &device, &space, &space.default_config());
    assert_eq!(refusal(&Hopper, &request), None);
}

#[test]
fn what_the_space_refuses_the_kernel_refuses_with_the_same_reason() {
    let raw = |space: &Space, rng: &mut ChaCha8Rng| {
        let values = space.params().iter().map(|param| param.values.len() as u32);
        let choice: Vec<u32> = values.map(|count| rng.random_range(0..count)).collect();
        space.canonical(&choice)
    };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    // Some reasons are rare in the raw product.
    let drawn = sample(4_000, raw)
        .into_iter()
        .chain(sample(400, |space, rng| space.sample(rng)));
    for (request, predicted) in drawn {
        let refused = refusal(&Hopper, &request);
        match predicted.as_deref() {
            Some(OF_THE_SPACE) => {}
            predicted => assert_eq!(refused.as_deref(), predicted, "{:?}", request.config),
        }
        *seen.entry(predicted.unwrap_or_default()).or_default() += 1;
    }
    println!("{seen:#?}");
    assert!(seen[""] > 400 && seen.len() >= 13, "{seen:#?}");
}

#[test]
fn other_devices_are_refused_with_the_reason() {
    for arch in ["sm_80", "sm_89"] {
        let request = defaults(&Hopper, "", "", arch);
        let reason = refusal(&Hopper, &request).unwrap();
        assert!(
            reason.contains("only sm_90 has") && reason.contains(arch),
            "{reason}"
        );
    }
}

#[test]
fn long_sums_of_8_bit_products_leave_the_tensor_cores() {
    const COMMON: &str = "PRODUCER=true ROW_GROUPS=2 PINGPONG=true PRODUCER_REGS=40 RESCALE=lazy";
    let long = "dtype=f8_e4m3 B=2 H=16 S=8192 D=128";
    let space = space_of(HOPPER_SPACE, &problem(long), &device("sm_90a"));
    assert!(space.params().iter().any(|param| param.name == "PROMOTION"));
    // The weights' sum would be short of bits too.
    let sums = |row_sum: &str, keys: i64| {
        let mut params = space.to_params(&space.default_config());
        params.insert("ROW_SUM".to_owned(), row_sum.into());
        params.insert("PROMOTION".to_owned(), keys.into());
        space.check(&space.from_params(&params).unwrap()).is_ok()
    };
    assert!(sums("tensor", 1024) && sums("registers", 0) && !sums("tensor", 0));
    if !has_nvrtc() {
        return;
    }
    let stack_bytes = |fields: &str, choices: &str, keys: Option<i64>| {
        let mut request = defaults(&Hopper, fields, &format!("{COMMON} {choices}"), "sm_90a");
        match keys {
            Some(keys) => request.config.insert("PROMOTION".to_owned(), keys.into()),
            None => request.config.remove("PROMOTION"),
        };
        let artifact = match Hopper.build(&request) {
            Ok(artifact) => artifact,
            Err(Error::BuildFailed { message, log }) => panic!("{message}\n{log}"),
            Err(other) => panic!("{:?}: {other}", request.config),
        };
        assert!(!artifact.log.contains("serialized"), "{}", artifact.log);
        let figure = |name: &str| {
            let found = artifact.resources.iter().find(|it| it.name == name);
            found.unwrap_or_else(|| panic!("{name}")).value
        };
        assert_eq!(figure("spill_store_bytes"), 0.0, "{choices}");
        figure("stack_bytes")
    };
    let whole = "OVERLAP=false BLOCK_N=256 PERSISTENT=true V_TRANSPOSE=producer";
    let tensor = format!("{whole} ROW_SUM=tensor");
    let overlapped = "OVERLAP=true BLOCK_N=192";
    let direct = "OVERLAP=true STORE=direct";
    let causal = format!("{long} mask=causal");
    let short = "dtype=f8_e4m3 B=8 H=16 S=2048 D=128";
    // With bytes of stack: two maxima of four bytes each, two sums with ROW_SUM tensor, and without a place
    // for staging 32 pairs of outputs.
    let cases = [
        (long, whole, Some(0), 0.0),
        (long, whole, Some(1024), 8.0),
        (long, &tensor, Some(1024), 16.0),
        (&causal, overlapped, Some(2048), 8.0),
        (long, direct, Some(2048), 136.0),
        // What the configuration of a short sequence leaves open.
        (long, whole, None, 8.0),
        (short, whole, None, 0.0),
        // There is no such choice for other types.
        ("B=2 H=16 S=8192 D=128", "BLOCK_N=128", Some(2048), 0.0),
    ];
    cases
        .par_iter()
        .for_each(|(fields, choices, keys, expected)| {
            let found = stack_bytes(fields, choices, *keys);
            assert_eq!(found, *expected, "{fields} {choices} {keys:?}");
        });
}

#[test]
fn a_sample_compiles_and_no_product_is_serialised() {
    if !has_nvrtc() {
        return;
    }
    let drawn = sample(32, |space, rng| space.sample(rng));
    let mut spills: Vec<f64> = drawn
        .par_iter()
        .map(|(request, predicted)| {
            assert_eq!(*predicted, None);
            let artifact = match Hopper.build(request) {
                Ok(artifact) => artifact,
                Err(Error::BuildFailed { message, log }) => panic!("{message}\n{log}"),
                Err(other) => panic!("{:?}: {other}", request.config),
            };
            let figure = |name: &str| {
                let found = artifact.resources.iter().find(|it| it.name == name);
                found.unwrap_or_else(|| panic!("{name}")).value
            };
            let dynamic = artifact.launch["shared_bytes"].as_int().unwrap() as f64;
            assert_eq!(
                figure("shared_bytes") + dynamic,
                figure("block_shared_bytes")
            );
            assert!(!artifact.log.contains("serialized"), "{}", artifact.log);
            figure("spill_store_bytes")
        })
        .collect();
    spills.sort_by(f64::total_cmp);
    println!("bytes that threads spill: {spills:?}");
    assert_eq!(spills[spills.len() / 2], 0.0);
}
