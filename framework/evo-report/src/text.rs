//! Text of plugins and users on its way into documents: it may hold anything, and none of it may
//! act on the reader's terminal, Markdown viewer or spreadsheet.

/// The text as one line with no control characters, terminal escapes or invisible direction
/// marks. Runs of white space become one space.
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in without_escapes(text).split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// [`plain`] text of at most `limit` characters; what is cut off shows as an ellipsis.
pub(crate) fn clip(text: &str, limit: usize) -> String {
    let line = plain(text);
    if line.chars().count() <= limit {
        return line;
    }
    let mut cut: String = line.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The text with its line breaks, without terminal escapes and other control characters.
pub(crate) fn lines(text: &str) -> String {
    without_escapes(text)
}

/// Removes terminal escapes with their parameters; other control characters become spaces, line
/// breaks stay.
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\u{1b}' => match rest.next() {
                Some('[') => skip_control_sequence(&mut rest),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string_sequence(&mut rest),
                _ => {}
            },
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\n' => clean.push('\n'),
            _ if letter.is_control() => clean.push(' '),
            _ if is_invisible(letter) => {}
            _ => clean.push(letter),
        }
    }
    clean
}

/// Skips the parameters of a control sequence and its final byte.
fn skip_control_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(letter) = rest.next_if(|letter| (' '..='~').contains(letter)) {
        if ('@'..='~').contains(&letter) {
            return;
        }
    }
}

/// Skips up to the bell or the string terminator, and never beyond the line.
fn skip_string_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(letter) = rest.next_if(|letter| *letter != '\n') {
        match letter {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Direction overrides, zero-width characters and line separators: they make text look like
/// something else.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line of Markdown that reads as the text and does nothing else, also in a table cell.
pub(crate) fn markdown(text: &str) -> String {
    let line = plain(text);
    let letters: Vec<char> = line.chars().collect();
    let mut escaped = String::with_capacity(line.len());
    for (place, letter) in letters.iter().enumerate() {
        if needs_escape(&letters, place, *letter) {
            escaped.push('\\');
        }
        escaped.push(*letter);
    }
    escaped
}

/// Whether a letter would act where it stands.
fn needs_escape(letters: &[char], place: usize, letter: char) -> bool {
    let next = letters.get(place + 1).copied();
    let word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    match letter {
        '\\' | '`' | '*' | '<' | '|' | '~' | '$' | '&' => true,
        // Within a word an underscore means nothing.
        '_' => {
            let before = place
                .checked_sub(1)
                .and_then(|place| letters.get(place))
                .copied();
            !(word(before) && word(next))
        }
        // Only these make a link or a definition of what stands in brackets.
        ']' => matches!(next, Some('(' | '[' | ':')),
        // At the beginning these make quotes, headings, lists and rules.
        '>' => place == 0,
        '#' | '+' | '-' | '=' => place == 0 && !word(next),
        '.' | ')' => {
            let number = letters.iter().take(place).all(char::is_ascii_digit);
            place > 0 && number && next.is_none_or(char::is_whitespace)
        }
        _ => false,
    }
}

/// A Markdown code span. In a table cell a bar needs a backslash, elsewhere it must not have one.
pub(crate) fn code(text: &str, in_table: bool) -> String {
    let mut line = plain(text);
    if line.is_empty() {
        return String::new();
    }
    if in_table {
        line = line.replace('|', "\\|");
    }
    let fence = "`".repeat(longest_run(&line, '`') + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// A fenced block of Markdown that the text cannot end.
pub(crate) fn fenced(text: &str, language: &str) -> String {
    let body = lines(text);
    let fence = "`".repeat((longest_run(&body, '`') + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}", body.trim_end())
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for letter in text.chars() {
        run = if letter == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A cell that no spreadsheet takes for a formula. Numbers, also negative ones, stay as they are.
pub(crate) fn cell(text: &str) -> String {
    let line = plain(text);
    let suspicious = line.starts_with(['=', '+', '-', '@']);
    if suspicious && line.parse::<f64>().is_err() {
        format!("'{line}")
    } else {
        line
    }
}

/// A file name from a label: only `[A-Za-z0-9._-]`, at most 64 characters, never hidden or empty.
pub(crate) fn file_name(label: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let name: String = label
        .chars()
        .map(|letter| if safe(letter) { letter } else { '-' })
        .take(64)
        .collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() {
        "candidate".to_owned()
    } else {
        name.to_owned()
    }
}

/// A word for a POSIX shell.
pub(crate) fn shell_word(word: &str) -> String {
    let word = plain(word);
    let safe = |letter: char| letter.is_ascii_alphanumeric() || "_-./=:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(safe) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminal_escapes_vanish_with_their_parameters() {
        assert_eq!(plain("\u{1b}[31;1mred\u{1b}[0m\tand\nmore"), "red and more");
        assert_eq!(plain("\u{1b}]0;a title\u{7}text"), "text");
        assert_eq!(
            plain("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\"),
            "link"
        );
        assert_eq!(plain("a\u{202e}b\u{200b}c\u{7f}d"), "abc d");
        assert_eq!(lines("one\r\n\u{1b}[2Jtwo"), "one \ntwo");
    }

    #[test]
    fn markdown_is_inert() {
        assert_eq!(markdown("<b>|`x`|</b>"), r"\<b>\|\`x\`\|\</b>");
        assert_eq!(
            markdown("kernel_time is _not_ 1.5"),
            r"kernel_time is \_not\_ 1.5"
        );
        assert_eq!(markdown("# 1"), r"\# 1");
        assert_eq!(markdown("#1 -2"), "#1 -2");
        assert_eq!(markdown("12. item"), r"12\. item");
        assert_eq!(markdown("1.84x [1.80, 1.88]"), "1.84x [1.80, 1.88]");
        assert_eq!(markdown("[a](http://b)"), r"[a\](http://b)");
        assert_eq!(code("a`b|c", true), r"``a`b\|c``");
        assert_eq!(code("`", false), "`` ` ``");
        assert_eq!(fenced("```\nx", "sh"), "````sh\n```\nx\n````");
    }

    #[test]
    fn formulas_are_neutralised_and_numbers_are_not() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("@x"), "'@x");
        assert_eq!(cell("-rm"), "'-rm");
        assert_eq!(cell("-1.5e-3"), "-1.5e-3");
        assert_eq!(cell("\t=1"), "'=1");
        assert_eq!(cell("plain"), "plain");
    }

    #[test]
    fn names_of_files_stay_in_their_folder() {
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
        assert_eq!(file_name("tiled #12"), "tiled--12");
        assert_eq!(file_name(".."), "candidate");
        assert_eq!(shell_word("B=4"), "B=4");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    proptest! {
        #[test]
        fn no_text_gets_through_unclean(text in any::<String>()) {
            for clean in [plain(&text), markdown(&text), code(&text, true), cell(&text)] {
                prop_assert!(!clean.chars().any(|letter| letter.is_control()));
            }
            prop_assert!(!cell(&text).starts_with(['=', '@']));
            let name = file_name(&text);
            prop_assert!(!name.is_empty() && name.len() <= 64 && !name.starts_with('.'));
            prop_assert!(!name.contains('/'));
        }
    }
}
