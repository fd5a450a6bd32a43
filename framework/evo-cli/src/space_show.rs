//! What `evo space show` prints.

use std::fmt::Write;

use evo_core::space::{Count, FixedBy, Param, Role, Sizes, Space};
use evo_types::{Params, Value};

/// Partial assignments for each count: a few tenths of a second at most.
const EFFORT: u64 = 1_000_000;

/// More values than this are abbreviated.
const MOST_VALUES: usize = 8;

/// Describes a space: its parameters, its sizes, and what each constraint removes.
pub(crate) fn render(space: &Space) -> String {
    let mut out = format!("{}\n", space.name());
    if !space.doc().is_empty() {
        let _ = writeln!(out, "{}", space.doc());
    }
    out.push('\n');
    out.push_str(&table(&parameters(space)));
    let sizes = space.sizes(EFFORT);
    out.push('\n');
    out.push_str(&table(&size_rows(&sizes)));
    let constants = constants(space);
    if !constants.is_empty() {
        out.push('\n');
        out.push_str(&table(&constants));
    }
    if !space.constraints().is_empty() {
        out.push('\n');
        out.push_str(&removals(space, &sizes));
    }
    out
}

/// One row per parameter, under a heading.
fn parameters(space: &Space) -> Vec<Vec<String>> {
    let heading = [
        "parameter",
        "type",
        "values",
        "start",
        "condition",
        "role",
        "",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for param in space.params() {
        rows.push(vec![
            param.name.clone(),
            param.values.first().map_or("", Value::type_name).to_owned(),
            values(param),
            param.value(param.default).to_string(),
            param.when.clone().unwrap_or_default(),
            role(param).to_owned(),
            param.doc.clone(),
        ]);
    }
    rows
}

fn values(param: &Param) -> String {
    let words: Vec<String> = param.values.iter().map(Value::to_string).collect();
    match words.as_slice() {
        [first, second, third, .., last] if words.len() > MOST_VALUES => {
            format!(
                "{first}, {second}, {third}, ... {last} ({} values)",
                words.len()
            )
        }
        _ => words.join(", "),
    }
}

fn role(param: &Param) -> &'static str {
    match (param.fixed, param.role) {
        (Some(FixedBy::Problem), _) => "fixed by the problem",
        (Some(FixedBy::Run), _) => "pinned",
        (None, Role::Problem) => "problem",
        (None, Role::Search) if param.values.len() == 1 => "single value",
        (None, Role::Search) => "search",
    }
}

fn size_rows(sizes: &Sizes) -> Vec<Vec<String>> {
    let row =
        |name: &str, size: String, remark: &str| vec![name.to_owned(), size, remark.to_owned()];
    let exact = |count: &Count| match count {
        Count::Exact(_) => "",
        Count::Estimate { .. } => " (estimate, one standard error)",
    };
    vec![
        row("raw product", grouped(sizes.raw), "all parameters"),
        row(
            "searched",
            grouped(sizes.searched),
            "without those that the problem or the run holds",
        ),
        row(
            "distinct",
            count(&sizes.distinct),
            &format!("inactive parameters do not count{}", exact(&sizes.distinct)),
        ),
        row(
            "valid",
            count(&sizes.valid),
            &format!("every constraint holds{}", exact(&sizes.valid)),
        ),
    ]
}

fn constants(space: &Space) -> Vec<Vec<String>> {
    let used = space.constants();
    let from = |params: &Params, origin: &str| -> Vec<Vec<String>> {
        let row = |(name, value): (&String, &Value)| {
            vec![
                name.clone(),
                value.to_string(),
                format!("from the {origin}"),
            ]
        };
        params.iter().map(row).collect()
    };
    let mut rows = from(&used.problem, "problem");
    rows.extend(from(&used.device, "device"));
    rows.extend(from(&used.file, "file"));
    if !rows.is_empty() {
        rows.insert(0, ["constant", "value", ""].map(str::to_owned).to_vec());
    }
    rows
}

/// How much each constraint removes by itself and after the ones before it.
fn removals(space: &Space, sizes: &Sizes) -> String {
    let heading = ["", "removes alone", "of the rest", "constraint"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut left = sizes.distinct.value();
    for (index, (constraint, removal)) in
        space.constraints().iter().zip(&sizes.removals).enumerate()
    {
        let reason = match constraint.reason.as_str() {
            "" => String::new(),
            reason => format!("  ({reason})"),
        };
        rows.push(vec![
            (index + 1).to_string(),
            share(&removal.alone, sizes.distinct.value()),
            share(&removal.after_earlier, left),
            format!("{}{reason}", constraint.text),
        ]);
        left -= removal.after_earlier.value();
    }
    table(&rows)
}

/// A part of a whole in per cent.
fn share(part: &Count, whole: f64) -> String {
    let percent = |number: f64| {
        if whole > 0.0 {
            100.0 * number / whole
        } else {
            0.0
        }
    };
    let value = percent(part.value());
    match part {
        Count::Exact(0) => "nothing".to_owned(),
        Count::Exact(_) => format!("{value:.1} %"),
        Count::Estimate { std_error, .. } => format!("{value:.1} +- {:.1} %", percent(*std_error)),
    }
}

fn count(count: &Count) -> String {
    match count {
        Count::Exact(count) => grouped(*count),
        Count::Estimate { value, std_error } => format!("{value:.3e} +- {std_error:.1e}"),
    }
}

/// Digits in groups of three: `82,944`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Rows in aligned columns; a column that holds only numbers below its first cell is aligned to
/// the right, and one that is empty throughout takes no room.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let layout: Vec<(usize, bool)> = (0..columns)
        .map(|column| {
            let cells: Vec<String> = rows.iter().map(|row| cell(row, column)).collect();
            let width = cells
                .iter()
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            (width, cells.iter().skip(1).all(|cell| is_number(cell)))
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (width, right)) in layout.iter().enumerate().filter(|(_, (w, _))| *w > 0) {
            let text = cell(row, column);
            let gap = " ".repeat(width - text.chars().count());
            let padded = if *right {
                format!("{gap}{text}  ")
            } else {
                format!("{text}{gap}  ")
            };
            line.push_str(&padded);
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn is_number(text: &str) -> bool {
    let numeral = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.' | '-');
    !text.is_empty() && text.chars().all(numeral)
}

#[cfg(test)]
mod tests {
    use evo_core::space::Env;

    use super::*;

    fn shown(text: &str, env: &Env) -> String {
        match Space::parse(text, "x.ron", env) {
            Ok(space) => render(&space),
            Err(errors) => panic!("{errors}"),
        }
    }

    #[test]
    fn the_original_space() {
        let text = include_str!("../../../search-spaces/sdpa_ws_original.ron");
        let problem = [("MASK_PATH".to_owned(), Value::from("none"))].into();
        insta::assert_snapshot!(shown(
            text,
            &Env {
                problem,
                ..Env::default()
            }
        ));
    }

    #[test]
    fn constraints_with_constants() {
        let text = r#"(
            name: "tiles",
            constants: { "THREADS_PER_WARP": 32 },
            params: [
                (name: "BLOCK_M", range: (from: 16, to: 256, step: 16), default: 64),
                (name: "BLOCK_K", pow2: (from: 16, to: 128)),
                (name: "STAGES", range: (from: 1, to: 4), default: 2),
                (name: "WARPS", values: [4]),
                (name: "SCALE", range: (from: 0.5, to: 1.0, step: 0.25)),
            ],
            constraints: [
                (
                    expr: "BLOCK_M * BLOCK_K * BYTES_PER_ELEMENT * STAGES <= SMEM_BYTES",
                    reason: "stages must fit in shared memory",
                ),
                (expr: "BLOCK_M % THREADS_PER_WARP == 0"),
                (expr: "BLOCK_M <= S"),
            ],
        )"#;
        let ints = |list: &[(&str, i64)]| {
            list.iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
                .collect()
        };
        let env = Env {
            problem: ints(&[("S", 512), ("BYTES_PER_ELEMENT", 2)]),
            device: ints(&[("SMEM_BYTES", 101_376), ("SMS", 142)]),
            pinned: ints(&[("STAGES", 3)]),
        };
        insta::assert_snapshot!(shown(text, &env));
    }

    #[test]
    fn an_estimate_comes_with_its_error() {
        let names: Vec<String> = (0..10).map(|index| format!("P{index}")).collect();
        let params: Vec<String> = names
            .iter()
            .map(|n| format!("(name: \"{n}\", range: (from: 1, to: 8))"))
            .collect();
        let text = format!(
            "(name: \"wide\", params: [{}], constraints: [(expr: \"({}) % 3 == 0\")])",
            params.join(", "),
            names.join(" + ")
        );
        let shown = shown(&text, &Env::default());
        assert!(shown.contains("1,073,741,824"), "{shown}");
        // A third of 8^10 is 3.58e8.
        assert!(shown.contains("3.5"), "{shown}");
        assert!(shown.contains("estimate, one standard error"), "{shown}");
        assert!(shown.contains("66.7 +- 0."), "{shown}");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(82_944), "82,944");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }
}
