//! Profiling passes, apart from every ranked measurement: over the best solutions now and then during
//! the search, which is told what rules make of them, and over baselines and finalists at the end.

use std::fs;
use std::path::{Path, PathBuf};

use evo_journal::{Profiled, Record, Work, profiler_folder};
use evo_types::{BuildRequest, Metric, Outcome};
use evo_wire::{ProfileJob, Reply, Request};
use tempfile::TempDir;

use super::entrant::Entrant;
use super::session::{Session, now};
use super::trial::{Sorted, sort};
use crate::plan::unexpected;
use crate::worker::{CallFailure, Patience};
use crate::{Event, Observer, RunError, lock};

/// A file that says to a process of its own what to launch; not of the profiler's making.
const JOB: &str = "job.json";

/// A profiler and what it is to look at.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// As `plugin/name`.
    pub(super) profiler: String,
    pub(super) target: Entrant,
}

impl Session {
    /// Runs every profiler of the plan over the baselines and the finalists. `false`: the user
    /// asked to stop.
    pub(super) fn profile(&mut self, observer: &mut dyn Observer) -> Result<bool, RunError> {
        if matches!(self.plan.work, Work::Objective { .. }) {
            return Ok(true);
        }
        for profiler in self.plan.profilers.clone() {
            for target in self.profiled_candidates()? {
                let profiler = profiler.clone();
                let pass = Pass { profiler, target };
                if !self.is_wanted(&pass) {
                    continue;
                }
                let scratch = scratch()?;
                let request = self.profile_request(&pass, &scratch)?;
                let held = lock::device(&self.plan.device.uuid, &self.stop, |holder| {
                    observer.on(&Event::WaitingForDevice { holder });
                })?;
                if held.is_none() {
                    return Ok(false);
                }
                let stop = self.stop.clone();
                let label = pass.target.label.clone();
                let reply =
                    self.host
                        .call(request, 0.0, &stop, Patience::Short, &mut |phase, _| {
                            observer.on(&Event::Phase {
                                phase,
                                subject: label.clone(),
                            })
                        });
                if !self.take_profile(&pass, reply, &scratch, false, observer)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The passes that are due now, between two trials of the search: over those of the best few solutions
    /// of each candidate that no profiler has seen, where there have been so many trials since the last
    /// pass and the preset listens to insights.
    /// What is recorded decides, so that a resumed run has them at the same place.
    pub(super) fn due_passes(&self) -> Vec<Pass> {
        let every = self.plan.profile_every;
        let trials = self.history.evaluated.len() as u64;
        let waited = trials.saturating_sub(self.history.profiled_at);
        let listens = self.campaign.settings().information.insights;
        let kernels = matches!(self.plan.work, Work::Problem { .. });
        if every == 0 || waited < every || !listens || !kernels {
            return Vec::new();
        }
        let candidates = 0..self.plan.candidates.len();
        let most = self.plan.profile_elites;
        let elites =
            candidates.flat_map(|candidate| self.campaign.elites_of(candidate).iter().take(most));
        let targets: Vec<Entrant> = elites
            .filter_map(|elite| Entrant::trial(&self.plan, &self.history, elite.trial))
            .collect();
        let profilers = self.plan.profilers.iter();
        let passes = profilers.flat_map(|profiler| {
            targets.iter().map(|target| Pass {
                profiler: profiler.clone(),
                target: target.clone(),
            })
        });
        passes.filter(|pass| self.is_wanted(pass)).collect()
    }

    /// Whether a pass was not made yet, by a profiler that works here.
    fn is_wanted(&self, pass: &Pass) -> bool {
        let seen = (pass.profiler.clone(), pass.target.label.clone());
        !self.history.profiled.contains(&seen)
            && !self.history.absent_profilers.contains(&pass.profiler)
    }

    /// What a worker is asked for; a profiler may leave files in the scratch folder.
    pub(super) fn profile_request(
        &self,
        pass: &Pass,
        scratch: &TempDir,
    ) -> Result<Request, RunError> {
        let Pass { profiler, target } = pass;
        let (Some((plugin, name)), Work::Problem { spec, .. }) =
            (profiler.split_once('/'), &self.plan.work)
        else {
            return Err(RunError::internal(format!(
                "`{profiler}` names no profiler, or there is nothing to profile"
            )));
        };
        let problem = self
            .problem()?
            .ok_or_else(|| RunError::internal("a profile was asked for without a problem"))?;
        Ok(Request::Profile(Box::new(ProfileJob {
            profiler: self.component(plugin, name)?,
            problem,
            kernel: self.component(&target.plugin, &target.kernel)?,
            request: BuildRequest {
                problem: spec.clone(),
                config: target.params.clone(),
                device: self.plan.device.clone(),
            },
            seed: self.seed_for("profile", target.trial.unwrap_or_default()),
            folder: Some(scratch.path().to_owned()),
            measured: self.measured(target),
        })))
    }

    /// What was measured of a candidate by now, in the search or beside the baselines, without the
    /// samples.
    fn measured(&self, target: &Entrant) -> Vec<Metric> {
        let outcome = match target.trial {
            Some(trial) => self.history.evaluated.get(&trial).map(|it| &it.outcome),
            None => {
                let items = self.history.baselines.iter().flat_map(|it| &it.items);
                let mut own = items.filter(|item| item.label == target.label);
                own.next().map(|item| &item.outcome)
            }
        };
        let metrics = outcome.and_then(Outcome::measurement);
        let metrics = metrics.map_or(&[][..], |measurement| &measurement.metrics);
        let bare = |metric: &Metric| Metric {
            samples: Vec::new(),
            ..metric.clone()
        };
        metrics.iter().map(bare).collect()
    }

    /// Records what a profiler answered, and what rules make of it. `false`: the user asked to stop.
    pub(super) fn take_profile(
        &mut self,
        pass: &Pass,
        reply: Result<Reply, CallFailure>,
        scratch: &TempDir,
        during_search: bool,
        observer: &mut dyn Observer,
    ) -> Result<bool, RunError> {
        let (metrics, failure) = match reply {
            Ok(Reply::Profiled { metrics }) => (metrics, None),
            Ok(Reply::NoProfiler { reason }) => {
                self.history.absent_profilers.insert(pass.profiler.clone());
                let message = format!("the profiler {} is left out: {reason}", pass.profiler);
                self.warn(observer, &message)?;
                return Ok(true);
            }
            Ok(Reply::Outcome { outcome, .. }) => (Vec::new(), Some(outcome.summary())),
            Ok(other) => return Err(unexpected("Profile", &other)),
            Err(CallFailure::Refused { message, .. }) => (Vec::new(), Some(message)),
            Err(failure) => match sort(failure) {
                Sorted::Outcome(outcome) => (Vec::new(), Some(outcome.summary())),
                Sorted::Interrupted => return Ok(false),
                Sorted::Error(error) => return Err(error),
            },
        };
        if failure.is_none() {
            self.keep_files(pass, scratch.path(), observer)?;
        }
        let profiled = Profiled {
            at: now(),
            profiler: pass.profiler.clone(),
            label: pass.target.label.clone(),
            trial: pass.target.trial,
            metrics,
            failure,
        };
        self.append(Record::Profiled(profiled.clone()))?;
        observer.on(&Event::Profiled(&profiled));
        if profiled.failure.is_none() {
            let params = &pass.target.params;
            self.diagnose_profile(&profiled, params, during_search, observer)?;
        }
        Ok(true)
    }

    /// Moves what a profiler has left into the run folder, `<profiler>/<candidate>/`. What cannot be
    /// kept is told; the profile itself is in the journal.
    fn keep_files(
        &mut self,
        pass: &Pass,
        scratch: &Path,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let to = self.folder.path().join(profiler_folder(&pass.profiler));
        let to = to.join(file_name(&pass.target.label));
        match move_files(scratch, &to) {
            Ok(()) => Ok(()),
            Err(error) => {
                let message = format!(
                    "the files of {} cannot be kept in {}: {error}",
                    pass.profiler,
                    to.display()
                );
                self.warn(observer, &message)
            }
        }
    }
}

/// A folder for one pass.
pub(super) fn scratch() -> Result<TempDir, RunError> {
    tempfile::Builder::new()
        .prefix("evo-profile-")
        .tempdir()
        .map_err(|error| {
            RunError::environment(format!("no folder for a profile can be made: {error}"))
                .hint("free some space, or set TMPDIR to a folder that you may write to")
        })
}

/// Plain files only: a link could lead anywhere.
fn move_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() == JOB || !entry.file_type()?.is_file() {
            continue;
        }
        fs::create_dir_all(to)?;
        // Folders of temporary files are often on another file system.
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A label as a name in a folder.
fn file_name(label: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = label.chars().map(plain).take(100).collect();
    PathBuf::from(if name.is_empty() {
        "-".to_owned()
    } else {
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_profiler_are_kept_under_harmless_names() {
        assert_eq!(file_name("../tiled #12"), PathBuf::from("---tiled--12"));
        assert_eq!(file_name(""), PathBuf::from("-"));
        let from = scratch().unwrap();
        let to = scratch().unwrap();
        let path = |name: &str| from.path().join(name);
        fs::write(path("report.txt"), "1").unwrap();
        fs::write(path(JOB), "2").unwrap();
        fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path("link")).unwrap();
        let kept = to.path().join("a");
        move_files(from.path(), &kept).unwrap();
        let names: Vec<_> = fs::read_dir(&kept)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["report.txt"]);
    }
}
