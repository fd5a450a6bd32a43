use evo_types::Role;
use proptest::prelude::*;

use super::*;

fn tensor(shape: &[usize]) -> TensorSpec {
    TensorSpec {
        name: "y".into(),
        role: Role::Output,
        dtype: Dtype::F32,
        shape: shape.to_vec(),
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

fn poisoned(count: usize, poison: Poison) -> Vec<u8> {
    let mut bytes = vec![0; count * 4];
    element::fill(&mut bytes, Dtype::F32, poison);
    bytes
}

fn judged(
    shape: &[usize],
    first: &[u8],
    second: &[u8],
    expected: &[f64],
    deterministic: bool,
) -> Result<ErrorFigures, Finding> {
    let tensor = tensor(shape);
    let output = Output {
        tensor: &tensor,
        gate: 1e-5,
        first,
        second: Some(second),
        expected,
        rows: None,
    };
    judge(&[output], deterministic)
}

fn kind(result: Result<ErrorFigures, Finding>) -> WrongKind {
    result.unwrap_err().wrong
}

#[test]
fn a_right_result_passes_with_figures() {
    let right = bytes(&[1.0, -2.0, 3.0, 0.0]);
    let figures = judged(&[2, 2], &right, &right, &[1.0, -2.0, 3.0, 0.0], true).unwrap();
    assert_eq!(
        (figures.relative, figures.cosine, figures.checks),
        (0.0, 1.0, 1)
    );
    assert_eq!(figures.gate, 1e-5);
}

#[test]
fn each_kind_of_wrong_is_named() {
    let expected = [1.0, 2.0, 3.0, 4.0];
    let right = bytes(&[1.0, 2.0, 3.0, 4.0]);
    let shape = [2, 2];
    let (a, b) = (poisoned(4, Poison::First), poisoned(4, Poison::Second));

    let never = judged(&shape, &a, &b, &expected, true).unwrap_err();
    assert_eq!(never.wrong, WrongKind::Unwritten);
    assert_eq!(never.message, "all 4 elements of `y` are never written");

    let tail = |poison: &[u8]| [&right[..8], &poison[8..]].concat();
    let never = judged(&shape, &tail(&a), &tail(&b), &expected, true).unwrap_err();
    assert_eq!(never.wrong, WrongKind::Unwritten);
    assert_eq!(
        never.message,
        "2 of the 4 elements of `y` (from 2 to 3) are never written"
    );

    let nan = bytes(&[1.0, f32::NAN, 3.0, 4.0]);
    let nan = judged(&shape, &nan, &nan, &expected, true).unwrap_err();
    assert_eq!(nan.wrong, WrongKind::Unwritten);
    assert_eq!(
        nan.message,
        "element 1 of `y` (4 elements) is NaN or infinite"
    );

    let zeros = bytes(&[0.0; 4]);
    assert_eq!(
        kind(judged(&shape, &zeros, &zeros, &expected, true)),
        WrongKind::Zeros
    );
    assert!(judged(&shape, &zeros, &zeros, &[0.0; 4], true).is_ok());

    assert_eq!(
        kind(judged(&shape, &right, &b, &expected, true)),
        WrongKind::Cached
    );
    assert_eq!(
        kind(judged(&shape, &right, &tail(&b), &expected, true)),
        WrongKind::Race
    );
    assert_eq!(
        kind(judged(&shape, &tail(&a), &right, &expected, true)),
        WrongKind::Race
    );

    let near = bytes(&[1.0, 2.0, 3.0, 4.000_001]);
    assert_eq!(
        kind(judged(&shape, &right, &near, &expected, true)),
        WrongKind::Race
    );
    assert!(judged(&shape, &right, &near, &expected, false).is_ok());
    let far = bytes(&[1.0, 2.0, 3.0, 4.1]);
    assert_eq!(
        kind(judged(&shape, &right, &far, &expected, false)),
        WrongKind::Race
    );
    let farther = bytes(&[1.0, 2.0, 3.0, 4.2]);
    assert_eq!(
        kind(judged(&shape, &farther, &far, &expected, false)),
        WrongKind::Race
    );
    let far = judged(&shape, &far, &far, &expected, false).unwrap_err();
    assert_eq!(far.wrong, WrongKind::Inaccurate);
    let relative = far.figures.unwrap().relative;
    assert!((relative - 0.1 / 30f64.sqrt()).abs() < 1e-6, "{relative}");
}

#[test]
fn one_wrong_row_cannot_hide_in_a_large_tensor() {
    let expected: Vec<f64> = vec![1.0; 10_000 * 4];
    let mut values = vec![1.0f32; 10_000 * 4];
    values[4 * 1234] = 1.0001;
    let first = bytes(&values);
    let wrong = judged(&[10_000, 4], &first, &first, &expected, true).unwrap_err();
    assert_eq!(wrong.wrong, WrongKind::Inaccurate);
    assert!(wrong.message.contains("row 1234"), "{}", wrong.message);
    assert!(wrong.figures.unwrap().relative < 1e-5);
}

#[test]
fn a_row_of_nothing_is_held_to_the_scale_of_the_tensor() {
    let mut expected = vec![1.0; 200];
    expected[100..].fill(1e-12);
    let mut values: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
    values[100..].fill(1e-9);
    let near = bytes(&values);
    assert!(judged(&[2, 100], &near, &near, &expected, true).is_ok());
    values[100..].fill(1e-4);
    let far = bytes(&values);
    assert_eq!(
        kind(judged(&[2, 100], &far, &far, &expected, true)),
        WrongKind::Inaccurate
    );
}

#[test]
fn only_the_asked_rows_are_compared_but_all_must_be_finite() {
    let tensor = tensor(&[3, 2]);
    let expected = [f64::NAN, f64::NAN, 3.0, 4.0, f64::NAN, f64::NAN];
    let mut values = [9.0, 9.0, 3.0, 4.0, 9.0, 9.0];
    let rows = [1u64];
    let judged = |values: &[f32]| {
        let first = bytes(values);
        let output = Output {
            tensor: &tensor,
            gate: 1e-5,
            first: &first,
            second: Some(&first),
            expected: &expected,
            rows: Some(&rows),
        };
        judge(&[output], true)
    };
    assert!(judged(&values).is_ok());
    values[5] = f32::INFINITY;
    assert_eq!(kind(judged(&values)), WrongKind::Unwritten);
    values[5] = 9.0;
    values[3] = 4.1;
    assert_eq!(kind(judged(&values)), WrongKind::Inaccurate);
}

#[test]
fn a_single_launch_is_judged_by_the_first_poison() {
    let tensor = tensor(&[2, 2]);
    let judged = |first: &[u8]| {
        let output = Output {
            tensor: &tensor,
            gate: 1e-5,
            first,
            second: None,
            expected: &[1.0, 2.0, 3.0, 4.0],
            rows: None,
        };
        judge(&[output], true)
    };
    assert!(judged(&bytes(&[1.0, 2.0, 3.0, 4.0])).is_ok());
    let untouched = judged(&poisoned(4, Poison::First)).unwrap_err();
    assert!(untouched.untouched && untouched.wrong == WrongKind::Unwritten);
    assert_eq!(
        kind(judged(&bytes(&[1.0, 2.0, 3.0, 4.1]))),
        WrongKind::Inaccurate
    );
    assert_eq!(kind(judged(&bytes(&[0.0; 4]))), WrongKind::Zeros);
}

proptest! {
    #[test]
    fn an_error_above_the_gate_is_caught_wherever_it_is(
        rows in 1usize..20,
        columns in 1usize..40,
        place in any::<proptest::sample::Index>(),
        size in 3.0f64..1e6,
    ) {
        let expected = vec![1.0; rows * columns];
        let gate = 1e-3;
        // In units of what the row may have.
        let row_limit = 2.0 * gate * (columns as f64).sqrt();
        let off_by = |factor: f64| {
            let mut values = expected.clone();
            values[place.index(rows * columns)] += row_limit * factor;
            let tensor = TensorSpec { dtype: Dtype::F64, ..tensor(&[rows, columns]) };
            let first: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
            let output = Output {
                tensor: &tensor,
                gate,
                first: &first,
                second: Some(&first),
                expected: &expected,
                rows: None,
            };
            judge(&[output], true)
        };
        prop_assert_eq!(kind(off_by(size)), WrongKind::Inaccurate);
        prop_assert!(off_by(0.4).is_ok());
    }
}

#[test]
fn huge_values_do_not_overflow() {
    let tensor = TensorSpec {
        dtype: Dtype::F64,
        ..tensor(&[2])
    };
    let first: Vec<u8> = [1e300f64, 2e300]
        .iter()
        .flat_map(|v| v.to_ne_bytes())
        .collect();
    let output = Output {
        tensor: &tensor,
        gate: 1e-12,
        first: &first,
        second: Some(&first),
        expected: &[1e300, 2e300],
        rows: None,
    };
    assert_eq!(judge(&[output], true).unwrap().relative, 0.0);
}
