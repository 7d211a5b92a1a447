//! What became of an attempt, and of each test in it. *Failed* is the author's, *errored* is the machinery's.

use serde::{Deserialize, Serialize};

use super::id::RunId;

/// How an attempt ended, as the executor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ending")]
pub enum Ending {
    /// The program ended by itself (128 + n for signal n).
    Exited { code: i32 },
    /// Killed for memory (the main process; a child's death alone is `Exited`).
    OutOfMemory,
    /// Killed for time.
    TimedOut,
    /// Killed for disk.
    OutOfDisk,
    /// Stopped on request.
    Cancelled,
    /// The program never began: command not found, not executable, ….
    NotStarted { why: String },
}

/// The outcome of an attempt, or of one test in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Did what it should.
    Passed,
    /// Declared not to run.
    Skipped,
    /// The work failed: the author's.
    Failed,
    /// Reached its time limit: the author's.
    TimedOut,
    /// Reached its memory limit: the author's.
    OutOfMemory,
    /// Reached its disk limit: the author's.
    OutOfDisk,
    /// The machinery errored: ours.
    Errored,
    /// Stopped on request.
    Cancelled,
    /// Gone with its machine: ours.
    Lost,
}

/// Exit code by which a step says that there was nothing to do.
pub const SKIPPED: i32 = 77;
/// Exit code by which a step says that the machinery (an index, a mirror) let it down.
pub const ERRORED: i32 = 70;

impl Outcome {
    /// The outcome of an attempt that ended so.
    pub fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Exited { code: 0 } => Self::Passed,
            Ending::Exited { code: SKIPPED } => Self::Skipped,
            Ending::Exited { code: ERRORED } | Ending::NotStarted { .. } => Self::Errored,
            Ending::Exited { .. } => Self::Failed,
            Ending::OutOfMemory => Self::OutOfMemory,
            Ending::TimedOut => Self::TimedOut,
            Ending::OutOfDisk => Self::OutOfDisk,
            Ending::Cancelled => Self::Cancelled,
        }
    }

    /// The machinery's fault: tried once more, never blamed on the author.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Errored | Self::Lost)
    }

    /// Neither passed nor declared not to run.
    pub fn is_bad(self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped)
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "out of memory",
            Self::OutOfDisk => "out of disk",
            Self::Errored => "errored",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// Where in a notebook something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Counted from 0 over all cells.
    pub index: u32,
    /// Counted from 1 over code cells.
    #[serde(default)]
    pub code_index: Option<u32>,
    /// The number in `In [n]`.
    #[serde(default)]
    pub execution_count: Option<u32>,
    /// The nearest heading above, a stranger's text.
    #[serde(default)]
    pub heading: Option<String>,
    /// The failing line and its neighbours, a stranger's text.
    #[serde(default)]
    pub excerpt: Option<String>,
    /// The failing line in the cell, counted from 1.
    #[serde(default)]
    pub line: Option<u32>,
}

/// An exception, a stranger's text throughout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Its class.
    pub name: String,
    /// Its text.
    #[serde(default)]
    pub value: String,
    /// The last lines of its traceback.
    #[serde(default)]
    pub traceback: Vec<String>,
}

/// One test of a tier: a notebook, or a case of a JUnit file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Path of the notebook, or `class.name` of the case.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// A finer word of the recipe's own (`cell_error`, `kernel_died`, …).
    #[serde(default)]
    pub class: String,
    /// One line for people.
    #[serde(default)]
    pub message: String,
    /// Where, for a notebook.
    #[serde(default)]
    pub cell: Option<Cell>,
    /// What was raised.
    #[serde(default)]
    pub exception: Option<Exception>,
    /// Last lines of standard error.
    #[serde(default)]
    pub stderr: String,
    /// How long it took, in seconds.
    #[serde(default)]
    pub seconds: f64,
    /// How long the failing cell took, in seconds.
    #[serde(default)]
    pub cell_seconds: Option<f64>,
    /// The most memory that its processes had together, in bytes.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Files that it made or changed beside itself, in its own copy of the checkout; a stranger's text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<String>,
    /// And how many more.
    #[serde(default, skip_serializing_if = "is_none")]
    pub wrote_more: u64,
    /// The run that made it, where this one did not: nothing that it depends on has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<RunId>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl TestResult {
    /// A result with nothing but its outcome and one line.
    pub fn plain(name: impl Into<String>, outcome: Outcome, class: &str, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome,
            class: class.to_owned(),
            message: message.into(),
            cell: None,
            exception: None,
            stderr: String::new(),
            seconds: 0.0,
            cell_seconds: None,
            peak_memory_bytes: None,
            wrote: Vec::new(),
            wrote_more: 0,
            reused_from: None,
        }
    }
}
