//! What a plugin says when something does not work.

use std::fmt;

use serde_json::json;

/// Why a plugin could not do what it was asked. The kind decides the outcome of the trial.
#[derive(Debug, Clone, PartialEq)]
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
    /// One of the others, which costs this many seconds of the budget instead of the time that
    /// it really took: see [`at_cost`](Error::at_cost). For objectives.
    Charged {
        /// What went wrong.
        error: Box<Error>,
        /// The seconds to charge.
        cost_s: f64,
    },
}

impl Error {
    /// The same error, charged with the seconds that it cost when it was recorded, as
    /// [`Evaluation::cost_s`](crate::Evaluation::cost_s) does for what was measured. A later charge
    /// replaces an earlier one.
    #[must_use]
    pub fn at_cost(self, seconds: f64) -> Self {
        Self::Charged {
            error: Box::new(self.apart().0),
            cost_s: seconds,
        }
    }

    /// The error without its charge, and the charge in seconds.
    pub fn apart(self) -> (Self, Option<f64>) {
        match self {
            Self::Charged { error, cost_s } => (error.apart().0, Some(cost_s)),
            other => (other, None),
        }
    }

    /// The kind, message and log as one JSON document: the form in which errors cross the
    /// boundary.
    pub(crate) fn to_json(&self) -> String {
        let (error, cost_s) = self.clone().apart();
        let (kind, message, log) = match &error {
            Self::Rejected(message) => ("rejected", message.clone(), ""),
            Self::BuildFailed { message, log } => ("build_failed", message.clone(), log.as_str()),
            Self::OutOfMemory(message) => ("out_of_memory", message.clone(), ""),
            Self::WrongResult(message) => ("wrong_result", message.clone(), ""),
            Self::TimedOut(seconds) => ("timed_out", seconds.to_string(), ""),
            Self::Implausible(message) => ("implausible", message.clone(), ""),
            Self::Failed(message) => ("failed", message.clone(), ""),
            Self::Crashed(message) => ("crashed", message.clone(), ""),
            Self::Panicked(message) => ("panicked", message.clone(), ""),
            // `apart` has taken the charge off.
            Self::Charged { error, .. } => ("failed", error.to_string(), ""),
        };
        let mut document = json!({ "kind": kind, "message": message, "log": log });
        if let Some(cost_s) = cost_s {
            // A host that does not know it passes over it. A number that is not finite becomes null.
            document["cost_s"] = json!(cost_s);
        }
        document.to_string()
    }

    /// Reads what [`to_json`](Self::to_json) wrote. An unknown kind, from a newer plugin, becomes
    /// [`Failed`](Self::Failed).
    pub(crate) fn from_json(text: &str) -> Self {
        let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let message = field("message");
        let error = match document["kind"].as_str() {
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
        };
        match document["cost_s"].as_f64() {
            Some(seconds) => error.at_cost(seconds),
            None => error,
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
            Self::Charged { error, .. } => error.fmt(formatter),
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
            Error::WrongResult("w".into()).at_cost(2.5),
            Error::TimedOut(3).at_cost(0.0),
        ];
        for error in errors {
            assert_eq!(Error::from_json(&error.to_json()), error);
        }
    }

    #[test]
    fn a_charge_changes_nothing_else() {
        let failed = Error::Failed("f".into());
        let charged = failed.clone().at_cost(1.0).at_cost(2.0);
        assert_eq!(charged.to_string(), "f");
        assert_eq!(charged.clone().apart(), (failed.clone(), Some(2.0)));
        assert_eq!(failed.clone().apart(), (failed.clone(), None));
        // A host of 1.0 reads the rest; a charge that is no number is none.
        let text = charged.to_json();
        assert!(text.contains(r#""kind":"failed""#) && text.contains(r#""cost_s":2.0"#));
        assert_eq!(
            Error::from_json(&failed.clone().at_cost(f64::NAN).to_json()),
            failed
        );
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
