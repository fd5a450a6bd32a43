//! Translations, by hand.

use proptest::prelude::*;

use super::*;

fn kinds() -> Kinds {
    let values = |list: &[i64]| list.iter().map(|v| Value::Int(*v)).collect::<Vec<_>>();
    [
        ("A", values(&[1, 2, 4])),
        ("B", values(&[1, 3])),
        ("S", values(&[-2, 2])),
        ("F", vec![Value::Float(0.5), Value::Float(1.5)]),
        ("ON", vec![Value::Bool(false), Value::Bool(true)]),
        ("L", vec!["row".into(), "col".into()]),
    ]
    .map(|(name, values)| (name.to_owned(), values))
    .into()
}

#[track_caller]
fn same(python: &str, expected: &str) {
    assert_eq!(
        translate(python, &kinds()).as_deref(),
        Ok(expected),
        "{python}"
    );
}

#[test]
fn what_reads_alike_stays() {
    for text in [
        "32 <= A * B <= 1024",
        "A > 1 or B == 0",
        "A - (B - 1) - 2 < 3",
        "not (A == 1 or B == 1) and A != 4",
        "L == 'row'",
        "L in ['row', 'col']",
        "A not in [1, 2]",
        "min(A, B, 3) + abs(S) >= 2",
        "ON or A == 1",
        "F * 2 < 1.5",
        "-A < -(B - 1)",
    ] {
        same(text, text);
    }
}

#[test]
fn a_quotient_of_integers_is_a_float() {
    same("A % ((A * B) / B) == 0", "A % (1.0 * (A * B) / B) == 0");
    same("A / F > 1", "A / F > 1");
    same("A // B == 1", "A / B == 1");
}

#[test]
fn remainders_and_floors_of_negatives_are_pythons() {
    same("S % A == 0", "(S % A + A) % A == 0");
    same("(A - 3) % 2 == 1", "((A - 3) % 2 + 2) % 2 == 1");
    same("S // A < 0", "(S - (S % A + A) % A) / A < 0");
    same("A % B == 0", "A % B == 0");
}

#[test]
fn numbers_are_conditions_and_truth_values_are_numbers() {
    same("A", "A != 0");
    same("not A and F", "not A != 0 and F != 0.0");
    same("ON == 1", "(if ON then 1 else 0) == 1");
    same("ON + A > 1", "(if ON then 1 else 0) + A > 1");
    same("True or A == 1", "true or A == 1");
    same(
        "ON in (0, True)",
        "(if ON then 1 else 0) in [0, (if true then 1 else 0)]",
    );
    same("(2 if ON else B) == 2", "(if ON then 2 else B) == 2");
}

#[test]
fn powers_are_products() {
    same("A ** 2 <= 2 ** 4", "A * A <= 16");
    same("(A + 1) ** 3 > 8", "(A + 1) * (A + 1) * (A + 1) > 8");
}

#[test]
fn a_name_that_never_occurs_is_no_misspelling() {
    same("L == 'diagonal'", "false");
    same("L != 'diagonal' or A == 1", "true or A == 1");
    same("L in ('row', 'diagonal')", "L in ['row']");
    same("L in ('diagonal',)", "false");
}

#[test]
fn what_cannot_be_translated_is_said_with_its_place() {
    for (text, start, part) in [
        ("A <", 3, "expected a value, found the end"),
        ("A < C", 4, "`C` is no parameter (A, B, F, L, ON, S)"),
        ("A ** B == 1", 5, "only an exponent from 1 to 8"),
        ("F // 2 == 1", 0, "`//` of floats"),
        ("A == 'row'", 0, "a name can only be compared with names"),
        ("L < 'row'", 0, "a name can only be compared with names"),
        (
            "ceil(A) == 1",
            0,
            "`ceil` with 1 arguments cannot be translated",
        ),
        ("A & B", 2, "`&` cannot be translated"),
        (
            "p['A'] < 1",
            1,
            "expected an operator or the end, found `[`",
        ),
        ("A == None", 5, "expected a value, found `None`"),
        (
            "A < 99999999999999999999",
            4,
            "is no number that fits 64 bits",
        ),
        ("L + 1 == 2", 0, "a number is needed, this is a name"),
        ("A = 1", 2, "expected an operator or the end, found `=`"),
    ] {
        let error = translate(text, &kinds()).unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.start, start, "{text}: {error}");
    }
    let deep = format!("{}A{}", "(".repeat(100), ")".repeat(100));
    assert!(
        translate(&deep, &kinds())
            .unwrap_err()
            .message
            .contains("too deeply")
    );
}

proptest! {
    /// Any text is translated or refused; nothing breaks.
    #[test]
    fn any_text(text in "[ABSF()0-9 <>=+*/%.'andorti,\\[\\]-]{0,40}") {
        let _ = translate(&text, &kinds());
    }

    #[test]
    fn any_letters(text in ".{0,40}") {
        let _ = translate(&text, &kinds());
    }
}
