//! A kernel of a C plugin.

use std::ffi::c_void;

use evo_plugin::abi::RawTensor;
use evo_plugin::{Artifact, BuildRequest, Error, Instance, Io, Kernel, KernelInfo, Stream, Tensor};
use evo_types::ContentHash;

use crate::abi;
use crate::component::Component;
use crate::function::Function;
use crate::marshal::OwnedRequest;
use crate::sink::call;

/// A kernel whose table was checked.
pub(crate) struct CKernel {
    pub(crate) component: Component<abi::Kernel>,
    pub(crate) info: KernelInfo,
    /// The content of the plugin's file: the code of a kernel that builds nothing.
    pub(crate) code: ContentHash,
}

impl CKernel {
    /// The request with every parameter of the description in it.
    fn complete(&self, request: &BuildRequest) -> BuildRequest {
        let mut request = request.clone();
        for param in &self.info.params {
            request
                .config
                .entry(param.name.clone())
                .or_insert_with(|| param.default.clone());
        }
        request
    }
}

impl Kernel for CKernel {
    fn info(&self) -> KernelInfo {
        self.info.clone()
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        let Some(accept) = self.component.table.accept else {
            return Ok(());
        };
        let request = OwnedRequest::new(&self.complete(request))?;
        let kernel = self.component.address;
        call(Function::Accept, &self.component.label, |host| {
            // SAFETY: the plugin's own table and function, and a request that outlives the call.
            unsafe { accept(kernel, request.as_ptr(), host) }
        })?;
        Ok(())
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let request = self.complete(request);
        let Some(build) = self.component.table.build else {
            return Ok(Artifact {
                bytes: self.code.as_str().as_bytes().to_vec(),
                launch: request.config,
                ..Artifact::default()
            });
        };
        let request = OwnedRequest::new(&request)?;
        let kernel = self.component.address;
        let returned = call(Function::Build, &self.component.label, |host| {
            // SAFETY: as in `accept`.
            unsafe { build(kernel, request.as_ptr(), host) }
        })?;
        Ok(Artifact {
            bytes: returned.bytes,
            log: returned.log,
            resources: returned.metrics,
            launch: returned.launch,
        })
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let launch = self.component.table.launch.ok_or("`launch` is NULL")?;
        let request = OwnedRequest::new(&self.complete(request))?;
        let artifact = artifact.bytes.clone();
        let raw = Box::new(abi::Instance {
            struct_size: size_of::<abi::Instance>(),
            kernel: self.component.address,
            request: request.as_ptr(),
            artifact: artifact.as_ptr().cast::<c_void>(),
            artifact_size: artifact.len(),
            state: std::ptr::null_mut(),
        });
        let mut instance = CInstance {
            component: self.component.clone(),
            launch,
            loaded: false,
            workspace: 0,
            raw: Box::into_raw(raw),
            _request: request,
            _artifact: artifact,
        };
        instance.load()?;
        Ok(Box::new(instance))
    }
}

type Launch =
    unsafe extern "C-unwind" fn(*mut abi::Instance, *const abi::Io, *const abi::Host) -> i32;

struct CInstance {
    component: Component<abi::Kernel>,
    launch: Launch,
    loaded: bool,
    workspace: usize,
    /// A box, held as a pointer: the plugin keeps this address and writes through it.
    raw: *mut abi::Instance,
    _request: OwnedRequest,
    _artifact: Vec<u8>,
}

// SAFETY: the header asks a plugin to let an instance be used from any thread, by one at a time;
// everything else behind the pointers belongs to this value.
unsafe impl Send for CInstance {}

impl CInstance {
    fn load(&mut self) -> Result<(), Error> {
        let raw = self.raw;
        if let Some(load) = self.component.table.load {
            call(Function::Load, &self.component.label, |host| {
                // SAFETY: an instance that lives until `unload` has returned.
                unsafe { load(raw, host) }
            })?;
        }
        self.loaded = true;
        if let Some(workspace_size) = self.component.table.workspace_size {
            let mut bytes = 0;
            call(Function::WorkspaceSize, &self.component.label, |host| {
                // SAFETY: as above.
                unsafe { workspace_size(raw, &raw mut bytes, host) }
            })?;
            self.workspace = bytes;
        }
        Ok(())
    }

    fn with_io(
        &self,
        function: Function,
        io: &Io<'_>,
        stream: u64,
        body: Launch,
    ) -> Result<(), Error> {
        let raw = io.raw();
        let (workspace, workspace_size) = io.workspace_pointer();
        let io = abi::Io {
            struct_size: size_of::<abi::Io>(),
            inputs: raw.inputs.as_ptr(),
            input_count: raw.inputs.len(),
            outputs: raw.outputs.as_ptr(),
            output_count: raw.outputs.len(),
            workspace: workspace.cast::<c_void>(),
            workspace_size,
            stream,
        };
        call(function, &self.component.label, |host| {
            // SAFETY: a loaded instance, and buffers that are lent for this call.
            unsafe { body(self.raw, &raw const io, host) }
        })?;
        Ok(())
    }
}

impl Instance for CInstance {
    fn workspace_size(&self) -> usize {
        self.workspace
    }

    fn prepare(&mut self, inputs: &[Tensor<'_>]) -> Result<(), Error> {
        let Some(prepare) = self.component.table.prepare else {
            return Ok(());
        };
        let inputs: Vec<RawTensor> = inputs.iter().map(|tensor| *tensor.raw()).collect();
        let raw = self.raw;
        call(Function::Prepare, &self.component.label, |host| {
            // SAFETY: a loaded instance, and inputs that are readable during the call.
            unsafe { prepare(raw, inputs.as_ptr(), inputs.len(), host) }
        })?;
        Ok(())
    }

    fn bind(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        match self.component.table.bind {
            Some(bind) => self.with_io(Function::Bind, io, 0, bind),
            None => Ok(()),
        }
    }

    fn launch(&mut self, io: &mut Io<'_>, stream: Stream) -> Result<(), Error> {
        self.with_io(Function::Launch, io, stream.0, self.launch)
    }
}

impl Drop for CInstance {
    fn drop(&mut self) {
        if let (true, Some(unload)) = (self.loaded, self.component.table.unload) {
            // SAFETY: loaded, and not used again.
            unsafe { unload(self.raw) };
        }
        // SAFETY: made from a box in `load`, and given back once.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}
