//! The energy of a launch: a counter of the device, read around a sustained series of launches.
//!
//! Counters advance in steps, of some milliseconds on a CPU and up to a tenth of a second on a GPU, so that
//! a part of the series lasts from one step to another. What the device takes when it is idle is part
//! of the figure: it is what the launch costs there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use evo_stats::Summary;
use evo_types::{Direction, Metric};

use crate::fault::Fault;
use crate::gpu::Gpu;
use crate::lane::Lane;
use crate::site::Site;
use crate::timing::of_stats;

/// Parts of the series, each of which is a sample.
const PARTS: usize = 5;

/// How many times as long as wanted a series lasts at most, where the counter advances rarely.
const PATIENCE: f64 = 5.0;

/// Seconds that a series may take in any case: counters need some.
const LEAST_PATIENCE: f64 = 2.0;

/// Where the kernel tells the counters of processor packages.
const POWERCAP: &str = "/sys/class/powercap";

/// A counter of the joules that a device has taken.
enum Counter {
    Gpu(Arc<Gpu>),
    Packages(Vec<Package>),
}

/// A processor package. Its counter begins again at 0 behind its greatest value.
#[derive(Debug, PartialEq)]
struct Package {
    counter: PathBuf,
    greatest_uj: f64,
}

impl Counter {
    /// The counter of what a site runs on.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    fn of(site: &Site) -> Result<Self, String> {
        match site.gpu() {
            Some(gpu) => {
                let counter = Self::Gpu(Arc::clone(gpu));
                counter.read().map(|_| counter).map_err(|why| {
                    format!("this GPU does not tell its energy ({why}); rank by another metric")
                })
            }
            None => packages(Path::new(POWERCAP)).map(Self::Packages),
        }
    }

    /// The joules so far, of each part that counts on its own.
    fn read(&self) -> Result<Vec<f64>, String> {
        match self {
            Self::Gpu(gpu) => gpu.energy_j().map(|joules| vec![joules]),
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
            format!("the energy of this CPU cannot be read ({why}): run as root, or rank by another metric")
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
             rank by another metric",
            folder.display()
        ));
    }
    found.sort_by(|a, b| a.counter.cmp(&b.counter));
    Ok(found)
}

/// The energy of a launch in millijoules, with its samples, over a series of about so many seconds.
/// `launches` are those of one batch.
///
/// # Errors
/// The outcome of a launch that failed; where the device tells no energy, what to do.
pub(crate) fn of_launch(lane: &mut Lane, launches: u32, seconds: f64) -> Result<Metric, Fault> {
    let counter = Counter::of(&lane.site()).map_err(Fault::refused)?;
    let mut series = Series::new(seconds / PARTS as f64);
    let start = Instant::now();
    let most = (seconds * PATIENCE).max(LEAST_PATIENCE);
    let mut before = counter.read().map_err(Fault::refused)?;
    while series.samples.len() < PARTS {
        lane.time(launches)?;
        let now = counter.read().map_err(Fault::refused)?;
        let more = counter.between(&before, &now);
        before = now;
        let elapsed = start.elapsed().as_secs_f64();
        series.look(f64::from(launches), more, elapsed);
        if elapsed > most {
            break;
        }
    }
    if series.samples.is_empty() {
        return Err(Fault::refused(format!(
            "the device's counter of energy did not advance twice within {most:.1} s of launches; rank by \
             another metric"
        )));
    }
    let summary = Summary::of(&series.samples).map_err(of_stats)?;
    let mut metric = Metric::new("energy", "mJ", Direction::Lower, summary.p50);
    metric.ci_low = summary.median_ci.map(|interval| interval.low);
    metric.ci_high = summary.median_ci.map(|interval| interval.high);
    metric.samples = series.samples;
    Ok(metric)
}

/// Parts of a series, each from one step of the counter to a later one.
struct Series {
    /// Seconds that a part lasts at least.
    part_s: f64,
    /// Launches and joules since the part began; none before the first step.
    part: Option<(f64, f64)>,
    began_s: f64,
    /// Millijoules of a launch.
    samples: Vec<f64>,
}

impl Series {
    fn new(part_s: f64) -> Self {
        Self {
            part_s,
            part: None,
            began_s: 0.0,
            samples: Vec::new(),
        }
    }

    /// After a batch: by how much the counter has advanced since the batch before.
    fn look(&mut self, launches: f64, joules: f64, elapsed_s: f64) {
        if let Some((all, sum)) = &mut self.part {
            *all += launches;
            *sum += joules;
        }
        if joules <= 0.0 {
            return;
        }
        match self.part {
            Some((all, sum)) if elapsed_s - self.began_s >= self.part_s => {
                self.samples.push(1e3 * sum / all);
            }
            // What came before the first step is of an unknown time.
            None => {}
            Some(_) => return,
        }
        self.part = Some((0.0, 0.0));
        self.began_s = elapsed_s;
    }
}

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_part_lasts_from_a_step_of_the_counter_to_a_step() {
        let mut series = Series::new(0.1);
        // 10 launches of 2 mJ every 10 ms; the counter advances every 40 ms.
        for batch in 1..=100 {
            let steps = if batch % 4 == 0 { 0.08 } else { 0.0 };
            series.look(10.0, steps, f64::from(batch) * 0.01);
        }
        assert!(series.samples.len() >= 5, "{:?}", series.samples);
        for sample in &series.samples {
            assert!((sample - 2.0).abs() < 1e-9, "{:?}", series.samples);
        }
    }

    #[test]
    fn a_counter_that_stands_still_gives_no_sample() {
        let mut series = Series::new(0.1);
        for batch in 1..=100 {
            series.look(10.0, 0.0, f64::from(batch) * 0.01);
        }
        series.look(10.0, 1.0, 1.1);
        assert!(series.samples.is_empty());
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
