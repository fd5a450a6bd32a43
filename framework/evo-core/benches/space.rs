//! Timings of the search space: `cargo bench -p evo-core --bench space`.
//!
//! Prints the median of several rounds. The figures are for people; nothing is asserted.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, prints, and has no user to be polite to"
)]

use std::hint::black_box;
use std::time::Instant;

use evo_core::space::{Config, Env, Radius, Space};
use evo_types::Value;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The median seconds of one call.
fn time(rounds: usize, calls: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(&mut call);
            start.elapsed().as_secs_f64() / calls as f64
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[rounds / 2]
}

/// A tile space of 12 parameters and 1.1e12 points, with constraints like those of real kernels.
fn tiles() -> String {
    let mut params: Vec<String> = ["M", "N", "K"]
        .iter()
        .map(|name| format!("(name: \"BLOCK_{name}\", range: (from: 16, to: 256, step: 16))"))
        .collect();
    params.extend(["M", "N"].map(|n| format!("(name: \"WARPS_{n}\", values: [1, 2, 4, 8])")));
    params.push("(name: \"STAGES\", range: (from: 1, to: 8))".to_owned());
    params.push("(name: \"UNROLL\", range: (from: 1, to: 16))".to_owned());
    params.push("(name: \"VECTOR\", values: [1, 2, 4, 8])".to_owned());
    params.push("(name: \"SPLIT\", range: (from: 1, to: 32))".to_owned());
    params.push("(name: \"PREFETCH\", range: (from: 0, to: 15), when: \"STAGES > 1\")".to_owned());
    params.push("(name: \"SWIZZLE\", range: (from: 0, to: 7))".to_owned());
    params.push("(name: \"PADDING\", range: (from: 0, to: 15))".to_owned());
    params.push("(name: \"CLUSTER\", range: (from: 1, to: 8))".to_owned());
    let constraints = [
        "(BLOCK_M + BLOCK_N) * (BLOCK_K + PADDING) * BYTES_PER_ELEMENT * STAGES <= SMEM_BYTES",
        "BLOCK_M % (16 * WARPS_M) == 0",
        "BLOCK_N % (8 * WARPS_N) == 0",
        "4 <= WARPS_M * WARPS_N <= 16",
        "BLOCK_K % (VECTOR * 8) == 0",
        "UNROLL <= BLOCK_K / 16 * 4",
        "SPLIT * BLOCK_M <= S * CLUSTER",
        "PREFETCH < STAGES * 4",
        "SWIZZLE == 0 or PADDING == 0",
    ];
    let constraints: Vec<String> = constraints
        .iter()
        .map(|text| format!("(expr: \"{text}\")"))
        .collect();
    let (params, constraints) = (params.join(",\n"), constraints.join(",\n"));
    format!("(name: \"tiles\", params: [{params}], constraints: [{constraints}])")
}

fn main() {
    let ints = |list: &[(&str, i64)]| {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect()
    };
    let env = Env {
        problem: ints(&[("S", 2048), ("BYTES_PER_ELEMENT", 2)]),
        device: ints(&[("SMEM_BYTES", 232_448)]),
        ..Env::default()
    };
    let text = tiles();
    let space = Space::parse(&text, "tiles", &env).unwrap();
    println!("raw product             {:>14.3e}", space.raw_size() as f64);
    println!("valid                   {:?}", space.count(10_000_000));
    let open = time(5, 1, |_| {
        black_box(Space::parse(&text, "tiles", &env).unwrap());
    });
    println!("open                    {:>12.3} ms", open * 1e3);
    let count = time(5, 1, |_| {
        black_box(
            Space::parse(&text, "tiles", &env)
                .unwrap()
                .count(10_000_000),
        );
    });
    println!("open and count          {:>12.3} ms", count * 1e3);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let first = time(1, 1, |_| {
        black_box(space.sample(&mut rng));
    });
    println!("first sample            {:>12.3} ms", first * 1e3);
    let sample = time(9, 2_000, |_| {
        black_box(space.sample(&mut rng));
    });
    println!("further samples         {:>12.3} us", sample * 1e6);
    let configs: Vec<Config> = (0..1_000).map(|_| space.sample(&mut rng)).collect();
    let check = time(9, 100_000, |call| {
        black_box(space.is_valid(black_box(&configs[call % configs.len()])));
    });
    let constraints = space.constraints().len() as f64;
    println!(
        "one constraint          {:>12.1} ns",
        check / constraints * 1e9
    );
    let near = time(9, 1_000, |call| {
        black_box(space.neighbours(&configs[call % configs.len()], Radius::Adjacent));
    });
    println!("adjacent neighbours     {:>12.3} us", near * 1e6);
    let anything: Vec<Config> = (0..1_000u32)
        .map(|seed| {
            let choice: Vec<u32> = (0..13)
                .map(|p| seed.wrapping_mul(2_654_435_761 + p) % 16)
                .collect();
            space.canonical(&choice)
        })
        .collect();
    let repair = time(9, 1_000, |call| {
        black_box(space.repair(&anything[call % anything.len()], &mut rng));
    });
    println!("repair                  {:>12.3} us", repair * 1e6);
    let sizes = time(3, 1, |_| {
        black_box(space.sizes(1_000_000));
    });
    println!("sizes of `space show`   {:>12.3} ms", sizes * 1e3);
}
