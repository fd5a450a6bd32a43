//! How figures are written: the same everywhere.

use std::time::{Duration, UNIX_EPOCH};

/// What is written where there is no figure.
pub(crate) const NONE: &str = "-";

/// A number with four significant digits.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    match decimals(value) {
        Some(decimals) => format!("{value:.decimals$}"),
        None => format!("{value:.3e}"),
    }
}

/// A number that somebody chose, without the noise of its last bits: `0.5`, `40`.
pub(crate) fn setting(value: f64) -> String {
    let text = number(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The decimals that give four significant digits, or `None` where an exponent reads better.
fn decimals(value: f64) -> Option<usize> {
    if value == 0.0 {
        return Some(0);
    }
    let magnitude = value.abs().log10().floor();
    (-4.0..9.0)
        .contains(&magnitude)
        .then(|| (3.0 - magnitude).max(0.0) as usize)
}

/// A ratio, such as `1.84x`.
pub(crate) fn ratio(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.2}x")
    } else {
        NONE.to_owned()
    }
}

/// A ratio with its interval, such as `1.84x [1.80, 1.88]`.
pub(crate) fn ratio_with_interval(value: f64, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some((low, high)) => format!("{} [{low:.2}, {high:.2}]", ratio(value)),
        None => ratio(value),
    }
}

/// The unit and factor in which a figure is shown: times by their magnitude, all else as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    factor: f64,
    unit: String,
}

impl Scale {
    /// The scale for figures about as large as `value`.
    pub(crate) fn of(value: f64, unit: &str) -> Self {
        let Some(second) = seconds_per(unit) else {
            return Self {
                factor: 1.0,
                unit: unit.to_owned(),
            };
        };
        let seconds = (value * second).abs();
        let steps = [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)];
        let (shown, step) = steps
            .into_iter()
            .find(|(_, step)| seconds >= *step)
            .unwrap_or(if seconds > 0.0 {
                ("ns", 1e-9)
            } else {
                (unit, second)
            });
        // Division by a power of ten that a double holds exactly keeps short figures short.
        Self {
            factor: second / step,
            unit: shown.to_owned(),
        }
    }

    /// The figure without its unit.
    pub(crate) fn number(&self, value: f64) -> String {
        number(value * self.factor)
    }

    /// The figure with its unit, such as `412.3 us`.
    pub(crate) fn quantity(&self, value: f64) -> String {
        format!("{} {}", self.number(value), self.unit)
            .trim_end()
            .to_owned()
    }

    /// The figure with its interval, such as `412.3 us [408.1, 415.9]`.
    pub(crate) fn with_interval(&self, value: f64, interval: Option<(f64, f64)>) -> String {
        match interval {
            Some((low, high)) => {
                format!(
                    "{} [{}, {}]",
                    self.quantity(value),
                    self.number(low),
                    self.number(high)
                )
            }
            None => self.quantity(value),
        }
    }
}

/// Seconds in a unit of time, `None` for any other unit.
pub(crate) fn seconds_per(unit: &str) -> Option<f64> {
    match unit {
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

/// A figure with its unit.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    Scale::of(value, unit).quantity(value)
}

/// A number of bytes, such as `32.0 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let steps = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match steps.into_iter().find(|(_, step)| count >= *step) {
        Some((unit, step)) => format!("{:.1} {unit}", count as f64 / step as f64),
        None => format!("{count} B"),
    }
}

/// A span of time, such as `2m 5s`; spans under ten seconds have a decimal.
pub(crate) fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    humantime::format_duration(Duration::from_secs(seconds.min(1e12).round() as u64)).to_string()
}

/// A point in time from seconds since the Unix epoch, such as `2026-11-22T21:40:00Z`.
pub(crate) fn time(at: f64) -> String {
    /// The last second of the year 9999, beyond which the format ends.
    const LAST: f64 = 253_402_300_799.0;
    if !(0.0..=LAST).contains(&at) {
        return NONE.to_owned();
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at as u64)).to_string()
}

/// A count with its noun, such as `1 trial` or `2 trials`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!(number(412.34), "412.3");
        assert_eq!(number(1.84123), "1.841");
        assert_eq!(number(-0.01234567), "-0.01235");
        assert_eq!(number(81234567.0), "81234567");
        assert_eq!(number(3.2e-7), "3.200e-7");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(f64::NAN), "-");
        assert_eq!(
            [setting(0.7 * 100.0), setting(1.5), setting(40.0)],
            ["70", "1.5", "40"]
        );
    }

    #[test]
    fn times_choose_their_unit() {
        assert_eq!(quantity(412.34, "us"), "412.3 us");
        assert_eq!(quantity(8812.0, "us"), "8.812 ms");
        assert_eq!(quantity(0.5, "us"), "500.0 ns");
        assert_eq!(quantity(0.0, "ms"), "0 ms");
        assert_eq!(quantity(8812.0, "GFLOP/s"), "8812 GFLOP/s");
        let scale = Scale::of(8812.0, "us");
        assert_eq!(
            scale.with_interval(8812.0, Some((990.0, 9000.0))),
            "8.812 ms [0.9900, 9.000]"
        );
    }

    #[test]
    fn spans_dates_and_sizes_survive_any_number() {
        assert_eq!(span(125.4), "2m 5s");
        assert_eq!(span(3.21), "3.2s");
        assert_eq!(span(f64::INFINITY), "-");
        assert_eq!(span(1e300), span(1e12));
        assert_eq!(time(0.0), "1970-01-01T00:00:00Z");
        assert_eq!(time(-1.0), "-");
        assert_eq!(time(1e300), "-");
        assert_eq!(bytes(34_359_738_368), "32.0 GiB");
        assert_eq!(count(1, "trial"), "1 trial");
    }

    #[test]
    fn ratios_have_two_decimals() {
        assert_eq!(
            ratio_with_interval(1.8444, Some((1.8, 1.879))),
            "1.84x [1.80, 1.88]"
        );
        assert_eq!(ratio(f64::INFINITY), "-");
    }
}
