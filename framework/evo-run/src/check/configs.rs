//! The configurations that stand for a space.

use evo_core::space::{Config, Space};
use evo_types::Params;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Draws in a row that may bring nothing new.
const DRAWS: usize = 50;

/// The default, the corners (every parameter at its first value, and at its last), and random ones:
/// at most `count`, all different and valid.
pub(super) fn sample(space: &Space, count: usize, seed: u64) -> Vec<Params> {
    let mut chosen: Vec<Config> = vec![space.default_config()];
    let last: Vec<u32> = vec![u32::MAX; space.params().len()];
    let first = vec![0; space.params().len()];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let corners = [space.canonical(&first), space.canonical(&last)];
    let corners = corners.into_iter().filter(|config| space.is_valid(config));
    let drawn = (0..count.saturating_mul(DRAWS)).map(|_| space.sample(&mut rng));
    for config in corners.chain(drawn) {
        if chosen.len() >= count.max(1) {
            break;
        }
        if !chosen.contains(&config) {
            chosen.push(config);
        }
    }
    chosen
        .iter()
        .map(|config| space.to_params(config))
        .collect()
}

/// For each parameter that is searched a valid configuration that differs from the default in it
/// alone, where there is one.
pub(super) fn neighbours(space: &Space) -> Vec<(String, Params)> {
    let default = space.default_config();
    space
        .searched()
        .iter()
        .filter_map(|index| {
            let param = space.params().get(*index)?;
            let now = default.get(*index)?;
            let values = u32::try_from(param.values.len()).ok()?;
            let neighbour = (0..values)
                .filter(|value| *value != now)
                .find_map(|value| {
                    let mut choices = default.choices().to_vec();
                    *choices.get_mut(*index)? = Some(value);
                    let config = space.complete(&choices);
                    let alone = config.distance(&default) == 1;
                    (alone && space.is_valid(&config)).then_some(config)
                })?;
            Some((param.name.clone(), space.to_params(&neighbour)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use evo_core::space::Env;
    use evo_types::{Value, format_params};

    use super::*;

    fn space() -> Space {
        let text = r#"(name: "s", params: [
            (name: "A", values: [1, 2, 4], default: 2),
            (name: "B", range: (from: 0, to: 9)),
            (name: "C", values: [1, 2], when: "A == 4"),
        ], constraints: [(expr: "A * B <= 18", reason: "too large")])"#;
        Space::parse(text, "s.ron", &Env::default()).unwrap()
    }

    #[test]
    fn the_default_comes_first_and_all_are_valid_and_different() {
        let space = space();
        let configs = sample(&space, 6, 17);
        assert_eq!(format_params(&configs[0]), "A=2 B=0");
        assert_eq!(format_params(&configs[1]), "A=1 B=0");
        assert_eq!(configs.len(), 6);
        for (place, params) in configs.iter().enumerate() {
            let config = space.from_params(params).unwrap();
            assert!(space.is_valid(&config));
            assert!(!configs[..place].contains(params));
        }
        assert_eq!(sample(&space, 6, 17), configs);
        assert_eq!(sample(&space, 1, 17).len(), 1);
    }

    #[test]
    fn a_neighbour_differs_in_one_parameter() {
        let space = space();
        let found = neighbours(&space);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
        assert_eq!(found[1].1["A"], Value::Int(2));
    }
}
