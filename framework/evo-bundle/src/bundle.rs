//! A description with the files that it names, as one sequence of bytes.

use std::collections::BTreeMap;

use evo_types::ContentHash;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The first line of every bundle: format and version.
const MAGIC: &[u8] = b"evo bundle 1\n";

/// What a bundle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundleKind {
    /// A source-only kernel: `NAME.kernel.ron` and its sources.
    Source,
    /// Another process: `NAME.process.ron` and its files.
    Process,
}

/// A description and the files that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What it holds.
    pub kind: BundleKind,
    /// The plugin's name: the description's file name without its extensions.
    pub name: String,
    /// The description as written: RON.
    pub description: String,
    /// Where the description was, for messages about it.
    pub origin: String,
    /// The folder that the description was in: relative paths that are not bundled start here.
    pub folder: String,
    /// The files by their path relative to the description, `/` between parts.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Bytes that are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is no intact bundle: {0}")]
pub struct BundleError(String);

#[derive(Serialize, Deserialize)]
struct Header {
    kind: BundleKind,
    name: String,
    description: String,
    origin: String,
    folder: String,
    /// Name and length of each file, in the order of their bytes.
    files: Vec<(String, usize)>,
}

impl Bundle {
    /// Whether bytes begin like a bundle's.
    pub fn is_bundle(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// The content's identity: what it is, its name, the description and the files, wherever they
    /// were.
    pub fn hash(&self) -> ContentHash {
        let kind: &[u8] = match self.kind {
            BundleKind::Source => b"source",
            BundleKind::Process => b"process",
        };
        let mut parts = vec![kind, self.name.as_bytes(), self.description.as_bytes()];
        for (name, content) in &self.files {
            parts.push(name.as_bytes());
            parts.push(content);
        }
        ContentHash::of_parts(&parts)
    }

    /// The bundle as bytes: a line with the format, a line of JSON, and the files.
    ///
    /// # Errors
    /// Where the header cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let header = Header {
            kind: self.kind,
            name: self.name.clone(),
            description: self.description.clone(),
            origin: self.origin.clone(),
            folder: self.folder.clone(),
            files: self
                .files
                .iter()
                .map(|(name, content)| (name.clone(), content.len()))
                .collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| BundleError(error.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(header);
        bytes.push(b'\n');
        for content in self.files.values() {
            bytes.extend(content);
        }
        Ok(bytes)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Where the bytes are no bundle, or not a whole one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let wrong = |what: &str| BundleError(what.to_owned());
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| wrong("its first line is another"))?;
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| wrong("its header does not end"))?;
        let (header, rest) = rest.split_at(end);
        let header: Header =
            serde_json::from_slice(header).map_err(|error| BundleError(error.to_string()))?;
        let mut rest = rest.get(1..).unwrap_or_default();
        let mut files = BTreeMap::new();
        for (name, length) in header.files {
            let (content, after) = rest
                .split_at_checked(length)
                .ok_or_else(|| wrong("it is cut off"))?;
            files.insert(name, content.to_vec());
            rest = after;
        }
        if !rest.is_empty() {
            return Err(wrong("there is more after its last file"));
        }
        Ok(Self {
            kind: header.kind,
            name: header.name,
            description: header.description,
            origin: header.origin,
            folder: header.folder,
            files,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bundle_survives_its_bytes(
            files in prop::collection::btree_map("[a-z/]{1,9}", prop::collection::vec(any::<u8>(), 0..40), 0..4),
            description in ".*",
        ) {
            let bundle = Bundle {
                kind: BundleKind::Source,
                name: "x".into(),
                description,
                origin: "a/x.kernel.ron".into(),
                folder: "/a".into(),
                files,
            };
            let bytes = bundle.to_bytes().unwrap();
            prop_assert!(Bundle::is_bundle(&bytes));
            prop_assert_eq!(&Bundle::from_bytes(&bytes).unwrap(), &bundle);
            let moved = Bundle { origin: "b/x.kernel.ron".into(), folder: "/b".into(), ..bundle.clone() };
            prop_assert_eq!(moved.hash(), bundle.hash());
            let other = Bundle { kind: BundleKind::Process, ..bundle.clone() };
            prop_assert_ne!(other.hash(), bundle.hash());
            prop_assert!(Bundle::from_bytes(&bytes[..bytes.len() - 1]).is_err());
            let longer = [bytes.as_slice(), b"x"].concat();
            prop_assert!(Bundle::from_bytes(&longer).is_err());
        }

        #[test]
        fn other_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Bundle::from_bytes(&[MAGIC, bytes.as_slice()].concat());
            prop_assert!(Bundle::from_bytes(&bytes).is_err());
        }
    }
}
