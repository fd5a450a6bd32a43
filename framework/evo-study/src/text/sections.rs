//! The parts of a report that answer questions: how much of the best peer's regret is closed, which
//! variant other kernels would choose, what noise costs.

use std::fmt;

use super::{BESIDE, count, estimate, heading, line, with_error, wrapped};
use crate::{
    Aggregate, Column, Combined, FINALISTS, Folds, NoiseLoss, ROUNDS, Regret, Report, Versus,
};

impl Report {
    pub(super) fn sections(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(regret) = &self.regret {
            write_regret(out, regret)?;
        }
        for folds in &self.folds {
            write_folds(out, folds, &self.budgets)?;
        }
        if !self.noise.is_empty() {
            write_noise(out, &self.noise, &self.budgets)?;
        }
        Ok(())
    }
}

fn write_regret(out: &mut fmt::Formatter<'_>, regret: &Regret) -> fmt::Result {
    let text = format!(
        "{} ({}) against the best peer in each figure, over {}; closed: the share of the peer's regret \
         (1 - ratio); better: by more than both standard errors together",
        regret.strategy,
        count(regret.seeds, "seed", "seeds"),
        count(regret.spaces.len(), "space", "spaces"),
    );
    writeln!(out, "\n{}", wrapped(&text, ""))?;
    if regret.columns.is_empty() {
        writeln!(out, "no peer ran on all of them")?;
    } else {
        writeln!(
            out,
            "{:<12}{:<13}{:<13}{:<9}{:<7}peer",
            "figure", "own", "peer's", "closed", "better"
        )?;
        for each in &regret.columns {
            writeln!(out, "{}", versus(each))?;
        }
    }
    if !regret.missing.is_empty() {
        let text = format!("Without {}: not both ran there", regret.missing.join(", "));
        writeln!(out, "{}", wrapped(&text, ""))?;
    }
    for each in &regret.partial {
        let Some(first) = each.columns.first() else {
            continue;
        };
        let closed = each.columns.iter().filter_map(|versus| {
            let closed = versus
                .closed
                .filter(|_| matches!(versus.column, Column::Ratio(_)))?;
            Some(format!("{} {:.0} %", name(versus.column), 100.0 * closed))
        });
        let text = format!(
            "  {} ({}) ran on {} of these alone; closed there: {}",
            first.peer,
            count(first.peer_seeds, "seed", "seeds"),
            each.spaces.len(),
            closed.collect::<Vec<_>>().join(", ")
        );
        writeln!(out, "{}", wrapped(&text, "    "))?;
    }
    Ok(())
}

fn versus(each: &Versus) -> String {
    let digits = if matches!(each.column, Column::Ratio(_)) {
        3
    } else {
        2
    };
    let closed = match (each.closed, each.factor) {
        (Some(closed), _) => format!("{:.0} %", 100.0 * closed),
        (None, Some(factor)) => format!("{factor:.2} x"),
        (None, None) => "-".to_owned(),
    };
    let better = each
        .better
        .map_or("?", |better| if better { "yes" } else { "no" });
    let left = format!(
        "{:<12}{:<13}{:<13}{closed:<9}{better:<7}",
        name(each.column),
        estimate(&each.own, digits),
        estimate(&each.best, digits),
    );
    let peer = format!("{}, {}", each.peer, count(each.peer_seeds, "seed", "seeds"));
    if left.chars().count() + peer.chars().count() > super::WIDTH {
        format!("{}\n  {peer}", left.trim_end())
    } else {
        left + &peer
    }
}

fn name(column: Column) -> String {
    match column {
        Column::Ratio(budget) => format!("@{budget}"),
        Column::Near(budget) => format!("<1 % @{budget}"),
        Column::Score => "P".to_owned(),
        Column::ScoreTime => "P over time".to_owned(),
    }
}

fn write_folds(out: &mut fmt::Formatter<'_>, folds: &Folds, budgets: &[u64]) -> fmt::Result {
    let text = format!(
        "{} with each kernel left out: of {} variants the one with the greatest mean ratio over the \
         budgets and the spaces of the other kernels, scored on the spaces of the kernel",
        folds.strategy, folds.variants,
    );
    writeln!(out, "\n{}", wrapped(&text, ""))?;
    for fold in &folds.folds {
        let text = format!(
            "{} ({}): {}, with {:.4} on the others (shipped {:.4})",
            fold.kernel,
            count(fold.spaces.len(), "space", "spaces"),
            fold.chosen,
            fold.others,
            fold.shipped_others
        );
        writeln!(out, "{}", wrapped(&text, "    "))?;
    }
    for part in budgets.chunks(BESIDE) {
        out.write_str(&heading("", part))?;
        for fold in &folds.folds {
            let rows = [(&fold.held_out, "chosen"), (&fold.shipped, "shipped")];
            for (aggregate, which) in rows {
                let name = format!("{}, {which}", fold.kernel);
                out.write_str(&line(&name, means(aggregate, part), 13))?;
            }
        }
        for (all, which) in [(&folds.held_out, "chosen"), (&folds.shipped, "shipped")] {
            let name = format!("all spaces, {which}");
            out.write_str(&line(&name, combined(all, part), 13))?;
        }
    }
    Ok(())
}

fn means(of: &Aggregate, budgets: &[u64]) -> impl Iterator<Item = String> {
    budgets.iter().map(|budget| {
        let figures = of.at(*budget);
        figures.map_or("-".to_owned(), |f| with_error(f.mean, f.standard_error, 3))
    })
}

fn combined(all: &[Combined], budgets: &[u64]) -> impl Iterator<Item = String> {
    budgets.iter().map(|budget| {
        let at = all.iter().find(|each| each.budget == *budget);
        at.map_or("-".to_owned(), |each| {
            with_error(each.mean, each.standard_error, 3)
        })
    })
}

fn write_noise(out: &mut fmt::Formatter<'_>, all: &[NoiseLoss], budgets: &[u64]) -> fmt::Result {
    let spaces = all.iter().map(|each| each.spaces.len());
    let (least, most) = (spaces.clone().min(), spaces.max());
    let over = match (least, most) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most} spaces"),
        _ => count(most.unwrap_or(0), "space", "spaces"),
    };
    let text = format!(
        "What noise costs over {over}: the mean ratio without noise less that of the recorded time of \
         the answer with noise. The answer is what was measured as best, or (+confirm) the best of \
         {FINALISTS} that were measured {ROUNDS} times more each: {} measurements that the budget does \
         not count",
        FINALISTS * ROUNDS
    );
    writeln!(out, "\n{}", wrapped(&text, ""))?;
    for part in budgets.chunks(BESIDE) {
        out.write_str(&heading("strategy", part))?;
        for each in all {
            let cells = part.iter().map(|budget| {
                let at = each.losses.iter().find(|loss| loss.budget == *budget);
                at.map_or("-".to_owned(), |loss| {
                    with_error(loss.loss, loss.standard_error, 3)
                })
            });
            out.write_str(&line(&each.strategy, cells, 13))?;
        }
    }
    Ok(())
}
