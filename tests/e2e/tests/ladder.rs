//! The smallest plugins are as small as the examples promise, and readable.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_e2e::root;

/// A file of an example has at most so many lines, none of them longer than 100 characters, and
/// says in its first line what it is.
fn assert_small(file: &str, most: usize, comment: &str) {
    let text = fs::read_to_string(root().join("examples").join(file)).unwrap();
    let lines = text.lines().count();
    assert!(lines <= most, "{file} has {lines} lines; at most {most}");
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(
        longest <= Some(100),
        "{file} has a line of {longest:?} characters"
    );
    assert!(text.starts_with(comment), "{file} does not say what it is");
}

#[test]
fn the_smallest_c_plugin_has_at_most_60_lines() {
    assert_small("04_c_plugin/row_sum.c", 60, "// The smallest C plugin");
}

#[test]
fn the_smallest_rust_kernel_has_at_most_40_lines() {
    assert_small(
        "05_rust_plugin/src/lib.rs",
        40,
        "//! The smallest Rust kernel plugin",
    );
}

#[test]
fn the_smallest_objective_has_at_most_40_lines() {
    assert_small(
        "02_smallest_objective/src/lib.rs",
        40,
        "//! The smallest plugin",
    );
}

#[test]
fn the_smallest_python_kernel_is_a_class_of_at_most_35_lines() {
    let text = fs::read_to_string(root().join("examples/09_python_kernel/blocked.py")).unwrap();
    let (_, class) = text.split_once("\nclass ").expect("there is a class");
    let (class, _) = class.split_once("\nrun(").expect("`run` ends the file");
    let lines = class.trim_end().lines().count();
    assert!(lines <= 35, "the class has {lines} lines; at most 35");
    assert_small(
        "09_python_kernel/blocked.py",
        40,
        "# The smallest Python candidate",
    );
}
