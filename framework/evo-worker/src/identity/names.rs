//! Names by which a program is entered.

/// The name without what template arguments put into it: `scale` of `_Z5scaleILi64EEvPfi`, and
/// `tiles::scale` of `_ZN5tiles5scaleILi64EEEvPf`. A name that is not mangled, or in a way that is
/// not understood, is its own.
///
/// Only the part of the Itanium C++ ABI's mangling that spells names is read: `_Z`, then a source
/// name or a nested one between `N` and `E`; what follows is arguments and types.
pub(super) fn base(name: &[u8]) -> Vec<u8> {
    parse(name).unwrap_or_else(|| name.to_vec())
}

fn parse(name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = name.strip_prefix(b"_Z")?;
    let nested = rest.strip_prefix(b"N");
    rest = nested.unwrap_or(rest);
    let mut base: Vec<u8> = Vec::new();
    while rest.first().is_some_and(u8::is_ascii_digit) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let length: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
        let (word, after) = after.split_at_checked(length)?;
        if !base.is_empty() {
            base.extend_from_slice(b"::");
        }
        base.extend_from_slice(word);
        rest = after;
        if nested.is_none() {
            break;
        }
    }
    // A template's arguments end its name; what else may follow would have to be told apart.
    let understood = match nested {
        Some(_) => rest.starts_with(b"I") || rest.starts_with(b"E"),
        None => true,
    };
    (understood && !base.is_empty()).then_some(base)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::base;

    #[test]
    fn template_arguments_are_dropped() {
        for (name, expected) in [
            ("_Z5scaleILi64EEvPfPKfi", "scale"),
            ("_Z5scaleILi1EEvPfPKfi", "scale"),
            ("_Z5scalePfi", "scale"),
            ("_ZN5tiles5scaleILi64EEEvPf", "tiles::scale"),
            ("_ZN5tiles5scaleEPf", "tiles::scale"),
            ("scale", "scale"),
            ("scale64", "scale64"),
            ("_Z9", "_Z9"),
            ("_Z99999999999999999999999x", "_Z99999999999999999999999x"),
            ("_ZNK5tiles5scaleEv", "_ZNK5tiles5scaleEv"),
            ("", ""),
        ] {
            assert_eq!(base(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read(name in "(_Z|_ZN)?[0-9a-zA-Z]{0,12}") {
            base(name.as_bytes());
        }
    }
}
