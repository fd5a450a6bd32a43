//! The energy of a launch: a counter of the device, read while launches follow each other.
//!
//! Counters advance in steps, of some milliseconds on a CPU and up to a tenth of a second on a GPU, and
//! reading one can take as long. So a thread of its own looks at the counter all the time and notes its
//! steps, while this one launches; the energy of a launch is the power between two steps times the time
//! that a launch takes in the series. What the device takes when it is idle is part of the figure: it
//! is what the launch costs there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evo_cuda::Watch;
use evo_stats::Summary;
use evo_types::{Direction, Metric};

use crate::fault::Fault;
use crate::lane::Lane;
use crate::site::Site;
use crate::timing::of_stats;

/// Parts of the series, each of which is a sample, where the counter has enough steps.
const PARTS: usize = 5;

/// How many times as long as wanted a series lasts at most, where the counter advances rarely.
const PATIENCE: f64 = 5.0;

/// Seconds that a series may take in any case: counters need some.
const LEAST_PATIENCE: f64 = 2.0;

/// Between two looks at the counter.
const PAUSE: Duration = Duration::from_millis(1);

/// Where the kernel tells the counters of processor packages.
const POWERCAP: &str = "/sys/class/powercap";

/// What tells the joules that a device has taken.
#[derive(Debug, Clone)]
enum Source {
    /// NVML, for the GPU of this UUID.
    Gpu(String),
    Packages(Vec<Package>),
}

/// A processor package. Its counter begins again at 0 behind its greatest value.
#[derive(Debug, Clone, PartialEq)]
struct Package {
    counter: PathBuf,
    greatest_uj: f64,
}

/// A source that is open; it stays in its thread.
enum Counter {
    Gpu(Watch),
    Packages(Vec<Package>),
}

impl Source {
    /// What tells the energy of what a site runs on.
    ///
    /// # Errors
    /// Why there is nothing, and what to do.
    fn of(site: &Site) -> Result<Self, String> {
        let Some(gpu) = site.gpu() else {
            return packages(Path::new(POWERCAP)).map(Self::Packages);
        };
        let source = Self::Gpu(gpu.facts().uuid);
        let told = source.open().and_then(|counter| counter.read());
        told.map(|_| source).map_err(|why| {
            format!("this GPU does not tell its energy ({why}); rank by another metric, and leave `energy_seconds` out")
        })
    }

    fn open(&self) -> Result<Counter, String> {
        match self {
            Self::Gpu(uuid) => Watch::of(uuid).map(Counter::Gpu),
            Self::Packages(packages) => Ok(Counter::Packages(packages.clone())),
        }
    }
}

impl Counter {
    /// The joules so far, of each part that counts on its own.
    fn read(&self) -> Result<Vec<f64>, String> {
        match self {
            Self::Gpu(watch) => watch.energy_j().map(|joules| vec![joules]),
            Self::Packages(packages) => packages.iter().map(|it| joules(&it.counter)).collect(),
        }
    }

    /// The joules between two readings.
    fn between(&self, before: &[f64], after: &[f64]) -> f64 {
        let pairs = before.iter().zip(after).enumerate();
        pairs
            .map(|(place, (before, after))| {
                let more = after - before;
                match self {
                    Self::Packages(packages) if more < 0.0 => {
                        let greatest = packages.get(place).map_or(0.0, |it| it.greatest_uj);
                        more + greatest * 1e-6
                    }
                    _ => more,
                }
            })
            .sum()
    }
}

fn joules(counter: &Path) -> Result<f64, String> {
    let text =
        fs::read_to_string(counter).map_err(|error| format!("{}: {error}", counter.display()))?;
    let micro = text.trim().parse::<f64>();
    micro
        .map(|micro| micro * 1e-6)
        .map_err(|error| format!("{}: {error}", counter.display()))
}

/// The processor packages that tell their energy.
/// Whether the energy of the CPU can be told.
///
/// # Errors
/// Why not, and what to do.
pub(crate) fn of_cpu() -> Result<String, String> {
    let packages = packages(Path::new(POWERCAP))?;
    Ok(format!("RAPL of {} packages", packages.len()))
}

fn packages(folder: &Path) -> Result<Vec<Package>, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let zone = entry.path();
        let read = |name: &str| fs::read_to_string(zone.join(name)).unwrap_or_default();
        // Cores and memory have zones of their own, of which the first are part of a package.
        if !read("name").trim().starts_with("package-") {
            continue;
        }
        let counter = zone.join("energy_uj");
        joules(&counter).map_err(|why| {
            format!("the energy of this CPU cannot be read ({why}): run as root, or rank by another metric, and leave `energy_seconds` out")
        })?;
        let greatest = read("max_energy_range_uj");
        found.push(Package {
            counter,
            greatest_uj: greatest.trim().parse().unwrap_or(0.0),
        });
    }
    if found.is_empty() {
        return Err(format!(
            "this CPU tells no energy (no package in {}: the kernel or the virtual machine has no RAPL); \
             rank by another metric, and leave `energy_seconds` out",
            folder.display()
        ));
    }
    found.sort_by(|a, b| a.counter.cmp(&b.counter));
    Ok(found)
}

/// A step of the counter: when it was seen, and the joules since the first one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    at_s: f64,
    joules: f64,
}

/// Notes the steps of a counter until it is told to stop.
///
/// # Errors
/// Where the counter cannot be read.
fn watch(source: &Source, start: Instant, stop: &AtomicBool) -> Result<Vec<Step>, String> {
    let counter = source.open()?;
    let mut before = counter.read()?;
    let (mut steps, mut sum): (Vec<Step>, f64) = (Vec::new(), 0.0);
    while !stop.load(Ordering::Relaxed) {
        let now = counter.read()?;
        if now != before {
            // What came before the first step is of an unknown time.
            if !steps.is_empty() {
                sum += counter.between(&before, &now);
            }
            let at_s = start.elapsed().as_secs_f64();
            steps.push(Step { at_s, joules: sum });
            before = now;
        }
        thread::sleep(PAUSE);
    }
    Ok(steps)
}

/// The powers in watts over equal parts of the steps, or over all of them where there are few.
fn powers(steps: &[Step]) -> Vec<f64> {
    let intervals = steps.len().saturating_sub(1);
    let parts = if intervals >= 2 * PARTS {
        PARTS
    } else {
        intervals.min(1)
    };
    let power = |part: usize| {
        let first = steps.get(part * intervals / parts)?;
        let last = steps.get((part + 1) * intervals / parts)?;
        let seconds = last.at_s - first.at_s;
        (seconds > 0.0).then(|| (last.joules - first.joules) / seconds)
    };
    (0..parts).filter_map(power).collect()
}

/// The energy of a launch in millijoules, with its samples, over a series of about so many seconds.
/// `launches` are those of one batch.
///
/// # Errors
/// The outcome of a launch that failed; where the device tells no energy, what to do.
pub(crate) fn of_launch(lane: &mut Lane, launches: u32, seconds: f64) -> Result<Metric, Fault> {
    let source = Source::of(&lane.site()).map_err(Fault::refused)?;
    let most = (seconds * PATIENCE).max(LEAST_PATIENCE);
    let mut wanted = seconds;
    loop {
        let (steps, launch_s) = series(lane, &source, launches, wanted)?;
        let powers = powers(&steps);
        if !powers.is_empty() {
            let samples: Vec<f64> = powers.iter().map(|power| 1e3 * power * launch_s).collect();
            return metric(samples);
        }
        if wanted >= most {
            return Err(Fault::refused(format!(
                "the device's counter of energy did not advance twice within {most:.1} s of launches; rank \
                 by another metric"
            )));
        }
        wanted = most;
    }
}

/// Launches for so many seconds; returns the steps of the counter meanwhile, and the seconds that a
/// launch took.
fn series(
    lane: &mut Lane,
    source: &Source,
    launches: u32,
    seconds: f64,
) -> Result<(Vec<Step>, f64), Fault> {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch(source, start, &stop));
        let mut done = 0.0;
        let mut launched = Ok(());
        while start.elapsed().as_secs_f64() < seconds {
            if let Err(fault) = lane.time(launches) {
                launched = Err(fault);
                break;
            }
            done += f64::from(launches);
        }
        let launch_s = start.elapsed().as_secs_f64() / done;
        stop.store(true, Ordering::Relaxed);
        let steps = watching
            .join()
            .unwrap_or_else(|_| Err("the thread that reads the counter broke".to_owned()));
        launched?;
        Ok((steps.map_err(Fault::refused)?, launch_s))
    })
}

fn metric(samples: Vec<f64>) -> Result<Metric, Fault> {
    let summary = Summary::of(&samples).map_err(of_stats)?;
    let mut metric = Metric::new("energy", "mJ", Direction::Lower, summary.p50);
    metric.ci_low = summary.median_ci.map(|interval| interval.low);
    metric.ci_high = summary.median_ci.map(|interval| interval.high);
    metric.samples = samples;
    Ok(metric)
}

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A counter of so many watts that advances every `step_s`.
    fn steps(watts: f64, step_s: f64, count: u32) -> Vec<Step> {
        let step = |place: u32| Step {
            at_s: 0.3 + f64::from(place) * step_s,
            joules: watts * f64::from(place) * step_s,
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn the_power_is_that_between_steps_of_the_counter() {
        let many = powers(&steps(400.0, 0.02, 30));
        assert_eq!(many.len(), PARTS);
        assert!(
            many.iter().all(|power| (power - 400.0).abs() < 1e-9),
            "{many:?}"
        );
        // Too few steps for parts: all of them together.
        let few = powers(&steps(400.0, 0.1, 4));
        assert!(few.len() == 1 && (few[0] - 400.0).abs() < 1e-9, "{few:?}");
        // One step alone says nothing.
        assert!(powers(&steps(400.0, 0.1, 1)).is_empty());
        assert!(powers(&[]).is_empty());
    }

    #[test]
    fn the_counter_is_watched_until_the_series_ends() {
        let folder = TempDir::new().unwrap();
        let counter = folder.path().join("energy_uj");
        fs::write(&counter, "0").unwrap();
        let source = Source::Packages(vec![Package {
            counter: counter.clone(),
            greatest_uj: 1e9,
        }]);
        let stop = AtomicBool::new(false);
        let steps = thread::scope(|scope| {
            let watching = scope.spawn(|| watch(&source, Instant::now(), &stop));
            for joules in 1..=4 {
                thread::sleep(Duration::from_millis(60));
                // In one step, as the kernel's file changes.
                let new = folder.path().join("new");
                fs::write(&new, format!("{}", joules * 1_000_000)).unwrap();
                fs::rename(&new, &counter).unwrap();
            }
            thread::sleep(Duration::from_millis(60));
            stop.store(true, Ordering::Relaxed);
            watching.join().unwrap().unwrap()
        });
        let joules: Vec<f64> = steps.iter().map(|step| step.joules).collect();
        assert_eq!(joules, [0.0, 1.0, 2.0, 3.0]);
        assert!(steps.is_sorted_by(|a, b| a.at_s < b.at_s));
    }

    fn zone(folder: &TempDir, zone: &str, files: &[(&str, &str)]) {
        let zone = folder.path().join(zone);
        fs::create_dir(&zone).unwrap();
        for (name, text) in files {
            fs::write(zone.join(name), text).unwrap();
        }
    }

    #[test]
    fn packages_are_counted_once_and_over_the_end_of_their_counters() {
        let folder = TempDir::new().unwrap();
        let name = |name| ("name", name);
        let range = ("max_energy_range_uj", "10000000\n");
        zone(
            &folder,
            "intel-rapl:0",
            &[name("package-0\n"), ("energy_uj", "9000000\n"), range],
        );
        zone(
            &folder,
            "intel-rapl:0:0",
            &[name("core\n"), ("energy_uj", "5\n"), range],
        );
        zone(
            &folder,
            "intel-rapl:1",
            &[name("package-1\n"), ("energy_uj", "1000000\n"), range],
        );
        let counter = Counter::Packages(packages(folder.path()).unwrap());
        let before = counter.read().unwrap();
        assert_eq!(before, [9.0, 1.0]);
        fs::write(folder.path().join("intel-rapl:0/energy_uj"), "500000").unwrap();
        fs::write(folder.path().join("intel-rapl:1/energy_uj"), "3000000").unwrap();
        let after = counter.read().unwrap();
        assert!((counter.between(&before, &after) - 3.5).abs() < 1e-9);
    }

    #[test]
    fn a_cpu_that_tells_nothing_is_told_with_what_to_do() {
        let folder = TempDir::new().unwrap();
        let error = packages(folder.path()).unwrap_err();
        assert!(error.contains("rank by another metric"), "{error}");
        zone(
            &folder,
            "intel-rapl:0",
            &[("name", "package-0"), ("energy_uj", "secret")],
        );
        let error = packages(folder.path()).unwrap_err();
        assert!(error.contains("run as root"), "{error}");
    }
}
