//! What the device can do at most: the floor under any time that can be believed.
//!
//! A CPU is measured. The loops are written in assembly, so that the figures do not depend on how
//! this program was compiled. They run on one thread; every CPU of the machine is credited with as
//! much. For a GPU the figures are bounds from the data sheet. On top comes a generous factor, so
//! that no honest kernel is ever rejected. Where the processor is unknown, there is no floor.

use evo_types::{Dtype, ProblemSpec};

use crate::device;

/// Headroom over what was measured: clock boost, a noisy measurement.
const SLACK: f64 = 1.5;

/// Peaks of the whole device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Peaks {
    /// Measured on this machine.
    Cpu {
        /// Single-precision operations per second with fused multiply-add.
        flops: f64,
        /// Bytes per second from the first-level caches.
        bytes: f64,
    },
    /// From the data sheet.
    Cuda(evo_cuda::Peaks),
}

impl Peaks {
    /// Operations per second at most, for a problem.
    fn flops(self, spec: &ProblemSpec) -> f64 {
        match self {
            Self::Cpu { flops, .. } => flops * width_factor(spec),
            Self::Cuda(peaks) => peaks.flops(spec),
        }
    }

    /// Seconds at least for bytes that have to be moved.
    fn seconds_for_bytes(self, moved: f64) -> f64 {
        match self {
            Self::Cpu { bytes, .. } => moved / bytes,
            Self::Cuda(peaks) => peaks.seconds_for_bytes(moved),
        }
    }
}

/// Why a time cannot be true.
pub(crate) fn implausible(
    peaks: Option<Peaks>,
    spec: &ProblemSpec,
    seconds: f64,
) -> Option<String> {
    if seconds <= 0.0 || !seconds.is_finite() {
        return Some(format!("a launch takes {seconds} s, which is no time"));
    }
    let peaks = peaks?;
    let flops = peaks.flops(spec) * SLACK;
    let floor_flops = spec.flops / flops;
    let floor_bytes = peaks.seconds_for_bytes(spec.bytes) / SLACK;
    let (floor, why) = if floor_flops >= floor_bytes {
        let why = format!(
            "{:.4e} floating-point operations at {:.0} GFLOP/s",
            spec.flops,
            flops / 1e9
        );
        (floor_flops, why)
    } else {
        let rate = spec.bytes / floor_bytes;
        let why = format!("{:.4e} bytes at {:.0} GB/s", spec.bytes, rate / 1e9);
        (floor_bytes, why)
    };
    (seconds < floor).then(|| {
        format!(
            "a launch takes {:.3} us, but this machine cannot do it in less than {:.3} us \
             ({why}, {SLACK} times the peak): the work is not done",
            seconds * 1e6,
            floor * 1e6
        )
    })
}

/// How many times the single-precision rate the narrowest type of a problem could reach.
fn width_factor(spec: &ProblemSpec) -> f64 {
    let narrowest = spec.tensors.iter().map(|tensor| tensor.dtype.size()).min();
    let amx = device::has_amx();
    let doubles = spec.tensors.iter().all(|tensor| tensor.dtype == Dtype::F64);
    match narrowest {
        Some(1) if amx => 64.0,
        Some(1) => 8.0,
        Some(2) if amx => 32.0,
        Some(2) => 4.0,
        Some(_) if doubles => 0.5,
        _ => 1.0,
    }
}

/// Measures the peaks of the CPU; `None` where there is no loop for this processor.
pub(crate) fn measure() -> Option<Peaks> {
    let cpus = device::online_cpus() as f64;
    let flops = best(loops::flops)?;
    let bytes = best(loops::bytes)?;
    Some(Peaks::Cpu {
        flops: flops * cpus,
        bytes: bytes * cpus,
    })
}

/// The best of many short runs: what disturbs one does not disturb all.
fn best(run: impl Fn() -> Option<f64>) -> Option<f64> {
    const RUNS: usize = 40;
    let mut best = 0.0f64;
    for _ in 0..RUNS {
        best = best.max(run()?);
    }
    (best > 0.0).then_some(best)
}

#[cfg(target_arch = "x86_64")]
mod loops {
    use std::arch::asm;
    use std::time::Instant;

    use crate::device::{has_avx2, has_avx512};

    const ROUNDS: u64 = 20_000;
    /// Independent chains of multiply-adds, enough to hide their latency.
    const CHAINS: u64 = 12;
    const LOADS: u64 = 8;

    /// Operations per second of the widest multiply-add.
    pub(super) fn flops() -> Option<f64> {
        let (run, lanes): (unsafe fn(u64), u64) = if has_avx512() {
            (multiply_add_512, 16)
        } else if has_avx2() {
            (multiply_add_256, 8)
        } else {
            return None;
        };
        let start = Instant::now();
        // SAFETY: the processor has the instructions.
        unsafe { run(ROUNDS) };
        let seconds = start.elapsed().as_secs_f64();
        // Twice: 256-bit code may run at a higher clock.
        let wide = (ROUNDS * CHAINS * lanes * 2) as f64 / seconds;
        if lanes == 16 && has_avx2() {
            let start = Instant::now();
            // SAFETY: the processor has the instructions.
            unsafe { multiply_add_256(ROUNDS) };
            let seconds = start.elapsed().as_secs_f64();
            return Some(wide.max((ROUNDS * CHAINS * 16) as f64 / seconds));
        }
        Some(wide)
    }

    /// Bytes per second of the widest loads from the first-level cache.
    pub(super) fn bytes() -> Option<f64> {
        let (run, width): (unsafe fn(u64, *const u8), u64) = if has_avx512() {
            (load_512, 64)
        } else if has_avx2() {
            (load_256, 32)
        } else {
            return None;
        };
        let lines = vec![[0u64; 8]; 9];
        let aligned = lines.as_ptr().cast::<u8>();
        // SAFETY: 512 bytes from the first multiple of 64 lie inside the 576 bytes.
        let aligned = unsafe { aligned.add(aligned.align_offset(64)) };
        let start = Instant::now();
        // SAFETY: the processor has the instructions, and the loads stay inside `lines`.
        unsafe { run(ROUNDS, aligned) };
        Some((ROUNDS * LOADS * width) as f64 / start.elapsed().as_secs_f64())
    }

    /// # Safety
    /// The processor must have AVX-512.
    unsafe fn multiply_add_512(rounds: u64) {
        // SAFETY: registers only; all that are written are declared.
        unsafe {
            asm!(
                "vpxorq zmm0, zmm0, zmm0", "vpxorq zmm1, zmm1, zmm1",
                "vpxorq zmm2, zmm2, zmm2", "vpxorq zmm3, zmm3, zmm3",
                "vpxorq zmm4, zmm4, zmm4", "vpxorq zmm5, zmm5, zmm5",
                "vpxorq zmm6, zmm6, zmm6", "vpxorq zmm7, zmm7, zmm7",
                "vpxorq zmm8, zmm8, zmm8", "vpxorq zmm9, zmm9, zmm9",
                "vpxorq zmm10, zmm10, zmm10", "vpxorq zmm11, zmm11, zmm11",
                "vpxorq zmm12, zmm12, zmm12", "vpxorq zmm13, zmm13, zmm13",
                "2:",
                "vfmadd231ps zmm0, zmm12, zmm13", "vfmadd231ps zmm1, zmm12, zmm13",
                "vfmadd231ps zmm2, zmm12, zmm13", "vfmadd231ps zmm3, zmm12, zmm13",
                "vfmadd231ps zmm4, zmm12, zmm13", "vfmadd231ps zmm5, zmm12, zmm13",
                "vfmadd231ps zmm6, zmm12, zmm13", "vfmadd231ps zmm7, zmm12, zmm13",
                "vfmadd231ps zmm8, zmm12, zmm13", "vfmadd231ps zmm9, zmm12, zmm13",
                "vfmadd231ps zmm10, zmm12, zmm13", "vfmadd231ps zmm11, zmm12, zmm13",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                out("zmm12") _, out("zmm13") _,
                options(nomem, nostack),
            );
        }
    }

    /// # Safety
    /// The processor must have AVX2 and FMA.
    unsafe fn multiply_add_256(rounds: u64) {
        // SAFETY: registers only; all that are written are declared.
        unsafe {
            asm!(
                "vpxor ymm0, ymm0, ymm0", "vpxor ymm1, ymm1, ymm1",
                "vpxor ymm2, ymm2, ymm2", "vpxor ymm3, ymm3, ymm3",
                "vpxor ymm4, ymm4, ymm4", "vpxor ymm5, ymm5, ymm5",
                "vpxor ymm6, ymm6, ymm6", "vpxor ymm7, ymm7, ymm7",
                "vpxor ymm8, ymm8, ymm8", "vpxor ymm9, ymm9, ymm9",
                "vpxor ymm10, ymm10, ymm10", "vpxor ymm11, ymm11, ymm11",
                "vpxor ymm12, ymm12, ymm12", "vpxor ymm13, ymm13, ymm13",
                "2:",
                "vfmadd231ps ymm0, ymm12, ymm13", "vfmadd231ps ymm1, ymm12, ymm13",
                "vfmadd231ps ymm2, ymm12, ymm13", "vfmadd231ps ymm3, ymm12, ymm13",
                "vfmadd231ps ymm4, ymm12, ymm13", "vfmadd231ps ymm5, ymm12, ymm13",
                "vfmadd231ps ymm6, ymm12, ymm13", "vfmadd231ps ymm7, ymm12, ymm13",
                "vfmadd231ps ymm8, ymm12, ymm13", "vfmadd231ps ymm9, ymm12, ymm13",
                "vfmadd231ps ymm10, ymm12, ymm13", "vfmadd231ps ymm11, ymm12, ymm13",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm13") _,
                options(nomem, nostack),
            );
        }
    }

    /// # Safety
    /// The processor must have AVX-512, and 512 readable bytes must follow the 64-byte aligned
    /// address.
    unsafe fn load_512(rounds: u64, from: *const u8) {
        // SAFETY: as promised by the caller; all registers that are written are declared.
        unsafe {
            asm!(
                "2:",
                "vmovaps zmm0, [{from}]", "vmovaps zmm1, [{from} + 64]",
                "vmovaps zmm2, [{from} + 128]", "vmovaps zmm3, [{from} + 192]",
                "vmovaps zmm4, [{from} + 256]", "vmovaps zmm5, [{from} + 320]",
                "vmovaps zmm6, [{from} + 384]", "vmovaps zmm7, [{from} + 448]",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                from = in(reg) from,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                options(readonly, nostack),
            );
        }
    }

    /// # Safety
    /// The processor must have AVX2, and 256 readable bytes must follow the aligned address.
    unsafe fn load_256(rounds: u64, from: *const u8) {
        // SAFETY: as promised by the caller; all registers that are written are declared.
        unsafe {
            asm!(
                "2:",
                "vmovaps ymm0, [{from}]", "vmovaps ymm1, [{from} + 32]",
                "vmovaps ymm2, [{from} + 64]", "vmovaps ymm3, [{from} + 96]",
                "vmovaps ymm4, [{from} + 128]", "vmovaps ymm5, [{from} + 160]",
                "vmovaps ymm6, [{from} + 192]", "vmovaps ymm7, [{from} + 224]",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                from = in(reg) from,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                options(readonly, nostack),
            );
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod loops {
    pub(super) fn flops() -> Option<f64> {
        None
    }

    pub(super) fn bytes() -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use evo_types::{CachePolicy, Params};

    use super::*;

    fn spec(flops: f64, bytes: f64) -> ProblemSpec {
        ProblemSpec {
            problem: "p".into(),
            fields: Params::new(),
            tensors: vec![],
            constants: Params::new(),
            gates: vec![],
            flops,
            bytes,
            cache: CachePolicy::Hot,
            extra_shapes: vec![],
            unquantised: Params::new(),
            distributions: vec![],
        }
    }

    #[test]
    fn a_time_under_the_floor_is_refused_with_the_figures() {
        let peaks = Some(Peaks::Cpu {
            flops: 1e11,
            bytes: 1e11,
        });
        let text = implausible(peaks, &spec(1.5e9, 0.0), 9e-3).unwrap();
        insta::assert_snapshot!(text, @"a launch takes 9000.000 us, but this machine cannot do it in less than 10000.000 us (1.5000e9 floating-point operations at 150 GFLOP/s, 1.5 times the peak): the work is not done");
        assert_eq!(implausible(peaks, &spec(1.5e9, 0.0), 11e-3), None);
        assert!(
            implausible(peaks, &spec(0.0, 1.5e9), 9e-3)
                .unwrap()
                .contains("bytes at 150 GB/s")
        );
        assert!(implausible(None, &spec(1e30, 0.0), 1e-9).is_none());
        for no_time in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(implausible(None, &spec(0.0, 0.0), no_time).is_some());
        }
    }

    #[test]
    fn a_gpu_has_the_floor_of_its_data_sheet() {
        let h100 = evo_cuda::DeviceLimits {
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
        let peaks = evo_cuda::Peaks::of(&h100).map(Peaks::Cuda);
        let attention = spec(2.147e9, 4.2e6);
        assert_eq!(implausible(peaks, &attention, 5.7e-6), None);
        let text = implausible(peaks, &attention, 1.2e-6).unwrap();
        assert!(text.contains("at 1605796 GFLOP/s"), "{text}");
        // What exceeds the cache comes from memory.
        let copy = spec(0.0, 2e9);
        assert_eq!(implausible(peaks, &copy, 600e-6), None);
        assert!(implausible(peaks, &copy, 300e-6).is_some());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn measured_peaks_are_those_of_a_processor() {
        if !device::has_avx2() {
            return;
        }
        let Some(Peaks::Cpu { flops, bytes }) = measure() else {
            panic!("a CPU with AVX2 is measured");
        };
        // From a tenth of a slow core to a large server, whatever the build profile.
        assert!((1e9..1e15).contains(&flops), "{flops}");
        assert!((1e9..1e15).contains(&bytes), "{bytes}");
    }
}
