//! The search space: every value of every parameter, in pairs, gives right results.

use std::collections::HashSet;

use evo_plugin::{Params, Value};
use half::{bf16, f16};
use serde::Deserialize;

use crate::Storage;
use crate::direct::{AnyPlan, Loaded};
use crate::machine::Machine;
use crate::testing::{Inputs, Tested, assert_passes, shape};
use crate::tiled::Config;

const SPACE: &str = include_str!("../../../../search-spaces/sdpa_cpu_tiled.ron");

#[derive(Deserialize)]
struct Space {
    params: Vec<Param>,
}

#[derive(Deserialize)]
struct Param {
    name: String,
    values: Vec<Value>,
    default: Value,
}

fn space() -> Space {
    ron::from_str(SPACE).unwrap()
}

/// Whether the error of a variant is below the gate of a storage type: as in the space's file.
fn exact_enough(config: &Params, storage: Storage) -> bool {
    match config["EXP"].as_name() {
        Some("poly3") => storage != Storage::F32,
        Some("poly2") => storage == Storage::Bf16,
        _ => true,
    }
}

#[test]
fn the_space_and_the_kernel_agree() {
    let known = Config::params();
    let space = space();
    let names: Vec<_> = space.params.iter().map(|param| &param.name).collect();
    assert_eq!(
        names,
        known.iter().map(|param| &param.name).collect::<Vec<_>>()
    );
    assert!(names.len() >= 9);
    for (param, known) in space.params.iter().zip(&known) {
        assert_eq!(param.default, known.default, "{}", param.name);
        assert!(param.values.contains(&param.default), "{}", param.name);
    }
}

/// Draws configurations until every pair of values that can be built has been executed.
fn every_pair_passes<T: Tested>() {
    let space = space();
    let shapes = [
        shape::<T>([1, 2, 67, 40], true),
        shape::<T>([1, 1, 131, 24], false),
    ];
    let inputs = shapes.map(|shape| Inputs::<T>::new(shape, 3, "normal"));
    let wanted = inputs.each_ref().map(Inputs::reference);
    let machine = Machine {
        cores: 4,
        ..Machine::here()
    };
    let mut state = 88_172_645_463_325_252u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % below
    };
    let mut seen = HashSet::new();
    let mut without_news = 0;
    while without_news < 3_000 {
        let choice: Vec<usize> = space
            .params
            .iter()
            .map(|param| random(param.values.len()))
            .collect();
        let pairs: Vec<_> = (0..choice.len())
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| (a, choice[a], b, choice[b]))
            .filter(|pair| !seen.contains(pair))
            .collect();
        let config: Params = space
            .params
            .iter()
            .zip(&choice)
            .map(|(param, at)| (param.name.clone(), param.values[*at].clone()))
            .collect();
        let index = random(2);
        without_news += 1;
        if pairs.is_empty() || !exact_enough(&config, T::STORAGE) {
            continue;
        }
        let Ok(plan) = AnyPlan::resolve("tiled", &config, shapes[index], &machine) else {
            continue;
        };
        seen.extend(pairs);
        without_news = 0;
        let what = as_text(&config);
        let mut loaded = Loaded::from_plan(plan).unwrap();
        let output = inputs[index].launch(&mut loaded, &what);
        assert_passes(shapes[index].d, &output, &wanted[index], &what);
    }
    // Every value of a parameter was met, unless the device or the gate rules it out.
    for (at, param) in space.params.iter().enumerate() {
        for (value, name) in param.values.iter().enumerate() {
            let met = seen
                .iter()
                .any(|(a, x, b, y)| (*a, *x) == (at, value) || (*b, *y) == (at, value));
            let config: Params = [("EXP".to_owned(), name.clone())].into();
            let excluded = match param.name.as_str() {
                "EXP" => !exact_enough(&config, T::STORAGE),
                "ISA" => !machine.avx2,
                "BF16" => !machine.avx512_bf16,
                "VECS" | "QK_ROWS" | "PV_ROWS" => !machine.avx512,
                _ => false,
            };
            assert!(met || excluded, "{}={name} was never executed", param.name);
        }
    }
}

fn as_text(config: &Params) -> String {
    config
        .iter()
        .map(|(name, value)| format!("{name}={value} "))
        .collect()
}

#[test]
fn every_pair_of_values_is_right_for_f32() {
    every_pair_passes::<f32>();
}

#[test]
fn every_pair_of_values_is_right_for_f16() {
    every_pair_passes::<f16>();
}

#[test]
fn every_pair_of_values_is_right_for_bf16() {
    every_pair_passes::<bf16>();
}
