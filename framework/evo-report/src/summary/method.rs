//! How the figures were made, in words.

use evo_journal::Work;
use evo_stats::{BOOTSTRAP_SEED, ComparisonOptions, QUANTILE_DEFINITION, RESAMPLES};
use evo_types::CachePolicy;
use serde_json::Value;

use crate::confirmed::Table;
use crate::format::{number, quantity};
use crate::model::RunModel;

pub(super) fn method(model: &RunModel) -> Vec<String> {
    let mut words = Vec::new();
    match &model.plan.work {
        Work::Problem { spec, .. } => {
            words.push(format!("Cache policy: {}.", cache(spec.cache)));
            words.extend(settings(&model.plan.measure));
            words.push(
                "A candidate is verified against a float64 reference before it is timed, also on \
                 extra shapes and adversarial inputs, and again afterwards on a seed that was \
                 drawn after the timing. Only correct candidates have a time."
                    .to_owned(),
            );
        }
        Work::Objective { .. } => words.push(
            "The figures are what the objective returned; the framework neither verified nor \
             timed anything itself."
                .to_owned(),
        ),
    }
    match &model.confirmation {
        Some(_) if model.is_objective() => words.push(
            "The finalists were evaluated once more in a fresh process; the winner is the one \
             with the best figure there."
                .to_owned(),
        ),
        Some(table) => words.extend(confirmation(model, table)),
        None => {}
    }
    words.push(format!("Quantiles: {QUANTILE_DEFINITION}."));
    words
}

fn cache(policy: CachePolicy) -> &'static str {
    match policy {
        CachePolicy::Rotate => {
            "rotate, launches go over enough input sets to exceed the last-level cache"
        }
        CachePolicy::Flush => "flush, the caches are flushed before each launch",
        CachePolicy::Hot => "hot, the same buffers every time, so what fits in the caches is there",
    }
}

/// What the settings of the measurement say, as far as they are there.
fn settings(measure: &Value) -> Option<String> {
    let figure = |name: &str| measure.get(name).and_then(Value::as_f64);
    let (least, most) = (figure("min_samples")?, figure("max_samples")?);
    let mut words = format!("A trial takes {least} to {most} samples");
    if let Some(precision) = figure("precision") {
        words.push_str(&format!(
            " and stops when the 95 % interval of the median is narrower than {} % of it",
            number(100.0 * precision)
        ));
    }
    words.push('.');
    if let Some(seconds) = figure("min_sample_seconds") {
        words.push_str(&format!(
            " A sample is the mean time of a batch of launches that lasts at least {}.",
            quantity(seconds, "s")
        ));
    }
    if let Some(factor) = figure("race_factor") {
        words.push_str(&format!(
            " A candidate whose lower bound is {} times above the best one's upper bound stops \
             early.",
            number(factor)
        ));
    }
    Some(words)
}

fn confirmation(model: &RunModel, table: &Table) -> Vec<String> {
    let rounds = table.rows.iter().filter_map(|row| row.figures.as_ref());
    let rounds = rounds
        .map(|figures| figures.samples.len())
        .max()
        .unwrap_or(0);
    let mut words = vec![format!(
        "The {} finalists and the baselines were verified and measured again in a fresh process, \
         interleaved in {rounds} rounds, with checks seeded by {}. Speedups are ratios of medians \
         over these rounds, with 95 % intervals by a percentile block bootstrap ({RESAMPLES} \
         resamples, seed {BOOTSTRAP_SEED}); they describe this process, and another process may \
         differ by more. Figures of the search are never a headline: the best of many is \
         flattered by chance.",
        table.finalists(&model.metric).len(),
        table.seed
    )];
    if !table.rivals.is_empty() {
        let options = ComparisonOptions::default();
        words.push(format!(
            "The winner is the finalist with the best median of the confirmation. Whether it \
             differs from the other finalists is judged on the logarithms of the ratios of each \
             round with Student's t, believing that two processes of the same code differ by \
             {} %, and calling differences under {} % none. The intervals are widened so that all \
             {} hold together with 95 % confidence (Bonferroni). The winner was chosen on the \
             same rounds, so among finalists that are not distinguishable the choice is partly \
             chance.",
            number(100.0 * options.process_sd),
            number(100.0 * options.margin),
            table.rivals.len()
        ));
    }
    words
}
