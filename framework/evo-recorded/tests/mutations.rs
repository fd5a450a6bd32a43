//! Files that were damaged in any way are read or refused with a reason: never a panic.

#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::io::Write;
use std::path::Path;

use evo_recorded::{Definition, Recording, python};
use evo_types::Value;
use proptest::prelude::*;

/// Small ones: a space with everything, results of each format, definitions.
const RECORDED: &str = r#"{"format": "recorded-space/1", "id": "r", "device": "d",
    "params": [{"name": "A", "values": [1, 2, 3]}, {"name": "B", "values": ["x", "y"]}],
    "restrictions": ["A < 3 or B == 'x'"], "restrictions_exact": true, "config": [0, 1, 2, 3, 4],
    "time": [1.0, null, 2.5, 3.0, 0.5], "status": [0, 1, 0, 0, 0], "rel_std": [0.1, null, 0, 1, 2],
    "compile": [1, 2, 3, 4, 5], "bench": [1, 2, 3, 4, null], "extra_columns": ["c"],
    "c": [1, 2, 3, 4, 5]}"#;
const CACHE: &str = r#"{"device_name": "d", "kernel_name": "k", "tune_params_keys": ["A", "B"],
    "tune_params": {"A": [1, 2], "B": [0.5, 1]}, "cache": {
    "1,0.5": {"A": 1, "B": 0.5, "time": 2.0, "times": [1.9, 2.1], "compile_time": 3.5, "GFLOP": 1},
    "2,1": {"A": 2, "B": 1, "time": "CompilationFailedConfig", "compile_time": 1}}}"#;
const T4: &str = r#"{"metadata": {"timeunit": "ms"}, "results": [
    {"configuration": {"A": 1}, "times": {"runtimes": [1.0, 2.0], "compilation": 3},
     "measurements": [{"name": "t", "value": 1.5, "unit": "ms"}], "objectives": ["t"]},
    {"configuration": {"A": 2}, "invalidity": "timeout", "times": {"compilation": 3}}]}"#;
const KTT: &str = r#"{"Metadata": {"TimeUnit": "Microseconds", "Device": "d"}, "Results": [
    {"Status": "Ok", "TotalDuration": 5.0, "TotalOverhead": 7.0, "KernelName": "k",
     "Configuration": [{"Name": "A", "Type": "Int", "Value": 1}],
     "ComputationResults": [{"Duration": 5.0, "Overhead": 2.0}]},
    {"Status": "CompilationFailed", "Configuration": [{"Name": "A", "Type": "Int", "Value": 2}],
     "ComputationResults": []}]}"#;
const T1: &str = r#"{"General": {"BenchmarkName": "b"}, "ConfigurationSpace": {
    "TuningParameters": [{"Name": "A", "Type": "int", "Values": "[1, 2, -3]", "Default": 2},
    {"Name": "B", "Type": "string", "Values": "['x', 'y']"}],
    "Conditions": [{"Expression": "A > 1 or B == 'x'", "Parameters": ["A", "B"]}]}}"#;
const LIST: &str = r#"[{"name": "s", "params": [{"name": "A", "values": [1, 2]}],
    "restrictions": ["A ** 2 % 3 == 1", "A / 2 <= 1.0"]}]"#;

/// What stands in for a number, a text or a bracket.
const STRANGE: [&str; 16] = [
    "NaN",
    "-1",
    "0",
    "1e999",
    "-1e308",
    "1e-320",
    "18446744073709551616",
    "9223372036854775807",
    "4294967295",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\"\u{0}\u{fffd}\"",
    "[[[[]]]]",
];

fn read(text: &str) {
    if let Ok(recording) = Recording::parse(text, "x") {
        let _ = recording.space(None);
        let _ = recording.space(Some(&[u32::MAX, 0, 7]));
        assert!(recording.optimum_ms() > 0.0);
        assert!(recording.rows().iter().all(|row| row.cost_ms >= 0.0));
        if let Ok(mut noise) = evo_recorded::Noise::new(&recording, 1) {
            let drawn = noise.draw(&recording, 0);
            assert!(drawn.is_none_or(|time| time >= 0.0));
        }
        if let Ok(definitions) = Definition::parse_all(text, "x") {
            let _ = recording.defined_by(&definitions[0]);
        }
    }
    if let Ok(definitions) = Definition::parse_all(text, "x") {
        for definition in definitions {
            let _ = definition.space();
        }
    }
}

/// The places of tokens of a JSON text, roughly.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() || "{}[],:".contains(c) {
            found.extend(start.take().map(|start| (start, at)));
            if !c.is_whitespace() {
                found.push((at, at + 1));
            }
        } else {
            start.get_or_insert(at);
        }
    }
    found
}

fn originals() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![RECORDED, CACHE, T4, KTT, T1, LIST])
}

#[test]
fn the_originals_are_well() {
    for text in [RECORDED, CACHE, T4, KTT] {
        Recording::parse(text, "x").unwrap();
    }
    for text in [T1, LIST] {
        Definition::parse_all(text, "x").unwrap()[0]
            .space()
            .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_token_is_replaced(
        text in originals(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..STRANGE.len() + 1), 1..4),
    ) {
        let mut text = text.to_owned();
        for (place, strange) in changes {
            let all = tokens(&text);
            let (start, end) = all[place.index(all.len())];
            // The one past the last takes a token out.
            text.replace_range(start..end, STRANGE.get(strange).copied().unwrap_or(""));
            if tokens(&text).is_empty() {
                break;
            }
        }
        read(&text);
    }

    #[test]
    fn a_text_is_cut_or_doubled(
        text in originals(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let (a, b) = (from.index(text.len()), to.index(text.len()));
        let (a, b) = (a.min(b), a.max(b));
        if let (Some(head), Some(middle), Some(tail)) =
            (text.get(..a), text.get(a..b), text.get(b..))
        {
            read(head);
            read(&format!("{head}{tail}"));
            read(&format!("{head}{middle}{middle}{tail}"));
        }
    }

    #[test]
    fn a_restriction_is_anything(text in "[ -~]{0,40}|([AB0-9]|\\*\\*|//|%|<|==|and|or|in|not|if|else|\\(|\\)|\\[|\\]|,| |-|'x'|1e9|min|abs|int){1,30}") {
        let kinds: python::Kinds = [
            ("A".to_owned(), vec![Value::Int(1), Value::Int(-2)]),
            ("B".to_owned(), vec![Value::Name("x".into()), Value::Name("y".into())]),
        ]
        .into();
        let _ = python::translate(&text, &kinds);
    }

    #[test]
    fn a_compressed_file_is_damaged(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let whole = std::fs::read(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../tests/data/recorded/coulomb-RTX_2080_Ti.json.xz"),
        )
        .unwrap();
        // Damage near the start spends no time on decompressing what comes before.
        let mut bytes = whole[..length.index(600) + 1].to_vec();
        let at = place.index(bytes.len());
        bytes[at] ^= byte;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let error = Recording::read(file.path()).unwrap_err();
        prop_assert!(!error.message.is_empty());
        prop_assert!(Definition::read(file.path()).is_err());
    }
}
