//! Exit codes, and why a command could not be carried out.

use std::fmt;
use std::process::ExitCode;

use crate::core::run::{Phase, Run};
use crate::core::verdict::Verdict;

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Trouble {
    /// Usage, configuration or spec: 2.
    Usage(String),
    /// The machinery: 3.
    Machinery(anyhow::Error),
    /// Policy: 4.
    Refused(String),
}

impl Trouble {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Machinery(_) => ExitCode::from(3),
            Self::Refused(_) => ExitCode::from(4),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Refused(text) => f.write_str(text),
            Self::Machinery(error) => write!(f, "{error:#}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Machinery(error.into())
    }
}

/// The exit code of a run that has ended.
pub fn code_of(run: &Run) -> ExitCode {
    match (run.phase, run.verdict) {
        (Phase::Rejected | Phase::Expired, _) => ExitCode::from(4),
        (Phase::Completed, Some(Verdict::Pass | Verdict::Skip)) => ExitCode::SUCCESS,
        (Phase::Completed, Some(Verdict::Fail)) => ExitCode::from(1),
        _ => ExitCode::from(3),
    }
}
