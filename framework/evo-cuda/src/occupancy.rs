//! How many blocks of a kernel fit on a multiprocessor, predicted without a device.

use crate::arch::{Limits, RESERVED_SHARED, WARP};

/// Registers are given to a warp in units of this many.
const REGISTER_UNIT: u32 = 256;
/// A multiprocessor has this many partitions, and the warps of a block are spread over them.
const PARTITIONS: u32 = 4;
/// Shared memory is given out in units of this many bytes.
const SHARED_UNIT: u32 = 128;

/// What keeps more blocks from fitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    /// The number of resident blocks.
    Blocks,
    /// The number of resident threads.
    Threads,
    /// Registers.
    Registers,
    /// Shared memory.
    Shared,
}

/// How full a multiprocessor can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occupancy {
    /// Resident blocks of one multiprocessor; 0 where not even one fits.
    pub blocks: u32,
    /// Resident warps over the most that there can be, from 0 to 1.
    pub fraction: f64,
    /// What keeps more from fitting; of several, the first in the order of [`Limiter`].
    pub limited_by: Limiter,
}

/// The occupancy of blocks of `threads` threads with `registers` registers each and
/// `shared_bytes` bytes of shared memory, static and dynamic together. The rules are those of the
/// occupancy calculator that NVIDIA ships with its tools.
pub fn occupancy(limits: &Limits, threads: u32, registers: u32, shared_bytes: u32) -> Occupancy {
    let warps = threads.div_ceil(WARP).max(1);
    let by_threads = limits.threads / WARP / warps;
    let by_registers = match registers
        .saturating_mul(WARP)
        .checked_next_multiple_of(REGISTER_UNIT)
    {
        Some(0) => limits.blocks,
        Some(per_warp) => {
            let per_partition = limits.registers / PARTITIONS / per_warp;
            per_partition * PARTITIONS / warps
        }
        None => 0,
    };
    let by_shared = if shared_bytes > limits.shared_bytes_per_block {
        0
    } else {
        let block = shared_bytes.saturating_add(RESERVED_SHARED);
        limits.shared_bytes / block.next_multiple_of(SHARED_UNIT)
    };
    let candidates = [
        (limits.blocks, Limiter::Blocks),
        (by_threads, Limiter::Threads),
        (by_registers, Limiter::Registers),
        (by_shared, Limiter::Shared),
    ];
    let least = candidates.into_iter().min_by_key(|(blocks, _)| *blocks);
    let (blocks, limited_by) = least.unwrap_or((0, Limiter::Blocks));
    Occupancy {
        blocks,
        fraction: f64::from(blocks * warps * WARP) / f64::from(limits.threads),
        limited_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(arch: &str, threads: u32, registers: u32, shared: u32) -> (u32, Limiter) {
        let found = occupancy(&Limits::of(arch).unwrap(), threads, registers, shared);
        assert!((0.0..=1.0).contains(&found.fraction), "{found:?}");
        (found.blocks, found.limited_by)
    }

    #[test]
    fn each_resource_limits_in_its_turn() {
        assert_eq!(on("sm_90a", 32, 16, 0), (32, Limiter::Blocks));
        assert_eq!(on("sm_90a", 256, 32, 0), (8, Limiter::Threads));
        assert_eq!(on("sm_90a", 256, 255, 0), (1, Limiter::Registers));
        assert_eq!(on("sm_90a", 128, 168, 0), (3, Limiter::Registers));
        assert_eq!(on("sm_90a", 128, 32, 232_448), (1, Limiter::Shared));
        assert_eq!(on("sm_80", 128, 32, 81_920), (2, Limiter::Shared));
        assert_eq!(on("sm_89", 1024, 32, 0), (1, Limiter::Threads));
    }

    #[test]
    fn what_does_not_fit_has_no_blocks() {
        assert_eq!(on("sm_90a", 128, 32, 232_449).0, 0);
        assert_eq!(on("sm_90a", 1024, 128, 0).0, 0);
        assert_eq!(on("sm_89", 128, 32, u32::MAX).0, 0);
        assert_eq!(on("sm_89", u32::MAX, u32::MAX, 0).0, 0);
    }

    proptest::proptest! {
        #[test]
        fn more_of_anything_never_fits_more(
            threads in 1u32..1024, registers in 0u32..256, shared in 0u32..240_000,
        ) {
            for arch in ["sm_80", "sm_89", "sm_90a"] {
                let limits = Limits::of(arch).unwrap();
                let blocks = |t, r, s| occupancy(&limits, t, r, s).blocks;
                let here = blocks(threads, registers, shared);
                proptest::prop_assert!(blocks(threads + 32, registers, shared) <= here);
                proptest::prop_assert!(blocks(threads, registers + 8, shared) <= here);
                proptest::prop_assert!(blocks(threads, registers, shared + 1024) <= here);
            }
        }
    }
}
