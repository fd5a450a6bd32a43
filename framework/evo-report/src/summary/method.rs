//! How the figures were made, in words.

use evo_journal::Work;
use evo_stats::{BOOTSTRAP_SEED, ComparisonOptions, QUANTILE_DEFINITION, RESAMPLES};
use evo_types::{CachePolicy, Measurement};
use serde_json::Value;

use crate::confirmed::Table;
use crate::format::setting;
use crate::model::{RunModel, Trial};

pub(super) fn method(model: &RunModel) -> Vec<String> {
    let mut words = Vec::new();
    match &model.plan.work {
        Work::Problem { spec, .. } => {
            words.push(format!("Cache policy: {}.", cache(spec.cache)));
            words.extend(gpu_clock(model));
            words.extend(samples(model));
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

/// How batches were timed on a GPU, from what the journal has.
fn gpu_clock(model: &RunModel) -> Option<String> {
    if model.plan.device.kind != "cuda" {
        return None;
    }
    let measured: Vec<_> = model.trials.iter().filter_map(Trial::measurement).collect();
    let with = |name: &str| {
        measured
            .iter()
            .filter(|it| it.metric(name).is_some())
            .count()
    };
    let (recorded, watched) = (with("launches_per_graph"), with("sm_clock"));
    let all = measured.len();
    let watch = match watched {
        0 => "NVML was not there, so that low clocks and other processes went unnoticed",
        _ => "Samples during which NVML told of throttling or of another process were taken again",
    };
    Some(format!(
        "A batch is timed by two events in the device's stream. In {recorded} of {all} measured \
         trials it was a recorded CUDA graph, which was replayed onto poisoned outputs and checked \
         afterwards; in the others the launches were queued one by one, so that gaps between them \
         of a few microseconds count. {watch}."
    ))
}

/// How long the trials were measured, from what the journal has.
fn samples(model: &RunModel) -> Option<String> {
    let measured: Vec<_> = model.trials.iter().filter_map(Trial::measurement).collect();
    let numbers = measured.iter().filter_map(|found| model.metric.of(found));
    let numbers: Vec<usize> = numbers.map(|metric| metric.samples.len()).collect();
    let (least, most) = (numbers.iter().min()?, numbers.iter().max()?);
    let count =
        |flag: fn(&Measurement) -> bool| measured.iter().filter(|found| flag(found)).count();
    let search = model.plan.measure.get("search");
    let setting_of = |name: &str| search?.get(name).and_then(Value::as_f64);
    let precision = setting_of("precision").map_or_else(String::new, |precision| {
        format!(
            " (a 95 % interval of the median narrower than {} % of it)",
            setting(100.0 * precision)
        )
    });
    Some(format!(
        "The measured trials took {least} to {most} samples each, a sample being the mean time of \
         a batch of launches; {} of {} reached the wanted precision{precision}, and {} stopped \
         early because they were far behind the best.",
        count(|found| found.converged),
        measured.len(),
        count(|found| found.raced_out),
    ))
}

fn confirmation(model: &RunModel, table: &Table) -> Vec<String> {
    let rounds = table.rows.iter().filter_map(|row| row.figures.as_ref());
    let rounds = rounds
        .map(|figures| figures.samples.len())
        .max()
        .unwrap_or(0);
    let processes = table
        .rows
        .iter()
        .find_map(|row| Some(row.figures.as_ref()?.processes.len()))
        .unwrap_or(0);
    let place = match processes {
        0 | 1 => "a fresh process".to_owned(),
        several => format!("{several} fresh processes, one after the other"),
    };
    let options = ComparisonOptions::default();
    let disagree = table
        .rows
        .iter()
        .flat_map(|row| row.over.iter().flatten())
        .any(|ratio| !ratio.processes_agree);
    let mut words = vec![format!(
        "The {} finalists and the baselines were verified and measured again in {place}, \
         interleaved in {rounds} rounds, with checks seeded by {}. A speedup is the median ratio \
         of a round, averaged over the processes; its 95 % interval is Student's t over rounds \
         (block bootstrap, {RESAMPLES} resamples, seed {BOOTSTRAP_SEED}) and processes, believing \
         that two processes of the same code differ by {} %.{} Figures of the search are never a \
         headline: the best of many is flattered by chance.",
        table.finalists(&model.metric).len(),
        table.seed,
        setting(100.0 * options.process_sd),
        if disagree {
            " Here the processes differed by more, and the intervals have been widened for it."
        } else {
            ""
        }
    )];
    let several = model.has_several_candidates();
    let groups = model.references.iter().any(|it| it.members.len() > 1);
    if several {
        words.push(format!(
            "The finalists are the best {} trials of the search, the best of every kernel, and the \
             default configuration of every kernel.",
            model.plan.top_k
        ));
    }
    if groups {
        words.push(
            "Of a group of baselines the one with the best median of the same rounds stands for \
             the group, which flatters the group rather than the candidates."
                .to_owned(),
        );
    }
    if !table.rivals.is_empty() {
        words.push(format!(
            "The winner is the finalist with the best median of the confirmation. Whether it \
             differs from the other finalists is judged in the same way, calling differences \
             under {} % none. The intervals are widened so that all \
             {} hold together with 95 % confidence (Bonferroni). The winner was chosen on the \
             same rounds, so among finalists that are not distinguishable the choice is partly \
             chance.",
            setting(100.0 * options.margin),
            table.rivals.len()
        ));
    }
    words
}
