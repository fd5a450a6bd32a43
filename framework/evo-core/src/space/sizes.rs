//! How large a space is, and what each constraint takes away.

use super::Space;
use super::count::{TABLE_EFFORT, combine, count, removed};
use super::param::Count;

/// How many configurations one constraint removes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Removal {
    /// By itself, of all distinct configurations.
    pub alone: Count,
    /// Of those that the constraints before it leave.
    pub after_earlier: Count,
}

/// The sizes of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// The product of the numbers of values of all parameters.
    pub raw: u128,
    /// The same of the searched parameters only.
    pub searched: u128,
    /// The distinct configurations, before constraints: inactive parameters do not count.
    pub distinct: Count,
    /// The valid, distinct configurations.
    pub valid: Count,
    /// One entry per constraint, in declared order.
    pub removals: Vec<Removal>,
}

impl Space {
    /// The number of valid, distinct configurations: exact where that takes no more than `effort`
    /// partial assignments, else estimated with about as many. What samples are drawn from is made
    /// on the way, if it takes no more.
    pub fn count(&self, effort: u64) -> Count {
        let all = self.all_constraints();
        if effort >= TABLE_EFFORT && self.model.exact().iter().all(Option::is_some) {
            return combine(&self.model, &self.model.plans, self.model.exact(), effort);
        }
        count(&self.model, &all, effort)
    }

    /// Counts the space under every constraint alone and under every prefix of the constraints;
    /// each count with the given effort, as in [`Space::count`].
    pub fn sizes(&self, effort: u64) -> Sizes {
        let all = self.all_constraints();
        let distinct = count(&self.model, &[], effort);
        let mut before = distinct;
        let removals = all.iter().enumerate().map(|(index, constraint)| {
            let alone = count(&self.model, &[*constraint], effort);
            let last = index + 1 == all.len();
            let after = match last {
                true => self.count(effort),
                false => count(&self.model, &all[..=index], effort),
            };
            let removal = Removal {
                alone: removed(distinct, alone),
                after_earlier: removed(before, after),
            };
            before = after;
            removal
        });
        let removals = removals.collect();
        let searched = self
            .searched
            .iter()
            .map(|index| self.params[*index].values.len() as u128);
        Sizes {
            raw: self.raw_size,
            searched: searched.product(),
            distinct,
            valid: before,
            removals,
        }
    }

    fn all_constraints(&self) -> Vec<usize> {
        (0..self.constraints.len()).collect()
    }
}
