//! Features: where the configurations of a space lie in relation to each other.
//!
//! - An ordered parameter has a position: the mean of its rank among the values and of its value
//!   (its logarithm where the values span more than a factor of eight).
//! - An integer parameter whose values are not simply powers of two has an alignment too: the
//!   largest power of two that divides the value. Hardware and compilers care for it (vector
//!   width, warp size, cache lines), and it is not a smooth function of the position.
//! - A parameter without an order has one coordinate per value: all values are equally far apart.
//! - A conditional parameter has a coordinate that says whether it is active.
//!
//! Coordinates are scaled to a range of one and form groups; each group has a length scale.

use evo_types::Value;

use crate::space::{Config, Param, Space};

#[derive(Debug, Clone)]
pub(crate) struct Features {
    params: Vec<Coding>,
    /// The group of each coordinate.
    groups: Vec<usize>,
}

/// How one searched parameter becomes coordinates.
#[derive(Debug, Clone)]
struct Coding {
    param: usize,
    /// The coordinates of each value.
    values: Vec<Vec<f64>>,
    /// The coordinates where the parameter is inactive.
    inactive: Vec<f64>,
}

impl Features {
    pub(crate) fn new(space: &Space) -> Self {
        let mut features = Self {
            params: Vec::new(),
            groups: Vec::new(),
        };
        let mut group = 0;
        for &index in space.searched() {
            let Some(param) = space.params().get(index) else {
                continue;
            };
            let mut coding = Coding {
                param: index,
                values: vec![Vec::new(); param.values.len()],
                inactive: Vec::new(),
            };
            for columns in groups_of(param) {
                for column in columns {
                    for (values, x) in coding.values.iter_mut().zip(&column.of_values) {
                        values.push(*x);
                    }
                    coding.inactive.push(column.inactive);
                    features.groups.push(group);
                }
                group += 1;
            }
            features.params.push(coding);
        }
        features
    }

    /// The group of each coordinate.
    pub(crate) fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// The coordinates of a configuration.
    pub(crate) fn of(&self, config: &Config) -> Vec<f64> {
        let mut point = Vec::with_capacity(self.groups.len());
        for coding in &self.params {
            let value = config
                .get(coding.param)
                .and_then(|v| coding.values.get(v as usize));
            point.extend_from_slice(value.unwrap_or(&coding.inactive));
        }
        point
    }
}

/// One coordinate of a parameter.
struct Column {
    of_values: Vec<f64>,
    inactive: f64,
}

fn groups_of(param: &Param) -> Vec<Vec<Column>> {
    let mut groups = Vec::new();
    if param.ordered() {
        groups.push(vec![Column {
            of_values: positions(param),
            inactive: 0.5,
        }]);
    } else {
        groups.push(one_hot(param.values.len()));
    }
    if let Some(of_values) = alignments(param) {
        groups.push(vec![Column {
            of_values,
            inactive: 0.5,
        }]);
    }
    if param.when.is_some() {
        groups.push(vec![Column {
            of_values: vec![1.0; param.values.len()],
            inactive: 0.0,
        }]);
    }
    groups
}

/// Any two values are at distance 1.
fn one_hot(values: usize) -> Vec<Column> {
    (0..values)
        .map(|hot| {
            let of_value = |value| {
                if value == hot {
                    std::f64::consts::FRAC_1_SQRT_2
                } else {
                    0.0
                }
            };
            Column {
                of_values: (0..values).map(of_value).collect(),
                inactive: 0.0,
            }
        })
        .collect()
}

fn positions(param: &Param) -> Vec<f64> {
    let numbers: Vec<f64> = param.values.iter().filter_map(Value::as_float).collect();
    let (low, high) = range(&numbers);
    let logarithmic = low > 0.0 && high / low >= 8.0;
    let scaled: Vec<f64> = numbers
        .iter()
        .map(|x| if logarithmic { libm::log(*x) } else { *x })
        .collect();
    let by_value = normalise(&scaled);
    let falling = numbers.first() > numbers.last();
    let last = numbers.len().saturating_sub(1).max(1) as f64;
    by_value
        .iter()
        .enumerate()
        .map(|(place, x)| {
            let rank = place as f64 / last;
            0.5 * (x + if falling { 1.0 - rank } else { rank })
        })
        .collect()
}

/// The exponents of the largest powers of two that divide the values, where that says more than
/// the order of the values does.
fn alignments(param: &Param) -> Option<Vec<f64>> {
    let integers: Option<Vec<i64>> = param.values.iter().map(Value::as_int).collect();
    let integers = integers.filter(|all| all.len() >= 4 && all.iter().all(|value| *value > 0))?;
    let exponents: Vec<f64> = integers
        .iter()
        .map(|value| f64::from(value.trailing_zeros()))
        .collect();
    let in_order = exponents.is_sorted() || exponents.is_sorted_by(|a, b| a >= b);
    (!in_order).then(|| normalise(&exponents))
}

fn range(numbers: &[f64]) -> (f64, f64) {
    numbers
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(*x), high.max(*x))
        })
}

fn normalise(numbers: &[f64]) -> Vec<f64> {
    let (low, high) = range(numbers);
    let span = high - low;
    let usable = span > 0.0 && span.is_finite();
    numbers
        .iter()
        .map(|x| if usable { (x - low) / span } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Env;

    fn distance(features: &Features, a: &Config, b: &Config) -> f64 {
        let pairs = features.of(a).into_iter().zip(features.of(b));
        pairs.map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
    }

    #[test]
    fn coordinates_say_how_far_apart_values_are() {
        let text = r#"(name: "t", params: [
            (name: "P", values: [128, 64, 8]),
            (name: "N", values: ["x", "y", "z"]),
            (name: "ON", values: [false, true]),
            (name: "IF", values: [1, 2], when: "ON"),
        ])"#;
        let space = Space::parse(text, "t.ron", &Env::default()).unwrap();
        let features = Features::new(&space);
        assert_eq!(features.groups(), [0, 1, 1, 1, 2, 2, 3, 4]);
        let at = |choice: &[u32]| space.canonical(choice);
        let apart = |a: &[u32], b: &[u32]| distance(&features, &at(a), &at(b));
        assert!(apart(&[0, 0, 0, 0], &[1, 0, 0, 0]) < apart(&[1, 0, 0, 0], &[2, 0, 0, 0]));
        assert!((apart(&[0, 0, 0, 0], &[2, 0, 0, 0]) - 1.0).abs() < 1e-12);
        assert!((apart(&[0, 0, 0, 0], &[0, 2, 0, 0]) - 1.0).abs() < 1e-12);
        assert_eq!(
            apart(&[0, 1, 0, 0], &[0, 1, 0, 1]),
            0.0,
            "inactive choices do not count"
        );
        assert!(apart(&[0, 0, 0, 0], &[0, 0, 1, 0]) > 1.0);
    }

    #[test]
    fn alignment_is_a_feature_only_where_it_says_something_new() {
        let of = |values: &str| {
            let text = format!("(name: \"t\", params: [(name: \"A\", values: {values})])");
            let space = Space::parse(&text, "t.ron", &Env::default()).unwrap();
            alignments(&space.params()[0])
        };
        assert_eq!(of("[16, 32, 48, 64]").unwrap(), [0.0, 0.5, 0.0, 1.0]);
        assert_eq!(of("[16, 32, 64, 128]"), None);
        assert_eq!(of("[0, 2, 3, 4]"), None);
        assert_eq!(of("[\"a\", \"b\", \"c\", \"d\"]"), None);
    }
}
