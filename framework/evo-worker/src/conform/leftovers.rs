//! What piles up while a kernel is loaded, launched and dropped.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use evo_wire::{Breach, ConformReport, Rule};

use super::{Subject, launch, report_of};
use crate::fault::Fault;

/// Cycles before the first count: pools are started and files opened once.
const WARM_UP: usize = 3;
/// Cycles that are counted.
const COUNTED: usize = 8;
/// How long ending threads get.
const SETTLE: Duration = Duration::from_millis(150);

/// What a process has.
#[derive(Debug, PartialEq, Eq)]
struct Census {
    threads: usize,
    descriptors: usize,
    files: usize,
    folder: Option<PathBuf>,
    rounding: u32,
}

impl Census {
    fn take() -> Self {
        let entries = |path: PathBuf| fs::read_dir(path).map_or(0, Iterator::count);
        Self {
            threads: entries("/proc/self/task".into()),
            descriptors: entries("/proc/self/fd".into()),
            files: entries(std::env::temp_dir()),
            folder: std::env::current_dir().ok(),
            rounding: float_control(),
        }
    }

    /// The first thing that grew with every cycle, or was changed at all.
    fn grown_to(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("threads", self.threads, now.threads),
            ("open descriptors", self.descriptors, now.descriptors),
            ("temporary files", self.files, now.files),
        ];
        let piled = pairs
            .iter()
            .find(|(_, before, after)| after.saturating_sub(*before) >= COUNTED);
        if let Some((what, before, after)) = piled {
            return Some(format!(
                "{COUNTED} times loading, launching and dropping left {before} {what} at {after}"
            ));
        }
        if self.folder != now.folder {
            return Some("the working folder of the process was changed".to_owned());
        }
        if self.rounding != now.rounding {
            return Some(
                "the floating-point control register (rounding, flush to zero) was changed and \
                 not set back"
                    .to_owned(),
            );
        }
        None
    }
}

/// The bits of MXCSR that control arithmetic; the sticky flags are left out.
#[cfg(target_arch = "x86_64")]
fn float_control() -> u32 {
    let mut value = 0u32;
    // SAFETY: stores the register into four bytes that belong to this function.
    unsafe {
        std::arch::asm!("stmxcsr [{0}]", in(reg) &raw mut value, options(nostack, preserves_flags));
    }
    value & !0x3f
}

#[cfg(not(target_arch = "x86_64"))]
fn float_control() -> u32 {
    0
}

/// Counts before and after some cycles.
///
/// # Errors
/// The outcome of a load or launch that failed.
pub(super) fn probe(subject: &Subject<'_>, seed: u64) -> Result<ConformReport, Fault> {
    let at_first = Census::take();
    for _ in 0..WARM_UP {
        cycle(subject, seed)?;
    }
    let before = Census {
        folder: at_first.folder,
        rounding: at_first.rounding,
        ..Census::take()
    };
    for _ in 0..COUNTED {
        cycle(subject, seed)?;
    }
    let mut grown = before.grown_to(&Census::take());
    if grown.is_some() {
        // Threads that were told to end may need a moment.
        std::thread::sleep(SETTLE);
        grown = before.grown_to(&Census::take());
    }
    Ok(report_of(grown.map(|message| Breach {
        rule: Rule::NoLeftovers,
        message,
    })))
}

fn cycle(subject: &Subject<'_>, seed: u64) -> Result<(), Fault> {
    launch(&mut subject.bound_slot(seed)?, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(threads: usize) -> Census {
        Census {
            threads,
            ..Census::take()
        }
    }

    #[test]
    fn only_what_grows_with_every_cycle_is_a_leak() {
        assert_eq!(census(4).grown_to(&census(4 + COUNTED - 1)), None);
        let leak = census(4).grown_to(&census(4 + COUNTED)).unwrap();
        assert!(leak.contains("left 4 threads at 12"), "{leak}");
        let moved = Census {
            folder: None,
            ..census(4)
        };
        assert!(census(4).grown_to(&moved).unwrap().contains("folder"));
    }
}
