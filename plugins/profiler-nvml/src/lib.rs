//! The profiler `nvml`: power, energy, clocks, temperature and throttling of a GPU under a series of
//! launches.
//!
//! Launches follow each other as fast as the host makes them, with the gaps between them: for a kernel of
//! a few microseconds that is far from a loaded device, and its energy is mostly that of the gaps. The
//! share of time that the kernel itself takes is not known here; compare `wall_time` with its time.

use std::time::{Duration, Instant};

use evo_plugin::{DeviceFacts, Direction, Error, Metric, Plugin, Profiler, ProfilerInfo, Runnable};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// What its figures mean.
const RULES: &str = include_str!("../rules.ron");

/// Seconds of launches before anything is read: sensors average over up to a second.
const WARM_UP: Duration = Duration::from_millis(1000);
/// Seconds of launches that are looked at.
const SERIES: Duration = Duration::from_millis(2000);
/// Between two looks at the sensors.
const PAUSE: Duration = Duration::from_millis(20);

struct Sensors;

impl Profiler for Sensors {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "nvml".to_owned(),
            doc: "Power, energy of a launch, clocks, temperature and throttling".to_owned(),
            devices: vec!["cuda".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    fn probe(&self, device: &DeviceFacts) -> Result<(), Error> {
        let nvml = open()?;
        let device = find(&nvml, device)?;
        device
            .power_usage()
            .map(|_| ())
            .map_err(|error| Error::Rejected(format!("this GPU does not tell its power: {error}")))
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let nvml = open()?;
        let device = find(&nvml, &runnable.request().device)?;
        let began = Instant::now();
        while began.elapsed() < WARM_UP {
            runnable.launch()?;
        }
        let energy = device.total_energy_consumption().ok();
        let began = Instant::now();
        let (mut launches, mut looks, mut next) = (0u32, Vec::new(), began);
        while launches == 0 || began.elapsed() < SERIES {
            runnable.launch()?;
            launches += 1;
            if Instant::now() >= next {
                looks.push(Look::at(&device));
                next = Instant::now() + PAUSE;
            }
        }
        let wall = began.elapsed();
        let spent = energy.and_then(|before| {
            let after = device.total_energy_consumption().ok()?;
            after.checked_sub(before)
        });
        let limits = Limits {
            power_w: device
                .enforced_power_limit()
                .ok()
                .map(|mw| f64::from(mw) / 1e3),
            sm_mhz: device.max_clock_info(Clock::SM).ok().map(f64::from),
        };
        Ok(metrics(launches, wall, spent, &looks, &limits))
    }
}

fn open() -> Result<Nvml, Error> {
    Nvml::init().map_err(|error| {
        Error::Rejected(format!(
            "NVML cannot be used: {error}; it comes with NVIDIA's driver (libnvidia-ml.so.1)"
        ))
    })
}

fn find<'n>(nvml: &'n Nvml, device: &DeviceFacts) -> Result<Device<'n>, Error> {
    nvml.device_by_uuid(device.uuid.as_str()).map_err(|error| {
        Error::Rejected(format!(
            "NVML does not know the GPU {} ({}): {error}",
            device.uuid, device.name
        ))
    })
}

/// What the sensors say at one moment; what one does not tell is left out.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    power_w: Option<f64>,
    sm_mhz: Option<f64>,
    memory_mhz: Option<f64>,
    celsius: Option<f64>,
    power_capped: Option<bool>,
    heat_slowed: Option<bool>,
}

impl Look {
    fn at(device: &Device<'_>) -> Self {
        let number = |value: Result<u32, NvmlError>| value.ok().map(f64::from);
        let reasons = device.current_throttle_reasons().ok();
        let heat = ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        Self {
            power_w: number(device.power_usage()).map(|mw| mw / 1e3),
            sm_mhz: number(device.clock_info(Clock::SM)),
            memory_mhz: number(device.clock_info(Clock::Memory)),
            celsius: number(device.temperature(TemperatureSensor::Gpu)),
            power_capped: reasons.map(|it| it.contains(ThrottleReasons::SW_POWER_CAP)),
            heat_slowed: reasons.map(|it| it.intersects(heat)),
        }
    }
}

/// What the device may do at most.
#[derive(Debug, Default)]
struct Limits {
    power_w: Option<f64>,
    sm_mhz: Option<f64>,
}

fn metrics(
    launches: u32,
    wall: Duration,
    energy_mj: Option<u64>,
    looks: &[Look],
    limits: &Limits,
) -> Vec<Metric> {
    let info = |name: &str, unit: &str, value: f64| Metric::new(name, unit, Direction::Info, value);
    let each = |total: f64| total / f64::from(launches.max(1));
    let mut metrics = vec![
        info("launches", "count", f64::from(launches)),
        info("wall_time", "us", each(wall.as_secs_f64() * 1e6)),
    ];
    let power = mean(looks.iter().map(|look| look.power_w));
    // The counter of energy is exact; without it, power times time.
    let joules = energy_mj
        .map(|mj| mj as f64 / 1e3)
        .filter(|joules| *joules > 0.0);
    let joules = joules.or_else(|| Some(power? * wall.as_secs_f64()));
    if let Some(joules) = joules {
        metrics.push(Metric::new(
            "energy",
            "mJ",
            Direction::Lower,
            each(joules * 1e3),
        ));
    }
    let mut add = |name: &str, unit: &str, value: Option<f64>| {
        metrics.extend(value.map(|value| info(name, unit, value)));
    };
    add("power", "W", power);
    add("power_limit", "W", limits.power_w);
    add(
        "sm_clock_mean",
        "MHz",
        mean(looks.iter().map(|look| look.sm_mhz)),
    );
    add("sm_clock_max", "MHz", limits.sm_mhz);
    add(
        "memory_clock",
        "MHz",
        mean(looks.iter().map(|look| look.memory_mhz)),
    );
    let hottest = looks.iter().filter_map(|look| look.celsius);
    add("temperature", "C", hottest.reduce(f64::max));
    let share = |of: fn(&Look) -> Option<bool>| {
        mean(
            looks
                .iter()
                .map(|look| Some(if of(look)? { 100.0 } else { 0.0 })),
        )
    };
    add("power_capped_share", "%", share(|look| look.power_capped));
    add("heat_slowed_share", "%", share(|look| look.heat_slowed));
    metrics
}

/// The mean of what is there.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values.flatten() {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

fn plugin() -> Plugin {
    Plugin::new(
        "profiler-nvml",
        env!("CARGO_PKG_VERSION"),
        "Power, energy and clocks of a GPU",
    )
    .profiler(Sensors)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &[Metric], name: &str) -> Option<f64> {
        metrics.iter().find(|it| it.name == name).map(|it| it.value)
    }

    fn look(power: f64, capped: bool) -> Look {
        Look {
            power_w: Some(power),
            sm_mhz: Some(1500.0),
            celsius: Some(power / 10.0),
            power_capped: Some(capped),
            ..Look::default()
        }
    }

    #[test]
    fn a_launch_has_its_share_of_the_energy() {
        let looks = [look(400.0, false), look(600.0, true)];
        let limits = Limits {
            power_w: Some(700.0),
            sm_mhz: None,
        };
        let metrics = metrics(1000, Duration::from_secs(2), Some(900_000), &looks, &limits);
        assert_eq!(value(&metrics, "energy"), Some(900.0));
        assert_eq!(value(&metrics, "wall_time"), Some(2000.0));
        assert_eq!(value(&metrics, "power"), Some(500.0));
        assert_eq!(value(&metrics, "temperature"), Some(60.0));
        assert_eq!(value(&metrics, "power_capped_share"), Some(50.0));
        // What no sensor tells is not there.
        assert_eq!(value(&metrics, "heat_slowed_share"), None);
        assert_eq!(value(&metrics, "sm_clock_max"), None);
    }

    #[test]
    fn without_a_counter_energy_is_power_times_time() {
        let looks = [look(500.0, false)];
        let with = |energy| {
            let second = Duration::from_secs(1);
            let metrics = metrics(500, second, energy, &looks, &Limits::default());
            value(&metrics, "energy")
        };
        assert_eq!(with(None), Some(1_000.0));
        assert_eq!(with(Some(0)), Some(1_000.0));
        let nothing = metrics(0, Duration::ZERO, None, &[], &Limits::default());
        assert_eq!(nothing.len(), 2);
        assert!(nothing.iter().all(Metric::is_finite));
    }

    #[test]
    fn where_there_is_no_driver_the_probe_says_what_is_missing() {
        let Err(error) = open() else {
            eprintln!("skipped: there is a driver");
            return;
        };
        assert!(error.to_string().contains("libnvidia-ml.so.1"), "{error}");
    }
}
