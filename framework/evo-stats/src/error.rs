//! What can be wrong with samples or options.

use thiserror::Error;

/// Why a statistic could not be computed. Every case is about the arguments: nothing here
/// touches the world.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StatsError {
    /// There are not enough samples for what was asked.
    #[error("{got} samples are too few: {needed} or more are needed")]
    TooFew {
        /// The least number that will do.
        needed: usize,
        /// The number that was given.
        got: usize,
    },
    /// A sample is NaN or infinite.
    #[error("sample {index} is {value}, not a finite number")]
    NotFinite {
        /// Position of the sample, from 0.
        index: usize,
        /// The sample.
        value: f64,
    },
    /// A sample that must be positive, such as a time that goes into a ratio, is not.
    #[error("sample {index} is {value}, and a ratio needs samples above zero")]
    NotPositive {
        /// Position of the sample, from 0.
        index: usize,
        /// The sample.
        value: f64,
    },
    /// Two sides of interleaved rounds differ in length.
    #[error(
        "{left} samples on one side and {right} on the other: rounds have one sample of each side"
    )]
    Unpaired {
        /// Samples of the first side.
        left: usize,
        /// Samples of the second side.
        right: usize,
    },
    /// An option is out of its range.
    #[error("option {name} is {value}, but must be {must}")]
    BadOption {
        /// The option's field name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
}

/// Checks that all samples are finite.
pub(crate) fn check_finite(samples: &[f64]) -> Result<(), StatsError> {
    match samples.iter().position(|sample| !sample.is_finite()) {
        None => Ok(()),
        Some(index) => Err(StatsError::NotFinite {
            index,
            value: samples[index],
        }),
    }
}

/// Checks that all samples are finite and above zero.
pub(crate) fn check_positive(samples: &[f64]) -> Result<(), StatsError> {
    check_finite(samples)?;
    match samples.iter().position(|sample| *sample <= 0.0) {
        None => Ok(()),
        Some(index) => Err(StatsError::NotPositive {
            index,
            value: samples[index],
        }),
    }
}

/// Checks that an option is a number above zero.
pub(crate) fn check_option(name: &'static str, value: f64) -> Result<(), StatsError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(StatsError::BadOption {
            name,
            value,
            must: "a finite number above zero",
        })
    }
}

/// Checks that an option is a finite number that is zero or more.
pub(crate) fn check_option_or_zero(name: &'static str, value: f64) -> Result<(), StatsError> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(StatsError::BadOption {
            name,
            value,
            must: "a finite number, zero or more",
        })
    }
}
