//! Loaded kernels: one or several launches in a stream.

use evo_cuda::{Argument, CudaError, Device, ErrorKind, Function, Launch, LaunchConfig, Module};
use evo_plugin::{Artifact, BuildRequest, Error, Instance, Io, Params, Stream, Value};

use crate::task::Task;

/// The arguments of a launch, from those that all kernels take and the address of the workspace (0
/// where there is none).
type Arrange = Box<dyn Fn(&[Argument], u64) -> Result<Vec<Argument>, CudaError> + Send>;

/// One of the launches of an execution.
pub(crate) struct Step {
    entry: &'static str,
    config: LaunchConfig,
    arrange: Arrange,
}

impl Step {
    /// A launch whose arguments are arranged by its kernel's needs.
    pub(crate) fn new(
        entry: &'static str,
        config: LaunchConfig,
        arrange: impl Fn(&[Argument], u64) -> Result<Vec<Argument>, CudaError> + Send + 'static,
    ) -> Self {
        Self {
            entry,
            config,
            arrange: Box::new(arrange),
        }
    }

    /// A launch that takes what all take, and behind it the workspace where there is one.
    pub(crate) fn plain(entry: &'static str, config: LaunchConfig) -> Self {
        Self::new(entry, config, |arguments, workspace| {
            let mut all = arguments.to_vec();
            if workspace != 0 {
                all.push(Argument::Address(workspace));
            }
            Ok(all)
        })
    }
}

/// The launches of one execution.
pub(crate) struct Loaded {
    task: Task,
    steps: Vec<(Function, Step)>,
    /// Bytes of scratch memory.
    workspace: usize,
    bound: Vec<Launch>,
}

fn of_cuda(error: CudaError) -> Error {
    match error.kind() {
        ErrorKind::OutOfMemory => Error::OutOfMemory(error.to_string()),
        ErrorKind::ContextLost => Error::Crashed(error.to_string()),
        ErrorKind::Refused => Error::Rejected(error.to_string()),
        _ => Error::Failed(error.to_string()),
    }
}

/// A number out of an artifact's launch.
///
/// # Errors
/// `Failed` where the artifact is not one of these kernels.
pub(crate) fn number(launch: &Params, name: &str) -> Result<u32, Error> {
    let value = launch.get(name).and_then(Value::as_int);
    value
        .and_then(|value| u32::try_from(value).ok())
        .ok_or_else(|| Error::Failed(format!("the artifact's launch has no `{name}`")))
}

/// The launch that an artifact of tiles of rows is for.
///
/// # Errors
/// As [`number`].
pub(crate) fn tiled(artifact: &Artifact, early: bool) -> Result<LaunchConfig, Error> {
    let number = |name| number(&artifact.launch, name);
    Ok(LaunchConfig {
        grid: [number("grid_x")?, number("grid_y")?, 1],
        block: [number("block_x")?, 1, 1],
        shared_bytes: number("shared_bytes")?,
        cluster: None,
        early,
    })
}

impl Loaded {
    /// Brings machine code to the device: kernels in the order of their launches.
    ///
    /// # Errors
    /// Where the device does not take it.
    pub(crate) fn new(
        artifact: &Artifact,
        request: &BuildRequest,
        task: Task,
        steps: Vec<Step>,
        workspace: usize,
    ) -> Result<Self, Error> {
        let device = Device::by_uuid(&request.device.uuid).map_err(of_cuda)?;
        // All variables of these kernels are constants.
        let module = Module::shared(&device, &artifact.bytes).map_err(of_cuda)?;
        let steps = steps
            .into_iter()
            .map(|step| {
                let function = module.function(step.entry)?;
                function.check(&step.config)?;
                Ok((function, step))
            })
            .collect::<Result<Vec<_>, CudaError>>()
            .map_err(of_cuda)?;
        Ok(Self {
            task,
            steps,
            workspace,
            bound: Vec::new(),
        })
    }
}

impl Instance for Loaded {
    fn workspace_size(&self) -> usize {
        self.workspace
    }

    fn bind(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        let arguments = self.task.arguments(io)?;
        let workspace = match self.workspace {
            0 => 0,
            _ => io.workspace_pointer().0 as usize as u64,
        };
        self.bound = self
            .steps
            .iter()
            .map(|(function, step)| {
                function.prepare(&step.config, &(step.arrange)(&arguments, workspace)?)
            })
            .collect::<Result<_, _>>()
            .map_err(of_cuda)?;
        Ok(())
    }

    fn launch(&mut self, _: &mut Io<'_>, stream: Stream) -> Result<(), Error> {
        if self.bound.is_empty() {
            return Err(Error::Failed("launched before it was bound".to_owned()));
        }
        for launch in &self.bound {
            // SAFETY: the framework hands over a stream of the device that it chose, and keeps the
            // buffers of the last `bind` until the stream is done.
            unsafe { launch.run(stream.0) }.map_err(of_cuda)?;
        }
        Ok(())
    }
}
