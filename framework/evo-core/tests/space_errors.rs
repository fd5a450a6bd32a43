//! What people read when a space file is wrong: one snapshot per kind of mistake.
#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

use evo_core::space::{Env, Space};
use evo_types::Value;

fn env() -> Env {
    Env {
        problem: [("S", 512), ("D", 64), ("BYTES_PER_ELEMENT", 2)]
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .into_iter()
            .chain([("mask".to_owned(), Value::from("causal"))])
            .collect(),
        device: [("SMEM_BYTES".to_owned(), Value::from(232_448))].into(),
        pinned: [("PINNED".to_owned(), Value::from(3))].into(),
    }
}

/// The errors of a text, which must have some.
fn errors(text: &str) -> String {
    match Space::parse(text, "spaces/x.ron", &env()) {
        Ok(space) => panic!("no error in {text}: {space:?}"),
        Err(errors) => errors.to_string(),
    }
}

/// A file with the given parameters and constraints, one each on its own line.
fn file(params: &[&str], constraints: &[&str]) -> String {
    let lines = |items: &[&str]| -> String {
        items
            .iter()
            .map(|item| format!("        {item},\n"))
            .collect()
    };
    format!(
        "(\n    name: \"x\",\n    params: [\n{}    ],\n    constraints: [\n{}    ],\n)\n",
        lines(params),
        lines(constraints)
    )
}

/// Two parameters of every type, and one expression.
fn expr(text: &str) -> String {
    let constraint = format!("(expr: \"{text}\")");
    errors(&file(
        &[
            "(name: \"BLOCK_M\", values: [64, 128])",
            "(name: \"SCALE\", values: [0.5, 1.0])",
            "(name: \"USE_WS\", values: [false, true])",
            "(name: \"LAYOUT\", values: [\"row\", \"col\"])",
        ],
        &[&constraint],
    ))
}

fn param(text: &str) -> String {
    errors(&file(&[text], &[]))
}

/// All cases of a test in one snapshot, each under its input.
fn listing(cases: &[(&str, String)]) -> String {
    let part = |(input, shown): &(&str, String)| format!("## {input}\n{shown}\n");
    cases.iter().map(part).collect::<Vec<_>>().join("\n")
}

macro_rules! snapshot {
    ($name:literal, $render:expr, [$($case:literal),* $(,)?]) => {
        let shown = listing(&[$(($case, $render($case))),*]);
        insta::assert_snapshot!($name, shown);
    };
}

#[test]
fn ron_mistakes() {
    snapshot!(
        "ron",
        errors,
        [
            "",
            "(",
            "[]",
            "Spaze(name: \"x\", params: [])",
            "(name: \"x\", params: [(name: \"A\", values: [1, 2])], constraint: [])",
            "(name: \"x\")",
            "(name: \"x\", name: \"y\", params: [])",
            "(name: \"x\", params: [])",
            "(name: \"x\", params: {})",
            "(name: x, params: [(name: \"A\", values: [1, 2])])",
            "(name: \"x y\", params: [(name: \"A\", values: [1, 2])])",
            "(name: \"x\", params: [(name: \"A\", values: [1, 2])]) trailing",
            "(name: \"x\", params: [(name: \"A\", valuse: [1, 2]), (nam: \"B\", values: [1, 2])])",
            "(name: \"x\", params: [(name: \"A\", values: [1, 2], role: problme)])",
            "(name: \"x\", params: [(name: \"A\", values: [1, 2])], constraints: [(reason: \"r\")])",
            "(name: \"x\", params: [(name: \"A\", values: [1, 2])], constraints: [\"A > 1\"])",
            "(name: \"x\", constants: [1], params: [(name: \"A\", values: [1, 2])])",
            "(name: \"x\", params: [(name: \"A\", values: [1, 2], when: 3)])",
            "(name: \"x\", doc: \"unclosed, params: [])",
        ]
    );
}

#[test]
fn deep_nesting_is_an_error() {
    let nested = format!(
        "(name: \"x\", params: {}{})",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(errors(&nested).contains("nested too deeply"));
    let deep = format!("{}1{} < BLOCK_M", "(".repeat(200), ")".repeat(200));
    insta::assert_snapshot!("deep_parentheses", expr(&deep));
    let signs = format!("{}1 < BLOCK_M", "-".repeat(20_000));
    assert!(expr(&signs).contains("nested more than 64 levels deep"));
    let long = format!("{}1 > BLOCK_M", "1 + ".repeat(20_000));
    assert!(expr(&long).contains("has over 500 parts"));
}

#[test]
fn value_mistakes() {
    snapshot!(
        "values",
        param,
        [
            "(name: \"A\")",
            "(name: \"A\", values: [1], range: (from: 1, to: 2))",
            "(name: \"A\", values: [])",
            "(name: \"A\", values: 3)",
            "(name: \"A\", values: [1, 2, 1])",
            "(name: \"A\", values: [1, 2.5, true, \"x\"])",
            "(name: \"A\", values: [row, col])",
            "(name: \"A\", values: ['r'])",
            "(name: \"A\", values: [\"a b\", \"\"])",
            "(name: \"A\", values: [9223372036854775808])",
            "(name: \"A\", values: [-99999999999999999999999])",
            "(name: \"A\", values: [1e999, NaN, -inf])",
            "(name: \"A\", values: [(1, 2)])",
            "(name: \"A\", values: [1, 2], default: 3)",
            "(name: \"A\", values: [\"row\", \"col\"], default: \"rwo\")",
            "(name: \"A\", values: [1, 2], default: \"x\")",
        ]
    );
}

#[test]
fn range_mistakes() {
    snapshot!(
        "ranges",
        param,
        [
            "(name: \"A\", range: (from: 1))",
            "(name: \"A\", range: (from: 1, to: 8, stride: 2))",
            "(name: \"A\", range: (from: 1, to: 8, step: 0))",
            "(name: \"A\", range: (from: 1, to: 8, step: -1))",
            "(name: \"A\", range: (from: 8, to: 1))",
            "(name: \"A\", range: (from: 0.5, to: 0.25, step: 0.125))",
            "(name: \"A\", range: (from: true, to: \"x\"))",
            "(name: \"A\", range: (from: 0, to: 1000000000000))",
            "(name: \"A\", range: (from: -9223372036854775808, to: 9223372036854775807))",
            "(name: \"A\", range: (from: 0.0, to: 1e300, step: 1e-300))",
            "(name: \"A\", range: (from: 1e17, to: 100000000000000064.0, step: 1.0))",
            "(name: \"A\", pow2: (from: 3, to: 64))",
            "(name: \"A\", pow2: (from: 0, to: 4.0))",
            "(name: \"A\", pow2: (from: 64, to: 16))",
            "(name: \"A\", pow2: (from: 1, to: 4, step: 2))",
        ]
    );
}

#[test]
fn name_mistakes() {
    snapshot!(
        "names",
        errors,
        [
            "(name: \"x\", params: [(name: \"A\", values: [1]), (name: \"A\", values: [2])])",
            "(name: \"x\", params: [(name: \"and\", values: [1])])",
            "(name: \"x\", params: [(name: \"min\", values: [1])])",
            "(name: \"x\", params: [(name: \"2A\", values: [1])])",
            "(name: \"x\", params: [(name: \"A-B\", values: [1]), (name: \"\", values: [1])])",
            "(name: \"x\", params: [(name: \"S\", values: [1])])",
            "(name: \"x\", params: [(name: \"SMEM_BYTES\", values: [1])])",
            "(name: \"x\", params: [(name: \"mask\", values: [\"none\", \"casual\"], role: problem)])",
            "(name: \"x\", params: [(name: \"PINNED\", values: [1, 2])])",
            "(name: \"x\", constants: { \"S\": 1, \"K\": 1, \"K\": 2, \"A\": 1 }, params: [(name: \"A\", values: [1])])",
            "(name: \"x\", constants: { K: 1, \"L\": [] }, params: [(name: \"A\", values: [1])])",
        ]
    );
}

#[test]
fn syntax_mistakes_in_expressions() {
    snapshot!(
        "syntax",
        expr,
        [
            "",
            "BLOCK_M <=",
            "<= BLOCK_M",
            "BLOCK_M = 64",
            "(BLOCK_M <= 64",
            "BLOCK_M <= 64)",
            "BLOCK_M 64",
            "BLOCK_M // 2 == 32",
            "BLOCK_M ** 2 == 32",
            "USE_WS ? 1 : 2",
            "USE_WS & USE_WS",
            "BLOCK_M == 64 # comment",
            "BLOCK_M < 99999999999999999999",
            "BLOCK_M < 1e999",
            "BLOCK_M < 12abc",
            "LAYOUT == 'row",
            "BLOCK_M in []",
            "BLOCK_M in 64",
            "BLOCK_M not 64",
            "if USE_WS then BLOCK_M > 1",
            "BLOCK_M + not USE_WS",
            "min(BLOCK_M, 2",
            "then",
            "\\u{e9} < 3",
        ]
    );
}

#[test]
fn type_and_name_mistakes_in_expressions() {
    snapshot!(
        "types",
        expr,
        [
            "BLOK_M <= S",
            "blok_m <= S and BLOCK_M <= SMEM_BYTS",
            "LAYOUT == row",
            "BLOCK_M + 1",
            "BLOCK_M and USE_WS",
            "LAYOUT or USE_WS",
            "USE_WS + 1 < 2",
            "LAYOUT * 2 > 1",
            "-LAYOUT == 'row'",
            "USE_WS == 1",
            "LAYOUT == 1",
            "LAYOUT < 'row'",
            "USE_WS < true",
            "LAYOUT == 'rwo'",
            "LAYOUT in ['row', 'colum']",
            "not BLOCK_M",
            "BLOCK_M -> USE_WS",
            "if BLOCK_M then true else false",
            "(if USE_WS then 1 else 'x') == 1",
            "foo(BLOCK_M) > 1",
            "mim(BLOCK_M, 2) > 1",
            "min(BLOCK_M) > 1",
            "abs(1, 2) > 1",
            "ceil_div(BLOCK_M, SCALE) > 1",
            "log2(SCALE) > 1.0",
            "min > 3",
            "max(LAYOUT, USE_WS) > 3",
        ]
    );
}

#[test]
fn conditions_must_not_go_in_circles() {
    insta::assert_snapshot!(
        "circle",
        errors(&file(
            &[
                "(name: \"A\", values: [1, 2], when: \"B == 1\")",
                "(name: \"B\", values: [1, 2], when: \"C == 1\")",
                "(name: \"C\", values: [1, 2], when: \"A == 1\")",
                "(name: \"D\", values: [1, 2], when: \"A == 1\")",
            ],
            &[],
        ))
    );
    assert!(param("(name: \"A\", values: [1, 2], when: \"A == 1\")").contains("A needs A"));
}

#[test]
fn empty_spaces_name_the_constraints() {
    let params = [
        "(name: \"A\", range: (from: 1, to: 50))",
        "(name: \"B\", range: (from: 1, to: 50))",
        "(name: \"C\", range: (from: 1, to: 50))",
    ];
    let cases = [
        (
            "one alone",
            vec![
                "(expr: \"A <= 50\")",
                "(expr: \"A * B > S * S\", reason: \"too big\")",
            ],
        ),
        (
            "two alone",
            vec!["(expr: \"A > 50\")", "(expr: \"B / (C - C) == 1\")"],
        ),
        (
            "a constant one",
            vec!["(expr: \"S * D * BYTES_PER_ELEMENT > SMEM_BYTES\", reason: \"r\")"],
        ),
        (
            "three together",
            vec![
                "(expr: \"A < B\", reason: \"first\")",
                "(expr: \"A != 25\")",
                "(expr: \"B < C\")",
                "(expr: \"C < A\", reason: \"third\")",
            ],
        ),
    ];
    let shown: Vec<(&str, String)> = cases
        .iter()
        .map(|(name, c)| (*name, errors(&file(&params, c))))
        .collect();
    insta::assert_snapshot!("empty", listing(&shown));
}

#[test]
fn a_hard_space_is_given_up_after_bounded_effort() {
    // Twelve pigeons for eleven holes: refuting it needs far more steps than are granted.
    let names: Vec<String> = (0..12).map(|index| format!("P{index}")).collect();
    let params: Vec<String> = names
        .iter()
        .map(|n| format!("(name: \"{n}\", range: (from: 1, to: 11))"))
        .collect();
    let mut constraints = Vec::new();
    for (index, a) in names.iter().enumerate() {
        constraints.extend(
            names[..index]
                .iter()
                .map(|b| format!("(expr: \"{a} != {b}\")")),
        );
    }
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    let constraints: Vec<&str> = constraints.iter().map(String::as_str).collect();
    let text = errors(&file(&params, &constraints));
    assert!(text.contains("no valid configuration was found"), "{text}");
    assert!(text.contains("this constraint refused the most"), "{text}");
}

#[test]
fn sizes_that_overflow_are_errors() {
    let params: Vec<String> = (0..40)
        .map(|i| format!("(name: \"A{i}\", range: (from: 1, to: 10000))"))
        .collect();
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    insta::assert_snapshot!("too_large", errors(&file(&params, &[])));
    let many: Vec<String> = (0..200)
        .map(|i| format!("(name: \"A{i}\", values: [1])"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(errors(&file(&many, &[])).contains("200 parameters; a space has at most 128"));
    let params = "(name: \"A\", values: [1])";
    let constraints = vec!["(expr: \"A == 1\")"; 600];
    assert!(errors(&file(&[params], &constraints)).contains("600 constraints"));
    let huge = format!(
        "(name: \"x\", doc: \"{}\", params: [])",
        "x".repeat(1 << 20)
    );
    assert!(errors(&huge).contains("a space has at most 1048576"));
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file() {
    insta::assert_snapshot!(
        "several",
        errors(&file(
            &[
                "(name: \"A\", values: [1, 1])",
                "(name: \"B\", range: (from: 3, to: 1))",
                "(name: \"C\", values: [1, 2], default: 5, when: \"A == 1 and Q\")",
            ],
            &[
                "(expr: \"A * B <= C\")",
                "(expr: \"A ** 2 < 3\")",
                "(expr: \"X + Y < C\")",
            ],
        ))
    );
    // A parameter with a misspelt field is still a parameter to the expressions that use it.
    let misspelt = file(&["(name: \"A\", valeus: [1, 2])"], &["(expr: \"A > 1\")"]);
    assert_eq!(errors(&misspelt).matches("error:").count(), 1);
    let many: Vec<String> = (0..30)
        .map(|i| format!("(name: \"A{i}\", values: [])"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(errors(&file(&many, &[])).ends_with("and 10 more errors"));
}

#[test]
fn escapes_and_comments_do_not_move_the_marker() {
    let constraints = [
        r#"(/* é */ expr: "LAYOUT == \"row\" or \u{42}AD > 1")"#,
        "(expr: r#\"LAYOUT == \"col\" or BAD > 1\"#) // comment",
    ];
    let text = file(
        &["(name: \"LAYOUT\", values: [\"row\", \"col\"])"],
        &constraints,
    );
    insta::assert_snapshot!("escapes", errors(&text));
}

#[test]
fn a_constant_with_two_values_is_ambiguous_only_where_it_is_used() {
    let mut env = env();
    env.device.insert("S".to_owned(), Value::from(7));
    let unused = file(&["(name: \"A\", values: [1, 2])"], &["(expr: \"A <= D\")"]);
    assert!(Space::parse(&unused, "x.ron", &env).is_ok());
    let used = file(&["(name: \"A\", values: [1, 2])"], &["(expr: \"A <= S\")"]);
    let shown = Space::parse(&used, "x.ron", &env).unwrap_err().to_string();
    assert!(shown.contains("`S` means two things"), "{shown}");
}
