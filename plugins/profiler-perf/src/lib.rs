//! The profiler `perf`: Linux performance counters of a CPU kernel's launches.
//!
//! Cycles, instructions, cache and branch misses where the processor's counters can be had, which
//! virtual machines seldom allow; CPU time, page faults, context switches and migrations everywhere.
//! What a machine does not count is left out.

mod counters;

use evo_plugin::{DeviceFacts, Direction, Error, Metric, Plugin, Profiler, ProfilerInfo, Runnable};
use perf_event::events::{Hardware, Software};

use crate::counters::{Count, Counted};

/// What its figures mean.
const RULES: &str = include_str!("../rules.ron");

/// Launches before anything is counted, so that threads exist and pages are touched.
const WARM_UP: u32 = 3;

struct Perf;

impl Profiler for Perf {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "perf".to_owned(),
            doc: "Performance counters: cycles, instructions, cache and branch misses, faults"
                .to_owned(),
            devices: vec!["cpu".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    fn probe(&self, _device: &DeviceFacts) -> Result<(), Error> {
        counters::probe()
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        for _ in 0..WARM_UP {
            runnable.launch()?;
        }
        let mut sheet = Sheet::default();
        for (name, count) in COUNTS {
            if let Some(counted) = count.over(runnable)? {
                sheet.0.push((name, counted));
            }
        }
        Ok(sheet.metrics())
    }
}

/// What is counted, under which name.
const COUNTS: [(&str, Count); 15] = [
    ("task_clock", Count::Software(Software::TASK_CLOCK)),
    (
        "page_faults_minor",
        Count::Software(Software::PAGE_FAULTS_MIN),
    ),
    (
        "page_faults_major",
        Count::Software(Software::PAGE_FAULTS_MAJ),
    ),
    (
        "context_switches",
        Count::Software(Software::CONTEXT_SWITCHES),
    ),
    ("cpu_migrations", Count::Software(Software::CPU_MIGRATIONS)),
    ("cycles", Count::Hardware(Hardware::CPU_CYCLES)),
    ("instructions", Count::Hardware(Hardware::INSTRUCTIONS)),
    (
        "cache_references",
        Count::Hardware(Hardware::CACHE_REFERENCES),
    ),
    ("cache_misses", Count::Hardware(Hardware::CACHE_MISSES)),
    ("branches", Count::Hardware(Hardware::BRANCH_INSTRUCTIONS)),
    ("branch_misses", Count::Hardware(Hardware::BRANCH_MISSES)),
    (
        "stalled_frontend",
        Count::Hardware(Hardware::STALLED_CYCLES_FRONTEND),
    ),
    (
        "stalled_backend",
        Count::Hardware(Hardware::STALLED_CYCLES_BACKEND),
    ),
    ("l1d_loads", Count::L1dLoads),
    ("l1d_misses", Count::L1dMisses),
];

/// What was counted, by name.
#[derive(Debug, Default)]
struct Sheet(Vec<(&'static str, Counted)>);

impl Sheet {
    fn get(&self, name: &str) -> Option<Counted> {
        self.0.iter().find(|it| it.0 == name).map(|it| it.1)
    }

    fn metrics(&self) -> Vec<Metric> {
        let info =
            |name: &str, unit: &str, value: f64| Metric::new(name, unit, Direction::Info, value);
        let mut metrics = Vec::new();
        for (name, counted) in &self.0 {
            if *name == "task_clock" {
                // Nanoseconds, of all threads.
                let cpu_us = counted.each / 1e3;
                metrics.push(Metric::new("cpu_time", "us", Direction::Lower, cpu_us));
                metrics.push(info("wall_time", "us", counted.wall_us));
                metrics.push(info("busy_cores", "", cpu_us / counted.wall_us));
            } else {
                metrics.push(info(name, "count", counted.each));
            }
        }
        let rate = |of: &str, among: &str| -> Option<f64> {
            let ratio = self.get(of)?.each / self.get(among)?.each;
            ratio.is_finite().then_some(ratio)
        };
        let percent =
            |name: &str, of: &str, among: &str| Some(info(name, "%", 100.0 * rate(of, among)?));
        metrics.extend(
            rate("instructions", "cycles").map(|ipc| info("instructions_per_cycle", "", ipc)),
        );
        metrics.extend(percent(
            "cache_miss_rate",
            "cache_misses",
            "cache_references",
        ));
        metrics.extend(percent("branch_miss_rate", "branch_misses", "branches"));
        metrics.extend(percent("l1d_miss_rate", "l1d_misses", "l1d_loads"));
        metrics.extend(percent(
            "stalled_frontend_share",
            "stalled_frontend",
            "cycles",
        ));
        metrics.extend(percent(
            "stalled_backend_share",
            "stalled_backend",
            "cycles",
        ));
        let hardware = self.get("cycles").is_some() || self.get("instructions").is_some();
        metrics.push(info("hardware_counters", "", f64::from(u8::from(hardware))));
        metrics
    }
}

fn plugin() -> Plugin {
    Plugin::new(
        "profiler-perf",
        env!("CARGO_PKG_VERSION"),
        "Linux performance counters of a CPU kernel",
    )
    .profiler(Perf)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use evo_plugin::{Artifact, BuildRequest};

    use super::*;

    #[derive(Default)]
    struct Spinner(BuildRequest, Artifact);

    impl Runnable for Spinner {
        fn request(&self) -> &BuildRequest {
            &self.0
        }
        fn artifact(&self) -> &Artifact {
            &self.1
        }
        fn launch(&mut self) -> Result<(), Error> {
            let began = Instant::now();
            while began.elapsed().as_micros() < 2000 {
                std::hint::spin_loop();
            }
            Ok(())
        }
    }

    fn value(metrics: &[Metric], name: &str) -> Option<f64> {
        metrics.iter().find(|it| it.name == name).map(|it| it.value)
    }

    #[test]
    fn a_spinning_launch_is_charged_cpu_time_where_there_are_counters() {
        if let Err(error) = counters::probe() {
            eprintln!("skipped: {error}");
            let told = error.to_string();
            assert!(told.contains("perf_event"), "{told}");
            return;
        }
        let metrics = Perf.profile(&mut Spinner::default()).unwrap();
        assert!(value(&metrics, "cpu_time").unwrap() > 100.0);
        assert!(value(&metrics, "wall_time").unwrap() >= 2000.0);
        assert!(value(&metrics, "busy_cores").unwrap() > 0.0);
        assert!(metrics.iter().all(Metric::is_finite));
        // What is derived is there exactly where its parts are.
        let both = value(&metrics, "cycles").is_some() && value(&metrics, "instructions").is_some();
        assert_eq!(value(&metrics, "instructions_per_cycle").is_some(), both);
    }

    #[test]
    fn rates_are_of_what_was_counted() {
        let counted = |each| Counted {
            each,
            wall_us: 10.0,
        };
        let sheet = Sheet(vec![
            ("task_clock", counted(20_000.0)),
            ("cycles", counted(100.0)),
            ("instructions", counted(150.0)),
            ("cache_references", counted(40.0)),
            ("cache_misses", counted(10.0)),
            ("branches", counted(0.0)),
            ("branch_misses", counted(0.0)),
        ]);
        let metrics = sheet.metrics();
        assert_eq!(value(&metrics, "busy_cores"), Some(2.0));
        assert_eq!(value(&metrics, "instructions_per_cycle"), Some(1.5));
        assert_eq!(value(&metrics, "cache_miss_rate"), Some(25.0));
        // Nothing was counted that it could be a share of.
        assert_eq!(value(&metrics, "branch_miss_rate"), None);
        assert_eq!(value(&metrics, "l1d_miss_rate"), None);
        assert_eq!(value(&metrics, "hardware_counters"), Some(1.0));
    }
}
