//! Errors of the program and their exit codes.

use std::fmt;

use evo_report::ReportError;
use evo_run::RunError;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Run(RunError),
    Report(ReportError),
    /// Standard output was closed or is full.
    Output(std::io::Error),
}

impl Failure {
    /// 2 for bad input, 1 for everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Run(error) => error.kind.exit_code(),
            Self::Report(_) | Self::Output(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The errors of a search space are a list, each with this word before it.
            Self::Run(error) => {
                let text = error.to_string();
                formatter.write_str(text.strip_prefix("error: ").unwrap_or(&text))
            }
            Self::Report(error) => error.fmt(formatter),
            Self::Output(error) => write!(formatter, "cannot write to standard output: {error}"),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::Report(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}
