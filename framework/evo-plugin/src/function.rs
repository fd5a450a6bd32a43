//! The shortest way to a kernel in Rust: a function that is called for every launch.

use evo_types::{Artifact, BuildRequest, KernelInfo};

use crate::{Error, Instance, Io, Kernel, Stream};

/// A kernel that is one function of this library.
///
/// There is nothing to build, so all parameters act at launch: the function reads them from
/// [`BuildRequest::config`], where those that a search space does not have are at their defaults.
///
/// ```
/// use evo_plugin::{BuildRequest, CpuFunction, Error, Io, KernelInfo, Plugin, int};
///
/// fn row_sum(request: &BuildRequest, io: &mut Io<'_>) -> Result<(), Error> {
///     let (x, unroll) = (io.input(0)?, int(&request.config, "UNROLL")?);
///     let columns = x.shape()[1];
///     // ... a loop over `x.as_slice::<f32>()?` that writes `io.output(0)?.as_mut_slice::<f32>()?`
/// #   let _ = (columns, unroll);
///     Ok(())
/// }
///
/// fn plugin() -> Plugin {
///     let info = KernelInfo::new("row_sum", "1", "Sums of rows")
///         .solves("reduction")
///         .param("UNROLL", 4, "Elements of a step of the loop");
///     Plugin::new("sums", "1.0.0", "Sums").kernel(CpuFunction::new(info, row_sum).only("op", "sum"))
/// }
/// # assert_eq!(plugin().info().kernels[0].problems, ["reduction"]);
/// ```
pub struct CpuFunction {
    info: KernelInfo,
    function: Function,
    only: Vec<(String, String)>,
}

/// What is called for a launch.
type Function = fn(&BuildRequest, &mut Io<'_>) -> Result<(), Error>;

impl CpuFunction {
    /// A kernel of this description. The function computes the outputs from the inputs and
    /// returns when it is done; it keeps nothing for the next launch.
    pub fn new(info: KernelInfo, function: Function) -> Self {
        Self {
            info,
            function,
            only: Vec::new(),
        }
    }

    /// Refuses a problem whose field has another value, such as an element type that the function
    /// does not know.
    #[must_use]
    pub fn only(mut self, field: &str, value: &str) -> Self {
        self.only.push((field.to_owned(), value.to_owned()));
        self
    }

    /// The request with every parameter of the kernel in it.
    fn complete(&self, request: &BuildRequest) -> BuildRequest {
        let mut complete = request.clone();
        for param in &self.info.params {
            let value = complete.config.entry(param.name.clone());
            value.or_insert_with(|| param.default.clone());
        }
        complete
    }
}

impl Kernel for CpuFunction {
    fn info(&self) -> KernelInfo {
        self.info.clone()
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        for (field, only) in &self.only {
            let value = request.problem.fields.get(field);
            let value = value.map_or_else(|| "absent".to_owned(), ToString::to_string);
            if value != *only {
                return Err(Error::Rejected(format!(
                    "`{}` works where the field `{field}` of the problem is {only}, and it is \
                     {value}",
                    self.info.name
                )));
            }
        }
        Ok(())
    }

    fn build(&self, _: &BuildRequest) -> Result<Artifact, Error> {
        // The code is in the library, whose hash is known: the name is all there is to add.
        Ok(Artifact {
            bytes: self.info.name.clone().into_bytes(),
            ..Artifact::default()
        })
    }

    fn load(&self, _: &Artifact, request: &BuildRequest) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(Loaded {
            request: self.complete(request),
            function: self.function,
        }))
    }
}

struct Loaded {
    request: BuildRequest,
    function: Function,
}

impl Instance for Loaded {
    fn launch(&mut self, io: &mut Io<'_>, _: Stream) -> Result<(), Error> {
        (self.function)(&self.request, io)
    }
}

#[cfg(test)]
mod tests {
    use evo_types::{CachePolicy, DeviceFacts, Params, ProblemSpec, Value};

    use super::*;
    use crate::abi::RawIo;

    fn request(config: Params) -> BuildRequest {
        BuildRequest {
            problem: ProblemSpec {
                problem: "p".into(),
                fields: Params::from([("op".to_owned(), "sum".into())]),
                tensors: vec![],
                constants: Params::new(),
                gates: vec![],
                flops: 0.0,
                bytes: 0.0,
                cache: CachePolicy::Hot,
                extra_shapes: vec![],
                unquantised: Params::new(),
                distributions: vec![],
            },
            config,
            device: DeviceFacts {
                kind: "cpu".into(),
                name: String::new(),
                uuid: String::new(),
                facts: Params::new(),
            },
        }
    }

    fn tell(request: &BuildRequest, _: &mut Io<'_>) -> Result<(), Error> {
        Err(Error::Failed(evo_types::format_params(&request.config)))
    }

    #[test]
    fn the_function_sees_every_parameter() {
        let info = KernelInfo::new("k", "1", "d")
            .param("A", 1, "a")
            .param("B", "x", "b");
        assert!(info.params.iter().all(|param| param.runtime));
        let kernel = CpuFunction::new(info, tell);
        let given = request(Params::from([("A".to_owned(), Value::from(7))]));
        let artifact = kernel.build(&given).unwrap();
        let mut loaded = kernel.load(&artifact, &given).unwrap();
        let io = RawIo {
            inputs: Vec::new().into(),
            outputs: Vec::new().into(),
            workspace: std::ptr::null_mut(),
            workspace_bytes: 0,
        };
        // SAFETY: there are no buffers.
        let mut io = unsafe { Io::from_raw(&io) };
        assert_eq!(
            loaded.launch(&mut io, Stream(0)),
            Err(Error::Failed("A=7 B=x".into()))
        );
    }

    #[test]
    fn a_problem_that_the_function_does_not_know_is_refused() {
        let kernel = || CpuFunction::new(KernelInfo::new("k", "1", "d"), tell);
        let given = request(Params::new());
        assert_eq!(kernel().only("op", "sum").accept(&given), Ok(()));
        assert_eq!(
            kernel().only("op", "max").accept(&given),
            Err(Error::Rejected(
                "`k` works where the field `op` of the problem is max, and it is sum".into()
            ))
        );
    }
}
