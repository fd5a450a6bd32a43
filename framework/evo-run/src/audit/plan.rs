//! Which configurations an audit looks at.

use std::collections::{BTreeMap, BTreeSet};

use evo_core::space::{Config, Space};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::AuditSettings;

/// Other values of a parameter that one base is varied over; of more, as many are drawn anew for
/// each base.
const MOST_VALUES: usize = 8;

/// Draws for each base that is asked for: in a small space most of them repeat.
const DRAWS: usize = 20;

/// The configurations of a candidate.
#[derive(Debug)]
pub(super) struct Planned {
    /// The parameters that are varied.
    pub(super) params: Vec<String>,
    /// The configurations that the parameters are varied around: the default and those drawn.
    pub(super) bases: usize,
    /// For each parameter the changes that constraints do not allow.
    pub(super) excluded: BTreeMap<String, usize>,
    /// Every configuration once.
    pub(super) configs: Vec<Config>,
    /// Which of them differ in one parameter.
    pub(super) changes: Vec<Change>,
}

/// A base and what it becomes when one parameter changes, both by their places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// The parameter's place among those that are varied.
    pub(super) param: usize,
    pub(super) base: usize,
    pub(super) changed: usize,
}

/// Draws the bases beside the default and varies each parameter of each.
pub(super) fn plan(space: &Space, settings: &AuditSettings) -> Planned {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut bases = vec![space.default_config()];
    let mut seen: BTreeSet<Config> = bases.iter().cloned().collect();
    for _ in 0..settings.samples.saturating_mul(DRAWS) {
        if bases.len() > settings.samples {
            break;
        }
        let drawn = space.sample(&mut rng);
        if seen.insert(drawn.clone()) {
            bases.push(drawn);
        }
    }
    let mut places: BTreeMap<Config, usize> = BTreeMap::new();
    let mut configs = Vec::new();
    let mut place = |config: Config| {
        *places.entry(config.clone()).or_insert_with(|| {
            configs.push(config);
            configs.len() - 1
        })
    };
    let name = |param: &usize| Some(space.params().get(*param)?.name.clone());
    let wanted = |param: &&usize| {
        let named = |name| settings.params.contains(&name);
        settings.params.is_empty() || name(param).is_some_and(named)
    };
    let varied: Vec<usize> = space.searched().iter().filter(wanted).copied().collect();
    let mut changes = Vec::new();
    let mut excluded = BTreeMap::new();
    for base in &bases {
        let from = place(base.clone());
        for (number, &param) in varied.iter().enumerate() {
            let (Some(own), Some(info)) = (base.get(param), space.params().get(param)) else {
                continue;
            };
            for value in others(info.values.len(), own, &mut rng) {
                let changed = space.with_value(base, param, value);
                if space.is_valid(&changed) {
                    let changed = place(changed);
                    changes.push(Change {
                        param: number,
                        base: from,
                        changed,
                    });
                } else {
                    *excluded.entry(info.name.clone()).or_default() += 1;
                }
            }
        }
    }
    Planned {
        params: varied.iter().filter_map(name).collect(),
        bases: bases.len(),
        excluded,
        configs,
        changes,
    }
}

/// The indices of the other values, or as many of them as are looked at.
fn others(values: usize, own: u32, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let all: Vec<u32> = (0..u32::try_from(values).unwrap_or(u32::MAX))
        .filter(|value| *value != own)
        .collect();
    if all.len() <= MOST_VALUES {
        return all;
    }
    let mut drawn: Vec<u32> = all.sample(rng, MOST_VALUES).copied().collect();
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use evo_core::space::Env;

    use super::*;

    fn space() -> Space {
        let text = r#"(
            name: "x",
            params: [
                (name: "A", values: [1, 2, 4]),
                (name: "WS", values: [false, true]),
                (name: "P", values: [1, 2], when: "WS"),
                (name: "WIDE", range: (from: 1, to: 1000)),
            ],
            constraints: [(expr: "A != 4 or WIDE > 10")],
        )"#;
        Space::parse(text, "x.ron", &Env::default()).unwrap()
    }

    fn settings(samples: usize) -> AuditSettings {
        AuditSettings {
            samples,
            seed: 17,
            params: Vec::new(),
            pairs: 0,
        }
    }

    #[test]
    fn only_the_parameters_that_are_named_are_varied() {
        let settings = AuditSettings {
            params: vec!["P".to_owned(), "A".to_owned()],
            ..settings(20)
        };
        let planned = plan(&space(), &settings);
        assert_eq!(planned.params, ["A", "P"]);
        assert!(planned.bases > 10);
        let base = |change: &Change| &planned.configs[change.base];
        for change in &planned.changes {
            let (before, after) = (base(change), &planned.configs[change.changed]);
            for other in [1, 3] {
                assert_eq!(before.get(other), after.get(other));
            }
        }
        for number in 0..2 {
            assert!(planned.changes.iter().any(|change| change.param == number));
        }
    }

    #[test]
    fn every_change_is_of_one_parameter_and_valid() {
        let space = space();
        let planned = plan(&space, &settings(10));
        assert_eq!(planned.bases, 11);
        assert_eq!(planned.configs[0], space.default_config());
        for change in &planned.changes {
            let (base, changed) = (
                &planned.configs[change.base],
                &planned.configs[change.changed],
            );
            assert!(space.is_valid(changed));
            for param in 0..space.params().len() {
                let (before, after) = (base.get(param), changed.get(param));
                let switched = before.is_none() != after.is_none();
                assert!(before == after || param == change.param || switched);
            }
            assert_ne!(base.get(change.param), changed.get(change.param));
        }
        let wide = planned.changes.iter().filter(|change| change.param == 3);
        assert_eq!(
            wide.count(),
            11 * MOST_VALUES - planned.excluded.get("WIDE").unwrap_or(&0)
        );
    }

    #[test]
    fn the_same_seed_draws_the_same_and_no_configuration_is_listed_twice() {
        let space = space();
        let (a, b) = (plan(&space, &settings(12)), plan(&space, &settings(12)));
        assert_eq!(a.configs, b.configs);
        let distinct: BTreeSet<&Config> = a.configs.iter().collect();
        assert_eq!(distinct.len(), a.configs.len());
    }

    #[test]
    fn a_small_space_ends_the_drawing() {
        let text = r#"(name: "x", params: [(name: "A", values: [1, 2, 4])])"#;
        let space = Space::parse(text, "x.ron", &Env::default()).unwrap();
        let planned = plan(&space, &settings(50));
        assert_eq!((planned.bases, planned.configs.len()), (3, 3));
        assert_eq!(planned.changes.len(), 6);
    }
}
