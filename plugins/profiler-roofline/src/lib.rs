//! The profiler `roofline`: what the device does at most, measured once, and where a candidate stands
//! below that ([Williams, Waterman and Patterson, 2009](https://doi.org/10.1145/1498765.1498785)).
//!
//! The operations and bytes are those that the problem counts: what a kernel loads twice, or computes for
//! nothing, is no part of them.

mod cpu;
mod gpu;
mod peaks;

use std::time::Instant;

use evo_plugin::{
    DeviceFacts, Direction, Dtype, Error, Metric, Plugin, ProblemSpec, Profiler, ProfilerInfo,
    Runnable,
};

use crate::peaks::Peaks;

/// What its figures mean.
const RULES: &str = include_str!("../rules.ron");

/// Launches that are timed where the run has measured nothing.
const LAUNCHES: usize = 15;

struct Roofline;

impl Profiler for Roofline {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "roofline".to_owned(),
            doc: "The measured peaks of the device, and where a kernel stands below them"
                .to_owned(),
            devices: vec!["cpu".to_owned(), "cuda".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    fn probe(&self, device: &DeviceFacts) -> Result<(), Error> {
        match device.kind.as_str() {
            "cuda" => gpu::probe(),
            _ => Ok(()),
        }
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let peaks = peaks::of(&runnable.request().device)?;
        let seconds = match microseconds(runnable.measured()) {
            Some(time) => time * 1e-6,
            None => timed(runnable)?,
        };
        Ok(standing(&peaks, &runnable.request().problem, seconds))
    }
}

/// The time of a launch that the run has measured, in microseconds.
fn microseconds(measured: &[Metric]) -> Option<f64> {
    let time = measured.iter().find(|it| it.name == "kernel_time")?;
    let scale = match time.unit.as_str() {
        "ns" => 1e-3,
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(time.value * scale).filter(|time| *time > 0.0)
}

/// The median time of a launch with everything around it, in seconds.
fn timed(runnable: &mut dyn Runnable) -> Result<f64, Error> {
    runnable.launch()?;
    let mut times = Vec::with_capacity(LAUNCHES);
    for _ in 0..LAUNCHES {
        let start = Instant::now();
        runnable.launch()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(LAUNCHES / 2).copied().unwrap_or(f64::INFINITY))
}

/// The roof of arithmetic for a problem: that of the units for its narrowest input.
fn compute_roof(peaks: &Peaks, spec: &ProblemSpec) -> f64 {
    let types = spec.inputs().map(|tensor| tensor.dtype);
    let narrowest = types.min_by_key(|dtype| dtype.size());
    let tensor = match narrowest {
        Some(Dtype::F8E4m3) => peaks.tensor_8.or(peaks.tensor_16),
        Some(Dtype::F16 | Dtype::Bf16) => peaks.tensor_16,
        _ => None,
    };
    tensor.unwrap_or(peaks.vector)
}

/// Where a candidate stands that takes so long for the problem.
fn standing(peaks: &Peaks, spec: &ProblemSpec, seconds: f64) -> Vec<Metric> {
    let info = |name: &str, unit: &str, value: f64| Metric::new(name, unit, Direction::Info, value);
    let mut metrics = vec![
        info("peak_memory", "GB/s", peaks.memory * 1e-9),
        info("peak_vector", "TFLOP/s", peaks.vector * 1e-12),
    ];
    let more = [
        ("peak_cache", "GB/s", peaks.cache.map(|it| it * 1e-9)),
        (
            "peak_tensor_16",
            "TFLOP/s",
            peaks.tensor_16.map(|it| it * 1e-12),
        ),
        (
            "peak_tensor_8",
            "TFLOP/s",
            peaks.tensor_8.map(|it| it * 1e-12),
        ),
    ];
    let known = more.into_iter();
    metrics.extend(known.filter_map(|(name, unit, value)| Some(info(name, unit, value?))));
    metrics.push(info("kernel_time", "us", seconds * 1e6));
    metrics.push(info("bandwidth", "GB/s", spec.bytes / seconds * 1e-9));
    if spec.flops > 0.0 && spec.bytes > 0.0 {
        let compute = compute_roof(peaks, spec);
        let intensity = spec.flops / spec.bytes;
        let roof = compute.min(intensity * peaks.memory);
        let rate = spec.flops / seconds;
        metrics.extend([
            info("intensity", "FLOP/B", intensity),
            info("ridge", "FLOP/B", compute / peaks.memory),
            info("rate", "TFLOP/s", rate * 1e-12),
            info("roof_rate", "TFLOP/s", roof * 1e-12),
            info("roof_share", "%", 100.0 * rate / roof),
            info("roof_time", "us", spec.flops / roof * 1e6),
        ]);
    }
    metrics.retain(Metric::is_finite);
    metrics
}

fn plugin() -> Plugin {
    Plugin::new(
        "profiler-roofline",
        env!("CARGO_PKG_VERSION"),
        "Where a kernel stands below the measured peaks of its device",
    )
    .profiler(Roofline)
}

evo_plugin::export!(plugin);

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const PEAKS: Peaks = Peaks {
        memory: 3e12,
        cache: Some(6e12),
        vector: 50e12,
        tensor_16: Some(600e12),
        tensor_8: None,
    };

    fn spec(dtype: Dtype, flops: f64, bytes: f64) -> ProblemSpec {
        let tensor = serde_json::json!({
            "name": "x", "role": "input", "dtype": dtype, "shape": [8],
        });
        let spec = serde_json::json!({
            "problem": "p", "fields": {}, "tensors": [tensor], "constants": {}, "gates": [],
            "flops": flops, "bytes": bytes, "cache": "rotate", "extra_shapes": [],
            "distributions": [],
        });
        serde_json::from_value(spec).unwrap()
    }

    fn value(metrics: &[Metric], name: &str) -> Option<f64> {
        metrics.iter().find(|it| it.name == name).map(|it| it.value)
    }

    #[test]
    fn what_needs_few_operations_stands_under_the_roof_of_memory() {
        // 1 operation a byte: 3 TFLOP/s are possible, and half of that is reached.
        let metrics = standing(&PEAKS, &spec(Dtype::F16, 3e9, 3e9), 2e-3);
        assert_eq!(value(&metrics, "intensity"), Some(1.0));
        assert_eq!(value(&metrics, "ridge"), Some(200.0));
        assert!((value(&metrics, "roof_rate").unwrap() - 3.0).abs() < 1e-9);
        assert!((value(&metrics, "roof_share").unwrap() - 50.0).abs() < 1e-9);
        assert!((value(&metrics, "roof_time").unwrap() - 1000.0).abs() < 1e-6);
        assert!((value(&metrics, "bandwidth").unwrap() - 1500.0).abs() < 1e-9);
        assert_eq!(value(&metrics, "peak_tensor_8"), None);
    }

    #[test]
    fn what_needs_many_operations_stands_under_the_roof_of_its_units() {
        let roof = |dtype| {
            let metrics = standing(&PEAKS, &spec(dtype, 1e15, 1e9), 10.0);
            value(&metrics, "roof_rate").unwrap()
        };
        assert!((roof(Dtype::Bf16) - 600.0).abs() < 1e-9);
        assert!((roof(Dtype::F32) - 50.0).abs() < 1e-9);
        // Where no rate for bytes is known, that of halves is.
        assert!((roof(Dtype::F8E4m3) - 600.0).abs() < 1e-9);
    }

    #[test]
    fn times_are_read_in_their_units() {
        let time = |unit: &str, value: f64| {
            microseconds(&[Metric::new("kernel_time", unit, Direction::Lower, value)])
        };
        assert_eq!(time("ms", 2.0), Some(2000.0));
        assert_eq!(time("us", 2.0), Some(2.0));
        assert_eq!(time("furlong", 2.0), None);
        assert_eq!(time("us", 0.0), None);
        assert_eq!(microseconds(&[]), None);
    }
}
