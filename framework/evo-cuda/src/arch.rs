//! Architectures: their names, and the limits of a multiprocessor.

/// The architecture to compile for on a device of a compute capability, times ten as in the fact
/// `COMPUTE_CAPABILITY`: 80 is `sm_80`, 90 is `sm_90a`. From 9.0 on the name has the `a` that
/// unlocks the instructions of that very device (wgmma, tensor maps with multicast, ...); such
/// code runs on no other, and it is built for the one it runs on.
pub fn arch_of(compute_capability: u32) -> String {
    let suffix = if compute_capability >= 90 { "a" } else { "" };
    format!("sm_{compute_capability}{suffix}")
}

/// What one multiprocessor has, by architecture. From the table of technical specifications per
/// compute capability in NVIDIA's CUDA C++ Programming Guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Threads that can be resident.
    pub threads: u32,
    /// Blocks that can be resident.
    pub blocks: u32,
    /// 32-bit registers.
    pub registers: u32,
    /// Bytes of shared memory.
    pub shared_bytes: u32,
    /// Most bytes of shared memory of one block, static and dynamic together.
    pub shared_bytes_per_block: u32,
}

/// Most registers of a thread.
pub(crate) const MAX_REGISTERS: u32 = 255;
/// Threads of a warp.
pub(crate) const WARP: u32 = 32;
/// Bytes of shared memory that the system takes for each block, from compute capability 8.0 on.
pub(crate) const RESERVED_SHARED: u32 = 1024;

impl Limits {
    /// The limits of an architecture such as `sm_90a`; `None` for one that is not in the table.
    pub fn of(arch: &str) -> Option<Self> {
        let digits = arch
            .strip_prefix("sm_")?
            .trim_end_matches(|it: char| it.is_alphabetic());
        let (threads, blocks, kib) = match digits.parse::<u32>().ok()? {
            80 => (2048, 32, 164),
            86 => (1536, 16, 100),
            87 => (1536, 16, 164),
            89 => (1536, 24, 100),
            90 | 100 | 103 => (2048, 32, 228),
            120 => (1536, 24, 100),
            _ => return None,
        };
        Some(Self {
            threads,
            blocks,
            registers: 65536,
            shared_bytes: kib * 1024,
            shared_bytes_per_block: (kib - 1) * 1024,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_architectures() {
        let names = [75, 80, 86, 89, 90, 100, 120].map(arch_of);
        assert_eq!(
            names,
            [
                "sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a"
            ]
        );
    }

    #[test]
    fn limits_are_those_of_the_shipped_profile() {
        let limits = Limits::of("sm_90a").unwrap();
        assert_eq!(limits.shared_bytes, 233_472);
        assert_eq!(limits.shared_bytes_per_block, 232_448);
        assert_eq!(Limits::of("sm_90"), Limits::of("sm_90a"));
        assert_eq!(Limits::of("sm_12345"), None);
        assert_eq!(Limits::of("gfx90a"), None);
    }
}
