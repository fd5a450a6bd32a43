//! The threads of a search: one for each device and each builder, which has its worker do one job
//! after the other and reports. What becomes of a job is decided by the thread that runs the
//! search.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;

use evo_types::Phase;
use evo_wire::{Reply, Request};

use super::trial::leaves_disorder;
use crate::worker::{CallFailure, Host, Patience};
use crate::{RunError, Stop, lock};

/// One request for a worker.
pub(super) struct Job {
    pub(super) trial: u64,
    pub(super) request: Request,
    /// What is asked for after it, whose answers nobody needs: builds that the measurement will
    /// want.
    pub(super) also: Vec<Request>,
    /// Seconds of timed launches that it allows.
    pub(super) measuring_s: f64,
    /// The device that no other run may use meanwhile, by its UUID.
    pub(super) device: Option<String>,
}

/// What a thread says.
pub(super) enum News {
    /// Another run measures on the device.
    WaitingForDevice { holder: String },
    /// The worker began a step.
    Phase(Phase),
    /// The job is over.
    Ended(Box<Ended>),
}

/// How a job ended.
pub(super) struct Ended {
    /// `None`: the user asked to stop while the device was waited for.
    pub(super) answer: Result<Option<Result<Reply, CallFailure>>, RunError>,
    /// Seconds that the worker took.
    pub(super) seconds: f64,
    /// Seconds that the device was waited for.
    pub(super) waited_s: f64,
    /// Processes that a candidate left running; they were killed.
    pub(super) leaked: usize,
}

/// What a thread says of a trial.
pub(super) struct Report {
    pub(super) trial: u64,
    pub(super) news: News,
}

/// The threads of a search, and what they say.
pub(super) struct Crew<'scope> {
    lanes: Vec<Sender<Job>>,
    builders: Vec<Sender<Job>>,
    pub(super) reports: Receiver<Report>,
    /// Ends what the builders are doing: nobody waits for it any more.
    abandon: Stop,
    hosts: Vec<ScopedJoinHandle<'scope, Host>>,
}

impl<'scope> Crew<'scope> {
    /// Starts a thread for each host. The user's first request to stop lets jobs on devices
    /// finish.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        lanes: Vec<Host>,
        builders: Vec<Host>,
        stop: &Stop,
    ) -> Self {
        let (sender, reports) = mpsc::channel();
        let abandon = Stop::default();
        let (mut lane_jobs, mut hosts) = (Vec::new(), Vec::new());
        for host in lanes {
            let (jobs, thread) = hire(scope, host, stop.clone(), Patience::Long, sender.clone());
            lane_jobs.push(jobs);
            hosts.push(thread);
        }
        let mut builder_jobs = Vec::new();
        for host in builders {
            let (jobs, _) = hire(
                scope,
                host,
                abandon.clone(),
                Patience::Short,
                sender.clone(),
            );
            builder_jobs.push(jobs);
        }
        Self {
            lanes: lane_jobs,
            builders: builder_jobs,
            reports,
            abandon,
            hosts,
        }
    }

    /// Gives a job to a lane.
    ///
    /// # Errors
    /// Where its thread is gone.
    pub(super) fn on_lane(&self, lane: usize, job: Job) -> Result<(), RunError> {
        send(&self.lanes, lane, job)
    }

    /// Gives a job to a builder.
    ///
    /// # Errors
    /// Where its thread is gone.
    pub(super) fn on_builder(&self, builder: usize, job: Job) -> Result<(), RunError> {
        send(&self.builders, builder, job)
    }

    /// Lets all threads end, and gives the devices' hosts back, without workers: those end with
    /// the threads that started them.
    pub(super) fn dismiss(self) -> Vec<Host> {
        // The second one does not even wait for a worker that is only starting.
        self.abandon.request(0);
        self.abandon.request(0);
        drop((self.lanes, self.builders));
        let ended = self.hosts.into_iter();
        ended.filter_map(|thread| thread.join().ok()).collect()
    }
}

fn send(places: &[Sender<Job>], place: usize, job: Job) -> Result<(), RunError> {
    let sent = places.get(place).is_some_and(|jobs| jobs.send(job).is_ok());
    if sent {
        return Ok(());
    }
    Err(RunError::internal(
        "the thread that speaks with a worker is gone",
    ))
}

fn hire<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    mut host: Host,
    stop: Stop,
    patience: Patience,
    reports: Sender<Report>,
) -> (Sender<Job>, ScopedJoinHandle<'scope, Host>) {
    let (sender, jobs) = mpsc::channel::<Job>();
    let thread = scope.spawn(move || {
        for job in jobs {
            let trial = job.trial;
            let ended = work(&mut host, job, &stop, patience, &reports);
            let news = News::Ended(Box::new(ended));
            if reports.send(Report { trial, news }).is_err() {
                break;
            }
        }
        host.recycle();
        host
    });
    (sender, thread)
}

fn work(
    host: &mut Host,
    job: Job,
    stop: &Stop,
    patience: Patience,
    reports: &Sender<Report>,
) -> Ended {
    let trial = job.trial;
    let tell = |news| {
        // Nobody listens any more where the search has ended.
        let _ = reports.send(Report { trial, news });
    };
    let waiting = Instant::now();
    let held = job.device.map(|device| {
        lock::device(&device, stop, |holder| {
            tell(News::WaitingForDevice { holder });
        })
    });
    let waited_s = waiting.elapsed().as_secs_f64();
    let ended = |answer, seconds, leaked| Ended {
        answer,
        seconds,
        waited_s,
        leaked,
    };
    let _held = match held.transpose() {
        Ok(Some(None)) => return ended(Ok(None), 0.0, 0),
        Ok(held) => held,
        Err(error) => return ended(Err(error), 0.0, 0),
    };
    let began = Instant::now();
    let mut progress = |phase, _| tell(News::Phase(phase));
    let answer = host.call(job.request, job.measuring_s, stop, patience, &mut progress);
    // What an objective replays has disturbed nothing here.
    if let Ok(Reply::Outcome {
        outcome,
        charged: false,
        spent,
        ..
    }) = &answer
        && (*spent || leaves_disorder(outcome))
    {
        host.recycle();
    }
    if matches!(answer, Ok(Reply::Built { .. })) {
        for request in job.also {
            // What fails here fails again where it counts, and is told there.
            let also = host.call(request, 0.0, stop, patience, &mut |_, _| {});
            if matches!(also, Err(CallFailure::Interrupted)) {
                break;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    ended(Ok(Some(answer)), seconds, host.take_leaked())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::thread;
    use std::time::Duration;

    use evo_journal::{Limits, register_file};
    use rustix::process::{Pid, test_kill_process};

    use super::*;
    use crate::Store;
    use crate::worker::HostSettings;

    /// Workers that start a process, say which, and never speak.
    const SILENT: &str = "#!/bin/sh\n(sleep 12; echo > $0.late; sleep 600) &\n\
                          echo $$ $! > $0.$$.part\nmv $0.$$.part $0.$$.pids\nsleep 600\n";

    fn settings(folder: &Path) -> HostSettings {
        let program = folder.join("evo");
        fs::write(&program, SILENT).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        HostSettings {
            program,
            store: Store::at(&folder.join("store")).unwrap(),
            device: "cpu".to_owned(),
            cpus: Vec::new(),
            limits: Limits {
                build_s: 60.0,
                verify_s: 60.0,
                measure_s: 60.0,
                memory_bytes: 1 << 30,
                attempts: 3,
                crashes_in_a_row: 3,
                spill_bytes: register_file(),
            },
        }
    }

    fn job(trial: u64) -> Job {
        Job {
            trial,
            request: Request::Tools,
            also: vec![Request::Tools],
            measuring_s: 0.0,
            device: None,
        }
    }

    /// The processes of so many workers, once all are there.
    fn processes(folder: &Path, workers: usize) -> Vec<Pid> {
        loop {
            let files = fs::read_dir(folder).unwrap().flatten().map(|it| it.path());
            let told = files.filter(|path| path.extension().is_some_and(|it| it == "pids"));
            let texts: Vec<String> = told.map(|path| fs::read_to_string(path).unwrap()).collect();
            if texts.len() == workers {
                let pids = texts.iter().flat_map(|text| text.split_whitespace());
                return pids
                    .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
                    .collect();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_second_interrupt_ends_devices_and_builders_with_all_that_they_started() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let stop = Stop::default();
        let pids = thread::scope(|scope| {
            let lanes = vec![Host::new(settings.clone())];
            let builders = (0..2).map(|_| Host::builder(settings.clone())).collect();
            let crew = Crew::start(scope, lanes, builders, &stop);
            crew.on_lane(0, job(0)).unwrap();
            crew.on_builder(0, job(1)).unwrap();
            crew.on_builder(1, job(2)).unwrap();
            let pids = processes(folder.path(), 3);
            stop.request(2);
            stop.request(2);
            let Report { trial, news } = crew.reports.recv().unwrap();
            let News::Ended(ended) = news else {
                panic!("the lane reports something else");
            };
            let answer = ended.answer.unwrap().unwrap();
            assert_eq!((trial, answer), (0, Err(CallFailure::Interrupted)));
            assert_eq!(crew.dismiss().len(), 1);
            pids
        });
        assert_eq!(pids.len(), 6);
        for pid in pids {
            assert!(test_kill_process(pid).is_err(), "{pid:?} is still there");
        }
        // Nobody waited until a worker that did not greet was given up.
        assert!(!folder.path().join("evo.late").exists());
    }
}
