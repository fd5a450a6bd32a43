//! C and C++ through the system's compiler.

mod compiler;
mod library;
mod scratch;
mod shim;

use evo_plugin::{Artifact, BuildRequest, Error, Instance, Io, Stream};

pub(crate) use compiler::{Built, Toolchain, Unit, compile};
pub(crate) use library::{Entry, load_entry};
pub(crate) use shim::{Pointers, Shim};

use crate::Source;
use crate::call::Call;
use crate::kernel::{Job, build_failed};

/// Compiles a candidate.
///
/// # Errors
/// `BuildFailed`, with the compiler's text and the parameters in force.
pub(crate) fn build(source: &Source, request: &BuildRequest, job: Job) -> Result<Artifact, Error> {
    let shim = Shim::of_kernel(&source.description, &job);
    let toolchain = Toolchain::of(source.description.language)
        .map_err(|error| build_failed(&error, "", "", &request.config))?;
    let sources = source.description.sources.iter().skip(1);
    let unit = Unit {
        files: &job.rendered.files,
        shim: &shim,
        more_sources: sources.map(|text| text.value.clone()).collect(),
        macros: &job.rendered.macros,
        flags: &job.rendered.flags,
    };
    let built = compile(&toolchain, &unit).map_err(|failure| {
        build_failed(
            &failure.message,
            &failure.command,
            &failure.log,
            &request.config,
        )
    })?;
    Ok(Artifact {
        bytes: built.bytes.clone(),
        log: built.log.clone(),
        resources: crate::code::figures(&built.bytes),
        launch: job.call.launch,
    })
}

/// Makes a built candidate ready to be called.
///
/// # Errors
/// `Failed` where the library cannot be loaded.
pub(crate) fn load(artifact: &Artifact, call: Call) -> Result<Box<dyn Instance>, Error> {
    let entry = load_entry(&artifact.bytes)?;
    Ok(Box::new(HostInstance {
        entry,
        words: Vec::with_capacity(call.slots.len()),
        call,
    }))
}

struct HostInstance {
    entry: Entry,
    call: Call,
    words: Vec<u64>,
}

impl Instance for HostInstance {
    fn workspace_size(&self) -> usize {
        self.call.workspace
    }

    fn launch(&mut self, io: &mut Io<'_>, _: Stream) -> Result<(), Error> {
        self.call.fill(io, &mut self.words)?;
        // SAFETY: the words are the arguments that the shim was made for: addresses of the
        // framework's buffers, and scalars. What the user's function does with them is its own
        // matter, and the reason why it runs in a worker process.
        unsafe { self.entry.call(&mut self.words) };
        Ok(())
    }
}
