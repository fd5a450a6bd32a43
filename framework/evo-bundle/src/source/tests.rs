//! What descriptions say, and what is said of those that are wrong.

use std::path::Path;

use evo_types::{FieldKind, Params, Value};
use proptest::prelude::*;

use super::{Argument, Description, Language, Problem};
use crate::{Bundle, GatherError, gather};

const WHOLE: &str = r#"(
    doc: "y = f x",
    language: c,
    sources: ["scale.c"],
    entry: "scale",
    arguments: [
        input(name: "x", dtype: f32, shape: ["N", 4]),
        output(name: "y", dtype: f32, shape: ["N", "FOUR"]),
        scalar(type: "int", value: "N"),
    ],
    space: (
        params: [(name: "TILE", values: [1, 2]), (name: "OPT", values: [2, 3])],
        constraints: [(expr: "TILE <= N")],
    ),
    flags: ["-O{OPT}"],
    problem: (
        fields: [(name: "N", default: 100)],
        constants: {"FOUR": "4"},
        reference: function(source: "reference.c", symbol: "scale"),
        flops: "N * FOUR",
    ),
)"#;

fn parse(text: &str) -> Result<Description, GatherError> {
    Description::parse(text, "k/scale.kernel.ron", "scale", &|file| match file {
        "space.ron" => Ok("(name: \"s\", params: [(name: \"TILE\", values: [1, 2])])".to_owned()),
        other => Err(format!("there is no {other}")),
    })
}

/// The text of the error after replacing a part of the description.
fn wrong(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    match parse(&WHOLE.replace(from, to)) {
        Ok(_) => panic!("no error for {to}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_whole_description_is_read() {
    let description = parse(WHOLE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(description.language, Language::C);
    assert_eq!(description.argument_lines, [7, 8, 9]);
    assert!(matches!(description.arguments[1], Argument::Output { .. }));
    let names: Vec<(&str, bool)> = description
        .params
        .iter()
        .map(|param| (param.name.as_str(), param.defined))
        .collect();
    assert_eq!(names, [("TILE", true), ("OPT", false)]);
    let own = description.own_problem().unwrap();
    assert_eq!(
        own.fields[0].info().kind,
        FieldKind::Int {
            min: 1,
            max: 2_147_483_647
        }
    );
    let values = Params::from([
        ("N".to_owned(), Value::Int(5)),
        ("FOUR".to_owned(), Value::Int(4)),
        ("OPT".to_owned(), Value::Int(3)),
    ]);
    assert_eq!(
        description.evaluate(&own.flops, &values).unwrap(),
        Value::Int(20)
    );
    let flag = description.flag(&description.flags[0], &values).unwrap();
    assert_eq!(flag.as_deref(), Some("-O3"));
}

#[test]
fn the_examples_of_the_reference_page_are_right() {
    let page = include_str!("../../KERNEL.md");
    let mut blocks = page.split("```ron\n").skip(1);
    let whole = blocks.next().unwrap().split("```").next().unwrap();
    parse(whole).unwrap_or_else(|error| panic!("{error}"));
    // The others are parts of a description.
    let parts: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let [launch, expected] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    let cuda = WHOLE
        .replace("language: c,", &format!("language: cuda, {launch}"))
        .replace("values: [2, 3])]", "values: [2, 3]), (name: \"BLOCK_X\", values: [32]), (name: \"BLOCK_Y\", values: [8]), (name: \"TILE_X\", values: [1]), (name: \"STAGES\", values: [2])]")
        .replace("(name: \"N\", default: 100)", "(name: \"N\", default: 100), (name: \"M\", default: 100)");
    parse(&cuda).unwrap_or_else(|error| panic!("{error}"));
    let function = "reference: function(source: \"reference.c\", symbol: \"scale\"),";
    let cases = WHOLE.replace(function, expected);
    parse(&cases).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_inline_space_keeps_its_lines() {
    let description = parse(WHOLE).unwrap();
    let space = description.space.unwrap();
    let line = space.lines().nth(11).unwrap();
    assert!(line.contains("\"TILE\", values"), "{line}");
    assert!(space.contains("name: \"scale\""));
    let beside = WHOLE.replace(
        &WHOLE[WHOLE.find("space: (").unwrap()..WHOLE.find("flags").unwrap()],
        "space: \"space.ron\",",
    );
    let beside = parse(&beside.replace("-O{OPT}", "-O2")).unwrap();
    assert_eq!(beside.space_file.as_deref(), Some("space.ron"));
    assert_eq!(beside.params.len(), 1);
}

#[test]
fn a_problem_can_be_named() {
    let start = WHOLE.find("    problem: (").unwrap();
    let text = format!("{}    problem: \"gemm\",\n)", &WHOLE[..start]);
    let text = text
        .replace(
            "input(name: \"x\", dtype: f32, shape: [\"N\", 4])",
            "tensor(\"a\")",
        )
        .replace(
            "output(name: \"y\", dtype: f32, shape: [\"N\", \"FOUR\"])",
            "tensor(\"c\")",
        );
    let description = parse(&text).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(&description.problem, Problem::Named(name) if name.value == "gemm"));
}

#[test]
fn mistakes_are_shown_at_their_place() {
    let shown = [
        wrong("sources: [", "source: ["),
        wrong("language: c,", "language: rust,"),
        wrong(
            "dtype: f32, shape: [\"N\", 4]",
            "dtype: float, shape: [\"N\"]",
        ),
        wrong("type: \"int\"", "type: \"itn\""),
        wrong("value: \"N\"", "value: \"N *\""),
        wrong("value: \"N\"", "value: \"N + TLIE\""),
        wrong("flops: \"N * FOUR\"", "flops: \"N * TILE\""),
        wrong("-O{OPT}", "-O{OTP}"),
        wrong(
            "fields: [(name: \"N\", default: 100)]",
            "fields: [(nam: \"N\", default: 100)]",
        ),
        wrong("default: 100)", "default: 100, multiple_of: 3)"),
        wrong("values: [1, 2])", "values: [1, 1])"),
        wrong("    doc:", "    launch: (grid: [1], block: [1]), doc:"),
        wrong("    doc:", "    runtime: [\"TILE\"], doc:"),
        wrong("    doc:", "    runtime: [\"TIEL\"], doc:"),
        wrong("    doc:", "    template: [\"TILE\"], doc:"),
        wrong(
            "output(name: \"y\", dtype: f32, shape: [\"N\", \"FOUR\"]),",
            "",
        ),
        wrong("output(name: \"y\"", "output(name: \"x\""),
        wrong("\"FOUR\": \"4\"", "\"SMS\": \"4\""),
        wrong(
            "input(name: \"x\", dtype: f32, shape: [\"N\", 4])",
            "tensor(\"x\")",
        ),
        wrong(
            "function(source: \"reference.c\", symbol: \"scale\")",
            "expected([(inputs: {\"x\": \"x.npy\"}, outputs: {\"z\": \"y.npy\"})])",
        ),
    ];
    insta::assert_snapshot!(shown.join("\n\n----\n\n"));
}

/// A folder with a description and some files.
fn folder(description: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    std::fs::create_dir_all(inner.join("include")).unwrap();
    std::fs::write(inner.join("scale.kernel.ron"), description).unwrap();
    for (name, content) in files {
        std::fs::write(inner.join(name), content).unwrap();
    }
    folder
}

fn gathered(folder: &Path) -> Result<Bundle, GatherError> {
    gather(&folder.join("a/b/scale.kernel.ron"))
}

#[test]
fn files_and_included_headers_are_gathered() {
    let files = [
        (
            "scale.c",
            "#include \"include/x.h\"\n#include \"missing.h\"\n",
        ),
        ("include/x.h", "#include \"y.h\"\n#include \"../../z.h\"\n"),
        ("include/y.h", ""),
        ("../z.h", ""),
        ("reference.c", "#include <math.h>\n"),
        ("unused.h", ""),
    ];
    let folder = folder(WHOLE, &files);
    let bundle = gathered(folder.path()).unwrap();
    let names: Vec<&str> = bundle.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "../z.h",
            "include/x.h",
            "include/y.h",
            "reference.c",
            "scale.c"
        ]
    );
    assert_eq!(bundle.name, "scale");
    assert_eq!(bundle.description, WHOLE);
    let again = gathered(folder.path()).unwrap();
    assert_eq!(bundle.to_bytes().unwrap(), again.to_bytes().unwrap());
}

#[test]
fn a_missing_file_is_shown_where_it_is_named() {
    let folder = folder(WHOLE, &[("scale.c", "")]);
    let error = gathered(folder.path()).unwrap_err().to_string();
    let path = folder.path().join("a/b");
    let error = error.replace(&path.display().to_string(), "HERE");
    let path = path.canonicalize().unwrap();
    insta::assert_snapshot!(error.replace(&path.display().to_string(), "HERE"), @r#"
    the file `reference.c` cannot be read: No such file or directory (os error 2)
       --> HERE/scale.kernel.ron:19:37
       |
    19 |         reference: function(source: "reference.c", symbol: "scale"),
       |                                     ^^^^^^^^^^^^^
       = paths start at HERE
    "#);
}

#[test]
fn a_path_that_leaves_the_neighbourhood_is_refused() {
    for path in ["/etc/passwd", "../../../../../../etc/passwd"] {
        let text = WHOLE.replace("reference.c", path);
        let folder = folder(&text, &[("scale.c", "")]);
        let error = gathered(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a path is relative"), "{error}");
    }
}

#[test]
fn a_placeholder_that_no_source_has_is_an_error() {
    let text = WHOLE.replace("    doc:", "    placeholders: {\"WIDTH\": \"TILE\"}, doc:");
    let folder = folder(&text, &[("scale.c", "{{ WIDTH }}"), ("reference.c", "")]);
    let error = gathered(folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("no source has the placeholder `{{WIDTH}}`"),
        "{error}"
    );
}

#[test]
fn the_facts_of_the_shipped_devices_are_known() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../search-spaces/devices");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.trim().starts_with('"')) {
            let name = line.split('"').nth(1).unwrap();
            assert!(super::check::FACTS.contains(&name), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 20);
}

proptest! {
    #[test]
    fn any_text_is_an_error_and_no_panic(text in ".{0,200}") {
        prop_assert!(parse(&text).is_err());
    }

    #[test]
    fn a_damaged_description_is_no_panic(
        start in 0usize..900,
        length in 0usize..40,
        put in "[a-zA-Z0-9(){}\\[\\]\",:{} *+/é-]{0,12}",
    ) {
        let floor = |mut at: usize| {
            at = at.min(WHOLE.len());
            while !WHOLE.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (floor(start), floor(start + length));
        let text = format!("{}{put}{}", &WHOLE[..start], &WHOLE[end.max(start)..]);
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
