//! What kernels need to know of the device.

use evo_plugin::{DeviceFacts, Error, Value};

use crate::simd::Isa;

/// Instruction sets, cores and memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) avx2: bool,
    pub(crate) avx512: bool,
    pub(crate) avx512_bf16: bool,
    pub(crate) cores: usize,
    pub(crate) memory: u64,
}

impl Machine {
    /// Reads the facts of a device; what they do not say is taken from this machine.
    ///
    /// # Errors
    /// `Rejected` where the device is not a CPU.
    pub(crate) fn of(device: &DeviceFacts) -> Result<Self, Error> {
        if device.kind != "cpu" {
            return Err(Error::Rejected(format!(
                "this kernel runs on a cpu, and {} is a {} device",
                device.name, device.kind
            )));
        }
        let here = Self::here();
        let flag = |name: &str, or: bool| {
            device
                .facts
                .get(name)
                .and_then(Value::as_bool)
                .unwrap_or(or)
        };
        let number = |name: &str| {
            device
                .facts
                .get(name)
                .and_then(Value::as_int)
                .and_then(|x| u64::try_from(x).ok())
        };
        Ok(Self {
            avx2: flag("HAS_AVX2", here.avx2),
            avx512: flag("HAS_AVX512", here.avx512),
            avx512_bf16: flag("HAS_AVX512_BF16", here.avx512_bf16),
            cores: number("CORES")
                .and_then(|x| usize::try_from(x).ok())
                .unwrap_or(here.cores)
                .max(1),
            memory: number("MEM_BYTES").unwrap_or(here.memory),
        })
    }

    /// The machine that this runs on. Its memory is not known here.
    pub(crate) fn here() -> Self {
        Self {
            avx2: Isa::Avx2.is_available(),
            avx512: Isa::Avx512.is_available(),
            avx512_bf16: Isa::Avx512Bf16.is_available(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: u64::MAX,
        }
    }

    /// Whether the device has an instruction set.
    pub(crate) fn has(&self, isa: Isa) -> bool {
        match isa {
            Isa::Portable => true,
            Isa::Avx2 => self.avx2,
            Isa::Avx512 => self.avx2 && self.avx512,
            Isa::Avx512Bf16 => self.avx2 && self.avx512 && self.avx512_bf16,
        }
    }

    /// The widest instruction set for `f32` that the device has.
    pub(crate) fn best(&self) -> Isa {
        [Isa::Avx512, Isa::Avx2]
            .into_iter()
            .find(|isa| self.has(*isa))
            .unwrap_or(Isa::Portable)
    }

    /// Rejects scratch memory of more than half of what the device has.
    pub(crate) fn check_scratch(&self, bytes: u128, what: &str) -> Result<(), Error> {
        if bytes > u128::from(self.memory / 2) {
            return Err(Error::Rejected(format!(
                "{what} needs {bytes} bytes of scratch memory, more than half of the device's {}",
                self.memory
            )));
        }
        Ok(())
    }
}

/// Rejects an instruction set that this CPU does not have: asked before anything of it is run.
pub(crate) fn require(isa: Isa) -> Result<(), Error> {
    if isa.is_available() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "built for {isa}, which this CPU does not have"
    )))
}
