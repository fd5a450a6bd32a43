//! Reads requests and answers them, one at a time.

use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use evo_plugin::Error;
use evo_types::{BuildRequest, ContentHash, Outcome, Phase, PluginKind};
use evo_wire::{
    ComponentRef, Envelope, FailureKind, FrameError, PROTOCOL, Reply, Request, read_frame,
    write_frame,
};

use crate::build::{self, Builder, Parts};
use crate::component::{Kernel, Problem};
use crate::fault::{Fault, cap_log};
use crate::gpu::Gpu;
use crate::loader::{LoadedPlugin, Loader};
use crate::objective::{self, Objectives};
use crate::peaks::{self, Peaks};
use crate::site::Site;
use crate::{clock, compare, conform, device, measure, profile, replay, tools};

/// Serves a host until it closes the channel.
///
/// Returns success when the host closed it between two requests, and 2 when the channel broke or
/// carried something else than this protocol.
pub fn run(mut channel: UnixStream) -> ExitCode {
    let mut worker = Worker::default();
    loop {
        let envelope: Envelope<Request> = match read_frame(&mut channel) {
            Ok(envelope) => envelope,
            Err(FrameError::Closed) => return ExitCode::SUCCESS,
            Err(error) => {
                // The number of the request is unknown; the host may be gone as well.
                let body = Reply::Failed {
                    kind: FailureKind::Protocol,
                    message: format!("the worker cannot read a request: {error}"),
                };
                let _ = write_frame(&mut channel, &Envelope { id: 0, body });
                return ExitCode::from(2);
            }
        };
        let mut reporter = Reporter {
            channel: &mut channel,
            id: envelope.id,
            item: None,
        };
        let answer = answer(&mut worker, &mut reporter, envelope.body);
        let sent = match answer {
            Ok(reply) => reporter.send(reply),
            Err(Fault::Gone(error)) => Err(error),
            Err(fault) => reporter.send(final_reply(fault)),
        };
        if sent.is_err() {
            return ExitCode::from(2);
        }
    }
}

/// Answers one request; a panic of the worker itself becomes a failure, not the end.
fn answer(
    worker: &mut Worker,
    reporter: &mut Reporter<'_>,
    request: Request,
) -> Result<Reply, Fault> {
    let start = Instant::now();
    let handled = catch_unwind(AssertUnwindSafe(|| worker.handle(reporter, request)));
    match handled {
        Ok(Err(Fault::Outcome(outcome))) => Ok(Reply::Outcome {
            outcome,
            device_seconds: start.elapsed().as_secs_f64(),
            charged: false,
            spent: worker.is_spent(),
        }),
        Ok(result) => result,
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "(no message)".to_owned());
            Err(Fault::internal(format!(
                "the worker itself panicked: {text}; please report this with the run folder"
            )))
        }
    }
}

fn final_reply(fault: Fault) -> Reply {
    match fault {
        Fault::Outcome(outcome) => Reply::Outcome {
            outcome,
            device_seconds: 0.0,
            charged: false,
            spent: false,
        },
        Fault::Failed { kind, message } => Reply::Failed { kind, message },
        Fault::Gone(error) => Reply::Failed {
            kind: FailureKind::Protocol,
            message: error.to_string(),
        },
    }
}

/// Sends the replies to one request.
pub(crate) struct Reporter<'a> {
    channel: &'a mut UnixStream,
    id: u64,
    item: Option<usize>,
}

impl Reporter<'_> {
    /// Sets the position in a comparison that the next phases are about.
    pub(crate) fn item(&mut self, item: Option<usize>) {
        self.item = item;
    }

    /// Says that a phase begins.
    ///
    /// # Errors
    /// Where the host is gone.
    pub(crate) fn phase(&mut self, phase: Phase) -> Result<(), Fault> {
        let item = self.item;
        self.send(Reply::Progress { phase, item })
            .map_err(Fault::Gone)
    }

    fn send(&mut self, body: Reply) -> Result<(), FrameError> {
        let id = self.id;
        let sent = write_frame(self.channel, &Envelope { id, body });
        // Nothing of a frame that is too large, or is no JSON, has been sent.
        if let Err(error @ (FrameError::TooLarge(_) | FrameError::Message(_))) = sent {
            let body = Reply::Failed {
                kind: FailureKind::Internal,
                message: format!("the answer could not be sent: {error}"),
            };
            return write_frame(self.channel, &Envelope { id, body });
        }
        sent
    }
}

/// What the worker keeps between requests.
#[derive(Default)]
pub(crate) struct Worker {
    /// The first message, for a process that is to be like this one.
    pub(crate) hello: Option<Request>,
    loader: Option<Loader>,
    pub(crate) builder: Builder,
    pub(crate) objectives: Objectives,
    /// The GPU that kernels run on; without one they run on the CPU.
    gpu: Option<Arc<Gpu>>,
    /// Bytes of its memory that were free when this worker began.
    free_at_first: u64,
    peaks: Option<Option<Peaks>>,
    clock_resolution: Option<f64>,
}

impl Worker {
    fn handle(&mut self, reporter: &mut Reporter<'_>, request: Request) -> Result<Reply, Fault> {
        match request {
            Request::Hello {
                protocol,
                ref store,
                ref device,
                ref cpus,
            } => {
                let reply = self.hello(protocol, store.clone(), device, cpus)?;
                self.hello = Some(request);
                Ok(reply)
            }
            Request::Tools => Ok(Reply::Tools {
                tools: tools::tools(),
            }),
            Request::Probe { profiler } => Ok(Reply::Probed {
                absent: profile::probe(self, &profiler)?,
            }),
            Request::LoadPlugin { plugin, origin } => {
                self.loader()?.set_origin(&plugin, origin);
                let loaded = self.plugin(&plugin)?;
                Ok(Reply::Plugin {
                    kind: loaded.kind,
                    info: Box::new(loaded.info.clone()),
                })
            }
            Request::ResolveProblem { problem, fields } => {
                let found = self.problem(&problem)?;
                let spec = found.resolve(&fields).map_err(|error| {
                    Fault::refused(format!("the problem `{}`: {error}", problem.name))
                })?;
                let spec = Box::new(spec);
                Ok(Reply::Problem { spec })
            }
            Request::OpenObjective {
                objective,
                settings,
            } => {
                let space = objective::open(self, &objective, &settings)?;
                Ok(Reply::Objective { space })
            }
            Request::Build { kernel, request } => self.build(reporter, &kernel, &request),
            Request::Measure(job) => {
                let start = Instant::now();
                let measurement = measure::measure(self, reporter, &job)?;
                Ok(Reply::Outcome {
                    outcome: Box::new(Outcome::Measured(measurement)),
                    device_seconds: start.elapsed().as_secs_f64(),
                    charged: false,
                    spent: self.is_spent(),
                })
            }
            Request::Compare(job) => {
                let items = compare::compare(self, reporter, &job)?;
                Ok(Reply::Compared { items })
            }
            Request::Evaluate {
                objective,
                settings,
                config,
            } => objective::evaluate(self, reporter, &objective, &settings, &config),
            Request::Conform(job) => {
                let report = conform::conform(self, reporter, &job)?;
                Ok(Reply::Conformed { report })
            }
            Request::Profile(job) => {
                if let Some(reason) = profile::absent(self, &job)? {
                    return Ok(Reply::NoProfiler { reason });
                }
                Ok(match profile::profile(self, reporter, &job)? {
                    profile::Pass::Profiled(metrics) => Reply::Profiled { metrics },
                    profile::Pass::Absent(reason) => Reply::NoProfiler { reason },
                })
            }
            Request::Replay(job) => {
                let report = Box::new(replay::replay(self, reporter, &job)?);
                Ok(Reply::Replayed { report })
            }
        }
    }

    fn hello(
        &mut self,
        protocol: u32,
        store: PathBuf,
        device: &str,
        cpus: &[usize],
    ) -> Result<Reply, Fault> {
        if protocol != PROTOCOL {
            return Err(Fault::failed(
                FailureKind::Protocol,
                format!(
                    "`evo` speaks protocol {protocol} and its worker {PROTOCOL}: they are not of \
                     the same build; install one version of `evo`"
                ),
            ));
        }
        if !cpus.is_empty() {
            device::confine(cpus).map_err(Fault::refused)?;
        }
        self.gpu = open_gpu(device)?;
        self.free_at_first = self.gpu.as_ref().map_or(0, |gpu| gpu.free_bytes());
        self.loader = Some(Loader::new(store));
        let gpu = self.gpu.as_deref();
        Ok(Reply::Hello {
            protocol: PROTOCOL,
            device: gpu.map_or_else(device::facts, Gpu::facts),
        })
    }

    fn build(
        &mut self,
        reporter: &mut Reporter<'_>,
        kernel: &ComponentRef,
        request: &BuildRequest,
    ) -> Result<Reply, Fault> {
        let kernel = self.kernel(kernel)?;
        reporter.phase(Phase::Accept)?;
        build::check_request(&kernel, request)?;
        build::accept(&kernel, request)?;
        reporter.phase(Phase::Build)?;
        let finished = self.builder.build_accepted(&kernel, request)?;
        let built = &finished.built;
        let parts = Parts::of(&kernel, built, &request.config);
        Ok(Reply::Built {
            execution: parts.execution(&kernel),
            code: parts.code,
            launch: parts.launch,
            runtime: parts.runtime,
            resources: built.code.figures(&built.artifact.resources),
            log: cap_log(&built.artifact.log),
            seconds: finished.seconds,
        })
    }

    fn loader(&mut self) -> Result<&mut Loader, Fault> {
        self.loader.as_mut().ok_or_else(|| {
            Fault::failed(
                FailureKind::Protocol,
                "the first request must be `hello`: it says where plugins are",
            )
        })
    }

    /// A plugin, loaded if need be.
    pub(crate) fn plugin(&mut self, hash: &ContentHash) -> Result<Rc<LoadedPlugin>, Fault> {
        self.loader()?
            .plugin(hash)
            .map_err(|error| Fault::failed(FailureKind::Plugin, error.to_string()))
    }

    /// A kernel by plugin and name.
    pub(crate) fn kernel(&mut self, component: &ComponentRef) -> Result<Kernel, Fault> {
        let plugin = self.plugin(&component.plugin)?;
        let site = self.site(&plugin);
        Kernel::find(&plugin, &component.name, site).map_err(|error| missing(&plugin, error))
    }

    /// Where the kernels of a plugin work.
    fn site(&self, plugin: &LoadedPlugin) -> Site {
        match plugin.kind {
            PluginKind::Rust | PluginKind::C | PluginKind::Source | PluginKind::BuiltIn => {
                self.gpu.clone().map_or(Site::Host, Site::Cuda)
            }
            PluginKind::Process => {
                let stream = evo_process::new_stream();
                match &self.gpu {
                    Some(gpu) => Site::CudaProcess(Arc::clone(gpu), stream),
                    None => Site::Process(stream),
                }
            }
        }
    }

    /// A problem by plugin and name.
    pub(crate) fn problem(&mut self, component: &ComponentRef) -> Result<Problem, Fault> {
        let plugin = self.plugin(&component.plugin)?;
        Problem::find(&plugin, &component.name).map_err(|error| missing(&plugin, error))
    }

    /// What the device can do at most; found out once.
    pub(crate) fn peaks(&mut self) -> Option<Peaks> {
        let gpu = self.gpu.as_ref();
        *self.peaks.get_or_insert_with(|| match gpu {
            Some(gpu) => gpu.peaks().map(Peaks::Cuda),
            None => peaks::measure(),
        })
    }

    /// Whether a kernel brought the GPU's context down, after which nothing works any more in this
    /// process.
    pub(crate) fn is_lost(&self) -> bool {
        self.gpu.as_ref().is_some_and(|gpu| gpu.is_lost())
    }

    /// Whether candidates have left less than half of the device memory that was free at first: what
    /// they took goes with this process and those that it has started.
    fn is_spent(&self) -> bool {
        let free = |gpu: &Arc<Gpu>| gpu.free_bytes();
        self.gpu
            .as_ref()
            .is_some_and(|gpu| free(gpu) < self.free_at_first / 2)
    }

    /// The resolution of the clock in seconds; measured once.
    pub(crate) fn clock_resolution(&mut self) -> f64 {
        *self
            .clock_resolution
            .get_or_insert_with(clock::resolution_s)
    }
}

/// The GPU of a device's name: `cuda:0` by number; none for `cpu`.
fn open_gpu(device: &str) -> Result<Option<Arc<Gpu>>, Fault> {
    if device == "cpu" {
        return Ok(None);
    }
    let number = device.strip_prefix("cuda:").map(str::parse::<u32>);
    let Some(Ok(number)) = number else {
        return Err(Fault::refused(format!(
            "there is no device `{device}`: write `cpu`, or `cuda:0` by number"
        )));
    };
    let gpu = Gpu::open(number)
        .map_err(|error| Fault::refused(format!("the device `{device}`: {error}")))?;
    Ok(Some(Arc::new(gpu)))
}

fn missing(plugin: &LoadedPlugin, error: Error) -> Fault {
    Fault::refused(format!("the plugin `{}`: {error}", plugin.info.name))
}
