//! Objectives: what turns a configuration into metrics without being a kernel.

use std::collections::BTreeMap;
use std::time::Instant;

use evo_plugin::__private::host;
use evo_plugin::Error;
use evo_plugin::abi::BoxedObjective;
use evo_types::{Measurement, Metric, Outcome, Params, Phase};
use evo_wire::{ComponentRef, Reply};
use serde::Deserialize;

use crate::fault::{Fault, outcome_of};
use crate::serve::{Reporter, Worker};

/// Opened objectives, by component and settings.
#[derive(Default)]
pub(crate) struct Objectives {
    open: BTreeMap<(ComponentRef, String), Opened>,
}

struct Opened {
    raw: BoxedObjective,
    /// The metric to rank by.
    metric: String,
}

#[derive(Deserialize)]
struct Evaluation {
    metrics: Vec<Metric>,
    #[serde(default)]
    cost_s: Option<f64>,
}

/// Opens an objective, and says which space it has.
///
/// # Errors
/// Where it refuses its settings.
pub(crate) fn open(
    worker: &mut Worker,
    objective: &ComponentRef,
    settings: &Params,
) -> Result<Option<String>, Fault> {
    let opened = opened(worker, objective, settings)?;
    let space = host::result(opened.raw.space()).map_err(|error| refused(objective, error))?;
    Ok((!space.is_empty()).then(|| space.to_string()))
}

fn refused(objective: &ComponentRef, error: Error) -> Fault {
    Fault::refused(format!("the objective `{}`: {error}", objective.name))
}

fn opened<'a>(
    worker: &'a mut Worker,
    objective: &ComponentRef,
    settings: &Params,
) -> Result<&'a mut Opened, Fault> {
    let settings = serde_json::to_string(settings)
        .map_err(|error| Fault::internal(format!("settings cannot be written: {error}")))?;
    let key = (objective.clone(), settings);
    if !worker.objectives.open.contains_key(&key) {
        let plugin = worker.plugin(&objective.plugin)?;
        let name = objective.name.as_str();
        let raw = plugin.raw.objective(name.into(), key.1.as_str().into());
        let raw = host::result(raw).map_err(|error| refused(objective, error))?;
        let info = plugin.info.objectives.iter().find(|info| info.name == name);
        let metric = info.map(|info| info.metric.clone()).ok_or_else(|| {
            Fault::refused(format!(
                "the plugin does not describe the objective `{name}`"
            ))
        })?;
        worker
            .objectives
            .open
            .insert(key.clone(), Opened { raw, metric });
    }
    worker
        .objectives
        .open
        .get_mut(&key)
        .ok_or_else(|| Fault::internal("an opened objective is missing"))
}

/// Evaluates one configuration.
///
/// # Errors
/// What broke; what the objective says of the configuration is in the reply.
pub(crate) fn evaluate(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    objective: &ComponentRef,
    settings: &Params,
    config: &Params,
) -> Result<Reply, Fault> {
    reporter.phase(Phase::Evaluate)?;
    let config = serde_json::to_string(config)
        .map_err(|error| Fault::internal(format!("a configuration cannot be written: {error}")))?;
    let opened = opened(worker, objective, settings)?;
    let start = Instant::now();
    let answer = host::result(opened.raw.evaluate(config.as_str().into()));
    let seconds = start.elapsed().as_secs_f64();
    let evaluation = answer.and_then(|text| {
        serde_json::from_str::<Evaluation>(&text)
            .map_err(|error| Error::Failed(format!("its answer cannot be read: {error}")))
    });
    let (outcome, cost_s) = match evaluation {
        Ok(evaluation) => {
            let cost_s = evaluation.cost_s;
            let metric = opened.metric.clone();
            (judge(evaluation, &metric), cost_s)
        }
        Err(error) => {
            let (error, cost_s) = error.apart();
            (outcome_of(error, Phase::Evaluate), cost_s)
        }
    };
    let cost_s = cost_s.filter(|cost_s| cost_s.is_finite() && *cost_s >= 0.0);
    Ok(Reply::Outcome {
        outcome: Box::new(outcome),
        device_seconds: cost_s.unwrap_or(seconds),
        charged: cost_s.is_some(),
        spent: false,
    })
}

/// A measurement if the metrics make sense, the ranked one moved to the front.
fn judge(evaluation: Evaluation, metric: &str) -> Outcome {
    let mut metrics = evaluation.metrics;
    if let Some(bad) = metrics.iter().find(|metric| !metric.is_finite()) {
        return Outcome::Implausible {
            message: format!(
                "the metric `{}` is {}, which is no finite number",
                bad.name, bad.value
            ),
        };
    }
    if let Some(cost) = evaluation
        .cost_s
        .filter(|cost| !cost.is_finite() || *cost < 0.0)
    {
        return Outcome::Implausible {
            message: format!("the recorded cost is {cost} s, which is no duration"),
        };
    }
    let Some(place) = metrics.iter().position(|other| other.name == metric) else {
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        return Outcome::Implausible {
            message: format!(
                "the objective returned no metric `{metric}`, which it is ranked by; it \
                 returned: {}",
                names.join(", ")
            ),
        };
    };
    metrics[..=place].rotate_right(1);
    Outcome::Measured(Measurement {
        metrics,
        error: None,
        execution: None,
        recheck_seed: None,
        raced_out: false,
        converged: true,
    })
}

#[cfg(test)]
mod tests {
    use evo_types::Direction;

    use super::*;

    fn metric(name: &str, value: f64) -> Metric {
        Metric::new(name, "", Direction::Lower, value)
    }

    #[test]
    fn the_ranked_metric_comes_first_and_must_be_there_and_finite() {
        let of = |metrics, cost_s| judge(Evaluation { metrics, cost_s }, "time");
        let three = vec![metric("a", 1.0), metric("b", 2.0), metric("time", 3.0)];
        let Outcome::Measured(measured) = of(three, None) else {
            unreachable!("all is well with it");
        };
        let names: Vec<&str> = measured.metrics.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["time", "a", "b"]);

        assert_eq!(
            of(vec![metric("a", 1.0)], None).summary(),
            "implausible: the objective returned no metric `time`, which it is ranked by; it \
             returned: a"
        );
        assert!(matches!(
            of(vec![metric("time", f64::NAN)], None),
            Outcome::Implausible { .. }
        ));
        assert!(matches!(
            of(vec![metric("time", 1.0)], Some(-1.0)),
            Outcome::Implausible { .. }
        ));
    }
}
