//! A profiler that launches a few times and counts.

use evo_plugin::{DeviceFacts, Direction, Error, Metric, Profiler, ProfilerInfo, Runnable};

pub(crate) struct Counter;

impl Profiler for Counter {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "counter".into(),
            doc: "Launches three times and counts".into(),
            devices: vec!["cpu".into()],
            rules: None,
        }
    }

    fn probe(&self, device: &DeviceFacts) -> Result<(), Error> {
        if device.kind == "cpu" {
            Ok(())
        } else {
            Err(Error::Rejected("the counter looks at CPUs only".into()))
        }
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let mut launches = 0.0;
        for _ in 0..3 {
            runnable.launch()?;
            launches += 1.0;
        }
        let bytes = runnable.artifact().bytes.len() as f64;
        let rows = runnable
            .request()
            .problem
            .fields
            .get("R")
            .and_then(|rows| rows.as_float());
        let speed = runnable.request().config.get("SPEED");
        if speed.and_then(|speed| speed.as_int()) == Some(7) {
            return Err(Error::Rejected("planned: counters may not be read".into()));
        }
        let metric = |name: &str, value| Metric::new(name, "count", Direction::Info, value);
        Ok(vec![
            metric("launches", launches),
            metric("artifact_bytes", bytes),
            metric("rows", rows.unwrap_or(0.0)),
        ])
    }
}
