//! The tuned configurations of the comparison: what is fast must be right as well.

use std::collections::BTreeMap;

use evo_plugin::Rows;
use half::bf16;

use crate::direct::Loaded;
use crate::testing::{Inputs, Tested, assert_passes, params, shape};
use evo_problems::sdpa::DISTRIBUTIONS;
use evo_problems::sdpa::rows_of;

/// Checks a configuration on one head of its problem, on every 37th row.
fn passes<T: Tested>([s, d]: [usize; 2], causal: bool, words: &str) {
    let shape = shape::<T>([1, 1, s, d], causal);
    let rows: Vec<u64> = (0..s as u64)
        .filter(|row| row % 37 == (s as u64 - 1) % 37)
        .collect();
    let mut loaded = Loaded::new("tiled", &params(words), shape).unwrap();
    for (seed, distribution) in (1..).zip(DISTRIBUTIONS) {
        let what = format!("{words} {shape:?} {distribution}");
        let inputs = Inputs::<T>::new(shape, seed, distribution);
        let output = inputs.launch(&mut loaded, &what);
        let mut wanted = vec![0.0; shape.elements()];
        rows_of(&shape, inputs.slices(), Rows::Some(&rows), &mut wanted).unwrap();
        let at = |row: &u64| *row as usize * d..(*row as usize + 1) * d;
        let got: Vec<T> = rows
            .iter()
            .flat_map(|row| output[at(row)].to_vec())
            .collect();
        let wanted: Vec<f64> = rows
            .iter()
            .flat_map(|row| wanted[at(row)].to_vec())
            .collect();
        assert_passes(d, &got, &wanted, &what);
    }
}

#[test]
fn tuned_configurations_pass_the_gate() {
    let tuned: BTreeMap<String, String> =
        serde_json::from_str(include_str!("../../tuned.json")).unwrap();
    assert_eq!(tuned.len(), 8);
    for (cell, config) in tuned {
        let words: Vec<&str> = cell.split(' ').collect();
        let extents: Vec<usize> = words[0].split(',').map(|x| x.parse().unwrap()).collect();
        let extents = [extents[2], extents[3]];
        let mut config = config.replace(',', " ");
        if !crate::simd::Isa::Avx512Bf16.is_available() {
            config = config.replace("BF16=dot", "BF16=convert");
        }
        if !crate::simd::Isa::Avx512.is_available() {
            // Their register tiles are for 32 registers.
            continue;
        }
        match words[1] {
            "f32" => passes::<f32>(extents, words[2] == "causal", &config),
            _ => passes::<bf16>(extents, words[2] == "causal", &config),
        }
    }
}
