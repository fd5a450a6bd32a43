//! Interactions of two parameters: a value that is better where another parameter has a certain value,
//! and not so elsewhere.
//!
//! Of every two parameters all pairs of values are looked at, as a table of two by two: with and without
//! the one value, with and without the other. The interaction is the difference of the effect of a value
//! here and elsewhere, on the scale of the losses (logarithms of the ranked metric), with Welch's standard
//! error. So many are looked at that the greatest of them is large by chance: what is said exceeds the
//! level that the greatest of as many normal numbers is expected to stay below.

use super::statistics::{FEWEST, Moments, NEGLIGIBLE, SHRINKAGE, SIGNIFICANT, Sample};
use super::statistics::{importance, insight, percent, strength};
use super::{Action, Evidence, Insight, Lever, Scope};
use crate::space::{Param, Space};

/// Most interactions that are said, the surest.
const MOST: usize = 6;

/// A table of two by two, as the effect of one value where another is.
#[derive(Debug, Clone, Copy)]
struct Contrast {
    /// Parameter and value that are changed.
    changed: (usize, u32),
    /// Parameter and value that say where.
    place: (usize, u32),
    /// Losses with and without the value here, and with and without it elsewhere.
    here: [Moments; 2],
    elsewhere: [Moments; 2],
}

impl Contrast {
    fn cells(&self) -> impl Iterator<Item = &Moments> {
        self.here.iter().chain(&self.elsewhere)
    }

    fn effect([with, without]: &[Moments; 2]) -> f64 {
        with.mean - without.mean
    }

    /// How little the thinnest cell shrinks what is seen.
    fn shrinkage(&self) -> f64 {
        let fewest = self
            .cells()
            .map(|cell| cell.n)
            .fold(f64::INFINITY, f64::min);
        fewest / (fewest + SHRINKAGE)
    }

    /// Welch's t of the difference of the two effects.
    fn statistic(&self) -> f64 {
        let error = self.cells().map(Moments::error).sum::<f64>().sqrt();
        let difference = Self::effect(&self.here) - Self::effect(&self.elsewhere);
        (difference / error.max(1e-9)).clamp(-99.0, 99.0)
    }

    /// How sure the effect here is by itself.
    fn sureness(&self) -> f64 {
        let error = self.here.iter().map(Moments::error).sum::<f64>().sqrt();
        (Self::effect(&self.here) / error.max(1e-9)).abs()
    }

    /// The same table read the other way: the other value is changed.
    fn turned(self) -> Self {
        let ([both, place_alone], [changed_alone, neither]) = (self.here, self.elsewhere);
        Self {
            changed: self.place,
            place: self.changed,
            here: [both, changed_alone],
            elsewhere: [place_alone, neither],
        }
    }
}

/// The surest interactions of a candidate's history.
pub(super) fn derive(space: &Space, sample: &Sample<'_>) -> Vec<Insight> {
    let mut looked_at = 0u64;
    let mut surest: Vec<(f64, Contrast)> = Vec::new();
    let searched = space.searched();
    for (place, &first) in searched.iter().enumerate() {
        for &second in searched.iter().skip(place + 1) {
            let (Some(a), Some(b)) = (space.params().get(first), space.params().get(second)) else {
                continue;
            };
            let found = contrasts((a, first), (b, second), sample);
            looked_at += found.len() as u64;
            let sure = found
                .into_iter()
                .map(|it| (it.statistic().abs() * it.shrinkage(), it));
            surest.extend(sure.reduce(surer));
        }
    }
    let chance = (2.0 * libm::log(2.0 * looked_at.max(1) as f64)).sqrt();
    let level = chance.max(SIGNIFICANT);
    surest.sort_by(|a, b| b.0.total_cmp(&a.0));
    let said = surest.into_iter().filter(|(sure, _)| *sure >= level);
    let insights = said.filter_map(|(sure, contrast)| say(space, contrast, sure));
    insights.take(MOST).collect()
}

/// The surer of two tables; of the two readings of a parameter with two values the one that is better.
fn surer(best: (f64, Contrast), next: (f64, Contrast)) -> (f64, Contrast) {
    let effect = |it: &Contrast| Contrast::effect(&it.here);
    let alike = (best.0 - next.0).abs() < 1e-9 * best.0;
    let takes = match alike {
        true => effect(&next.1) < effect(&best.1),
        false => next.0 > best.0,
    };
    if takes { next } else { best }
}

/// The tables of all pairs of values of two parameters that have enough trials in every cell.
fn contrasts(
    (a, first): (&Param, usize),
    (b, second): (&Param, usize),
    sample: &Sample<'_>,
) -> Vec<Contrast> {
    let (rows, columns) = (a.values.len(), b.values.len());
    let mut cells = vec![Moments::default(); rows * columns];
    for (own, other, loss) in sample.both(first, second) {
        if let Some(cell) = cells.get_mut(own as usize * columns + other as usize) {
            cell.add(loss);
        }
    }
    let total = |wanted: &dyn Fn(usize, usize) -> bool| {
        let those = cells
            .iter()
            .enumerate()
            .filter(|(place, _)| wanted(place / columns, place % columns));
        those.fold(Moments::default(), |sum, (_, cell)| sum.with(cell))
    };
    let mut found = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let contrast = Contrast {
                changed: (second, column as u32),
                place: (first, row as u32),
                here: [
                    total(&|r, c| r == row && c == column),
                    total(&|r, c| r == row && c != column),
                ],
                elsewhere: [
                    total(&|r, c| r != row && c == column),
                    total(&|r, c| r != row && c != column),
                ],
            };
            if contrast.cells().all(|cell| cell.n >= FEWEST as f64) {
                found.push(contrast);
            }
        }
    }
    found
}

/// In words and as a lever: in the way of the two in which the effect here is the surer one.
fn say(space: &Space, contrast: Contrast, sure: f64) -> Option<Insight> {
    let turned = contrast.turned();
    let contrast = if turned.sureness() > contrast.sureness() {
        turned
    } else {
        contrast
    };
    let effect = Contrast::effect(&contrast.here) * contrast.shrinkage();
    if contrast.sureness() < SIGNIFICANT || effect.abs() < NEGLIGIBLE {
        return None;
    }
    let named = |(param, value): (usize, u32)| {
        let param = space.params().get(param)?;
        Some((param.name.clone(), param.value(value).clone()))
    };
    let ((name, chosen), (place, value)) = (named(contrast.changed)?, named(contrast.place)?);
    let words = |effect: f64| {
        let word = if effect < 0.0 { "better" } else { "worse" };
        format!("{} {word}", percent(effect))
    };
    let (verb, action) = if effect < 0.0 {
        ("prefer", Action::Prefer(chosen.clone()))
    } else {
        ("avoid", Action::Avoid(chosen.clone()))
    };
    let ([with, without], [far, others]) = (contrast.here, contrast.elsewhere);
    let t = contrast.statistic();
    let statement = format!(
        "where {place}={value}, {name}={chosen} is {} than the other values (n={} against {}), elsewhere {} \
         (n={} against {}; t={t:.1})",
        words(effect),
        with.n,
        without.n,
        words(Contrast::effect(&contrast.elsewhere)),
        far.n,
        others.n,
    );
    let lever = Lever {
        param: name.clone(),
        action,
    };
    let evidence = Evidence {
        n: with.n as u64,
        others: without.n as u64,
        effect,
        statistic: t,
    };
    let id = format!("history:{verb}:{name}={chosen}@{place}={value}");
    let strength = strength(sure) * importance(effect);
    Some(Insight {
        scope: Scope::Where {
            param: place,
            value,
        },
        ..insight(id, statement, lever, strength, evidence)
    })
}
