//! Spaces that are defined in Python's syntax: counts, samples and neighbours against enumeration.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop at once, and reads its data"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evo_core::space::{Config, Count, Env, Radius, Space};
use evo_recorded::Definition;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Counted by Python itself, over the whole product.
const SMALL: [(&str, u128); 4] = [
    ("tiles", 931),
    ("divisors", 635),
    ("mixed", 145),
    ("free", 15),
];

fn small() -> Vec<Space> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/spaces/small.json");
    let definitions = Definition::read_all(&file).unwrap();
    let parse = |definition: &Definition| {
        let text = definition.space().unwrap();
        Space::parse(&text, &definition.name, &Env::default()).unwrap()
    };
    definitions.iter().map(parse).collect()
}

/// Every point of the product that no constraint refuses.
fn enumerated(space: &Space) -> BTreeSet<Config> {
    let sizes: Vec<usize> = space.params().iter().map(|p| p.values.len()).collect();
    let product: usize = sizes.iter().product();
    let point = |index: usize| {
        let mut left = index;
        let digit = |size: &usize| {
            let digit = left % size;
            left /= size;
            u32::try_from(digit).unwrap()
        };
        space.canonical(&sizes.iter().map(digit).collect::<Vec<_>>())
    };
    let all = (0..product).map(point);
    all.filter(|config| space.is_valid(config)).collect()
}

#[test]
fn counts_are_those_of_python_and_of_enumeration() {
    let spaces = small();
    assert_eq!(spaces.len(), SMALL.len());
    for (space, (name, count)) in spaces.iter().zip(SMALL) {
        assert_eq!(space.name(), name);
        assert_eq!(space.count(10_000_000), Count::Exact(count), "{name}");
        // With less effort than the tables take, by another way.
        assert_eq!(space.count(100_000), Count::Exact(count), "{name}");
        let valid = enumerated(space);
        assert_eq!(valid.len() as u128, count, "{name}");
        assert_eq!(space.iter_valid().collect::<BTreeSet<_>>(), valid, "{name}");
    }
}

/// Pearson's statistic against the uniform distribution. Its mean is the number of degrees of
/// freedom, its variance twice that; six standard deviations above are once in a billion, and the
/// seed is fixed.
#[test]
fn samples_are_uniform() {
    for space in small() {
        let valid = enumerated(&space);
        let draws = 100 * valid.len();
        let mut rng = ChaCha8Rng::seed_from_u64(20);
        let mut seen: BTreeMap<Config, u32> = BTreeMap::new();
        for _ in 0..draws {
            *seen.entry(space.sample(&mut rng)).or_default() += 1;
        }
        let expected = draws as f64 / valid.len() as f64;
        let term = |config: &Config| {
            let observed = f64::from(seen.get(config).copied().unwrap_or(0));
            (observed - expected).powi(2) / expected
        };
        let statistic: f64 = valid.iter().map(term).sum();
        let freedom = valid.len() as f64 - 1.0;
        let far = (statistic - freedom).abs() / (2.0 * freedom).sqrt();
        assert!(far < 6.0, "{}: {statistic} of {freedom}", space.name());
        assert!(seen.keys().all(|config| valid.contains(config)));
    }
}

#[test]
fn neighbours_are_all_valid_configurations_at_distance_one() {
    for space in small() {
        let valid = enumerated(&space);
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for round in 0..200 {
            let mut config = space.sample(&mut rng);
            if round % 4 == 3 {
                // A start that is not valid has neighbours too.
                config = space.canonical(&[0, 4, 3, 0, 1, 1]);
            }
            let near = |other: &&Config| config.distance(other) == 1;
            let expected: BTreeSet<&Config> = valid.iter().filter(near).collect();
            let any = space.neighbours(&config, Radius::Any);
            assert_eq!(any.iter().collect::<BTreeSet<_>>(), expected);
            assert_eq!(any.len(), expected.len(), "none twice");
            let step = |other: &&&Config| {
                let mut params = space.params().iter().enumerate();
                params.all(|(place, param)| {
                    let (a, b) = (config.get(place).unwrap(), other.get(place).unwrap());
                    !param.ordered() || a.abs_diff(b) <= 1
                })
            };
            let expected: BTreeSet<&Config> = expected.iter().filter(step).copied().collect();
            let adjacent = space.neighbours(&config, Radius::Adjacent);
            assert_eq!(adjacent.iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
