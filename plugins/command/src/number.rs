//! Finding a program's figure in what it printed.

/// The last number in a text; with a marker, the first number after its last appearance.
///
/// A number is what a person would take for one: `12`, `-0.5`, `.5`, `1e-3`, also where a unit
/// follows at once (`3.2ms`), but not the digits within a word (`fp16`) or a version (`1.2.3`).
/// `nan` and `inf` count as numbers, so that a program that prints them is found out.
pub(crate) fn find(text: &str, marker: &str) -> Option<f64> {
    if marker.is_empty() {
        return numbers(text).last();
    }
    let (_, rest) = text.rsplit_once(marker)?;
    numbers(rest).next()
}

/// The numbers of a text in order.
fn numbers(text: &str) -> impl Iterator<Item = f64> {
    let mut rest = text;
    let mut before = ' ';
    std::iter::from_fn(move || {
        while let Some(first) = rest.chars().next() {
            let joined = before.is_alphanumeric() || before == '_';
            if !joined && let Some((length, number)) = number(rest) {
                let (word, after) = rest.split_at(length);
                before = word.chars().last().unwrap_or(' ');
                rest = after;
                if let Some(number) = number {
                    return Some(number);
                }
                continue;
            }
            before = first;
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
        None
    })
}

/// The length of what looks like a number at the start of a text, and the number unless it is a
/// version.
fn number(text: &str) -> Option<(usize, Option<f64>)> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let body = text.get(sign..)?;
    let is_word = |word: &str| {
        body.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !body[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    for word in ["infinity", "inf", "nan"] {
        if is_word(word) {
            let length = sign + word.len();
            return Some((length, text.get(..length)?.parse().ok()));
        }
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(body);
    let mut length = whole;
    if body[length..].starts_with('.') {
        let fraction = digits(&body[length + 1..]);
        if whole + fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if body[length..].starts_with(['e', 'E']) {
        let signed = usize::from(body[length + 1..].starts_with(['+', '-']));
        let exponent = digits(&body[length + 1 + signed..]);
        if exponent > 0 {
            length += 1 + signed + exponent;
        }
    }
    let mut is_version = false;
    while let Some(more) = body[length..]
        .strip_prefix('.')
        .map(digits)
        .filter(|more| *more > 0)
    {
        is_version = true;
        length += 1 + more;
    }
    let length = sign + length;
    let value = text.get(..length)?.parse().ok();
    Some((length, value.filter(|_| !is_version)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_number_is_found_among_words() {
        for (text, expected) in [
            ("12", Some(12.0)),
            ("GFLOP/s: 12.5\n", Some(12.5)),
            ("took 3.2ms", Some(3.2)),
            ("a=1 b=-2e-3;", Some(-2e-3)),
            ("x .5", Some(0.5)),
            ("12.", Some(12.0)),
            ("(7)", Some(7.0)),
            ("4 with fp16 and sm_90", Some(4.0)),
            ("5 made by tool 1.2.3", Some(5.0)),
            ("1e400", Some(f64::INFINITY)),
            ("cost=-inf", Some(f64::NEG_INFINITY)),
            ("3 e", Some(3.0)),
            ("3 information", Some(3.0)),
            ("", None),
            ("no digits . - + e", None),
        ] {
            assert_eq!(find(text, ""), expected, "{text:?}");
        }
        assert!(find("loss NaN", "").is_some_and(f64::is_nan));
    }

    #[test]
    fn a_marker_says_which_number() {
        let text = "epoch 1 loss: 9\nepoch 2 loss: 7.5 in 3 s\n";
        assert_eq!(find(text, "loss:"), Some(7.5));
        assert_eq!(find(text, "gain:"), None);
        assert_eq!(find("loss: none", "loss:"), None);
    }

    proptest! {
        #[test]
        fn a_printed_float_is_read_back(value in -1e300f64..1e300, before in "[a-z ,:=]{0,9}[ :=]") {
            prop_assert_eq!(find(&format!("{before}{value:e}s\n"), ""), Some(value));
            prop_assert_eq!(find(&format!("{before}{value}"), ""), Some(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", marker in "\\PC{0,3}") {
            let _ = find(&text, &marker);
        }
    }
}
