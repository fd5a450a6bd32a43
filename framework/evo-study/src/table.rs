//! The report as text.

use std::fmt::{self, Write};

use crate::{Aggregate, Figures, Report, Score};

/// The chance of an error below which a difference counts as one.
const SIGNIFICANT: f64 = 0.05;

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} over {}: mean of optimum / best found (standard error over the seeds), the share of \
             runs\nwithin 1 %, and the performance score P (0 is random search, 1 the optimum at \
             once)\n",
            count(self.aggregates.len(), "strategy", "strategies"),
            count(self.spaces.len(), "space", "spaces"),
        )?;
        write!(out, "{:<32}{:>5}", "strategy", "seeds")?;
        for budget in &self.budgets {
            write!(out, "{:>14}", format!("@{budget}"))?;
        }
        writeln!(
            out,
            "{:>7}{:>14}{:>14}{:>9}",
            "<1 %", "P", "P over time", "CPU ms"
        )?;
        for each in &self.aggregates {
            writeln!(out, "{}", row(each, &self.budgets))?;
        }
        self.significance(out)?;
        if self.left_out > 0 {
            writeln!(
                out,
                "\n{} of other spaces: left out",
                count(self.left_out, "run", "runs")
            )?;
        }
        Ok(())
    }
}

impl Report {
    /// For each strategy, those that it is better than beyond chance at the largest budget.
    fn significance(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(budget) = self.differences.iter().map(|pair| pair.budget).max() else {
            return Ok(());
        };
        writeln!(
            out,
            "\nBetter at {budget} evaluations, beyond chance (p < {SIGNIFICANT}, Holm over all pairs):"
        )?;
        for each in &self.aggregates {
            let pairs = self.differences.iter().filter(|pair| pair.budget == budget);
            let beaten: Vec<&str> = pairs
                .filter(|pair| pair.p < SIGNIFICANT)
                .filter_map(|pair| {
                    let better = pair.difference > 0.0;
                    let (winner, loser) = if better {
                        (&pair.a, &pair.b)
                    } else {
                        (&pair.b, &pair.a)
                    };
                    (*winner == each.strategy).then_some(loser.as_str())
                })
                .collect();
            let beaten = if beaten.is_empty() {
                "none".to_owned()
            } else {
                beaten.join(", ")
            };
            writeln!(out, "  {} than: {beaten}", each.strategy)?;
        }
        Ok(())
    }

    /// A table for each space.
    pub fn by_space(&self) -> String {
        let mut text = String::new();
        for space in &self.spaces {
            let mut cells: Vec<_> = self
                .cells
                .iter()
                .filter(|cell| cell.space == *space)
                .collect();
            let last = |figures: &[Figures]| figures.last().map_or(0.0, |figures| figures.mean);
            cells.sort_by(|a, b| last(&b.figures).total_cmp(&last(&a.figures)));
            let cutoff = cells.first().map_or(0, |cell| cell.cutoff);
            // Writing to a text cannot fail.
            let _ = writeln!(text, "\n{space} (random search is there after {cutoff})");
            for cell in cells {
                let own = Aggregate {
                    strategy: cell.strategy.clone(),
                    seeds: cell.seeds,
                    figures: cell.figures.clone(),
                    score: cell.score,
                    score_time: cell.score_time,
                    cpu_ms: cell.cpu_ms,
                };
                let _ = writeln!(text, "{}", row(&own, &self.budgets));
            }
        }
        text
    }
}

fn row(each: &Aggregate, budgets: &[u64]) -> String {
    let mut line = format!("{:<32}{:>5}", each.strategy, each.seeds);
    for &budget in budgets {
        let shown = each.at(budget).map_or("-".to_owned(), |figures| {
            with_error(figures.mean, figures.standard_error, 3)
        });
        line += &format!("{shown:>14}");
    }
    let near = each.figures.last().map_or(0.0, |figures| figures.near);
    let score = |score: Option<Score>| {
        score.map_or("-".to_owned(), |s| with_error(s.value, s.standard_error, 2))
    };
    line += &format!(
        "{near:>7.2}{:>14}{:>14}{:>9.3}",
        score(each.score),
        score(each.score_time),
        each.cpu_ms
    );
    line
}

/// `0.953 (.004)`.
fn with_error(value: f64, error: Option<f64>, digits: usize) -> String {
    match error {
        None => format!("{value:.digits$}"),
        Some(error) => {
            let error = format!("{error:.digits$}");
            let short = error.strip_prefix('0').unwrap_or(&error);
            format!("{value:.digits$} ({short})")
        }
    }
}

fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}
