//! The peaks of a CPU, over all its cores.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::peaks::Peaks;

/// Bytes that each thread copies, and their greatest sum: more than caches hold.
const COPIED: usize = 64 << 20;
const MOST: usize = 1 << 30;

/// Passes of which the best counts.
const PASSES: usize = 5;

/// Lanes of a chain, and independent chains: enough for the latency of two units of 512 bits.
const LANES: usize = 16;
const CHAINS: usize = 12;
/// Rounds of a pass: some milliseconds.
const ROUNDS: usize = 400_000;

pub(crate) fn measure() -> Peaks {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    Peaks {
        memory: memory(threads),
        cache: None,
        vector: vector(threads),
        tensor_16: None,
        tensor_8: None,
    }
}

/// The best rate of some passes, in which every thread does `amount` of something at the same time.
/// `prepare` makes what a thread works on.
fn best<W>(
    threads: usize,
    amount: f64,
    prepare: impl Fn() -> W + Sync,
    work: impl Fn(&mut W) + Sync,
) -> f64 {
    let barrier = Barrier::new(threads);
    let pass = || {
        let mut own = prepare();
        // Pages are taken, and clocks rise.
        work(&mut own);
        (0..PASSES)
            .map(|_| {
                barrier.wait();
                let start = Instant::now();
                work(&mut own);
                // The pass lasts until the last one is done.
                barrier.wait();
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min)
    };
    let seconds = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(pass)).collect();
        let own = pass();
        for other in others {
            // A thread that panicked has no say; the peaks are then checked for soundness.
            let _ = other.join();
        }
        own
    });
    amount * threads as f64 / seconds
}

fn memory(threads: usize) -> f64 {
    let bytes = COPIED.min(MOST / threads.max(1)) / 2;
    let prepare = || (vec![1u8; bytes], vec![0u8; bytes]);
    best(threads, 2.0 * bytes as f64, prepare, |(from, to)| {
        to.copy_from_slice(from);
        black_box(to);
    })
}

fn vector(threads: usize) -> f64 {
    let amount = 2.0 * (LANES * CHAINS * ROUNDS) as f64;
    best(threads, amount, || (), |()| multiply_add())
}

fn multiply_add() {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has these instructions.
            return unsafe { wide() };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has these instructions.
            return unsafe { narrow() };
        }
        plain();
    }
    #[cfg(not(target_arch = "x86_64"))]
    chains(f32::mul_add);
}

/// Rounds of multiply-adds over chains that are local variables: of loops over an array of them the compiler
/// keeps the array in memory, and gathers from it.
#[cfg(target_arch = "x86_64")]
macro_rules! chains_in_registers {
    ($rounds:expr, $set:expr, $step:expr, [$($chain:ident)*]) => {{
        let (factor, summand) = ($set(black_box(0.5)), $set(black_box(0.25)));
        $(let mut $chain = $set(black_box(0.5));)*
        for _ in 0..$rounds {
            $($chain = $step($chain, factor, summand);)*
        }
        $(black_box($chain);)*
    }};
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide() {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    chains_in_registers!(ROUNDS, _mm512_set1_ps, _mm512_fmadd_ps, [a b c d e f g h i j k l]);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn narrow() {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    // As many operations as `wide` does.
    chains_in_registers!(2 * ROUNDS, _mm256_set1_ps, _mm256_fmadd_ps, [a b c d e f g h i j k l]);
}

/// Without an instruction for it `mul_add` is a call of a function.
#[cfg(target_arch = "x86_64")]
fn plain() {
    chains(|value, factor, summand| value * factor + summand);
}

#[inline(always)]
fn chains(step: impl Fn(f32, f32, f32) -> f32) {
    let mut all = black_box([[0.5f32; LANES]; CHAINS]);
    let (factor, summand) = (black_box(0.5f32), black_box(0.25f32));
    for _ in 0..ROUNDS {
        for chain in &mut all {
            for lane in chain.iter_mut() {
                *lane = step(*lane, factor, summand);
            }
        }
    }
    black_box(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peak_of_this_machine_is_a_number_that_a_machine_can_have() {
        let peaks = measure();
        assert!((1e8..1e14).contains(&peaks.memory), "{peaks:?}");
        assert!((1e8..1e15).contains(&peaks.vector), "{peaks:?}");
    }

    /// One thread and one chain of scalars: every multiply-add waits for the one before it.
    fn scalar() -> f64 {
        let (factor, summand) = (black_box(0.5f32), black_box(0.25f32));
        let start = Instant::now();
        let mut value = black_box(0.5f32);
        for _ in 0..ROUNDS {
            value = value * factor + summand;
        }
        black_box(value);
        2.0 * ROUNDS as f64 / start.elapsed().as_secs_f64()
    }

    /// Vectors that are kept in registers are an order of magnitude above scalars that wait for each other;
    /// those that are gathered from memory are about as slow.
    #[test]
    fn the_peak_of_vectors_is_far_above_a_chain_of_scalars() {
        let (vector, scalar) = (vector(1), scalar());
        assert!(vector > 8.0 * scalar, "{vector} against {scalar}");
    }
}
