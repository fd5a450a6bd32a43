//! Two seeded samples of 200 configurations over eight problems: of the raw product, whose refusals
//! are foretold by the space; and of what is valid on an H100, each of which compiles there and on
//! the other architectures compiles or is refused as foretold.

use std::collections::BTreeMap;

use evo_core::space::{Config, Space};
use evo_plugin::{BuildRequest, Error, Kernel, ProblemSpec, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::support::{device, fused, has_nvrtc, problem, refusal, request, space};

const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_89", "sm_90a"];
const SAMPLE: usize = 200;
const SEED: u64 = 17;
/// What only the space knows of: a short sequence makes such a configuration pointless, not wrong.
const OF_THE_SPACE: &str = "there are fewer tiles of keys than stages";

/// D=128 takes the compiler several times as long; it is compiled for chosen configurations.
const PROBLEMS: [&str; 8] = [
    "",
    "mask=causal dtype=bf16",
    "dtype=bf16 epilogue=scale",
    "mask=causal epilogue=scale_bias",
    "dtype=f8_e4m3 scales=per_head",
    "dtype=f8_e4m3 mask=causal epilogue=scale_bias",
    "B=8 H=32 S=2048",
    "B=2 H=16 S=8192 mask=causal",
];

/// The problems with their spaces on a device.
fn spaces(arch: &str) -> Vec<(ProblemSpec, Space)> {
    let with_space = |words| {
        let problem = problem(words);
        let space = space(&problem, &device(arch));
        (problem, space)
    };
    PROBLEMS.map(with_space).into()
}

/// Distinct configurations, drawn for each problem in turn.
fn sample(mut draw: impl FnMut(&Space, &mut ChaCha8Rng) -> Config) -> Vec<Config> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let spaces = spaces("sm_90a");
    let mut found: Vec<Config> = Vec::new();
    while found.len() < SAMPLE {
        let config = draw(&spaces[found.len() % spaces.len()].1, &mut rng);
        if !found.contains(&config) {
            found.push(config);
        }
    }
    found
}

/// Valid or not.
fn raw(space: &Space, rng: &mut ChaCha8Rng) -> Config {
    let values = space.params().iter().map(|param| param.values.len() as u32);
    let choice: Vec<u32> = values.map(|count| rng.random_range(0..count)).collect();
    space.canonical(&choice)
}

/// The requests of a sample for one architecture, with why the space refuses them.
fn requests(configs: &[Config], arch: &str) -> Vec<(BuildRequest, Option<String>)> {
    let spaces = spaces(arch);
    let of = |(number, config): (usize, &Config)| {
        let (problem, own) = &spaces[number % spaces.len()];
        let predicted = own.check(config).err().map(|violation| violation.reason);
        (request(problem, &device(arch), own, config), predicted)
    };
    configs.iter().enumerate().map(of).collect()
}

#[test]
fn what_the_space_refuses_the_kernel_refuses_with_the_same_reason() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let configs = sample(raw);
    for arch in ARCHITECTURES {
        for (request, predicted) in requests(&configs, arch) {
            let refused = refusal(&fused(), &request);
            match predicted.as_deref() {
                Some(OF_THE_SPACE) => {}
                predicted => assert_eq!(refused.as_deref(), predicted, "{:?}", request.config),
            }
            *seen.entry(predicted.unwrap_or_default()).or_default() += 1;
        }
    }
    println!("{seen:#?}");
    // The sample is no test of what it does not meet.
    assert!(seen[""] > 50 && seen.len() >= 7, "{seen:#?}");
}

/// The identity of a configuration, over runs of this test and machines.
#[test]
fn hashes_of_configurations_are_stable() {
    let space = space(&problem(""), &device("sm_90a"));
    let hash = |changes: &[(&str, Value)]| {
        let named = changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let config = space.from_params(&named.collect()).unwrap();
        space.hash(&config).to_string()
    };
    assert_eq!(
        hash(&[]),
        "bac9ecc5a2f39397fddaf056c817a4ee016e6423f9a7cef13fd8b909b1f712a5"
    );
    assert_eq!(
        hash(&[("USE_WS", true.into()), ("PROD_WARPS", 2.into())]),
        "b14662c6441c8ca3870ae7411d45859747e884558f7940c6efbd5fcbde0491cb"
    );
}

#[test]
fn every_configuration_of_the_sample_compiles_or_is_refused_as_foretold() {
    if !has_nvrtc() {
        return;
    }
    let configs = sample(|space, rng| space.sample(rng));
    for arch in ARCHITECTURES {
        let mut accepted = Vec::new();
        for (place, (request, predicted)) in requests(&configs, arch).into_iter().enumerate() {
            assert_eq!(
                refusal(&fused(), &request),
                predicted,
                "{:?}",
                request.config
            );
            // The two older ones share the code: each configuration is compiled for one of them, and each
            // of the eight problems for both.
            let turn = place / 8 % 2;
            let mine = match arch {
                "sm_80" => turn == 0,
                "sm_89" => turn == 1,
                _ => true,
            };
            if predicted.is_none() && mine {
                accepted.push(request);
            }
        }
        accepted
            .par_iter()
            .for_each(|request| match fused().build(request) {
                Ok(_) => {}
                Err(Error::BuildFailed { message, log }) => panic!("{message}\n{log}"),
                Err(other) => panic!("{:?}: {other}", request.config),
            });
        println!("{arch}: {} compiled, the others refused", accepted.len());
        assert!(arch != "sm_90a" || accepted.len() == SAMPLE);
    }
}
