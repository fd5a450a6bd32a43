//! The expression language against itself: printing and parsing, evaluation against a direct
//! interpreter of the tree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::ast::{BinaryOp, CompareOp, Expr, Kind};
use super::code::{Scalar, Stop, Trouble, Verdict};
use super::lower::lower_condition;
use super::names::{Meaning, Scope, Symbol, Type};
use super::parse::parse;
use crate::space::diagnostic::Span;

fn node(kind: Kind) -> Expr {
    Expr {
        kind,
        span: Span::new(0, 0),
    }
}

/// The same tree without places.
fn bare(expr: &Expr) -> Expr {
    let each = |list: &[Expr]| list.iter().map(bare).collect();
    let boxed = |inner: &Expr| Box::new(bare(inner));
    node(match &expr.kind {
        Kind::Neg(a) => Kind::Neg(boxed(a)),
        Kind::Not(a) => Kind::Not(boxed(a)),
        Kind::Binary(op, a, b) => Kind::Binary(*op, boxed(a), boxed(b)),
        Kind::Compare(a, rest) => Kind::Compare(
            boxed(a),
            rest.iter().map(|(op, b)| (*op, bare(b))).collect(),
        ),
        Kind::In(a, list) => Kind::In(boxed(a), each(list)),
        Kind::If(a, b, c) => Kind::If(boxed(a), boxed(b), boxed(c)),
        Kind::Call(name, list) => Kind::Call(name.clone(), each(list)),
        leaf => leaf.clone(),
    })
}

fn compare_ops() -> impl Strategy<Value = CompareOp> {
    prop::sample::select(vec![
        CompareOp::Less,
        CompareOp::LessEqual,
        CompareOp::Greater,
        CompareOp::GreaterEqual,
        CompareOp::Equal,
        CompareOp::NotEqual,
    ])
}

fn numeric_ops() -> impl Strategy<Value = BinaryOp> {
    prop::sample::select(vec![
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Rem,
    ])
}

fn logic_ops() -> impl Strategy<Value = BinaryOp> {
    prop::sample::select(vec![BinaryOp::Implies, BinaryOp::Or, BinaryOp::And])
}

/// Any tree at all, well typed or not.
fn trees() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        (0..i64::MAX).prop_map(Kind::Int),
        (0.0..1e300f64).prop_map(Kind::Float),
        any::<bool>().prop_map(Kind::Bool),
        "[a-z]{1,4}( [a-z]|'|\")?".prop_map(Kind::Name),
        "[A-Z_][A-Z0-9_]{0,3}".prop_map(Kind::Ref),
    ]
    .prop_map(node);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let list = prop::collection::vec(inner.clone(), 1..3);
        let rest = prop::collection::vec((compare_ops(), inner), 1..3);
        let binary = prop_oneof![numeric_ops(), logic_ops()];
        prop_oneof![
            one.clone().prop_map(Kind::Neg),
            one.clone().prop_map(Kind::Not),
            (binary, one.clone(), one.clone()).prop_map(|(op, a, b)| Kind::Binary(op, a, b)),
            (one.clone(), rest).prop_map(|(a, rest)| Kind::Compare(a, rest)),
            (one.clone(), list.clone()).prop_map(|(a, list)| Kind::In(a, list)),
            (one.clone(), one.clone(), one).prop_map(|(a, b, c)| Kind::If(a, b, c)),
            ("[a-z]{1,4}x", list).prop_map(|(name, list)| Kind::Call(name, list)),
        ]
        .prop_map(node)
    })
}

/// Well-typed numbers over the integers A and B (which may be inactive) and the float F.
fn numbers() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        (0i64..5).prop_map(Kind::Int),
        Just(Kind::Int(i64::MAX)),
        Just(Kind::Float(0.5)),
        prop::sample::select(vec!["A", "B", "F"]).prop_map(|name| Kind::Ref(name.to_owned())),
    ]
    .prop_map(node);
    leaf.prop_recursive(3, 12, 2, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let two = prop::collection::vec(inner, 2..4);
        let function = prop::sample::select(vec!["min", "max"]);
        prop_oneof![
            one.clone().prop_map(Kind::Neg),
            (numeric_ops(), one.clone(), one.clone()).prop_map(|(op, a, b)| Kind::Binary(op, a, b)),
            (function, two).prop_map(|(name, two)| Kind::Call(name.to_owned(), two)),
            one.prop_map(|a| Kind::Call("abs".to_owned(), vec![*a])),
        ]
        .prop_map(node)
    })
}

/// Well-typed conditions over the same and the boolean T.
fn conditions() -> impl Strategy<Value = Expr> {
    let number = || numbers().prop_map(Box::new);
    let rest = prop::collection::vec((compare_ops(), numbers()), 1..3);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Kind::Bool),
        Just(Kind::Ref("T".to_owned())),
        (number(), rest).prop_map(|(a, rest)| Kind::Compare(a, rest)),
        (number(), prop::collection::vec(numbers(), 1..3)).prop_map(|(a, l)| Kind::In(a, l)),
    ]
    .prop_map(node);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let one = inner.prop_map(Box::new);
        prop_oneof![
            one.clone().prop_map(Kind::Not),
            (logic_ops(), one.clone(), one.clone()).prop_map(|(op, a, b)| Kind::Binary(op, a, b)),
            (one.clone(), one.clone(), one).prop_map(|(a, b, c)| Kind::If(a, b, c)),
        ]
        .prop_map(node)
    })
}

/// A direct interpreter of the tree, with none of the machinery of the compiled one.
fn naive(expr: &Expr, values: &BTreeMap<&str, Option<Scalar>>) -> Result<Scalar, Stop> {
    let trouble = |trouble| Stop::Trouble(trouble, Span::new(0, 0));
    let truth = |expr: &Expr| Ok(naive(expr, values)? == Scalar::Bool(true));
    match &expr.kind {
        Kind::Int(value) => Ok(Scalar::Int(*value)),
        Kind::Float(value) => Ok(Scalar::Float(*value)),
        Kind::Bool(value) => Ok(Scalar::Bool(*value)),
        Kind::Ref(name) => values[name.as_str()].ok_or(Stop::Inactive),
        Kind::Not(a) => Ok(Scalar::Bool(!truth(a)?)),
        Kind::Neg(a) => match naive(a, values)? {
            Scalar::Int(a) => a
                .checked_neg()
                .map(Scalar::Int)
                .ok_or(trouble(Trouble::Overflow)),
            Scalar::Float(a) => Ok(Scalar::Float(-a)),
            other => panic!("{other:?}"),
        },
        Kind::Binary(BinaryOp::And, a, b) => Ok(Scalar::Bool(truth(a)? && truth(b)?)),
        Kind::Binary(BinaryOp::Or, a, b) => Ok(Scalar::Bool(truth(a)? || truth(b)?)),
        Kind::Binary(BinaryOp::Implies, a, b) => Ok(Scalar::Bool(!truth(a)? || truth(b)?)),
        Kind::Binary(op, a, b) => arithmetic(*op, naive(a, values)?, naive(b, values)?),
        Kind::Compare(first, rest) => {
            let mut left = naive(first, values)?;
            for (op, right) in rest {
                let right = naive(right, values)?;
                if !holds(*op, left, right) {
                    return Ok(Scalar::Bool(false));
                }
                left = right;
            }
            Ok(Scalar::Bool(true))
        }
        Kind::In(needle, list) => {
            for item in list {
                if holds(
                    CompareOp::Equal,
                    naive(needle, values)?,
                    naive(item, values)?,
                ) {
                    return Ok(Scalar::Bool(true));
                }
            }
            Ok(Scalar::Bool(false))
        }
        Kind::If(condition, yes, no) => naive(if truth(condition)? { yes } else { no }, values),
        Kind::Call(name, list) => {
            let list: Vec<Scalar> = list
                .iter()
                .map(|a| naive(a, values))
                .collect::<Result<_, _>>()?;
            call(name, &list).map_err(trouble)
        }
        Kind::Name(name) => panic!("{name}"),
    }
}

fn float(value: Scalar) -> f64 {
    match value {
        Scalar::Int(value) => value as f64,
        Scalar::Float(value) => value,
        other => panic!("{other:?}"),
    }
}

fn holds(op: CompareOp, a: Scalar, b: Scalar) -> bool {
    let order = match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => a.cmp(&b),
        _ => float(a).partial_cmp(&float(b)).unwrap(),
    };
    match op {
        CompareOp::Less => order.is_lt(),
        CompareOp::LessEqual => order.is_le(),
        CompareOp::Greater => order.is_gt(),
        CompareOp::GreaterEqual => order.is_ge(),
        CompareOp::Equal => order.is_eq(),
        CompareOp::NotEqual => order.is_ne(),
    }
}

fn arithmetic(op: BinaryOp, a: Scalar, b: Scalar) -> Result<Scalar, Stop> {
    let trouble = |trouble| Stop::Trouble(trouble, Span::new(0, 0));
    let divides = matches!(op, BinaryOp::Div | BinaryOp::Rem);
    if divides && float(b) == 0.0 {
        return Err(trouble(Trouble::DivisionByZero));
    }
    if let (Scalar::Int(a), Scalar::Int(b)) = (a, b) {
        let (a, b) = (i128::from(a), i128::from(b));
        let exact = match op {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Rem => a % b,
            other => panic!("{other:?}"),
        };
        return i64::try_from(exact)
            .map(Scalar::Int)
            .map_err(|_| trouble(Trouble::Overflow));
    }
    let (a, b) = (float(a), float(b));
    let value = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a % b,
        other => panic!("{other:?}"),
    };
    if value.is_finite() {
        Ok(Scalar::Float(value))
    } else {
        Err(trouble(Trouble::NotFinite))
    }
}

fn call(name: &str, list: &[Scalar]) -> Result<Scalar, Trouble> {
    let any_float = list.iter().any(|value| matches!(value, Scalar::Float(_)));
    let floats = list.iter().map(|value| float(*value));
    let ints: Vec<i64> = list
        .iter()
        .filter_map(|v| {
            if let Scalar::Int(v) = v {
                Some(*v)
            } else {
                None
            }
        })
        .collect();
    match (name, any_float) {
        ("min", true) => Ok(Scalar::Float(floats.fold(f64::INFINITY, f64::min))),
        ("max", true) => Ok(Scalar::Float(floats.fold(f64::NEG_INFINITY, f64::max))),
        ("min", false) => Ok(Scalar::Int(*ints.iter().min().unwrap())),
        ("max", false) => Ok(Scalar::Int(*ints.iter().max().unwrap())),
        ("abs", true) => Ok(Scalar::Float(float(list[0]).abs())),
        ("abs", false) => ints[0]
            .checked_abs()
            .map(Scalar::Int)
            .ok_or(Trouble::Overflow),
        other => panic!("{other:?}"),
    }
}

const INTS: [i64; 4] = [0, 1, 3, i64::MIN];
const FLOATS: [f64; 2] = [0.0, 1.5];

fn scope() -> Scope {
    let param = |index, kind| Symbol {
        param: true,
        meaning: Meaning::Param(index),
        kind,
        allowed: Vec::new(),
    };
    let mut scope = Scope::default();
    for (index, (name, kind)) in [
        ("A", Type::Int),
        ("B", Type::Int),
        ("F", Type::Float),
        ("T", Type::Bool),
    ]
    .into_iter()
    .enumerate()
    {
        scope.symbols.insert(name.to_owned(), param(index, kind));
    }
    scope
}

fn tables() -> Vec<Vec<Scalar>> {
    let ints: Vec<Scalar> = INTS.map(Scalar::Int).to_vec();
    let bools = [false, true].map(Scalar::Bool).to_vec();
    vec![
        ints.clone(),
        ints,
        FLOATS.map(Scalar::Float).to_vec(),
        bools,
    ]
}

/// Forgets the place of trouble, which the naive evaluation does not know.
fn kind_of(result: Result<Scalar, Stop>) -> Result<Scalar, Stop> {
    result.map_err(|stop| match stop {
        Stop::Trouble(trouble, _) => Stop::Trouble(trouble, Span::new(0, 0)),
        Stop::Inactive => Stop::Inactive,
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_back(tree in trees()) {
        let text = tree.to_string();
        let parsed = parse(&text).unwrap();
        prop_assert_eq!(bare(&parsed), tree, "{}", text);
    }

    #[test]
    fn arbitrary_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        if let Ok(tree) = parse(&text) {
            prop_assert_eq!(bare(&parse(&tree.to_string()).unwrap()), bare(&tree));
        }
    }

    #[test]
    fn token_soup_is_parsed_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "<", "<=", "==", "!=", "->",
                "and", "or", "not", "in", "if", "then", "else", "true", "A", "B", "1", "2.5",
                "'x'", "min", "!", "&&", "||",
            ]),
            0..30,
        )
    ) {
        let text = words.join(" ");
        if let Ok(tree) = parse(&text) {
            prop_assert_eq!(bare(&parse(&tree.to_string()).unwrap()), bare(&tree), "{}", text);
            // Checking it must not panic either, whatever its types.
            let _ = lower_condition(&tree, &mut scope(), "constraint");
        }
    }

    #[test]
    fn the_compiled_value_is_the_naive_one(tree in conditions()) {
        let code = lower_condition(&tree, &mut scope(), "constraint").unwrap();
        let tables = tables();
        let options = |count: u32| (0..count).map(Some).chain([None]);
        for a in options(4) {
            for b in options(4) {
                for (f, t) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let choices = [a, b, Some(f), Some(t)];
                    let scalar = |param: usize| {
                        choices[param].map(|choice| tables[param][choice as usize])
                    };
                    let values: BTreeMap<&str, Option<Scalar>> =
                        ["A", "B", "F", "T"].into_iter().zip((0..4).map(scalar)).collect();
                    let compiled = kind_of(code.evaluate(&choices, &tables));
                    prop_assert_eq!(compiled, naive(&tree, &values), "{} {:?}", &tree, choices);
                }
            }
        }
    }

    #[test]
    fn mentions_cover_what_the_value_depends_on(tree in conditions()) {
        let code = lower_condition(&tree, &mut scope(), "constraint").unwrap();
        let tables = tables();
        let base = [Some(1), Some(1), Some(0), Some(0)];
        for param in (0..4).filter(|param| !code.mentions().contains(param)) {
            for choice in [None, Some(0), Some(1)] {
                let mut other = base;
                other[param] = choice;
                prop_assert_eq!(code.verdict(&other, &tables), code.verdict(&base, &tables));
            }
        }
    }
}

#[test]
fn names_are_printed_in_the_quotes_that_fit() {
    for text in ["'row'", "\"it's\"", "'a \"b\"'"] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
}

fn verdict(text: &str) -> Verdict {
    let code = lower_condition(&parse(text).unwrap(), &mut scope(), "constraint").unwrap();
    // A = 3, B inactive, F = 1.5, T = true.
    code.verdict(&[Some(2), None, Some(1), Some(1)], &tables())
}

#[test]
fn operators_mean_what_the_reference_says() {
    for text in [
        "7 / 2 == 3",
        "-7 / 2 == -3",
        "-7 % 2 == -1",
        "(-9223372036854775807 - 1) % -1 == 0",
        "7 / 2.0 == 3.5",
        "ceil_div(7, 2) == 4 and ceil_div(8, 2) == 4 and ceil_div(-7, 2) == -3",
        "log2(1) == 0 and log2(64) == 6 and log2(65) == 6",
        "min(3, 1, 2) == 1 and max(3, 1.5) == 3",
        "abs(-3) == 3",
        "1 < A <= 3 < 4",
        "not (1 < 3 < 2)",
        "A in [1, 3] and A not in [1, 2]",
        "1 + 2 * 3 - 4 == 3",
        "2 - 1 - 1 == 0",
        "not A == 1 and T",
        "!(A == 1) && T || false",
        "false -> 1 / 0 == 1",
        "true or false and false",
        "(if T then A else 0) == 3",
        "'row' == 'row' and \"row\" != 'col'",
        "1_000 == 1000 and 1e3 == 1000",
        // Right to left: false -> (false -> false).
        "false -> false -> false",
    ] {
        assert_eq!(verdict(text), Verdict::Holds, "{text}");
    }
}

#[test]
fn an_inactive_parameter_silences_a_constraint_only_where_it_is_asked_for() {
    assert_eq!(verdict("B > 100"), Verdict::DoesNotApply);
    assert_eq!(verdict("not (B > 100)"), Verdict::DoesNotApply);
    assert_eq!(verdict("A > 100 and B > 100"), Verdict::Fails);
    assert_eq!(verdict("(if T then A else B) == 3"), Verdict::Holds);
}

#[test]
fn arithmetic_that_fails_is_located() {
    let text = "A > 0 and 1 / (A - 3) > 0";
    let Verdict::Trouble(trouble, span) = verdict(text) else {
        panic!("{:?}", verdict(text))
    };
    assert_eq!(
        (trouble, span.of(text)),
        (Trouble::DivisionByZero, "1 / (A - 3)")
    );
    let text = "A * 9223372036854775807 > 0";
    let Verdict::Trouble(trouble, span) = verdict(text) else {
        panic!("{:?}", verdict(text))
    };
    assert_eq!(
        (trouble, span.of(text)),
        (Trouble::Overflow, "A * 9223372036854775807")
    );
    assert!(matches!(
        verdict("log2(A - 3) == 0"),
        Verdict::Trouble(Trouble::Log2, _)
    ));
    assert!(matches!(
        verdict("F * 1e308 * 10 > 1"),
        Verdict::Trouble(Trouble::NotFinite, _)
    ));
}
