//! What the framework counts on: rows, seeds, extra shapes, refusals, and the page for authors.

use evo_plugin::{FieldKind, Problem, Rows, Value};

use crate::support::{all, fields, fill, reference, resolve};

/// Changes to the defaults that reach every branch of a problem, small enough for a test.
fn variants(problem: &dyn Problem) -> Vec<&'static str> {
    match problem.info().name.as_str() {
        "sdpa" => vec![
            "B=1 H=2 S=40 D=9",
            "B=1 H=1 S=40 D=9 mask=causal dtype=bf16",
            "B=2 H=3 S=21 D=8 epilogue=scale_bias alpha=-0.25 dtype=f16 same_d=true",
            "B=2 H=2 S=21 D=8 epilogue=scale dtype=f8_e4m3 scales=per_head output=f16",
            "B=2 H=2 S=21 D=8 mask=causal epilogue=scale_bias dtype=f8_e4m3",
        ],
        "gemm" => vec![
            "M=37 N=70 K=19",
            "M=37 N=7 K=19 TRANS_A=true TRANS_B=true dtype=f16",
        ],
        "conv2d" => vec![
            "N=2 C=3 H=9 W=11 K=5",
            "N=2 C=3 H=9 W=11 K=5 layout=nhwc R=1 S=1 PAD=0 dtype=f16",
            "N=1 C=2 H=15 W=11 K=3 STRIDE=3 R=7 S=2 PAD=6 dtype=f64",
        ],
        "reduction" => vec![
            "M=31 N=17",
            "M=31 N=17 axis=first op=max dtype=bf16",
            "M=31 N=17 axis=all op=l2 dtype=f16",
        ],
        _ => vec![
            "X=19 Y=23",
            "X=9 Y=8 Z=7 DIMS=3 RADIUS=2 coefficients=input boundary=copy dtype=f16",
        ],
    }
}

#[test]
fn chosen_rows_are_those_of_the_whole_and_others_stay() {
    for problem in all() {
        for words in variants(&*problem) {
            let spec = resolve(&*problem, words);
            let inputs = fill(&*problem, &spec, 5, "normal");
            let whole = reference(&*problem, &spec, &inputs, Rows::All);
            assert!(whole.iter().all(|value| value.is_finite()));
            let output = spec.outputs().next().unwrap();
            let columns = *output.shape.last().unwrap();
            let count = (whole.len() / columns) as u64;
            let rows: Vec<u64> = (0..count)
                .filter(|row| row % 3 == 1 || *row == count - 1)
                .collect();
            let some = reference(&*problem, &spec, &inputs, Rows::Some(&rows));
            for (row, (some, whole)) in some.chunks(columns).zip(whole.chunks(columns)).enumerate()
            {
                if rows.contains(&(row as u64)) {
                    assert_eq!(some, whole, "{} {words}: row {row}", spec.problem);
                } else {
                    assert!(
                        some.iter().all(|value| value.is_nan()),
                        "{} {words}",
                        spec.problem
                    );
                }
            }
        }
    }
}

#[test]
fn the_seed_alone_decides_and_every_distribution_is_its_own() {
    for problem in all() {
        for words in variants(&*problem) {
            let spec = resolve(&*problem, words);
            let mut seen = Vec::new();
            for distribution in &spec.distributions {
                let one = fill(&*problem, &spec, 1, distribution);
                assert_eq!(one, fill(&*problem, &spec, 1, distribution));
                assert_ne!(one, fill(&*problem, &spec, 2, distribution));
                assert!(
                    one.iter()
                        .all(|b| b.values().iter().all(|value| value.is_finite()))
                );
                assert!(
                    !seen.contains(&one),
                    "{} {words}: {distribution}",
                    spec.problem
                );
                seen.push(one);
            }
        }
    }
}

#[test]
fn an_unknown_distribution_names_those_that_there_are() {
    for problem in all() {
        let spec = resolve(&*problem, "");
        let error = problem
            .fill(&spec, 1, "no_such", &mut [])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no_such") && error.contains(&spec.distributions[1]),
            "{error}"
        );
    }
}

#[test]
fn every_extra_shape_resolves_and_is_small_and_ragged() {
    for problem in all() {
        for words in variants(&*problem) {
            let base = fields(&*problem, words);
            let spec = problem.resolve(&base).unwrap();
            assert!(spec.extra_shapes.len() >= 4);
            for extra in &spec.extra_shapes {
                let mut changed = base.clone();
                for (name, value) in extra {
                    assert!(
                        changed.insert(name.clone(), value.clone()).is_some(),
                        "{name}"
                    );
                }
                let other = problem
                    .resolve(&changed)
                    .unwrap_or_else(|error| panic!("{} {words} {extra:?}: {error}", spec.problem));
                let output = other.outputs().next().unwrap();
                assert!(output.elements().unwrap() < 100_000);
                // No tile of 8 elements or more divides an extent. Those of attention and of
                // images have other constraints.
                let ragged = |value: &Value| value.as_int().is_none_or(|int| int % 8 != 0);
                assert!(
                    ["sdpa", "conv2d"].contains(&spec.problem.as_str())
                        || extra.values().all(ragged),
                    "{} {extra:?}",
                    spec.problem
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let mut texts = Vec::new();
    for (name, words) in [
        ("gemm", "M=0"),
        ("gemm", "M=16777216 N=16777216 K=16777216"),
        ("gemm", "dtype=i8"),
        ("conv2d", "H=2 R=5 PAD=1"),
        ("conv2d", "W=2 S=9 PAD=1"),
        ("conv2d", "R=1 S=1"),
        ("conv2d", "STRIDE=0"),
        ("conv2d", "layout=chwn"),
        ("reduction", "op=median"),
        ("reduction", "axis=0"),
        ("reduction", "M=1073741824 N=1073741824"),
        ("stencil", "Z=64"),
        ("stencil", "DIMS=3 X=16777216 Y=16777216 Z=16777216"),
        ("stencil", "boundary=periodic"),
        ("sdpa", "mask=window"),
        ("sdpa", "epilogue=bias"),
        ("sdpa", "alpha=0.25"),
        ("sdpa", "epilogue=scale alpha=0"),
        ("sdpa", "scales=per_head"),
        ("sdpa", "dtype=f16 output=f16"),
        ("sdpa", "dtype=f8_e4m3 output=f32"),
    ] {
        let problem = all().into_iter().find(|p| p.info().name == name).unwrap();
        let error = problem.resolve(&fields(&*problem, words)).unwrap_err();
        texts.push(format!("{name} {words}\n    {error}"));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

/// A field as the page for authors lists it.
fn line(field: &evo_plugin::FieldInfo) -> String {
    let values = match &field.kind {
        FieldKind::Int { min, max } => format!("{min} to {max}"),
        FieldKind::Float { min, max } => format!("{min} to {max}"),
        FieldKind::Bool => "true, false".to_owned(),
        FieldKind::Choice(names) => names.join(", "),
        other => panic!("{other:?}"),
    };
    format!(
        "| `{}` | {values} | {} | {} |",
        field.name, field.default, field.doc
    )
}

#[test]
fn the_page_for_authors_lists_every_field_as_it_is() {
    let page = include_str!("../../README.md");
    for problem in all() {
        let info = problem.info();
        let section = page
            .split("\n## ")
            .find(|section| section.starts_with(&format!("`{}`", info.name)))
            .unwrap_or_else(|| panic!("README.md has no section for `{}`", info.name));
        for field in &info.fields {
            let line = line(field);
            assert!(
                section.contains(&line),
                "README.md lacks this line:\n{line}"
            );
        }
        let spec = resolve(&*problem, "");
        for distribution in &spec.distributions {
            assert!(
                section.contains(&format!("`{distribution}`")),
                "{distribution}"
            );
        }
        for constant in spec.constants.keys() {
            assert!(page.contains(&format!("`{constant}`")), "{constant}");
        }
    }
}
