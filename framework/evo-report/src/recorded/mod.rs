//! Runs as recorded tuning data: what every configuration took, in the format `recorded-space/1` that
//! the plugin `recorded` and `evo study` read.

mod earlier;

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};

use evo_journal::{Plan, PlannedCandidate, Work};
use evo_types::{Metric, Outcome, OutcomeKind, Params, Value};
use serde_json::{Map, json};

use self::earlier::Earlier;
use crate::model::{RunModel, Trial};

/// What the document says that it is.
const FORMAT: &str = "recorded-space/1";
/// The source of what builds say, among those of figures.
const BUILD: &str = "build";

/// What was put together.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The document.
    pub document: serde_json::Value,
    /// Distinct configurations in it.
    pub configurations: usize,
    /// How many of these were measured.
    pub measured: usize,
    /// Outcomes of configurations that several trials have tried.
    pub repeated: usize,
}

/// Parameters with their values.
type Axes = Vec<(String, Vec<Value>)>;

/// What became of a configuration, in one trial or several.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// Milliseconds, of each trial that measured it.
    times: Vec<f64>,
    deviation: Option<f64>,
    failure: Option<OutcomeKind>,
    verify_ms: Option<f64>,
    bench_ms: Option<f64>,
    /// What is left of its trial's wall time: the build, and waiting.
    framework_ms: Option<f64>,
    figures: BTreeMap<String, f64>,
    /// What builds and profilers say of it, by source.
    sources: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Figures of a configuration that were made outside of the runs, such as by a profiler over a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Figured {
    /// Whose they are, as `plugin/name`.
    pub source: String,
    /// All its active parameters, and no other: whoever reads them asks the space.
    pub params: Params,
    /// By their names.
    pub figures: BTreeMap<String, f64>,
}

/// Puts the trials of one candidate of several runs together, by name, and what earlier exports wrote of
/// the same candidate: their documents, by file.
///
/// # Errors
/// In words: where the runs are not of the same problem, kernel and kind of device, where they have
/// several candidates and none is named, where what they rank is no time, where nothing was evaluated, or
/// what an earlier export is not.
pub fn recorded(
    runs: &[(String, RunModel)],
    earlier: &[(String, serde_json::Value)],
    figured: Vec<Figured>,
    candidate: Option<&str>,
) -> Result<Recorded, String> {
    let (first_name, first) = runs.first().ok_or("no run is named")?;
    let label = chosen(first_name, first, candidate)?;
    let unit_ms = milliseconds(first)?;
    let mut configs: Vec<(Params, Entry)> = Vec::new();
    for (name, model) in runs {
        same_work((first_name, first), (name, model), label)?;
        let own = model.trials.iter();
        configs.extend(
            own.filter(|trial| trial.proposed.candidate == label)
                .filter_map(|trial| {
                    Some((trial.proposed.params.clone(), entry(model, trial, unit_ms)?))
                }),
        );
    }
    if configs.is_empty() {
        return Err(format!("`{label}` has no trial that was evaluated"));
    }
    let earlier = earlier
        .iter()
        .map(|(name, document)| {
            let found = Earlier::of(document).and_then(|found| {
                found.compare(first, label)?;
                Ok(found)
            });
            found.map_err(|reason| format!("{name}: {reason}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    configs.extend(earlier.iter().flat_map(Earlier::entries));
    let axes = axes(&configs);
    same_firsts(&axes, &earlier)?;
    let size = axes.iter().try_fold(1u64, |size, (_, values)| {
        size.checked_mul(values.len() as u64)
    });
    if size.is_none() {
        return Err("the values that occur span more than 2^64 configurations".to_owned());
    }
    let trials = configs.len();
    let mut rows: BTreeMap<u64, Entry> = BTreeMap::new();
    for (params, entry) in configs {
        match rows.entry(place(&axes, &params)) {
            Place::Vacant(free) => {
                free.insert(entry);
            }
            Place::Occupied(mut known) => merge(known.get_mut(), entry),
        }
    }
    for of in figured {
        let place = exact_place(&axes, &of.params);
        let Some(entry) = place.and_then(|place| rows.get_mut(&place)) else {
            return Err(format!(
                "figures of {} are of a configuration that nothing exported has: {}",
                of.source,
                evo_types::format_params(&of.params)
            ));
        };
        entry.sources.insert(of.source, of.figures);
    }
    let rows: Vec<(u64, Entry)> = rows.into_iter().collect();
    let measured = rows.iter().filter(|(_, row)| !row.times.is_empty()).count();
    Ok(Recorded {
        document: document((runs, &earlier), label, &axes, &rows),
        configurations: rows.len(),
        measured,
        repeated: trials - rows.len(),
    })
}

/// Refuses values that would come before the first one of an earlier export: a parameter that a
/// configuration does not have is at the first value there.
fn same_firsts(axes: &Axes, earlier: &[Earlier]) -> Result<(), String> {
    let mut firsts = earlier
        .iter()
        .flat_map(Earlier::axes)
        .filter_map(|(name, values)| {
            let now = axes
                .iter()
                .find(|(own, _)| *own == name)?
                .1
                .first()?
                .clone();
            Some((name, values.first()?.clone(), now))
        });
    match firsts.find(|(_, before, now)| before != now) {
        None => Ok(()),
        Some((name, before, now)) => Err(format!(
            "`{name}` begins with {before} in an earlier export and would begin with {now}: export all runs anew"
        )),
    }
}

/// The candidate whose trials are wanted.
fn chosen<'a>(name: &str, model: &'a RunModel, candidate: Option<&str>) -> Result<&'a str, String> {
    let labels: Vec<&str> = model
        .plan
        .candidates
        .iter()
        .map(|candidate| candidate.label.as_str())
        .collect();
    match (candidate, labels.as_slice()) {
        (Some(wanted), labels) => {
            let found = labels.iter().find(|label| **label == wanted);
            found.copied().ok_or_else(|| {
                format!(
                    "{name}: there is no candidate `{wanted}`; there is {}",
                    labels.join(", ")
                )
            })
        }
        (None, [only]) => Ok(only),
        (None, labels) => Err(format!(
            "{name}: which candidate? There is {}",
            labels.join(", ")
        )),
    }
}

/// Milliseconds in a unit of the ranked metric.
fn milliseconds(model: &RunModel) -> Result<f64, String> {
    let metric = &model.metric;
    let unit_ms = match metric.unit.as_str() {
        "ns" => 1e-6,
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => f64::NAN,
    };
    if unit_ms.is_nan() || metric.higher {
        return Err(format!(
            "the runs rank `{}`{}, and recorded data are times: lower is better, in ns, us, ms or s",
            metric.name,
            match metric.unit.as_str() {
                "" => String::new(),
                unit => format!(" in {unit}"),
            }
        ));
    }
    Ok(unit_ms)
}

/// What must not differ between runs whose times are put together.
fn same_work(
    (first_name, first): (&str, &RunModel),
    (name, model): (&str, &RunModel),
    label: &str,
) -> Result<(), String> {
    let of = |plan: &Plan| plan.candidates.iter().find(|it| it.label == label).cloned();
    let what = |planned: &Option<PlannedCandidate>| match planned {
        Some(planned) => format!(
            "`{}` of {} with {:?}",
            planned.kernel, planned.plugin, planned.pinned
        ),
        None => "none".to_owned(),
    };
    let (a, b) = (&first.plan, &model.plan);
    let work = |work: &Work| match work {
        Work::Problem { spec, .. } => format!("{} {:?}", spec.problem, spec.fields),
        Work::Objective { name, settings, .. } => format!("{name} {settings:?}"),
    };
    let pairs = [
        ("what is solved", work(&a.work), work(&b.work)),
        ("the candidate", what(&of(a)), what(&of(b))),
        ("the device", a.device.name.clone(), b.device.name.clone()),
        (
            "the ranked metric",
            format!("{} in {}", first.metric.name, first.metric.unit),
            format!("{} in {}", model.metric.name, model.metric.unit),
        ),
    ];
    match pairs.into_iter().find(|(_, here, there)| here != there) {
        None => Ok(()),
        Some((what, here, there)) => Err(format!(
            "{what} differs: {here} in {first_name}, {there} in {name}; times of one recording have \
             to be comparable"
        )),
    }
}

/// What a trial says of its configuration; nothing where it was not evaluated. One that repeats the
/// execution of another took what that took.
fn entry(model: &RunModel, trial: &Trial, unit_ms: f64) -> Option<Entry> {
    let evaluated = trial.evaluated.as_ref()?;
    if let Outcome::DuplicateOf { trial: earlier } = &evaluated.outcome {
        let original = model.trial(*earlier)?;
        if matches!(original.outcome(), Some(Outcome::DuplicateOf { .. })) {
            return None;
        }
        return entry(model, original, unit_ms);
    }
    let mut entry = Entry::default();
    match &evaluated.outcome {
        Outcome::Measured(measurement) => {
            let ranked = model.metric.of(measurement)?;
            entry.times.push(ranked.value * unit_ms);
            entry.deviation = deviation(&ranked.samples);
            for metric in &measurement.metrics {
                let ms = Some(metric.value * 1e3);
                match metric.name.as_str() {
                    "verify_seconds" => entry.verify_ms = ms,
                    "measure_seconds" => entry.bench_ms = ms,
                    name if name == ranked.name => {}
                    name => {
                        let unit = if metric.unit.is_empty() {
                            "1"
                        } else {
                            &metric.unit
                        };
                        entry
                            .figures
                            .insert(format!("{name} ({unit})"), metric.value);
                    }
                }
            }
        }
        other => entry.failure = Some(other.kind()),
    }
    if let Some(build) = &evaluated.build {
        let geometry = build.geometry(&model.plan.device.facts);
        let figures = build.figures.iter().chain(&geometry);
        entry.sources.insert(BUILD.to_owned(), by_name(figures));
    }
    let number = trial.number();
    let profiles = model.profiles.iter();
    for profiled in profiles.filter(|it| it.trial == Some(number) && it.failure.is_none()) {
        let figures = by_name(profiled.metrics.iter());
        entry.sources.insert(profiled.profiler.clone(), figures);
    }
    let known = entry.verify_ms.unwrap_or(0.0) + entry.bench_ms.unwrap_or(0.0);
    entry.framework_ms = Some((evaluated.wall_s * 1e3 - known).max(0.0));
    Some(entry)
}

fn by_name<'a>(figures: impl Iterator<Item = &'a Metric>) -> BTreeMap<String, f64> {
    figures.map(|it| (it.name.clone(), it.value)).collect()
}

/// The standard deviation of samples by their mean.
fn deviation(samples: &[f64]) -> Option<f64> {
    if samples.len() < 2 {
        return None;
    }
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt() / mean;
    deviation.is_finite().then_some(deviation)
}

/// Puts what another trial says of the same configuration to what is known. A time goes before a
/// failure: what has run once is no invalid configuration.
fn merge(known: &mut Entry, mut other: Entry) {
    for (source, figures) in std::mem::take(&mut other.sources) {
        known.sources.entry(source).or_insert(figures);
    }
    match (known.times.is_empty(), other.times.is_empty()) {
        (true, false) => {
            other.sources = std::mem::take(&mut known.sources);
            *known = other;
        }
        (false, false) => known.times.append(&mut other.times),
        _ => {}
    }
}

/// The parameters with the values that occur: numbers ascending, names in the order of the alphabet.
fn axes(configs: &[(Params, Entry)]) -> Axes {
    let names: BTreeSet<&String> = configs
        .iter()
        .flat_map(|(params, _)| params.keys())
        .collect();
    names
        .into_iter()
        .map(|name| {
            let mut values: Vec<Value> = Vec::new();
            for value in configs.iter().filter_map(|(params, _)| params.get(name)) {
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
            values.sort_by(|a, b| match (a.as_float(), b.as_float()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => a.to_string().cmp(&b.to_string()),
            });
            (name.clone(), values)
        })
        .collect()
}

/// As [`place`]; nothing where a value is none of those that occur.
fn exact_place(axes: &Axes, params: &Params) -> Option<u64> {
    let occurs = |(name, value): (&String, &Value)| {
        let axis = axes.iter().find(|(own, _)| own == name);
        axis.is_some_and(|(_, values)| values.contains(value))
    };
    params.iter().all(occurs).then(|| place(axes, params))
}

/// The index of a configuration in the product of all values, the first parameter slowest. A
/// parameter that it does not have counts as at its first value.
fn place(axes: &Axes, params: &Params) -> u64 {
    axes.iter().fold(0, |place, (name, values)| {
        let value = params.get(name);
        let digit = value.and_then(|value| values.iter().position(|own| own == value));
        place * values.len() as u64 + digit.unwrap_or(0) as u64
    })
}

/// The mean of several figures; nothing of none.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The format's number for what became of a configuration.
fn status(entry: &Entry) -> u8 {
    match entry.failure {
        _ if !entry.times.is_empty() => 0,
        Some(OutcomeKind::BuildFailed) => 1,
        Some(OutcomeKind::Rejected) => 3,
        Some(
            OutcomeKind::Crashed
            | OutcomeKind::TimedOut
            | OutcomeKind::WrongResult
            | OutcomeKind::OutOfMemory
            | OutcomeKind::Implausible,
        ) => 2,
        _ => 9,
    }
}

/// What is solved, as a recording names it.
fn described_work(model: &RunModel) -> String {
    let (name, fields) = model.work();
    format!("{name} {}", evo_types::format_params(fields))
}

fn document(
    (runs, earlier): (&[(String, RunModel)], &[Earlier]),
    label: &str,
    axes: &Axes,
    rows: &[(u64, Entry)],
) -> serde_json::Value {
    let plan = runs.first().map(|(_, model)| &model.plan);
    let device = plan.map(|plan| plan.device.name.clone());
    let work = runs.first().map(|(_, model)| described_work(model));
    let names = earlier.iter().flat_map(|it| &it.runs);
    let names: Vec<&String> = names
        .chain(runs.iter().map(|(_, model)| &model.header.run))
        .collect();
    let params: Vec<serde_json::Value> = axes
        .iter()
        .map(|(name, values)| json!({"name": name, "values": values}))
        .collect();
    let column = |of: &dyn Fn(&Entry) -> Option<f64>| -> Vec<Option<f64>> {
        rows.iter().map(|(_, entry)| of(entry)).collect()
    };
    // A figure that some of the measured configurations lack is none.
    let measured = || rows.iter().filter(|(_, entry)| !entry.times.is_empty());
    let mut figures: BTreeSet<&String> = measured()
        .flat_map(|(_, entry)| entry.figures.keys())
        .collect();
    figures.retain(|name| measured().all(|(_, entry)| entry.figures.contains_key(*name)));
    let mut document = Map::new();
    let mut put = |name: &str, value: serde_json::Value| document.insert(name.to_owned(), value);
    put("format", json!(FORMAT));
    put("id", json!(label));
    put("device", json!(device));
    put("problem", json!(work));
    put("runs", json!(names));
    put("params", json!(params));
    put("restrictions", json!([]));
    put("restrictions_exact", json!(false));
    put(
        "config",
        json!(rows.iter().map(|(place, _)| place).collect::<Vec<_>>()),
    );
    put("time", json!(column(&|entry| mean(&entry.times))));
    put(
        "status",
        json!(
            rows.iter()
                .map(|(_, entry)| status(entry))
                .collect::<Vec<_>>()
        ),
    );
    put("rel_std", json!(column(&|entry| entry.deviation)));
    put("verify", json!(column(&|entry| entry.verify_ms)));
    put("bench", json!(column(&|entry| entry.bench_ms)));
    put("framework", json!(column(&|entry| entry.framework_ms)));
    put("extra_columns", json!(figures));
    for name in figures {
        put(
            name,
            json!(column(&|entry| entry.figures.get(name).copied())),
        );
    }
    if let Some((_, model)) = runs.first() {
        put("origin", origin((runs, earlier), model, label, rows));
    }
    document.into()
}

/// Where the times came from, so that a study can search the same space and judge the same rules: the
/// space and what its expressions may name, the figures of builds and profilers, and their rules.
fn origin(
    (runs, earlier): (&[(String, RunModel)], &[Earlier]),
    model: &RunModel,
    label: &str,
    rows: &[(u64, Entry)],
) -> serde_json::Value {
    let mut candidates = model.plan.candidates.iter();
    let planned = candidates.find(|candidate| candidate.label == label);
    let problem = match &model.plan.work {
        Work::Problem { spec, .. } => {
            let mut all = spec.fields.clone();
            all.extend(spec.constants.clone());
            all
        }
        Work::Objective { .. } => Params::new(),
    };
    // Runs may have had different profilers. Those that are exported now know the rules best.
    let before = earlier.iter().flat_map(Earlier::rules);
    let now = runs.iter().flat_map(|(_, model)| &model.plan.rules);
    let rules: BTreeMap<&String, &String> = before.chain(now).collect();
    let sources: BTreeSet<&String> = rows
        .iter()
        .flat_map(|(_, row)| row.sources.keys())
        .collect();
    let figures = sources.into_iter().map(|source| {
        let of = |entry: &Entry, name: &String| entry.sources.get(source)?.get(name).copied();
        let names: BTreeSet<&String> = rows
            .iter()
            .filter_map(|(_, row)| row.sources.get(source))
            .flat_map(BTreeMap::keys)
            .collect();
        let columns = names.into_iter().map(|name| {
            let column: Vec<Option<f64>> = rows.iter().map(|(_, row)| of(row, name)).collect();
            (name.clone(), json!(column))
        });
        (source.clone(), columns.collect::<Map<_, _>>().into())
    });
    json!({
        "space": planned.and_then(|planned| planned.space.as_deref()),
        "problem": problem,
        "device": model.plan.device.facts,
        "pinned": planned.map(|planned| &planned.pinned),
        "rules": rules,
        "figures": figures.collect::<Map<String, serde_json::Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, Value)]) -> Params {
        let owned = pairs.iter();
        owned
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn timed(time: f64) -> Entry {
        Entry {
            times: vec![time],
            ..Entry::default()
        }
    }

    fn failed(kind: OutcomeKind) -> Entry {
        Entry {
            failure: Some(kind),
            ..Entry::default()
        }
    }

    #[test]
    fn places_are_row_major_and_what_is_inactive_counts_as_the_first_value() {
        let configs = [
            params(&[("B", 64.into()), ("A", "y".into())]),
            params(&[("B", 16.into()), ("A", "x".into()), ("C", true.into())]),
            params(&[("B", 128.into()), ("A", "y".into()), ("C", false.into())]),
        ];
        let configs = configs.map(|params| (params, timed(1.0)));
        let axes = axes(&configs);
        let names: Vec<(&str, usize)> = axes
            .iter()
            .map(|(name, values)| (name.as_str(), values.len()))
            .collect();
        assert_eq!(names, [("A", 2), ("B", 3), ("C", 2)]);
        assert_eq!(axes[1].1, [16, 64, 128].map(Value::from));
        let places = configs.each_ref().map(|(params, _)| place(&axes, params));
        assert_eq!(places, [6 + 2, 1, 6 + 4]);
    }

    #[test]
    fn a_time_goes_before_a_failure_and_times_are_averaged() {
        let mut known = failed(OutcomeKind::TimedOut);
        merge(&mut known, timed(3.0));
        merge(&mut known, failed(OutcomeKind::Crashed));
        merge(&mut known, timed(5.0));
        assert_eq!((mean(&known.times), status(&known)), (Some(4.0), 0));
        let statuses = [
            OutcomeKind::BuildFailed,
            OutcomeKind::WrongResult,
            OutcomeKind::Rejected,
        ];
        assert_eq!(statuses.map(|kind| status(&failed(kind))), [1, 2, 3]);
        assert_eq!(deviation(&[1.0]), None);
        assert_eq!(deviation(&[1.0, 3.0]), Some(std::f64::consts::SQRT_2 / 2.0));
    }
}
