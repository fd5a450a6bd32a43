//! Tries everything that this crate does with a device: its facts, a build, a launch with a right
//! answer, times by events, occupancy, and two faults in processes of their own.
//!
//! `cargo run -p evo-cuda --example probe`; ends with 0 where all of it holds, and with 1 where
//! something does not or there is no device.

use std::error::Error;
use std::process::{Command, ExitCode};

use evo_cuda::{
    Argument, CompileRequest, CudaError, Device, DeviceBuffer, ErrorKind, Event, Flush, Graph,
    LaunchConfig, Limits, Module, Nvrtc, Peaks, Stream, Watch, driver_version, occupancy,
};

const SOURCE: &str = r#"
extern "C" __global__ void saxpy(int n, float a, const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}
extern "C" __global__ void outside(float* x) { x[1ull << 40] = 1.0f; }
// Every thread sums what the others of its block put into dynamic shared memory, and the block of
// rank 0 in a cluster of two tells how many blocks the cluster has.
extern "C" __global__ void __launch_bounds__(128) clustered(unsigned* out) {
    extern __shared__ unsigned shared[];
    for (int i = threadIdx.x; i < 40000; i += blockDim.x) shared[i] = 1;
    __syncthreads();
    unsigned size = 0, sum = 0;
#if __CUDA_ARCH__ >= 900
    asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(size));
#endif
    for (int i = 0; i < 40000; i++) sum += shared[i];
    if (threadIdx.x == 0) out[blockIdx.x] = sum + size;
}
"#;

type Answer<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let answer = match mode.as_str() {
        "illegal-address" => illegal_address(),
        "out-of-memory" => out_of_memory(),
        _ => probe(),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn probe() -> Answer<()> {
    let device = Device::open(0)?;
    println!(
        "driver for CUDA {}, {} device(s)",
        driver_version()?,
        Device::count()?
    );
    println!("{:#?}\n{:#?}", device.facts(), device.limits());
    println!("same by UUID: {:?}", Device::by_uuid(&device.facts().uuid)?);
    println!("peaks: {:?}", Peaks::of(device.limits()));
    let (free, total) = device.memory()?;
    println!("memory: {free} of {total} bytes are free");
    let module = module(&device)?;
    match Watch::of(&device.facts().uuid) {
        Ok(watch) => println!(
            "NVML: {:?} MHz, throttled by {:?}, {:?} processes",
            watch.sm_clock_mhz(),
            watch.throttle().map(|it| it.causes()),
            watch.processes()
        ),
        Err(error) => println!("NVML: {error}"),
    }
    saxpy(&device, &module)?;
    graphs(&device, &module)?;
    if device.limits().compute_capability >= 90 {
        clusters(&device, &module)?;
    }
    refusals(&device, &module)?;
    for mode in ["out-of-memory", "illegal-address"] {
        let status = Command::new(std::env::current_exe()?).arg(mode).status()?;
        println!("{mode} in a process of its own: {status}");
        if !status.success() {
            return Err(format!("{mode} was not seen as what it is").into());
        }
    }
    println!("all of it holds");
    Ok(())
}

fn module(device: &Device) -> Answer<Module> {
    let nvrtc = Nvrtc::get()?;
    println!("NVRTC {} at {}", nvrtc.version(), nvrtc.path().display());
    let compiled = nvrtc.compile(&CompileRequest {
        name: "probe.cu".to_owned(),
        source: SOURCE.to_owned(),
        headers: vec![],
        arch: device.arch(),
        options: vec![],
        name_expressions: vec![],
    })?;
    print!("{}", compiled.log);
    Ok(Module::load(device, &compiled.cubin)?)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

fn saxpy(device: &Device, module: &Module) -> Answer<()> {
    const N: usize = 1 << 24;
    let stream = Stream::new(device)?;
    let (mut x, mut y) = (
        DeviceBuffer::new(device, N * 4)?,
        DeviceBuffer::new(device, N * 4)?,
    );
    let values: Vec<f32> = (0..N).map(|i| (i % 1000) as f32).collect();
    x.upload(0, &bytes(&values))?;
    y.fill(0)?;
    let function = module.function("saxpy")?;
    println!("{:?}", function.figures());
    let config = LaunchConfig {
        grid: [(N as u32).div_ceil(256), 1, 1],
        block: [256, 1, 1],
        shared_bytes: 0,
        cluster: None,
        early: false,
    };
    let arguments = [
        Argument::I32(N as i32),
        Argument::F32(2.0),
        Argument::Address(x.address()),
        Argument::Address(y.address()),
    ];
    let launch = function.prepare(&config, &arguments)?;
    // SAFETY: the stream and both buffers outlive the kernel, which stays inside them.
    let run = || unsafe { launch.run(stream.handle()) };
    run()?;
    stream.synchronize()?;
    let mut content = vec![0u8; N * 4];
    y.download(0, &mut content)?;
    let (words, _) = content.as_chunks::<4>();
    let wrong = words
        .iter()
        .zip(&values)
        .filter(|(word, x)| f32::from_ne_bytes(**word) != 2.0 * **x);
    let wrong = wrong.count();
    println!("saxpy: {wrong} of {N} elements are wrong");
    if wrong > 0 {
        return Err("saxpy is wrong".into());
    }
    let (start, end) = (Event::new(device)?, Event::new(device)?);
    let flush = Flush::new(device)?;
    for (what, launches, flushes) in [
        ("one", 1, false),
        ("hundred", 100, false),
        ("after a flush", 1, true),
    ] {
        let mut times = Vec::new();
        for _ in 0..20 {
            if flushes {
                flush.queue(&stream)?;
            }
            start.record(&stream)?;
            (0..launches).try_for_each(|_| run())?;
            end.record(&stream)?;
            end.synchronize()?;
            times.push(end.seconds_since(&start)? / f64::from(launches) * 1e6);
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!(
            "saxpy of {N} elements, {what} between two events: {median:.2} us ({:.0} GB/s)",
            (N * 12) as f64 / median / 1e3
        );
    }
    let limits = Limits::of(&device.arch()).ok_or("no limits of this architecture")?;
    for (threads, shared) in [
        (32, 0),
        (96, 1000),
        (256, 0),
        (512, 40_000),
        (1024, 100_000),
    ] {
        let said = function.blocks_per_sm(threads, shared)?;
        let predicted = occupancy(&limits, threads, function.figures().registers, shared);
        println!("occupancy at {threads} threads, {shared} B: driver {said}, {predicted:?}");
        if said != predicted.blocks {
            return Err("the occupancy was predicted wrong".into());
        }
    }
    Ok(())
}

/// Times of kernels of about a microsecond, launched one by one and as a graph; and the graph's
/// results.
fn graphs(device: &Device, module: &Module) -> Answer<()> {
    const LAUNCHES: u32 = 1000;
    let stream = Stream::new(device)?;
    let function = module.function("saxpy")?;
    let (start, end) = (Event::new(device)?, Event::new(device)?);
    for n in [1_000usize, 100_000, 1_000_000, 10_000_000] {
        let (mut x, mut y) = (
            DeviceBuffer::new(device, n * 4)?,
            DeviceBuffer::new(device, n * 4)?,
        );
        x.upload(0, &bytes(&vec![1.0; n]))?;
        y.fill(0)?;
        let config = LaunchConfig {
            grid: [(n as u32).div_ceil(256), 1, 1],
            block: [256, 1, 1],
            shared_bytes: 0,
            cluster: None,
            early: false,
        };
        let arguments = [
            Argument::I32(n as i32),
            Argument::F32(1.0),
            Argument::Address(x.address()),
            Argument::Address(y.address()),
        ];
        let launch = function.prepare(&config, &arguments)?;
        // SAFETY: the stream and both buffers outlive the kernel, which stays inside them.
        let run = || (0..LAUNCHES).try_for_each(|_| unsafe { launch.run(stream.handle()) });
        let graph = Graph::record::<CudaError>(&stream, run)?;
        // SAFETY: as above.
        let replay = || unsafe { graph.queue(&stream) };
        let mut medians = Vec::new();
        for recorded in [false, true] {
            let mut times = Vec::new();
            for _ in 0..21 {
                start.record(&stream)?;
                if recorded {
                    replay()?
                } else {
                    run()?
                }
                end.record(&stream)?;
                end.synchronize()?;
                times.push(end.seconds_since(&start)? / f64::from(LAUNCHES) * 1e6);
            }
            times.sort_by(f64::total_cmp);
            medians.push(times[times.len() / 2]);
        }
        println!(
            "saxpy of {n} elements, {LAUNCHES} launches: {:.3} us each one by one, {:.3} us each \
             in a graph of {} nodes",
            medians[0],
            medians[1],
            graph.nodes()
        );
        let mut content = [0u8; 4];
        y.download(n * 4 - 4, &mut content)?;
        if f32::from_ne_bytes(content) != (42 * LAUNCHES) as f32 {
            return Err("the graph did something else than the launches".into());
        }
    }
    // What cannot be recorded leaves the stream as it was.
    let refused = Graph::record::<CudaError>(&stream, || stream.synchronize());
    println!("recording a wait: {:?}", refused.map(|graph| graph.nodes()));
    let empty = Graph::record::<CudaError>(&stream, || Ok(()))?;
    println!("recording nothing: {} nodes", empty.nodes());
    stream.synchronize()?;
    Ok(())
}

fn clusters(device: &Device, module: &Module) -> Answer<()> {
    let stream = Stream::new(device)?;
    let mut out = DeviceBuffer::new(device, 16)?;
    out.fill(0xff)?;
    let config = LaunchConfig {
        grid: [4, 1, 1],
        block: [128, 1, 1],
        shared_bytes: 160_000,
        cluster: Some([2, 1, 1]),
        early: false,
    };
    let arguments = [Argument::Address(out.address())];
    // SAFETY: stream and buffer outlive the kernel, which stays inside it.
    unsafe {
        module
            .function("clustered")?
            .launch(&config, &arguments, stream.handle())?
    };
    stream.synchronize()?;
    let mut content = [0u8; 16];
    out.download(0, &mut content)?;
    let (words, _) = content.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
    println!("clusters of two with 160,000 bytes of shared memory: {words:?}");
    if words != [40_002; 4] {
        return Err("clusters or large shared memory do not work".into());
    }
    Ok(())
}

fn refusals(device: &Device, module: &Module) -> Answer<()> {
    let function = module.function("outside")?;
    let config = |threads, shared_bytes| LaunchConfig {
        grid: [1, 1, 1],
        block: [threads, 1, 1],
        shared_bytes,
        cluster: None,
        early: false,
    };
    let refused = [
        function
            .prepare(&config(2048, 0), &[Argument::Address(0)])
            .err(),
        function
            .prepare(&config(32, 1 << 20), &[Argument::Address(0)])
            .err(),
        function.prepare(&config(32, 0), &[]).err(),
        module.function("absent").err(),
        Module::load(device, b"no cubin").err(),
    ];
    for error in refused {
        let error = error.ok_or("something was not refused")?;
        println!("refused as it should be: {error}");
        if error.kind() != ErrorKind::Refused {
            return Err(format!("of another kind: {:?}", error.kind()).into());
        }
    }
    Ok(())
}

fn out_of_memory() -> Answer<()> {
    let device = Device::open(0)?;
    let (_, total) = device.memory()?;
    let error = DeviceBuffer::new(&device, usize::try_from(total)? * 2).err();
    let error = error.ok_or("twice the memory was granted")?;
    println!("  {error}");
    if error.kind() != ErrorKind::OutOfMemory {
        return Err(format!("of another kind: {:?}", error.kind()).into());
    }
    // The context is whole.
    DeviceBuffer::new(&device, 1 << 20)?.fill(1)?;
    Ok(())
}

fn illegal_address() -> Answer<()> {
    let device = Device::open(0)?;
    let module = module(&device)?;
    let stream = Stream::new(&device)?;
    let buffer = DeviceBuffer::new(&device, 64)?;
    let config = LaunchConfig {
        grid: [1, 1, 1],
        block: [1, 1, 1],
        shared_bytes: 0,
        cluster: None,
        early: false,
    };
    let arguments = [Argument::Address(buffer.address())];
    // SAFETY: what this is about: the device finds the address out.
    unsafe {
        module
            .function("outside")?
            .launch(&config, &arguments, stream.handle())?
    };
    for (what, error) in [
        ("waiting", stream.synchronize().err()),
        ("a later call", DeviceBuffer::new(&device, 64).err()),
    ] {
        let error = error.ok_or("nothing was seen")?;
        println!("  {what}: {error}");
        if error.kind() != ErrorKind::ContextLost {
            return Err(format!("of another kind: {:?}", error.kind()).into());
        }
    }
    Ok(())
}
