//! The command line with the parameters' places in it.

use evo_plugin::{Error, Params, Value};

/// A command line, split into words before any value is put in: a value never becomes several
/// words, whatever it holds.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    words: Vec<Word>,
    /// Whether a shell reads the command; it is then one word.
    shell: bool,
}

type Word = Vec<Piece>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{NAME}`.
    Value(String),
    /// `{NAME?}`: the word is left out where there is no such parameter.
    Optional(String),
    /// `{NAME:text}`: the text where the parameter is true.
    If(String, String),
}

impl Template {
    /// Reads a command line.
    ///
    /// # Errors
    /// `Rejected` for an empty command, an open quote or a brace that is not closed.
    pub(crate) fn parse(command: &str, shell: bool) -> Result<Self, Error> {
        let words = if shell {
            vec![command.to_owned()]
        } else {
            shlex::split(command).ok_or_else(|| {
                Error::Rejected(format!(
                    "the command has a quote that is not closed: {command}"
                ))
            })?
        };
        if words.iter().all(|word| word.trim().is_empty()) {
            return Err(Error::Rejected(
                "the setting `command` is empty: say what to run, such as \
                 `\"command\": \"./prog --tile={TILE}\"`"
                    .to_owned(),
            ));
        }
        let words = words
            .iter()
            .map(|word| pieces(word))
            .collect::<Result<_, _>>()?;
        Ok(Self { words, shell })
    }

    /// The program, where its name has no parameter in it.
    pub(crate) fn program(&self) -> Option<&str> {
        match (self.shell, self.words.first()?.as_slice()) {
            (false, [Piece::Text(program)]) => Some(program),
            _ => None,
        }
    }

    /// The words of the command for a configuration.
    ///
    /// # Errors
    /// `Rejected` where the command and the configuration do not fit together.
    pub(crate) fn words(&self, config: &Params) -> Result<Vec<String>, Error> {
        self.check_used(config)?;
        let mut words = Vec::new();
        for word in &self.words {
            let text = self.fill(word, config)?;
            // A word that had nothing but conditions, none of which holds, is left out.
            words.extend(text.filter(|text| !text.is_empty() || word.is_empty()));
        }
        if self.shell {
            words.splice(0..0, ["sh".to_owned(), "-c".to_owned()]);
        }
        Ok(words)
    }

    /// The text of a word, `None` where it is left out.
    fn fill(&self, word: &Word, config: &Params) -> Result<Option<String>, Error> {
        let mut text = String::new();
        for piece in word {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Value(name) => text.push_str(&self.written(name, get(config, name)?)?),
                Piece::Optional(name) => match config.get(name) {
                    Some(value) => text.push_str(&self.written(name, value)?),
                    None if self.shell => {}
                    None => return Ok(None),
                },
                Piece::If(name, piece) => match get(config, name)? {
                    Value::Bool(true) => text.push_str(piece),
                    Value::Bool(false) => {}
                    other => {
                        return Err(Error::Rejected(format!(
                            "the command has `{{{name}:{piece}}}`, which is for a parameter that \
                             is true or false, and `{name}` is {other}"
                        )));
                    }
                },
            }
        }
        Ok(Some(text))
    }

    fn written(&self, name: &str, value: &Value) -> Result<String, Error> {
        let value = value.to_string();
        if !self.shell {
            return Ok(value);
        }
        shlex::try_quote(&value)
            .map(|quoted| quoted.into_owned())
            .map_err(|error| Error::Rejected(format!("the parameter `{name}`: {error}")))
    }

    /// Every parameter must be in the command: one that is not would be searched for nothing.
    fn check_used(&self, config: &Params) -> Result<(), Error> {
        let has = |name: &String| {
            self.words.iter().flatten().any(|piece| match piece {
                Piece::Value(other) | Piece::Optional(other) | Piece::If(other, _) => other == name,
                Piece::Text(_) => false,
            })
        };
        match config.keys().find(|name| !has(name)) {
            Some(name) => Err(Error::Rejected(format!(
                "the space has the parameter `{name}`, and the command has no `{{{name}}}`: it \
                 would have no effect"
            ))),
            None => Ok(()),
        }
    }
}

fn get<'a>(config: &'a Params, name: &str) -> Result<&'a Value, Error> {
    config.get(name).ok_or_else(|| {
        let names: Vec<&str> = config.keys().map(String::as_str).collect();
        Error::Rejected(format!(
            "the command has `{{{name}}}`, and the configuration has no such parameter, but {}; \
             write `{{{{` for a brace that is meant",
            names.join(", ")
        ))
    })
}

/// Splits a word at its placeholders. `{{` and `}}` stand for braces.
fn pieces(word: &str) -> Result<Word, Error> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(place) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(place);
        text.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else {
            let inside = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let Some((inside, after)) = inside else {
                return Err(Error::Rejected(format!(
                    "the command has a brace without its partner in `{word}`; write `{{{{` or \
                     `}}}}` for a brace that is meant"
                )));
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(match (inside.split_once(':'), inside.strip_suffix('?')) {
                (Some((name, text)), _) => Piece::If(name.to_owned(), text.to_owned()),
                (None, Some(name)) => Piece::Optional(name.to_owned()),
                (None, None) => Piece::Value(inside.to_owned()),
            });
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// A command line as a person would type it.
pub(crate) fn shown(words: &[String]) -> String {
    let quoted = |word: &String| {
        shlex::try_quote(word).map_or_else(|_| format!("{word:?}"), |word| word.into_owned())
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(pairs: &[(&str, Value)]) -> Params {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        pairs.collect()
    }

    fn words(command: &str, config: &Params) -> Result<Vec<String>, String> {
        let template = Template::parse(command, false).map_err(|error| error.to_string())?;
        template.words(config).map_err(|error| error.to_string())
    }

    #[test]
    fn values_take_their_places() {
        let config = config(&[
            ("N", Value::from(4)),
            ("O", Value::from("-O2")),
            ("FAST", Value::from(true)),
            ("SAFE", Value::from(false)),
        ]);
        assert_eq!(
            words(
                "./a 'two words' {O} --n={N}{{x}} {FAST:--fast} {SAFE:--safe} \"\"",
                &config
            ),
            Ok(["./a", "two words", "-O2", "--n=4{x}", "--fast", ""]
                .map(str::to_owned)
                .to_vec())
        );
    }

    #[test]
    fn a_word_for_a_parameter_that_is_not_there_is_left_out() {
        let with = config(&[("N", Value::from(4)), ("M", Value::from(2))]);
        let without = config(&[("N", Value::from(4))]);
        let command = "a --n={N} --m={M?}";
        assert_eq!(words(command, &with).unwrap(), ["a", "--n=4", "--m=2"]);
        assert_eq!(words(command, &without).unwrap(), ["a", "--n=4"]);
    }

    #[test]
    fn a_shell_gets_quoted_values() {
        let config = config(&[("N", Value::from("a;b")), ("F", Value::from(true))]);
        let template = Template::parse("echo {N} {F:-x} {M?} | wc -c", true).unwrap();
        assert_eq!(
            template.words(&config).unwrap(),
            ["sh", "-c", "echo 'a;b' -x  | wc -c"]
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let config = config(&[("N", Value::from(4))]);
        for (command, expected) in [
            ("", "the setting `command` is empty"),
            ("a 'b", "a quote that is not closed: a 'b"),
            ("a {N", "a brace without its partner in `{N`"),
            ("a N}", "a brace without its partner in `N}`"),
            (
                "a {M} {N}",
                "the command has `{M}`, and the configuration has no such parameter, but N",
            ),
            (
                "a",
                "the space has the parameter `N`, and the command has no `{N}`",
            ),
            ("a {N:x}", "and `N` is 4"),
        ] {
            let error = words(command, &config).unwrap_err();
            assert!(error.contains(expected), "{command}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_value_stays_one_word(value in "\\PC{1,20}") {
            let config = config(&[("N", Value::from(value.as_str()))]);
            prop_assert_eq!(words("a {N}", &config).unwrap(), vec!["a".to_owned(), value]);
        }

        #[test]
        fn no_command_makes_it_panic(command in "\\PC{0,40}", shell in any::<bool>()) {
            if let Ok(template) = Template::parse(&command, shell) {
                let _ = template.words(&config(&[("N", Value::from(4))]));
            }
        }
    }
}
