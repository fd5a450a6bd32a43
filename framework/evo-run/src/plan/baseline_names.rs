//! What baselines are called, and which of them share a label or a group.

use evo_journal::letter_at;

use crate::RunError;
use crate::spec::{BaselineSpec, RunSpec};

/// A baseline of the spec with its names.
pub(super) struct Named<'a> {
    pub(super) spec: &'a BaselineSpec,
    pub(super) label: String,
    pub(super) letter: String,
    /// Which of the baselines with its label it is, from 1, where there are several.
    pub(super) choice: Option<usize>,
    /// Whether a later one takes the label where this one cannot be had.
    pub(super) has_stand_in: bool,
}

/// What the baselines of a spec are called, whether they can be had or not: names must not depend
/// on that.
pub(super) fn named(spec: &RunSpec) -> Result<Vec<Named<'_>>, RunError> {
    let columns = columns(&spec.baselines);
    let labels: Vec<String> = spec
        .baselines
        .iter()
        .zip(&columns)
        .map(
            |(baseline, column)| match (&baseline.label, &baseline.group) {
                (Some(label), _) => label.clone(),
                (None, Some(_)) => baseline.kernel.clone(),
                (None, None) => letter_at(*column),
            },
        )
        .collect();
    check_names(spec, &labels)?;
    let letters = letters(&spec.baselines, &labels, &columns);
    let named = spec.baselines.iter().zip(&labels).zip(letters).enumerate();
    Ok(named
        .map(|(place, ((spec, label), letter))| {
            let same = |labels: &[String]| labels.iter().filter(|it| *it == label).count();
            let before = labels.get(..place).map_or(0, same);
            let all = same(&labels);
            Named {
                spec,
                label: label.clone(),
                letter,
                choice: (all > 1).then_some(before + 1),
                has_stand_in: before + 1 < all,
            }
        })
        .collect())
}

/// In which column of reports each baseline stands: a group has one, and so has a label.
fn columns(baselines: &[BaselineSpec]) -> Vec<usize> {
    let mut seen: Vec<&BaselineSpec> = Vec::new();
    let mut columns = Vec::new();
    for baseline in baselines {
        let known = seen.iter().position(|other| {
            let label = baseline.label.is_some() && other.label == baseline.label;
            match (&other.group, &baseline.group) {
                (Some(other), Some(group)) => other == group,
                (None, None) => label,
                _ => false,
            }
        });
        columns.push(known.unwrap_or(seen.len()));
        if known.is_none() {
            seen.push(baseline);
        }
    }
    columns
}

/// What each column is called: after its group, by a label that is a letter, or by the letter of its
/// place, unless something else has that as its name.
fn letters(baselines: &[BaselineSpec], labels: &[String], columns: &[usize]) -> Vec<String> {
    let is_letter =
        |label: &str| matches!(label.as_bytes(), [letter] if letter.is_ascii_uppercase());
    let mut given: Vec<(usize, String)> = Vec::new();
    for ((baseline, label), column) in baselines.iter().zip(labels).zip(columns) {
        if given.iter().any(|(known, _)| known == column) {
            continue;
        }
        let own = *label == letter_at(*column) || is_letter(label);
        let free = |letter: &String| {
            let groups = baselines.iter().filter_map(|other| other.group.as_ref());
            let mut taken = labels.iter().chain(groups);
            !taken.any(|name| name == letter) && !given.iter().any(|(_, known)| known == letter)
        };
        let letter = match &baseline.group {
            Some(group) => group.clone(),
            None if own => label.clone(),
            None => {
                let mut places = std::iter::once(*column).chain(0..);
                let letter = places.find_map(|place| Some(letter_at(place)).filter(free));
                letter.unwrap_or_else(|| label.clone())
            }
        };
        given.push((*column, letter));
    }
    columns
        .iter()
        .filter_map(|column| given.iter().find(|(known, _)| known == column))
        .map(|(_, letter)| letter.clone())
        .collect()
}

/// Labels, groups and the labels of what is tuned are one set of names.
fn check_names(spec: &RunSpec, labels: &[String]) -> Result<(), RunError> {
    let tuned: Vec<&String> = spec
        .tune
        .iter()
        .map(|tune| tune.label.as_ref().unwrap_or(&tune.kernel))
        .collect();
    for (place, (baseline, label)) in spec.baselines.iter().zip(labels).enumerate() {
        if tuned.contains(&label) {
            return Err(
                RunError::input(format!("two candidates are called `{label}`"))
                    .hint("give them different labels with `label: \"...\"`"),
            );
        }
        let others = spec.baselines.iter().zip(labels).skip(place + 1);
        for (other, _) in others.filter(|(_, other)| *other == label) {
            check_same_label(label, baseline, other)?;
        }
        if let Some(group) = &baseline.group {
            check_group(group, labels, &tuned)?;
        }
    }
    Ok(())
}

/// Two baselines may have one label where the second stands in for the first.
fn check_same_label(
    label: &str,
    first: &BaselineSpec,
    second: &BaselineSpec,
) -> Result<(), RunError> {
    let wrong = |why: &str| RunError::input(format!("two baselines are called `{label}`{why}"));
    if first.group != second.group {
        return Err(wrong(", in different groups")
            .hint("give them different labels with `label: \"...\"`, or the same group"));
    }
    if first.label.is_none() || second.label.is_none() {
        return Err(wrong("").hint("give them different labels with `label: \"...\"`"));
    }
    if !first.optional {
        return Err(wrong(", and the first is not optional").hint(
            "give them different labels, or mark all but the last `optional: true`: the first that \
             can be had then takes the label",
        ));
    }
    Ok(())
}

fn check_group(group: &str, labels: &[String], tuned: &[&String]) -> Result<(), RunError> {
    if group.is_empty() || group.contains(char::is_whitespace) {
        return Err(
            RunError::input(format!("`{group}` is no name of a group of baselines"))
                .hint("write a word, such as `group: \"B\"`: a target names it as `1x over B`"),
        );
    }
    let what = if labels.iter().any(|label| label == group) {
        "a baseline"
    } else if tuned.iter().any(|label| *label == group) {
        "a candidate"
    } else {
        return Ok(());
    };
    Err(RunError::input(format!(
        "{what} and a group of baselines are called `{group}`"
    ))
    .hint("give the group another name, or the other a label with `label: \"...\"`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_ron;

    fn spec(baselines: &str) -> RunSpec {
        let text = format!("(tune: [(kernel: \"tiled\")], baselines: [{baselines}])");
        parse_ron(&text, "x.ron").unwrap()
    }

    /// Label, letter and choice of each baseline.
    fn names(baselines: &str) -> Vec<(String, String, Option<usize>)> {
        let spec = spec(baselines);
        let named = named(&spec).unwrap().into_iter();
        named.map(|it| (it.label, it.letter, it.choice)).collect()
    }

    fn name(label: &str, letter: &str, choice: Option<usize>) -> (String, String, Option<usize>) {
        (label.to_owned(), letter.to_owned(), choice)
    }

    #[test]
    fn baselines_are_called_by_letters_in_order() {
        assert_eq!(
            names(r#"(kernel: "math"), (label: "fast", kernel: "flash"), (kernel: "other")"#),
            [
                name("A", "A", None),
                name("fast", "B", None),
                name("C", "C", None)
            ]
        );
        // A label that is a letter is that column's name and no other's.
        assert_eq!(
            names(r#"(label: "slow", kernel: "math"), (label: "A", kernel: "flash")"#),
            [name("slow", "B", None), name("A", "A", None)]
        );
    }

    #[test]
    fn those_with_one_label_or_group_share_a_column() {
        assert_eq!(
            names(
                r#"(label: "A", kernel: "math", plugin: "x", optional: true),
                   (label: "A", kernel: "math"),
                   (kernel: "flash", group: "B"), (kernel: "cudnn", group: "B"),
                   (kernel: "other")"#
            ),
            [
                name("A", "A", Some(1)),
                name("A", "A", Some(2)),
                name("flash", "B", None),
                name("cudnn", "B", None),
                name("C", "C", None),
            ]
        );
    }

    #[test]
    fn names_that_clash_are_refused() {
        for (baselines, expected) in [
            (
                r#"(label: "A", kernel: "x"), (label: "A", kernel: "y")"#,
                "two baselines are called `A`, and the first is not optional",
            ),
            (
                r#"(label: "A", kernel: "x", optional: true), (label: "A", kernel: "y", group: "B")"#,
                "two baselines are called `A`, in different groups",
            ),
            (
                r#"(kernel: "x", optional: true, group: "B"), (kernel: "x", group: "B")"#,
                "two baselines are called `x`",
            ),
            (
                r#"(kernel: "x"), (kernel: "y"), (kernel: "z", group: "B")"#,
                "a baseline and a group of baselines are called `B`",
            ),
            (
                r#"(kernel: "x", group: "tiled")"#,
                "a candidate and a group of baselines are called `tiled`",
            ),
            (
                r#"(label: "tiled", kernel: "x")"#,
                "two candidates are called `tiled`",
            ),
            (
                r#"(kernel: "x", group: "best of")"#,
                "`best of` is no name of a group",
            ),
        ] {
            let error = named(&spec(baselines)).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
