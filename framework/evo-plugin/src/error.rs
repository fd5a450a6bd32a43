//! What a plugin says when something does not work.

use std::fmt;

use serde_json::json;

/// Why a plugin could not do what it was asked. The kind decides the outcome of the trial.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration, problem or device is not supported: outcome `Rejected`.
    Rejected(String),
    /// The build failed: outcome `BuildFailed`, with what the build tool printed.
    BuildFailed {
        /// The short reason.
        message: String,
        /// What the build tool printed.
        log: String,
    },
    /// Memory ran out: outcome `OutOfMemory`.
    OutOfMemory(String),
    /// The result is known to be wrong: outcome `WrongResult`. For objectives that replay
    /// recorded data; a kernel leaves the verdict to the framework.
    WrongResult(String),
    /// The evaluation is known to have taken too long: outcome `TimedOut`, after this many
    /// seconds. For objectives.
    TimedOut(u64),
    /// A figure that cannot be true, such as a metric that is not finite: outcome `Implausible`.
    Implausible(String),
    /// Anything else. From a kernel's launch it is a wrong result, elsewhere a crash.
    Failed(String),
    /// The process that a plugin runs in ended, or broke its protocol: outcome `Crashed`. Made by
    /// the framework.
    Crashed(String),
    /// The plugin panicked; made by the framework's shims.
    Panicked(String),
}

impl Error {
    /// The kind, message and log as one JSON document: the form in which errors cross the
    /// boundary.
    pub(crate) fn to_json(&self) -> String {
        let (kind, message, log) = match self {
            Self::Rejected(message) => ("rejected", message.clone(), ""),
            Self::BuildFailed { message, log } => ("build_failed", message.clone(), log.as_str()),
            Self::OutOfMemory(message) => ("out_of_memory", message.clone(), ""),
            Self::WrongResult(message) => ("wrong_result", message.clone(), ""),
            Self::TimedOut(seconds) => ("timed_out", seconds.to_string(), ""),
            Self::Implausible(message) => ("implausible", message.clone(), ""),
            Self::Failed(message) => ("failed", message.clone(), ""),
            Self::Crashed(message) => ("crashed", message.clone(), ""),
            Self::Panicked(message) => ("panicked", message.clone(), ""),
        };
        json!({ "kind": kind, "message": message, "log": log }).to_string()
    }

    /// Reads what [`to_json`](Self::to_json) wrote. An unknown kind, from a newer plugin, becomes
    /// [`Failed`](Self::Failed).
    pub(crate) fn from_json(text: &str) -> Self {
        let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let message = field("message");
        match document["kind"].as_str() {
            Some("rejected") => Self::Rejected(message),
            Some("build_failed") => Self::BuildFailed {
                message,
                log: field("log"),
            },
            Some("out_of_memory") => Self::OutOfMemory(message),
            Some("wrong_result") => Self::WrongResult(message),
            Some("timed_out") => Self::TimedOut(message.parse().unwrap_or(0)),
            Some("implausible") => Self::Implausible(message),
            Some("crashed") => Self::Crashed(message),
            Some("panicked") => Self::Panicked(message),
            Some(_) => Self::Failed(message),
            None => Self::Failed(format!("the plugin returned an unreadable error: {text}")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(message) => write!(formatter, "rejected: {message}"),
            Self::BuildFailed { message, .. } => write!(formatter, "the build failed: {message}"),
            Self::OutOfMemory(message) => write!(formatter, "out of memory: {message}"),
            Self::WrongResult(message) => write!(formatter, "wrong result: {message}"),
            Self::TimedOut(seconds) => write!(formatter, "timed out after {seconds} s"),
            Self::Implausible(message) => write!(formatter, "implausible: {message}"),
            Self::Failed(message) | Self::Crashed(message) => formatter.write_str(message),
            Self::Panicked(message) => write!(formatter, "panicked {message}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_boundary() {
        let errors = [
            Error::Rejected("a \"quoted\" reason".into()),
            Error::BuildFailed {
                message: "m".into(),
                log: "l\nl".into(),
            },
            Error::OutOfMemory("o".into()),
            Error::WrongResult("w".into()),
            Error::TimedOut(3),
            Error::Implausible("i".into()),
            Error::Failed("f".into()),
            Error::Crashed("c".into()),
            Error::Panicked("at x.rs:1".into()),
        ];
        for error in errors {
            assert_eq!(Error::from_json(&error.to_json()), error);
        }
    }

    #[test]
    fn an_unreadable_error_is_shown_as_it_is() {
        assert_eq!(
            Error::from_json("nonsense"),
            Error::Failed("the plugin returned an unreadable error: nonsense".into())
        );
        assert_eq!(
            Error::from_json(r#"{"kind":"of a later version","message":"m"}"#),
            Error::Failed("m".into())
        );
    }
}
