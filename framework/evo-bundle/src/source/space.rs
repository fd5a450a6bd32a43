//! The search space of a description: inline, or a file beside it.

use serde::Deserialize;

use crate::document::{Document, Fault, Raw, Text};

/// The name of an inline space may be left out: it is then the kernel's.
#[derive(Deserialize)]
#[serde(rename = "Space")]
struct Named {
    #[serde(default)]
    name: Option<Raw>,
}

/// A search space as text.
pub(super) struct SpaceText {
    pub(super) text: String,
    /// The file that it is in, by its path in the description; `None` where it is inline.
    pub(super) file: Option<String>,
    /// The file that its lines are in, for messages.
    pub(super) shown: String,
}

/// The text of the space.
pub(super) fn read(
    document: &Document,
    name: &str,
    written: &Raw,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<SpaceText, Fault> {
    if !written.text.starts_with(['"', 'r']) {
        return Ok(SpaceText {
            text: inline(document, name, written),
            file: None,
            shown: document.file.clone(),
        });
    }
    let file = Text::of(written).map_err(|error| Fault::new(written.place.clone(), error))?;
    let text = read(&file.value).map_err(|error| {
        let message = format!("the search space `{}` cannot be read: {error}", file.value);
        Fault::new(file.place.clone(), message)
    })?;
    let folder = document.file.rsplit_once('/').map(|(folder, _)| folder);
    let shown = folder.map_or(file.value.clone(), |folder| {
        format!("{folder}/{}", file.value)
    });
    Ok(SpaceText {
        text,
        file: Some(file.value),
        shown,
    })
}

/// The inline space as a text of its own, padded so that its lines and columns are those of the
/// description.
fn inline(document: &Document, name: &str, written: &Raw) -> String {
    let before = document.text.get(..written.place.start).unwrap_or_default();
    let mut text: String = before
        .chars()
        .map(|c| if c == '\n' { '\n' } else { ' ' })
        .collect();
    let options =
        ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let named = options.from_str::<Named>(&written.text);
    match (named, written.text.strip_prefix('(')) {
        (Ok(Named { name: None }), Some(rest)) => {
            text.push_str(&format!("(name: \"{name}\", {rest}"));
        }
        _ => text.push_str(&written.text),
    }
    text
}
