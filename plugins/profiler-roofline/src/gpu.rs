//! The peaks of an NVIDIA GPU.

use evo_cuda::{
    Argument, CompileRequest, CudaError, Device, DeviceBuffer, ErrorKind, Event, LaunchConfig,
    Module, Nvrtc, Stream, compile,
};
use evo_plugin::Error;

use crate::peaks::Peaks;

const SOURCE: &str = include_str!("peaks.cu");

/// Bytes of the buffer that is copied: far more than the cache holds.
const COPIED: u64 = 512 << 20;

/// Launches of which the best counts, after one to warm up.
const LAUNCHES: usize = 7;

/// Rounds of one launch, so that it takes milliseconds.
const READS: i32 = 100;
const MULTIPLY_ADDS: i32 = 20_000;
const PRODUCTS: i32 = 8_000;

fn of_cuda(error: CudaError) -> Error {
    match error.kind() {
        ErrorKind::OutOfMemory => Error::OutOfMemory(error.to_string()),
        ErrorKind::ContextLost => Error::Crashed(error.to_string()),
        _ => Error::Failed(error.to_string()),
    }
}

/// Whether its kernels can be compiled here.
///
/// # Errors
/// Where NVRTC was looked for, and what to do.
pub(crate) fn probe() -> Result<(), Error> {
    Nvrtc::get()
        .map(|_| ())
        .map_err(|error| Error::Rejected(error.to_string()))
}

/// What is launched, and how much it does.
struct Work<'a> {
    kernel: &'a str,
    blocks: u32,
    threads: u32,
    arguments: Vec<Argument>,
    /// Bytes or operations of a launch.
    amount: f64,
}

struct Bench {
    device: Device,
    module: Module,
    stream: Stream,
    events: [Event; 2],
}

impl Bench {
    fn new(device: Device) -> Result<Self, Error> {
        let compiled = compile(&CompileRequest {
            name: "peaks.cu".to_owned(),
            source: SOURCE.to_owned(),
            headers: Vec::new(),
            arch: device.arch(),
            options: Vec::new(),
            name_expressions: Vec::new(),
        });
        let compiled = compiled.map_err(|error| Error::Failed(error.to_string()))?;
        let module = Module::load(&device, &compiled.cubin).map_err(of_cuda)?;
        let stream = Stream::new(&device).map_err(of_cuda)?;
        let events = [
            Event::new(&device).map_err(of_cuda)?,
            Event::new(&device).map_err(of_cuda)?,
        ];
        Ok(Self {
            device,
            module,
            stream,
            events,
        })
    }

    /// The best rate of some launches.
    fn rate(&self, work: &Work<'_>) -> Result<f64, CudaError> {
        let config = LaunchConfig {
            grid: [work.blocks, 1, 1],
            block: [work.threads, 1, 1],
            shared_bytes: 0,
            cluster: None,
            early: false,
        };
        let launch = self
            .module
            .function(work.kernel)?
            .prepare(&config, &work.arguments)?;
        let [start, end] = &self.events;
        let mut least = f64::INFINITY;
        for number in 0..=LAUNCHES {
            start.record(&self.stream)?;
            // SAFETY: the stream and the buffers outlive the kernel, which stays inside them.
            unsafe { launch.run(self.stream.handle()) }?;
            end.record(&self.stream)?;
            end.synchronize()?;
            if number > 0 {
                least = least.min(end.seconds_since(start)?);
            }
        }
        Ok(work.amount / least)
    }

    fn has(&self, kernel: &str) -> bool {
        let mut kernels = self.module.kernels().iter();
        kernels.any(|own| own.name == kernel)
    }
}

/// Measures a device.
///
/// # Errors
/// What the compiler or the device said.
pub(crate) fn measure(uuid: &str) -> Result<Peaks, Error> {
    let device = Device::by_uuid(uuid).map_err(of_cuda)?;
    let bench = Bench::new(device)?;
    let peaks = all(&bench).map_err(of_cuda)?;
    bench.device.synchronize().map_err(of_cuda)?;
    Ok(peaks)
}

fn all(bench: &Bench) -> Result<Peaks, CudaError> {
    let limits = bench.device.limits();
    let (sms, capability) = (limits.sms, limits.compute_capability);
    let l2 = limits.l2_bytes;
    let (free, _) = bench.device.memory()?;
    let bytes = COPIED.min(free / 8) / 16 * 16;
    let size = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut from = DeviceBuffer::new(&bench.device, size)?;
    let to = DeviceBuffer::new(&bench.device, size)?;
    // Zeros would be read with less power than data are.
    from.fill(0x35)?;
    let address = |buffer: &DeviceBuffer| Argument::Address(buffer.address());
    let threads_of_sms = |per_sm: u32| (sms * per_sm, 512);
    let (blocks, threads) = threads_of_sms(4);
    let memory = bench.rate(&Work {
        kernel: "copy",
        blocks,
        threads,
        arguments: vec![
            address(&from),
            address(&to),
            Argument::I64((bytes / 16) as i64),
        ],
        amount: 2.0 * bytes as f64,
    })?;
    // A quarter of the cache stays in it.
    let cached = (l2 / 4).min(bytes) / 16;
    let cache = bench.rate(&Work {
        kernel: "read",
        blocks,
        threads,
        arguments: vec![
            address(&from),
            address(&to),
            Argument::I64(cached as i64),
            Argument::I32(READS),
        ],
        amount: cached as f64 * 16.0 * f64::from(READS),
    })?;
    let all_threads = f64::from(blocks) * f64::from(threads);
    let vector = bench.rate(&Work {
        kernel: "multiply_add",
        blocks,
        threads,
        arguments: vec![address(&to), Argument::I32(MULTIPLY_ADDS)],
        amount: all_threads * 8.0 * 2.0 * f64::from(MULTIPLY_ADDS),
    })?;
    let tensor = |kernel: &str, bytes: f64| {
        if !bench.has(kernel) {
            return Ok(None);
        }
        // The kernels of the source: 64 x 128 products over 128 bytes a warpgroup and round, or eight of
        // 16 x 8 over 32 bytes a warp.
        let (blocks, threads, products) = match capability {
            90 => (sms, 256, 2.0 * 64.0 * 128.0 * 128.0 / bytes),
            _ => (sms * 2, 512, 16.0 * 8.0 * 16.0 * 8.0 * 32.0 / bytes),
        };
        let rate = bench.rate(&Work {
            kernel,
            blocks,
            threads,
            arguments: vec![address(&to), Argument::I32(PRODUCTS)],
            amount: f64::from(blocks) * products * 2.0 * f64::from(PRODUCTS),
        })?;
        Ok(Some(rate))
    };
    Ok(Peaks {
        memory,
        cache: (cached > 0).then_some(cache),
        vector,
        tensor_16: tensor("products_16", 2.0)?,
        tensor_8: tensor("products_8", 1.0)?,
    })
}

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_compile_for_every_architecture_without_spills() {
        let Ok(nvrtc) = Nvrtc::get() else {
            println!("skipped: there is no NVRTC");
            return;
        };
        for (arch, count) in [("sm_80", 4), ("sm_89", 5), ("sm_90a", 5)] {
            let compiled = nvrtc
                .compile(&CompileRequest {
                    name: "peaks.cu".to_owned(),
                    source: SOURCE.to_owned(),
                    headers: Vec::new(),
                    arch: arch.to_owned(),
                    options: Vec::new(),
                    name_expressions: Vec::new(),
                })
                .unwrap();
            assert!(
                !compiled.log.contains("serializ"),
                "{arch}: {}",
                compiled.log
            );
            let kernels = compiled.kernels().unwrap();
            assert_eq!(kernels.len(), count, "{arch}");
            for kernel in kernels {
                let spilled = kernel.spill_store_bytes.unwrap_or(0);
                assert_eq!(spilled, 0, "{arch}: {} spills", kernel.name);
            }
        }
    }
}
