//! The profiler `usage`: what the operating system charges a CPU kernel for its launches.
//!
//! Reads the kernel's accounting of this process's threads (`/proc/self/task/*/schedstat`,
//! `status` and `/proc/self/stat`) before and after a series of launches. It needs no permission
//! and no hardware counter, so it works wherever Linux does.

mod accounts;

use std::time::Instant;

use evo_plugin::{DeviceFacts, Direction, Error, Metric, Plugin, Profiler, ProfilerInfo, Runnable};

use crate::accounts::Accounts;

/// Launches before the accounts are opened, so that threads exist and pages are touched.
const WARM_UP: u32 = 3;
/// Seconds of launches that are charged.
const SECONDS: f64 = 0.5;

/// What its figures mean.
const RULES: &str = include_str!("../rules.ron");

struct Usage;

impl Profiler for Usage {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "usage".to_owned(),
            doc: "CPU time, busy cores, page faults and context switches per launch".to_owned(),
            devices: vec!["cpu".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    fn probe(&self, _device: &DeviceFacts) -> Result<(), Error> {
        Accounts::read().map(|_| ())
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        for _ in 0..WARM_UP {
            runnable.launch()?;
        }
        let before = Accounts::read()?;
        let began = Instant::now();
        let mut launches = 0u32;
        while launches == 0 || began.elapsed().as_secs_f64() < SECONDS {
            runnable.launch()?;
            launches += 1;
        }
        let wall_ns = began.elapsed().as_nanos() as f64;
        let spent = Accounts::read()?.since(&before);
        let each = |total: f64| total / f64::from(launches);
        let info =
            |name: &str, unit: &str, value: f64| Metric::new(name, unit, Direction::Info, value);
        Ok(vec![
            Metric::new("cpu_time", "us", Direction::Lower, each(spent.run_ns) / 1e3),
            info("wall_time", "us", each(wall_ns) / 1e3),
            info("busy_cores", "", spent.run_ns / wall_ns),
            Metric::new(
                "runnable_wait",
                "us",
                Direction::Lower,
                each(spent.wait_ns) / 1e3,
            ),
            info("page_faults_minor", "count", each(spent.minor_faults)),
            info("page_faults_major", "count", each(spent.major_faults)),
            info("switches_voluntary", "count", each(spent.voluntary)),
            info("switches_involuntary", "count", each(spent.involuntary)),
            info("launches", "count", f64::from(launches)),
        ])
    }
}

fn plugin() -> Plugin {
    Plugin::new(
        "profiler-usage",
        env!("CARGO_PKG_VERSION"),
        "What the operating system charges a CPU kernel",
    )
    .profiler(Usage)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_spinning_launch_is_charged_about_its_own_time() {
        let metrics = Usage.profile(&mut Spinner::default()).unwrap();
        let value = |name: &str| {
            metrics
                .iter()
                .find(|metric| metric.name == name)
                .unwrap()
                .value
        };
        // The spinning thread cannot have run for longer than the wall says, and it did run.
        assert!(value("cpu_time") > 0.0);
        assert!(value("busy_cores") > 0.0);
        assert!(value("wall_time") >= 2000.0);
        assert!(value("launches") >= 1.0);
    }
}
