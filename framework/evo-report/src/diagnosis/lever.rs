//! Levers, as journals spell them.

use evo_types::Params;

/// What a lever asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lever<'a> {
    /// A greater value of a parameter.
    Raise(&'a str),
    /// A lower one.
    Lower(&'a str),
    /// This value.
    Set(&'a str, &'a str),
    /// Any other value.
    Avoid(&'a str, &'a str),
    /// All that only where another parameter has a value.
    Where(Box<Self>, &'a str, &'a str),
}

impl<'a> Lever<'a> {
    /// `None` for what asks for nothing, such as `leave A`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some((lever, place)) = text.split_once(" where ") {
            let (name, value) = place.split_once('=')?;
            return Some(Self::Where(Box::new(Self::parse(lever)?), name, value));
        }
        let (verb, rest) = text.split_once(' ')?;
        match verb {
            "raise" => Some(Self::Raise(rest)),
            "lower" => Some(Self::Lower(rest)),
            "set" => rest
                .split_once('=')
                .map(|(name, value)| Self::Set(name, value)),
            "avoid" => rest
                .split_once('=')
                .map(|(name, value)| Self::Avoid(name, value)),
            _ => None,
        }
    }

    /// The parameter that it changes.
    pub(super) fn param(&self) -> &'a str {
        match self {
            Self::Raise(name) | Self::Lower(name) | Self::Set(name, _) | Self::Avoid(name, _) => {
                name
            }
            Self::Where(lever, ..) => lever.param(),
        }
    }

    /// Whether a candidate with these parameters does not do it yet: one that holds only `where` another
    /// parameter has a value, where that is so.
    pub(super) fn is_open(&self, params: &Params) -> bool {
        let is = |name: &str, value: &str| params.get(name).map(|own| own.to_string() == value);
        match self {
            Self::Raise(name) | Self::Lower(name) => params.contains_key(*name),
            Self::Set(name, value) => is(name, value) == Some(false),
            Self::Avoid(name, value) => is(name, value) == Some(true),
            Self::Where(lever, name, value) => {
                is(name, value) == Some(true) && lever.is_open(params)
            }
        }
    }
}

/// The lever that asks for the contrary.
pub(super) fn opposite(lever: &str) -> String {
    let pairs = [("set ", "avoid "), ("raise ", "lower ")];
    for (one, other) in pairs {
        for (from, to) in [(one, other), (other, one)] {
            if let Some(rest) = lever.strip_prefix(from) {
                return format!("{to}{rest}");
            }
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use evo_types::Value;

    use super::*;

    #[test]
    fn what_a_candidate_already_does_is_no_lever() {
        let params: Params = [
            ("A".to_owned(), Value::Int(2)),
            ("L".to_owned(), Value::from("row")),
        ]
        .into();
        let open = |lever: &str| Lever::parse(lever).is_some_and(|it| it.is_open(&params));
        assert!(!open("set A=2") && open("set A=4") && open("set L=col"));
        assert!(open("avoid A=2") && !open("avoid A=4"));
        assert!(open("raise A") && open("lower A"));
        assert!(open("set A=4 where L=row") && !open("set A=4 where L=col"));
        assert!(!open("set A=2 where L=row") && !open("set A=4 where B=1"));
        // It is not active, or not there at all.
        assert!(!open("raise B") && !open("set B=1") && !open("leave A"));
    }

    #[test]
    fn every_lever_has_its_contrary() {
        let pairs = [("set A=2", "avoid A=2"), ("raise A", "lower A")];
        for (one, other) in pairs {
            assert_eq!(
                (opposite(one), opposite(other)),
                (other.to_owned(), one.to_owned())
            );
        }
        assert_eq!(opposite("leave A"), "");
    }

    #[test]
    fn words_that_are_no_lever_are_none() {
        for text in ["", "raise", "set A", "leave A", "set A=1 where B", "push A"] {
            assert_eq!(Lever::parse(text), None, "{text}");
        }
    }
}
