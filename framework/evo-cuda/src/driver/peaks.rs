//! What a device can do at most, from its data sheet: the floor under any time that can be
//! believed.

use evo_types::{Dtype, ProblemSpec};

use super::device::DeviceLimits;

/// Upper bounds, computed from the device's own figures and, per architecture, from the operations
/// that a multiprocessor does in one clock according to NVIDIA's white papers. Sparse tensor
/// operations are not counted: a dense problem cannot use them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peaks {
    /// Operations per second, by what the widest unit for the type does.
    flops: Rates,
    /// Bytes per second that the multiprocessors can take in from anywhere.
    cache_bytes: f64,
    /// Bytes per second of the device's memory; 0 where it is not told.
    memory_bytes: f64,
    /// Bytes that the second-level cache holds, which need not come from memory.
    l2_bytes: f64,
}

/// Figures by the narrowest type of a problem.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rates {
    double: f64,
    /// Of single precision too, which a kernel may round to half if the gates allow it.
    half: f64,
    byte: f64,
}

/// Operations of one multiprocessor in one clock, a multiply-add counted as two.
fn per_clock(compute_capability: u32) -> Option<Rates> {
    let (double, half, byte) = match compute_capability {
        // A100. The double rate is that of the tensor cores.
        80 => (128.0, 2048.0, 4096.0),
        // GA10x and Jetson Orin; doubles at the rate of singles, which may emulate them.
        86 | 87 => (256.0, 1024.0, 2048.0),
        89 => (256.0, 1024.0, 2048.0),
        // H100 and H200.
        90 => (256.0, 4096.0, 8192.0),
        _ => return None,
    };
    Some(Rates { double, half, byte })
}

/// Bytes that one multiprocessor takes from its first-level cache in one clock.
const L1_BYTES_PER_CLOCK: f64 = 128.0;

impl Peaks {
    /// The bounds of a device; `None` for an architecture that is not in the table, and where the
    /// driver does not tell the clock: then there is no floor.
    pub fn of(limits: &DeviceLimits) -> Option<Self> {
        let rates = per_clock(limits.compute_capability)?;
        let clocks = f64::from(limits.sms) * f64::from(limits.clock_khz) * 1e3;
        if clocks <= 0.0 {
            return None;
        }
        // Two transfers in one clock of the memory.
        let memory_clocks = f64::from(limits.memory_clock_khz) * 1e3 * 2.0;
        Some(Self {
            flops: Rates {
                double: rates.double * clocks,
                half: rates.half * clocks,
                byte: rates.byte * clocks,
            },
            cache_bytes: L1_BYTES_PER_CLOCK * clocks,
            memory_bytes: memory_clocks * f64::from(limits.memory_bus_bits) / 8.0,
            l2_bytes: limits.l2_bytes as f64,
        })
    }

    /// Operations per second for a problem, by the narrowest of its types.
    pub fn flops(&self, spec: &ProblemSpec) -> f64 {
        let narrowest = spec.tensors.iter().map(|tensor| tensor.dtype.size()).min();
        let doubles = spec.tensors.iter().all(|tensor| tensor.dtype == Dtype::F64);
        match narrowest {
            Some(1) => self.flops.byte,
            Some(_) if doubles => self.flops.double,
            _ => self.flops.half,
        }
    }

    /// The least seconds in which a problem's bytes can be moved: through the multiprocessors, and
    /// what exceeds the second-level cache through the memory.
    pub fn seconds_for_bytes(&self, bytes: f64) -> f64 {
        let through_cache = bytes / self.cache_bytes;
        let uncached = (bytes - self.l2_bytes).max(0.0);
        if self.memory_bytes <= 0.0 {
            return through_cache;
        }
        through_cache.max(uncached / self.memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use evo_types::{CachePolicy, Params, Role, TensorSpec};

    use super::*;

    fn limits(compute_capability: u32, sms: u32, clock_khz: u32) -> DeviceLimits {
        DeviceLimits {
            compute_capability,
            sms,
            shared_bytes_per_block: 0,
            shared_bytes_per_sm: 0,
            registers_per_sm: 65_536,
            max_threads_per_block: 1024,
            warp_size: 32,
            l2_bytes: 50 << 20,
            memory_bytes: 80 << 30,
            clock_khz,
            memory_clock_khz: 2_619_000,
            memory_bus_bits: 5120,
        }
    }

    fn spec(dtypes: &[Dtype]) -> ProblemSpec {
        let tensors = dtypes.iter().map(|dtype| TensorSpec {
            name: "x".into(),
            role: Role::Input,
            dtype: *dtype,
            shape: vec![1],
        });
        ProblemSpec {
            problem: "p".into(),
            fields: Params::new(),
            tensors: tensors.collect(),
            constants: Params::new(),
            gates: vec![],
            flops: 0.0,
            bytes: 0.0,
            cache: CachePolicy::Hot,
            extra_shapes: vec![],
            unquantised: Params::new(),
            distributions: vec![],
        }
    }

    #[test]
    fn bounds_are_those_of_the_data_sheets() {
        let h100 = Peaks::of(&limits(90, 132, 1_980_000)).unwrap();
        let tera = |figure: f64| (figure / 1e12).round();
        assert_eq!(tera(h100.flops(&spec(&[Dtype::F16]))), 1071.0);
        assert_eq!(tera(h100.flops(&spec(&[Dtype::F32]))), 1071.0);
        assert_eq!(tera(h100.flops(&spec(&[Dtype::F64]))), 67.0);
        assert_eq!(tera(h100.flops(&spec(&[Dtype::U8, Dtype::F32]))), 2141.0);
        let seconds = h100.seconds_for_bytes(f64::from(50 << 20) + 3.352e12);
        assert!((seconds - 1.0).abs() < 1e-3, "{seconds}");
        let small = h100.seconds_for_bytes(f64::from(40 << 20));
        assert!((1e-6..2e-6).contains(&small), "{small}");
    }

    #[test]
    fn what_is_unknown_has_no_floor() {
        assert_eq!(Peaks::of(&limits(75, 40, 1_000_000)), None);
        assert_eq!(Peaks::of(&limits(90, 132, 0)), None);
    }
}
