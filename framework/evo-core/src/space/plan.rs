//! The order in which a group of parameters is assigned, and what has to be checked at each step.
//!
//! Parameters that no condition and no constraint ties together are independent, so each group is
//! counted, searched and sampled on its own. Within a group, the number of ways to complete a
//! partial assignment depends only on the *live* parameters: those already assigned that some
//! later condition or constraint mentions. This is dynamic programming over a path decomposition
//! of the constraint hypergraph; see Dechter, "Bucket elimination: a unifying framework for
//! reasoning", Artificial Intelligence 113 (1999).

use super::expr::machine::Kept;
use super::model::Model;

/// A constraint to be checked at a step.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) constraint: usize,
    /// What of it stays the same while the step's parameter goes through its values.
    pub(super) kept: Kept,
}

/// The assignment of one parameter.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) param: usize,
    /// The constraints whose last parameter this is.
    pub(super) checks: Vec<Check>,
    /// The live parameters before this step, each with the stride of its digit in the key;
    /// `None` where the key would not fit 128 bits.
    live: Option<Vec<(usize, u128)>>,
}

impl Step {
    /// A number that is equal for two partial assignments exactly where the live choices are.
    pub(super) fn key(&self, choices: &[Option<u32>]) -> Option<u128> {
        let digit = |param: usize| choices[param].map_or(0, |choice| u128::from(choice) + 1);
        let live = self.live.as_ref()?;
        Some(
            live.iter()
                .map(|(param, stride)| digit(*param) * stride)
                .sum(),
        )
    }
}

/// A group of parameters in the order of their assignment.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

impl Plan {
    pub(super) fn params(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().map(|step| step.param)
    }

    pub(super) fn constraints(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps
            .iter()
            .flat_map(|step| step.checks.iter().map(|check| check.constraint))
    }
}

/// A set of parameters, one bit each: the loader admits 128 at most.
type Set = u128;

fn bit(param: usize) -> Set {
    1u128
        .checked_shl(u32::try_from(param).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

fn set(params: &[usize]) -> Set {
    params.iter().fold(0, |set, param| set | bit(*param))
}

fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..Set::BITS as usize).filter(move |param| set & bit(*param) != 0)
}

/// Plans for all parameters under the given constraints, those of the model by index.
pub(super) fn plans(model: &Model, constraints: &[usize]) -> Vec<Plan> {
    let count = model.domains.len();
    let needs: Vec<Set> = model
        .whens
        .iter()
        .map(|when| when.as_ref().map_or(0, |when| set(when.mentions())))
        .collect();
    // What belongs together: the parameters of a constraint, a parameter and its condition's.
    let mut ties: Vec<Set> = constraints
        .iter()
        .map(|index| set(model.constraints[*index].mentions()))
        .collect();
    ties.extend(
        (0..count)
            .filter(|p| needs[*p] != 0)
            .map(|p| needs[p] | bit(p)),
    );
    let mut done: Set = 0;
    let mut found = Vec::new();
    for param in 0..count {
        if done & bit(param) == 0 {
            let group = group_of(param, &ties);
            done |= group;
            let order = order(model, group, &needs, &ties);
            found.push(plan(model, &order, constraints, &ties));
        }
    }
    found
}

/// Everything that ties connect to a parameter.
fn group_of(param: usize, ties: &[Set]) -> Set {
    let mut group = bit(param);
    loop {
        let touching = ties.iter().filter(|tie| **tie & group != 0);
        let larger = touching.fold(group, |all, tie| all | tie);
        if larger == group {
            return group;
        }
        group = larger;
    }
}

/// Of a set of assigned parameters, those that a tie to an unassigned one keeps alive.
fn live(assigned: Set, ties: &[Set]) -> Set {
    let open = ties.iter().filter(|tie| **tie & !assigned != 0);
    open.fold(0, |live, tie| live | (tie & assigned))
}

/// A greedy order with few live combinations at each step. Conditions come before what they decide.
fn order(model: &Model, group: Set, needs: &[Set], ties: &[Set]) -> Vec<usize> {
    let size = |param: usize| (model.domains[param].len() as f64 + 1.0).ln();
    let mut order = Vec::new();
    let mut assigned: Set = 0;
    while assigned != group {
        let ready = members(group & !assigned).filter(|param| needs[*param] & !assigned == 0);
        let cost =
            |param: usize| -> f64 { members(live(assigned | bit(param), ties)).map(size).sum() };
        let best = ready
            .map(|param| (cost(param), param))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        // Conditions have no circles, so something is always ready.
        let Some((_, param)) = best else { break };
        assigned |= bit(param);
        order.push(param);
    }
    order
}

fn plan(model: &Model, order: &[usize], constraints: &[usize], ties: &[Set]) -> Plan {
    let mut assigned: Set = 0;
    let steps = order.iter().map(|&param| {
        let before = live(assigned, ties);
        assigned |= bit(param);
        let completed = |index: &&usize| {
            let mentions = set(model.constraints[**index].mentions());
            mentions & bit(param) != 0 && mentions & !assigned == 0
        };
        let check = |index: &usize| Check {
            constraint: *index,
            kept: Kept::new(&model.constraints[*index], param),
        };
        Step {
            param,
            checks: constraints.iter().filter(completed).map(check).collect(),
            live: strides(model, before),
        }
    });
    Plan {
        steps: steps.collect(),
    }
}

fn strides(model: &Model, live: Set) -> Option<Vec<(usize, u128)>> {
    let mut stride: u128 = 1;
    let mut digits = Vec::new();
    for param in members(live) {
        digits.push((param, stride));
        // Value indices are below the length of the table, and one more means inactive.
        stride = stride.checked_mul(model.values[param].len() as u128 + 1)?;
    }
    Some(digits)
}
