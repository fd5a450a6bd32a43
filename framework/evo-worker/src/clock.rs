//! The clock, its resolution, and signs that a sample was disturbed.

use std::time::{Duration, Instant};

/// Readings taken to find the resolution.
const READINGS: usize = 2_000;

/// The smallest step of the monotonic clock that can be seen, in seconds: what it costs to read
/// it, or what it advances by, whichever is larger.
pub(crate) fn resolution_s() -> f64 {
    let mut least = Duration::from_millis(10);
    let mut last = Instant::now();
    for _ in 0..READINGS {
        let now = Instant::now();
        let step = now - last;
        if !step.is_zero() {
            least = least.min(step);
        }
        last = now;
    }
    least.as_secs_f64()
}

/// How often the threads of this process were taken off a CPU although they had work to do.
pub(crate) fn preemptions() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable and of the right type; zeros are a valid value of it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_nivcsw
}

/// Decides which samples were disturbed and are taken again.
///
/// A sample during which a thread of this process was preempted shared its CPU with something
/// else. On a busy machine, or for a kernel with more threads than there are CPUs, that is true of
/// most samples: then it tells nothing, and no sample is taken again. Retakes are bounded, so
/// that a measurement always ends.
#[derive(Debug)]
pub(crate) struct Disturbance {
    seen: usize,
    disturbed: usize,
    retakes_left: usize,
}

/// Samples seen before a sample may be called disturbed.
const LEAST_SEEN: usize = 8;

impl Disturbance {
    /// At most `retakes` samples are taken again.
    pub(crate) fn new(retakes: usize) -> Self {
        Self {
            seen: 0,
            disturbed: 0,
            retakes_left: retakes,
        }
    }

    /// Notes one sample; returns whether it is to be taken again.
    pub(crate) fn retake(&mut self, preemptions: i64) -> bool {
        self.seen += 1;
        if preemptions <= 0 {
            return false;
        }
        self.disturbed += 1;
        let usual = self.disturbed * 2 > self.seen;
        if self.seen < LEAST_SEEN || usual || self.retakes_left == 0 {
            return false;
        }
        self.retakes_left -= 1;
        true
    }

    /// Samples that were disturbed, kept or not.
    pub(crate) fn disturbed(&self) -> usize {
        self.disturbed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_preemption_is_taken_again_and_a_usual_one_is_not() {
        let mut quiet = Disturbance::new(2);
        assert!((0..10).all(|_| !quiet.retake(0)));
        assert!(quiet.retake(1) && quiet.retake(3));
        assert!(!quiet.retake(1), "the retakes are spent");
        assert_eq!(quiet.disturbed(), 3);

        let mut busy = Disturbance::new(100);
        assert!((0..50).all(|_| !busy.retake(1)));
    }

    #[test]
    fn the_clock_has_a_resolution() {
        let resolution = resolution_s();
        assert!(resolution > 0.0 && resolution < 1e-2, "{resolution}");
        assert!(preemptions() >= 0);
    }
}
