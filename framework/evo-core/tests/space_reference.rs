//! The language reference shows what really happens: its spaces load, and those that do not are
//! followed by exactly the text that a person would see.

use evo_core::space::{Env, Space};
use evo_types::Value;

const REFERENCE: &str = include_str!("../../../search-spaces/README.md");

/// The fenced blocks of the document: language and text.
fn blocks() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in REFERENCE.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language, String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn env() -> Env {
    let ints = |list: &[(&str, i64)]| {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect()
    };
    Env {
        problem: ints(&[("S", 512), ("D", 64), ("BYTES_PER_ELEMENT", 2)]),
        device: ints(&[("SMEM_BYTES", 232_448)]),
        ..Env::default()
    }
}

#[test]
fn every_example_does_what_the_reference_says() {
    let blocks = blocks();
    let (mut loaded, mut refused) = (0, 0);
    for (index, (language, text)) in blocks.iter().enumerate() {
        if *language != "ron" {
            continue;
        }
        let shown = blocks
            .get(index + 1)
            .filter(|(language, _)| *language == "text");
        match (Space::parse(text, "spaces/x.ron", &env()), shown) {
            (Ok(_), None) => loaded += 1,
            (Err(errors), Some((_, shown))) => {
                assert_eq!(
                    format!("{errors}\n"),
                    *shown,
                    "the reference is out of date"
                );
                refused += 1;
            }
            (Ok(_), Some(_)) => panic!("no error in {text}"),
            (Err(errors), None) => panic!("{errors}"),
        }
    }
    assert_eq!((loaded, refused), (1, 3));
}
