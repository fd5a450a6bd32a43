//! Steps from one configuration to others: setting a value, neighbours, repair.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::Space;
use super::model::Choices;
use super::param::{Config, Radius};
use super::search::{Finder, Outcome};

/// Steps of the random walk of a repair.
const WALK: usize = 64;

/// How often the walk takes a random step instead of the best one, to leave local minima.
const NOISE: f64 = 0.1;

/// Values of one parameter that a step of the walk considers: of more, as many at random.
const MOST_VALUES: usize = 64;

/// Options tried for each group of parameters once the walk has failed.
const REPAIR_EFFORT: u64 = 50_000;

impl Space {
    /// Sets one parameter and makes the result canonical: newly active parameters take their
    /// default, newly inactive ones lose their value. The result may violate constraints. Setting
    /// an inactive parameter, or one that is held, changes nothing; an index past the
    /// last value means the last.
    pub fn with_value(&self, config: &Config, param: usize, value: u32) -> Config {
        Config::from_canonical(self.model.with_value(config.choices(), param, value))
    }

    /// The valid configurations that differ from `config` in one searched parameter, which moves
    /// as far as the radius admits. Where that activates other parameters, they take their
    /// defaults, and each of their other values in turn.
    ///
    /// The order is fixed: by parameter, then by value. `config` itself is not among them, and
    /// it need not be valid.
    pub fn neighbours(&self, config: &Config, radius: Radius) -> Vec<Config> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let valid = self.is_valid(config);
        for &param in &self.searched {
            let Some(own) = config.get(param) else {
                continue;
            };
            let adjacent = radius == Radius::Adjacent && self.params[param].ordered();
            for &value in &self.model.domains[param] {
                if value == own || (adjacent && value.abs_diff(own) != 1) {
                    continue;
                }
                let moved = self.with_value(config, param, value);
                let variants = self.variants_of_activated(config, &moved);
                for candidate in std::iter::once(moved).chain(variants) {
                    let allowed = match valid {
                        true => {
                            let (from, to) = (config.choices(), candidate.choices());
                            self.model.remains_valid(from, to)
                        }
                        false => self.is_valid(&candidate),
                    };
                    if allowed && seen.insert(candidate.clone()) {
                        found.push(candidate);
                    }
                }
            }
        }
        found
    }

    /// `moved` with every other value of each parameter that is active in it and not in `config`.
    fn variants_of_activated(&self, config: &Config, moved: &Config) -> Vec<Config> {
        let activated = (0..self.params.len())
            .filter(|param| config.get(*param).is_none() && moved.get(*param).is_some());
        activated
            .flat_map(|param| {
                let domain = self.model.domains[param].iter();
                domain.map(move |value| (param, *value))
            })
            .filter(|(param, value)| moved.get(*param) != Some(*value))
            .map(|(param, value)| self.with_value(moved, param, value))
            .collect()
    }

    /// A valid configuration near the given one: by a random walk that changes one parameter of a
    /// violated constraint at a time (min-conflicts: Minton et al., Artificial Intelligence 58,
    /// 1992), then by a bounded search for the fewest changes. `None` where both fail.
    pub fn repair<R: Rng + ?Sized>(&self, config: &Config, rng: &mut R) -> Option<Config> {
        let start = self.complete(config.choices());
        let mut current = start.clone();
        for _ in 0..WALK {
            let violated = self.violated(&current);
            let Some(constraint) = violated.choose(rng) else {
                return Some(current);
            };
            match self.walk_step(&current, &violated, *constraint, rng) {
                Some(next) => current = next,
                None => break,
            }
        }
        if self.is_valid(&current) {
            Some(current)
        } else {
            self.search_near(&start)
        }
    }

    fn violated(&self, config: &Config) -> Vec<usize> {
        let all = 0..self.constraints.len();
        all.filter(|index| !self.model.allows(*index, config.choices()))
            .collect()
    }

    /// The best change, or now and then a random one, of one parameter of a violated constraint.
    fn walk_step<R: Rng + ?Sized>(
        &self,
        config: &Config,
        violated: &[usize],
        constraint: usize,
        rng: &mut R,
    ) -> Option<Config> {
        let mentioned = self.model.constraints[constraint]
            .mentions()
            .iter()
            .copied();
        let changes: Vec<Config> = mentioned
            .filter(|param| config.get(*param).is_some())
            .flat_map(|param| {
                let domain = &self.model.domains[param];
                let some: Vec<u32> = match domain.len() > MOST_VALUES {
                    true => domain.sample(rng, MOST_VALUES).copied().collect(),
                    false => domain.clone(),
                };
                some.into_iter().map(move |value| (param, value))
            })
            .filter(|(param, value)| config.get(*param) != Some(*value))
            .map(|(param, value)| self.with_value(config, param, value))
            .collect();
        if rng.random_bool(NOISE) {
            return changes.choose(rng).cloned();
        }
        let scored: Vec<(usize, Config)> = changes
            .into_iter()
            .map(|change| {
                let (from, to) = (config.choices(), change.choices());
                (self.model.violations_after(from, violated, to), change)
            })
            .collect();
        let fewest = scored.iter().map(|(violated, _)| *violated).min()?;
        let best: Vec<Config> = scored
            .into_iter()
            .filter(|(v, _)| *v == fewest)
            .map(|(_, change)| change)
            .collect();
        best.choose(rng).cloned()
    }

    /// The nearest valid configuration, group by group.
    fn search_near(&self, start: &Config) -> Option<Config> {
        let wishes: Choices = start.choices().to_vec();
        let mut choices = wishes.clone();
        for plan in &self.model.plans {
            let mut finder = Finder::new(&self.model, plan, &wishes);
            if finder.nearest(&mut choices, REPAIR_EFFORT, REPAIR_EFFORT) != Outcome::Found {
                return None;
            }
        }
        Some(Config::from_canonical(choices))
    }
}
