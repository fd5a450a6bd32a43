//! Several candidates, verified one by one and then measured interleaved, so that drift of the
//! machine falls on all of them alike.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use evo_stats::{Decision, StoppingRule};
use evo_types::{Outcome, Phase};
use evo_wire::{CompareItem, CompareJob, ComparedItem};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::build;
use crate::clock::Disturbance;
use crate::component::{Built, Kernel, Problem};
use crate::fault::Fault;
use crate::lane::{self, Lane};
use crate::measure::{self, thoroughness};
use crate::seeds::derive_seed;
use crate::serve::{Reporter, Worker};
use crate::site::Site;
use crate::timing::{self, Timing};
use crate::verify::{Candidate, Verified, verify};

/// A candidate that passed verification.
struct Runner<'a> {
    /// Position in the job.
    item: usize,
    source: &'a CompareItem,
    kernel: Kernel,
    built: Rc<Built>,
    /// Changed by what follows the timing, once.
    verified: RefCell<Verified>,
}

/// A candidate that is being timed.
struct Racer {
    lane: Lane,
    launches: u32,
    rule: StoppingRule,
    converged: bool,
    failed: Option<Fault>,
}

/// Verifies all, measures all round by round, verifies all again.
///
/// # Errors
/// What broke; what a candidate does wrong becomes that candidate's outcome.
pub(crate) fn compare(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &CompareJob,
) -> Result<Vec<ComparedItem>, Fault> {
    measure::check_settings(&job.settings)?;
    let problem = worker.problem(&job.problem)?;
    let mut outcomes: Vec<Option<Outcome>> = job.items.iter().map(|_| None).collect();
    let mut runners = Vec::new();
    for (item, source) in job.items.iter().enumerate() {
        reporter.item(Some(item));
        match qualify(worker, reporter, job, &problem, item, source) {
            Ok(runner) => runners.push(runner),
            Err(fault) => put(&mut outcomes, item, outcome(worker, reporter, item, fault)?),
        }
    }
    let timed = time_all(worker, reporter, job, &problem, &runners, &mut outcomes)?;
    for (runner, mut racer, timing) in timed {
        reporter.item(Some(runner.item));
        let result = measure::finish(
            worker,
            reporter,
            &job.settings,
            &runner.candidate(&problem),
            &mut runner.verified.borrow_mut(),
            &mut racer.lane,
            timing,
        );
        let result = match result {
            Ok(measurement) => Outcome::Measured(measurement),
            Err(fault) => {
                // The kernel may still be at work: its buffers must outlive it.
                std::mem::forget(racer);
                outcome(worker, reporter, runner.item, fault)?
            }
        };
        put(&mut outcomes, runner.item, result);
    }
    reporter.item(None);
    job.items
        .iter()
        .zip(outcomes)
        .map(|(source, outcome)| {
            Ok(ComparedItem {
                label: source.label.clone(),
                outcome: outcome.ok_or_else(|| Fault::internal("a candidate was forgotten"))?,
            })
        })
        .collect()
}

fn put(outcomes: &mut [Option<Outcome>], item: usize, outcome: Outcome) {
    if let Some(place) = outcomes.get_mut(item) {
        *place = Some(outcome);
    }
}

/// The outcome of a candidate's fault; any other fault ends the comparison.
///
/// A candidate that brought a GPU's context down leaves nothing for the others to run in. Then this
/// process ends, as one does that a candidate on a CPU brings down, and the host compares the
/// others in another one.
fn outcome(
    worker: &Worker,
    reporter: &mut Reporter<'_>,
    item: usize,
    fault: Fault,
) -> Result<Outcome, Fault> {
    let Fault::Outcome(outcome) = fault else {
        return Err(fault);
    };
    if let Outcome::Crashed { phase, message, .. } = outcome.as_ref()
        && worker.is_lost()
    {
        reporter.item(Some(item));
        reporter.phase(*phase)?;
        eprintln!("{message}");
        end_process();
    }
    Ok(*outcome)
}

/// Ends this process at once: what libraries do at an orderly end may wait for a device that no
/// longer answers.
fn end_process() -> ! {
    // SAFETY: ends the process, whatever its state.
    unsafe { libc::_exit(1) }
}

fn qualify<'a>(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &CompareJob,
    problem: &Problem,
    item: usize,
    source: &'a CompareItem,
) -> Result<Runner<'a>, Fault> {
    let kernel = worker.kernel(&source.kernel)?;
    reporter.phase(Phase::Accept)?;
    build::check_request(&kernel, &source.request)?;
    build::accept(&kernel, &source.request)?;
    reporter.phase(Phase::Build)?;
    let built = worker
        .builder
        .build_accepted(&kernel, &source.request)?
        .built;
    let candidate = Candidate {
        problem,
        kernel: &kernel,
        request: &source.request,
        built: &built,
    };
    let seed = derive_seed(job.seed, "item", item as u64);
    let how = thoroughness(seed, &job.settings);
    let verified = verify(&candidate, &mut worker.builder, reporter, how)?;
    Ok(Runner {
        item,
        source,
        kernel,
        built,
        verified: RefCell::new(verified),
    })
}

type Timed<'a, 'b> = Vec<(&'b Runner<'a>, Racer, Timing)>;

/// Warms every candidate up, then takes one sample of each in every round.
fn time_all<'a, 'b>(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &CompareJob,
    problem: &Problem,
    runners: &'b [Runner<'a>],
    outcomes: &mut [Option<Outcome>],
) -> Result<Timed<'a, 'b>, Fault> {
    let mut field: Vec<(&Runner<'_>, Racer)> = Vec::new();
    for runner in runners {
        reporter.item(Some(runner.item));
        match warm(worker, reporter, job, problem, runner, runners.len()) {
            Ok(racer) => field.push((runner, racer)),
            Err(fault) => {
                let outcome = outcome(worker, reporter, runner.item, fault)?;
                put(outcomes, runner.item, outcome);
            }
        }
    }
    reporter.item(None);
    reporter.phase(Phase::Measure)?;
    let mut racers: Vec<&mut Racer> = field.iter_mut().map(|(_, racer)| racer).collect();
    let run = run_rounds(worker, &mut racers, job)?;
    let culprit = run.culprit.and_then(|place| field.get_mut(place));
    if let Some((runner, racer)) = culprit
        && let Some(fault) = racer.failed.take()
    {
        // Of all that failed with the device it was the first, and the only one to blame.
        let outcome = outcome(worker, reporter, runner.item, fault)?;
        return Err(Fault::internal(outcome.summary()));
    }
    let mut timed = Vec::new();
    for (runner, mut racer) in field {
        if let Some(fault) = racer.failed.take() {
            std::mem::forget(racer);
            let outcome = outcome(worker, reporter, runner.item, fault)?;
            put(outcomes, runner.item, outcome);
            continue;
        }
        let timing = Timing {
            samples: racer.rule.samples().to_vec(),
            launches_per_sample: racer.launches,
            disturbed: run.disturbed,
            converged: racer.converged,
            raced_out: false,
            seconds: run.seconds,
            clock_mhz: racer.lane.site().clock_mhz(),
        };
        timed.push((runner, racer, timing));
    }
    Ok(timed)
}

fn warm(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    job: &CompareJob,
    problem: &Problem,
    runner: &Runner<'_>,
    lanes: usize,
) -> Result<Racer, Fault> {
    reporter.phase(Phase::Measure)?;
    let candidate = runner.candidate(problem);
    let mut lane = Lane::new(
        &candidate,
        &runner.verified.borrow().content,
        lane::share(lanes),
    )?;
    let launches = timing::warm_up(&mut lane, &job.settings, worker.clock_resolution())?;
    Ok(Racer {
        lane,
        launches,
        rule: timing::stopping_rule(&job.settings, None)?,
        converged: false,
        failed: None,
    })
}

impl Runner<'_> {
    fn candidate<'c>(&'c self, problem: &'c Problem) -> Candidate<'c> {
        Candidate {
            problem,
            kernel: &self.kernel,
            request: &self.source.request,
            built: &self.built,
        }
    }
}

struct Run {
    disturbed: usize,
    seconds: f64,
    /// Who brought the device down.
    culprit: Option<usize>,
}

/// Rounds until every interval is narrow, or the budget of rounds or time is spent.
fn run_rounds(worker: &Worker, racers: &mut [&mut Racer], job: &CompareJob) -> Result<Run, Fault> {
    let settings = &job.settings;
    let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(job.seed, "order", 0));
    let mut disturbance = Disturbance::new(timing::retakes(settings));
    // The time of the settings is meant for each candidate.
    let limit = settings.max_seconds * racers.len().max(1) as f64;
    let start = Instant::now();
    let mut rounds = 0;
    let mut culprit;
    let mut order: Vec<usize> = (0..racers.len()).collect();
    let site = racers.first().map_or(Site::Host, |racer| racer.lane.site());
    loop {
        order.shuffle(&mut rng);
        let before = site.disturbances();
        let (round, failed) = take_round(racers, &order);
        culprit = failed.filter(|_| worker.is_lost());
        if round.is_empty() || culprit.is_some() {
            break;
        }
        let elapsed = start.elapsed().as_secs_f64();
        let signs = site.disturbances().since(before);
        if disturbance.retake(signs) && elapsed < limit {
            continue;
        }
        rounds += 1;
        for (index, sample) in round {
            let Some(racer) = racers.get_mut(index) else {
                continue;
            };
            let decision = racer.rule.push(sample, 0.0).map_err(timing::of_stats)?;
            racer.converged |= decision == Decision::Converged;
        }
        let mut running = racers.iter().filter(|racer| racer.failed.is_none());
        let all_narrow = running.all(|racer| racer.converged);
        if all_narrow || rounds >= settings.max_samples || elapsed >= limit {
            break;
        }
    }
    Ok(Run {
        disturbed: disturbance.disturbed(),
        seconds: start.elapsed().as_secs_f64(),
        culprit,
    })
}

/// One sample, in microseconds per launch, of every candidate that still runs; and the first one
/// that failed.
fn take_round(racers: &mut [&mut Racer], order: &[usize]) -> (Vec<(usize, f64)>, Option<usize>) {
    let mut round = Vec::with_capacity(order.len());
    let mut failed = None;
    for index in order {
        let Some(racer) = racers.get_mut(*index) else {
            continue;
        };
        if racer.failed.is_some() {
            continue;
        }
        let launches = racer.launches;
        // The first launch after another candidate's is not timed. What it has set aside of the cache is
        // looked at before the next one's turn.
        let sample = racer.lane.time(1).and_then(|_| racer.lane.time(launches));
        match sample.and_then(|seconds| racer.lane.check_cache().map(|()| seconds)) {
            Ok(seconds) => round.push((*index, seconds / f64::from(launches) * 1e6)),
            Err(fault) => {
                racer.failed = Some(fault);
                failed = failed.or(Some(*index));
            }
        }
    }
    (round, failed)
}
