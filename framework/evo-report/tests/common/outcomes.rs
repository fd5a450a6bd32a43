//! Outcomes as workers report them.

use evo_types::{
    ContentHash, Direction, ErrorFigures, Measurement, Metric, Outcome, Phase, RejectedBy,
    WrongKind, WrongResult,
};

/// Twenty samples around a median, in microseconds: the same wobble for all, as from a shared
/// clock, with a small part of their own.
pub(crate) fn samples(median: f64) -> Vec<f64> {
    (0..20u32)
        .map(|round| {
            let shared = [0.0, 0.004, -0.004, 0.008, -0.008][round as usize % 5];
            let own = f64::from((round * 7919 + median as u32) % 11) / 11.0 - 0.5;
            median * (1.0 + shared + 0.002 * own)
        })
        .collect()
}

/// A correct candidate with a median in microseconds.
pub(crate) fn timed(median: f64) -> Outcome {
    let samples = samples(median);
    let summary = evo_stats::Summary::of(&samples).unwrap();
    let interval = summary.median_ci.unwrap();
    let kernel_time = Metric {
        ci_low: Some(interval.low),
        ci_high: Some(interval.high),
        samples,
        ..Metric::new("kernel_time", "us", Direction::Lower, summary.p50)
    };
    let throughput = 2_147_483_648.0 / summary.p50 / 1e3;
    Outcome::Measured(Measurement {
        metrics: vec![
            kernel_time,
            Metric::new(
                "end_to_end_time",
                "us",
                Direction::Lower,
                summary.p50 + 40.0,
            ),
            Metric::new("throughput", "GFLOP/s", Direction::Higher, throughput),
        ],
        error: Some(error(3.1e-7)),
        execution: Some(ContentHash::of_bytes(&median.to_le_bytes())),
        recheck_seed: Some(4_242),
        raced_out: false,
        converged: true,
    })
}

/// What an objective returns: one figure without samples.
pub(crate) fn evaluated(value: f64) -> Outcome {
    Outcome::Measured(Measurement {
        metrics: vec![Metric::new("runtime", "ms", Direction::Lower, value)],
        error: None,
        execution: None,
        recheck_seed: None,
        raced_out: false,
        converged: false,
    })
}

pub(crate) fn error(relative: f64) -> ErrorFigures {
    ErrorFigures {
        relative,
        worst_row: 1.7 * relative,
        max_abs: 4.0 * relative,
        cosine: 1.0 - 1e-12,
        bias: -2e-9,
        gate: 1e-5,
        checks: 9,
        quantisation: None,
    }
}

pub(crate) fn wrong() -> Outcome {
    Outcome::WrongResult(WrongResult {
        wrong: WrongKind::Inaccurate,
        message: "relative error 3.4e-2 | gate 1e-5, shape S=197 \u{1b}[31mseed\u{1b}[0m 7"
            .to_owned(),
        error: Some(error(3.4e-2)),
        seed: 7,
        after_timing: false,
    })
}

pub(crate) fn rejected() -> Outcome {
    Outcome::Rejected {
        by: RejectedBy::Kernel,
        reason: "=BLOCK_M exceeds `S`".to_owned(),
    }
}

pub(crate) fn crashed() -> Outcome {
    Outcome::Crashed {
        phase: Phase::Measure,
        message: "killed by signal 11 (SIGSEGV)".to_owned(),
        output: String::new(),
    }
}

pub(crate) fn duplicate(trial: u64) -> Outcome {
    Outcome::DuplicateOf { trial }
}
