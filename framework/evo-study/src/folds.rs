//! Tuning with one kernel left out at a time.
//!
//! The variants of a strategy are chosen on the spaces of all kernels but one: the variant with the
//! greatest mean ratio, over these spaces and the budgets alike, is chosen, and scored on the
//! spaces of the kernel that was left out. What the choices score together, over all spaces, is
//! what this tuning is worth on kernels that it has not seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::contestant::Name;
use crate::report::{combined, over};
use crate::{Aggregate, Cell, Report, StudyError};

/// One kernel left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fold {
    /// The kernel.
    pub kernel: String,
    /// Its spaces.
    pub spaces: Vec<String>,
    /// The variant that is best on the others.
    pub chosen: String,
    /// The mean ratio of the chosen variant over the budgets, on the other kernels.
    pub others: f64,
    /// That of the shipped tuning.
    pub shipped_others: f64,
    /// The chosen variant on the kernel that was left out.
    pub held_out: Aggregate,
    /// The shipped tuning there.
    pub shipped: Aggregate,
}

/// A strategy tuned with each kernel left out once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Folds {
    /// The strategy.
    pub strategy: String,
    /// How many variants there were to choose from, the shipped tuning included.
    pub variants: usize,
    /// One for each kernel.
    pub folds: Vec<Fold>,
    /// The chosen variants over all spaces, each where its kernel was left out.
    pub held_out: Vec<Combined>,
    /// The shipped tuning over all spaces.
    pub shipped: Vec<Combined>,
}

/// The mean ratio over spaces on which different variants ran.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Combined {
    /// The evaluations.
    pub budget: u64,
    /// The mean ratio.
    pub mean: f64,
    /// Its standard error over the seeds.
    pub standard_error: Option<f64>,
}

/// The kernel of a recording: what stands before the first `-` or `_` of its name.
pub fn kernel_of(space: &str) -> &str {
    space.split(['-', '_']).next().unwrap_or(space)
}

impl Report {
    /// Adds the choice among the variants of each strategy that has any, each kernel left out once.
    /// `kernels` names the kernels of spaces whose name does not begin with it.
    ///
    /// # Errors
    /// No variants, fewer than two kernels, or a kernel of a space that is not there.
    pub fn with_folds(mut self, kernels: &[(String, String)]) -> Result<Self, StudyError> {
        for (space, _) in kernels {
            if !self.spaces.contains(space) {
                return Err(StudyError::Input(format!(
                    "there is no recording `{space}`; there are {}",
                    self.spaces.join(", ")
                )));
            }
        }
        let mut by_kernel: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for space in &self.spaces {
            let given = kernels.iter().find(|(name, _)| name == space);
            let kernel = given.map_or(kernel_of(space), |(_, kernel)| kernel);
            by_kernel.entry(kernel).or_default().push(space);
        }
        if by_kernel.len() < 2 {
            return Err(StudyError::Input(
                "to leave a kernel out takes recordings of at least two; --kernel RECORDING=KERNEL \
                 says what a recording is of"
                    .to_owned(),
            ));
        }
        let own = self.cells.iter().map(|cell| cell.strategy.as_str());
        let own: BTreeSet<&str> = own.filter(|name| Name::own(name)).collect();
        let mut variants: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let all: Vec<&str> = self.spaces.iter().map(String::as_str).collect();
        for name in own {
            // What did not run everywhere cannot be judged.
            if over(name, &all, &self.cells, &self.budgets).is_some() {
                let family = Name::read(name).shipped();
                variants.entry(family).or_default().push(name);
            }
        }
        variants.retain(|shipped, names| names.len() > 1 && names.contains(&shipped.as_str()));
        self.folds = variants
            .iter()
            .filter_map(|(shipped, names)| {
                folds(shipped, names, &by_kernel, &self.cells, &self.budgets)
            })
            .collect();
        if self.folds.is_empty() {
            return Err(StudyError::Input(
                "there is nothing to choose from: make variants of a strategy with --vary, on every \
                 recording"
                    .to_owned(),
            ));
        }
        Ok(self)
    }
}

fn folds(
    shipped: &str,
    variants: &[&str],
    by_kernel: &BTreeMap<&str, Vec<&str>>,
    cells: &[Cell],
    budgets: &[u64],
) -> Option<Folds> {
    let mut folds = Vec::new();
    for (kernel, spaces) in by_kernel {
        let others = by_kernel.iter().filter(|(other, _)| *other != kernel);
        let others: Vec<&str> = others.flat_map(|(_, spaces)| spaces.clone()).collect();
        let criterion = |name: &str| {
            let figures = over(name, &others, cells, budgets)?.figures;
            let sum: f64 = figures.iter().map(|figures| figures.mean).sum();
            (figures.len() == budgets.len()).then(|| sum / budgets.len().max(1) as f64)
        };
        let shipped_others = criterion(shipped)?;
        // Where two are equal the shipped tuning is kept.
        let mut best = (shipped, shipped_others);
        for name in variants {
            if let Some(mean) = criterion(name).filter(|mean| *mean > best.1) {
                best = (name, mean);
            }
        }
        folds.push(Fold {
            kernel: (*kernel).to_owned(),
            spaces: spaces.iter().map(|space| (*space).to_owned()).collect(),
            chosen: best.0.to_owned(),
            others: best.1,
            shipped_others,
            held_out: over(best.0, spaces, cells, budgets)?,
            shipped: over(shipped, spaces, cells, budgets)?,
        });
    }
    Some(Folds {
        strategy: shipped.to_owned(),
        variants: variants.len(),
        held_out: together(&folds, budgets, |fold| &fold.held_out),
        shipped: together(&folds, budgets, |fold| &fold.shipped),
        folds,
    })
}

/// The mean over all spaces, each kernel with what it has of them.
fn together(folds: &[Fold], budgets: &[u64], of: fn(&Fold) -> &Aggregate) -> Vec<Combined> {
    let all: f64 = folds.iter().map(|fold| fold.spaces.len() as f64).sum();
    let at = |budget: u64| {
        let (mut mean, mut errors) = (0.0, Vec::new());
        for fold in folds {
            let figures = of(fold).at(budget)?;
            let weight = fold.spaces.len() as f64 / all;
            mean += weight * figures.mean;
            errors.push(figures.standard_error.map(|error| weight * error));
        }
        let n = errors.len() as f64;
        Some(Combined {
            budget,
            mean,
            // `combined` is that of a mean: the weights are in the errors already.
            standard_error: combined(errors.into_iter()).map(|error| error * n),
        })
    };
    budgets.iter().filter_map(|budget| at(*budget)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{cell, report};

    /// Kernels `a` (two spaces) and `b`. Variant p is best on `a`, variant q on `b`.
    fn cells() -> Vec<Cell> {
        let one = |space: &str, strategy: &str, mean: f64| {
            cell(space, strategy, &[(32, mean - 0.1), (64, mean)], None)
        };
        vec![
            one("a-1", "evo_full", 0.8),
            one("a_2", "evo_full", 0.8),
            one("b-1", "evo_full", 0.8),
            one("a-1", "evo_full[n=1]", 0.9),
            one("a_2", "evo_full[n=1]", 0.9),
            one("b-1", "evo_full[n=1]", 0.5),
            one("a-1", "evo_full[n=2]", 0.7),
            one("a_2", "evo_full[n=2]", 0.6),
            one("b-1", "evo_full[n=2]", 0.95),
            // It did not run everywhere: no candidate.
            one("b-1", "evo_full[n=3]", 1.0),
            one("b-1", "evo_random", 1.0),
        ]
    }

    #[test]
    fn a_variant_is_chosen_on_the_other_kernels_and_scored_on_its_own() {
        let report = report(cells()).with_folds(&[]).unwrap();
        let [folds] = &report.folds[..] else {
            panic!("{:?}", report.folds);
        };
        let chosen: Vec<(&str, &str)> = folds
            .folds
            .iter()
            .map(|fold| (fold.kernel.as_str(), fold.chosen.as_str()))
            .collect();
        assert_eq!(chosen, [("a", "evo_full[n=2]"), ("b", "evo_full[n=1]")]);
        assert_eq!(folds.variants, 3);
        assert_eq!(folds.folds[1].held_out.at(64).unwrap().mean, 0.5);
        assert!((folds.folds[1].others - 0.85).abs() < 1e-9);
        assert!((folds.folds[1].shipped_others - 0.75).abs() < 1e-9);
        let last = folds.held_out.last().unwrap();
        let expected = (0.7 + 0.6 + 0.5) / 3.0;
        assert!((last.mean - expected).abs() < 1e-9, "{last:?}");
        assert!((folds.shipped.last().unwrap().mean - 0.8).abs() < 1e-9);
        // Three independent errors of 0.01 / sqrt(2), each a third of the sum.
        let error = last.standard_error.unwrap();
        let each = 0.01 / 2f64.sqrt();
        assert!((error - each / 3f64.sqrt()).abs() < 1e-6, "{error} {each}");
    }

    #[test]
    fn kernels_come_from_the_names_or_from_what_is_said() {
        assert_eq!(kernel_of("convolution_milo-A100"), "convolution");
        assert_eq!(kernel_of("gemm-RTX_Titan"), "gemm");
        assert_eq!(kernel_of("plain"), "plain");
        let given = |space: &str, kernel: &str| vec![(space.to_owned(), kernel.to_owned())];
        let error = report(cells()).with_folds(&given("b-1", "a")).unwrap_err();
        assert!(error.to_string().contains("at least two"), "{error}");
        let error = report(cells()).with_folds(&given("c", "a")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no recording `c`; there are a-1, a_2, b-1"
        );
        let mut plain = cells();
        plain.retain(|cell| !cell.strategy.contains('['));
        let error = report(plain).with_folds(&[]).unwrap_err();
        assert!(error.to_string().contains("--vary"), "{error}");
    }
}
