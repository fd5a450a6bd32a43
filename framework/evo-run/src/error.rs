//! Errors of the host: what happened, what to do, and with which exit code the program ends.

use std::fmt;

use evo_journal::JournalError;

/// What kind of thing went wrong; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something that the user gave is wrong: a spec, a space, a flag, a plugin.
    Input,
    /// The machine does not allow it: no space, no permission, a locked folder, a broken device.
    Environment,
    /// A defect of the program.
    Internal,
}

impl ErrorKind {
    /// The exit code: 2 for bad input, 1 for everything else.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Input => 2,
            Self::Environment | Self::Internal => 1,
        }
    }
}

/// An error for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// What kind of thing went wrong.
    pub kind: ErrorKind,
    /// What happened and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl RunError {
    /// Something that the user gave is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Input,
            message: message.into(),
            hint: None,
        }
    }

    /// The machine does not allow it.
    pub fn environment(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Environment,
            message: message.into(),
            hint: None,
        }
    }

    /// A defect of the program.
    pub fn internal(message: impl Into<String>) -> Self {
        let hint = "this is a defect of evo; please report it with the run folder".to_owned();
        Self {
            kind: ErrorKind::Internal,
            message: message.into(),
            hint: Some(hint),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RunError {}

impl From<JournalError> for RunError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::NewerSchema { .. } | JournalError::NoHeader { .. } => {
                Self::input(error.to_string())
            }
            JournalError::Encode { .. } => Self::internal(error.to_string()),
            JournalError::Io { .. } | JournalError::Damaged { .. } => {
                Self::environment(error.to_string())
            }
        }
    }
}

/// The name nearest to a wrong one, as `; did you mean ...?`, or the list of names.
pub(crate) fn suggestion(wrong: &str, names: &[&str]) -> String {
    let near = names
        .iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .min();
    match near {
        Some((distance, name)) if distance <= 2.max(wrong.len() / 3) => {
            format!("did you mean `{name}`?")
        }
        Some(_) => format!("there is: {}", names.join(", ")),
        None => "there is none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_gets_the_list() {
        assert_eq!(
            suggestion("tield", &["math", "tiled"]),
            "did you mean `tiled`?"
        );
        assert_eq!(
            suggestion("gemm", &["math", "tiled"]),
            "there is: math, tiled"
        );
        assert_eq!(suggestion("gemm", &[]), "there is none");
    }
}
