//! CUDA C++ through NVRTC.

mod geometry;

use evo_bundle::ScalarType;
use evo_cuda::{
    Argument, CompileRequest, CudaError, Device, ErrorKind, Function, Header, KernelFigures,
    Launch, LaunchConfig, Module, NvrtcError, arch_of,
};
use evo_plugin::{Artifact, BuildRequest, Error, Instance, Io, Stream, Value};

use crate::Source;
use crate::call::{Call, Slot};
use crate::kernel::{Job, build_failed};

/// What can be known before compiling.
///
/// # Errors
/// `Rejected` where the launch makes no sense on the device.
pub(crate) fn check(source: &Source, request: &BuildRequest, job: &Job) -> Result<(), Error> {
    arch(request)?;
    geometry::of(&source.description, &job.values).map(drop)
}

/// The architecture to compile for.
fn arch(request: &BuildRequest) -> Result<String, Error> {
    let facts = &request.device.facts;
    let capability = facts.get("COMPUTE_CAPABILITY").and_then(Value::as_int);
    capability
        .and_then(|capability| u32::try_from(capability).ok())
        .map(arch_of)
        .ok_or_else(|| {
            Error::Rejected(format!(
                "the device `{}` does not tell its compute capability",
                request.device.name
            ))
        })
}

/// Compiles a candidate. Needs no device.
///
/// # Errors
/// `BuildFailed`, with the compiler's text and the parameters in force.
pub(crate) fn build(source: &Source, request: &BuildRequest, job: Job) -> Result<Artifact, Error> {
    let config = geometry::of(&source.description, &job.values)?;
    let compile = compile_request(source, request, &job)?;
    let command = format!(
        "nvrtc --gpu-architecture={} {} {}",
        compile.arch,
        compile.options.join(" "),
        compile.name
    );
    let failed = |first: &str, log: &str| build_failed(first, &command, log, &request.config);
    let compiled = evo_cuda::compile(&compile).map_err(|error| match &error {
        NvrtcError::Compile { message, log } => failed(message, log),
        other => failed(&other.to_string(), ""),
    })?;
    let kernels = compiled
        .kernels()
        .map_err(|error| failed(&error.to_string(), &compiled.log))?;
    let symbol = compiled.lowered_names.first().map_or("", String::as_str);
    let figures = kernels.iter().find(|kernel| kernel.name == symbol);
    let figures = figures.ok_or_else(|| {
        let message = format!("`{}` is no `__global__` function", job.rendered.entry);
        failed(&message, &compiled.log)
    })?;
    check_arguments(source, &job.call, figures)
        .map_err(|message| failed(&message, &compiled.log))?;
    let resources = figures.metrics();
    let mut launch = job.call.launch;
    launch.extend(geometry::params(&config));
    Ok(Artifact {
        bytes: compiled.cubin,
        log: compiled.log,
        resources,
        launch,
    })
}

fn compile_request(
    source: &Source,
    request: &BuildRequest,
    job: &Job,
) -> Result<CompileRequest, Error> {
    let path = source.description.sources.first();
    let path = path.map_or("", |text| text.value.as_str());
    let normal = path.strip_prefix("./").unwrap_or(path);
    let content = job
        .rendered
        .files
        .get(normal)
        .ok_or_else(|| Error::Failed(format!("`{path}` is not in the bundle")))?;
    let text = |path: &str, content: &[u8]| {
        String::from_utf8(content.to_vec())
            .map_err(|_| Error::Rejected(format!("`{path}` is no UTF-8 text")))
    };
    let folder = normal
        .rsplit_once('/')
        .map(|(folder, _)| format!("{folder}/"));
    let mut headers = Vec::new();
    for (own, content) in job.rendered.files.iter().filter(|(own, _)| *own != normal) {
        let text = text(own, content)?;
        // NVRTC has no folders: a header beside the source is known by its short name too.
        let beside = folder
            .as_deref()
            .and_then(|folder| own.strip_prefix(folder));
        for name in [Some(own.as_str()), beside].into_iter().flatten() {
            headers.push(Header {
                name: name.to_owned(),
                text: text.clone(),
            });
        }
    }
    let mut options = job.rendered.flags.clone();
    if !options.iter().any(|flag| flag.contains("-std=")) {
        options.push("--std=c++17".to_owned());
    }
    options.extend(job.rendered.macros.iter().cloned());
    Ok(CompileRequest {
        name: normal.to_owned(),
        source: text(normal, content)?,
        headers,
        arch: arch(request)?,
        options,
        name_expressions: vec![job.rendered.entry.clone()],
    })
}

/// Compares the description's arguments with what the machine code takes: more cannot be known of
/// types there.
fn check_arguments(source: &Source, call: &Call, figures: &KernelFigures) -> Result<(), String> {
    let wanted: Vec<u32> = figures.parameters.iter().map(|it| it.bytes).collect();
    let given: Vec<u32> = call
        .slots
        .iter()
        .map(|slot| match slot {
            Slot::Scalar(ScalarType::Bool, _) => 1,
            Slot::Scalar(ScalarType::I32 | ScalarType::U32 | ScalarType::F32, _) => 4,
            _ => 8,
        })
        .collect();
    if wanted == given {
        return Ok(());
    }
    let line = source
        .description
        .argument_lines
        .first()
        .copied()
        .unwrap_or(1);
    let list = |sizes: &[u32]| {
        let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
        format!("{} of {} bytes", sizes.len(), sizes.join(", "))
    };
    Err(format!(
        "{}:{line}: the arguments are {}, but the parameters of `{}` are {}",
        source.description.file(),
        list(&given),
        source.description.entry.value,
        list(&wanted)
    ))
}

fn of_cuda(error: CudaError) -> Error {
    match error.kind() {
        ErrorKind::OutOfMemory => Error::OutOfMemory(error.to_string()),
        ErrorKind::ContextLost => Error::Crashed(error.to_string()),
        ErrorKind::Refused => Error::Rejected(error.to_string()),
        _ => Error::Failed(error.to_string()),
    }
}

/// Makes a built candidate ready to launch.
///
/// # Errors
/// `Failed` where the device does not take it.
pub(crate) fn load(
    source: &Source,
    artifact: &Artifact,
    request: &BuildRequest,
    call: Call,
) -> Result<Box<dyn Instance>, Error> {
    let device = Device::by_uuid(&request.device.uuid).map_err(of_cuda)?;
    // What a kernel leaves in a variable of its module is nobody else's.
    let alone = evo_cuda::has_variables(&artifact.bytes)
        .map_err(|error| Error::Rejected(error.to_string()))?;
    let module = if alone { Module::load } else { Module::shared };
    let module = module(&device, &artifact.bytes).map_err(of_cuda)?;
    let symbol = symbol(&source.description.entry.value, module.kernels())?;
    let function = module.function(symbol).map_err(of_cuda)?;
    let config = geometry::from_params(&artifact.launch)?;
    function.check(&config).map_err(of_cuda)?;
    Ok(Box::new(CudaInstance {
        config,
        function,
        call,
        words: Vec::new(),
        launch: None,
    }))
}

/// The symbol of the entry: as it is written (`extern "C"`), or with its name in a mangled one.
/// Only one instantiation of a template is ever asked for.
fn symbol<'a>(entry: &str, kernels: &'a [KernelFigures]) -> Result<&'a str, Error> {
    let name = entry.rsplit("::").next().unwrap_or(entry);
    let mangled = format!("{}{name}", name.len());
    let exact = kernels.iter().find(|kernel| kernel.name == name);
    let found: Vec<&KernelFigures> = match exact {
        Some(kernel) => vec![kernel],
        None => kernels
            .iter()
            .filter(|kernel| names(&kernel.name, &mangled))
            .collect(),
    };
    match found.as_slice() {
        [kernel] => Ok(&kernel.name),
        [] => Err(Error::Failed(format!(
            "the machine code has no kernel `{entry}`"
        ))),
        _ => Err(Error::Failed(format!(
            "`{entry}` is several kernels; give the one that is meant a name of its own"
        ))),
    }
}

/// Whether a mangled symbol has this name with its length: `3add`, and not as the end of the length
/// of another name, as in `13add_something`.
fn names(symbol: &str, mangled: &str) -> bool {
    symbol
        .match_indices(mangled)
        .any(|(at, _)| !symbol[..at].ends_with(|before: char| before.is_ascii_digit()))
}

struct CudaInstance {
    function: Function,
    config: LaunchConfig,
    call: Call,
    words: Vec<u64>,
    launch: Option<Launch>,
}

impl Instance for CudaInstance {
    fn workspace_size(&self) -> usize {
        self.call.workspace
    }

    fn bind(&mut self, io: &mut Io<'_>) -> Result<(), Error> {
        self.call.fill(io, &mut self.words)?;
        let arguments: Vec<Argument> = self
            .call
            .slots
            .iter()
            .zip(&self.words)
            .map(|(slot, word)| argument(slot, *word))
            .collect();
        let launch = self.function.prepare(&self.config, &arguments);
        self.launch = Some(launch.map_err(of_cuda)?);
        Ok(())
    }

    fn launch(&mut self, _: &mut Io<'_>, stream: Stream) -> Result<(), Error> {
        let launch = self
            .launch
            .as_ref()
            .ok_or_else(|| Error::Failed("launched before it was bound".to_owned()))?;
        // SAFETY: the framework hands over a stream of the device that it chose, and keeps the
        // buffers of the last `bind` until the stream is done.
        unsafe { launch.run(stream.0) }.map_err(of_cuda)
    }
}

/// An argument by its bytes, of which a scalar has the lowest.
fn argument(slot: &Slot, word: u64) -> Argument {
    let low = |count: usize| Argument::Bytes(word.to_le_bytes().into_iter().take(count).collect());
    match slot {
        Slot::Scalar(ScalarType::Bool, _) => low(1),
        Slot::Scalar(ScalarType::I32 | ScalarType::U32 | ScalarType::F32, _) => low(4),
        Slot::Scalar(ScalarType::I64 | ScalarType::U64 | ScalarType::F64, _) => low(8),
        Slot::Input(..) | Slot::Output(..) | Slot::Workspace => Argument::Address(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels(names: &[&str]) -> Vec<KernelFigures> {
        let kernel = |name: &&str| KernelFigures {
            name: (*name).to_owned(),
            ..KernelFigures::default()
        };
        names.iter().map(kernel).collect()
    }

    #[test]
    fn the_entry_is_found_among_the_symbols() {
        let all = kernels(&["scale", "_Z6scale2Pf", "_ZN1n3addILi4EEEvPf"]);
        assert_eq!(symbol("scale", &all).unwrap(), "scale");
        assert_eq!(symbol("n::add", &all).unwrap(), "_ZN1n3addILi4EEEvPf");
        assert_eq!(symbol("scale2", &all).unwrap(), "_Z6scale2Pf");
        assert!(symbol("other", &all).is_err());
        let longer = kernels(&["_Z13add_and_scalePf", "_Z3addPf"]);
        assert_eq!(symbol("add", &longer).unwrap(), "_Z3addPf");
        let twice = kernels(&["_Z3addPf", "_Z3addPd"]);
        assert!(symbol("add", &twice).is_err());
    }

    #[test]
    fn a_scalar_has_as_many_bytes_as_its_type() {
        let slot = Slot::Scalar(ScalarType::I32, 0);
        let word = u64::from((-2i32).cast_unsigned());
        assert_eq!(
            argument(&slot, word),
            Argument::Bytes((-2i32).to_le_bytes().to_vec())
        );
        assert_eq!(argument(&Slot::Workspace, 7), Argument::Address(7));
    }
}
