//! A profiler of one's own: how much the launches of a kernel vary, and how long the first takes.
use std::time::Instant;

use evo_plugin::{DeviceFacts, Direction, Error, Metric, Plugin, Profiler, ProfilerInfo, Runnable};

/// Launches that are timed one by one.
const LAUNCHES: usize = 300;

/// What the figures mean; a space file may add what to do about it.
const RULES: &str = r#"(
    rules: [
        (
            id: "long_tail",
            when: "tail > 2",
            says: "one launch in a hundred takes {tail} times as long as the median or longer",
            severity: "min(1.0, tail / 10.0)",
        ),
    ],
)"#;

struct Jitter;

impl Profiler for Jitter {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "jitter".to_owned(),
            doc: "The spread of single launches: quantiles, and how many are far off".to_owned(),
            devices: vec!["cpu".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    /// A clock that cannot tell launches apart would only report itself.
    fn probe(&self, _: &DeviceFacts) -> Result<(), Error> {
        let step = (0..100).map(|_| Instant::now().elapsed().as_nanos()).max();
        if step.is_some_and(|step| step > 100_000) {
            return Err(Error::Rejected(
                "this clock has steps of over 0.1 ms".to_owned(),
            ));
        }
        Ok(())
    }

    /// A pass of its own: nothing that is measured here is ever ranked.
    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let mut micros = Vec::with_capacity(LAUNCHES);
        for _ in 0..LAUNCHES {
            let began = Instant::now();
            runnable.launch()?;
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok(metrics(&micros))
    }
}

fn metrics(micros: &[f64]) -> Vec<Metric> {
    let mut sorted = micros.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(place).copied().unwrap_or_default()
    };
    let (median, tail) = (quantile(0.5), quantile(0.99));
    let slow = micros.iter().filter(|time| **time > 2.0 * median).count();
    let first = micros.first().copied().unwrap_or_default();
    let lower = |name: &str, unit, value| Metric::new(name, unit, Direction::Lower, value);
    vec![
        Metric::new("launch_p50", "us", Direction::Info, median),
        lower("launch_p99", "us", tail),
        lower("tail", "", tail / median.max(f64::MIN_POSITIVE)),
        lower("slow_launches", "count", slow as f64),
        lower("first_launch", "us", first),
    ]
}

fn plugin() -> Plugin {
    Plugin::new("jitter", "1.0.0", "How much launches vary").profiler(Jitter)
}
evo_plugin::export!(plugin);
