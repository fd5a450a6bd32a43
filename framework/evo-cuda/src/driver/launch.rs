//! Launches: geometry and arguments, checked once and used many times.

use std::ffi::c_void;

use cudarc::driver::sys::{
    self, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue, CUlaunchConfig, CUstream,
};

use super::device::DeviceLimits;
use super::error::{CudaError, check};
use super::module::Function;
use crate::cubin::KernelFigures;

/// The geometry of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// Blocks of a cluster in x, y and z, where the kernel is launched in clusters.
    pub cluster: Option<[u32; 3]>,
    /// Whether the kernel may start while the one before it in the stream still runs (programmatic
    /// dependent launch). It has to wait for that by itself before it touches what the other one
    /// reads or writes.
    pub early: bool,
}

/// An argument of a kernel.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Argument {
    /// An address on the device.
    Address(u64),
    /// A signed byte.
    I8(i8),
    /// A byte.
    U8(u8),
    /// A signed integer of 16 bits.
    I16(i16),
    /// An integer of 16 bits.
    U16(u16),
    /// A signed integer of 32 bits.
    I32(i32),
    /// An integer of 32 bits.
    U32(u32),
    /// A signed integer of 64 bits.
    I64(i64),
    /// An integer of 64 bits.
    U64(u64),
    /// A single-precision number.
    F32(f32),
    /// A double-precision number.
    F64(f64),
    /// Anything else by its bytes: a `half`, a structure, a tensor map.
    Bytes(Vec<u8>),
}

impl Argument {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(value) | Self::U64(value) => value.to_ne_bytes().to_vec(),
            Self::I8(value) => value.to_ne_bytes().to_vec(),
            Self::U8(value) => value.to_ne_bytes().to_vec(),
            Self::I16(value) => value.to_ne_bytes().to_vec(),
            Self::U16(value) => value.to_ne_bytes().to_vec(),
            Self::I32(value) => value.to_ne_bytes().to_vec(),
            Self::U32(value) => value.to_ne_bytes().to_vec(),
            Self::I64(value) => value.to_ne_bytes().to_vec(),
            Self::F32(value) => value.to_ne_bytes().to_vec(),
            Self::F64(value) => value.to_ne_bytes().to_vec(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// As tensor maps have to be aligned, which no other argument exceeds.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(128))]
struct Line([u8; 128]);

/// A function with geometry and arguments: what is needed to launch it any number of times.
pub struct Launch {
    function: Function,
    config: LaunchConfig,
    /// The arguments' bytes, each at the start of a line.
    _values: Box<[Line]>,
    /// Where each argument's bytes are in `_values`.
    arguments: Vec<*mut c_void>,
}

// SAFETY: the pointers lead into memory that the launch owns, and nobody writes there.
unsafe impl Send for Launch {}
// SAFETY: as above.
unsafe impl Sync for Launch {}

impl std::fmt::Debug for Launch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Launch({:?}, {:?})", self.function, self.config)
    }
}

impl Function {
    /// Whether the kernel can be launched so on its device, whatever its arguments: threads,
    /// registers, shared memory, clusters.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](super::ErrorKind::Refused), with the reason.
    pub fn check(&self, config: &LaunchConfig) -> Result<(), CudaError> {
        check_geometry(
            self.figures(),
            self.device().limits(),
            self.max_threads_per_block(),
            config,
        )
    }

    /// Checks geometry and arguments, asks for what the device grants on request (much shared
    /// memory, large clusters), and keeps all of it for launches.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](super::ErrorKind::Refused) where the device or the kernel cannot be
    /// launched so.
    pub fn prepare(
        &self,
        config: &LaunchConfig,
        arguments: &[Argument],
    ) -> Result<Launch, CudaError> {
        let figures = self.figures();
        let contents: Vec<Vec<u8>> = arguments.iter().map(Argument::bytes).collect();
        check_arguments(figures, &contents)?;
        self.check(config)?;
        self.allow_shared(config.shared_bytes)?;
        if config
            .cluster
            .is_some_and(|cluster| cluster.iter().product::<u32>() > 8)
        {
            self.allow_large_clusters()?;
        }
        let (mut values, pointers) = lay_out(&contents);
        let base = values.as_mut_ptr();
        let arguments = pointers
            .iter()
            // SAFETY: `lay_out` gives places inside `values`, which never moves again.
            .map(|place| unsafe { base.add(*place) }.cast::<c_void>())
            .collect();
        Ok(Launch {
            function: self.clone(),
            config: *config,
            _values: values,
            arguments,
        })
    }

    /// Launches once, into the stream with this handle.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`Launch::run`].
    ///
    /// # Safety
    /// As for [`Launch::run`].
    pub unsafe fn launch(
        &self,
        config: &LaunchConfig,
        arguments: &[Argument],
        stream: u64,
    ) -> Result<(), CudaError> {
        // SAFETY: as the caller promises.
        unsafe { self.prepare(config, arguments)?.run(stream) }
    }
}

impl Launch {
    /// Queues one execution into the stream with this handle; 0 is the default stream.
    ///
    /// # Errors
    /// Where the launch is refused; also what an earlier kernel ended with.
    ///
    /// # Safety
    /// The handle must be that of a stream of the function's device. Addresses among the arguments
    /// must be of memory that lives until the kernel has run. (A kernel that leaves its buffers
    /// harms the device's memory or loses the context; it reaches the host only through memory
    /// that was mapped for the device.)
    pub unsafe fn run(&self, stream: u64) -> Result<(), CudaError> {
        self.function.device().enter()?;
        let LaunchConfig {
            grid,
            block,
            shared_bytes,
            cluster,
            early,
        } = self.config;
        let mut attributes: Vec<CUlaunchAttribute> = Vec::new();
        attributes.extend(cluster.map(cluster_attribute));
        attributes.extend(early.then(early_attribute));
        let config = CUlaunchConfig {
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: block[0],
            blockDimY: block[1],
            blockDimZ: block[2],
            sharedMemBytes: shared_bytes,
            hStream: stream as usize as CUstream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        };
        let arguments = self.arguments.as_ptr().cast_mut();
        // SAFETY: the arguments are as many and as large as the kernel's machine code says, which
        // `prepare` checked; the driver reads and does not write them. The rest is promised.
        let code = unsafe {
            sys::cuLaunchKernelEx(
                &raw const config,
                self.function.raw(),
                arguments,
                std::ptr::null_mut(),
            )
        };
        check(code, || {
            format!("launching `{}`", self.function.figures().name)
        })
    }
}

fn cluster_attribute(cluster: [u32; 3]) -> CUlaunchAttribute {
    let mut value = CUlaunchAttributeValue { pad: [0; 64] };
    value.clusterDim.x = cluster[0];
    value.clusterDim.y = cluster[1];
    value.clusterDim.z = cluster[2];
    CUlaunchAttribute {
        id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
        pad: [0; 4],
        value,
    }
}

fn early_attribute() -> CUlaunchAttribute {
    let mut value = CUlaunchAttributeValue { pad: [0; 64] };
    value.programmaticStreamSerializationAllowed = 1;
    CUlaunchAttribute {
        id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value,
    }
}

/// All arguments in one piece, and the place of each in it.
fn lay_out(contents: &[Vec<u8>]) -> (Box<[Line]>, Vec<usize>) {
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for content in contents {
        places.push(values.len());
        for chunk in content.chunks(128) {
            let mut line = Line([0; 128]);
            line.0
                .iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            values.push(line);
        }
    }
    // An argument without bytes still has a place to point to.
    values.push(Line([0; 128]));
    (values.into_boxed_slice(), places)
}

fn check_arguments(figures: &KernelFigures, contents: &[Vec<u8>]) -> Result<(), CudaError> {
    let wanted: Vec<usize> = figures
        .parameters
        .iter()
        .map(|it| it.bytes as usize)
        .collect();
    let given: Vec<usize> = contents.iter().map(Vec::len).collect();
    if wanted == given {
        return Ok(());
    }
    let list = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        format!(
            "{} of {} bytes",
            sizes.len(),
            if sizes.is_empty() {
                "0".into()
            } else {
                sizes.join(", ")
            }
        )
    };
    Err(CudaError::refused(format!(
        "the kernel `{}` takes other arguments than it is given: its parameters are {}, the \
         arguments {}",
        figures.name,
        list(&wanted),
        list(&given)
    )))
}

fn check_geometry(
    figures: &KernelFigures,
    limits: &DeviceLimits,
    max_threads: u32,
    config: &LaunchConfig,
) -> Result<(), CudaError> {
    let refused = |text: String| {
        Err(CudaError::refused(format!(
            "the kernel `{}` cannot be launched: {text}",
            figures.name
        )))
    };
    let product = |sizes: [u32; 3]| {
        let sizes = sizes.iter().map(|size| u64::from(*size));
        sizes.fold(1, u64::saturating_mul)
    };
    let shapes = [
        ("grid", Some(config.grid)),
        ("block", Some(config.block)),
        ("cluster", config.cluster),
    ];
    for (what, sizes) in shapes {
        if sizes.is_some_and(|sizes| sizes.contains(&0)) {
            return refused(format!("its {what} is {:?}", sizes.unwrap_or_default()));
        }
    }
    let threads = product(config.block);
    if threads > u64::from(max_threads) {
        let bound = match figures.max_threads {
            Some(bound) if u64::from(bound) < threads => format!("its launch bound is {bound}"),
            _ => format!(
                "with {} registers each, {max_threads} fit",
                figures.registers
            ),
        };
        return refused(format!(
            "a block of {:?} has {threads} threads; {bound}",
            config.block
        ));
    }
    let shared = u64::from(figures.shared_bytes) + u64::from(config.shared_bytes);
    if shared > u64::from(limits.shared_bytes_per_block) {
        return refused(format!(
            "a block takes {shared} bytes of shared memory ({} static, {} dynamic), and the device \
             has {} for one",
            figures.shared_bytes, config.shared_bytes, limits.shared_bytes_per_block
        ));
    }
    if config.early && limits.compute_capability < 90 {
        return refused(
            "the device starts no kernel before the one ahead of it has ended; sm_90 began with that"
                .to_owned(),
        );
    }
    if let Some(cluster) = config.cluster {
        if limits.compute_capability < 90 {
            return refused("the device has no clusters, which began with sm_90".to_owned());
        }
        let divides = cluster
            .iter()
            .zip(config.grid)
            .all(|(cluster, grid)| grid % cluster == 0);
        if !divides || product(cluster) > 16 {
            return refused(format!(
                "clusters of {cluster:?} do not divide the grid {:?}, or have more than 16 blocks",
                config.grid
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cubin::Parameter;

    const H100: DeviceLimits = DeviceLimits {
        compute_capability: 90,
        sms: 132,
        shared_bytes_per_block: 232_448,
        shared_bytes_per_sm: 233_472,
        registers_per_sm: 65_536,
        max_threads_per_block: 1024,
        warp_size: 32,
        l2_bytes: 50 << 20,
        memory_bytes: 80 << 30,
        clock_khz: 1_980_000,
        memory_clock_khz: 2_619_000,
        memory_bus_bits: 5120,
    };

    fn figures() -> KernelFigures {
        KernelFigures {
            name: "k".into(),
            registers: 128,
            shared_bytes: 1024,
            parameters: vec![
                Parameter {
                    offset: 0,
                    bytes: 8,
                },
                Parameter {
                    offset: 8,
                    bytes: 4,
                },
            ],
            max_threads: Some(512),
            ..KernelFigures::default()
        }
    }

    fn geometry(change: impl FnOnce(&mut LaunchConfig)) -> String {
        let mut config = LaunchConfig {
            grid: [16, 1, 1],
            block: [256, 1, 1],
            shared_bytes: 0,
            cluster: None,
            early: false,
        };
        change(&mut config);
        match check_geometry(&figures(), &H100, 512, &config) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_launch_that_cannot_be_is_refused_with_the_reason() {
        assert_eq!(geometry(|_| {}), "fine");
        assert_eq!(geometry(|it| it.cluster = Some([8, 1, 1])), "fine");
        let refused = [
            geometry(|it| it.grid = [1, 0, 1]),
            geometry(|it| it.block = [32, 32, 1]),
            geometry(|it| it.block = [u32::MAX, u32::MAX, 2]),
            geometry(|it| it.shared_bytes = 232_000),
            geometry(|it| it.cluster = Some([3, 1, 1])),
        ];
        insta::assert_snapshot!(refused.join("\n"), @r"
        the kernel `k` cannot be launched: its grid is [1, 0, 1]
        the kernel `k` cannot be launched: a block of [32, 32, 1] has 1024 threads; its launch bound is 512
        the kernel `k` cannot be launched: a block of [4294967295, 4294967295, 2] has 18446744073709551615 threads; its launch bound is 512
        the kernel `k` cannot be launched: a block takes 233024 bytes of shared memory (1024 static, 232000 dynamic), and the device has 232448 for one
        the kernel `k` cannot be launched: clusters of [3, 1, 1] do not divide the grid [16, 1, 1], or have more than 16 blocks
        ");
    }

    #[test]
    fn arguments_are_held_against_the_machine_code() {
        let contents = |arguments: &[Argument]| -> Vec<Vec<u8>> {
            arguments.iter().map(Argument::bytes).collect()
        };
        let right = [Argument::Address(1), Argument::F32(1.0)];
        assert_eq!(check_arguments(&figures(), &contents(&right)), Ok(()));
        let wrong = [Argument::Address(1), Argument::F64(1.0), Argument::I8(0)];
        let text = check_arguments(&figures(), &contents(&wrong))
            .unwrap_err()
            .to_string();
        insta::assert_snapshot!(text, @"the kernel `k` takes other arguments than it is given: its parameters are 2 of 8, 4 bytes, the arguments 3 of 8, 8, 1 bytes");
    }

    #[test]
    fn every_argument_lies_where_its_pointer_says() {
        let contents = [vec![1u8; 8], vec![], vec![7u8; 129], vec![9u8; 1]];
        let (values, places) = lay_out(&contents);
        assert_eq!(places, [0, 1, 1, 3]);
        assert!(values.as_ptr().addr().is_multiple_of(128));
        let bytes: Vec<u8> = values.iter().flat_map(|line| line.0).collect();
        for (content, place) in contents.iter().zip(places) {
            assert_eq!(bytes[place * 128..][..content.len()], content[..]);
        }
    }
}
