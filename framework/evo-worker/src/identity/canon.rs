//! The canonical form of a program, and what it is put together from.

/// A document that is equal for equal code. Every piece is tagged or preceded by its length, so
/// that no two different programs run together.
#[derive(Debug, Default)]
pub(super) struct Canon {
    document: Vec<u8>,
    code_bytes: u64,
}

impl Canon {
    pub(super) fn number(&mut self, number: u64) {
        self.document.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.document.extend_from_slice(bytes);
    }

    /// Says that so many bytes of what is written are instructions.
    pub(super) fn count_code(&mut self, bytes: u64) {
        self.code_bytes = self.code_bytes.saturating_add(bytes);
    }

    pub(super) fn place(&mut self, place: &Place<'_>) {
        match place {
            Place::Import(name) => {
                self.number(1);
                self.bytes(name);
            }
            Place::Section { number, offset } => {
                self.number(2);
                self.number(*number);
                self.number(*offset);
            }
            Place::Absolute(value) => {
                self.number(3);
                self.number(*value);
            }
            Place::Nothing => self.number(4),
        }
    }

    pub(super) fn document(&self) -> &[u8] {
        &self.document
    }

    pub(super) fn code_bytes(&self) -> u64 {
        self.code_bytes
    }
}

/// What a reference means, without the name of anything that is in the file itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'a> {
    /// Something that the loader finds elsewhere, by this name.
    Import(&'a [u8]),
    /// A place in a section, which goes by its order number.
    Section { number: u64, offset: u64 },
    /// A fixed value.
    Absolute(u64),
    /// Nothing.
    Nothing,
}
