//! Definitions of spaces without measurements.

#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::path::{Path, PathBuf};

use evo_recorded::{Definition, Recording};
use evo_types::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data")
        .join(name)
}

#[test]
fn a_t1_file_defines_a_space() {
    let t1 = Definition::read(&path("recorded/t1.convolution_milo.json")).unwrap();
    assert_eq!(t1.name, "convolution_milo");
    assert_eq!((t1.params.len(), t1.restrictions.len()), (10, 4));
    assert_eq!(t1.defaults[1], Some(Value::Int(16)));
    insta::assert_snapshot!(t1.space().unwrap(), @r#"
    (
        name: "convolution_milo",
        doc: "",
        params: [
            (name: "block_size_x", values: [16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256], default: 16),
            (name: "block_size_y", values: [1, 2, 4, 8, 16], default: 16),
            (name: "tile_size_x", values: [1, 2, 3, 4], default: 1),
            (name: "tile_size_y", values: [1, 2, 3, 4], default: 1),
            (name: "read_only", values: [0, 1], default: 0),
            (name: "use_padding", values: [0, 1], default: 1),
            (name: "use_shmem", values: [0, 1], default: 1),
            (name: "use_cmem", values: [1], default: 1),
            (name: "filter_height", values: [15], default: 15),
            (name: "filter_width", values: [15], default: 15),
        ],
        constraints: [
            (expr: "use_padding == 0 or block_size_x % 32 != 0", reason: "recorded as: use_padding==0 or block_size_x % 32 != 0"),
            (expr: "block_size_x * block_size_y <= 1024", reason: "recorded as: block_size_x*block_size_y<=1024"),
            (expr: "use_padding == 0 or use_shmem != 0", reason: "recorded as: use_padding==0 or use_shmem != 0"),
            (expr: "use_shmem == 0 or (block_size_x * tile_size_x + (filter_width - 1)) * (block_size_y * tile_size_y + (filter_height - 1)) < 12 * 1024", reason: "recorded as: use_shmem == 0 or (((block_size_x*tile_size_x+(filter_width-1)))*((block_size_y*tile_size_y+(filter_height-1)))) < 12*1024"),
        ],
    )
    "#);
    // It is no recording, which is said.
    let error = Recording::read(&path("recorded/t1.convolution_milo.json")).unwrap_err();
    assert!(
        error.to_string().contains("name the results as `file`"),
        "{error}"
    );
}

#[test]
fn lists_and_single_objects_are_read() {
    let all = Definition::read_all(&path("spaces/small.json")).unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["tiles", "divisors", "mixed", "free"]);
    let error = Definition::read(&path("spaces/small.json")).unwrap_err();
    assert!(
        error
            .message
            .contains("it must define one space, but defines 4"),
        "{error}"
    );
    let text = r#"{"params": [{"name": "A", "values": [1, 2.5]}]}"#;
    let one = Definition::parse_all(text, "file").unwrap();
    assert_eq!(one[0].name, "file");
    assert_eq!(one[0].params[0].values[0], Value::Float(1.0));
}

#[test]
fn what_is_wrong_with_a_definition_is_said() {
    let t1 = |param: &str, condition: &str| {
        format!(
            r#"{{"ConfigurationSpace": {{"TuningParameters": [{{"Name": "A", {param}}}],
            "Conditions": [{{"Expression": "{condition}"}}]}}}}"#
        )
    };
    for (text, expected) in [
        (
            String::new(),
            "EOF while parsing a value at line 1 column 0",
        ),
        ("{}".to_owned(), "it defines no space"),
        ("[]".to_owned(), "it is an empty list"),
        ("[{\n\"name\": 7}]".to_owned(), "at line 2 column 9"),
        (
            r#"[{"name": "s", "params": [{"name": "A", "values": []}]}]"#.to_owned(),
            "space 1 (`s`): the parameter `A` has no values",
        ),
        (
            t1(r#""Values": "[1, 2""#, "A > 1"),
            "the values of `A`: column 6: expected `]`, found the end",
        ),
        (
            t1(r#""Values": "[1, B]""#, "A > 1"),
            "the values of `A`: column 5: a value must be a literal",
        ),
        (
            t1(r#""Type": "int", "Values": "[1, 2.5]""#, "A > 1"),
            "the values of `A`: 2.5 is no int, which is the declared type",
        ),
        (
            t1(r#""Type": "half", "Values": [1]"#, "A > 1"),
            "the values of `A`: `half` is no type that is known",
        ),
        (
            t1(r#""Values": [1, 2], "Default": 3"#, "A > 1"),
            "the default of the parameter `A` is 3, which is none of its values",
        ),
        (
            t1(r#""Values": [1, 2]"#, "A > C"),
            "the restriction `A > C`: column 5: `C` is no parameter (A)",
        ),
    ] {
        let read = Definition::parse_all(&text, "x");
        let read = read.and_then(|all| all[0].space());
        let error = read.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = Definition::read_all(&path("none.json")).unwrap_err();
    assert!(error.to_string().contains("none.json: cannot be opened"));
}

#[test]
fn results_take_the_restrictions_of_a_definition() {
    let t1 = Definition::read(&path("recorded/t1.convolution_milo.json")).unwrap();
    let t4 = "recorded/t4.convolution_milo-A100.excerpt.json";
    let alone = Recording::read(&path(t4)).unwrap();
    let params = |recording: &Recording, place: usize| -> evo_types::Params {
        let row = &recording.rows()[place];
        let pairs = recording.params().iter().zip(&row.choices);
        pairs
            .map(|(param, choice)| (param.name.clone(), param.values[*choice as usize].clone()))
            .collect()
    };
    let defined = alone.clone().defined_by(&t1).unwrap();
    assert_eq!(defined.params(), t1.params);
    assert_eq!(defined.rows().len(), alone.rows().len());
    for place in 0..alone.rows().len() {
        assert_eq!(params(&defined, place), params(&alone, place));
        assert_eq!(defined.rows()[place].fate, alone.rows()[place].fate);
    }
    let mut fewer = t1.clone();
    fewer.params[0]
        .values
        .retain(|value| *value != Value::Int(16));
    let error = alone.clone().defined_by(&fewer).unwrap_err();
    assert_eq!(
        error,
        "`block_size_x` was recorded with 16, which is none of its values"
    );
    let mut other = t1.clone();
    other.params[0].name = "BLOCK".to_owned();
    let error = alone.clone().defined_by(&other).unwrap_err();
    assert_eq!(error, "the parameter `BLOCK` was not recorded");
    other.params.remove(0);
    let error = alone.defined_by(&other).unwrap_err();
    assert_eq!(error, "it has no parameter `block_size_x`");
}
