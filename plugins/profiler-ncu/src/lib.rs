//! The profiler `ncu`: Nsight Compute over a candidate in a process of its own.
//!
//! The report (`report.ncu-rep`) is kept in the run folder. Its raw page is read by the names of the
//! metrics and their units; what a device or version does not measure is left out.

mod metrics;
mod page;
mod tool;

use evo_plugin::{DeviceFacts, Direction, Error, Metric, Plugin, Profiler, ProfilerInfo, Runnable};

/// What its figures mean.
const RULES: &str = include_str!("../rules.ron");

struct Ncu;

impl Profiler for Ncu {
    fn info(&self) -> ProfilerInfo {
        ProfilerInfo {
            name: "ncu".to_owned(),
            doc: "Nsight Compute: utilisation, occupancy, memory traffic, conflicts, stalls"
                .to_owned(),
            devices: vec!["cuda".to_owned()],
            rules: Some(RULES.to_owned()),
        }
    }

    fn probe(&self, _device: &DeviceFacts) -> Result<(), Error> {
        tool::find()?;
        tool::permitted(&tool::driver_settings(), tool::is_root())
    }

    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error> {
        let text = tool::profile(&tool::find()?, runnable)?;
        figures(&text)
    }
}

/// Its name in a run: `plugin/name`.
pub const SOURCE: &str = "profiler-ncu/ncu";

/// What its figures mean.
pub fn rules() -> &'static str {
    RULES
}

/// The figures of each of so many candidates that were launched one after the other, once each, from
/// the raw page of all their kernels. Of a candidate with several kernels the longest is told.
///
/// # Errors
/// A page that cannot be read, or whose kernels are no equal number for each candidate.
pub fn figures_of(text: &str, candidates: usize) -> Result<Vec<Vec<Metric>>, String> {
    let kernels = page::read(text)?;
    let each = kernels.len().checked_div(candidates).unwrap_or(0);
    if each == 0 || each * candidates != kernels.len() {
        return Err(format!(
            "the page has {} kernels, which is no equal number for each of {candidates} candidates",
            kernels.len()
        ));
    }
    let own = kernels.chunks(each).filter_map(page::longest);
    Ok(own.map(metrics::metrics).collect())
}

/// The metrics of a raw page's first kernel that its figures are made of: a session that collects these and
/// nothing else launches a kernel less often.
///
/// # Errors
/// A page that cannot be read or has no launch.
pub fn metrics_of(text: &str) -> Result<Vec<String>, String> {
    let kernels = page::read(text)?;
    let first = kernels.first().ok_or("the page has no launch")?;
    Ok(metrics::sources(first))
}

/// The figures of a raw page.
fn figures(text: &str) -> Result<Vec<Metric>, Error> {
    let kernels = page::read(text)
        .map_err(|error| Error::Failed(format!("Nsight Compute's page: {error}")))?;
    let longest = page::longest(&kernels)
        .ok_or_else(|| Error::Failed("Nsight Compute's page has no launch".to_owned()))?;
    let mut metrics = metrics::metrics(longest);
    let launches = kernels.len() as f64;
    metrics.push(Metric::new("launches", "count", Direction::Info, launches));
    Ok(metrics)
}

fn plugin() -> Plugin {
    Plugin::new(
        "profiler-ncu",
        env!("CARGO_PKG_VERSION"),
        "Nsight Compute over a GPU kernel",
    )
    .profiler(Ncu)
}

evo_plugin::export!(plugin);

#[cfg(test)]
mod tests;
