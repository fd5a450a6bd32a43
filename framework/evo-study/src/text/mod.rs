//! The report as text, for windows of 80 columns.

mod sections;

use std::fmt::{self, Write};

use crate::report::LEAST_CUTOFF;
use crate::{Cell, Estimate, Figures, Report, Score};

/// The chance of an error below which a difference counts as one.
const SIGNIFICANT: f64 = 0.05;

/// Characters of a line.
pub(crate) const WIDTH: usize = 80;

/// Characters of a strategy's name; a longer one has a line of its own.
pub(crate) const NAME: usize = 27;

/// Budgets side by side.
pub(crate) const BESIDE: usize = 4;

/// What a table of strategies has in a row.
pub(crate) struct Row<'a> {
    strategy: &'a str,
    seeds: usize,
    figures: &'a [Figures],
    score: Option<Score>,
    score_time: Option<Score>,
    cpu_ms: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaces = count(self.spaces.len(), "space", "spaces");
        writeln!(
            out,
            "{}",
            wrapped(
                &format!(
                    "{} over {spaces}: mean of optimum / best found (standard error over the seeds)",
                    count(self.aggregates.len(), "strategy", "strategies"),
                ),
                ""
            )
        )?;
        let rows: Vec<Row<'_>> = self
            .aggregates
            .iter()
            .map(|each| Row {
                strategy: &each.strategy,
                seeds: each.seeds,
                figures: &each.figures,
                score: each.score,
                score_time: each.score_time,
                cpu_ms: each.cpu_ms,
            })
            .collect();
        out.write_str(&ratios(&rows, &self.budgets))?;
        let text = "The share of runs within 1 % at the last budget, the performance score P (0 is \
                    random search, 1 the optimum at once), and milliseconds of CPU time per \
                    evaluation";
        writeln!(out, "\n{}", wrapped(text, ""))?;
        out.write_str(&scores(&rows))?;
        self.without_score(out)?;
        self.significance(out)?;
        for (number, what) in [
            (self.left_out, "of other spaces: left out"),
            (self.repeated, "in the logs more than once: counted once"),
        ] {
            if number > 0 {
                writeln!(out, "\n{} {what}", count(number, "run", "runs"))?;
            }
        }
        self.sections(out)
    }
}

impl Report {
    /// The spaces that have no part in P.
    fn without_score(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let narrow = |space: &&String| {
            let cutoff = |cell: &Cell| cell.space == **space && cell.cutoff < LEAST_CUTOFF;
            self.cells.iter().any(cutoff)
        };
        let narrow: Vec<&str> = self
            .spaces
            .iter()
            .filter(narrow)
            .map(String::as_str)
            .collect();
        if narrow.is_empty() || narrow.len() == self.spaces.len() {
            return Ok(());
        }
        let text = format!(
            "P is without {}: random search is there in fewer than {LEAST_CUTOFF} evaluations",
            narrow.join(", ")
        );
        writeln!(out, "{}", wrapped(&text, ""))
    }

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
            let line = format!("  {} than: {beaten}", each.strategy);
            writeln!(out, "{}", wrapped(&line, "    "))?;
        }
        Ok(())
    }

    /// Tables for each space.
    pub fn by_space(&self) -> String {
        let mut text = String::new();
        for space in &self.spaces {
            let mut cells: Vec<&Cell> = self
                .cells
                .iter()
                .filter(|cell| cell.space == *space)
                .collect();
            let last = |figures: &[Figures]| figures.last().map_or(0.0, |figures| figures.mean);
            cells.sort_by(|a, b| last(&b.figures).total_cmp(&last(&a.figures)));
            let cutoff = cells.first().map_or(0, |cell| cell.cutoff);
            // Writing to a text cannot fail.
            let _ = writeln!(text, "\n{space} (random search is there after {cutoff})");
            let rows: Vec<Row<'_>> = cells
                .iter()
                .map(|cell| Row {
                    strategy: &cell.strategy,
                    seeds: cell.seeds,
                    figures: &cell.figures,
                    score: cell.score,
                    score_time: cell.score_time,
                    cpu_ms: cell.cpu_ms,
                })
                .collect();
            text += &ratios(&rows, &self.budgets);
            text += &scores(&rows);
        }
        text
    }
}

/// The mean ratios, so many budgets beside each other.
fn ratios(rows: &[Row<'_>], budgets: &[u64]) -> String {
    let mut text = String::new();
    for part in budgets.chunks(BESIDE) {
        text += &heading("strategy", part);
        for row in rows {
            let at = |budget: &u64| row.figures.iter().find(|figures| figures.budget == *budget);
            let cells = part.iter().map(|budget| match at(budget) {
                Some(figures) => with_error(figures.mean, figures.standard_error, 3),
                None => "-".to_owned(),
            });
            text += &line(row.strategy, cells, 13);
        }
    }
    text
}

fn scores(rows: &[Row<'_>]) -> String {
    let mut text = format!(
        "{:<NAME$}{:>6}{:>12}{:>13}{:>13}{:>8}\n",
        "strategy", "seeds", "<1 %", "P", "P over time", "CPU ms"
    );
    for row in rows {
        let near = row.figures.last();
        let near = near.map_or("-".to_owned(), |f| with_error(f.near, f.near_error, 2));
        let score = |score: Option<Score>| {
            score.map_or("-".to_owned(), |s| with_error(s.value, s.standard_error, 2))
        };
        let (own, time) = (score(row.score), score(row.score_time));
        let rest = format!(
            "{:>6}{near:>12}{own:>13}{time:>13}{:>8.3}",
            row.seeds, row.cpu_ms
        );
        text += &line(row.strategy, [rest].into_iter(), 0);
    }
    text
}

/// The first line of a table with a column for each budget.
pub(crate) fn heading(first: &str, budgets: &[u64]) -> String {
    let cells = budgets.iter().map(|budget| format!("@{budget}"));
    line(first, cells, 13)
}

/// A name and its cells; a long name stands on a line of its own.
pub(crate) fn line(name: &str, cells: impl Iterator<Item = String>, width: usize) -> String {
    let mut line = if name.chars().count() > NAME {
        format!("{name}\n{:NAME$}", "")
    } else {
        format!("{name:<NAME$}")
    };
    for cell in cells {
        line += &format!("{cell:>width$}");
    }
    line + "\n"
}

/// `.953 (.004)`.
pub(crate) fn with_error(value: f64, error: Option<f64>, digits: usize) -> String {
    let value = short(value, digits);
    match error {
        None => value,
        Some(error) => format!("{value} ({})", short(error, digits)),
    }
}

/// The same of an estimate.
pub(crate) fn estimate(of: &Estimate, digits: usize) -> String {
    with_error(of.value, of.standard_error, digits)
}

/// Without the zero before the point.
fn short(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    // What rounds to zero has no sign.
    let zero = text.chars().all(|c| matches!(c, '-' | '.' | '0'));
    let text = if zero { text.replace('-', "") } else { text };
    if let Some(rest) = text.strip_prefix("0.") {
        format!(".{rest}")
    } else if let Some(rest) = text.strip_prefix("-0.") {
        format!("-.{rest}")
    } else {
        text
    }
}

pub(crate) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Breaks a text at blanks, so that no line is wider than a window; further lines begin with `indent`.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let start = text.len() - text.trim_start().len();
    let mut lines = vec![text.get(..start).unwrap_or_default().to_owned()];
    let mut fresh = true;
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if !fresh && used + 1 + word.chars().count() > WIDTH {
            lines.push(indent.to_owned());
            fresh = true;
        }
        if let Some(line) = lines.last_mut() {
            if !fresh {
                line.push(' ');
            }
            line.push_str(word);
        }
        fresh = false;
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{cell, report};

    #[test]
    fn figures_have_no_zero_before_the_point() {
        assert_eq!(with_error(0.95321, Some(0.0041), 3), ".953 (.004)");
        assert_eq!(with_error(-0.051, Some(0.07), 2), "-.05 (.07)");
        assert_eq!(with_error(1.0, None, 3), "1.000");
        assert_eq!(with_error(-0.0004, None, 3), ".000");
    }

    #[test]
    fn a_text_is_broken_at_blanks() {
        let text = wrapped(&"  word ".repeat(40), "    ");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.starts_with("  word word") && text.contains("\n    word"),
            "{text}"
        );
        assert_eq!(text.split_whitespace().count(), 40);
    }

    #[test]
    fn no_line_is_wider_than_a_window() {
        let means: Vec<(u64, f64)> = [32, 64, 128, 256, 512].map(|n| (n, 1.0)).to_vec();
        let long = "evo_differential_evolution[crossover=0.5,population=40]@noise=0.5+confirm";
        let mut cells = Vec::new();
        for space in ["convolution_milo-MI250X", "gemm-RTX_2080_Ti"] {
            for name in [
                "evo_full",
                "evo_full[pool=96]",
                long,
                "kt_adaptive_tabu_greywolf",
            ] {
                cells.push(cell(space, name, &means, Some(-10.0)));
            }
            cells.push(cell(
                space,
                &long.replace("@noise=0.5+confirm", ""),
                &means,
                None,
            ));
        }
        cells.push(cell("gemm-RTX_2080_Ti", "optuna_tpe", &means, Some(0.5)));
        let mut all = report(cells);
        all.budgets = means.iter().map(|(budget, _)| *budget).collect();
        let spaces: Vec<&str> = all.spaces.iter().map(String::as_str).collect();
        let names = ["evo_full", long, "kt_adaptive_tabu_greywolf"];
        all.aggregates = names
            .iter()
            .filter_map(|name| crate::report::over(name, &spaces, &all.cells, &all.budgets))
            .collect();
        all.noise = crate::noise_loss::losses(&all.cells, &all.budgets);
        let all = all.with_regret("full").unwrap().with_folds(&[]).unwrap();
        assert!(all.regret.is_some() && !all.noise.is_empty());
        let text = format!("{all}{}", all.by_space());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}\n{text}");
        }
        insta::assert_snapshot!(all.to_string());
    }
}
