//! A kernel of the other process.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use evo_plugin::{
    Artifact, BuildRequest, Error, Instance, Io, Kernel, KernelInfo, Metric, Params, Stream, Tensor,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::queue;
use crate::tensors::{Mentioned, View};

pub(crate) struct ProcessKernel {
    connection: Arc<Connection>,
    info: KernelInfo,
}

/// An answer in which nothing is of interest but that it came.
#[derive(Deserialize)]
pub(crate) struct Done {}

#[derive(Deserialize)]
struct Built {
    artifact: ArtifactDocument,
}

/// An artifact as it crosses: the bytes in base64.
#[derive(Deserialize)]
struct ArtifactDocument {
    #[serde(default)]
    bytes: String,
    #[serde(default)]
    log: String,
    #[serde(default)]
    resources: Vec<Metric>,
    #[serde(default)]
    launch: Params,
}

#[derive(Deserialize)]
struct Loaded {
    #[serde(default)]
    workspace_bytes: usize,
}

impl ProcessKernel {
    pub(crate) fn new(connection: &Arc<Connection>, info: KernelInfo) -> Self {
        Self {
            connection: Arc::clone(connection),
            info,
        }
    }
}

impl Kernel for ProcessKernel {
    fn info(&self) -> KernelInfo {
        self.info.clone()
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let fields = json!({ "kernel": self.info.name, "request": request });
        self.connection.ask("accept", fields).map(|Done {}| ())
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let fields = json!({ "kernel": self.info.name, "request": request });
        let Built { artifact } = self.connection.ask("build", fields)?;
        let bytes = BASE64.decode(&artifact.bytes).map_err(|error| {
            Error::Failed(format!(
                "the process's artifact cannot be used: its bytes are no base64: {error}"
            ))
        })?;
        Ok(Artifact {
            bytes,
            log: artifact.log,
            resources: artifact.resources,
            launch: artifact.launch,
        })
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let id = self.connection.new_object();
        let fields = json!({
            "kernel": self.info.name,
            "instance": id,
            "artifact": { "bytes": BASE64.encode(&artifact.bytes), "launch": artifact.launch },
            "request": request,
        });
        let loaded: Loaded = self.connection.ask("load", fields)?;
        Ok(Box::new(ProcessInstance {
            connection: Arc::clone(&self.connection),
            id,
            workspace_bytes: loaded.workspace_bytes,
        }))
    }
}

struct ProcessInstance {
    connection: Arc<Connection>,
    id: u64,
    workspace_bytes: usize,
}

impl Instance for ProcessInstance {
    fn workspace_size(&self) -> usize {
        self.workspace_bytes
    }

    fn prepare(&mut self, inputs: &[Tensor<'_>]) -> Result<(), Error> {
        let mut mentioned = Mentioned::default();
        let inputs = inputs
            .iter()
            .map(|tensor| mentioned.tensor(&View::of(tensor)?))
            .collect::<Result<Vec<_>, _>>()?;
        let fields = json!({
            "instance": self.id,
            "memories": mentioned.memories(&self.connection),
            "inputs": inputs,
        });
        self.connection.ask("prepare", fields).map(|Done {}| ())
    }

    fn bind(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        let mut mentioned = Mentioned::default();
        let inputs = (0..io.inputs())
            .map(|index| mentioned.tensor(&View::of(&io.input(index)?)?))
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = io
            .outputs_mut()
            .iter()
            .map(|tensor| mentioned.tensor(&View::of_mut(tensor)?))
            .collect::<Result<Vec<_>, _>>()?;
        let (pointer, bytes) = io.workspace_pointer();
        let workspace = if pointer.is_null() {
            Value::Null
        } else {
            mentioned.buffer(pointer, bytes)?
        };
        let fields = json!({
            "instance": self.id,
            "memories": mentioned.memories(&self.connection),
            "inputs": inputs,
            "outputs": outputs,
            "workspace": workspace,
        });
        self.connection.ask("bind", fields).map(|Done {}| ())
    }

    /// Queues the launch; on the stream 0, which nobody finishes, it runs at once.
    fn launch(&mut self, _io: &mut Io<'_>, stream: Stream) -> Result<(), Error> {
        queue::push(stream.0, &self.connection, self.id);
        if stream.0 == 0 {
            queue::finish(0)?;
        }
        Ok(())
    }
}

impl Drop for ProcessInstance {
    fn drop(&mut self) {
        // Where the process is gone, so is the instance.
        let _ = self
            .connection
            .ask::<Done>("unload", json!({ "instance": self.id }));
    }
}
