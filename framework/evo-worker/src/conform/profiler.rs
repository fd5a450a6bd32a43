//! A profiler over a small function of the worker's own, so that it needs no kernel plugin.

use std::cell::Cell;
use std::rc::Rc;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{ROk, RString};
use evo_plugin::__private::host;
use evo_plugin::Error;
use evo_plugin::abi::{BoxedRunnable, RawArtifact, RawResult, RawRunnable, RawRunnable_TO};
use evo_types::{BuildRequest, Metric};
use evo_wire::{Breach, ComponentRef, ConformReport, Rule};

use super::report_of;
use crate::fault::Fault;
use crate::serve::Worker;

/// Values that one launch adds up: a few microseconds of work.
const VALUES: usize = 1 << 14;

/// The function: it adds numbers, and keeps what it found where the probe can see it.
struct Adder {
    values: Vec<f64>,
    launches: Rc<Cell<u64>>,
    wrong: Rc<Cell<bool>>,
    request: String,
}

impl RawRunnable for Adder {
    fn request(&self) -> RString {
        self.request.as_str().into()
    }

    fn artifact(&self) -> RawArtifact {
        RawArtifact {
            bytes: b"the worker's own function".to_vec().into(),
            document: r#"{"bytes":[],"log":"","resources":[],"launch":{}}"#.into(),
        }
    }

    fn launch(&mut self) -> RawResult<()> {
        let sum: f64 = std::hint::black_box(&self.values).iter().sum();
        if sum != VALUES as f64 {
            self.wrong.set(true);
        }
        self.launches.set(self.launches.get() + 1);
        ROk(())
    }
}

/// Asks whether it can work here, lets it look, and judges what it says.
///
/// # Errors
/// Where the plugin has no such profiler.
pub(super) fn probe(
    worker: &mut Worker,
    profiler: &ComponentRef,
    request: &BuildRequest,
) -> Result<ConformReport, Fault> {
    let plugin = worker.plugin(&profiler.plugin)?;
    let raw = host::result(plugin.raw.profiler(profiler.name.as_str().into()))
        .map_err(|error| Fault::refused(format!("the profiler `{}`: {error}", profiler.name)))?;
    let document = |text: Result<String, serde_json::Error>| {
        text.map_err(|error| Fault::internal(format!("a document cannot be written: {error}")))
    };
    let device = document(serde_json::to_string(&request.device))?;
    match host::result(raw.probe(device.as_str().into())) {
        Ok(()) => {}
        Err(Error::Rejected(reason)) => {
            return Ok(ConformReport {
                notes: vec![format!("it cannot work here: {reason}")],
                ..ConformReport::default()
            });
        }
        Err(error) => {
            return Ok(breach(
                Rule::ProfilerProbe,
                format!("the probe returned another error than a refusal with its reason: {error}"),
            ));
        }
    }
    let (launches, wrong) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let adder = Adder {
        values: vec![1.0; VALUES],
        launches: Rc::clone(&launches),
        wrong: Rc::clone(&wrong),
        request: document(serde_json::to_string(request))?,
    };
    let runnable: BoxedRunnable<'_> = RawRunnable_TO::from_value(adder, TD_Opaque);
    let answer = host::result(raw.profile(runnable));
    if wrong.get() {
        return Ok(breach(
            Rule::ProfilerLeavesAlone,
            "a launch under it computes something else".to_owned(),
        ));
    }
    Ok(judge(answer.map(|text| text.to_string()), launches.get()))
}

fn judge(answer: Result<String, Error>, launches: u64) -> ConformReport {
    let text = match answer {
        Ok(text) => text,
        Err(error) => {
            let message = format!("its probe promises that it works here, but: {error}");
            return breach(Rule::ProfilerProbe, message);
        }
    };
    let metrics: Vec<Metric> = match serde_json::from_str(&text) {
        Ok(metrics) => metrics,
        Err(error) => {
            let message = format!("its answer cannot be read: {error}");
            return breach(Rule::ProfilerMetrics, message);
        }
    };
    let odd = metrics
        .iter()
        .find(|metric| !metric.is_finite() || metric.name.is_empty());
    if let Some(metric) = odd {
        let message = format!(
            "the metric `{}` has no name or is no finite number",
            metric.name
        );
        return breach(Rule::ProfilerMetrics, message);
    }
    let mut names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        let name = pair.first().copied().unwrap_or_default();
        let message = format!("two metrics are called `{name}`");
        return breach(Rule::ProfilerMetrics, message);
    }
    let note = format!("{} metrics from {launches} launches", metrics.len());
    if metrics.is_empty() {
        return breach(Rule::ProfilerMetrics, "it returned no metric".to_owned());
    }
    ConformReport {
        notes: vec![note],
        ..ConformReport::default()
    }
}

fn breach(rule: Rule, message: String) -> ConformReport {
    report_of(Some(Breach { rule, message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_names_of_their_own_and_finite_values() {
        let metric = |name: &str| {
            format!(r#"{{"name":"{name}","unit":"us","direction":"lower","value":1.5}}"#)
        };
        let of = |text: String| judge(Ok(text), 3).breaches;
        assert!(of(format!("[{}]", metric("a"))).is_empty());
        assert!(
            of(format!("[{},{}]", metric("a"), metric("a")))[0]
                .message
                .contains("two")
        );
        assert_eq!(of("[]".into())[0].rule, Rule::ProfilerMetrics);
        assert_eq!(of("{}".into())[0].rule, Rule::ProfilerMetrics);
        let failed = judge(Err(Error::Failed("no".into())), 0);
        assert_eq!(failed.breaches[0].rule, Rule::ProfilerProbe);
    }
}
