//! The traits that plugins implement.

use evo_types::{
    Artifact, BuildRequest, DeviceFacts, KernelInfo, Metric, ObjectiveInfo, Params, ProblemInfo,
    ProblemSpec, ProfilerInfo,
};

use crate::{Error, Io, Tensor, TensorMut};

/// A queue of work on a device: the driver's stream handle, or 0 on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(pub u64);

/// Which rows of the outputs a reference is wanted for. A row is the last dimension of a tensor;
/// rows are numbered in row-major order over the dimensions before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows<'a> {
    /// Every row.
    All,
    /// These rows, in ascending order; the other rows of the outputs are left as they are.
    Some(&'a [u64]),
}

/// A kernel: an implementation of one or several problems, with parameters.
///
/// All methods may be called from several threads at once.
pub trait Kernel: Send + Sync + 'static {
    /// Name, version, problems, devices and parameters.
    fn info(&self) -> KernelInfo;

    /// A cheap static check, before anything is built.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason, in words for people.
    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// Builds the code: on the CPU only, deterministic, without the device.
    ///
    /// # Errors
    /// [`Error::BuildFailed`] with the build tool's text, or [`Error::Rejected`].
    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error>;

    /// Makes a built artifact ready to launch.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or [`Error::Failed`] where the artifact cannot be loaded.
    fn load(&self, artifact: &Artifact, request: &BuildRequest)
    -> Result<Box<dyn Instance>, Error>;
}

/// A loaded kernel. Called by one thread at a time, in the order `workspace_size`, then any number
/// of times `prepare`, `bind` and `launch`.
pub trait Instance: Send {
    /// Bytes of scratch memory that `launch` needs; the framework allocates them.
    fn workspace_size(&self) -> usize {
        0
    }

    /// Changes the layout of inputs or quantises them, ahead of the launches. Only for kernels
    /// whose [`KernelInfo::prepares`] is true. Timed apart, and together with the launch.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] or [`Error::Failed`].
    fn prepare(&mut self, inputs: &[Tensor<'_>]) -> Result<(), Error> {
        let _ = inputs;
        Ok(())
    }

    /// Tells the instance which buffers the next launches use: the place for tensor maps and
    /// other descriptions of addresses. Nothing may be computed here.
    ///
    /// # Errors
    /// [`Error::Failed`].
    fn bind(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        let _ = io;
        Ok(())
    }

    /// Executes once, on the buffers of the last `bind`, keeping no state for the next launch. On
    /// a CPU the work is done when this returns; on a GPU it is in the stream.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::OutOfMemory`].
    fn launch(&mut self, io: &mut Io<'_>, stream: Stream) -> Result<(), Error>;
}

/// A problem: what is to be computed, on which inputs, and what is right.
///
/// All methods may be called from several threads at once.
pub trait Problem: Send + Sync + 'static {
    /// The problem's name and fields.
    fn info(&self) -> ProblemInfo;

    /// Fixes the problem: `fields` has a checked value for every field of [`ProblemInfo`].
    ///
    /// # Errors
    /// [`Error::Rejected`] where the fields do not fit together.
    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error>;

    /// Fills the inputs from a seed; the same seed and distribution give the same inputs.
    ///
    /// # Errors
    /// [`Error::Failed`] for an unknown distribution.
    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error>;

    /// Computes the outputs in float64 from the inputs as the kernel sees them. Each output is a
    /// tensor of `f64` with the shape of the problem's output.
    ///
    /// # Errors
    /// [`Error::Failed`].
    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error>;
}

/// Turns configurations into metrics without being a kernel: a recorded space, a command, a
/// simulator.
pub trait Objective: Send + Sync + 'static {
    /// Name, settings and default space.
    fn info(&self) -> ObjectiveInfo;

    /// Opens the objective with checked settings.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Rejected`] where the settings make no sense.
    fn open(&self, settings: &Params) -> Result<Box<dyn OpenObjective>, Error>;
}

/// An objective with its settings. Called by one thread at a time.
pub trait OpenObjective: Send {
    /// The search space as RON, where it depends on the settings; `None` for the space in
    /// [`ObjectiveInfo::space`].
    fn space(&self) -> Option<String> {
        None
    }

    /// Evaluates one configuration.
    ///
    /// # Errors
    /// The kind of error becomes the outcome; [`Error::at_cost`] says what it cost when it was
    /// recorded.
    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error>;
}

/// What an objective returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The metrics, among them the one that [`ObjectiveInfo::metric`] names.
    pub metrics: Vec<Metric>,
    /// Seconds to charge to the budget instead of the time it really took: for recorded costs.
    pub cost_s: Option<f64>,
}

impl Evaluation {
    /// An evaluation with one metric, charged with the time it took.
    pub fn of(metric: Metric) -> Self {
        Self {
            metrics: vec![metric],
            cost_s: None,
        }
    }
}

/// Looks at a candidate while it runs, in a pass of its own that is never ranked.
pub trait Profiler: Send + Sync + 'static {
    /// Name, devices and rules.
    fn info(&self) -> ProfilerInfo;

    /// Whether it can work here; asked once before it is used.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason and the cure.
    fn probe(&self, device: &DeviceFacts) -> Result<(), Error> {
        let _ = device;
        Ok(())
    }

    /// Runs the candidate as often as it likes and returns what it saw.
    ///
    /// # Errors
    /// [`Error::Failed`]; the search goes on without this profile. [`Error::Rejected`] where it works with
    /// no candidate here, which it could not know when it was probed: that is told once, with the reason.
    fn profile(&self, runnable: &mut dyn Runnable) -> Result<Vec<Metric>, Error>;
}

/// A candidate that a profiler may launch.
pub trait Runnable {
    /// The problem, the configuration and the device.
    fn request(&self) -> &BuildRequest;

    /// The built artifact.
    fn artifact(&self) -> &Artifact;

    /// Launches once and waits until the work is done.
    ///
    /// # Errors
    /// What the kernel returned.
    fn launch(&mut self) -> Result<(), Error>;

    /// A program and its arguments that launch the same candidate in a process of its own, for tools
    /// that look at a process from outside: once to warm up, then so often. On a GPU the launches after
    /// the first lie between `cuProfilerStart` and `cuProfilerStop`.
    ///
    /// # Errors
    /// [`Error::Rejected`] where this evo cannot do it.
    fn command(&self, launches: u32) -> Result<Vec<String>, Error> {
        let _ = launches;
        Err(Error::Rejected(
            "this evo cannot launch a candidate in a process of its own".to_owned(),
        ))
    }

    /// A folder for files that the run keeps, such as the report of a tool.
    fn folder(&self) -> Option<std::path::PathBuf> {
        None
    }

    /// What the run has measured of the candidate without a profiler, such as `kernel_time`; empty
    /// where nothing was.
    fn measured(&self) -> &[Metric] {
        &[]
    }
}
